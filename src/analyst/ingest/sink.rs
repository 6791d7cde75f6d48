//! Where both formats meet: cells by role become rows of the dataset, or counted refusals.

use std::borrow::Cow;

use super::{
    BadRow, IngestReport, LoadError, Log, SHOWN_BAD_ROWS,
    columns::{Column, Role},
    values,
};
use crate::analyst::dataset::{Dataset, MAX_ROWS, Row};

/// A recognised cell and its column.
pub(super) type Cell<'a> = Option<(Cow<'a, str>, Column)>;

/// The cells of one row, by role.
pub(super) type Cells<'a> = [Cell<'a>; Role::COUNT];

/// How many reasons are counted apart; more fall under "other reasons".
const MAX_REASONS: usize = 20;

/// A latency without a unit is in seconds when the median is below this, else in milliseconds: few models answer in
/// under 50 ms, few requests take longer than 50 s.
const SECONDS_BELOW: f32 = 50.0;

/// Collects rows.
#[derive(Default)]
pub(super) struct Sink {
    data: Dataset,
    pub(super) report: IngestReport,
    /// Whether numbers are written with a decimal comma.
    pub(super) comma: bool,
    no_output: u64,
    excluded_cache: bool,
    latency_from_end: bool,
    relative_time: bool,
}

impl Sink {
    /// Rows seen so far.
    pub(super) fn rows(&self) -> u64 {
        self.report.rows + self.report.bad_rows
    }

    /// Takes one row, or counts why not.
    pub(super) fn row(&mut self, line: u64, cells: &Cells<'_>) -> Result<(), LoadError> {
        if self.data.len() >= MAX_ROWS {
            return Err(LoadError::TooManyRows);
        }
        match self.read(cells) {
            Ok(()) => self.report.rows += 1,
            Err(reason) => self.bad(line, reason),
        }
        Ok(())
    }

    /// Counts a row that cannot be used.
    pub(super) fn bad(&mut self, line: u64, reason: String) {
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

    fn read(&mut self, cells: &Cells<'_>) -> Result<(), String> {
        let count = |role: Role| match &cells[role as usize] {
            Some((cell, _)) => values::tokens(cell, role.label()),
            None => Ok(None),
        };
        let time = |role: Role| match &cells[role as usize] {
            Some((cell, column)) => values::time_ms(cell, column.unit),
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
            self.excluded_cache = true;
        } else if let Some(cached) = cached.filter(|&cached| cached > input) {
            return Err(format!("more cached tokens than input tokens: {cached} of {input}"));
        }

        let (start, end) = (time(Role::Time)?, time(Role::End)?);
        self.relative_time |= start.is_some_and(|ms| ms.unsigned_abs() < 100_000_000_000);
        let latency = match &cells[Role::Latency as usize] {
            Some((cell, column)) => values::number(cell, "latency", self.comma)?.map(|value| match column.unit {
                Some(unit) => (value * unit.in_ms()) as f32,
                // Negative until `finish` has seen the median and knows the unit.
                None => -(value as f32),
            }),
            None => None,
        };
        let latency = match (latency, start, end) {
            (Some(latency), ..) => Some(latency),
            (None, Some(start), Some(end)) if end < start => return Err("ends before it starts".into()),
            (None, Some(start), Some(end)) => {
                self.latency_from_end = true;
                Some((end - start) as f32)
            }
            _ => None,
        };
        let cost = match &cells[Role::Cost as usize] {
            Some((cell, _)) => values::number(cell, "cost", self.comma)?,
            None => None,
        };
        self.no_output += u64::from(output.is_none());
        let model = cells[Role::Model as usize].as_ref().map(|(name, _)| name.trim()).filter(|name| !name.is_empty());
        let row = Row {
            time_ms: start.or(end),
            model,
            input,
            output: output.unwrap_or(0),
            cached,
            cache_write,
            latency_ms: latency,
            cost,
        };
        self.data.push(&row, output.is_some());
        Ok(())
    }

    /// The log, with the assumptions made on the way written down.
    pub(super) fn finish(mut self) -> Result<Log, LoadError> {
        if self.data.is_empty() {
            return Err(self.nothing());
        }
        self.settle_latency();
        let (data, notes) = (&self.data, &mut self.report.notes);
        let present = data.present();
        if !present.output {
            notes.push("The log has no output tokens: they count as 0, so costs are too low.".into());
        } else if self.no_output > 0 {
            notes.push(format!("{} rows have no output tokens; they count as 0.", self.no_output));
        }
        if self.excluded_cache {
            notes.push("Input tokens exclude cached ones in this log (Anthropic's way); here they are added, so input means all.".into());
        } else if present.cached {
            notes.push("Cached tokens count as a part of the input tokens.".into());
        }
        if self.latency_from_end {
            notes.push("Latency is the end time less the start time.".into());
        }
        if self.relative_time {
            notes.push("Times are small numbers: they count from the log's own zero, not from a date.".into());
        }
        Ok(Log { data: self.data, report: self.report })
    }

    fn settle_latency(&mut self) {
        let mut unitless: Vec<f32> = self.data.latency_ms.iter().filter(|ms| **ms < 0.0).map(|ms| -ms).collect();
        if unitless.is_empty() {
            return;
        }
        let middle = unitless.len() / 2;
        let (_, median, _) = unitless.select_nth_unstable_by(middle, f32::total_cmp);
        let (factor, unit) = if *median < SECONDS_BELOW { (1e3, "seconds") } else { (1.0, "milliseconds") };
        for ms in self.data.latency_ms.iter_mut().filter(|ms| **ms < 0.0) {
            *ms *= -factor;
        }
        let note = format!("The latency column names no unit; its median of {median} says {unit}.");
        self.report.notes.push(note);
    }

    fn nothing(&self) -> LoadError {
        let first: Vec<String> =
            self.report.first_bad.iter().map(|bad| format!("Line {}: {}.", bad.line, bad.reason)).collect();
        LoadError::AllBad { rows: self.report.bad_rows, first: first.join(" ") }
    }
}

/// A list of names for an error or report: the first forty, and how many more.
pub(super) fn name_list(names: &[String]) -> String {
    const SHOWN: usize = 40;
    let shown = names.iter().take(SHOWN).map(|name| clip(name)).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A name as reports show it: without control characters, cut to 60.
pub(super) fn clip(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}
