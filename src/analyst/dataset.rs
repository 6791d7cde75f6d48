//! A usage log in memory: one column per quantity, a few bytes per request.
//!
//! Promises: every present column has exactly [`Dataset::len`] values; `input` counts all input tokens, those read from
//! a cache included; an absent column is empty, never a column of invented zeros (except output, see
//! [`Dataset::has_output`]).

use std::collections::HashMap;

use serde::Serialize;

/// Most rows that are kept; a longer log is refused with [`super::ingest::LoadError::TooManyRows`].
pub const MAX_ROWS: usize = 5_000_000;

/// Most distinct model names that are told apart; later names are counted together as [`OTHER_MODELS`].
pub const MAX_MODELS: usize = 512;

/// Most characters of a model name that are kept.
const MAX_NAME: usize = 100;

/// The name under which models past [`MAX_MODELS`] are counted.
pub const OTHER_MODELS: &str = "(other models)";

/// The name of a row in a log with a model column where that row names none.
pub const UNNAMED_MODEL: &str = "(no model)";

/// One request as read from the log, before it joins the columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row<'a> {
    /// Start, milliseconds since 1970 (or since the log's own zero).
    pub time_ms: Option<i64>,
    /// The model's name as the log has it.
    pub model: Option<&'a str>,
    /// All input tokens, cached ones included.
    pub input: u32,
    /// Output tokens.
    pub output: u32,
    /// Input tokens read from a cache.
    pub cached: Option<u32>,
    /// Input tokens written to a cache.
    pub cache_write: Option<u32>,
    /// Milliseconds from request to last token.
    pub latency_ms: Option<f32>,
    /// US dollars, as the log has them.
    pub cost: Option<f64>,
}

/// Which quantities the log has; decided from its columns before the rows are read, or as they first appear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Present {
    /// Start times.
    pub time: bool,
    /// Model names.
    pub model: bool,
    /// Output tokens.
    pub output: bool,
    /// Tokens read from a cache.
    pub cached: bool,
    /// Tokens written to a cache.
    pub cache_write: bool,
    /// Latencies.
    pub latency: bool,
    /// Costs.
    pub cost: bool,
}

/// A usage log, column by column.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// Start, milliseconds since 1970; [`NO_TIME`] where a row has none.
    pub time_ms: Vec<i64>,
    /// Index into `models`.
    pub model: Vec<u16>,
    /// Input tokens, cached ones included.
    pub input: Vec<u32>,
    /// Output tokens.
    pub output: Vec<u32>,
    /// Input tokens read from a cache.
    pub cached: Vec<u32>,
    /// Input tokens written to a cache.
    pub cache_write: Vec<u32>,
    /// Latency in milliseconds; NaN where a row has none.
    pub latency_ms: Vec<f32>,
    /// Cost in US dollars as logged; NaN where a row has none.
    pub cost: Vec<f64>,
    /// Model names by index, in order of appearance.
    pub models: Vec<String>,
    present: Present,
    index: HashMap<String, u16>,
}

/// Stands for "this row has no time".
pub const NO_TIME: i64 = i64::MIN;

impl Dataset {
    /// Requests in the log.
    pub fn len(&self) -> usize {
        self.input.len()
    }

    /// Whether there is no request at all.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Which quantities the log has.
    pub fn present(&self) -> Present {
        self.present
    }

    /// Whether output tokens were logged; without them every output counts as 0, which reports must say.
    pub fn has_output(&self) -> bool {
        self.present.output
    }

    /// Tokens read from a cache by request `i` (0 where the log has no such column).
    pub fn cached(&self, i: usize) -> u32 {
        self.cached.get(i).copied().unwrap_or(0)
    }

    /// Tokens written to a cache by request `i` (0 where the log has no such column).
    pub fn cache_write(&self, i: usize) -> u32 {
        self.cache_write.get(i).copied().unwrap_or(0)
    }

