//! Turns the usage that sources read into rows of the dataset: counts each request once, decides units by evidence, and keeps
//! account of what is left out.

mod notes;

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hash},
};

use super::{
    BadRow, IngestError, IngestReport, SHOWN_BAD_ROWS,
    file_evidence::FileEvidence,
    nested,
    record::Record,
    span_tree::{SpanRow, SpanTree},
    table::{REMARK, TOTAL_ROW},
    units,
    usage::Usage,
    values::Unit,
};
use crate::analyst::{
    dataset::{Dataset, MAX_ROWS, Row, UNNAMED_MODEL},
    format::whole,
};

/// Most reasons counted separately; the rest are counted as "other reasons".
const MAX_REASONS: usize = 20;

/// More tokens than any model reads, and more than any writes, in one request: a row with more is a sum of requests.
const MAX_REQUEST_TOKENS: u64 = 20_000_000;
const MAX_ANSWER_TOKENS: u64 = 2_000_000;

/// The name of the column to group by that holds the file's name.
pub(super) const FILE: &str = "file";

/// Longest value to group by, in bytes; a longer one is a text.
const MAX_GROUP_BYTES: usize = 400;

/// Collects the rows of a log.
#[derive(Default)]
pub(super) struct Collector {
    data: Dataset,
    pub(super) report: IngestReport,
    /// For each request id (hashed), the row that counts.
    requests: HashMap<u64, u32>,
    spans: SpanTree,
    /// Rows that do not count.
    dropped: HashSet<u32>,
    repeated: u64,
    /// Those of logs of no known source that have more input or output than the row that counts, or another input.
    repeated_otherwise: u64,
    rows_without_output: u64,
    rows_without_input: u64,
    /// Rows of logs of no known source that state one of input and output only, although nothing explains it.
    half_stated: u64,
    /// Rows that state no tokens, although their requests did not fail.
    without_tokens: HashSet<u32>,
    /// Rows with an amount of money and nothing else, as in bills.
    rows_of_money: u64,
    /// What the rows of the file that is read now show of its columns.
    pub(super) file: FileEvidence,
    /// The file's name, if rows are grouped by it.
    file_name: Option<String>,
    /// Records left out, by what they are.
    skipped: Vec<(&'static str, u64)>,
    /// Values that could not be read, by what they are, with the first reason.
    unreadable: Vec<(&'static str, u64, String)>,
    /// Records with token counts that no source of their file knows.
    unrecognised: u64,
    latency_from_end: bool,
    relative_time: bool,
    hasher: std::hash::RandomState,
}

impl Collector {
    /// Rows so far, usable or not.
    pub(super) fn rows(&self) -> u64 {
        self.data.len() as u64 + self.report.bad_rows
    }

    /// Whether there is no room for another row.
    pub(super) fn is_full(&self) -> bool {
        self.data.len() >= MAX_ROWS
    }

    /// Counts a row that cannot be used.
    pub(super) fn reject(&mut self, line: u64, reason: String) {
        let report = &mut self.report;
        report.bad_rows += 1;
        let kind = reason.split(':').next().unwrap_or_default();
        let full = report.bad_by_reason.len() >= MAX_REASONS;
        match report.bad_by_reason.iter_mut().find(|(known, _)| known == kind || (full && known == "other reasons")) {
            Some((_, count)) => *count += 1,
            None => report.bad_by_reason.push((if full { "other reasons" } else { kind }.to_owned(), 1)),
        }
        if report.first_bad.len() < SHOWN_BAD_ROWS {
            report.first_bad.push(BadRow { line, reason });
        }
    }

    /// Counts a row of a table that cannot be read: one with totals or a remark is no request, any other is a bad row.
    pub(super) fn leave_out(&mut self, line: u64, reason: String) {
        match reason.as_str() {
            TOTAL_ROW => self.skip("rows with totals"),
            REMARK => self.skip("lines that are no rows"),
            _ => self.reject(line, reason),
        }
    }

    /// Counts a record that is left out because it is no request.
    pub(super) fn skip(&mut self, what: &'static str) {
        match self.skipped.iter_mut().find(|(known, _)| *known == what) {
            Some((_, count)) => *count += 1,
            None => self.skipped.push((what, 1)),
        }
    }

    /// Leaves out a record that no source of its file knows. One that counts tokens all the same is missing in the totals.
    pub(super) fn leave_unrecognised(&mut self, record: Record<'_>) {
        match record {
            Record::Object(value) if nested::has_usage(value) => self.unrecognised += 1,
            _ => self.skip("lines that are no requests"),
        }
    }

    /// Counts a value that cannot be read: its row counts without it.
    pub(super) fn unreadable(&mut self, what: &'static str, reason: String) {
        match self.unreadable.iter_mut().find(|(known, ..)| *known == what) {
            Some((_, count, _)) => *count += 1,
            None => self.unreadable.push((what, 1, reason)),
        }
    }

    /// States what the log does not show, once.
    pub(super) fn state_unknown(&mut self, statement: &str) {
        if !self.report.unknown.iter().any(|known| known == statement) {
            self.report.unknown.push(statement.to_owned());
        }
    }

    /// Adds a span that has no usage itself, so that spans below and above it are known to belong together.
    pub(super) fn add_span(&mut self, id: &str, parent: Option<&str>) {
        let (id, parent) = (self.hash(id), parent.map(|parent| self.hash(parent)));
        self.spans.add(id, parent);
    }

    fn hash(&self, text: impl Hash) -> u64 {
        self.hasher.hash_one(text)
    }

    /// Adds one row and returns its number; `None` if another row counts for its request.
    pub(super) fn push(&mut self, usage: &Usage<'_>) -> Option<u32> {
        let at = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        if !self.is_first(usage, at) {
            return None;
        }
        if let Some((id, parent)) = &usage.span {
            let (id, parent) = (self.hash(id.as_ref()), parent.as_ref().map(|parent| self.hash(parent.as_ref())));
            let failed = usage.failed == Some(true);
            self.spans.add_row(id, parent, SpanRow { at, has_tokens: usage.has_tokens(), failed });
        }
        self.file.add(usage);
        if !usage.has_tokens() && !usage.is_money_only() && usage.failed != Some(true) {
            self.without_tokens.insert(at);
        }
        if usage.is_money_only() {
            self.rows_of_money += 1;
        } else {
            let is_half = usage.input.is_none() != usage.output.is_none();
            let is_explained = usage.failed == Some(true) || usage.kind != crate::analyst::dataset::Kind::Chat;
            self.half_stated += u64::from(is_half && !is_explained && self.file.infer_parts);
            self.rows_without_input += u64::from(usage.input.is_none());
            self.rows_without_output += u64::from(usage.output.is_none());
        }
        self.relative_time |= usage.start_ms.is_some_and(|ms| ms.unsigned_abs() < 100_000_000_000);
        let file = self.file_name.clone();
        let groups: Vec<(&str, &str)> = file
            .iter()
            .map(|name| (FILE, name.as_str()))
            .chain(usage.groups.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))
            .filter(|(_, value)| value.len() <= MAX_GROUP_BYTES)
            .collect();
        let latency_ms = self.latency_ms(usage);
        let row = Row {
            time_ms: usage.start_ms.or(usage.end_ms),
            model: usage.model.as_deref().map(str::trim).filter(|name| !name.is_empty()),
            input: usage.input,
            output: usage.output,
            cached: usage.cached,
            cache_write: usage.cache_write,
            cache_write_1h: usage.cache_write_1h,
            reasoning: usage.reasoning,
            audio_input: usage.audio_input,
            audio_output: usage.audio_output,
            latency_ms,
            first_token_ms: usage.first_token.map(in_ms),
            cost: usage.cost.as_ref().map(|cost| cost.amount),
            currency: usage.cost.as_ref().and_then(|cost| cost.currency),
            requests: usage.requests,
            period_ms: usage.period_ms,
            tier: usage.tier,
            kind: usage.kind,
            failed: usage.failed,
            groups: &groups,
        };
        self.data.push(&row);
        Some(at)
    }

    /// Adds cached tokens to the input of these rows: the log states them beside it.
    pub(super) fn add_cache_to_input(&mut self, rows: &[u32]) {
        for at in rows.iter().map(|at| *at as usize) {
            let cache = self.data.cached(at).saturating_add(self.data.cache_write(at));
            if let Some(input) = self.data.input.get_mut(at) {
                *input = input.saturating_add(cache);
            }
        }
    }

    /// Whether this is the row that counts for its request so far; the other one is dropped.
    fn is_first(&mut self, usage: &Usage<'_>, at: u32) -> bool {
        let Some(id) = &usage.request_id else { return true };
        let id = self.hash(id.as_ref());
        let Some(known) = self.requests.insert(id, at) else { return true };
        self.repeated += 1;
        let at_known = known as usize;
        let [input, output] = [usage.input.unwrap_or(0), usage.output.unwrap_or(0)];
        let known_output = self.data.output.get(at_known).copied().unwrap_or(0);
        let known_input = self.data.input.get(at_known).copied().unwrap_or(0);
        let differs = (input != known_input && input > 0 && known_input > 0)
            || (input > known_input && output < known_output)
            || (input < known_input && output > known_output);
        self.repeated_otherwise += u64::from(differs && self.file.infer_parts);
        let tokens = usage.input.unwrap_or(0).saturating_add(usage.output.unwrap_or(0));
        if tokens < self.data.tokens(known as usize) {
            self.requests.insert(id, known);
            return false;
        }
        self.dropped.insert(known);
        true
    }

    /// The latency in ms, from its field or from start and end. Negative while its unit is unknown.
    fn latency_ms(&mut self, usage: &Usage<'_>) -> Option<f32> {
        if let Some(latency) = usage.latency {
            return Some(in_ms(latency));
        }
        match (usage.start_ms, usage.end_ms) {
            (Some(start), Some(end)) if end >= start && usage.requests.is_none() => {
                self.latency_from_end = true;
                Some((end - start) as f32)
            }
            (Some(start), Some(end)) if end < start => {
                self.unreadable("latency", "ends before it starts".into());
                None
            }
            _ => None,
        }
    }

    /// Starts a file; with a name, its rows can be grouped by it.
    pub(super) fn begin_file(&mut self, name: Option<&str>) {
        self.file = FileEvidence::new(self.data.len());
        self.file_name = name.map(str::to_owned);
    }

    /// Ends a file: decides by the evidence of all its rows what its columns mean.
    pub(super) fn end_file(&mut self) {
        std::mem::take(&mut self.file).apply(&mut self.data, &mut self.report);
    }

    /// Returns the log and its report.
    ///
    /// # Errors
    /// [`IngestError::NoUsableRows`] when there is no usable row.
    pub(super) fn finish(mut self) -> Result<(Dataset, IngestReport), IngestError> {
        if self.data.is_empty() {
            return Err(self.no_usable_rows());
        }
        let summed = self.drop_summing_spans();
        if !self.dropped.is_empty() {
            let dropped = std::mem::take(&mut self.dropped);
            self.without_tokens.retain(|at| !dropped.contains(at));
            self.data.retain(|i| u32::try_from(i).is_ok_and(|i| !dropped.contains(&i)));
        }
        self.clear_single_sums();
        self.drop_total_row();
        self.recognise_large_sums();
        units::resolve(&mut self.data, &mut self.report);
        self.report.rows = self.data.len() as u64;
        self.note_left_out(summed);
        self.note_columns();
        Ok((self.data, self.report))
    }

    /// Rows with more tokens than a request can have: all are sums.
    fn recognise_large_sums(&mut self) {
        let data = &mut self.data;
        let is_large = |i| data.tokens(i) > MAX_REQUEST_TOKENS || data.output[i] > MAX_ANSWER_TOKENS;
        if !data.present().sums && (0..data.len()).any(is_large) {
            data.mark_as_sums(None);
            self.report.notes.push(format!(
                "Some rows have more than {} tokens, or more than {} in the answer, more than any request: every row counts as a sum of requests.",
                whole(MAX_REQUEST_TOKENS as f64),
                whole(MAX_ANSWER_TOKENS as f64)
            ));
        }
    }

    /// Sums of one request each are requests.
    fn clear_single_sums(&mut self) {
        if self.data.present().sums && self.data.requests.iter().all(|n| *n == 1) {
            self.data.clear_sums();
        }
    }

    /// Drops rows of spans that do not count beside the spans below or above them; returns how many sum up others.
    fn drop_summing_spans(&mut self) -> u64 {
        let found = self.spans.find(&self.data, &self.dropped);
        if found.with_more > 0 {
            self.report.unknown.push(format!(
                "Not all requests may be in the log: {} that sum up others have more tokens than the spans below them.",
                notes::spans(found.with_more),
            ));
        }
        let before = self.dropped.len();
        self.dropped.extend(found.summing);
        let summed = self.dropped.len() - before;
        let silent = found.empty.iter().filter(|at| self.without_tokens.remove(at)).count() as u64;
        self.rows_without_input = self.rows_without_input.saturating_sub(silent);
        self.rows_without_output = self.rows_without_output.saturating_sub(silent);
        self.dropped.extend(found.empty);
        summed as u64
    }

    /// Drops a row without time and model that is the sum of all others: a line of totals.
    fn drop_total_row(&mut self) {
        let data = &self.data;
        if data.len() < 3 {
            return;
        }
        let unnamed = |i: usize| {
            data.models.get(data.model_index(i)).is_none_or(|name| name == UNNAMED_MODEL || super::is_total_label(name))
        };
        let (input, output) = (data.input.iter().sum::<u64>(), data.output.iter().sum::<u64>());
        let is_sum = |i: usize| data.input[i] * 2 == input && data.output[i] * 2 == output && data.tokens(i) > 0;
        // A row of totals lacks what the others have: time or model.
        let others_named = |at: usize| (0..data.len()).all(|i| i == at || !unnamed(i));
        let stands_out = |i: usize| match data.present().time {
            true => data.time(i).is_none(),
            false => others_named(i),
        };
        let total = (0..data.len()).find(|&i| unnamed(i) && is_sum(i) && stands_out(i));
        if let Some(total) = total {
            self.data.retain(|i| i != total);
            self.skip("rows with totals");
        }
    }

    fn no_usable_rows(&self) -> IngestError {
        let first: Vec<String> =
            self.report.first_bad.iter().map(|bad| format!("Line {}: {}.", bad.line, bad.reason)).collect();
        IngestError::NoUsableRows { rows: self.report.bad_rows, first: first.join(" ") }
    }
}

/// A time in ms; negative if its unit is unknown.
fn in_ms((value, unit): (f64, Option<Unit>)) -> f32 {
    unit.map_or(-(value as f32), |unit| (value * unit.in_ms()) as f32)
}
