//! Failed requests, requests that repeat them, and what both cost.

use std::collections::HashMap;

use serde::Serialize;

use super::{MAX_SEGMENTS, RETRY_MS, Segment, money::Costs};
use crate::analyst::dataset::{Dataset, GroupColumn, NO_VALUE};

/// The columns that say whose requests belong together, the narrowest first.
const OWNERS: [&str; 3] = ["session", "user", "key"];

/// Failed requests and repeated ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Failures {
    /// Failed requests.
    pub requests: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Their cost, in [`super::Profile::currency`]. At list prices, it assumes that the provider bills them.
    pub cost: f64,
    /// By the column `status`, if the log has one; most requests first.
    pub by_status: Vec<Segment>,
    /// Requests that repeat a failed one: same model, same input tokens, same session (else user or key), within
    /// [`super::RETRY_MS`]. `None` if the log cannot show it: without times or input tokens.
    pub retries: Option<Retries>,
}

/// Requests that repeat a failed one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Retries {
    /// Their number.
    pub requests: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Their cost, in [`super::Profile::currency`].
    pub cost: f64,
}

impl Failures {
    /// Sums over the failed requests; `None` if the log does not state which requests failed.
    pub(super) fn measure(data: &Dataset, costs: &Costs) -> Option<Self> {
        if !data.present().failed {
            return None;
        }
        let mut all = Segment::default();
        (0..data.len()).filter(|&i| data.failed(i) == Some(true)).for_each(|i| all.add(data, i, costs));
        Some(Self {
            requests: all.requests,
            tokens: all.tokens(),
            cost: all.cost,
            by_status: data.group("status").map(|column| by_status(data, column, costs)).unwrap_or_default(),
            retries: retries(data, costs),
        })
    }
}

/// The failed requests by status, most requests first.
fn by_status(data: &Dataset, column: &GroupColumn, costs: &Costs) -> Vec<Segment> {
    let named = |name: &String| Segment { name: name.clone(), ..Segment::default() };
    let mut parts: Vec<Segment> = column.values.iter().map(named).collect();
    for i in (0..data.len()).filter(|&i| data.failed(i) == Some(true)) {
        let at = column.codes.get(i).map_or(usize::MAX, |code| usize::from(*code));
        if let Some(part) = parts.get_mut(at) {
            part.add(data, i, costs);
        }
    }
    parts.retain(|part| part.rows > 0);
    parts.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
    parts.truncate(MAX_SEGMENTS);
    parts
}

/// The requests that repeat a failed one of the same session (else user or key), model and input tokens.
fn retries(data: &Dataset, costs: &Costs) -> Option<Retries> {
    let owner = OWNERS.iter().find_map(|name| data.group(name))?;
    let present = data.present();
    if !present.time || !present.input || present.sums {
        return None;
    }
    // When a request of this owner, model and input last failed.
    let mut failed: HashMap<(u16, usize, u64), i64> = HashMap::new();
    let mut retries = Retries::default();
    for i in data.by_time().into_iter().map(|i| i as usize) {
        let (code, input) = (owner.codes.get(i).copied().unwrap_or(NO_VALUE), data.input[i]);
        let Some(time) = data.time(i).filter(|_| code != NO_VALUE && input > 0) else { continue };
        let key = (code, data.model_index(i), input);
        if failed.remove(&key).is_some_and(|before| time - before <= RETRY_MS) {
            retries.requests += 1;
            retries.tokens = retries.tokens.saturating_add(data.tokens(i));
            retries.cost += costs.known(i).unwrap_or(0.0);
        }
        if data.failed(i) == Some(true) {
            failed.insert(key, time);
        }
    }
    Some(retries)
}
