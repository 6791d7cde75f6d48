//! Which rows a question means: its words found among the models, columns and values of the log.

use super::wording::plural_of;
use crate::analyst::{
    dataset::{Dataset, Kind},
    format::{inline_code, list},
    goals::{
        Query, is_known_word,
        periods::{Days, Period, date_of, weekday_name},
        query::Dimension,
        second_dimension,
        text::{contains_any, position_of, words_of},
    },
    ingest::columns::group_name,
    pricing::Pricing,
    zones::Zone,
};

/// Milliseconds of a day.
pub(super) const DAY: i64 = 86_400_000;

/// Words that leave something out of a figure.
const LEAVES_OUT: &str = "excluding|except|without|other than|apart from|not counting|but not|not including|minus";

/// Times below this are counted from the start of the log and have no date (it is 1973).
const FIRST_DATE: i64 = 100_000_000_000;

/// The column that a question groups by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Model,
    Kind,
    Day,
    Hour,
    Weekday,
    Week,
    Month,
    Outcome,
    /// Its position among the columns to group by.
    Group(usize),
}

/// The rows that a question asks about.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// From each model, whether it is meant; `None` for all.
    models: Option<Vec<bool>>,
    /// Column and code of the values that are meant; of one column, any of them.
    values: Vec<(usize, u16)>,
    failed: Option<bool>,
    kind: Option<Kind>,
    days: Option<Days>,
    /// The limits in words: `` user `ada` ``, `failed requests`.
    pub(super) described: Vec<String>,
    /// What to know before the figure.
    pub(super) caveats: Vec<String>,
}

impl Scope {
    /// Finds the rows that a question asks about.
    ///
    /// # Errors
    /// A sentence that says why the log cannot answer.
    pub(super) fn find(data: &Dataset, pricing: &Pricing, query: &Query, zone: &Zone) -> Result<Self, String> {
        if query.failed != Some(false) && contains_any(&query.words, LEAVES_OUT) {
            return Err("I cannot leave a part out of a figure. Ask for the figure by what it is part of (“cost by \
                        user”) and subtract that part."
                .into());
        }
        let mut scope = Self::default();
        let mut known: Vec<String> = Vec::new();
        scope.find_models(data, pricing, query, &mut known)?;
        scope.find_values(data, query, &mut known);
        scope.limit_outcome_and_kind(data, query)?;
        scope.limit_time(data, query, zone, &mut known)?;
        scope.note_unknown_words(data, query, &known);
        if contains_any(&query.words, "why") {
            scope.caveats.push(
                "The log shows when the cost changed, not why; ask for one day by user or model to see \
                                what it was spent on."
                    .into(),
            );
        }
        if let (Some(by), Some(second)) = (&query.by, second_dimension(&query.words)) {
            scope.caveats.push(format!(
                "I group by one column at a time: this is by {}, not by {}.",
                by.label(),
                second.label()
            ));
        }
        Ok(scope)
    }

    fn find_models(
        &mut self,
        data: &Dataset,
        pricing: &Pricing,
        query: &Query,
        known: &mut Vec<String>,
    ) -> Result<(), String> {
        let meant: Vec<bool> = (0..data.models.len())
            .map(|at| {
                let name = data.models[at].to_lowercase();
                let by_price = pricing.model_price(at).is_some_and(|price| query.models.contains(&price.model));
                by_price || name.len() > 2 && !is_known_word(&name) && position_of(&query.words, &name).is_some()
            })
            .collect();
        let names: Vec<String> =
            data.models.iter().zip(&meant).filter(|(_, meant)| **meant).map(|(name, _)| name.clone()).collect();
        known.extend(names.iter().map(|name| name.to_lowercase()));
        known.extend(
            query.models.iter().flat_map(|name| [name.clone(), name.rsplit('/').next().unwrap_or(name).to_owned()]),
        );
        if names.is_empty() && query.models.is_empty() {
            return Ok(());
        }
        if names.is_empty() {
            let has = match data.models.as_slice() {
                [] => "it names no models".to_owned(),
                models => format!("it has {}", some_of(models)),
            };
            return Err(format!("The log has no requests of {}; {has}.", list(&query.models)));
        }
        let in_log = |model: &String| {
            let is_one = |at: usize| pricing.model_price(at).is_some_and(|price| price.model == *model);
            (0..data.models.len()).any(is_one) || names.contains(model)
        };
        let absent: Vec<String> =
            query.models.iter().filter(|model| !in_log(model)).map(|model| inline_code(model)).collect();
        if !absent.is_empty() {
            self.caveats
                .push(format!("The log has no requests of {}; “what would it cost on …” prices them.", list(&absent)));
        }
        self.described.push(list(&names.iter().map(|name| inline_code(name)).collect::<Vec<_>>()));
        self.models = Some(meant);
        Ok(())
    }

