//! Parses counts, numbers and money. Each error quotes the cell.

use super::{ColumnFormat, Decimal, Unit, is_empty, quote_cell};

/// The largest count of a row. So the counts of all rows of a log, with all their parts, cannot add up to more than a `u64` holds.
pub(crate) const MAX_COUNT: u64 = 500_000_000_000;

/// Parses a count, a whole number of at least 0; `Ok(None)` for an empty cell. `what` names the column in errors.
///
/// A count has no decimals, so a separator before three digits separates thousands, unless the column shows otherwise.
pub(crate) fn parse_count(cell: &str, what: &str, format: ColumnFormat) -> Result<Option<u64>, String> {
    let cell = cell.trim();
    if is_empty(cell) {
        return Ok(None);
    }
    let number = match format.decimal {
        None if groups_of_three(cell) => plain_number(cell, None),
        decimal => plain_number(cell, Some(decimal.unwrap_or(Decimal::Point))),
    };
    match number.and_then(|text| text.parse::<f64>().ok()) {
        Some(n) if n < 0.0 => Err(format!("{what} is negative: {}", quote_cell(cell))),
        Some(n) if n > MAX_COUNT as f64 => Err(format!("{what} is impossibly large: {}", quote_cell(cell))),
        Some(n) if n.fract() == 0.0 => Ok(Some(n as u64)),
        _ => Err(format!("{what} is not a whole number: {}", quote_cell(cell))),
    }
}

/// Parses a number of at least 0; `Ok(None)` for an empty cell.
pub(crate) fn parse_number(cell: &str, what: &str, format: ColumnFormat) -> Result<Option<f64>, String> {
    let cell = cell.trim();
    if is_empty(cell) {
        return Ok(None);
    }
    let decimal = Some(format.decimal.unwrap_or(Decimal::Point));
    match plain_number(cell, decimal).and_then(|text| text.parse::<f64>().ok()) {
        Some(n) if n.is_finite() && n >= 0.0 => Ok(Some(n)),
        Some(_) => Err(format!("{what} is negative or not finite: {}", quote_cell(cell))),
        None => Err(format!("{what} is not a number: {}", quote_cell(cell))),
    }
}

/// Parses a length of time, with a unit after the number if the cell has one: `1.2s`, `850 ms`.
pub(crate) fn parse_duration(
    cell: &str,
    what: &str,
    format: ColumnFormat,
) -> Result<Option<(f64, Option<Unit>)>, String> {
    const UNITS: [(&str, Unit); 7] = [
        ("ns", Unit::Nanos),
        ("us", Unit::Micros),
        ("µs", Unit::Micros),
        ("ms", Unit::Millis),
        ("sec", Unit::Seconds),
        ("s", Unit::Seconds),
        ("min", Unit::Minutes),
    ];
    let found = UNITS.iter().find_map(|(word, unit)| Some((cell.trim().strip_suffix(word)?, *unit)));
    match found.filter(|(number, _)| number.ends_with(|c: char| c.is_ascii_digit() || c == ' ')) {
        Some((number, unit)) => Ok(parse_number(number, what, format)?.map(|number| (number, Some(unit)))),
        None => Ok(parse_number(cell, what, format)?.map(|number| (number, None))),
    }
}

/// An amount of money with the ISO 4217 code of its currency, if the cell states one.
#[derive(Debug, Clone, PartialEq)]
pub struct Money {
    /// The amount.
    pub amount: f64,
    /// The currency.
    pub currency: Option<&'static str>,
}

/// Currency signs and codes, and their ISO 4217 codes.
const CURRENCIES: &[(&str, &str)] = &[
    ("US$", "USD"),
    ("$", "USD"),
    ("USD", "USD"),
    ("€", "EUR"),
    ("EUR", "EUR"),
    ("£", "GBP"),
    ("GBP", "GBP"),
    ("CHF", "CHF"),
    ("¥", "JPY"),
    ("JPY", "JPY"),
    ("CNY", "CNY"),
    ("RMB", "CNY"),
    ("₹", "INR"),
    ("INR", "INR"),
    ("SEK", "SEK"),
    ("NOK", "NOK"),
    ("DKK", "DKK"),
    ("PLN", "PLN"),
    ("CAD", "CAD"),
    ("AUD", "AUD"),
    ("BRL", "BRL"),
    ("R$", "BRL"),
    ("KRW", "KRW"),
    ("₩", "KRW"),
];

/// The ISO 4217 code of a currency sign or code, regardless of case.
pub(crate) fn currency_code(text: &str) -> Option<&'static str> {
    let text = text.trim();
    CURRENCIES.iter().find(|(sign, _)| sign.eq_ignore_ascii_case(text)).map(|(_, code)| *code)
}

