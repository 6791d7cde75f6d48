//! The profile of a log: sums, percentiles, rates, peaks, and breakdowns by model, prompt size and time.
//!
//! Guarantees: percentiles are nearest-rank (the smallest value that at least p % of the values do not exceed), so each
//! is a value of the log; rates count a request in the minute in which it starts; days and hours are
//! those of the time zone asked for.

mod calendar;
mod failures;
mod load;
mod money;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use jiff::tz::TimeZone;
use serde::Serialize;

use self::calendar::Clock;
pub(super) use self::money::{Costs, has_tokens};
pub use self::{
    failures::{Failures, Retries},
    load::{HeaviestShare, Load},
    parts::{Grouping, Segment},
};
use super::{
    dataset::{Dataset, Kind},
    ingest::{IngestError, StopFn},
    pricing::Pricing,
    stats::{LatencyFit, Stats},
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Most segments of a grouping; the rest is counted together.
pub const MAX_SEGMENTS: usize = 50;

/// Longest time between a failed request and one that repeats it, in ms.
pub const RETRY_MS: i64 = MINUTE;

/// Upper bounds of the prompt-size classes, in input tokens; the class after the last is unbounded.
pub const SIZE_CLASSES: [u64; 5] = [256, 1024, 4096, 16_384, 65_536];

/// How the cost of a log is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CostBasis {
    /// Not at all: no logged cost, and no model has a price.
    #[default]
    None,
    /// As logged.
    Logged,
    /// As logged; at list prices in rows without a logged cost.
    Mixed,
    /// At list prices.
    List,
}

/// How a log is profiled.
#[derive(Debug, Clone)]
pub struct ProfileOptions {
    /// The time zone of days and hours.
    pub time_zone: TimeZone,
    /// Its name in reports; by default that of the time zone database.
    pub time_zone_name: Option<String>,
}

impl ProfileOptions {
    /// The name of the time zone: `Berlin time`, `Europe/Berlin`, `UTC`, `+02:00`.
    fn name(&self) -> String {
        self.time_zone_name.clone().unwrap_or_else(|| zone_name(&self.time_zone))
    }
}

impl Default for ProfileOptions {
    fn default() -> Self {
        Self { time_zone: TimeZone::UTC, time_zone_name: None }
    }
}

/// The profile of a log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Profile {
    /// Rows: requests, or sums of requests.
    pub rows: u64,
    /// Requests; `None` if rows are sums that do not state their number.
    pub requests: Option<u64>,
    /// Whether rows are sums of requests. Then all figures of single requests are absent.
    pub sums: bool,
    /// Figures that are left out, and why, in sentences.
    pub left_out: Vec<String>,
    /// Whether the log has input tokens. If not, `input_tokens` is 0 and nothing follows from it.
    pub input_known: bool,
    /// Whether the log has output tokens. If not, `output_tokens` is 0 and nothing follows from it.
    pub output_known: bool,
    /// All input tokens.
    pub input_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
    /// Input tokens of a chat request that did not fail; `None` for sums and logs without input tokens.
    pub input: Option<Stats>,
    /// Output tokens of a chat request that did not fail; `None` for sums and logs without output tokens.
    pub output: Option<Stats>,
    /// Latency in ms of a request that did not fail, if the log has it and rows are single requests.
    pub latency: Option<Stats>,
    /// Latency of each entry of `by_model`, if the log has it.
    pub latency_by_model: Vec<Stats>,
    /// Latency as a function of tokens, if the log has it and tokens vary.
    pub latency_fit: Option<LatencyFit>,
    /// Time to the first token in ms of a request that did not fail, if the log has it and rows are single requests.
    pub first_token: Option<Stats>,
    /// Tokens read from a cache, if the log has them.
    pub cached: Option<u64>,
    /// Tokens written to a cache, if the log has them.
    pub cache_write: Option<u64>,
    /// Output tokens that are reasoning, if the log has them.
    pub reasoning: Option<u64>,
    /// The cost, in `currency`: as `cost_basis` says. Rows whose cost is not known are not in it, see
    /// `unpriced_tokens`.
    pub cost: f64,
    /// The currency of `cost`: the one of the logged costs, or dollars at list prices.
    pub currency: String,
    /// How the cost is known.
    pub cost_basis: CostBasis,
    /// Tokens that `cost` lacks: no logged cost, and no list price of the model.
    pub unpriced_tokens: u64,
    /// US dollars at list prices.
    pub list_cost: f64,
    /// Tokens that `list_cost` lacks: the model has no list price.
    pub unlisted_tokens: u64,
    /// Logged costs by currency, largest sum first; empty if the log has none.
    pub logged_cost: Vec<(String, f64)>,
    /// Rows without a logged cost, in a log that has costs.
    pub rows_without_cost: u64,
    /// Rows with tokens and a logged cost of 0, in a log with costs above 0: a free tier, cached answers or credits?
    pub zero_cost_rows: u64,
    /// By model, dearest first.
    pub by_model: Vec<Segment>,
    /// By what is asked for (`chat`, `embedding`, …), if not all requests are chat; dearest first.
    pub by_kind: Vec<Segment>,
    /// Chat requests by input size, smallest first; empty for sums and logs without input tokens.
    pub by_size: Vec<Segment>,
    /// By each column whose values repeat.
    pub by_group: Vec<Grouping>,
    /// The time zone of days and hours: `UTC`, `Europe/Berlin`.
    pub time_zone: String,
    /// By day, in order, without days that have no rows; empty without times, and for sums longer than a day.
    pub by_day: Vec<Segment>,
    /// By hour of the day, if the log covers 23 hours or more and rows are not sums longer than an hour.
    pub by_hour: Vec<Segment>,
    /// Over time, in steps of `bucket_ms`; `name` is the start in ms.
    pub over_time: Vec<Segment>,
    /// Length of a step of `over_time`, in ms.
    pub bucket_ms: i64,
    /// First start in ms, if the log has times.
    pub from_ms: Option<i64>,
    /// Last start, or end of the last sum, in ms, if the log has times.
    pub to_ms: Option<i64>,
    /// Days from the first start to the last start, or to the end of the last sum; `None` without times, or if it is 0.
    pub elapsed_days: Option<f64>,
    /// Load by minute; `None` without times, and for sums longer than a minute.
    pub load: Option<Load>,
    /// Share that the heaviest requests take; `None` for sums.
    pub heaviest: Option<HeaviestShare>,
    /// Failed requests, if the log states which requests failed.
    pub failures: Option<Failures>,
}

