//! A usage log in memory: one column per quantity, a few bytes per row.
//!
//! Guarantees: every present column has exactly [`Dataset::len`] values; an absent column is empty, never filled with zeros
//! (except input and output, see [`PresentColumns`]); `input` counts all input tokens, including those read from and written to
//! a cache; `output` counts all output tokens, including reasoning.

mod groups;
mod row;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use self::{
    groups::{GroupColumn, NO_VALUE},
    row::{Kind, PresentColumns, Row, Tier},
};

/// Most rows of a log; a longer one is refused with [`super::ingest::IngestError::TooManyRows`].
pub const MAX_ROWS: usize = 5_000_000;

/// Most distinct model names; later names are counted together as [`OTHER`].
pub const MAX_MODELS: usize = 512;

/// Most columns to group by.
pub const MAX_GROUP_COLUMNS: usize = 16;

/// Most distinct values of a column to group by; later values are counted together as [`OTHER`].
pub const MAX_GROUP_VALUES: usize = 65_000;

/// Most characters of a name; the rest is cut off.
const MAX_NAME_CHARS: usize = 100;

/// The name of all models or values beyond the limit.
pub const OTHER: &str = "(others)";

/// The model name of a row without one, in a log that has model names.
pub const UNNAMED_MODEL: &str = "(no model)";

/// The currency of costs without a stated one.
pub const DOLLARS: &str = "USD";

/// A usage log, column by column.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// Start, milliseconds since 1970; [`NO_TIME`] in a row without one.
    pub time_ms: Vec<i64>,
    /// Index into `models`.
    pub model: Vec<u16>,
    /// All input tokens.
    pub input: Vec<u64>,
    /// All output tokens.
    pub output: Vec<u64>,
    /// Input tokens read from a cache.
    pub cached: Vec<u64>,
    /// Input tokens written to a cache.
    pub cache_write: Vec<u64>,
    /// Those kept for an hour.
    pub cache_write_1h: Vec<u64>,
    /// Output tokens that are reasoning.
    pub reasoning: Vec<u64>,
    /// Input tokens that are audio.
    pub audio_input: Vec<u64>,
    /// Output tokens that are audio.
    pub audio_output: Vec<u64>,
    /// Latency in milliseconds; NaN in a row without one.
    pub latency_ms: Vec<f32>,
    /// Time to the first token in milliseconds; NaN in a row without one.
    pub first_token_ms: Vec<f32>,
    /// Cost as logged; NaN in a row without one.
    pub cost: Vec<f64>,
    /// Index into `currencies`.
    pub currency: Vec<u8>,
    /// Number of requests of each row, 0 if unknown; empty for a log of single requests.
    pub requests: Vec<u64>,
    /// Service tier.
    pub tier: Vec<Tier>,
    /// What is asked for.
    pub kind: Vec<Kind>,
    /// 1: failed, 0: did not, 2: not stated.
    pub failed: Vec<u8>,
    /// Model names by index, in order of appearance.
    pub models: Vec<String>,
    /// Currency codes by index; the first is [`DOLLARS`].
    pub currencies: Vec<String>,
    /// Columns to group by, in order of appearance.
    pub groups: Vec<GroupColumn>,
    /// Longest period of a sum, in milliseconds.
    pub period_ms: Option<i64>,
    present: PresentColumns,
    index: HashMap<String, u16>,
}

/// The time of a row without one.
pub const NO_TIME: i64 = i64::MIN;

/// Whether a row failed is not stated.
const NOT_STATED: u8 = 2;

impl Dataset {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.input.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Which columns the log has.
    pub fn present(&self) -> PresentColumns {
        self.present
    }

    /// Number of requests: the rows, or the sum of the requests that they stand for. `None` if a row does not state it.
    pub fn requests(&self) -> Option<u64> {
        if !self.present.sums {
            return Some(self.len() as u64);
        }
        let known = self.requests.iter().all(|n| *n > 0);
        known.then(|| self.requests.iter().sum())
    }

    /// Tokens that row `i` read from a cache (0 without such a column).
    pub fn cached(&self, i: usize) -> u64 {
        self.cached.get(i).copied().unwrap_or(0)
    }

    /// Tokens that row `i` wrote to a cache (0 without such a column).
    pub fn cache_write(&self, i: usize) -> u64 {
        self.cache_write.get(i).copied().unwrap_or(0)
    }

    /// Tokens that row `i` wrote to a cache for an hour (0 without such a column).
    pub fn cache_write_1h(&self, i: usize) -> u64 {
        self.cache_write_1h.get(i).copied().unwrap_or(0)
    }

    /// Reasoning tokens of row `i` (0 without such a column).
    pub fn reasoning(&self, i: usize) -> u64 {
        self.reasoning.get(i).copied().unwrap_or(0)
    }

