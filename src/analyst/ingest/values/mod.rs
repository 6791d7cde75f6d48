//! The values of cells: numbers, money, times; and how the cells of a column show how it writes them.

mod evidence;
mod numbers;
mod times;

use serde::{Deserialize, Serialize};

pub(super) use self::{
    evidence::FormatEvidence,
    numbers::{Money, currency_code, parse_count, parse_money, parse_number},
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
        () if starts(&["fail", "error", "timeout", "cancel", "abort", "rate", "refused", "exception", "false"]) => {
            Some(true)
        }
        () => None,
    }
}
