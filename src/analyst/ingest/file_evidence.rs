//! What all rows of one file show of its columns: whether cached and reasoning tokens stand beside input and output, whether
//! rows are sums of a day, which columns have values that repeat.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::BuildHasher,
    ops::Range,
};

use super::{IngestReport, collector::FILE, synonyms::GROUPS, usage::Usage};
use crate::analyst::{
    dataset::{Dataset, NO_VALUE},
    format::whole,
};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// Rows with more tokens than this, on average over a log without times and ids, count as sums of requests.
const LARGE_REQUEST: u64 = 100_000;

/// From this many requests on that cost the same as another of at most half or at least twice their tokens, costs count as unit prices.
const MIN_UNIT_PRICES: u64 = 3;

/// How the parts of a row make up the total that it states.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    /// Rows with a total.
    stated: u64,
    /// Input and output.
    plain: u64,
    /// Input, output and reasoning: reasoning stands beside the output.
    with_reasoning: u64,
    /// Input, output and cache: cached tokens stand beside the input.
    with_cache: u64,
    /// All of them.
    with_both: u64,
}

/// The evidence of one file.
#[derive(Debug, Default)]
pub(super) struct FileEvidence {
    /// The first row of the file.
    start: usize,
    /// Whether cached and reasoning tokens may be added by evidence: the file is of no known source.
    pub(super) infer_parts: bool,
    /// Whether input tokens exclude cached ones in the file, by its names.
    pub(super) input_excludes_cache: bool,
    /// Whether output tokens exclude reasoning in the file, by its names.
    pub(super) output_excludes_reasoning: bool,
    /// Whether the names leave open if input includes cached tokens.
    pub(super) cache_may_be_beside: bool,
    /// Whether times are named as those of a period (`hour`, `week`).
    pub(super) by_period: bool,
    /// Whether a row has the id of a request or a span.
    has_ids: bool,
    /// Rows with more reasoning tokens than output tokens.
    reasoning_exceeds_output: u64,
    /// Rows with more cached tokens than input tokens.
    cache_exceeds_input: u64,
    totals: Totals,
}

impl FileEvidence {
    /// Starts a file whose rows begin at `start`.
    pub(super) fn new(start: usize) -> Self {
        Self { start, ..Self::default() }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, usage: &Usage<'_>) {
        self.has_ids |= usage.request_id.is_some() || usage.span.is_some();
        let within = |part: Option<u64>| part.is_none_or(|part| part <= usage.input.unwrap_or(0));
        self.cache_exceeds_input += u64::from(!within(usage.cached) || !within(usage.cache_write));
        self.reasoning_exceeds_output += u64::from(usage.reasoning.unwrap_or(0) > usage.output.unwrap_or(0));
        let (Some(total), Some(input), Some(output)) = (usage.total, usage.input, usage.output) else { return };
        let sum = input.saturating_add(output);
        let reasoning = usage.reasoning.unwrap_or(0);
        let cache = usage.cached.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
        let totals = &mut self.totals;
        totals.stated += 1;
        totals.plain += u64::from(total == sum);
        totals.with_reasoning += u64::from(total == sum.saturating_add(reasoning));
        totals.with_cache += u64::from(total == sum.saturating_add(cache));
        totals.with_both += u64::from(total == sum.saturating_add(reasoning).saturating_add(cache));
    }

    /// Decides what the columns mean.
    pub(super) fn apply(self, data: &mut Dataset, report: &mut IngestReport) {
        self.add_cache(data, report);
        self.add_parts(data, report);
        drop_unique_groups(data);
        if self.infer_parts {
            self.recognise_daily_sums(data, report);
            self.recognise_sums_without_time(data, report);
            self.recognise_unit_prices(data, report);
        }
    }

