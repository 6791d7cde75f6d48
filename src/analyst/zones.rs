//! Time zones by name: of cities, by abbreviation, or as an offset from UTC, for days and hours.
//!
//! Each is a POSIX rule of today's law, so that no time zone database is needed; dates before the last change of
//! such a law may be an hour off.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Serialize, Serializer};

const CENTRAL_EUROPE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
const EASTERN_EUROPE: &str = "EET-2EEST,M3.5.0/3,M10.5.0/4";
const WESTERN_EUROPE: &str = "WET0WEST,M3.5.0/1,M10.5.0";
const BRITAIN: &str = "GMT0BST,M3.5.0/1,M10.5.0";
const EASTERN: &str = "EST5EDT,M3.2.0,M11.1.0";
const CENTRAL: &str = "CST6CDT,M3.2.0,M11.1.0";
const MOUNTAIN: &str = "MST7MDT,M3.2.0,M11.1.0";
const PACIFIC: &str = "PST8PDT,M3.2.0,M11.1.0";
const SYDNEY: &str = "AEST-10AEDT,M10.1.0,M4.1.0/3";

/// Names of cities and zones in lower case, separated by `|`; the POSIX rule.
const ZONES: &[(&str, &str)] = &[
    (
        "berlin|vienna|zurich|paris|madrid|rome|amsterdam|brussels|copenhagen|oslo|stockholm|prague|warsaw|budapest|\
        munich|\
         hamburg|frankfurt|milan|barcelona|german|central european|cet|cest|mez|mesz",
        CENTRAL_EUROPE,
    ),
    ("helsinki|athens|kyiv|kiev|bucharest|sofia|tallinn|riga|vilnius|eastern european|eet|eest", EASTERN_EUROPE),
    ("lisbon|western european|wet|west", WESTERN_EUROPE),
    ("london|dublin|edinburgh|british|uk|bst", BRITAIN),
    ("new york|boston|washington|toronto|miami|atlanta|detroit|us eastern|eastern|est|edt", EASTERN),
    ("chicago|dallas|houston|austin|us central|cst|cdt", CENTRAL),
    ("denver|us mountain|mountain|mst|mdt", MOUNTAIN),
    ("los angeles|san francisco|seattle|vancouver|us pacific|pacific|pst|pdt", PACIFIC),
    ("phoenix|arizona", "MST7"),
    ("mexico city", "CST6"),
    ("sao paulo|são paulo|brasilia|buenos aires", "<-03>3"),
    ("bogota|lima", "<-05>5"),
    ("istanbul|moscow|riyadh|nairobi", "<+03>-3"),
    ("dubai|abu dhabi", "<+04>-4"),
    ("johannesburg|cape town|sast", "SAST-2"),
    ("lagos", "WAT-1"),
    ("karachi|tashkent", "<+05>-5"),
    ("mumbai|delhi|new delhi|kolkata|bangalore|bengaluru|chennai|hyderabad|indian|india|ist", "IST-5:30"),
    ("dhaka", "<+06>-6"),
    ("bangkok|jakarta|hanoi|ho chi minh city", "<+07>-7"),
    ("singapore|kuala lumpur|manila|perth|sgt", "<+08>-8"),
    ("beijing|shanghai|shenzhen|hong kong|taipei|china", "CST-8"),
    ("tokyo|osaka|japan|jst", "JST-9"),
    ("seoul|korea|kst", "KST-9"),
    ("brisbane", "AEST-10"),
    ("sydney|melbourne|canberra|aest|aedt", SYDNEY),
    ("auckland|wellington|nzst|nzdt", "NZST-12NZDT,M9.5.0,M4.1.0/3"),
    ("utc|gmt|greenwich|zulu", "UTC0"),
];

/// A time zone, with the name that the question gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// As reports name it: `UTC`, `Berlin time`, `UTC+02:00`.
    pub name: String,
    rule: TimeZone,
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: "UTC".into(), rule: TimeZone::UTC }
    }
}

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

