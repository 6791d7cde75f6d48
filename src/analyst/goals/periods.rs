//! Periods in a question: `last week`, `on 3 March`, `in October`, `since 2026-01-05`.

use jiff::civil::{Date, Weekday};
use serde::Serialize;

use super::text::contains_any;

const MONTHS: [&str; 12] = [
    "january|jan",
    "february|feb",
    "march|mar",
    "april|apr",
    "may",
    "june|jun",
    "july|jul",
    "august|aug",
    "september|sep|sept",
    "october|oct",
    "november|nov",
    "december|dec",
];

const WEEKDAYS: [&str; 7] = [
    "monday|mondays",
    "tuesday|tuesdays",
    "wednesday|wednesdays",
    "thursday|thursdays",
    "friday|fridays",
    "saturday|saturdays",
    "sunday|sundays",
];

/// Most days of a period such as `last 90 days`.
const MAX_DAYS: i64 = 10_000;

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

/// A date whose year may not be stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PartialDate {
    /// The year.
    pub year: Option<i16>,
    /// The month, from 1.
    pub month: i8,
    /// The day of the month, from 1.
    pub day: i8,
}

/// A period of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// One day.
    Day(PartialDate),
    /// From one day to another, both included; open where not stated.
    Range(Option<PartialDate>, Option<PartialDate>),
    /// A month.
    Month {
        /// Its year, if stated.
        year: Option<i16>,
        /// From 1.
        month: i8,
    },
    /// A year.
    Year(i16),
    /// The unit before the one in which the log ends: `yesterday`, `last week`.
    Previous(Unit),
    /// The unit in which the log ends: `today`, `this week`.
    This(Unit),
    /// The last days of the log.
    LastDays(i64),
    /// Certain days of the week: from Monday, whether it counts.
    Weekdays([bool; 7]),
}

/// Days of a period: the first and the last, both included, and which days of the week count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    /// First day, as days since 1970.
    pub first: i64,
    /// Last day, as days since 1970.
    pub last: i64,
    /// From Monday, whether it counts.
    pub weekdays: [bool; 7],
}

impl Days {
    /// Whether a day, in days since 1970, belongs to it.
    pub fn contains(&self, day: i64) -> bool {
        // 1 January 1970 was a Thursday.
        (self.first..=self.last).contains(&day) && self.weekdays[(day + 3).rem_euclid(7) as usize]
    }
}

/// A date as days since 1970.
pub fn day_number(date: Date) -> i64 {
    date.since(Date::constant(1970, 1, 1)).map_or(0, |span| i64::from(span.get_days()))
}

/// The date of a number of days since 1970.
pub fn date_of(day: i64) -> Date {
    let days = jiff::Span::new().try_days(day).unwrap_or_default();
    Date::constant(1970, 1, 1).checked_add(days).unwrap_or(Date::MIN)
}

impl PartialDate {
    /// The latest such date not after `end`, or the one of the stated year.
    fn resolve(self, end: Date) -> Option<Date> {
        match self.year {
            Some(year) => Date::new(year, self.month, self.day).ok(),
            None => (0..8)
                .find_map(|back| Date::new(end.year() - back, self.month, self.day).ok().filter(|date| *date <= end)),
        }
    }
}

