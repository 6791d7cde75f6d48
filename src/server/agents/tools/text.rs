//! Bounded text for a model.

pub(super) use crate::text::clip;

/// `text` in at most `max` bytes, whole characters, with a last line that says what was cut. What a store cannot hold (NUL)
/// is replaced.
pub(super) fn bounded(text: String, max: usize) -> String {
    let mut text = if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    let bytes = text.len();
    if bytes <= max {
        return text;
    }
    let note = format!("\n[cut here: {bytes} bytes in all, at most {max} are taken]");
    text.truncate(text.floor_char_boundary(max.saturating_sub(note.len())));
    text + &note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let text = bounded("é".repeat(1_000), 501);
        assert!(text.len() <= 501 && text.starts_with("éé"), "{text}");
        assert!(text.ends_with("[cut here: 2000 bytes in all, at most 501 are taken]"), "{text}");
        assert_eq!(bounded("short".into(), 5), "short");
        assert_eq!(bounded("a\0b".into(), 10), "a\u{fffd}b");
    }
}