    /// The service tier of row `i`.
    pub fn tier(&self, i: usize) -> Tier {
        self.tier.get(i).copied().unwrap_or_default()
    }

    /// What row `i` asks for.
    pub fn kind(&self, i: usize) -> Kind {
        self.kind.get(i).copied().unwrap_or_default()
    }

    /// Whether row `i` failed, if stated.
    pub fn failed(&self, i: usize) -> Option<bool> {
        self.failed.get(i).filter(|code| **code != NOT_STATED).map(|code| *code == 1)
    }

    /// The logged cost of row `i` with its currency, if it has one.
    pub fn cost(&self, i: usize) -> Option<(f64, &str)> {
        let cost = self.cost.get(i).copied().filter(|cost| !cost.is_nan())?;
        let currency = self.currency.get(i).and_then(|code| self.currencies.get(usize::from(*code)));
        Some((cost, currency.map_or(DOLLARS, String::as_str)))
    }

    /// Input and output tokens of row `i`.
    pub fn tokens(&self, i: usize) -> u64 {
        self.input[i].saturating_add(self.output[i])
    }

    /// The model of row `i` as an index into `models`; 0 if the log has no models.
    pub fn model_index(&self, i: usize) -> usize {
        self.model.get(i).map_or(0, |&m| usize::from(m))
    }

    /// The time of row `i`, if it has one.
    pub fn time(&self, i: usize) -> Option<i64> {
        self.time_ms.get(i).copied().filter(|&t| t != NO_TIME)
    }

    /// The rows in order of their start; those without a time first, those of equal time in order of the log.
    pub fn by_time(&self) -> Vec<u32> {
        let mut rows: Vec<u32> = (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).collect();
        if !self.time_ms.is_sorted() {
            rows.sort_by_key(|&i| self.time_ms[i as usize]);
        }
        rows
    }

    /// A column to group by, by its name.
    pub fn group(&self, name: &str) -> Option<&GroupColumn> {
        self.groups.iter().find(|column| column.name == name)
    }

    /// First and last start time, if any row has one.
    pub fn span_ms(&self) -> Option<(i64, i64)> {
        let mut times = (0..self.time_ms.len()).filter_map(|i| self.time(i));
        let first = times.next()?;
        Some(times.fold((first, first), |(lo, hi), t| (lo.min(t), hi.max(t))))
    }

    /// Adds one row. The first value of a quantity adds its column, in which earlier rows have none.
    pub fn push(&mut self, row: &Row<'_>) {
        let rows = self.len();
        let present = &mut self.present;
        present.input |= row.input.is_some();
        present.output |= row.output.is_some();
        push_optional(&mut self.time_ms, &mut present.time, rows, row.time_ms, NO_TIME);
        push_optional(&mut self.cached, &mut present.cached, rows, row.cached, 0);
        push_optional(&mut self.cache_write, &mut present.cache_write, rows, row.cache_write, 0);
        push_optional(&mut self.cache_write_1h, &mut present.cache_write_1h, rows, row.cache_write_1h, 0);
        push_optional(&mut self.reasoning, &mut present.reasoning, rows, row.reasoning, 0);
        push_optional(&mut self.audio_input, &mut present.audio_input, rows, row.audio_input, 0);
        push_optional(&mut self.audio_output, &mut present.audio_output, rows, row.audio_output, 0);
        push_optional(&mut self.latency_ms, &mut present.latency, rows, row.latency_ms, f32::NAN);
        push_optional(&mut self.first_token_ms, &mut present.first_token, rows, row.first_token_ms, f32::NAN);
        push_optional(&mut self.cost, &mut present.cost, rows, row.cost, f64::NAN);
        push_optional(&mut self.requests, &mut present.sums, rows, row.requests, 1);
        push_optional(&mut self.tier, &mut present.tier, rows, not_default(row.tier), Tier::Standard);
        push_optional(&mut self.kind, &mut present.kind, rows, not_default(row.kind), Kind::Chat);
        push_optional(&mut self.failed, &mut present.failed, rows, row.failed.map(u8::from), NOT_STATED);
        self.period_ms = self.period_ms.max(row.period_ms);
        let currency = row.currency.filter(|code| *code != DOLLARS && row.cost.is_some());
        let currency = currency.map(|code| self.intern_currency(code));
        push_optional(&mut self.currency, &mut self.present.currency, rows, currency, 0);
        if let Some(name) = row.model.or(self.present.model.then_some(UNNAMED_MODEL)) {
            if !self.present.model && rows > 0 {
                let unnamed = intern(&mut self.models, &mut self.index, UNNAMED_MODEL, MAX_MODELS);
                self.model.resize(rows, unnamed);
            }
            self.present.model = true;
            let index = intern(&mut self.models, &mut self.index, name, MAX_MODELS);
            self.model.push(index);
        }
        self.push_groups(rows, row.groups);
        self.input.push(row.input.unwrap_or(0));
        self.output.push(row.output.unwrap_or(0));
    }

