//! Where sources put what they read.

use super::{collector::Collector, usage::Usage};

/// Takes what a source reads from one record.
pub struct Sink<'c> {
    pub(super) collector: &'c mut Collector,
    /// The line, or the position, of the record that is read.
    pub(super) line: u64,
}

impl Sink<'_> {
    /// Adds a row and returns its number; `None` if another row counts for its request, or a count cannot be true.
    pub fn push(&mut self, mut usage: Usage<'_>) -> Option<u32> {
        if usage.remove_impossible_times() {
            self.collector.unreadable("time", "it is not in the years up to 9999".into());
        }
        if usage.is_impossible() {
            self.reject("a count is impossibly large".into());
            return None;
        }
        self.collector.push(&usage)
    }

    /// Adds cached tokens to the input of rows pushed before, of which it turned out that the log states them beside it.
    pub fn add_cache_to_input(&mut self, rows: &[u32]) {
        self.collector.add_cache_to_input(rows);
    }

    /// Says what was assumed.
    pub fn note(&mut self, text: String) {
        self.collector.report.notes.push(text);
    }

    /// States before all figures what the log does not show; once, however often it is called.
    pub fn unknown(&mut self, statement: &str) {
        self.collector.state_unknown(statement);
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.collector.rows()
    }

    /// Leaves a record out because it is no request; `what` names such records in the plural.
    pub fn skip(&mut self, what: &'static str) {
        self.collector.skip(what);
    }

    /// Counts a part of the record that cannot be used, such as one of its spans; the others count.
    pub fn reject(&mut self, reason: String) {
        self.collector.reject(self.line, reason);
    }

    /// Records a span without usage, so that spans above and below it are known to belong together.
    pub fn span(&mut self, id: &str, parent: Option<&str>) {
        self.collector.add_span(id, parent);
    }

    /// A value whose row counts also without it: one that cannot be read is counted and left out.
    pub fn optional<T>(&mut self, what: &'static str, value: Result<Option<T>, String>) -> Option<T> {
        value.unwrap_or_else(|reason| {
            self.collector.unreadable(what, reason);
            None
        })
    }
}
