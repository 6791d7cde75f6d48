//! The words of a text, the same for what is indexed, what is searched for, and what is marked in an excerpt.
//!
//! A word is a run of letters and digits without case and accents. A character of a script that is written without spaces between words (Chinese,
//! Japanese, Korean, Thai and others) is a word of its own, so that any part of such a text can be found. A word contains no other character, in particular
//! none that the query languages of SQLite and PostgreSQL use.

use std::{borrow::Cow, iter::once, ops::Range};

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark, is_nfc};

/// How many bytes of a text are kept and indexed; words after them are not found.
pub(super) const MAX_TEXT_BYTES: usize = 64 * 1024;
/// How many words of a text are indexed. PostgreSQL has no greater positions.
const MAX_WORDS: usize = 16_383;
/// The most characters of a word that count; the rest of a longer one is ignored.
const MAX_WORD_CHARS: usize = 64;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Without case and accents.
    pub(super) word: String,
    /// Where it is in the text, in bytes.
    pub(super) range: Range<usize>,
}

/// A text as it is kept and indexed: composed (NFC), without characters that PostgreSQL cannot store, and not too long.
pub(super) fn normalize(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
    let text = if is_nfc(text) { Cow::from(text) } else { text.nfc().collect::<String>().into() };
    let mut text = text.replace('\0', " ");
    // Composing makes a few texts longer.
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}

/// The words of a text, in order.
pub(super) fn words(text: &str) -> Vec<Word> {
    let (mut words, mut current) = (Vec::new(), None::<Word>);
    for (start, c) in text.char_indices() {
        let range = start..start + c.len_utf8();
        if is_ignored(c) {
            continue;
        }
        for part in fold(c) {
            let is_part_of_word = part.is_alphanumeric() || is_combining_mark(part);
            if is_part_of_word && !stands_alone(part) {
                extend(current.get_or_insert_with(|| Word { word: String::new(), range: range.clone() }), part, &range);
                continue;
            }
            words.extend(current.take());
            if is_part_of_word {
                words.push(Word { word: part.into(), range: range.clone() });
            }
        }
        if words.len() >= MAX_WORDS {
            words.truncate(MAX_WORDS);
            return words;
        }
    }
    words.extend(current);
    words
}

fn extend(word: &mut Word, part: char, range: &Range<usize>) {
    if word.word.len() < MAX_WORD_CHARS || word.word.chars().count() < MAX_WORD_CHARS {
        word.word.push(part);
    }
    word.range.end = range.end;
}

/// A character without case and accents; several if it stands for several.
fn fold(c: char) -> impl Iterator<Item = char> {
    let ascii = c.is_ascii().then(|| c.to_ascii_lowercase());
    let other = (!c.is_ascii()).then_some(c).into_iter();
    let other = other.flat_map(char::to_lowercase).nfkd().filter(|c| !is_accent(*c)).nfc();
    ascii.into_iter().chain(other.flat_map(char::to_lowercase).flat_map(spell_out))
}

/// Letters that do not decompose are spelled as people type them.
fn spell_out(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        'ß' => ('s', Some('s')),
        'æ' => ('a', Some('e')),
        'œ' => ('o', Some('e')),
        'ø' => ('o', None),
        'đ' => ('d', None),
        'ł' => ('l', None),
        'ı' => ('i', None),
        'ς' => ('σ', None),
        c => (c, None),
    };
    once(first).chain(second)
}

/// Accents of Latin, Greek and Cyrillic letters. The marks of other scripts distinguish words and are kept.
fn is_accent(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// Characters that do not end a word and are no part of it: accents, soft hyphens, invisible joiners and selectors.
fn is_ignored(c: char) -> bool {
    is_accent(c)
        || matches!(c, '\u{ad}' | '\u{200c}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether a character belongs to a script that is written without spaces between words, or, in Korean, with endings attached to them.
pub(super) fn stands_alone(c: char) -> bool {
    matches!(c,
        // Thai, Lao, Burmese, Khmer.
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        // Hangul.
        | '\u{1100}'..='\u{11ff}' | '\u{3131}'..='\u{318e}' | '\u{ac00}'..='\u{d7a3}'
        // Japanese, Bopomofo.
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{312f}' | '\u{31f0}'..='\u{31ff}'
        // Chinese characters.
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        words(text).into_iter().map(|word| word.word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn case_and_accents_do_not_matter() {
        assert_eq!(of("Où est l'ÉTÉ? Crème brûlée"), "ou est l ete creme brulee");
        assert_eq!(of("e\u{301}te\u{301}"), of("été"), "decomposed");
        assert_eq!(of("STRASSE Straße"), "strasse strasse");
        assert_eq!(of("ΟΔΟΣ οδός Ёлка İstanbul Łódź smørrebrød"), "οδοσ οδοσ елка istanbul lodz smorrebrod");
        assert_eq!(of("Ｆｕｌｌ　ｗｉｄｔｈ ﬁne x²"), "full width fine x2");
        assert_eq!(of("soft\u{ad}hyphen"), "softhyphen");
    }

    #[test]
    fn characters_of_scripts_without_spaces_are_words() {
        assert_eq!(of("東京タワー2024年、がんばれ"), "東 京 タ ワ ー 2024 年 が ん ば れ");
        assert_eq!(of("한국어를"), "한 국 어 를");
        assert_eq!(of("한"), of("\u{1112}\u{1161}\u{11ab}".nfc().collect::<String>().as_str()));
        assert_eq!(of("netraは速い"), "netra は 速 い");
        assert_eq!(of("हिन्दी भाषा"), "हिन्दी भाषा", "the marks of other scripts are kept");
    }

    #[test]
    fn ranges_are_those_of_the_text() {
        let text = "A Crème, ㍿!";
        let found: Vec<(String, &str)> = words(text).into_iter().map(|word| (word.word, &text[word.range])).collect();
        let expected = [("a", "A"), ("creme", "Crème"), ("株", "㍿"), ("式", "㍿"), ("会", "㍿"), ("社", "㍿")];
        assert_eq!(found, expected.map(|(word, text)| (word.to_owned(), text)));
    }

    #[test]
    fn long_texts_and_words_are_cut() {
        let text = normalize(&"é".repeat(MAX_TEXT_BYTES));
        assert_eq!(text.len(), MAX_TEXT_BYTES);
        assert_eq!(words(&text)[0].word.chars().count(), MAX_WORD_CHARS);
        assert_eq!(words(&"a ".repeat(MAX_WORDS * 2)).len(), MAX_WORDS);
        assert_eq!(normalize("nul\0byte"), "nul byte");
    }

    proptest! {
        #[test]
        fn a_word_has_only_letters_digits_and_marks(text in any::<String>()) {
            let text = normalize(&text);
            let mut end = 0;
            for Word { word, range } in words(&text) {
                prop_assert!(!word.is_empty());
                prop_assert!(word.chars().all(|c| c.is_alphanumeric() || is_combining_mark(c)));
                prop_assert!(!word.chars().any(|c| c.is_ascii() && !c.is_ascii_alphanumeric()));
                prop_assert!(text.get(range.clone()).is_some() && range.end >= end);
                end = range.end;
            }
        }
    }
}