    /// Adds cached tokens to the input if rows show that it excludes them; says how they are counted.
    fn add_cache(&self, data: &mut Dataset, report: &mut IngestReport) {
        let note = if self.input_excludes_cache {
            "Input tokens exclude cached ones in this log (by its names, as in Anthropic's API); they are added, so input means all input tokens."
        } else if self.infer_parts && self.cache_exceeds_input > 0 {
            for i in self.start..data.len() {
                data.input[i] += data.cached(i).saturating_add(data.cache_write(i));
            }
            "Some rows have more cached tokens than input tokens, so input excludes cached ones in this log; they are added."
        } else if self.infer_parts && self.cache_may_be_beside && !self.totals_show_parts() {
            report.unknown.push(
                "The log does not show whether input tokens include cached ones: they count as a part of it. If they stand beside it, input and costs are too low.".into(),
            );
            return;
        } else if self.infer_parts && data.present().cached {
            "Cached tokens count as a part of the input tokens."
        } else {
            return;
        };
        report.notes.push(note.into());
    }

    /// Whether most rows state a total, which then shows if cached tokens are parts.
    fn totals_show_parts(&self) -> bool {
        let totals = self.totals;
        let best = [totals.plain, totals.with_reasoning, totals.with_cache, totals.with_both].into_iter().max();
        totals.stated > 0 && best.unwrap_or(0) * 100 >= totals.stated * 99
    }

    /// Adds reasoning tokens to the output if rows have more of them than of output.
    fn add_reasoning(&self, data: &mut Dataset, report: &mut IngestReport) -> bool {
        if self.output_excludes_reasoning {
            report.notes.push(
                "Output tokens exclude reasoning in this log (by its names, as in Gemini's API); it is added.".into(),
            );
            return true;
        }
        let stands_beside = self.infer_parts && self.reasoning_exceeds_output > 0;
        if stands_beside {
            for i in self.start..data.len() {
                data.output[i] += data.reasoning(i);
            }
            report.notes.push("Some rows have more reasoning tokens than output tokens, so output excludes reasoning in this log; it is added.".into());
        }
        stands_beside
    }

    /// Adds cached or reasoning tokens to input or output if the stated totals show that they stand beside them.
    fn add_parts(&self, data: &mut Dataset, report: &mut IngestReport) {
        let totals = self.totals;
        let has_reasoning = self.add_reasoning(data, report);
        // 99 of 100 rows decide; the simplest explanation wins.
        let explains = |rows: u64| rows * 100 >= totals.stated * 99;
        let candidates = [
            (totals.plain, false, false),
            (totals.with_reasoning, true, false),
            (totals.with_cache, false, true),
            (totals.with_both, true, true),
        ];
        match candidates.into_iter().find(|(rows, ..)| explains(*rows)) {
            Some((_, reasoning, cache)) if self.infer_parts && (reasoning || cache) => {
                let (cache, reasoning) = (cache && self.cache_exceeds_input == 0, reasoning && !has_reasoning);
                for i in self.start..data.len() {
                    let (reasoned, cached) = (data.reasoning(i), data.cached(i).saturating_add(data.cache_write(i)));
                    data.output[i] += if reasoning { reasoned } else { 0 };
                    data.input[i] += if cache { cached } else { 0 };
                }
                let what = match (reasoning, cache) {
                    (true, false) => "reasoning tokens stand beside the output",
                    (false, true) => "cached tokens stand beside the input",
                    (false, false) => return,
                    _ => "cached tokens stand beside the input and reasoning tokens beside the output",
                };
                report.notes.push(format!("By the stated totals, {what}; they are added."));
            }
            Some(_) => {}
            None => {
                let best = candidates.iter().map(|(rows, ..)| *rows).max().unwrap_or(0);
                report.unknown.push(format!(
                    "In {} of {} rows the stated total of tokens is not the sum of the parts; the parts are counted.",
                    whole((totals.stated - best) as f64),
                    whole(totals.stated as f64)
                ));
            }
        }
    }