    /// Values of columns that the words name: "alice", "the search feature", "team 7".
    fn find_values(&mut self, data: &Dataset, query: &Query, known: &mut Vec<String>) {
        let mut found: Vec<(usize, u16, String)> = Vec::new();
        for (at, column) in data.groups.iter().enumerate() {
            let column_name = column.name.to_lowercase();
            for (code, value) in (0u16..).zip(&column.values) {
                let name = value.to_lowercase();
                let stated = || {
                    position_of(&query.words, &format!("{column_name} {name}")).is_some()
                        || position_of(&query.words, &format!("{name} {column_name}")).is_some()
                };
                let distinct = name.len() > 1 && !is_known_word(&name) && position_of(&query.words, &name).is_some();
                if !name.is_empty() && (distinct || query.words.contains(&name) && stated()) {
                    found.push((at, code, name));
                }
            }
        }
        // A value of several columns counts in the first only; a name inside a longer one does not.
        let all = found.clone();
        found.retain(|(at, _, name)| {
            !all.iter().any(|(other, _, longer)| {
                longer.len() > name.len() && longer.contains(name.as_str()) || other < at && longer == name
            })
        });
        for (at, code, name) in found {
            let column = &data.groups[at];
            self.described.push(format!("{} {}", column.name, inline_code(&column.values[usize::from(code)])));
            self.values.push((at, code));
            known.push(name);
        }
    }

    fn limit_outcome_and_kind(&mut self, data: &Dataset, query: &Query) -> Result<(), String> {
        if let Some(failed) = query.failed {
            if !data.present().failed {
                return Err("The log does not state which requests failed. Add a column such as `status`.".into());
            }
            self.failed = Some(failed);
            self.described.push(if failed { "failed requests".into() } else { "requests that did not fail".into() });
        }
        // A value of the log called "chat" or "embeddings" is meant before the kind of request.
        let Some(kind) = query.kind.filter(|kind| !self.names_kind(data, *kind)) else { return Ok(()) };
        let exists = (0..data.len()).any(|i| data.kind(i) == kind);
        if !exists {
            return Err(format!("The log shows no {}.", plural_of(kind)));
        }
        self.kind = Some(kind);
        self.described.push(plural_of(kind).into());
        Ok(())
    }

    fn names_kind(&self, data: &Dataset, kind: Kind) -> bool {
        let stem = format!("{kind:?}").to_lowercase();
        self.values.iter().any(|(at, code)| data.groups[*at].values[usize::from(*code)].to_lowercase().contains(&stem))
    }