    fn push_groups(&mut self, rows: usize, groups: &[(&str, &str)]) {
        for (name, value) in groups {
            let at = match self.groups.iter().position(|column| column.name == *name) {
                Some(at) => at,
                None if self.groups.len() < MAX_GROUP_COLUMNS => {
                    self.groups.push(GroupColumn { name: (*name).to_owned(), ..GroupColumn::default() });
                    self.groups.len() - 1
                }
                None => continue,
            };
            let column = &mut self.groups[at];
            column.codes.resize(rows, NO_VALUE);
            let code = intern(&mut column.values, &mut column.index, value, MAX_GROUP_VALUES);
            column.codes.push(code);
        }
        for column in &mut self.groups {
            column.codes.resize(rows + 1, NO_VALUE);
        }
    }

    fn intern_currency(&mut self, code: &str) -> u8 {
        if self.currencies.is_empty() {
            self.currencies.push(DOLLARS.to_owned());
        }
        let at = self.currencies.iter().position(|known| known == code).unwrap_or_else(|| {
            self.currencies.push(code.chars().take(MAX_NAME_CHARS).collect());
            self.currencies.len() - 1
        });
        u8::try_from(at).unwrap_or(u8::MAX)
    }

    /// Keeps the rows for which `keep` is true, in order. Columns and names stay, also those that no row has any more.
    pub fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        fn filter<T>(column: &mut Vec<T>, keep: &impl Fn(usize) -> bool) {
            let mut at = 0;
            column.retain(|_| {
                at += 1;
                keep(at - 1)
            });
        }
        filter(&mut self.time_ms, &keep);
        filter(&mut self.model, &keep);
        for column in [
            &mut self.input,
            &mut self.output,
            &mut self.cached,
            &mut self.cache_write,
            &mut self.cache_write_1h,
            &mut self.reasoning,
            &mut self.audio_input,
            &mut self.audio_output,
            &mut self.requests,
        ] {
            filter(column, &keep);
        }
        filter(&mut self.latency_ms, &keep);
        filter(&mut self.first_token_ms, &keep);
        filter(&mut self.cost, &keep);
        filter(&mut self.currency, &keep);
        filter(&mut self.tier, &keep);
        filter(&mut self.kind, &keep);
        filter(&mut self.failed, &keep);
        for column in &mut self.groups {
            filter(&mut column.codes, &keep);
        }
    }

    /// Removes the columns to group by for which `keep` is false.
    pub fn retain_groups(&mut self, keep: impl FnMut(&GroupColumn) -> bool) {
        self.groups.retain(keep);
    }

    /// Removes the logged costs of the rows from `start` on.
    pub fn clear_costs(&mut self, start: usize) {
        if let Some(costs) = self.cost.get_mut(start..) {
            costs.fill(f64::NAN);
        }
        if self.cost.iter().all(|cost| cost.is_nan()) {
            self.present.cost = false;
            self.cost = Vec::new();
        }
    }

    /// Marks all rows as single requests.
    pub fn clear_sums(&mut self) {
        self.present.sums = false;
        self.requests = Vec::new();
        self.period_ms = None;
    }

    /// Marks all rows as sums of an unknown number of requests.
    pub fn mark_as_sums(&mut self, period_ms: Option<i64>) {
        if !self.present.sums {
            self.present.sums = true;
            self.requests = vec![0; self.len()];
        }
        self.period_ms = self.period_ms.max(period_ms);
    }
}

/// The index of a name; a new name is added, up to `max` names.
fn intern(names: &mut Vec<String>, index: &mut HashMap<String, u16>, name: &str, max: usize) -> u16 {
    let name = name.char_indices().nth(MAX_NAME_CHARS).map_or(name, |(end, _)| &name[..end]);
    if let Some(&known) = index.get(name) {
        return known;
    }
    if names.len() >= max && name != OTHER {
        return intern(names, index, OTHER, max);
    }
    let at = u16::try_from(names.len()).unwrap_or(NO_VALUE);
    names.push(name.to_owned());
    index.insert(name.to_owned(), at);
    at
}

fn not_default<T: Default + PartialEq>(value: T) -> Option<T> {
    Some(value).filter(|value| *value != T::default())
}

/// Pushes a value; `none` fills the rows before the first one, and rows without one.
fn push_optional<T: Clone>(column: &mut Vec<T>, present: &mut bool, rows: usize, value: Option<T>, none: T) {
    match value {
        Some(value) => {
            column.resize(rows, none);
            column.push(value);
            *present = true;
        }
        None if *present => column.push(none),
        None => {}
    }
}
