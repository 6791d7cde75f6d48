//! What a person searches for, and the same in the query languages of SQLite's FTS5 and of PostgreSQL.

use super::words::{Word, stands_alone, words};

/// Words that a text must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Each is a word, or several that follow each other in the text.
    phrases: Vec<Vec<String>>,
    /// Whether the last word may be the beginning of a word of the text, because it may be still being typed.
    last_is_open: bool,
}

/// How strictly a text has to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    /// It has all words, the last perhaps as the beginning of a word.
    Any,
    /// It has all words as whole words.
    WholeWords,
    /// It has all words as whole words, next to each other and in this order.
    InOrder,
}

impl Query {
    /// Reads what a person typed; `None` if it has no word. Nothing in it is an error.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut phrases, mut last_is_open) = (Vec::new(), false);
        let parts: Vec<&str> = text.split('"').collect();
        for (index, part) in parts.iter().enumerate() {
            let is_quoted = index % 2 == 1;
            let before = phrases.len();
            if is_quoted {
                phrases.push(phrase(part));
            } else {
                phrases.extend(part.split_whitespace().map(phrase));
            }
            phrases.retain(|phrase: &Vec<String>| !phrase.is_empty());
            last_is_open = index == parts.len() - 1 && phrases.len() > before;
        }
        // A character that is always a word of its own begins no other word.
        let last = phrases.last()?.last()?;
        last_is_open &= !last.starts_with(stands_alone);
        Some(Self { phrases, last_is_open })
    }

    /// Whether matches of this strictness may differ from those of the next lower one.
    pub(super) fn distinguishes(&self, strictness: Strictness) -> bool {
        match strictness {
            Strictness::Any => true,
            Strictness::WholeWords => self.last_is_open,
            Strictness::InOrder => self.phrases.len() > 1,
        }
    }

    /// The phrases that must occur, and whether the last word of the last may be a beginning.
    fn parts(&self, strictness: Strictness) -> (Vec<Vec<String>>, bool) {
        let mut phrases = self.phrases.clone();
        if strictness == Strictness::InOrder {
            return (vec![phrases.concat()], false);
        }
        let is_open = self.last_is_open && strictness == Strictness::Any;
        // There are too many words that begin with one given letter: it counts once a second one is typed, or as a word if it is alone.
        let is_letter = |word: &String| word.chars().count() == 1;
        if !is_open || !phrases.last().and_then(|phrase| phrase.last()).is_some_and(is_letter) {
            return (phrases, is_open);
        }
        if phrases.len() > 1 || phrases[0].len() > 1 {
            phrases.last_mut().and_then(Vec::pop);
            phrases.retain(|phrase| !phrase.is_empty());
        }
        (phrases, false)
    }

    /// As a query of FTS5. A text must also have one of the words in `markers`, which is not empty.
    pub(super) fn fts5(&self, strictness: Strictness, markers: &[String]) -> String {
        let (phrases, is_open) = self.parts(strictness);
        let phrases = phrases.iter().map(|phrase| format!(" AND \"{}\"", phrase.join(" ")));
        let markers: Vec<String> = markers.iter().map(|marker| format!("\"{marker}\"")).collect();
        let marker = if markers.len() == 1 { markers.concat() } else { format!("({})", markers.join(" OR ")) };
        format!("{marker}{}{}", phrases.collect::<String>(), if is_open { " *" } else { "" })
    }

    /// In the language of PostgreSQL's `tsquery`.
    pub(super) fn tsquery(&self, strictness: Strictness) -> String {
        let (phrases, is_open) = self.parts(strictness);
        let phrase =
            |phrase: &Vec<String>| phrase.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" <-> ");
        let mut phrases: Vec<String> = phrases.iter().map(phrase).collect();
        if is_open && let Some(last) = phrases.last_mut() {
            last.push_str(":*");
        }
        phrases.iter().map(|phrase| format!("({phrase})")).collect::<Vec<_>>().join(" & ")
    }

    /// For each word of a text: the index of the query's phrase that it matches, or `None`.
    pub(super) fn matches(&self, text: &[Word]) -> Vec<Option<usize>> {
        let mut matches = vec![None; text.len()];
        for (number, phrase) in self.phrases.iter().enumerate() {
            let is_open = self.last_is_open && number == self.phrases.len() - 1;
            for start in 0..(text.len() + 1).saturating_sub(phrase.len()) {
                let is_match = phrase.iter().enumerate().all(|(index, word)| {
                    let found = &text[start + index].word;
                    found == word || (is_open && index == phrase.len() - 1 && found.starts_with(word.as_str()))
                });
                if is_match {
                    matches[start..start + phrase.len()].fill(Some(number));
                }
            }
        }
        matches
    }
}

