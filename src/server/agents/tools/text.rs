//! Bounded text for a model.

pub(super) use crate::text::clip;

/// `text` cut to at most `max` bytes at a character boundary, with a last line that says so. NUL, which the store
/// cannot hold, is replaced.
pub(super) fn bounded(text: String, max: usize) -> String {
    let mut text = if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    let bytes = text.len();
    if bytes <= max {
        return text;
    }
    let note = format!("\n[cut here: {bytes} bytes in all, the limit is {max}]");
    text.truncate(text.floor_char_boundary(max.saturating_sub(note.len())));
    text + &note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_boundary_with_a_note() {
        let text = bounded("é".repeat(1_000), 501);
        assert!(text.len() <= 501 && text.starts_with("éé"), "{text}");
        assert!(text.ends_with("[cut here: 2000 bytes in all, the limit is 501]"), "{text}");
        assert_eq!(bounded("short".into(), 5), "short");
        assert_eq!(bounded("a\0b".into(), 10), "a\u{fffd}b");
    }
}
