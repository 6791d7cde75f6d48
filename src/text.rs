//! Sanitizes text from other people and programs: the same in the page, on the server and on the command line.

/// Replaces invisible characters by JSON escapes such as `\u202e`, so that they cannot mislead a reader; above all those that change
/// the direction of writing. For short texts that somebody else chose: titles, names of files, agents and people, arguments of calls.
///
/// Keeps what belongs to visible writing: right-to-left letters, line breaks and tabs, and joiners and variation selectors where
/// emoji and scripts need them.
#[must_use]
pub fn escape_invisible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let tags = if character == BLACK_FLAG { flag_tags(rest.as_str()) } else { 0 };
        if is_shown(before, character, rest.clone().next()) {
            shown.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        }
        before = Some(character);
        for _ in 0..tags {
            shown.extend(rest.next());
        }
    }
    shown
}

/// The first `max` characters of a text in one line (control characters become spaces), with `…` after them if there are more.
#[must_use]
pub fn clip(text: &str, max: usize) -> String {
    let mut line: String = text.chars().take(max).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(max).is_some() {
        line.push('…');
    }
    line
}

/// `text` cut to at most `max` bytes at a character boundary, with a last line that says so, for a model. NUL, which the store cannot
/// hold, is replaced.
#[must_use]
pub fn truncate_bytes(text: String, max: usize) -> String {
    let mut text = if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    let bytes = text.len();
    if bytes <= max {
        return text;
    }
    let note = format!("\n[cut here: {bytes} bytes in all, the limit is {max}]");
    text.truncate(text.floor_char_boundary(max.saturating_sub(note.len())));
    text + &note
}

/// Normalizes pasted text: removes invisible characters, which often come with text copied from web pages, and replaces no-break
/// spaces by spaces and all line ends by `\n`. Keeps the characters that [`escape_invisible`] keeps.
#[must_use]
pub fn normalize_input(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut before = None;
    let text = text.replace("\r\n", "\n");
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        let tags = if character == BLACK_FLAG { flag_tags(rest.as_str()) } else { 0 };
        match character {
            '\r' | '\u{2028}' | '\u{2029}' => kept.push('\n'),
            '\u{a0}' | '\u{202f}' | '\u{2007}' => kept.push(' '),
            _ if is_shown(before, character, rest.clone().next()) => kept.push(character),
            _ => {}
        }
        before = Some(character);
        for _ in 0..tags {
            kept.extend(rest.next());
        }
    }
    kept
}

/// The emoji that begins the flag of a region, such as Scotland; invisible tag characters after it name the region.
const BLACK_FLAG: char = '\u{1f3f4}';

/// The number of tag characters after [`BLACK_FLAG`] that belong to the flag: three to six for the name, and one that ends it.
fn flag_tags(after: &str) -> usize {
    let name = after.chars().take_while(|c| matches!(c, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}')).count();
    let ends = after.chars().nth(name) == Some('\u{e007f}');
    if (3..=6).contains(&name) && ends { name + 1 } else { 0 }
}

fn is_shown(before: Option<char>, character: char, after: Option<char>) -> bool {
    match character {
        '\n' | '\t' => true,
        // Joiners: kept between emoji, and in scripts whose letters they change.
        '\u{200c}' | '\u{200d}' => {
            before.is_some_and(joins) || (before.is_some_and(is_emoji) && after.is_some_and(is_emoji))
        }
        // Variation selectors: kept, one after each visible character.
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => {
            before.is_some_and(|before| !before.is_whitespace() && !is_invisible(before))
        }
        _ => !is_invisible(character),
    }
}

fn is_invisible(character: char) -> bool {
    matches!(
        character,
        // Control characters; soft hyphen; grapheme joiner; direction mark; fillers; invisible vowels.
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        // Mongolian selectors; zero-width characters and direction marks; separators and direction overrides.
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        // Invisible operators and isolates; filler; variation selectors; byte order mark; filler; annotations.
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        // Shorthand and music controls; tags and further variation selectors.
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Emoji, and the selector that may come between an emoji and a joiner.
fn is_emoji(character: char) -> bool {
    matches!(
        character,
        '\u{2190}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}'
    )
}

/// Letters and marks of scripts in which joiners change how letters are written: Arabic, the Indic scripts and related ones.
fn joins(character: char) -> bool {
    matches!(
        character,
        '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{f00}'..='\u{109f}' | '\u{1780}'..='\u{18af}'
        | '\u{a840}'..='\u{abff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10a00}'..='\u{11fff}'
    ) && !is_invisible(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_boundary_with_a_note() {
        let text = truncate_bytes("é".repeat(1_000), 501);
        assert!(text.len() <= 501 && text.starts_with("éé"), "{text}");
        assert!(text.ends_with("[cut here: 2000 bytes in all, the limit is 501]"), "{text}");
        assert_eq!(truncate_bytes("short".into(), 5), "short");
        assert_eq!(truncate_bytes("a\0b".into(), 10), "a\u{fffd}b");
    }

    #[test]
    fn a_clipped_text_is_one_line() {
        assert_eq!(clip("a\nb\u{1b}c", 9), "a b c");
        assert_eq!(clip("abcd", 3), "abc…");
        assert_eq!(clip("äbc", 3), "äbc");
    }

    #[test]
    fn invisible_and_direction_changing_characters_are_escaped() {
        for (text, shown) in [
            ("pay\u{200f}ment", r"pay\u200fment"),
            ("invoice\u{202e}fdp.exe", r"invoice\u202efdp.exe"),
            ("a\u{2066}b\u{2069}", r"a\u2066b\u2069"),
            ("pass\u{200b}word\u{ad}s\u{2060}\u{feff}", r"pass\u200bword\u00ads\u2060\ufeff"),
            ("a\u{200d}b\u{200c}c", r"a\u200db\u200cc"),
            ("\u{e0041}\u{e0042}", r"\udb40\udc41\udb40\udc42"),
            ("x\u{fe0f}\u{fe01}\u{e0101}", "x\u{fe0f}\\ufe01\\udb40\\udd01"),
            ("\u{1b}[31mred\u{7}\r", r"\u001b[31mred\u0007\u000d"),
            ("\u{3164}\u{115f}\u{2028}", r"\u3164\u115f\u2028"),
            ("\u{1f3f4}\u{e0068}\u{e0069}", "\u{1f3f4}\\udb40\\udc68\\udb40\\udc69"),
        ] {
            assert_eq!(escape_invisible(text), shown, "{text:?}");
        }
    }

    #[test]
    fn visible_writing_is_unchanged() {
        for text in [
            "two\nlines,\ta tab",
            "\u{1f469}\u{200d}\u{1f680} \u{1f469}\u{1f3fd}\u{200d}\u{1f4bb} \u{2764}\u{fe0f}\u{200d}\u{1f525} \u{1f1e9}\u{1f1ea} 1\u{fe0f}\u{20e3}",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} \u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
            "שלום עולם, مرحبا بالعالم",
            "می\u{200c}خواهم",
            "क्\u{200d}ष න\u{dca}\u{200d}\u{dbb}",
            "葛\u{e0100}飾 Übung e\u{301} ｶﾞ 한글",
        ] {
            assert_eq!(escape_invisible(text), text);
            assert_eq!(normalize_input(text), text);
        }
    }

    #[test]
    fn pasted_text_loses_invisible_characters() {
        let page = "\u{feff}price:\u{a0}5\u{202f}000\u{200b}\u{ad} €\r\nnext\u{2028}line\rlast\u{202e}\u{0}";
        assert_eq!(normalize_input(page), "price: 5 000 €\nnext\nline\nlast");
    }
}