impl Profile {
    /// Input and output tokens of the log.
    pub fn tokens(&self) -> f64 {
        self.input_tokens as f64 + self.output_tokens as f64
    }

    /// The share of the tokens whose cost is not known, from 0 to 1.
    pub fn unpriced_share(&self) -> f64 {
        self.unpriced_tokens as f64 / self.tokens().max(1.0)
    }

    /// The parts by a column, such as `user`.
    pub fn group(&self, name: &str) -> Option<&Grouping> {
        self.by_group.iter().find(|grouping| grouping.name == name)
    }

    /// The dearest day; by tokens if nothing has a cost.
    pub fn dearest_day(&self) -> Option<&Segment> {
        self.by_day.iter().max_by(|a, b| a.cost.total_cmp(&b.cost).then(a.tokens().cmp(&b.tokens())))
    }

    /// Profiles a log, with days and hours in UTC.
    ///
    /// # Errors
    /// [`IngestError::Stopped`] when `stop` returns true.
    pub fn compute(data: &Dataset, pricing: &Pricing, stop: StopFn<'_>) -> Result<Self, IngestError> {
        Self::compute_with(data, pricing, &ProfileOptions::default(), stop)
    }

    /// Profiles a log.
    ///
    /// # Errors
    /// [`IngestError::Stopped`] when `stop` returns true.
    pub fn compute_with(
        data: &Dataset,
        pricing: &Pricing,
        options: &ProfileOptions,
        stop: StopFn<'_>,
    ) -> Result<Self, IngestError> {
        let check_stop = || if stop() { Err(IngestError::Stopped) } else { Ok(()) };
        let present = data.present();
        let costs = Costs::compute(data, pricing);
        check_stop()?;
        let sum = |column: &[u64]| column.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        let mut profile = Self {
            rows: data.len() as u64,
            requests: data.requests(),
            sums: present.sums,
            input_known: present.input,
            output_known: present.output,
            input_tokens: sum(&data.input),
            output_tokens: sum(&data.output),
            cached: present.cached.then(|| sum(&data.cached)),
            cache_write: present.cache_write.then(|| sum(&data.cache_write)),
            reasoning: present.reasoning.then(|| sum(&data.reasoning)),
            time_zone: options.name(),
            ..Self::default()
        };
        costs.fill(data, &mut profile);
        profile.measure_requests(data, &costs);
        check_stop()?;
        profile.by_model = parts::by_model(data, &costs);
        profile.by_kind = parts::by_kind(data, &costs);
        check_stop()?;
        profile.measure_latency(data);
        for column in &data.groups {
            check_stop()?;
            profile.by_group.push(parts::by_column(data, column, &costs));
        }
        check_stop()?;
        profile.failures = Failures::measure(data, &costs);
        check_stop()?;
        profile.measure_time(data, &costs, options);
        Ok(profile)
    }

    /// Fills the figures of single requests, or says why they are left out.
    fn measure_requests(&mut self, data: &Dataset, costs: &Costs) {
        if self.sums {
            self.left_out.push(
                "Rows are sums of requests: percentiles, prompt sizes, small requests, the heaviest requests and \
                 latency cannot be computed from sums."
                    .to_owned(),
            );
            if self.requests.is_none() {
                self.left_out.push("The log does not state how many requests its rows stand for.".to_owned());
            }
            return;
        }
        let chat = |column: &[u64]| {
            let values = (0..data.len()).filter(|&i| is_good_chat(data, i)).map(|i| column[i] as f64).collect();
            Some(Stats::from_values(values)).filter(|stats| stats.count > 0)
        };
        if self.input_known {
            self.input = chat(&data.input);
            self.by_size = parts::by_size(data, costs);
        }
        if self.output_known {
            self.output = chat(&data.output);
        }
        if self.tokens_known(data) {
            self.heaviest = Some(load::heaviest_share(data, costs));
        }
    }