impl Period {
    /// The days of the period, counted back from the last day of the log where it is relative; `None` for a date
    /// that does not exist.
    pub fn resolve(&self, last_day: i64) -> Option<Days> {
        let end = date_of(last_day);
        let span =
            |first: Date, last: Date| Days { first: day_number(first), last: day_number(last), weekdays: [true; 7] };
        let days = |first, last| Days { first, last, weekdays: [true; 7] };
        let month_of = |first: Date| span(first, first.last_of_month());
        let monday = last_day - (last_day + 3).rem_euclid(7);
        Some(match self {
            Self::Day(date) => date.resolve(end).map(|date| span(date, date))?,
            Self::Range(from, to) => {
                let first = match from {
                    Some(date) => day_number(date.resolve(end)?),
                    None => i64::MIN,
                };
                let last = match to {
                    Some(date) => day_number(date.resolve(end)?),
                    None => i64::MAX,
                };
                days(first, last)
            }
            Self::Month { year, month } => month_of(PartialDate { year: *year, month: *month, day: 1 }.resolve(end)?),
            Self::Year(year) => span(Date::new(*year, 1, 1).ok()?, Date::new(*year, 12, 31).ok()?),
            Self::This(Unit::Day) => days(last_day, last_day),
            Self::Previous(Unit::Day) => days(last_day - 1, last_day - 1),
            Self::This(Unit::Week) => days(monday, monday + 6),
            Self::Previous(Unit::Week) => days(monday - 7, monday - 1),
            Self::This(Unit::Month) => month_of(end.first_of_month()),
            Self::Previous(Unit::Month) => month_of(end.first_of_month().yesterday().ok()?.first_of_month()),
            Self::This(Unit::Year) => span(end.first_of_year(), end.last_of_year()),
            Self::Previous(Unit::Year) => {
                let last = end.first_of_year().yesterday().ok()?;
                span(last.first_of_year(), last)
            }
            Self::LastDays(count) => days(last_day - count + 1, last_day),
            Self::Weekdays(weekdays) => Days { first: i64::MIN, last: i64::MAX, weekdays: *weekdays },
        })
    }

    /// Whether it is counted from the end of the log.
    pub fn is_relative(&self) -> bool {
        matches!(self, Self::Previous(_) | Self::This(_) | Self::LastDays(_))
    }

    /// The period that a clause in lower case names.
    pub fn find(clause: &str) -> Option<Self> {
        Self::find_words(clause).map(|(period, _)| period)
    }

    /// The period that a clause in lower case names, and the words that name it; see [`Self::find`].
    pub fn find_words(clause: &str) -> Option<(Self, Vec<String>)> {
        let words: Vec<&str> =
            clause.split(|c: char| !(c.is_alphanumeric() || c == '-')).filter(|word| !word.is_empty()).collect();
        range(&words)
            .or_else(|| single(&words))
            .or_else(|| relative(clause, &words))
            .or_else(|| weekdays(clause, &words))
    }
}

/// `from 3 march to 7 march`, `between 2026-01-05 and 2026-01-07`, `since 3 march`, `until 3 march`.
fn range(words: &[&str]) -> Option<(Period, Vec<String>)> {
    let position = |names: &[&str], from: usize| (from..words.len()).find(|&at| names.contains(&words[at]));
    let quote = |from: usize, to: usize| words[from..to].iter().map(|word| (*word).to_owned()).collect();
    if let Some(start) = position(&["between", "from"], 0)
        && let Some((from, used)) = date_at(words, start + 1)
        && let Some(link) = position(&["and", "to", "until", "till"], start + 1 + used)
        && let Some((to, end)) = date_at(words, link + 1)
    {
        return Some((Period::Range(Some(from), Some(to)), quote(start, link + 1 + end)));
    }
    let open = |names: &[&str], make: fn(PartialDate) -> Period| {
        let start = position(names, 0)?;
        let (date, used) = date_at(words, start + 1)?;
        Some((make(date), quote(start, start + 1 + used)))
    };
    open(&["since", "from", "after"], |date| Period::Range(Some(date), None))
        .or_else(|| open(&["until", "till", "before"], |date| Period::Range(None, Some(date))))
}

