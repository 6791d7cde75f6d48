//! The quantities of a question: percent, factors, money, months, and periods of growth.

use super::{periods::number, text::contains_any};
use crate::analyst::forecast::MONTH_DAYS;

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
    /// An amount of money, with its currency (ISO 4217).
    pub(super) money: Option<(f64, &'static str)>,
    /// The months for which that amount is, if the words after it say so: 12 for "$60k a year".
    pub(super) money_months: Option<f64>,
    /// A number of months; a year is 12.
    pub(super) months: Option<u32>,
    /// A factor in words: `twice`.
    pub(super) times_in_words: Option<f64>,
    /// Whether a half is stated.
    half: Option<()>,
}

impl Quantities {
    /// Parses a clause; of several quantities of one kind, the last one counts.
    pub(super) fn parse(clause: &str) -> Self {
        let mut quantities = Self {
            times_in_words: FACTOR_WORDS.iter().find(|(words, _)| contains_any(clause, words)).map(|(_, times)| *times),
            months: MONTH_WORDS.iter().find(|(words, _)| contains_any(clause, words)).map(|(_, months)| *months),
            half: contains_any(clause, "halv*|half").then_some(()),
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
        let (thousands, after) = [('k', 1e3), ('m', 1e6)]
            .into_iter()
            .find_map(|(letter, factor)| {
                let rest = after.strip_prefix(letter)?;
                (!rest.starts_with(char::is_alphanumeric)).then_some((factor, rest))
            })
            .unwrap_or((1.0, after));
        let word = after.trim_start();
        let starts_with = |words: &[&str]| {
            words.iter().any(|w| word.strip_prefix(w).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)))
        };
        if word.starts_with('%') || starts_with(&["percent", "per cent"]) {
            self.percent = Some(value / 100.0);
        } else if starts_with(&["x", "times", "fold", "×"]) || word.starts_with("-fold") {
            self.times = Some(value);
        } else if let Some(currency) = currency(before, word) {
            self.money = Some((value * thousands, currency));
            let next: Vec<&str> = word.split_whitespace().take(3).collect();
            self.money_months = repetition(&next.join(" "), false).map(|(months, _)| months);
        } else if starts_with(&["months", "month"]) {
            self.months = Some(value as u32);
        } else if starts_with(&["years", "year"]) {
            self.months = Some(value as u32 * 12);
        } else if starts_with(&["quarters", "quarter"]) {
            self.months = Some(value as u32 * 3);
        }
    }

    /// The factor of "3x faster" or "50 % faster". With `less`, a percentage reduces the time: "50 % less latency"
    /// is twice as fast.
    pub(super) fn times_faster(&self, less: bool) -> Option<f64> {
        let by = self.percent.map(|by| if less { 1.0 / (1.0 - by) } else { 1.0 + by });
        let by = by.or(self.half.filter(|_| less).map(|()| 2.0));
        self.times.or(self.times_in_words).or(by).filter(|factor| *factor > 1.0 && factor.is_finite())
    }

    /// The growth of "50 % growth" or "2x traffic", as a share.
    pub(super) fn growth(&self) -> Option<f64> {
        self.percent.or(self.times.or(self.times_in_words).map(|times| times - 1.0)).filter(|by| *by > 0.0)
    }
}

/// Currencies: the signs and words for each, and its ISO 4217 code.
const CURRENCIES: &[(&str, &str)] = &[
    ("$ usd dollars dollar bucks us$", "USD"),
    ("€ eur euros euro", "EUR"),
    ("£ gbp pounds pound sterling", "GBP"),
    ("¥ jpy yen", "JPY"),
    ("chf francs franc", "CHF"),
    ("₹ inr rupees rupee", "INR"),
    ("cny yuan rmb", "CNY"),
    ("sek kronor", "SEK"),
    ("pln zloty", "PLN"),
    ("cad", "CAD"),
    ("aud", "AUD"),
];

/// The currency of a number, by the sign or word before or after it.
fn currency(before: &str, after: &str) -> Option<&'static str> {
    let sign = |name: &&str| !name.starts_with(char::is_alphanumeric);
    CURRENCIES.iter().find_map(|(names, code)| {
        let names = || names.split(' ');
        let stated = names().any(|name| {
            let last_word = before.rsplit(|c: char| !c.is_alphanumeric()).next();
            let next_word = after.split(|c: char| !c.is_alphanumeric()).next();
            if sign(&name) {
                before.ends_with(name) || after.starts_with(name)
            } else {
                [last_word, next_word].contains(&Some(name))
            }
        });
        stated.then_some(*code)
    })
}

/// Finds after how many months something repeats: 3 for "every quarter", 6 for "every 6 months"; also the words that
/// say so. With `strict`, only "each" and "every" count: the month of "$80 a month" is not that of growth.
pub(super) fn repetition(clause: &str, strict: bool) -> Option<(f64, String)> {
    const UNITS: [(&str, f64); 5] =
        [("month", 1.0), ("quarter", 3.0), ("year", 12.0), ("week", 7.0 / MONTH_DAYS), ("day", 1.0 / MONTH_DAYS)];
    const ADVERBS: [(&str, f64); 5] =
        [("monthly", 1.0), ("quarterly", 3.0), ("yearly", 12.0), ("annually", 12.0), ("weekly", 7.0 / MONTH_DAYS)];
    if contains_any(clause, "month over month") {
        return Some((1.0, "month over month".into()));
    }
    if let Some((word, months)) = ADVERBS.into_iter().find(|(word, _)| !strict && contains_any(clause, word)) {
        return Some((months, word.into()));
    }
    let words: Vec<&str> =
        clause.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())).collect();
    words.iter().enumerate().find_map(|(at, word)| {
        if !matches!(*word, "each" | "every") && (strict || !matches!(*word, "a" | "per")) {
            return None;
        }
        let count = words.get(at + 1).and_then(|word| number(word)).filter(|_| *word == "every");
        let unit = words.get(at + 1 + usize::from(count.is_some()))?;
        let (_, months) = UNITS.into_iter().find(|(name, _)| unit.strip_suffix('s').unwrap_or(unit) == *name)?;
        let phrase = words[at..=at + 1 + usize::from(count.is_some())].join(" ");
        Some((months * count.unwrap_or(1) as f64, phrase))
    })
}
