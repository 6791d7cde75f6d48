//! What the end of a column's name says of its values: a unit of time, a currency, cents.

use super::{
    columns::Role,
    values::{Unit, currency_code},
};

/// What the end of a name says of its values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Suffix {
    pub(super) unit: Option<Unit>,
    pub(super) currency: Option<&'static str>,
    pub(super) scale: Option<f64>,
}

impl Suffix {
    const fn unit(unit: Unit) -> Self {
        Self { unit: Some(unit), currency: None, scale: None }
    }

    /// Whether values of this role can have it.
    pub(super) fn fits(self, role: Role) -> bool {
        (self.unit.is_none() || role.has_unit())
            && ((self.currency.is_none() && self.scale.is_none()) || role == Role::Cost)
    }
}

const UNIT_WORDS: &[(&str, Unit)] = &[
    ("nanoseconds", Unit::Nanos),
    ("nanos", Unit::Nanos),
    ("nano", Unit::Nanos),
    ("microseconds", Unit::Micros),
    ("micros", Unit::Micros),
    ("milliseconds", Unit::Millis),
    ("millis", Unit::Millis),
    ("msec", Unit::Millis),
    ("seconds", Unit::Seconds),
    ("secs", Unit::Seconds),
    ("sec", Unit::Seconds),
    ("minutes", Unit::Minutes),
    ("ns", Unit::Nanos),
    ("us", Unit::Micros),
    ("µs", Unit::Micros),
    ("ms", Unit::Millis),
    ("s", Unit::Seconds),
];

/// Splits unit or currency off the end of a name: `latency_ms`, `Duration (s)`, `startTimeUnixNano`, `cost_usd`, `Cost (€)`.
pub(super) fn split_suffix(name: &str) -> (&str, Suffix) {
    let trimmed = name.trim_end_matches([')', ']', ' ', '_', '-', '.']);
    for sign in ["€", "£", "¥", "₹", "$"] {
        if let Some(base) = trimmed.strip_suffix(sign) {
            return (base, Suffix { currency: currency_code(sign), ..Suffix::default() });
        }
    }
    for (word, suffix) in UNIT_WORDS.iter().map(|(word, unit)| (*word, Suffix::unit(*unit))).chain(money_words()) {
        let Some(at) = trimmed.len().checked_sub(word.len()).filter(|&at| at > 0 && trimmed.is_char_boundary(at))
        else {
            continue;
        };
        let (base, tail) = trimmed.split_at(at);
        if !tail.eq_ignore_ascii_case(word) {
            continue;
        }
        // The word must stand apart: after a separator, or in camel case.
        let stands_apart = base.ends_with(|c: char| !c.is_alphanumeric())
            || (tail.starts_with(char::is_uppercase) && base.ends_with(|c: char| c.is_lowercase()));
        if stands_apart {
            return (strip_in(base), suffix);
        }
    }
    (name, Suffix::default())
}

/// Removes the `in` of `cost_in_cents`.
fn strip_in(base: &str) -> &str {
    let trimmed = base.trim_end_matches(|c: char| !c.is_alphanumeric());
    match trimmed.strip_suffix("in").or_else(|| trimmed.strip_suffix("In")) {
        Some(rest) if rest.ends_with([' ', '_', '-', '.']) || trimmed.ends_with("In") => rest,
        _ => base,
    }
}

fn money_words() -> impl Iterator<Item = (&'static str, Suffix)> {
    let codes = ["usd", "eur", "gbp", "chf", "jpy", "cny", "inr", "sek", "nok", "dkk", "pln", "cad", "aud", "brl"];
    codes.into_iter().map(|code| (code, Suffix { currency: currency_code(code), ..Suffix::default() })).chain([
        ("dollars", Suffix { currency: Some("USD"), ..Suffix::default() }),
        ("euros", Suffix { currency: Some("EUR"), ..Suffix::default() }),
        ("cents", Suffix { scale: Some(0.01), ..Suffix::default() }),
        ("cent", Suffix { scale: Some(0.01), ..Suffix::default() }),
        ("ct", Suffix { scale: Some(0.01), ..Suffix::default() }),
    ])
}
