//! Cuts text between visible characters: never inside an emoji, a flag, or a letter with its combining marks.

use unicode_segmentation::UnicodeSegmentation;

/// The longest prefix of `text` of at most `max_chars` code points that ends between visible characters.
#[must_use]
pub(crate) fn cut(text: &str, max_chars: usize) -> &str {
    let (mut end, mut chars) = (0, 0);
    for (at, grapheme) in text.grapheme_indices(true) {
        chars += grapheme.chars().count();
        if chars > max_chars {
            break;
        }
        end = at + grapheme.len();
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visible_character_is_never_cut() {
        let family = "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}";
        assert_eq!(cut(&format!("ab{family}c"), 6), "ab");
        assert_eq!(cut(&format!("ab{family}c"), 7), format!("ab{family}"));
        assert_eq!(cut("e\u{301}e\u{301}", 3), "e\u{301}");
        assert_eq!(cut("\u{1f1e9}\u{1f1ea}\u{1f1eb}\u{1f1f7}", 3), "\u{1f1e9}\u{1f1ea}");
        assert_eq!((cut("abc", 3), cut("abc", 0), cut("", 5)), ("abc", "", ""));
        assert_eq!(
            cut(&format!("e{}", "\u{301}".repeat(500)), 10),
            "",
            "a visible character longer than the limit is left out whole"
        );
    }
}
