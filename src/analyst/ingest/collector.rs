//! Turns the cells of CSV or JSON Lines into rows of the dataset; counts the rows that cannot be used.

use std::borrow::Cow;

use super::{
    BadRow, IngestError, IngestReport, SHOWN_BAD_ROWS, UsageLog,
    columns::{Column, Role},
    values,
};
use crate::analyst::dataset::{Dataset, MAX_ROWS, Row};

/// The text of a cell and its column, if the row has one.
pub(super) type Cell<'a> = Option<(Cow<'a, str>, Column)>;

/// The cells of one row, by role.
pub(super) type Cells<'a> = [Cell<'a>; Role::COUNT];

/// Most reasons counted separately; the rest are counted as "other reasons".
const MAX_REASONS: usize = 20;

/// Latencies without a unit are seconds if their median is below this, else milliseconds: few models answer in under
/// 50 ms, few requests take longer than 50 s.
const MAX_MEDIAN_SECONDS: f32 = 50.0;

/// Collects the rows of a log.
#[derive(Default)]
pub(super) struct RowCollector {
    data: Dataset,
    pub(super) report: IngestReport,
    /// Whether numbers are written with a decimal comma.
    pub(super) decimal_comma: bool,
    /// Rows without output tokens.
    rows_without_output: u64,
    /// Whether input tokens exclude cached ones in the file.
    input_excludes_cached: bool,
    /// Whether latency is computed from start and end times.
    latency_from_end: bool,
    /// Whether times count from the start of the log.
    relative_time: bool,
}

impl RowCollector {
    /// Rows so far, usable or not.
    pub(super) fn rows(&self) -> u64 {
        self.report.rows + self.report.bad_rows
    }

    /// Adds one row, or counts it as bad.
    ///
    /// # Errors
    /// [`IngestError::TooManyRows`].
    pub(super) fn add_row(&mut self, line: u64, cells: &Cells<'_>) -> Result<(), IngestError> {
        if self.data.len() >= MAX_ROWS {
            return Err(IngestError::TooManyRows);
        }
        match self.push_row(cells) {
            Ok(()) => self.report.rows += 1,
            Err(reason) => self.reject_row(line, reason),
        }
        Ok(())
    }

