//! A usage log in memory: one column per quantity, a few bytes per request.
//!
//! Guarantees: every present column has exactly [`Dataset::len`] values; `input` counts all input tokens, including those
//! read from a cache; an absent column is empty, never filled with zeros (except output, see [`Dataset::has_output`]).

use std::collections::HashMap;

use serde::Serialize;

/// Most rows of a log; a longer one is refused with [`super::ingest::IngestError::TooManyRows`].
pub const MAX_ROWS: usize = 5_000_000;

/// Most distinct model names; later names are counted together as [`OTHER_MODELS`].
pub const MAX_MODELS: usize = 512;

/// Most characters of a model name; the rest is cut off.
const MAX_NAME_CHARS: usize = 100;

/// The name of all models beyond [`MAX_MODELS`].
pub const OTHER_MODELS: &str = "(other models)";

/// The model name of a row without one, in a log that has model names.
pub const UNNAMED_MODEL: &str = "(no model)";

/// One request as read from the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row<'a> {
    /// Start, milliseconds since 1970 (or since the start of the log).
    pub time_ms: Option<i64>,
    /// The model's name in the log.
    pub model: Option<&'a str>,
    /// All input tokens, including cached ones.
    pub input: u32,
    /// Output tokens.
    pub output: u32,
    /// Input tokens read from a cache.
    pub cached: Option<u32>,
    /// Input tokens written to a cache.
    pub cache_write: Option<u32>,
    /// Milliseconds from request to last token.
    pub latency_ms: Option<f32>,
    /// US dollars, as logged.
    pub cost: Option<f64>,
}

/// Which columns the log has; set when a row first has a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PresentColumns {
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
    /// Start, milliseconds since 1970; [`NO_TIME`] in a row without one.
    pub time_ms: Vec<i64>,
    /// Index into `models`.
    pub model: Vec<u16>,
    /// Input tokens, including cached ones.
    pub input: Vec<u32>,
    /// Output tokens.
    pub output: Vec<u32>,
    /// Input tokens read from a cache.
    pub cached: Vec<u32>,
    /// Input tokens written to a cache.
    pub cache_write: Vec<u32>,
    /// Latency in milliseconds; NaN in a row without one.
    pub latency_ms: Vec<f32>,
    /// Cost in US dollars as logged; NaN in a row without one.
    pub cost: Vec<f64>,
    /// Model names by index, in order of appearance.
    pub models: Vec<String>,
    present: PresentColumns,
    index: HashMap<String, u16>,
}

/// The time of a row without one.
pub const NO_TIME: i64 = i64::MIN;

impl Dataset {
    /// Number of requests.
    pub fn len(&self) -> usize {
        self.input.len()
    }

    /// Whether there are no requests.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Which columns the log has.
    pub fn present(&self) -> PresentColumns {
        self.present
    }

    /// Whether output tokens were logged. Without them every output is 0, and reports must say so.
    pub fn has_output(&self) -> bool {
        self.present.output
    }

    /// Tokens that request `i` read from a cache (0 without such a column).
    pub fn cached(&self, i: usize) -> u32 {
        self.cached.get(i).copied().unwrap_or(0)
    }

    /// Tokens that request `i` wrote to a cache (0 without such a column).
    pub fn cache_write(&self, i: usize) -> u32 {
        self.cache_write.get(i).copied().unwrap_or(0)
    }

    /// Input and output tokens of request `i`.
    pub fn tokens(&self, i: usize) -> u64 {
        u64::from(self.input[i]) + u64::from(self.output[i])
    }

    /// The model of request `i` as an index into `models`; 0 if the log has no models.
    pub fn model_index(&self, i: usize) -> usize {
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

    /// Adds one request. The first value of a quantity adds its column, in which earlier rows have none.
    pub fn push(&mut self, row: &Row<'_>, has_output: bool) {
        let rows = self.len();
        self.present.output |= has_output;
        push_optional(&mut self.time_ms, &mut self.present.time, rows, row.time_ms, NO_TIME);
        push_optional(&mut self.cached, &mut self.present.cached, rows, row.cached, 0);
        push_optional(&mut self.cache_write, &mut self.present.cache_write, rows, row.cache_write, 0);
        push_optional(&mut self.latency_ms, &mut self.present.latency, rows, row.latency_ms, f32::NAN);
        push_optional(&mut self.cost, &mut self.present.cost, rows, row.cost, f64::NAN);
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
        let name = name.char_indices().nth(MAX_NAME_CHARS).map_or(name, |(end, _)| &name[..end]);
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

/// Pushes a value; `none` fills the rows before the first one, and rows without one.
fn push_optional<T: Copy>(column: &mut Vec<T>, present: &mut bool, rows: usize, value: Option<T>, none: T) {
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
    fn a_late_column_marks_earlier_rows_as_having_no_value() {
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
    fn models_beyond_the_limit_are_counted_together() {
        let mut data = Dataset::default();
        for i in 0..MAX_MODELS + 10 {
            data.push(&Row { model: Some(&format!("m{i}")), ..Row::default() }, true);
        }
        assert_eq!(data.models.len(), MAX_MODELS + 1);
        assert_eq!(data.models[data.model_index(MAX_MODELS + 9)], OTHER_MODELS);
    }
}