    /// Input and output tokens of request `i`.
    pub fn tokens(&self, i: usize) -> u64 {
        u64::from(self.input[i]) + u64::from(self.output[i])
    }

    /// The model of request `i` as an index into `models`, 0 where the log names none.
    pub fn model_of(&self, i: usize) -> usize {
        self.model.get(i).map_or(0, |&m| usize::from(m))
    }

    /// The time of request `i`, if it has one.
    pub fn time(&self, i: usize) -> Option<i64> {
        self.time_ms.get(i).copied().filter(|&t| t != NO_TIME)
    }

    /// First and last start time, if any row has one.
    pub fn span_ms(&self) -> Option<(i64, i64)> {
        let mut times = (0..self.time_ms.len()).filter_map(|i| self.time(i));
        let first = times.next()?;
        Some(times.fold((first, first), |(lo, hi), t| (lo.min(t), hi.max(t))))
    }

    /// Adds one request; a quantity seen for the first time gets its column, with earlier rows marked as having none.
    pub fn push(&mut self, row: &Row<'_>, has_output: bool) {
        let rows = self.len();
        self.present.output |= has_output;
        optional(&mut self.time_ms, &mut self.present.time, rows, row.time_ms, NO_TIME);
        optional(&mut self.cached, &mut self.present.cached, rows, row.cached, 0);
        optional(&mut self.cache_write, &mut self.present.cache_write, rows, row.cache_write, 0);
        optional(&mut self.latency_ms, &mut self.present.latency, rows, row.latency_ms, f32::NAN);
        optional(&mut self.cost, &mut self.present.cost, rows, row.cost, f64::NAN);
        if let Some(name) = row.model.or(self.present.model.then_some(UNNAMED_MODEL)) {
            if !self.present.model && rows > 0 {
                let unnamed = self.intern(UNNAMED_MODEL);
                self.model.resize(rows, unnamed);
            }
            self.present.model = true;
            let index = self.intern(name);
            self.model.push(index);
        }
        self.input.push(row.input);
        self.output.push(row.output);
    }

    fn intern(&mut self, name: &str) -> u16 {
        let name = name.char_indices().nth(MAX_NAME).map_or(name, |(end, _)| &name[..end]);
        if let Some(&index) = self.index.get(name) {
            return index;
        }
        if self.models.len() >= MAX_MODELS && name != OTHER_MODELS {
            return self.intern(OTHER_MODELS);
        }
        let index = u16::try_from(self.models.len()).unwrap_or(u16::MAX);
        self.models.push(name.to_owned());
        self.index.insert(name.to_owned(), index);
        index
    }
}

fn optional<T: Copy>(column: &mut Vec<T>, present: &mut bool, rows: usize, value: Option<T>, none: T) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_appears_late_marks_the_earlier_rows_as_having_none() {
        let mut data = Dataset::default();
        data.push(&Row { input: 5, ..Row::default() }, false);
        data.push(&Row { input: 7, model: Some("m"), latency_ms: Some(3.0), ..Row::default() }, true);
        data.push(&Row { input: 9, ..Row::default() }, true);
        assert_eq!(data.model, [0, 1, 0]);
        assert_eq!(data.models, [UNNAMED_MODEL, "m"]);
        assert!(data.latency_ms[0].is_nan() && data.latency_ms[1] == 3.0 && data.latency_ms[2].is_nan());
        assert!(data.cached.is_empty() && data.time_ms.is_empty());
    }

    #[test]
    fn models_past_the_bound_are_counted_together() {
        let mut data = Dataset::default();
        for i in 0..MAX_MODELS + 10 {
            data.push(&Row { model: Some(&format!("m{i}")), ..Row::default() }, true);
        }
        assert_eq!(data.models.len(), MAX_MODELS + 1);
        assert_eq!(data.models[data.model_of(MAX_MODELS + 9)], OTHER_MODELS);
    }
}
