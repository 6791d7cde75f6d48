//! Which texts match what was typed, how well, and where.

use std::ops::Range;

/// The score of a word at the start of the text.
const TEXT_START: u32 = 8;
/// The score of a word at the start of one of the text's words.
const WORD_START: u32 = 6;
/// The score of a word inside one of the text's words.
const INSIDE: u32 = 3;
/// The score of a word whose letters occur in order, each at the start of a word or after another.
const SCATTERED: u32 = 1;

/// How a text matches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Match {
    /// Higher is better.
    pub(super) score: u32,
    /// The matched parts, in bytes of the text.
    ranges: Vec<Range<usize>>,
}

/// A part of a text, and whether it matched.
pub(super) type Piece = (String, bool);

/// A character of a text in lower case, with its place in the text.
struct Letter {
    lower: char,
    range: Range<usize>,
    starts_word: bool,
}

fn letters(text: &str) -> Vec<Letter> {
    let mut before = ' ';
    let mut letters = Vec::new();
    for (start, char) in text.char_indices() {
        let starts_word = !before.is_alphanumeric();
        let range = start..start + char.len_utf8();
        letters.extend(char.to_lowercase().map(|lower| Letter { lower, range: range.clone(), starts_word }));
        before = char;
    }
    letters
}

/// Matches every word of the query against a text. `None` if a word does not occur. An empty query matches everything.
pub(super) fn match_text(query: &str, text: &str) -> Option<Match> {
    let letters = letters(text);
    let mut found = Match::default();
    for word in query.split_whitespace() {
        let word: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
        let (score, ranges) = match_word(&word, &letters)?;
        found.score += score;
        found.ranges.extend(ranges);
    }
    found.ranges.sort_by_key(|range| range.start);
    Some(found)
}

fn match_word(word: &[char], letters: &[Letter]) -> Option<(u32, Vec<Range<usize>>)> {
    let is_at = |start: usize| {
        let rest = letters.get(start..).unwrap_or_default();
        rest.len() >= word.len() && rest.iter().zip(word).all(|(letter, char)| letter.lower == *char)
    };
    let starts: Vec<usize> = (0..letters.len()).filter(|start| is_at(*start)).collect();
    let at_word = starts.iter().find(|start| letters[**start].starts_word);
    if let Some(start) = at_word.or(starts.first()).copied() {
        let score = match (start, letters[start].starts_word) {
            (0, _) => TEXT_START,
            (_, true) => WORD_START,
            (_, false) => INSIDE,
        };
        let range = letters[start].range.start..letters[start + word.len() - 1].range.end;
        return Some((score, vec![range]));
    }
    Some((SCATTERED, match_scattered(word, letters)?))
}

/// Finds the letters of a word in order, each at the start of a word or directly after the one before. `tok st` has `ts`.
fn match_scattered(word: &[char], letters: &[Letter]) -> Option<Vec<Range<usize>>> {
    let mut ranges = Vec::new();
    let mut next = 0;
    let mut follows = None;
    for char in word {
        let matches = |(index, letter): &(usize, &Letter)| {
            *index >= next && letter.lower == *char && (letter.starts_word || follows == Some(*index))
        };
        let (index, letter) = letters.iter().enumerate().find(matches)?;
        ranges.push(letter.range.clone());
        next = index + 1;
        follows = Some(next);
    }
    Some(ranges)
}

/// A text in parts, those that matched marked.
pub(super) fn pieces(text: &str, found: &Match) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = 0;
    let mut push = |part: &str, is_matched: bool| match pieces.last_mut() {
        _ if part.is_empty() => {}
        Some((last, last_matched)) if *last_matched == is_matched => last.push_str(part),
        _ => pieces.push((part.to_owned(), is_matched)),
    };
    for Range { start, end } in &found.ranges {
        let start = (*start).max(at);
        if *end > start {
            push(&text[at..start], false);
            push(&text[start..*end], true);
            at = *end;
        }
    }
    push(&text[at..], false);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(query: &str, text: &str) -> Option<String> {
        let found = match_text(query, text)?;
        let piece = |(part, is_matched): Piece| if is_matched { format!("[{part}]") } else { part };
        Some(pieces(text, &found).into_iter().map(piece).collect())
    }

    fn score(query: &str, text: &str) -> u32 {
        match_text(query, text).map_or(0, |found| found.score)
    }

    #[test]
    fn all_words_must_occur_in_any_order_and_case() {
        assert_eq!(marked("GO tok", "Where do my Tokens go?").as_deref(), Some("Where do my [Tok]ens [go]?"));
        assert_eq!(marked("tokens money", "Where do my tokens go?"), None);
        assert_eq!(marked("", "Anything").as_deref(), Some("Anything"));
        assert_eq!(marked("表示", "文字の表示").as_deref(), Some("文字の[表示]"));
        assert_eq!(marked("straß", "Die STRASSE, die Straße").as_deref(), Some("Die STRASSE, die [Straß]e"));
    }

    #[test]
    fn the_starts_of_words_match_better_than_their_middle_and_scattered_letters() {
        assert!(score("tok", "Token") > score("tok", "My token"));
        assert!(score("tok", "My token") > score("oke", "My token"));
        assert_eq!(marked("an", "Plan an answer").as_deref(), Some("Plan [an] answer"));
        assert_eq!(marked("nth", "New thread").as_deref(), Some("[N]ew [th]read"));
        assert!(score("nth", "New thread") < score("hrea", "New thread"));
        assert_eq!(marked("xyz", "New thread"), None);
    }

    #[test]
    fn overlapping_matches_are_marked_once() {
        assert_eq!(marked("tok token", "Tokens").as_deref(), Some("[Token]s"));
        // One character that becomes two in lower case.
        assert_eq!(marked("i", "İstanbul").as_deref(), Some("[İ]stanbul"));
    }
}
