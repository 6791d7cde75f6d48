//! The profile of a log: sums, percentiles, rates, peaks, and breakdowns by model, prompt size and time.
//!
//! Guarantees: percentiles are nearest-rank (the smallest value that at least p % of the values do not exceed), so each is
//! a value of the log; rates count a request in the minute in which it starts; times are UTC.

use std::collections::HashMap;

use serde::Serialize;

use super::{
    dataset::Dataset,
    format::whole,
    ingest::{IngestError, StopFn},
    pricing::Pricing,
    stats::{LatencyFit, Stats, nearest_rank},
};

/// Most points of a time series.
const MAX_BUCKETS: i64 = 120;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Upper bounds of the prompt-size classes, in input tokens; the class after the last is unbounded.
pub const SIZE_CLASSES: [u32; 5] = [256, 1024, 4096, 16_384, 65_536];

/// Requests, tokens and cost of a part of the log: of one model, one size class, one period.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Segment {
    /// A model's name, a size class, a start time in ms, or an hour.
    pub name: String,
    /// Requests.
    pub requests: u64,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from a cache.
    pub cached: u64,
    /// US dollars.
    pub cost: f64,
}

impl Segment {
    fn add(&mut self, data: &Dataset, i: usize, cost: f64) {
        self.requests += 1;
        self.input += u64::from(data.input[i]);
        self.output += u64::from(data.output[i]);
        self.cached += u64::from(data.cached(i));
        self.cost += cost;
    }

    /// Input and output tokens.
    pub fn tokens(&self) -> u64 {
        self.input + self.output
    }
}

/// Share of tokens and cost that the heaviest requests take, from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct HeaviestShare {
    /// Share of all tokens in the 1 % of requests with the most tokens (rounded up to whole requests).
    pub tokens_top_1: f64,
    /// The same for 10 %.
    pub tokens_top_10: f64,
    /// Share of the whole cost in the most expensive 1 % of requests.
    pub cost_top_1: f64,
    /// The same for 10 %.
    pub cost_top_10: f64,
}

/// The load minute by minute.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Load {
    /// First start, ms.
    pub from_ms: i64,
    /// Last start, ms.
    pub to_ms: i64,
    /// Calendar minutes from the first to the last, empty ones included.
    pub minutes: u64,
    /// Most requests in one minute, and the minute's start.
    pub peak_requests: (u64, i64),
    /// Most tokens (input and output) in one minute, and the minute's start.
    pub peak_tokens: (u64, i64),
    /// 95th percentile of tokens a minute, empty minutes included.
    pub p95_tokens: u64,
    /// 99th percentile of tokens a minute.
    pub p99_tokens: u64,
    /// Mean tokens a minute.
    pub mean_tokens: f64,
    /// Mean requests a minute.
    pub mean_requests: f64,
    /// Minutes that are not empty: start in minutes since 1970, requests, tokens; in order.
    #[serde(skip)]
    pub by_minute: Vec<(i64, u64, u64)>,
}

impl Load {
    /// Time from the first to the last start, in days.
    pub fn days(&self) -> f64 {
        (self.to_ms - self.from_ms) as f64 / (24 * HOUR) as f64
    }
}

/// The profile of a log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Profile {
    /// Requests.
    pub requests: u64,
    /// Input tokens per request.
    pub input: Stats,
    /// Output tokens per request.
    pub output: Stats,
    /// Latency in ms, if the log has it.
    pub latency: Option<Stats>,
    /// Latency of each entry of `by_model`, if the log has it.
    pub latency_by_model: Vec<Stats>,
    /// Latency as a function of tokens, if the log has it and tokens vary.
    pub latency_fit: Option<LatencyFit>,
    /// Tokens read from a cache, if the log has them.
    pub cached: Option<u64>,
    /// US dollars: as logged if the log has costs, else at list prices.
    pub cost: f64,
    /// US dollars at list prices.
    pub list_cost: f64,
    /// US dollars as logged, if the log has costs.
    pub logged_cost: Option<f64>,
    /// By model, most expensive first.
    pub by_model: Vec<Segment>,
    /// By input size, smallest first.
    pub by_size: Vec<Segment>,
    /// Over time, in steps of `bucket_ms`; `name` is the start in ms.
    pub over_time: Vec<Segment>,
    /// Length of a step of `over_time`, in ms.
    pub bucket_ms: i64,
    /// By hour of the day (UTC), if the log covers 23 hours or more.
    pub by_hour: Vec<Segment>,
    /// Load by minute, if the log has times.
    pub load: Option<Load>,
    /// Share that the heaviest requests take.
    pub heaviest: HeaviestShare,
}

