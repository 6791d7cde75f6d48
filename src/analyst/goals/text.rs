//! The text of a question: clauses, phrases, model names, and quantities (percent, factors, dollars, months).

use crate::analyst::pricing::PriceTable;

/// Lower-cases a text, replaces typographic apostrophes, and turns `5,000` into `5000`.
pub(super) fn normalize(text: &str) -> String {
    let chars: Vec<char> = text.to_lowercase().replace(['’', '‘'], "'").chars().collect();
    let is_digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
    let is_thousands_comma = |at: usize| {
        chars[at] == ','
            && is_digit(at.checked_sub(1))
            && (1..=3).all(|n| is_digit(Some(at + n)))
            && !is_digit(Some(at + 4))
    };
    chars.iter().enumerate().filter(|(at, _)| !is_thousands_comma(*at)).map(|(_, c)| *c).collect()
}

/// Splits a question at punctuation and conjunctions.
pub(super) fn split_clauses(lower: &str) -> Vec<&str> {
    let mut clauses = Vec::new();
    let mut start = 0;
    for (at, c) in lower.char_indices() {
        let next_is_space =
            lower[at + c.len_utf8()..].starts_with(|c: char| c.is_whitespace()) || at + c.len_utf8() == lower.len();
        if (matches!(c, ',' | '.' | ':') && next_is_space) || matches!(c, ';' | '?' | '!' | '\n') {
            clauses.push(&lower[start..at]);
            start = at + c.len_utf8();
        }
    }
    clauses.push(&lower[start..]);
    // "compare a and b" must stay whole: split at conjunctions only if each part has three words or more.
    clauses
        .into_iter()
        .flat_map(|clause| {
            let parts: Vec<&str> = clause
                .split(" and ")
                .flat_map(|part| part.split(" but "))
                .flat_map(|part| part.split(" while "))
                .collect();
            if parts.iter().all(|part| part.split_whitespace().count() >= 3) { parts } else { vec![clause] }
        })
        .filter(|clause| !clause.trim().is_empty())
        .collect()
}

/// Whether `clause` contains one of `phrases` (separated by `|`) as whole words; a final `*` matches any ending.
pub(super) fn contains_any(clause: &str, phrases: &str) -> bool {
    phrases.split('|').any(|phrase| contains_phrase(clause, phrase))
}