    fn limit_time(
        &mut self,
        data: &Dataset,
        query: &Query,
        zone: &Zone,
        known: &mut Vec<String>,
    ) -> Result<(), String> {
        if let Some((_, words)) = Period::find_words(&query.words) {
            known.extend(words);
        }
        let words: Vec<&str> = words_of(&query.words).collect();
        let is_hour = |word: &str| word.parse::<u8>().is_ok_and(|hour| hour <= 24);
        let hours = |part: &[&str]| part[0] == "between" && is_hour(part[1]) && is_hour(part[3]);
        if words.windows(4).any(hours) && !known.iter().any(|word| word == "between") {
            self.caveats.push("I do not limit figures to hours of the day; ask for them by hour.".into());
        }
        let Some(period) = &query.period else { return Ok(()) };
        let (first, last) = dated_span(data, zone)?;
        let days = period.resolve(last).ok_or("The question names a date that does not exist.")?;
        let text = |day: i64| date_of(day).to_string();
        let bounded = days.first > i64::MIN && days.last < i64::MAX;
        let name = match (days.first, days.last) {
            (i64::MIN, i64::MAX) => {
                let names = (0..7).filter(|day| days.weekdays[*day as usize]);
                // 5 January 1970 was a Monday.
                list(&names.map(|day| format!("{}s", weekday_name(date_of(day + 4).weekday()))).collect::<Vec<_>>())
            }
            (first, i64::MAX) => format!("since {}", text(first)),
            (i64::MIN, last) => format!("until {}", text(last)),
            (first, last) if first == last => text(first),
            (first, last) => format!("{} to {}", text(first), text(last)),
        };
        if days.first > last || days.last < first {
            let counted = if period.is_relative() { ", counted from its last day," } else { "" };
            return Err(format!(
                "The log has no requests of that time ({name}){}; it covers {} to {}.",
                if counted.is_empty() { String::new() } else { counted.trim_end_matches(',').to_owned() },
                text(first),
                text(last)
            ));
        }
        if bounded && days.first < days.last && (days.first < first || days.last > last) {
            self.caveats.push(format!(
                "Of {name} the log covers only {} to {}.",
                text(days.first.max(first)),
                text(days.last.min(last))
            ));
        }
        let counted = if period.is_relative() { ", counted from the log's last day" } else { "" };
        self.described.push(format!("{name}{counted}"));
        self.days = Some(days);
        Ok(())
    }

    /// Words that name nothing in the log: the figure is not limited to what they mean.
    fn note_unknown_words(&mut self, data: &Dataset, query: &Query, known: &[String]) {
        let column = match &query.by {
            Some(Dimension::Column(name)) => name.as_str(),
            _ => "",
        };
        let is_column = |word: &str| column.split(' ').any(|part| part == word) || find_group(data, word).is_some();
        let is_known = |word: &str| known.iter().any(|name| name == word || words_of(name).any(|part| part == word));
        let mut unknown: Vec<String> = words_of(&query.words)
            .filter(|word| !is_known_word(word) && !is_known(word) && !is_column(word))
            .map(|word| format!("“{word}”"))
            .collect();
        unknown.dedup();
        unknown.truncate(4);
        if !unknown.is_empty() {
            self.caveats.push(format!(
                "Nothing that I recognise is called {}, so the figure is not limited by it.",
                list(&unknown)
            ));
        }
    }

    /// Whether row `i` belongs to the period.
    pub(super) fn in_period(&self, data: &Dataset, i: usize, zone: &Zone) -> bool {
        self.days.as_ref().is_none_or(|days| {
            data.time(i).is_some_and(|time| days.contains((time + zone.offset_ms(time)).div_euclid(DAY)))
        })
    }

    /// Whether row `i` of the period is meant.
    pub(super) fn contains(&self, data: &Dataset, i: usize) -> bool {
        let value_fits = |at: usize| {
            let code = data.groups[at].codes.get(i);
            self.values.iter().any(|(column, value)| *column == at && Some(value) == code)
        };
        self.models.as_ref().is_none_or(|models| models.get(data.model_index(i)).copied().unwrap_or(false))
            && self.failed.is_none_or(|failed| data.failed(i) == Some(failed))
            && self.kind.is_none_or(|kind| data.kind(i) == kind)
            && self.values.iter().all(|(at, _)| value_fits(*at))
    }

    /// Whether all rows are meant.
    pub(super) fn is_all(&self) -> bool {
        self.models.is_none() && self.values.is_empty() && self.failed.is_none() && self.kind.is_none()
    }
}