    /// Dates without a time of day, each with one row for each combination of the other columns: the rows are sums of a day.
    fn recognise_daily_sums(&self, data: &mut Dataset, report: &mut IngestReport) {
        let range = self.start..data.len();
        if data.present().sums || range.len() < 2 {
            return;
        }
        let is_date = |time: i64| self.by_period || time.rem_euclid(DAY) == 0;
        if !range.clone().all(|i| data.time(i).is_some_and(is_date)) || !are_distinct(data, range) {
            return;
        }
        data.mark_as_sums(if self.by_period { None } else { Some(DAY) });
        let (times, sum) = match self.by_period {
            true => ("the beginnings of periods", "the sum of a period"),
            false => ("dates alone", "the sum of a day"),
        };
        report.notes.push(format!(
            "Times are {times}, with one row for each of them and each combination of the other columns: each row counts as {sum}."
        ));
    }

    /// Rows without time, id and latency, one for each combination of the other columns: they may be sums of requests. Large ones
    /// count as sums; for small ones the report says that the log does not show which they are.
    fn recognise_sums_without_time(&self, data: &mut Dataset, report: &mut IngestReport) {
        let range = self.start..data.len();
        let present = data.present();
        if present.sums || present.time || present.latency || self.has_ids || !present.model || range.len() < 2 {
            return;
        }
        if !are_distinct(data, range.clone()) {
            return;
        }
        let tokens: u64 = range.clone().map(|i| data.tokens(i)).fold(0, u64::saturating_add);
        if tokens / range.len() as u64 > LARGE_REQUEST {
            data.mark_as_sums(None);
            report.notes.push(
                "Rows have no time and no id, there is one for each combination of the other columns, and they are large: each row counts as a sum of requests.".into(),
            );
        } else {
            report.unknown.push(
                "The log does not show whether a row is one request or the sum of several: rows have no time and no id, and there is one for each combination of the other columns. Each counts as one request.".into(),
            );
        }
    }

    /// Costs that are the same for every request of a model, whatever its tokens, are unit prices: they are removed.
    fn recognise_unit_prices(&self, data: &mut Dataset, report: &mut IngestReport) {
        let mut first: HashMap<usize, (f64, u64)> = HashMap::new();
        let mut with_other_tokens = 0u64;
        for i in self.start..data.len() {
            let Some((cost, _)) = data.cost(i).filter(|_| data.tokens(i) > 0) else { continue };
            let tokens = data.tokens(i);
            let (known_cost, known_tokens) = *first.entry(data.model_index(i)).or_insert((cost, tokens));
            if cost != known_cost || cost == 0.0 {
                return;
            }
            // Costs of requests that differ this much cannot be equal by rounding.
            with_other_tokens += u64::from(tokens.max(known_tokens) >= tokens.min(known_tokens).saturating_mul(2));
        }
        if with_other_tokens >= MIN_UNIT_PRICES {
            data.clear_costs(self.start);
            report.unknown.push(
                "The costs in the log are the same for every request of a model, whatever its tokens: they seem to be prices of a unit, and are not counted as costs.".into(),
            );
        }
    }
}

/// Whether there is one row for each combination of time, model and columns to group by.
fn are_distinct(data: &Dataset, mut rows: Range<usize>) -> bool {
    let (hasher, mut seen) = (RandomState::new(), HashSet::new());
    rows.all(|i| {
        let groups: Vec<u16> = data.groups.iter().map(|column| column.codes[i]).collect();
        seen.insert(hasher.hash_one((data.time(i), data.model_index(i), groups)))
    })
}

/// Drops the columns of a table that are not known to be ones to group by, and whose values do not repeat.
fn drop_unique_groups(data: &mut Dataset) {
    let rows = data.len();
    data.retain_groups(|column| {
        let named =
            GROUPS.iter().any(|(name, _)| *name == column.name) || [FILE, "status"].contains(&column.name.as_str());
        let valued = column.codes.iter().filter(|code| **code != NO_VALUE).count();
        let repeats = column.values.len() * 2 <= valued.max(1) || (rows < 20 && column.values.len() < valued);
        let is_numeric = column.values.iter().all(|value| value.parse::<f64>().is_ok());
        named || (repeats && column.values.len() > 1 && !(is_numeric && column.values.len() > 20))
    });
}