impl Profile {
    /// Input and output tokens of the log.
    pub fn tokens(&self) -> f64 {
        self.input.sum + self.output.sum
    }

    /// Profiles a log.
    ///
    /// # Errors
    /// [`IngestError::Stopped`] when `stop` returns true.
    pub fn compute(data: &Dataset, pricing: &Pricing, stop: StopFn<'_>) -> Result<Self, IngestError> {
        let check_stop = || if stop() { Err(IngestError::Stopped) } else { Ok(()) };
        let list_cost: Vec<f64> = (0..data.len()).map(|i| pricing.cost(data, i)).collect();
        let logged = data.present().cost.then_some(&data.cost);
        // A row without a logged cost counts at its list price, so that the sum covers every request.
        let cost: Vec<f64> = match logged {
            Some(logged) => logged
                .iter()
                .zip(&list_cost)
                .map(|(logged, list)| if logged.is_nan() { *list } else { *logged })
                .collect(),
            None => list_cost.clone(),
        };
        check_stop()?;
        let mut profile = Self {
            requests: data.len() as u64,
            input: Stats::from_values(data.input.iter().map(|&n| n.into()).collect()),
            output: Stats::from_values(data.output.iter().map(|&n| n.into()).collect()),
            cached: data.present().cached.then(|| data.cached.iter().map(|&n| u64::from(n)).sum()),
            cost: cost.iter().sum(),
            list_cost: list_cost.iter().sum(),
            logged_cost: logged.map(|logged| logged.iter().filter(|cost| !cost.is_nan()).sum()),
            ..Self::default()
        };
        check_stop()?;
        profile.heaviest = heaviest_share(data, &cost);
        check_stop()?;
        profile.group_by_model_and_size(data, &cost);
        check_stop()?;
        profile.measure_latency(data);
        check_stop()?;
        if let Some((from_ms, to_ms)) = data.span_ms() {
            profile.load = Some(load_by_minute(data, from_ms, to_ms));
            check_stop()?;
            profile.group_by_time(data, &cost, from_ms, to_ms);
        }
        Ok(profile)
    }

    fn group_by_model_and_size(&mut self, data: &Dataset, cost: &[f64]) {
        let mut models = vec![Segment::default(); data.models.len().max(1)];
        let mut sizes = vec![Segment::default(); SIZE_CLASSES.len() + 1];
        for (i, &cost) in cost.iter().enumerate() {
            models[data.model_index(i)].add(data, i, cost);
            sizes[SIZE_CLASSES.partition_point(|&bound| bound < data.input[i])].add(data, i, cost);
        }
        for (segment, name) in models.iter_mut().zip(&data.models) {
            segment.name.clone_from(name);
        }
        for (at, segment) in sizes.iter_mut().enumerate() {
            let below = at.checked_sub(1).map_or(0, |at| SIZE_CLASSES[at]);
            segment.name = match SIZE_CLASSES.get(at) {
                Some(bound) => format!(
                    "{} to {}",
                    whole(f64::from(below) + f64::from(u8::from(below > 0))),
                    whole(f64::from(*bound))
                ),
                None => format!("over {}", whole(f64::from(below))),
            };
        }
        models.sort_by(|a, b| b.cost.total_cmp(&a.cost).then(b.tokens().cmp(&a.tokens())));
        self.by_model = models;
        self.by_size = sizes;
    }