    /// Whether the log has all tokens of its rows: input, and output of all but embeddings.
    fn tokens_known(&self, data: &Dataset) -> bool {
        self.input_known && (self.output_known || !needs_output(data))
    }

    fn measure_latency(&mut self, data: &Dataset) {
        if self.sums {
            return;
        }
        let present = data.present();
        if present.first_token {
            self.first_token = times(data, &data.first_token_ms);
        }
        if present.latency {
            self.latency = times(data, &data.latency_ms);
            let mut by_model: HashMap<&str, Vec<f64>> = HashMap::new();
            for i in (0..data.len()).filter(|&i| is_good_chat(data, i) && !data.latency_ms[i].is_nan()) {
                let name = data.models.get(data.model_index(i)).map_or("", String::as_str);
                by_model.entry(name).or_default().push(data.latency_ms[i].into());
            }
            let mut stats = |name: &str| Stats::from_values(by_model.remove(name).unwrap_or_default());
            self.latency_by_model = self.by_model.iter().map(|segment| stats(&segment.name)).collect();
            if self.tokens_known(data) {
                self.latency_fit = LatencyFit::fit(data, |i| is_good_chat(data, i));
            }
        }
    }

    /// Fills days, hours, the time series and the load, or says why they are left out.
    fn measure_time(&mut self, data: &Dataset, costs: &Costs, options: &ProfileOptions) {
        let Some(span) = data.span_ms() else { return };
        let period = if self.sums { data.period_ms.or_else(|| shortest_gap(data)) } else { None };
        let end = span.1.saturating_add(period.unwrap_or(0));
        (self.from_ms, self.to_ms) = (Some(span.0), Some(end));
        self.elapsed_days = Some((end - span.0) as f64 / DAY as f64).filter(|days| *days > 0.0);
        let period = period.unwrap_or(0);
        // A day's sum of another time zone cannot be divided into days of this one.
        let whole_days = period >= DAY || calendar::is_relative(span.1);
        let options = if whole_days { &ProfileOptions::default() } else { options };
        self.time_zone = options.name();
        let zone = options.time_zone.clone();
        let clock = Clock::new(zone);
        (self.bucket_ms, self.over_time) = calendar::over_time(data, &clock, costs, span, period);
        if period > DAY {
            self.left_out.push("Rows are sums of more than a day, so days are left out.".to_owned());
        } else {
            match calendar::by_day(data, &clock, costs, span) {
                Some(days) => self.by_day = days,
                None => self.left_out.push("The log covers more than eleven years, so days are left out.".to_owned()),
            }
        }
        if period > HOUR {
            self.left_out
                .push("Rows are sums of more than an hour, so hours of the day and peaks are left out.".to_owned());
        } else if span.1 - span.0 >= 23 * HOUR && !calendar::is_relative(span.1) {
            self.by_hour = calendar::by_hour(data, &clock, costs);
        }
        if period > HOUR {
            // Said above.
        } else if self.sums && !(1..=MINUTE).contains(&period) {
            self.left_out.push("Rows are sums of more than a minute, so peaks are left out.".to_owned());
        } else if !self.tokens_known(data) {
            self.left_out.push("Not all tokens are known, so peaks are left out.".to_owned());
        } else {
            self.load = Some(load::load_by_minute(data, span.0, span.1));
        }
    }
}

/// Statistics of a column of times in ms over the chat requests that did not fail; `None` for no values.
fn times(data: &Dataset, column: &[f32]) -> Option<Stats> {
    let rows = (0..data.len()).filter(|&i| is_good_chat(data, i));
    let values = rows.map(|i| f64::from(column[i])).filter(|ms| !ms.is_nan()).collect();
    Some(Stats::from_values(values)).filter(|stats| stats.count > 0)
}

/// The shortest time between two different starts, in ms: the period of sums that do not state it.
fn shortest_gap(data: &Dataset) -> Option<i64> {
    let mut times: Vec<i64> = (0..data.len()).filter_map(|i| data.time(i)).collect();
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0).min()
}

/// The name of a time zone: `Europe/Berlin`, `UTC`, `+02:00`.
fn zone_name(zone: &TimeZone) -> String {
    match zone.iana_name() {
        Some(name) => name.to_owned(),
        None => zone.to_fixed_offset().map_or_else(|_| "the given time zone".to_owned(), |offset| offset.to_string()),
    }
}

/// Whether a row should have output tokens: embeddings have none.
fn needs_output(data: &Dataset) -> bool {
    !data.present().kind || (0..data.len()).any(|i| data.kind(i) != Kind::Embedding)
}

/// Whether row `i` is a chat request that did not fail.
fn is_good_chat(data: &Dataset, i: usize) -> bool {
    data.kind(i) == Kind::Chat && data.failed(i) != Some(true)
}
