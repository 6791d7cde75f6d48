//! Cell values as numbers: tokens, times, latencies, money. Each refusal says what was found.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::columns::Unit;

/// Largest token count of one request that is believed; more is a bad row.
const MAX_TOKENS: f64 = 100_000_000.0;

/// A whole number of tokens; `Ok(None)` for an empty cell.
pub(crate) fn tokens(cell: &str, what: &str) -> Result<Option<u32>, String> {
    let cell = cell.trim();
    if is_empty(cell) {
        return Ok(None);
    }
    match cell.parse::<f64>() {
        Ok(n) if n < 0.0 => Err(format!("{what} is negative: {}", shown(cell))),
        Ok(n) if n > MAX_TOKENS => Err(format!("{what} is impossibly large: {}", shown(cell))),
        Ok(n) if n.fract() == 0.0 => Ok(Some(n as u32)),
        _ => Err(format!("{what} is not a whole number: {}", shown(cell))),
    }
}

/// A number of at least 0; `Ok(None)` for an empty cell. A leading `$` is money; `comma` reads `1,5` as 1.5.
pub(crate) fn number(cell: &str, what: &str, comma: bool) -> Result<Option<f64>, String> {
    let cell = cell.trim().trim_start_matches('$');
    if is_empty(cell) {
        return Ok(None);
    }
    let parsed = if comma { cell.replace(',', ".").parse::<f64>() } else { cell.parse::<f64>() };
    match parsed {
        Ok(n) if n.is_finite() && n >= 0.0 => Ok(Some(n)),
        Ok(_) => Err(format!("{what} is negative or not finite: {}", shown(cell))),
        Err(_) => Err(format!("{what} is not a number: {}", shown(cell))),
    }
}

/// A moment in milliseconds since 1970; `Ok(None)` for an empty cell. Text without an offset counts as UTC. A number
/// is an epoch in the unit its size shows; a number too small for that (under 10^8) counts from the log's own zero,
/// in the unit the column's name states, else seconds.
pub(crate) fn time_ms(cell: &str, unit: Option<Unit>) -> Result<Option<i64>, String> {
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
            _ => return Err(format!("time is out of range: {}", shown(cell))),
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
        .ok_or_else(|| format!("time is not understood: {} (write it like 2026-01-31T12:00:00Z)", shown(cell)))
}

fn is_empty(cell: &str) -> bool {
    cell.is_empty() || ["null", "none", "nan", "n/a", "-"].iter().any(|word| cell.eq_ignore_ascii_case(word))
}

/// A cell as an error shows it: quoted and cut.
pub(crate) fn shown(cell: &str) -> String {
    let short: String = cell.chars().take(40).collect();
    if short.len() < cell.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_common_spelling() {
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
            assert_eq!(time_ms(cell, None), Ok(Some(noon)), "{cell}");
        }
        assert_eq!(time_ms("2023-11-16 18:17:03.9799600", None), Ok(Some(1_700_158_623_979)));
        assert_eq!(time_ms("27482", Some(Unit::Millis)), Ok(Some(27_482)));
        assert!(time_ms("yesterday", None).is_err());
    }

    #[test]
    fn tokens_are_whole_and_not_negative() {
        assert_eq!(tokens(" 12 ", "x"), Ok(Some(12)));
        assert_eq!(tokens("12.0", "x"), Ok(Some(12)));
        assert_eq!(tokens("", "x"), Ok(None));
        for cell in ["-1", "1.5", "abc", "1e300", "NaN1"] {
            assert!(tokens(cell, "x").is_err(), "{cell}");
        }
    }

    #[test]
    fn money_may_carry_a_dollar_and_a_decimal_comma() {
        assert_eq!(number("$0.25", "cost", false), Ok(Some(0.25)));
        assert_eq!(number("0,25", "cost", true), Ok(Some(0.25)));
        assert!(number("-3", "cost", false).is_err());
    }
}
