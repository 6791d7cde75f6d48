//! Numbers, sizes and times for display. The server and the browser produce the same texts.

use crate::protocol::ErrorBody;

/// A duration: `42 ms`, `1.5 s`, `1 min 01 s`.
pub(crate) fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        _ if ms < 100 => format!("{} ms", ms.max(0)),
        0..10 => format!("{:.1} s", ms.max(0) as f64 / 1000.0),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A message of a program as a sentence: capitalised, unless it begins with a name, and with a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_word = first.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b',' | b';'));
    let (head, tail) = text.split_at(if is_word { first.len().min(1) } else { 0 });
    let stop = if text.is_empty() || text.ends_with(['.', '!', '?', '…', ':']) { "" } else { "." };
    format!("{}{tail}{stop}", head.to_ascii_uppercase())
}

/// An error as a sentence for the user, with the time after which to try again.
pub(crate) fn error_message(error: &ErrorBody) -> String {
    let retry = error.retry_after_ms.filter(|wait| *wait > 0).map(|wait| {
        let wait = i64::try_from(wait.div_ceil(1000) * 1000).unwrap_or(i64::MAX);
        format!(" Try again in {}.", if wait < 10_000 { format!("{} s", wait / 1000) } else { duration(wait) })
    });
    sentence(&error.message) + &retry.unwrap_or_default()
}

/// An ordinal number: `1st`, `2nd`, `11th`.
pub(crate) fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, last) if last != 11 => "st",
        (2, last) if last != 12 => "nd",
        (3, last) if last != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// US dollars, to the cent; below ten cents, with two significant digits.
pub(crate) fn dollars(usd: f64) -> String {
    if !usd.is_finite() || usd <= 0.0 {
        return "$0".into();
    }
    if usd >= 0.1 {
        return format!("${usd:.2}");
    }
    let decimals = (1.0 - usd.log10().floor()).clamp(2.0, 8.0) as usize;
    format!("${usd:.decimals$}")
}

/// A size in bytes.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

/// A number with grouped digits and few decimals: `1,234,567`, `12.3`.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let size = value.abs();
    let decimals = match size {
        _ if value.fract() == 0.0 || size >= 1000.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{size:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), ""), |parts| parts);
    let mut grouped = String::with_capacity(text.len() + 4);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.trim_end_matches('0');
    let sign = if value < 0.0 { "−" } else { "" };
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// A short form for little space: `1.2M`.
pub(crate) fn compact(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        1e9.. => (value / 1e9, "B"),
        1e6.. => (value / 1e6, "M"),
        1e4.. => (value / 1e3, "k"),
        _ => return number(value),
    };
    let text = number((scaled * 10.0).round() / 10.0);
    format!("{text}{unit}")
}

/// The date and time of `at` (milliseconds since 1970) in the time zone `offset` minutes east of Greenwich.
pub(crate) fn date_time(at: i64, offset: i64) -> String {
    let (year, month, day, minutes) = civil(at, offset);
    format!("{day} {} {year}, {:02}:{:02}", MONTHS[month - 1], minutes / 60, minutes % 60)
}

/// The month: `October 2026`.
pub(crate) fn month(at: i64, offset: i64) -> String {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (year, month, ..) = civil(at, offset);
    format!("{} {year}", NAMES[month - 1])
}

/// The time of day: `18:05`.
pub(crate) fn time_of_day(at: i64, offset: i64) -> String {
    let (.., minutes) = civil(at, offset);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// The number of days since 1970.
pub(crate) fn day_number(at: i64, offset: i64) -> i64 {
    (at.div_euclid(60_000) + offset).div_euclid(1440)
}

/// Day and time without the year, for the axes of charts. In UTC.
pub(crate) fn short_date_time(at: i64) -> String {
    let (_, month, day, minutes) = civil(at, 0);
    format!("{day} {} {:02}:{:02}", MONTHS[month - 1], minutes / 60, minutes % 60)
}

/// ISO 8601 in UTC.
pub(crate) fn iso_8601(at: i64) -> String {
    let (year, month, day, minutes) = civil(at, 0);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        minutes / 60,
        minutes % 60,
        at.rem_euclid(60_000) / 1000
    )
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Year, month, day and minute of the day in the Gregorian calendar (Hinnant's `civil_from_days`).
fn civil(at: i64, offset: i64) -> (i64, usize, i64, i64) {
    let minutes = at.div_euclid(60_000) + offset;
    let days = minutes.div_euclid(1440) + 719_468;
    let era = days.div_euclid(146_097);
    let era_day = days.rem_euclid(146_097);
    let year_of_era = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * year_day + 2) / 153;
    let day = year_day - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, usize::try_from(month).unwrap_or(1), day, minutes.rem_euclid(1440))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_when_to_try_again() {
        let refused = ErrorBody::new(crate::protocol::ErrorCode::RateLimited, "the budget is used");
        assert_eq!(error_message(&refused), "The budget is used.");
        assert_eq!(error_message(&refused.clone().retry_after(1_200)), "The budget is used. Try again in 2 s.");
        assert_eq!(error_message(&refused.retry_after(61_000)), "The budget is used. Try again in 1 min 01 s.");
    }

    #[test]
    fn dates_follow_the_gregorian_calendar() {
        assert_eq!(iso_8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso_8601(1_709_210_096_000), "2024-02-29T12:34:56Z");
        assert_eq!(date_time(1_709_210_096_000, 60), "29 Feb 2024, 13:34");
        assert_eq!(date_time(1_735_689_599_000, 1), "1 Jan 2025, 00:00");
        assert_eq!((time_of_day(1_735_689_599_000, 1), day_number(1_735_689_599_000, 1)), ("00:00".into(), 20_089));
        assert_eq!(day_number(1_735_689_599_000, 0), 20_088);
    }

    #[test]
    fn messages_of_programs_become_sentences() {
        assert_eq!(sentence("the password is wrong"), "The password is wrong.");
        assert_eq!(sentence("log.csv: the file is empty."), "log.csv: the file is empty.");
        assert_eq!(sentence("größer"), "größer.");
        assert_eq!(sentence(""), "");
    }

    #[test]
    fn numbers_are_grouped_and_rounded() {
        assert_eq!(number(1_234_567.0), "1,234,567");
        assert_eq!(number(-1234.56), "−1,235");
        assert_eq!(number(0.125), "0.125");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(compact(2_500_000.0), "2.5M");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(100_000_000), "100 MB");
        assert_eq!(duration(42), "42 ms");
        assert_eq!(duration(1500), "1.5 s");
        assert_eq!(duration(61_000), "1 min 01 s");
        assert_eq!([1, 2, 3, 4, 11, 12, 21, 112].map(ordinal).join(" "), "1st 2nd 3rd 4th 11th 12th 21st 112th");
        assert_eq!(
            [0.0031, 0.05, 0.000_012, 0.1, 12.345, 0.0].map(dollars).join(" "),
            "$0.0031 $0.050 $0.000012 $0.10 $12.35 $0"
        );
    }
}