    fn measure_latency(&mut self, data: &Dataset) {
        if !data.present().latency {
            return;
        }
        let mut by_model: HashMap<&str, Vec<f64>> = HashMap::new();
        for (i, &ms) in data.latency_ms.iter().enumerate().filter(|(_, ms)| !ms.is_nan()) {
            let name = data.models.get(data.model_index(i)).map_or("", String::as_str);
            by_model.entry(name).or_default().push(ms.into());
        }
        self.latency = Some(Stats::from_values(by_model.values().flatten().copied().collect()));
        self.latency_by_model = self
            .by_model
            .iter()
            .map(|segment| Stats::from_values(by_model.remove(segment.name.as_str()).unwrap_or_default()))
            .collect();
        self.latency_fit = LatencyFit::fit(data);
    }

    /// Fills `over_time` with the smallest step that gives at most [`MAX_BUCKETS`] points, and `by_hour`.
    fn group_by_time(&mut self, data: &Dataset, cost: &[f64], from_ms: i64, to_ms: i64) {
        const STEPS: [i64; 8] =
            [MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR, 7 * 24 * HOUR, 28 * 24 * HOUR];
        let count = |step: i64| to_ms.div_euclid(step) - from_ms.div_euclid(step) + 1;
        let step = STEPS
            .into_iter()
            .find(|&step| count(step) <= MAX_BUCKETS)
            .unwrap_or((to_ms - from_ms) / (MAX_BUCKETS - 1) + 1);
        let first = from_ms.div_euclid(step);
        let mut buckets: Vec<Segment> = (0..count(step))
            .map(|n| Segment { name: ((first + n) * step).to_string(), ..Segment::default() })
            .collect();
        let mut hours: Vec<Segment> =
            (0..24).map(|hour| Segment { name: format!("{hour:02}:00"), ..Segment::default() }).collect();
        for (i, &cost) in cost.iter().enumerate() {
            let Some(time) = data.time(i) else { continue };
            if let Some(bucket) = usize::try_from(time.div_euclid(step) - first).ok().and_then(|at| buckets.get_mut(at))
            {
                bucket.add(data, i, cost);
            }
            hours[time.div_euclid(HOUR).rem_euclid(24) as usize].add(data, i, cost);
        }
        self.bucket_ms = step;
        self.over_time = buckets;
        if to_ms - from_ms >= 23 * HOUR {
            self.by_hour = hours;
        }
    }
}

fn heaviest_share(data: &Dataset, cost: &[f64]) -> HeaviestShare {
    let share = |mut values: Vec<f64>| {
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        let total: f64 = values.iter().sum();
        let top = |percent: usize| {
            let n = (values.len() * percent).div_ceil(100);
            if total > 0.0 { values[..n].iter().sum::<f64>() / total } else { 0.0 }
        };
        (top(1), top(10))
    };
    let (tokens_top_1, tokens_top_10) = share((0..data.len()).map(|i| data.tokens(i) as f64).collect());
    let (cost_top_1, cost_top_10) = share(cost.to_vec());
    HeaviestShare { tokens_top_1, tokens_top_10, cost_top_1, cost_top_10 }
}

