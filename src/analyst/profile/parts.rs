//! Parts of a log: by model, kind, prompt size, and by any column whose values repeat.

use serde::Serialize;

use super::{MAX_SEGMENTS, SIZE_CLASSES, money::Costs};
use crate::analyst::{
    dataset::{Dataset, GroupColumn, Kind, OTHER},
    format::whole,
};

/// Requests, tokens and cost of a part of the log: of one model, one user, one size class, one period.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Segment {
    /// A model's name, a value, a size class, a day (`2026-01-31`), a start time in ms, or an hour.
    pub name: String,
    /// Rows of the log.
    pub rows: u64,
    /// Requests in the rows that state their number; see [`Self::known_requests`].
    pub requests: u64,
    /// Rows that are sums of an unknown number of requests.
    pub uncounted_rows: u64,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from a cache.
    pub cached: u64,
    /// Cost, in [`super::Profile::currency`].
    pub cost: f64,
    /// Tokens whose cost is not known, and which `cost` therefore lacks.
    pub unpriced_tokens: u64,
    /// Failed requests, where the log states it.
    pub failed: u64,
}

impl Segment {
    /// Input and output tokens.
    pub fn tokens(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// The number of requests; `None` if a row does not state it.
    pub fn known_requests(&self) -> Option<u64> {
        (self.uncounted_rows == 0).then_some(self.requests)
    }

    /// The cost; `None` if none of it is known.
    pub fn known_cost(&self) -> Option<f64> {
        (self.cost != 0.0 || self.unpriced_tokens == 0).then_some(self.cost)
    }

    pub(super) fn add(&mut self, data: &Dataset, i: usize, costs: &Costs) {
        self.rows += 1;
        match requests_of(data, i) {
            0 => self.uncounted_rows += 1,
            n => self.requests += n,
        }
        self.input = self.input.saturating_add(data.input[i]);
        self.output = self.output.saturating_add(data.output[i]);
        self.cached = self.cached.saturating_add(data.cached(i));
        match costs.known(i) {
            Some(cost) => self.cost += cost,
            None => self.unpriced_tokens = self.unpriced_tokens.saturating_add(data.tokens(i)),
        }
        if data.failed(i) == Some(true) {
            self.failed += requests_of(data, i);
        }
    }

    /// Adds the sums of another segment.
    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.requests += other.requests;
        self.uncounted_rows += other.uncounted_rows;
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cached = self.cached.saturating_add(other.cached);
        self.cost += other.cost;
        self.unpriced_tokens = self.unpriced_tokens.saturating_add(other.unpriced_tokens);
        self.failed += other.failed;
    }
}

/// Sorts segments by cost, the dearest first; those of equal cost by tokens.
pub(super) fn sort_by_cost(segments: &mut [Segment]) {
    segments.sort_by(|a, b| b.cost.total_cmp(&a.cost).then(b.tokens().cmp(&a.tokens())));
}

/// Number of requests of row `i`; 0 if it is a sum that does not state it.
pub(super) fn requests_of(data: &Dataset, i: usize) -> u64 {
    data.requests.get(i).copied().unwrap_or(1)
}

/// The parts of a log by one column, such as `user`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Grouping {
    /// The column's name.
    pub name: String,
    /// Number of distinct values.
    pub values: u64,
    /// The largest parts ([`super::MAX_SEGMENTS`] at most), dearest first; by tokens if nothing has a cost.
    pub segments: Vec<Segment>,
    /// All other values together, if there are more.
    pub others: Option<Segment>,
    /// Rows without a value, if there are some.
    pub without: Option<Segment>,
}

/// The parts by model, dearest first; one without a name if the log has no models.
pub(super) fn by_model(data: &Dataset, costs: &Costs) -> Vec<Segment> {
    let mut models = vec![Segment::default(); data.models.len().max(1)];
    for (segment, name) in models.iter_mut().zip(&data.models) {
        segment.name.clone_from(name);
    }
    (0..data.len()).for_each(|i| models[data.model_index(i)].add(data, i, costs));
    models.retain(|segment| segment.rows > 0);
    sort_by_cost(&mut models);
    models
}

/// The parts by what is asked for, dearest first; none if all rows are chat.
pub(super) fn by_kind(data: &Dataset, costs: &Costs) -> Vec<Segment> {
    const KINDS: [(Kind, &str); 5] = [
        (Kind::Chat, "chat"),
        (Kind::Embedding, "embedding"),
        (Kind::Image, "image"),
        (Kind::Audio, "audio"),
        (Kind::Other, "other"),
    ];
    if !data.present().kind {
        return Vec::new();
    }
    let mut kinds = KINDS.map(|(_, name)| Segment { name: name.to_owned(), ..Segment::default() }).to_vec();
    for i in 0..data.len() {
        let at = KINDS.iter().position(|(kind, _)| *kind == data.kind(i)).unwrap_or(0);
        kinds[at].add(data, i, costs);
    }
    kinds.retain(|segment| segment.rows > 0);
    sort_by_cost(&mut kinds);
    kinds
}

/// Chat requests by input size, smallest first.
pub(super) fn by_size(data: &Dataset, costs: &Costs) -> Vec<Segment> {
    let name = |at: usize| {
        let below = at.checked_sub(1).map_or(0, |at| SIZE_CLASSES[at]);
        match SIZE_CLASSES.get(at) {
            Some(bound) => format!("{} to {}", whole((below + u64::from(below > 0)) as f64), whole(*bound as f64)),
            None => format!("over {}", whole(below as f64)),
        }
    };
    let mut sizes: Vec<Segment> =
        (0..=SIZE_CLASSES.len()).map(|at| Segment { name: name(at), ..Segment::default() }).collect();
    for i in (0..data.len()).filter(|&i| data.kind(i) == Kind::Chat) {
        sizes[SIZE_CLASSES.partition_point(|&bound| bound < data.input[i])].add(data, i, costs);
    }
    sizes
}

/// The parts by one column.
pub(super) fn by_column(data: &Dataset, column: &GroupColumn, costs: &Costs) -> Grouping {
    let mut parts = vec![Segment::default(); column.values.len()];
    let mut without = Segment::default();
    for i in 0..data.len() {
        let at = column.codes.get(i).map_or(usize::MAX, |code| usize::from(*code));
        parts.get_mut(at).unwrap_or(&mut without).add(data, i, costs);
    }
    for (segment, name) in parts.iter_mut().zip(&column.values) {
        segment.name.clone_from(name);
    }
    parts.retain(|segment| segment.rows > 0);
    sort_by_cost(&mut parts);
    let values = parts.len() as u64;
    // Values beyond the limit of the dataset already stand together under the name `OTHER`.
    let beyond = parts.iter().position(|segment| segment.name == OTHER).map(|at| parts.remove(at));
    let mut others = beyond.unwrap_or_default();
    parts.split_off(parts.len().min(MAX_SEGMENTS)).iter().for_each(|segment| others.merge(segment));
    others.name = OTHER.to_owned();
    let some = |segment: Segment| Some(segment).filter(|segment| segment.rows > 0);
    Grouping { name: column.name.clone(), values, segments: parts, others: some(others), without: some(without) }
}