impl Zone {
    /// The zone with this name, in lower case: `berlin`, `europe/berlin`, `cet`, `utc+2`; `None` for an unknown name.
    pub fn find(name: &str) -> Option<Self> {
        let name = name.trim();
        if let Some(offset) = name.strip_prefix("utc").or(name.strip_prefix("gmt")).and_then(parse_offset) {
            let sign = if offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
            // POSIX counts hours west of Greenwich.
            let inverse = if offset < 0 { "" } else { "-" };
            let rule = TimeZone::posix(&format!("<{sign}{hours:02}>{inverse}{hours}:{minutes:02}")).ok()?;
            return Some(Self { name: format!("UTC{sign}{hours:02}:{minutes:02}"), rule });
        }
        let city = name.rsplit('/').next().unwrap_or(name).replace('_', " ");
        let (_, posix) = ZONES.iter().find(|(names, _)| names.split('|').any(|known| known == city))?;
        if *posix == "UTC0" {
            return Some(Self::default());
        }
        Some(Self { name: display_name(&city), rule: TimeZone::posix(posix).ok()? })
    }

    /// Its rule.
    pub fn rule(&self) -> &TimeZone {
        &self.rule
    }

    /// Milliseconds that this zone is ahead of UTC at a time.
    pub fn offset_ms(&self, time_ms: i64) -> i64 {
        Timestamp::from_millisecond(time_ms).map_or(0, |time| i64::from(self.rule.to_offset(time).seconds()) * 1000)
    }

    /// The first zone that a text in lower case names, with the words that name it.
    pub fn find_in(text: &str) -> Option<(Self, String)> {
        let words = || text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '?' | '!' | ';' | '(' | ')'));
        // `europe/berlin` and `utc+2` are names wherever they stand.
        for word in words().map(|word| word.trim_end_matches('.')) {
            let offset = (word.starts_with("utc") || word.starts_with("gmt")) && word.len() > 3;
            if (word.contains('/') || offset || word == "utc" || word == "gmt")
                && let Some(zone) = Self::find(word)
            {
                return Some((zone, word.to_owned()));
            }
        }
        // All other names only before "time": "in Berlin time", but not "in the west".
        let (before, _) = text.split_once(" time").filter(|(_, after)| !after.starts_with(char::is_alphanumeric))?;
        let before: Vec<&str> = before.split_whitespace().collect();
        (1..=4.min(before.len())).rev().find_map(|count| {
            let name = before[before.len() - count..].join(" ");
            Self::find(name.trim_end_matches("'s")).map(|zone| (zone, format!("{name} time")))
        })
    }
}

/// Minutes of an offset such as `+2`, `+02:00`, `-0530`.
fn parse_offset(text: &str) -> Option<i64> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-" | "−", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at(2),
        None => (digits, "0"),
    };
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    ((0..=14).contains(&hours) && (0..60).contains(&minutes)).then_some(sign * (hours * 60 + minutes))
}

/// `berlin` as `Berlin time`, `cet` as `CET`.
fn display_name(name: &str) -> String {
    if name.len() <= 4 && !["rome", "oslo", "riga", "lima", "kyiv", "kiev", "west"].contains(&name) {
        return name.to_uppercase();
    }
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
    };
    format!("{} time", name.split(' ').map(capital).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_by_city_abbreviation_and_offset() {
        // 2026-01-15 12:00 UTC and 2026-07-15 12:00 UTC.
        let (winter, summer) = (1_768_478_400_000, 1_784_116_800_000);
        for (text, name, hours) in [
            ("which hour was dearest in berlin time?", "Berlin time", [1.0, 2.0]),
            ("by hour in new york time", "New York time", [-5.0, -4.0]),
            ("cost by day in america/los_angeles", "Los Angeles time", [-8.0, -7.0]),
            ("by hour, cet time", "CET", [1.0, 2.0]),
            ("cost by day, utc+5:30", "UTC+05:30", [5.5, 5.5]),
            ("cost by day in utc-3", "UTC-03:00", [-3.0, -3.0]),
            ("in indian time", "Indian time", [5.5, 5.5]),
            ("by hour in utc", "UTC", [0.0, 0.0]),
            ("by hour in sydney time", "Sydney time", [11.0, 10.0]),
        ] {
            let (zone, _) = Zone::find_in(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(zone.name, name, "{text}");
            assert_eq!([winter, summer].map(|at| zone.offset_ms(at) as f64 / 3_600_000.0), hours, "{text}");
        }
        for text in ["response time", "what is the time to first token?", "which users in the west cost most"] {
            assert!(Zone::find_in(text).is_none(), "{text}");
        }
    }

    #[test]
    fn every_rule_is_valid() {
        for (names, rule) in ZONES {
            assert!(TimeZone::posix(rule).is_ok(), "{names}");
        }
    }
}
