//! The part of a found text that is shown, with the words that match.

use std::ops::Range;

use super::{
    query::Query,
    words::{Word, words},
};
use crate::protocol::http::ExcerptPart;

/// The most characters of a text that are shown.
const MAX_CHARS: usize = 160;
/// The most of them that come before the first match.
const MAX_CHARS_BEFORE: usize = 40;
/// Stands for what is left out.
const ELLIPSIS: &str = "…";

/// The part of a text with the most phrases of the query; its beginning if none matches. White space is reduced to single spaces.
pub(super) fn excerpt(text: &str, query: &Query) -> Vec<ExcerptPart> {
    let words = words(text);
    let phrases = query.matches(&words);
    let start = start(text, &words, &phrases);
    let end = end(text, &words, start);
    let mut parts = Parts::default();
    if start > 0 {
        parts.push(ELLIPSIS, false);
    }
    let mut at = start;
    for (word, _) in words.iter().zip(&phrases).filter(|(_, phrase)| phrase.is_some()) {
        // Several words may stand for one character.
        let (from, to) = (word.range.start.max(at), word.range.end.min(end));
        if from < to {
            parts.push(&text[at..from], false);
            parts.push(&text[from..to], true);
            at = to;
        }
    }
    parts.push(&text[at..end], false);
    if end < text.len() {
        parts.push(ELLIPSIS, false);
    }
    parts.0
}

/// Where the excerpt begins: a little before the first of the matches that stand closest.
fn start(text: &str, words: &[Word], phrases: &[Option<usize>]) -> usize {
    // How many characters are before each word.
    let (mut chars, mut counted) = (0, 0);
    let mut chars_before = Vec::with_capacity(words.len());
    for Word { range: Range { start, .. }, .. } in words {
        chars += text[counted.min(*start)..*start].chars().count();
        counted = *start;
        chars_before.push(chars);
    }
    let found: Vec<(usize, usize)> =
        phrases.iter().enumerate().filter_map(|(word, phrase)| Some((word, (*phrase)?))).collect();
    let different_phrases = |first: usize| {
        let limit = chars_before[found[first].0] + MAX_CHARS - MAX_CHARS_BEFORE;
        let near = found[first..].iter().take_while(|(word, _)| chars_before[*word] < limit);
        // A query has fewer phrases than this number has bits.
        near.fold(0u128, |phrases, (_, phrase)| phrases | 1 << (phrase % 128)).count_ones()
    };
    // The first of those with the most.
    let best = (0..found.len()).rev().max_by_key(|first| different_phrases(*first));
    let Some(best) = best.map(|first| chars_before[found[first].0]) else { return 0 };
    if best <= MAX_CHARS_BEFORE {
        return 0;
    }
    let first = chars_before.partition_point(|before| before + MAX_CHARS_BEFORE < best);
    words[first].range.start
}

/// Where the excerpt ends: after the last word that fits.
fn end(text: &str, words: &[Word], start: usize) -> usize {
    let Some((most, _)) = text[start..].char_indices().nth(MAX_CHARS) else { return text.len() };
    let last = words.partition_point(|word| word.range.end <= start + most);
    let end = last.checked_sub(1).map(|last| words[last].range.end);
    end.filter(|end| *end > start).unwrap_or(start + most)
}

/// The parts of an excerpt; neighbours that both match, or both do not, are one.
#[derive(Default)]
struct Parts(Vec<ExcerptPart>);

impl Parts {
    fn push(&mut self, text: &str, matched: bool) {
        if text.is_empty() {
            return;
        }
        if self.0.last().is_none_or(|last| last.matched != matched) {
            self.0.push(ExcerptPart { text: String::new(), matched });
        }
        let Some(ExcerptPart { text: joined, .. }) = self.0.last_mut() else { return };
        for c in text.chars() {
            match c {
                c if !c.is_whitespace() => joined.push(c),
                _ if !joined.ends_with(' ') => joined.push(' '),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An excerpt with its matches in brackets.
    fn marked(query: &str, text: &str) -> String {
        let parts = excerpt(text, &Query::parse(query).expect("it has words"));
        parts.iter().map(|part| if part.matched { format!("[{}]", part.text) } else { part.text.clone() }).collect()
    }

    #[test]
    fn a_short_text_is_shown_whole_with_its_matches() {
        assert_eq!(marked("creme bru", "Two *crèmes*,\n\none Crème  Brûlée."), "Two *crèmes*, one [Crème] [Brûlée].");
        assert_eq!(marked("東京", "ここは東京タワー"), "ここは[東京]タワー");
        assert_eq!(marked("株式", "A ㍿!"), "A [㍿]!");
    }

    #[test]
    fn of_a_long_text_the_part_with_the_most_phrases_is_shown() {
        let text =
            format!("tokens {}these cached tokens cost less {}", "and so on ".repeat(50), "more of it ".repeat(50));
        let shown = marked("cached tokens", &text);
        assert!(shown.starts_with("…") && shown.ends_with('…'), "{shown}");
        assert!(shown.contains("these [cached] [tokens] cost less"), "{shown}");
        assert!(marked("tokens", &text).starts_with("[tokens] and so"), "the first if none is better");
        assert!(marked("absent", &text).starts_with("tokens and so"), "the beginning if there is none");
    }

    proptest! {
        #[test]
        fn an_excerpt_is_bounded_whatever_the_text(text in "(a|bc |é|東|\n|\\.|㍿|\u{301}){0,400}", query in "[abc東é]{1,5}") {
            if let Some(query) = Query::parse(&query) {
                let parts = excerpt(&text, &query);
                let chars: usize = parts.iter().map(|part| part.text.chars().count()).sum();
                prop_assert!(chars <= MAX_CHARS + 2);
                prop_assert!(parts.windows(2).all(|pair| pair[0].matched != pair[1].matched));
            }
        }
    }
}