/// A single date, month or year anywhere in the words.
fn single(words: &[&str]) -> Option<(Period, Vec<String>)> {
    let quote = |from: usize, count: usize| words[from..from + count].iter().map(|word| (*word).to_owned()).collect();
    for at in 0..words.len() {
        if let Some((date, used)) = date_at(words, at) {
            return Some((Period::Day(date), quote(at, used)));
        }
    }
    for (at, word) in words.iter().enumerate() {
        // "may" and "march" are also verbs: a month follows a preposition.
        let stated = at > 0 && ["in", "during", "of", "for", "this", "last", "since"].contains(&words[at - 1]);
        if let Some(month) = month_of(word).filter(|_| stated || word.len() > 5) {
            let year = words.get(at + 1).and_then(|word| year_of(word));
            return Some((Period::Month { year, month }, quote(at, 1 + usize::from(year.is_some()))));
        }
        if let Some(year) = year_of(word).filter(|_| stated) {
            return Some((Period::Year(year), quote(at, 1)));
        }
    }
    None
}

/// `yesterday`, `last week`, `the last 7 days`.
fn relative(clause: &str, words: &[&str]) -> Option<(Period, Vec<String>)> {
    for (at, word) in words.iter().enumerate() {
        if !matches!(*word, "last" | "past" | "previous") {
            continue;
        }
        let count = words.get(at + 1).and_then(|word| number(word));
        let unit = words.get(at + 1 + usize::from(count.is_some())).and_then(|word| unit_of(word));
        match (count, unit) {
            (Some(count), Some(unit)) => {
                let days = match unit {
                    Unit::Day => 1,
                    Unit::Week => 7,
                    Unit::Month => 30,
                    Unit::Year => 365,
                };
                let quote = words[at..at + 3].iter().map(|word| (*word).to_owned()).collect();
                return Some((Period::LastDays((count * days).clamp(1, MAX_DAYS)), quote));
            }
            (None, Some(unit)) => {
                return Some((Period::Previous(unit), vec![(*word).to_owned(), words[at + 1].to_owned()]));
            }
            _ => {}
        }
    }
    let known: [(&str, Period); 6] = [
        ("yesterday", Period::Previous(Unit::Day)),
        ("today", Period::This(Unit::Day)),
        ("this week", Period::This(Unit::Week)),
        ("this month", Period::This(Unit::Month)),
        ("this year", Period::This(Unit::Year)),
        ("past week", Period::LastDays(7)),
    ];
    known
        .into_iter()
        .find(|(phrase, _)| contains_any(clause, phrase))
        .map(|(phrase, period)| (period, phrase.split(' ').map(str::to_owned).collect()))
}

/// `on mondays`, `at weekends`.
fn weekdays(clause: &str, words: &[&str]) -> Option<(Period, Vec<String>)> {
    if contains_any(clause, "weekend|weekends") {
        return Some((
            Period::Weekdays([false, false, false, false, false, true, true]),
            vec!["weekend".into(), "weekends".into()],
        ));
    }
    if contains_any(clause, "weekdays|working days|workdays") {
        return Some((
            Period::Weekdays([true, true, true, true, true, false, false]),
            vec!["weekdays".into(), "workdays".into(), "working".into()],
        ));
    }
    let mut days = [false; 7];
    let mut quote = Vec::new();
    for word in words {
        if let Some(day) = WEEKDAYS.iter().position(|names| names.split('|').any(|name| name == *word)) {
            days[day] = true;
            quote.push((*word).to_owned());
        }
    }
    (!quote.is_empty()).then_some((Period::Weekdays(days), quote))
}

/// A date that begins at a word, and how many words it has: `3 march 2026`, `march 3rd`, `2026-03-03`.
fn date_at(words: &[&str], at: usize) -> Option<(PartialDate, usize)> {
    let word = words.get(at)?;
    if let Ok(date) = word.parse::<Date>() {
        return Some((PartialDate { year: Some(date.year()), month: date.month(), day: date.day() }, 1));
    }
    let day_of = |word: &&str| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let ending = &word[digits.len()..];
        let day = digits.parse::<i8>().ok().filter(|day| (1..=31).contains(day))?;
        ["", "st", "nd", "rd", "th"].contains(&ending).then_some(day)
    };
    let of = usize::from(words.get(at + 1) == Some(&"of"));
    let (month, day, used) = match (month_of(word), day_of(word)) {
        (Some(month), _) => (month, words.get(at + 1).and_then(day_of)?, 2),
        (None, Some(day)) => (words.get(at + 1 + of).and_then(|word| month_of(word))?, day, 2 + of),
        (None, None) => return None,
    };
    let year = words.get(at + used).and_then(|word| year_of(word));
    Some((PartialDate { year, month, day }, used + usize::from(year.is_some())))
}