/// The column that a question groups by.
///
/// # Errors
/// A sentence that says what the log can be grouped by instead.
pub(super) fn find_key(data: &Dataset, by: &Dimension, zone: &Zone) -> Result<Key, String> {
    if by.is_time() {
        dated_span(data, zone)?;
        let period = data.period_ms.unwrap_or(0);
        let too_long = match by {
            Dimension::Hour => period > 3_600_000,
            _ => period > DAY,
        };
        if too_long {
            return Err(format!(
                "The rows of the log are sums of longer periods than a{} {}.",
                if *by == Dimension::Hour { "n" } else { "" },
                by.label()
            ));
        }
    }
    Ok(match by {
        Dimension::Model if data.models.is_empty() => return Err(no_column(data, "model")),
        Dimension::Model => Key::Model,
        // If all requests are of one kind, the word "kind" means a column of that name, such as the kind of charge.
        Dimension::Kind => match find_group(data, "kind").or_else(|| find_group(data, "type")) {
            Some(at) if (1..data.len()).all(|i| data.kind(i) == data.kind(0)) => Key::Group(at),
            _ => Key::Kind,
        },
        Dimension::Day => Key::Day,
        Dimension::Hour => Key::Hour,
        Dimension::Weekday => Key::Weekday,
        Dimension::Week => Key::Week,
        Dimension::Month => Key::Month,
        Dimension::Outcome => match find_group(data, "status") {
            Some(at) => Key::Group(at),
            None if data.present().failed => Key::Outcome,
            None => return Err(no_column(data, "status")),
        },
        Dimension::Column(name) => match find_group(data, name) {
            Some(at) => Key::Group(at),
            None if name == "type" => Key::Kind,
            None if name == "deployment" && !data.models.is_empty() => Key::Model,
            None => return Err(no_column(data, name)),
        },
    })
}

/// A column to group by, by a word of the question: its own name, or a synonym of it.
fn find_group(data: &Dataset, word: &str) -> Option<usize> {
    let plain = |name: &str| name.to_lowercase().replace(['_', '-', ' ', '.'], "");
    let word = plain(word);
    let singular = word.strip_suffix('s').unwrap_or(&word);
    let meaning = match singular {
        "person" | "employee" | "member" | "client" | "people" => Some("user"),
        "organisation" => Some("organization"),
        "chat" => Some("session"),
        singular => group_name(singular),
    };
    let position = |test: &dyn Fn(&str) -> bool| data.groups.iter().position(|column| test(&column.name));
    position(&|name| plain(name) == word || plain(name) == singular)
        .or_else(|| position(&|name| meaning.is_some() && group_name(name).or(Some(name)) == meaning))
}

fn no_column(data: &Dataset, name: &str) -> String {
    let mut can: Vec<&str> = data.groups.iter().map(|column| column.name.as_str()).collect();
    if data.present().model {
        can.push("model");
    }
    if data.present().time {
        can.extend(["day", "hour"]);
    }
    match can.as_slice() {
        [] => format!("The log has no column “{name}”, and none to group by."),
        can => format!("The log has no column “{name}”. It can be grouped by {}.", list(can)),
    }
}

/// First and last day of the log, as days since 1970.
///
/// # Errors
/// A sentence that says why the log has no dates.
pub(super) fn dated_span(data: &Dataset, zone: &Zone) -> Result<(i64, i64), String> {
    let (from, to) = data.span_ms().ok_or("The log has no times. Add a `timestamp` column.")?;
    if from.abs() < FIRST_DATE {
        return Err("The times of the log are counted from its start, so it has no dates.".into());
    }
    let day = |time: i64| (time + zone.offset_ms(time)).div_euclid(DAY);
    Ok((day(from), day(to)))
}

/// The first names of many.
fn some_of(names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(6).map(|name| inline_code(name)).collect();
    if names.len() > shown.len() {
        shown.push(format!("{} more", names.len() - shown.len()));
    }
    list(&shown)
}
