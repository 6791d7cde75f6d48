//! What the report says of the rows: what was left out, what is missing.

use super::Collector;
use crate::analyst::{format::whole, ingest::columns::Role};

/// What a value is called that is the cost of a row.
const COST: &str = Role::Cost.label();

impl Collector {
    /// Says which rows and values were left out.
    pub(super) fn note_left_out(&mut self, summed: u64) {
        if self.unrecognised > 0 {
            self.report.unknown.push(format!(
                "{} count tokens in a form that is not known among the others of their file; they are left out, so totals may be too low.",
                rows(self.unrecognised)
            ));
        }
        if self.report.bad_rows > 0 {
            let reasons: Vec<&str> =
                self.report.bad_by_reason.iter().take(3).map(|(reason, _)| reason.as_str()).collect();
            let unusable = format!(
                "{} of {} could not be used ({}); the totals lack them.",
                whole(self.report.bad_rows as f64),
                rows(self.rows()),
                reasons.join("; ")
            );
            self.report.unknown.push(unusable);
        }
        if self.repeated_otherwise > 0 {
            self.report.unknown.push(format!(
                "{} with the id of another row and other tokens: of each id, the row with the most tokens counts. If these are requests of their own, the totals are too low.",
                rows(self.repeated_otherwise)
            ));
        }
        // A cost that is missing makes the sum of the costs wrong; another value is only missing in its own figures.
        for (what, count, reason) in self.unreadable.iter().filter(|(what, ..)| *what == COST) {
            self.report.unknown.push(format!(
                "The {what} of {} could not be read ({reason}): the costs that the log states are not complete.",
                rows(*count)
            ));
        }
        let notes = &mut self.report.notes;
        if self.repeated > 0 {
            notes.push(format!("Left out: {} with a request that is there already.", rows(self.repeated)));
        }
        if summed > 0 {
            notes.push(format!("Left out: {} with the sums of the spans below.", spans(summed)));
        }
        for (what, count) in &self.skipped {
            notes.push(format!("Left out: {} {what}.", whole(*count as f64)));
        }
        for (what, count, reason) in self.unreadable.iter().filter(|(what, ..)| *what != COST) {
            notes.push(format!("The {what} of {} could not be read ({reason}); they count without it.", rows(*count)));
        }
    }

    /// Says which columns are missing or incomplete.
    pub(super) fn note_columns(&mut self) {
        let (present, report) = (self.data.present(), &mut self.report);
        let is_bill = self.rows_of_money > 0 && !present.input && !present.output;
        if is_bill {
            report.unknown.push(
                "The log has amounts of money without tokens: it shows what was billed and for what. The numbers of requests and tokens, list prices and savings cannot be computed from it.".into(),
            );
            return;
        }
        if self.rows_of_money > 0 {
            report.unknown.push(format!(
                "From a bill: {} with an amount of money and no tokens. Usage that other rows count too is in the costs twice.",
                rows(self.rows_of_money)
            ));
        }
        if !present.output {
            report.unknown.push(
                "Output tokens were not found: they count as 0, so costs are too low and nothing is concluded from them.".into(),
            );
        } else if self.rows_without_output > 0 {
            report
                .notes
                .push(format!("Output tokens of {} are missing; they count as 0.", rows(self.rows_without_output)));
        }
        if !present.input {
            report.unknown.push(
                "Input tokens were not found: they count as 0, so costs are too low and nothing is concluded from them.".into(),
            );
        } else if self.rows_without_input > 0 {
            report
                .notes
                .push(format!("Input tokens of {} are missing; they count as 0.", rows(self.rows_without_input)));
        }
        if self.half_stated > 0 && present.input && present.output {
            report.unknown.push(format!(
                "Input or output tokens are missing in {} of requests that did not fail; the totals lack them.",
                rows(self.half_stated)
            ));
        }
        let silent = self.without_tokens.len();
        if silent > 0 && present.input {
            report.unknown.push(format!(
                "Token counts are missing in {} of requests that did not fail; the totals lack them.",
                rows(silent as u64)
            ));
        }
        if present.sums {
            report.notes.push(
                "Each row is a sum of requests: totals are exact; figures for one request (percentiles, latency, small requests) cannot be computed.".into(),
            );
        }
        if self.latency_from_end && present.latency {
            report.notes.push("Latency is the end time less the start time.".into());
        }
        if self.relative_time {
            report.notes.push("Times count from the start of the log, not from a date.".into());
        }
    }
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".into() } else { format!("{} rows", whole(count as f64)) }
}

pub(super) fn spans(count: u64) -> String {
    if count == 1 { "1 span".into() } else { format!("{} spans", whole(count as f64)) }
}
