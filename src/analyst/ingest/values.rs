//! Parses cells: tokens, times, latencies, money. Each error quotes the cell.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::columns::Unit;

/// Largest plausible token count of one request; a row with more is bad.
const MAX_TOKENS: f64 = 100_000_000.0;

/// Parses a token count, a whole number; `Ok(None)` for an empty cell. `what` names the column in errors.
pub(crate) fn parse_tokens(cell: &str, what: &str) -> Result<Option<u32>, String> {
    let cell = cell.trim();
    if is_empty(cell) {
        return Ok(None);
    }
    match cell.parse::<f64>() {
        Ok(n) if n < 0.0 => Err(format!("{what} is negative: {}", quote_cell(cell))),
        Ok(n) if n > MAX_TOKENS => Err(format!("{what} is impossibly large: {}", quote_cell(cell))),
        Ok(n) if n.fract() == 0.0 => Ok(Some(n as u32)),
        _ => Err(format!("{what} is not a whole number: {}", quote_cell(cell))),
    }
}

/// Parses a number of at least 0; `Ok(None)` for an empty cell. Ignores a leading `$`; `decimal_comma` reads `1,5` as 1.5.
pub(crate) fn parse_number(cell: &str, what: &str, decimal_comma: bool) -> Result<Option<f64>, String> {
    let cell = cell.trim().trim_start_matches('$');
    if is_empty(cell) {
        return Ok(None);
    }
    let parsed = if decimal_comma { cell.replace(',', ".").parse::<f64>() } else { cell.parse::<f64>() };
    match parsed {
        Ok(n) if n.is_finite() && n >= 0.0 => Ok(Some(n)),
        Ok(_) => Err(format!("{what} is negative or not finite: {}", quote_cell(cell))),
        Err(_) => Err(format!("{what} is not a number: {}", quote_cell(cell))),
    }
}

/// Parses a time to milliseconds since 1970; `Ok(None)` for an empty cell. Text without an offset is UTC. A number is a Unix
/// time whose unit follows from its size; a number under 10^8 is relative to the start of the log, in the unit that the
/// column's name states, else in seconds.
pub(crate) fn parse_time_ms(cell: &str, unit: Option<Unit>) -> Result<Option<i64>, String> {
    let cell = cell.trim();
    if is_empty(cell) {
        return Ok(None);
    }
    if let Ok(n) = cell.parse::<f64>() {
        let ms = match n.abs() {
            size if size < 1e8 => n * unit.unwrap_or(Unit::Seconds).in_ms(),
            size if size < 1e11 => n * 1e3,
            size if size < 1e14 => n,
            size if size < 1e17 => n / 1e3,
            size if size < 1e20 => n / 1e6,
            _ => return Err(format!("time is out of range: {}", quote_cell(cell))),
        };
        return Ok(Some(ms as i64));
    }
    if let Ok(timestamp) = cell.parse::<Timestamp>() {
        return Ok(Some(timestamp.as_millisecond()));
    }
    let plain = cell.trim_end_matches("UTC").trim_end().replace('/', "-");
    plain
        .parse::<DateTime>()
        .ok()
        .and_then(|civil| civil.to_zoned(TimeZone::UTC).ok())
        .map(|zoned| Some(zoned.timestamp().as_millisecond()))
        .ok_or_else(|| format!("time is not understood: {} (write it like 2026-01-31T12:00:00Z)", quote_cell(cell)))
}

fn is_empty(cell: &str) -> bool {
    cell.is_empty() || ["null", "none", "nan", "n/a", "-"].iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// A cell for an error: quoted, cut to 40 characters.
pub(crate) fn quote_cell(cell: &str) -> String {
    let short: String = cell.chars().take(40).collect();
    if short.len() < cell.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_common_format() {
        let noon = 1_700_136_000_000;
        for cell in [
            "2023-11-16 12:00:00.0000000",
            "2023-11-16T12:00:00Z",
            "2023-11-16 12:00:00 UTC",
            "2023-11-16T14:00:00+02:00",
            "2023/11/16 12:00:00",
            "1700136000",
            "1700136000000",
            "1700136000000000",
            "1700136000000000000",
            "2023-11-16 12:00:00+00:00",
        ] {
            assert_eq!(parse_time_ms(cell, None), Ok(Some(noon)), "{cell}");
        }
        assert_eq!(parse_time_ms("2023-11-16 18:17:03.9799600", None), Ok(Some(1_700_158_623_979)));
        assert_eq!(parse_time_ms("27482", Some(Unit::Millis)), Ok(Some(27_482)));
        assert!(parse_time_ms("yesterday", None).is_err());
    }

    #[test]
    fn tokens_are_whole_and_not_negative() {
        assert_eq!(parse_tokens(" 12 ", "x"), Ok(Some(12)));
        assert_eq!(parse_tokens("12.0", "x"), Ok(Some(12)));
        assert_eq!(parse_tokens("", "x"), Ok(None));
        for cell in ["-1", "1.5", "abc", "1e300", "NaN1"] {
            assert!(parse_tokens(cell, "x").is_err(), "{cell}");
        }
    }

    #[test]
    fn money_may_have_a_dollar_sign_and_a_decimal_comma() {
        assert_eq!(parse_number("$0.25", "cost", false), Ok(Some(0.25)));
        assert_eq!(parse_number("0,25", "cost", true), Ok(Some(0.25)));
        assert!(parse_number("-3", "cost", false).is_err());
    }
}