/// Parses an amount of money such as `$0.25`, `0,25 €` or `1.234,50 EUR`; `Ok(None)` for an empty cell.
pub(crate) fn parse_money(cell: &str, what: &str, format: ColumnFormat) -> Result<Option<Money>, String> {
    let cell = cell.trim();
    if is_empty(cell) {
        return Ok(None);
    }
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+');
    let start = cell.find(is_number).unwrap_or(cell.len());
    let end = cell.rfind(|c: char| c.is_ascii_digit()).map_or(start, |at| at + 1);
    let (before, number, after) =
        if start < end { (&cell[..start], &cell[start..end], &cell[end..]) } else { (cell, "", "") };
    let (before, after) = (before.trim(), after.trim());
    let sign = if before.is_empty() { after } else { before };
    let currency = match (sign, before.is_empty() || after.is_empty()) {
        ("", _) => None,
        (sign, true) => {
            Some(currency_code(sign).ok_or_else(|| format!("{what} is not an amount: {}", quote_cell(cell)))?)
        }
        _ => return Err(format!("{what} is not an amount: {}", quote_cell(cell))),
    };
    Ok(parse_number(number, what, format)?.map(|amount| Money { amount, currency }))
}

/// A number without separators of thousands, spaces and a sign of a currency or percent, with a decimal point. With no
/// `decimal`, every separator separates thousands. `None` for a text that is not a number.
fn plain_number(cell: &str, decimal: Option<Decimal>) -> Option<String> {
    let mut number = String::with_capacity(cell.len());
    for c in cell.trim_start_matches('$').trim().chars() {
        match (c, decimal) {
            ('0'..='9' | '-' | '+' | 'e' | 'E', _) | ('.', Some(Decimal::Point)) => number.push(c),
            (',', Some(Decimal::Comma)) => number.push('.'),
            ('.' | ',' | '\'' | '’' | ' ' | '\u{a0}' | '\u{202f}' | '_', _) => {}
            _ => return None,
        }
    }
    (!number.is_empty()).then_some(number)
}

/// Whether every point or comma of a number stands before exactly three digits, as separators of thousands do.
pub(super) fn groups_of_three(cell: &str) -> bool {
    let mut parts = cell.split(['.', ',']);
    let first = parts.next().unwrap_or_default().trim_start_matches(['-', '+']);
    let mut rest = parts.peekable();
    rest.peek().is_some()
        && (1..=3).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_digit())
        && (first != "0")
        && rest.all(|part| part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::ingest::values::FormatEvidence;

    const PLAIN: ColumnFormat = ColumnFormat { decimal: None, dates: None, serial_days: false };

    fn format(cells: &[&str]) -> ColumnFormat {
        let mut evidence = FormatEvidence::default();
        cells.iter().for_each(|cell| evidence.add(cell));
        evidence.format()
    }

    #[test]
    fn counts_are_whole_and_not_negative() {
        let count = |cell| parse_count(cell, "x", PLAIN);
        assert_eq!(count(" 12 "), Ok(Some(12)));
        assert_eq!(count("12.0"), Ok(Some(12)));
        assert_eq!(count("1,234,567"), Ok(Some(1_234_567)));
        assert_eq!(count("7.000"), Ok(Some(7000)));
        assert_eq!(count("12 345"), Ok(Some(12_345)));
        assert_eq!(count(""), Ok(None));
        for cell in ["-1", "1.5", "abc", "1e300", "NaN1"] {
            assert!(count(cell).is_err(), "{cell}");
        }
        let point = format(&["7.000", "7.5"]);
        assert_eq!(parse_count("7.000", "x", point), Ok(Some(7)));
    }

    #[test]
    fn money_has_a_sign_or_code_on_either_side() {
        let comma = ColumnFormat { decimal: Some(Decimal::Comma), ..PLAIN };
        let money = |cell, format| parse_money(cell, "cost", format).map(|money| money.map(|m| (m.amount, m.currency)));
        assert_eq!(money("$0.25", PLAIN), Ok(Some((0.25, Some("USD")))));
        assert_eq!(money("0,25 €", comma), Ok(Some((0.25, Some("EUR")))));
        assert_eq!(money("1.234,50 EUR", comma), Ok(Some((1234.5, Some("EUR")))));
        assert_eq!(money("0.5", PLAIN), Ok(Some((0.5, None))));
        assert_eq!(money("1.2e-05", PLAIN), Ok(Some((1.2e-5, None))));
        for cell in ["-3", "Included", "3 apples"] {
            assert!(money(cell, PLAIN).is_err(), "{cell}");
        }
    }
}