fn phrase(text: &str) -> Vec<String> {
    words(text).into_iter().map(|word| word.word).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        Strictness::{Any, InOrder, WholeWords},
        *,
    };

    fn fts5(text: &str) -> String {
        Query::parse(text).map(|query| query.fts5(Any, &["_m".to_owned()])).unwrap_or_default()
    }

    fn tsquery(text: &str) -> String {
        Query::parse(text).map(|query| query.tsquery(Any)).unwrap_or_default()
    }

    #[test]
    fn all_words_must_occur_and_the_last_may_be_a_beginning() {
        assert_eq!(fts5("Créme brul"), r#""_m" AND "creme" AND "brul" *"#);
        assert_eq!(tsquery("Créme brul"), "('creme') & ('brul':*)");
    }

    #[test]
    fn one_of_several_markers_must_occur() {
        let query = Query::parse("brul").expect("it has a word");
        assert_eq!(query.fts5(Any, &["_a".to_owned(), "_b".to_owned()]), r#"("_a" OR "_b") AND "brul" *"#);
    }

    #[test]
    fn quoted_words_follow_each_other() {
        assert_eq!(fts5(r#"a "big red" b"#), r#""_m" AND "a" AND "big red""#, "one letter is not searched for yet");
        assert_eq!(fts5(r#"say "big red""#), r#""_m" AND "say" AND "big red""#);
        assert_eq!(tsquery(r#"say "big red""#), "('say') & ('big' <-> 'red')");
        assert_eq!(tsquery(r#""big re"#), "('big' <-> 're':*)", "the quote is still open");
        assert_eq!(tsquery("e-mail"), "('e' <-> 'mail':*)", "so do the parts of a word");
        assert_eq!(tsquery("東京"), "('東' <-> '京')");
    }

    #[test]
    fn a_single_letter_matches_a_whole_word_if_it_is_alone() {
        assert_eq!(tsquery("c"), "('c')");
        assert_eq!(tsquery("vitamin c"), "('vitamin')");
        let query = Query::parse("vitamin c").expect("it has words");
        assert_eq!(query.tsquery(WholeWords), "('vitamin') & ('c')");
        assert_eq!(query.tsquery(InOrder), "('vitamin' <-> 'c')");
    }

    #[test]
    fn operators_are_words_or_nothing() {
        assert_eq!(
            fts5("AND OR NOT NEAR(x y) col:foo"),
            r#""_m" AND "and" AND "or" AND "not" AND "near x" AND "y" AND "col foo" *"#
        );
        assert_eq!(tsquery("one' | !two:* <-> \\"), "('one') & ('two':*)");
        for text in ["", "  ", "\"", "\"\"", "***", ":", "()", "'"] {
            assert_eq!(Query::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_words_of_a_text_that_match_are_found() {
        let matches = |query: &str, text: &str| {
            let found = Query::parse(query).expect("it has words").matches(&words(text));
            found.into_iter().map(|phrase| phrase.map_or('-', |_| 'x')).collect::<String>()
        };
        assert_eq!(matches("red \"big\"", "A big, red bigger reddish"), "-xx--");
        assert_eq!(matches("red bi", "A big, red bigger reddish"), "-xxx-");
        assert_eq!(matches("\"big red\"", "big blue big red"), "--xx");
        assert_eq!(matches("absent", ""), "");
    }

    proptest! {
        #[test]
        fn no_input_leaves_its_quotes(text in any::<String>()) {
            if let Some(query) = Query::parse(&text) {
                for strictness in [Any, WholeWords, InOrder] {
                    let outside: String = query.fts5(strictness, &["_m".to_owned()]).split('"').step_by(2).collect();
                    prop_assert!(outside.replace(" AND ", "").trim_end_matches(" *").is_empty(), "{}", outside);
                    let outside: String = query.tsquery(strictness).split('\'').step_by(2).collect();
                    prop_assert!(outside.chars().all(|c| "()<->&:* ".contains(c)), "{}", outside);
                }
            }
        }
    }
}
