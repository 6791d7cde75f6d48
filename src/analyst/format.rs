//! Formats numbers, times and names for people.

/// Rounds to a whole number: `12,345`.
pub fn whole(n: f64) -> String {
    let digits = format!("{:.0}", n.abs());
    let grouped: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|chunk| std::str::from_utf8(chunk).unwrap_or_default()).collect();
    format!("{}{}", if n <= -0.5 { "-" } else { "" }, grouped.join(","))
}

/// A text with its first letter in upper case.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// A number of things: `1 request`, `1,200 requests`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", whole(n as f64), if n == 1 { "" } else { "s" })
}

/// US dollars, with more decimals for smaller amounts: `$1,234`, `$12.34`, `$0.0123`.
pub fn money(usd: f64) -> String {
    match usd.abs() {
        size if size >= 1000.0 => format!("${}", whole(usd)),
        size if size >= 0.1 || size == 0.0 => format!("${usd:.2}"),
        size if size >= 0.001 => format!("${usd:.4}"),
        _ => format!("${usd:.6}"),
    }
}

/// An amount in a currency (ISO 4217), with more decimals for smaller amounts: `$12.34`, `€12.34`, `CHF 12.34`.
pub fn money_in(amount: f64, currency: &str) -> String {
    let dollars = money(amount);
    match currency {
        "" | "USD" => dollars,
        "EUR" => dollars.replacen('$', "€", 1),
        "GBP" => dollars.replacen('$', "£", 1),
        other => dollars.replacen('$', &format!("{other} "), 1),
    }
}

/// A number with at most two decimals: `2`, `1.43`.
pub fn decimal(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A share from 0 to 1 as percent: `12.3 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Milliseconds: `850 ms`, `2.35 s`.
pub fn millis(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

/// A number of days: `58 minutes`, `13.5 hours`, `7.0 days`.
pub fn duration(days: f64) -> String {
    match days {
        days if days < 2.0 / 24.0 => format!("{:.0} minutes", days * 1440.0),
        days if days < 2.0 => format!("{:.1} hours", days * 24.0),
        days => format!("{days:.1} days"),
    }
}

/// Milliseconds since 1970: `2023-11-16 18:17 UTC`. Small values are relative to the start of the log: `minute 5 of
/// the log`.
pub fn timestamp(ms: i64) -> String {
    if ms.unsigned_abs() < 100_000_000_000 {
        return format!("minute {} of the log", ms / 60_000);
    }
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => format!("{ms} ms"),
    }
}

/// The day of a time in ms since 1970, in UTC: `2023-11-16`. Small values are relative to the start of the log.
pub fn date(ms: i64) -> String {
    match timestamp(ms) {
        text if ms.unsigned_abs() < 100_000_000_000 => text,
        text => text.chars().take(10).collect(),
    }
}

/// Joins names: `a, b and c`.
pub fn list(names: &[impl AsRef<str>]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [rest @ .., last] => {
            format!("{} and {}", rest.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "), last.as_ref())
        }
    }
}

/// Untrusted text as inline code, cut to 80 characters; control characters, backticks and bars become spaces, so
/// that it cannot break a Markdown table.
pub fn inline_code(text: &str) -> String {
    let short: String =
        text.chars().take(80).map(|c| if c.is_control() || matches!(c, '`' | '|') { ' ' } else { c }).collect();
    format!("`{short}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_formatted_for_people() {
        assert_eq!(whole(1_234_567.4), "1,234,567");
        assert_eq!((whole(0.0), whole(999.6), whole(-1234.0)), ("0".into(), "1,000".into(), "-1,234".into()));
        assert_eq!((money(1234.5), money(12.345), money(0.0123)), ("$1,234".into(), "$12.35".into(), "$0.0123".into()));
        assert_eq!(
            (percent(0.1234), millis(850.4), millis(2350.0)),
            ("12.3 %".into(), "850 ms".into(), "2.35 s".into())
        );
        assert_eq!(timestamp(1_700_158_623_979), "2023-11-16 18:17 UTC");
        assert_eq!(date(1_700_158_623_979), "2023-11-16");
        assert_eq!(
            ["EUR", "GBP", "CHF", "USD"].map(|currency| money_in(12.0, currency)),
            ["€12.00", "£12.00", "CHF 12.00", "$12.00"]
        );
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(inline_code("a|b\n`c`"), "`a b  c `");
    }
}