/// Whether `clause` contains `phrase` as whole words; a final `*` matches any ending.
fn contains_phrase(clause: &str, phrase: &str) -> bool {
    let (stem, any_ending) = phrase.strip_suffix('*').map_or((phrase, false), |stem| (stem, true));
    clause.match_indices(stem).any(|(at, _)| {
        let starts_word = clause[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let ends_word = clause[at + stem.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric());
        starts_word && (any_ending || ends_word)
    })
}

/// Finds the models of the table in a text, in order. Matches longer names first, so that `gpt-4o-mini` is not also `gpt-4o`.
pub(super) fn find_models(lower: &str, table: &PriceTable) -> Vec<String> {
    let mut names: Vec<(&str, &str)> =
        table.models().map(|name| (name.rsplit('/').next().unwrap_or(name), name)).collect();
    names.sort_by_key(|(bare, _)| std::cmp::Reverse(bare.len()));
    let mut text = lower.to_owned();
    let mut found: Vec<(usize, String)> = Vec::new();
    for (bare, name) in names.into_iter().filter(|(bare, _)| bare.contains(|c: char| c == '-' || c.is_ascii_digit())) {
        let is_name_char = |c: char| c.is_alphanumeric() || c == '-';
        while let Some(at) = text.match_indices(bare).map(|(at, _)| at).find(|&at| {
            let (before, after) = (text[..at].chars().next_back(), &text[at + bare.len()..]);
            let dotted = after.starts_with('.') && after[1..].starts_with(|c: char| c.is_ascii_digit());
            before.is_none_or(|c| !is_name_char(c)) && !after.starts_with(is_name_char) && !dotted
        }) {
            if !found.iter().any(|(_, known)| known == name) {
                found.push((at, name.to_owned()));
            }
            text.replace_range(at..at + bare.len(), &" ".repeat(bare.len()));
        }
    }
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

/// Factors in words.
const FACTOR_WORDS: &[(&str, f64)] = &[
    ("double*|twice|two times|two-fold", 2.0),
    ("triple*|three times", 3.0),
    ("quadruple*|four times", 4.0),
    ("five times", 5.0),
    ("ten times|tenfold", 10.0),
];

/// Periods in words, in months.
const MONTH_WORDS: &[(&str, u32)] = &[
    ("half a year|six months", 6),
    ("three months|next quarter", 3),
    ("next year|one year|for a year|twelve months", 12),
];

/// The quantities of a clause.
#[derive(Debug, Default)]
pub(super) struct Quantities {
    /// As a share: 0.5 for 50 %.
    pub(super) percent: Option<f64>,
    /// A factor in digits: `3x`.
    pub(super) times: Option<f64>,
    /// US dollars.
    pub(super) usd: Option<f64>,
    /// A number of months; a year is 12.
    pub(super) months: Option<u32>,
    /// A factor in words: `twice`.
    pub(super) times_in_words: Option<f64>,
}

impl Quantities {
    /// Parses a clause; of several quantities of one kind, the last one counts.
    pub(super) fn parse(clause: &str) -> Self {
        let mut quantities = Self {
            times_in_words: FACTOR_WORDS.iter().find(|(words, _)| contains_any(clause, words)).map(|(_, times)| *times),
            months: MONTH_WORDS.iter().find(|(words, _)| contains_any(clause, words)).map(|(_, months)| *months),
            ..Self::default()
        };
        let bytes = clause.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if !bytes[at].is_ascii_digit()
                || (at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'-' | b'.')))
            {
                at += 1;
                continue;
            }
            // A full stop belongs to the number only if a digit follows.
            let is_digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
            let end = (at..bytes.len())
                .find(|&i| !is_digit(i) && (bytes[i] != b'.' || !is_digit(i + 1)))
                .unwrap_or(bytes.len());
            if let Ok(value) = clause[at..end].parse::<f64>() {
                quantities.record(value, clause[..at].trim_end(), &clause[end..]);
            }
            at = end;
        }
        quantities
    }

    /// Stores a number by the words before and after it.
    fn record(&mut self, value: f64, before: &str, after: &str) {
        let (thousands, after) = match after.strip_prefix('k') {
            Some(rest) if !rest.starts_with(char::is_alphanumeric) => (1e3, rest),
            _ => (1.0, after),
        };
        let word = after.trim_start();
        let starts_with = |words: &[&str]| {
            words.iter().any(|w| word.strip_prefix(w).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)))
        };
        if word.starts_with('%') || starts_with(&["percent", "per cent"]) {
            self.percent = Some(value / 100.0);
        } else if starts_with(&["x", "times", "fold", "×"]) || word.starts_with("-fold") {
            self.times = Some(value);
        } else if before.ends_with('$') || starts_with(&["dollars", "dollar", "usd", "$", "bucks"]) {
            self.usd = Some(value * thousands);
        } else if starts_with(&["months", "month"]) {
            self.months = Some(value as u32);
        } else if starts_with(&["years", "year"]) {
            self.months = Some(value as u32 * 12);
        }
    }

    /// The factor of "3x faster" or "50 % faster". With `less`, a percentage reduces the time: "50 % less latency" is twice as
    /// fast.
    pub(super) fn times_faster(&self, less: bool) -> Option<f64> {
        let by = self.percent.map(|by| if less { 1.0 / (1.0 - by) } else { 1.0 + by });
        self.times.or(self.times_in_words).or(by).filter(|factor| *factor > 1.0 && factor.is_finite())
    }

    /// The growth of "50 % growth" or "2x traffic", as a share.
    pub(super) fn growth(&self) -> Option<f64> {
        self.percent.or(self.times.or(self.times_in_words).map(|times| times - 1.0)).filter(|by| *by > 0.0)
    }
}