fn month_of(word: &str) -> Option<i8> {
    let at = MONTHS.iter().position(|names| names.split('|').any(|name| name == word))?;
    i8::try_from(at + 1).ok()
}

fn year_of(word: &str) -> Option<i16> {
    word.parse().ok().filter(|year| (2000..2100).contains(year))
}

fn unit_of(word: &str) -> Option<Unit> {
    Some(match word.trim_end_matches('s') {
        "day" => Unit::Day,
        "week" => Unit::Week,
        "month" => Unit::Month,
        "year" => Unit::Year,
        _ => return None,
    })
}

/// A small whole number, in digits or as a word.
pub(super) fn number(word: &str) -> Option<i64> {
    const WORDS: [&str; 13] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    let in_words = WORDS.iter().position(|name| *name == word).and_then(|n| i64::try_from(n).ok());
    word.parse().ok().or(in_words).filter(|n| (1..=MAX_DAYS).contains(n))
}

/// A weekday's name.
pub fn weekday_name(weekday: Weekday) -> &'static str {
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
        [usize::try_from(weekday.to_monday_zero_offset()).unwrap_or(0).min(6)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The days of a period for a log that ends on Wednesday, 14 January 2026.
    fn days(text: &str) -> Option<(String, String)> {
        let days = Period::find(text)?.resolve(day_number(Date::constant(2026, 1, 14)))?;
        Some((date_of(days.first).to_string(), date_of(days.last).to_string()))
    }

    #[test]
    fn periods_are_found_and_counted_from_the_end_of_the_log() {
        for (text, first, last) in [
            ("how much did we spend last week", "2026-01-05", "2026-01-11"),
            ("what did we spend this week", "2026-01-12", "2026-01-18"),
            ("cost yesterday", "2026-01-13", "2026-01-13"),
            ("cost in the last 7 days", "2026-01-08", "2026-01-14"),
            ("cost over the past two weeks", "2026-01-01", "2026-01-14"),
            ("how much did we spend on 3 march", "2025-03-03", "2025-03-03"),
            ("cost on march 3rd, 2026", "2026-03-03", "2026-03-03"),
            ("cost on the 5th of january", "2026-01-05", "2026-01-05"),
            ("what did october cost", "2025-10-01", "2025-10-31"),
            ("cost in may", "2025-05-01", "2025-05-31"),
            ("cost in january 2026", "2026-01-01", "2026-01-31"),
            ("cost last month", "2025-12-01", "2025-12-31"),
            ("cost in 2025", "2025-01-01", "2025-12-31"),
            ("cost between 5 january and 7 january", "2026-01-05", "2026-01-07"),
            ("cost from 2026-01-05 to 2026-01-07", "2026-01-05", "2026-01-07"),
        ] {
            assert_eq!(days(text), Some((first.into(), last.into())), "{text}");
        }
        for text in ["may we spend more", "top 5 teams", "what is our p95 latency", "march on"] {
            assert_eq!(Period::find(text), None, "{text}");
        }
    }

    #[test]
    fn days_of_the_week_are_kept() {
        let days = Period::find("cost on mondays").and_then(|period| period.resolve(0)).expect("a period");
        let of = |y, m, d| day_number(Date::constant(y, m, d));
        assert!(days.contains(of(2026, 1, 12)) && !days.contains(of(2026, 1, 13)));
        assert_eq!((day_number(Date::constant(1970, 1, 2)), date_of(20_467).to_string()), (1, "2026-01-14".into()));
    }
}