    /// Counts a row that cannot be used.
    pub(super) fn reject_row(&mut self, line: u64, reason: String) {
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

    /// Parses the cells and adds the row; the error is the reason why it cannot be used.
    fn push_row(&mut self, cells: &Cells<'_>) -> Result<(), String> {
        let count = |role: Role| match &cells[role as usize] {
            Some((cell, _)) => values::parse_tokens(cell, role.label()),
            None => Ok(None),
        };
        let time = |role: Role| match &cells[role as usize] {
            Some((cell, column)) => values::parse_time_ms(cell, column.unit),
            None => Ok(None),
        };
        let is_anthropic = |role: Role| cells[role as usize].as_ref().is_some_and(|(_, column)| column.anthropic);

        let (input, output) = (count(Role::Input)?, count(Role::Output)?);
        let (cached, cache_write) = (count(Role::Cached)?, count(Role::CacheWrite)?);
        let Some(mut input) = input.or(output.map(|_| 0).filter(|_| cells[Role::Input as usize].is_none())) else {
            return Err("input tokens are missing".into());
        };
        if is_anthropic(Role::Input) && (is_anthropic(Role::Cached) || is_anthropic(Role::CacheWrite)) {
            input = input.saturating_add(cached.unwrap_or(0)).saturating_add(cache_write.unwrap_or(0));
            self.input_excludes_cached = true;
        } else if let Some(cached) = cached.filter(|&cached| cached > input) {
            return Err(format!("more cached tokens than input tokens: {cached} of {input}"));
        }

        let (start, end) = (time(Role::Time)?, time(Role::End)?);
        self.relative_time |= start.is_some_and(|ms| ms.unsigned_abs() < 100_000_000_000);
        let latency_ms = self.parse_latency(cells, start, end)?;
        let cost = match &cells[Role::Cost as usize] {
            Some((cell, _)) => values::parse_number(cell, "cost", self.decimal_comma)?,
            None => None,
        };
        self.rows_without_output += u64::from(output.is_none());
        let model = cells[Role::Model as usize].as_ref().map(|(name, _)| name.trim()).filter(|name| !name.is_empty());
        let row = Row {
            time_ms: start.or(end),
            model,
            input,
            output: output.unwrap_or(0),
            cached,
            cache_write,
            latency_ms,
            cost,
        };
        self.data.push(&row, output.is_some());
        Ok(())
    }

    /// The latency in ms, from its column or from start and end. Negative while the unit is unknown, see
    /// [`Self::resolve_latency_unit`].
    fn parse_latency(
        &mut self,
        cells: &Cells<'_>,
        start: Option<i64>,
        end: Option<i64>,
    ) -> Result<Option<f32>, String> {
        if let Some((cell, column)) = &cells[Role::Latency as usize]
            && let Some(value) = values::parse_number(cell, "latency", self.decimal_comma)?
        {
            return Ok(Some(column.unit.map_or(-(value as f32), |unit| (value * unit.in_ms()) as f32)));
        }
        match (start, end) {
            (Some(start), Some(end)) if end < start => Err("ends before it starts".into()),
            (Some(start), Some(end)) => {
                self.latency_from_end = true;
                Ok(Some((end - start) as f32))
            }
            _ => Ok(None),
        }
    }

    /// Returns the log with a note for each assumption.
    ///
    /// # Errors
    /// [`IngestError::NoUsableRows`] when there is no usable row.
    pub(super) fn finish(mut self) -> Result<UsageLog, IngestError> {
        if self.data.is_empty() {
            return Err(self.no_usable_rows());
        }
        self.resolve_latency_unit();
        let (data, notes) = (&self.data, &mut self.report.notes);
        let present = data.present();
        if !present.output {
            notes.push("The log has no output tokens: they count as 0, so costs are too low.".into());
        } else if self.rows_without_output > 0 {
            notes.push(format!("{} rows have no output tokens; they count as 0.", self.rows_without_output));
        }
        if self.input_excludes_cached {
            notes.push("Input tokens exclude cached ones in this log (as in Anthropic's API); they are added, so input means all input tokens.".into());
        } else if present.cached {
            notes.push("Cached tokens count as a part of the input tokens.".into());
        }
        if self.latency_from_end {
            notes.push("Latency is the end time less the start time.".into());
        }
        if self.relative_time {
            notes.push("Times are small numbers: they count from the start of the log, not from a date.".into());
        }
        Ok(UsageLog { data: self.data, report: self.report })
    }

    /// Decides the unit of latencies without one by their median, and converts them to ms.
    fn resolve_latency_unit(&mut self) {
        let mut unitless: Vec<f32> = self.data.latency_ms.iter().filter(|ms| **ms < 0.0).map(|ms| -ms).collect();
        if unitless.is_empty() {
            return;
        }
        let middle = unitless.len() / 2;
        let (_, median, _) = unitless.select_nth_unstable_by(middle, f32::total_cmp);
        let (factor, unit) = if *median < MAX_MEDIAN_SECONDS { (1e3, "seconds") } else { (1.0, "milliseconds") };
        for ms in self.data.latency_ms.iter_mut().filter(|ms| **ms < 0.0) {
            *ms *= -factor;
        }
        let note = format!("The latency column has no unit; by its median of {median} it is read as {unit}.");
        self.report.notes.push(note);
    }

    fn no_usable_rows(&self) -> IngestError {
        let first: Vec<String> =
            self.report.first_bad.iter().map(|bad| format!("Line {}: {}.", bad.line, bad.reason)).collect();
        IngestError::NoUsableRows { rows: self.report.bad_rows, first: first.join(" ") }
    }
}

/// The first 40 names, and the number of the rest, for an error or report.
pub(super) fn name_list(names: &[String]) -> String {
    const SHOWN: usize = 40;
    let shown = names.iter().take(SHOWN).map(|name| clip(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A name for a report: without control characters, cut to 60 characters.
pub(super) fn clip(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}
