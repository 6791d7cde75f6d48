//! Parses times. Each error quotes the cell.

use jiff::{Timestamp, civil, tz::TimeZone};

use super::{ColumnFormat, DateOrder, Unit, is_empty, quote_cell};

/// Parses a time to milliseconds since 1970; `Ok(None)` for an empty cell. Text without an offset is UTC, or `zone`. A number
/// is a Unix time whose unit follows from its size; a number under 10^8 is relative to the start of the log, in the unit that
/// the column's name states, else in seconds.
pub(crate) fn parse_time_ms(
    cell: &str,
    unit: Option<Unit>,
    format: ColumnFormat,
    zone: Option<&TimeZone>,
) -> Result<Option<i64>, String> {
    let cell = cell.trim();
    if is_empty(cell) {
        return Ok(None);
    }
    let compact = cell.bytes().all(|b| b.is_ascii_digit()) && matches!(cell.len(), 8 | 12 | 14);
    if let Some(civil) = compact.then(|| compact_date(cell)).flatten() {
        return in_zone(civil, zone, cell);
    }
    let plain = cell.replace(',', ".");
    if let Ok(n) = plain.parse::<f64>() {
        if format.serial_days && unit.is_none() {
            return in_zone(serial_date(n).ok_or_else(|| time_error(cell))?, zone, cell);
        }
        return unix_time_ms(n, unit).map(Some).ok_or_else(|| format!("time is out of range: {}", quote_cell(cell)));
    }
    if let Ok(timestamp) = cell.parse::<Timestamp>() {
        return Ok(Some(timestamp.as_millisecond()));
    }
    match civil_time(cell, format.dates) {
        Some(Civil::Local(time)) => in_zone(time, zone, cell),
        Some(Civil::Offset(ms)) => Ok(Some(ms)),
        None => Err(time_error(cell)),
    }
}

/// A date as spreadsheets count it: days since 30 December 1899, to the second.
fn serial_date(days: f64) -> Option<civil::DateTime> {
    let seconds = (days * 86_400.0).round() as i64;
    civil::date(1899, 12, 30).at(0, 0, 0, 0).checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
}

/// The milliseconds of a Unix time, whose unit follows from its size.
fn unix_time_ms(n: f64, unit: Option<Unit>) -> Option<i64> {
    Some(match n.abs() {
        size if size < 1e8 => n * unit.unwrap_or(Unit::Seconds).in_ms(),
        size if size < 1e11 => n * 1e3,
        size if size < 1e14 => n,
        size if size < 1e17 => n / 1e3,
        size if size < 1e20 => n / 1e6,
        _ => return None,
    } as i64)
}

fn time_error(cell: &str) -> String {
    format!("time is not understood: {} (write it like 2026-01-31T12:00:00Z)", quote_cell(cell))
}

fn in_zone(time: civil::DateTime, zone: Option<&TimeZone>, cell: &str) -> Result<Option<i64>, String> {
    let zoned = time.to_zoned(zone.cloned().unwrap_or(TimeZone::UTC)).map_err(|_| time_error(cell))?;
    Ok(Some(zoned.timestamp().as_millisecond()))
}

/// `20260131`, `202601311230` or `20260131123045`.
fn compact_date(digits: &str) -> Option<civil::DateTime> {
    let part = |range: std::ops::Range<usize>| digits.get(range).map_or(Some(0), |text| text.parse::<i16>().ok());
    let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
    let (hour, minute, second) = (part(8..10)?, part(10..12)?, part(12..14)?);
    let small = |n: i16| i8::try_from(n).ok();
    if !(1990..2100).contains(&year) {
        return None;
    }
    civil::DateTime::new(year, small(month)?, small(day)?, small(hour)?, small(minute)?, small(second)?, 0).ok()
}

enum Civil {
    Local(civil::DateTime),
    Offset(i64),
}

/// A time written for people: `2026-01-31 12:00`, `31.01.2026 12:00:05`, `1/31/2026, 12:00 PM`, `31 Jan 2026 12:00 UTC`.
fn civil_time(cell: &str, order: Option<DateOrder>) -> Option<Civil> {
    let mut text = cell.trim();
    let mut utc = false;
    for suffix in ["UTC", "GMT", "Z"] {
        if let Some(rest) = text.strip_suffix(suffix) {
            (text, utc) = (rest.trim_end(), true);
            break;
        }
    }
    if let Some(date) = month_or_week(text) {
        return Some(local(date.at(0, 0, 0, 0), true));
    }
    let iso = text.replace('/', "-");
    if let Ok(time) = iso.parse::<civil::DateTime>() {
        return Some(local(time, utc));
    }
    // "2026-01-31 12:00:00 +0200" and the like.
    if let Some((date, offset)) = split_offset(text) {
        let time = date.replace('/', "-").parse::<civil::DateTime>().ok()?;
        let ms = time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
        return Some(Civil::Offset(ms - offset));
    }
    let (date, clock) = split_clock(text);
    let date = parse_date(date, order)?;
    let clock = clock.map_or(Some(civil::Time::midnight()), parse_clock)?;
    Some(local(date.to_datetime(clock), utc))
}

