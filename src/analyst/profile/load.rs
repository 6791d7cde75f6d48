//! The load minute by minute, and the share of the heaviest requests.

use std::collections::HashMap;

use serde::Serialize;

use super::{MINUTE, money::Costs, parts::requests_of};
use crate::analyst::{dataset::Dataset, stats::nearest_rank};

/// Share of tokens and cost that the heaviest requests take, from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct HeaviestShare {
    /// Share of all tokens in the 1 % of requests with the most tokens (rounded up to whole requests).
    pub tokens_top_1: f64,
    /// The same for 10 %.
    pub tokens_top_10: f64,
    /// Share of the whole known cost in the dearest 1 % of requests; 0 if no cost is known.
    pub cost_top_1: f64,
    /// The same for 10 %.
    pub cost_top_10: f64,
}

/// Measures the share of the heaviest requests.
pub(super) fn heaviest_share(data: &Dataset, costs: &Costs) -> HeaviestShare {
    let share = |mut values: Vec<f64>| {
        let total: f64 = values.iter().sum();
        let mut top = |percent: usize| {
            let n = (values.len() * percent).div_ceil(100);
            if n > 0 && n < values.len() {
                values.select_nth_unstable_by(n, |a, b| b.total_cmp(a));
            }
            if total > 0.0 { values[..n].iter().sum::<f64>() / total } else { 0.0 }
        };
        (top(1), top(10))
    };
    let (tokens_top_1, tokens_top_10) = share((0..data.len()).map(|i| data.tokens(i) as f64).collect());
    let (cost_top_1, cost_top_10) = share((0..data.len()).map(|i| costs.known(i).unwrap_or(0.0)).collect());
    HeaviestShare { tokens_top_1, tokens_top_10, cost_top_1, cost_top_10 }
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

/// Measures the load; the times are those of the first and the last start.
pub(super) fn load_by_minute(data: &Dataset, from_ms: i64, to_ms: i64) -> Load {
    let mut minutes: HashMap<i64, (u64, u64)> = HashMap::new();
    for i in 0..data.len() {
        if let Some(time) = data.time(i) {
            let minute = minutes.entry(time.div_euclid(MINUTE)).or_default();
            minute.0 += requests_of(data, i);
            minute.1 = minute.1.saturating_add(data.tokens(i));
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
