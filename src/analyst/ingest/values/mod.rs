//! The values of cells: numbers, money, times; and how the cells of a column show how it writes them.

mod evidence;
mod numbers;
mod times;

use serde::{Deserialize, Serialize};

pub(super) use self::{
    evidence::FormatEvidence,
    numbers::{MAX_COUNT, Money, currency_code, parse_count, parse_duration, parse_money, parse_number},
    times::{parse_time_ms, parse_zone},
};

/// The unit of a time or latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
}

impl Unit {
    /// Milliseconds in one of this unit.
    pub fn in_ms(self) -> f64 {
        match self {
            Self::Nanos => 1e-6,
            Self::Micros => 1e-3,
            Self::Millis => 1.0,
            Self::Seconds => 1e3,
            Self::Minutes => 6e4,
        }
    }
}

/// The character before the decimals of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decimal {
    /// `1.5`; commas separate thousands.
    Point,
    /// `1,5`; points separate thousands.
    Comma,
}

/// The order of day and month in a date such as `03/04/2026`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DateOrder {
    /// 3 April.
    DayFirst,
    /// 4 March.
    MonthFirst,
}

/// How a column writes its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnFormat {
    /// The decimal separator, if any cell shows it.
    pub decimal: Option<Decimal>,
    /// The order of day and month, if the cells show it.
    pub dates: Option<DateOrder>,
    /// Whether its numbers are dates as spreadsheets count them: days since the end of 1899.
    pub serial_days: bool,
}

/// Whether a cell stands for no value.
pub(super) fn is_empty(cell: &str) -> bool {
    cell.is_empty()
        || ["null", "none", "nan", "n/a", "na", "-", "–", "\\N", "undefined"]
            .iter()
            .any(|word| cell.eq_ignore_ascii_case(word))
}

/// A cell for an error: quoted, cut to 40 characters.
pub(super) fn quote_cell(cell: &str) -> String {
    let short: String = cell.chars().take(40).collect();
    if short.len() < cell.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

/// Whether the cell of a column that states errors (`error`, `is_error`, `failed`) says that the request failed: a truth value,
/// a code, or the words of an error; an empty cell is no error.
pub(super) fn is_error(cell: &str) -> Option<bool> {
    let cell = cell.trim().to_ascii_lowercase();
    match (cell.as_str(), cell.parse::<f64>()) {
        ("true" | "yes" | "t" | "y" | "1", _) => Some(true),
        ("false" | "no" | "f" | "n" | "0" | "[]" | "{}", _) => Some(false),
        (text, _) if is_empty(text) => Some(false),
        // Another small number is a count.
        (_, Ok(number)) if number < 100.0 => None,
        (text, _) => Some(is_failure(text).unwrap_or(true)),
    }
}

/// Whether the cell of a column that states success says that the request failed.
pub(super) fn is_no_success(cell: &str) -> Option<bool> {
    match cell.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "t" => Some(false),
        "0" | "no" | "n" | "f" => Some(true),
        text => is_failure(text),
    }
}

/// Whether a status says that the request failed; `None` for a status that is not known.
pub(super) fn is_failure(status: &str) -> Option<bool> {
    let status = status.trim().to_ascii_lowercase();
    if let Ok(code) = status.parse::<u16>() {
        return match code {
            0..=1 => None,
            code => Some(!(200..400).contains(&code)),
        };
    }
    let starts = |words: &[&str]| words.iter().any(|word| status.starts_with(word));
    match () {
        () if starts(&["success", "ok", "complete", "succeed", "finished", "true"]) => Some(false),
        () if starts(&[
            "fail",
            "error",
            "timeout",
            "cancel",
            "abort",
            "rate",
            "refused",
            "exception",
            "false",
            "overload",
            "throttl",
            "unavailable",
            "denied",
            "rejected",
        ]) =>
        {
            Some(true)
        }
        () => None,
    }
}