/// The first day of a month (`2026-01`, `Jan 2026`) or a week (`2026-W05`).
fn month_or_week(text: &str) -> Option<civil::Date> {
    let (year, part) = text.split_once(['-', '/', ' '])?;
    if let (Some(month), 4) = (MONTHS.iter().position(|month| year.to_lowercase().starts_with(month)), part.len()) {
        return civil::Date::new(part.parse().ok()?, i8::try_from(month + 1).ok()?, 1).ok();
    }
    let year: i16 = (year.len() == 4).then(|| year.parse().ok())??;
    match part.strip_prefix(['W', 'w']) {
        Some(week) => Some(civil::ISOWeekDate::new(year, week.parse().ok()?, civil::Weekday::Monday).ok()?.date()),
        None if part.len() == 2 => civil::Date::new(year, part.parse().ok()?, 1).ok(),
        None => None,
    }
}

fn local(time: civil::DateTime, utc: bool) -> Civil {
    match time.to_zoned(TimeZone::UTC) {
        Ok(zoned) if utc => Civil::Offset(zoned.timestamp().as_millisecond()),
        _ => Civil::Local(time),
    }
}

/// Splits `+02:00`, `+0200` or `-7` off the end; the offset is in milliseconds.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    let at = text.rfind(['+', '-']).filter(|at| *at > 9)?;
    let (date, offset) = (text[..at].trim_end(), &text[at + 1..]);
    let digits: String = offset.chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let minutes = match digits.len() {
        1 | 2 => digits.parse::<i64>().ok()? * 60,
        4 => digits[..2].parse::<i64>().ok()? * 60 + digits[2..].parse::<i64>().ok()?,
        _ => return None,
    };
    let sign = if text.as_bytes()[at] == b'-' { -1 } else { 1 };
    Some((date, sign * minutes * 60_000))
}

/// Splits a text at the first space or `T` before a time of day, which has a colon.
pub(super) fn split_clock(text: &str) -> (&str, Option<&str>) {
    let Some(colon) = text.find(':') else { return (text, None) };
    let before = text[..colon].char_indices().rev().find(|(_, c)| !c.is_ascii_digit());
    let start = before.map_or(0, |(at, c)| at + c.len_utf8());
    (text[..start].trim_end_matches([' ', ',', 'T', '\u{202f}', '\u{a0}']), Some(text[start..].trim()))
}

/// `12:00`, `12:00:05.123`, `1:05 PM`.
fn parse_clock(text: &str) -> Option<civil::Time> {
    let lower = text.to_ascii_lowercase();
    let (clock, noon) = ["am", "a.m.", "pm", "p.m."]
        .iter()
        .find_map(|half| Some((lower.strip_suffix(half)?.trim_end(), Some(half.starts_with('p')))))
        .unwrap_or((lower.as_str(), None));
    let clock = clock.trim_end_matches(['\u{202f}', '\u{a0}']);
    let mut parts = clock.split(':');
    let hour: i8 = parts.next()?.parse().ok()?;
    let minute: i8 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().map_or(Some(0.0), |text| text.replace(',', ".").parse().ok())?;
    let hour = match noon {
        Some(pm) => hour % 12 + if pm { 12 } else { 0 },
        None => hour,
    };
    let nanos = ((seconds.fract() * 1e9).round() as i32).min(999_999_999);
    parts.next().is_none().then(|| civil::Time::new(hour, minute, seconds as i8, nanos).ok()).flatten()
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// `2026-01-31`, `31.01.2026`, `1/31/26`, `31 Jan 2026`, `January 31, 2026`.
fn parse_date(text: &str, order: Option<DateOrder>) -> Option<civil::Date> {
    let parts: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|part| !part.is_empty())
        .filter(|part| !is_weekday(part))
        .collect();
    let [a, b, c] = parts.as_slice() else { return None };
    let month_name = |part: &str| {
        let lower = part.to_lowercase();
        MONTHS.iter().position(|month| lower.starts_with(month)).map(|at| at as i8 + 1)
    };
    let number = |part: &str| part.trim_end_matches(char::is_alphabetic).parse::<i16>().ok();
    let year = |part: &str| number(part).map(|year| if part.len() == 2 { year + 2000 } else { year });
    let (year, month, day) = if let Some(month) = month_name(a) {
        (year(c)?, month, number(b)?)
    } else if let Some(month) = month_name(b) {
        if a.len() == 4 { (year(a)?, month, number(c)?) } else { (year(c)?, month, number(a)?) }
    } else if a.len() == 4 {
        (number(a)?, i8::try_from(number(b)?).ok()?, number(c)?)
    } else {
        let (first, second) = (number(a)?, number(b)?);
        let usual = if text.contains('.') { DateOrder::DayFirst } else { DateOrder::MonthFirst };
        let day_first = second <= 12 && (first > 12 || order.unwrap_or(usual) == DateOrder::DayFirst);
        let (day, month) = if day_first { (first, second) } else { (second, first) };
        (year(c)?, i8::try_from(month).ok()?, day)
    };
    civil::Date::new(year, month, i8::try_from(day).ok()?).ok()
}