fn load_by_minute(data: &Dataset, from_ms: i64, to_ms: i64) -> Load {
    let mut minutes: HashMap<i64, (u64, u64)> = HashMap::new();
    for i in 0..data.len() {
        if let Some(time) = data.time(i) {
            let minute = minutes.entry(time.div_euclid(MINUTE)).or_default();
            minute.0 += 1;
            minute.1 += data.tokens(i);
        }
    }
    let mut by_minute: Vec<_> =
        minutes.into_iter().map(|(minute, (requests, tokens))| (minute, requests, tokens)).collect();
    by_minute.sort_unstable();
    let total = to_ms.div_euclid(MINUTE).abs_diff(from_ms.div_euclid(MINUTE)) + 1;
    let mut sorted: Vec<u64> = by_minute.iter().map(|(.., tokens)| *tokens).collect();
    sorted.sort_unstable();
    // Empty minutes are not stored; their zeros have the lowest ranks.
    let empty = total as usize - sorted.len();
    let percentile = |p: f64| nearest_rank(total as usize, p).checked_sub(empty).map_or(0, |at| sorted[at]);
    let peak = |value: fn(&(i64, u64, u64)) -> u64| {
        by_minute
            .iter()
            .rev()
            .max_by_key(|minute| value(minute))
            .map_or((0, 0), |minute| (value(minute), minute.0 * MINUTE))
    };
    Load {
        from_ms,
        to_ms,
        minutes: total,
        peak_requests: peak(|minute| minute.1),
        peak_tokens: peak(|minute| minute.2),
        p95_tokens: percentile(95.0),
        p99_tokens: percentile(99.0),
        mean_tokens: sorted.iter().sum::<u64>() as f64 / total as f64,
        mean_requests: by_minute.iter().map(|minute| minute.1).sum::<u64>() as f64 / total as f64,
        by_minute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::{dataset::Row, pricing::PriceTable};

    fn profile(rows: &[Row<'_>]) -> Profile {
        let mut data = Dataset::default();
        rows.iter().for_each(|row| data.push(row, true));
        let pricing = Pricing::for_dataset(&data, &PriceTable::shipped(), None);
        Profile::compute(&data, &pricing, &|| false).expect("a profile")
    }

    #[test]
    fn empty_minutes_count_in_rates_and_percentiles() {
        let at = |minute: i64, input| Row { time_ms: Some(minute * MINUTE + 5), input, ..Row::default() };
        let profile = profile(&[at(100, 10), at(100, 20), at(109, 5)]);
        let load = profile.load.expect("a load profile");
        assert_eq!((load.minutes, load.peak_tokens, load.peak_requests), (10, (30, 100 * MINUTE), (2, 100 * MINUTE)));
        assert_eq!((load.p95_tokens, load.mean_tokens), (30, 3.5));
        assert_eq!(profile.over_time.len(), 10);
        assert_eq!(profile.over_time.iter().map(|segment| segment.requests).sum::<u64>(), 3);
    }

    #[test]
    fn a_log_of_a_century_has_a_bounded_number_of_points() {
        let at = |ms| Row { time_ms: Some(ms), input: 1, ..Row::default() };
        let profile = profile(&[at(0), at(100 * 365 * 24 * HOUR)]);
        assert!(profile.over_time.len() <= MAX_BUCKETS as usize, "{}", profile.over_time.len());
    }

    #[test]
    fn the_latency_fit_recovers_known_coefficients() {
        let rows: Vec<Row<'_>> = (0..60u32)
            .map(|i| {
                let (input, output) = (100 + (i * 37) % 90, 10 + (i * 17) % 50);
                let latency = 200.0 + 0.5 * input as f32 + 20.0 * output as f32;
                Row { input, output, latency_ms: Some(latency), ..Row::default() }
            })
            .collect();
        let fit = profile(&rows).latency_fit.expect("a fit");
        assert!(
            (fit.base_ms - 200.0).abs() < 0.1
                && (fit.per_input_ms - 0.5).abs() < 0.01
                && (fit.per_output_ms - 20.0).abs() < 0.01
        );
        assert!(fit.r2 > 0.999);
    }

    #[test]
    fn the_heaviest_tenth_is_rounded_up_to_whole_requests() {
        let rows: Vec<Row<'_>> =
            (0..11).map(|i| Row { input: if i == 0 { 50 } else { 5 }, ..Row::default() }).collect();
        let heaviest = profile(&rows).heaviest;
        assert_eq!((heaviest.tokens_top_1, heaviest.tokens_top_10), (0.5, 0.55));
    }
}