fn is_weekday(part: &str) -> bool {
    let lower = part.to_lowercase();
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().any(|day| lower.starts_with(day))
        && !lower.starts_with(|c: char| c.is_ascii_digit())
        && lower.len() <= 9
}

/// A time zone: `Europe/Berlin`, `+02:00`, `UTC+2`.
pub(crate) fn parse_zone(text: &str) -> Option<TimeZone> {
    let text = text.trim();
    if let Ok(zone) = TimeZone::get(text) {
        return Some(zone);
    }
    let digits: String = text.trim_start_matches(|c: char| c.is_alphabetic()).chars().filter(|c| *c != ':').collect();
    let (sign, digits) = match digits.as_bytes().first()? {
        b'-' => (-1, &digits[1..]),
        b'+' => (1, &digits[1..]),
        _ => return None,
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let minutes: i32 = match digits.len() {
        1 | 2 => digits.parse::<i32>().ok()? * 60,
        4 => digits[..2].parse::<i32>().ok()? * 60 + digits[2..].parse::<i32>().ok()?,
        _ => return None,
    };
    jiff::tz::Offset::from_seconds(sign * minutes * 60).ok().map(TimeZone::fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: ColumnFormat = ColumnFormat { decimal: None, dates: None, serial_days: false };

    fn time(cell: &str) -> Result<Option<i64>, String> {
        parse_time_ms(cell, None, PLAIN, None)
    }

    #[test]
    fn times_are_read_in_every_common_format() {
        let noon = 1_700_136_000_000;
        for cell in [
            "2023-11-16 12:00:00.0000000",
            "2023-11-16T12:00:00Z",
            "2023-11-16 12:00:00 UTC",
            "2023-11-16T14:00:00+02:00",
            "2023-11-16 14:00:00 +0200",
            "2023/11/16 12:00:00",
            "1700136000",
            "1700136000000",
            "1700136000000000",
            "1700136000000000000",
            "2023-11-16 12:00:00+00:00",
            "20231116120000",
            "16.11.2023 12:00",
            "11/16/2023, 12:00:00 PM",
            "16 Nov 2023 12:00",
            "Thu, 16 Nov 2023 12:00:00 GMT",
            "November 16, 2023 12:00",
        ] {
            assert_eq!(time(cell), Ok(Some(noon)), "{cell}");
        }
        assert_eq!(time("2023-11-16 18:17:03.9799600"), Ok(Some(1_700_158_623_979)));
        assert_eq!(time("20231116"), time("2023-11-16"));
        assert_eq!(parse_time_ms("27482", Some(Unit::Millis), PLAIN, None), Ok(Some(27_482)));
        assert!(time("yesterday").is_err());
        assert_eq!(time("2026-02"), time("2026-02-01"));
        assert_eq!(time("Feb 2026"), time("2026-02-01"));
        assert_eq!(time("2026-W02"), time("2026-01-05"));
    }

    #[test]
    fn the_order_that_a_column_shows_counts_for_dates_with_dots() {
        let month_first = ColumnFormat { dates: Some(DateOrder::MonthFirst), ..PLAIN };
        assert_eq!(parse_time_ms("01.02.2026", None, month_first, None), time("2026-01-02"));
        assert_eq!(time("01.02.2026"), time("2026-02-01"));
    }

    #[test]
    fn letters_of_several_bytes_in_a_time_are_refused() {
        for cell in ["2026-11-02T11£00:00.000Z", "2026-11-02 11:00:00 +1é2", "£:00"] {
            assert!(time(cell).is_err(), "{cell}");
            let mut evidence = crate::analyst::ingest::values::FormatEvidence::default();
            evidence.add(cell);
        }
        assert_eq!(parse_zone("UTC+1é2"), None);
    }

    #[test]
    fn a_local_time_is_read_in_its_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(parse_time_ms("2023-11-16 14:00", None, PLAIN, Some(&zone)), Ok(Some(1_700_136_000_000)));
        assert_eq!(parse_time_ms("2023-11-16T12:00:00Z", None, PLAIN, Some(&zone)), Ok(Some(1_700_136_000_000)));
    }
}
