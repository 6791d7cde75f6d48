//! Sums over the rows that a question means, by the column that it groups by.

use std::collections::HashMap;

use super::{
    scope::{DAY, Key, Scope},
    wording::plural_of,
};
use crate::analyst::{
    dataset::{Dataset, Kind, NO_VALUE},
    goals::{
        periods::{date_of, day_number, weekday_name},
        query::{Measure, Part},
    },
    pricing::{Pricing, Tokens},
    profile::Costs,
    stats::nearest_rank,
    zones::Zone,
};

/// Sums over some rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Rows.
    pub rows: u64,
    /// Requests in rows that state their number.
    pub requests: u64,
    /// Rows that are sums of an unknown number of requests.
    pub uncounted_rows: u64,
    /// Input tokens.
    pub input: u64,
    /// Output tokens.
    pub output: u64,
    /// Input tokens read from a cache.
    pub cached: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
    /// Cost, in the log's currency.
    pub cost: f64,
    /// Tokens whose cost is not known.
    pub unpriced_tokens: u64,
    /// List cost of the rows whose model has a price.
    pub list_cost: f64,
    /// The part of it that tokens of one sort make.
    pub part_cost: f64,
    /// Failed requests.
    pub failed: u64,
    /// The durations of single requests, in ms.
    durations: Vec<f32>,
}

impl Tally {
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
        (self.unpriced_tokens == 0 || self.cost != 0.0).then_some(self.cost)
    }

    /// Tokens of one sort.
    pub fn part(&self, part: Part) -> u64 {
        match part {
            Part::Input => self.input,
            Part::Output => self.output,
            Part::Cached => self.cached,
            Part::CacheWrite => self.cache_write,
            Part::Reasoning => self.reasoning,
        }
    }

    /// The sum of a measure; `None` where it is not known or not a sum.
    pub(super) fn sum(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Cost => self.known_cost(),
            Measure::CostOf(_) => (self.list_cost > 0.0).then_some(self.part_cost),
            Measure::Tokens => Some(self.tokens() as f64),
            Measure::TokensOf(part) => Some(self.part(part) as f64),
            Measure::Requests => self.known_requests().map(|n| n as f64),
            Measure::Failures => Some(self.failed as f64),
            Measure::Latency | Measure::FirstToken | Measure::Distinct => None,
        }
    }

    /// Number of durations.
    pub(super) fn durations(&self) -> usize {
        self.durations.len()
    }

    /// The mean duration.
    pub(super) fn mean_duration(&self) -> Option<f64> {
        let sum: f64 = self.durations.iter().map(|ms| f64::from(*ms)).sum();
        (!self.durations.is_empty()).then(|| sum / self.durations.len() as f64)
    }

    /// A percentile of the durations, by nearest rank; they must be sorted.
    pub(super) fn percentile(&self, p: u8) -> Option<f64> {
        let values = &self.durations;
        (!values.is_empty()).then(|| f64::from(values[nearest_rank(values.len(), p.into())]))
    }
}

/// What is summed.
pub(super) struct Summing<'a> {
    pub(super) data: &'a Dataset,
    pub(super) pricing: &'a Pricing,
    pub(super) costs: &'a Costs,
    pub(super) zone: &'a Zone,
    pub(super) measure: Measure,
}

/// The sums of a question.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// All rows of the period.
    pub(super) whole: Tally,
    /// The rows that the question means.
    pub(super) meant: Tally,
    /// Those rows by the column: key, name, sums; in the order of the keys.
    pub(super) parts: Vec<(i64, String, Tally)>,
    /// Those rows without a value in the column.
    pub(super) without: Tally,
}

impl Summing<'_> {
    /// Sums the rows of a scope.
    pub(super) fn run(&self, scope: &Scope, key: Option<Key>) -> Sums {
        let mut sums = Sums::default();
        let mut parts: HashMap<i64, Tally> = HashMap::new();
        for i in (0..self.data.len()).filter(|&i| scope.in_period(self.data, i, self.zone)) {
            self.add(&mut sums.whole, i, false);
            if !scope.contains(self.data, i) {
                continue;
            }
            self.add(&mut sums.meant, i, true);
            let Some(key) = key else { continue };
            match self.key_of(key, i) {
                Some(key) => self.add(parts.entry(key).or_default(), i, true),
                None => self.add(&mut sums.without, i, true),
            }
        }
        sums.meant.durations.sort_unstable_by(f32::total_cmp);
        sums.parts = parts
            .into_iter()
            .map(|(at, tally)| (at, key.map_or_else(String::new, |key| self.name(key, at)), tally))
            .collect();
        sums.parts.sort_by_key(|(at, ..)| *at);
        for (.., tally) in &mut sums.parts {
            tally.durations.sort_unstable_by(f32::total_cmp);
        }
        sums
    }

    /// The row with the highest figure, and that figure.
    pub(super) fn largest(&self, scope: &Scope) -> Option<(usize, f64)> {
        let data = self.data;
        let at = |durations: &[f32], i: usize| durations.get(i).filter(|ms| !ms.is_nan()).map(|ms| f64::from(*ms));
        let rows = (0..data.len()).filter(|&i| scope.in_period(data, i, self.zone) && scope.contains(data, i));
        let figures = rows.filter_map(|i| {
            let value = match self.measure {
                Measure::Cost => self.costs.known(i)?,
                Measure::Latency => at(&data.latency_ms, i)?,
                Measure::FirstToken => at(&data.first_token_ms, i)?,
                Measure::TokensOf(Part::Input) => data.input[i] as f64,
                Measure::TokensOf(Part::Output) => data.output[i] as f64,
                _ => data.tokens(i) as f64,
            };
            Some((i, value))
        });
        figures.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
    }

    fn add(&self, tally: &mut Tally, i: usize, with_durations: bool) {
        let data = self.data;
        let requests = data.requests.get(i).copied().unwrap_or(1);
        tally.rows += 1;
        tally.requests += requests;
        tally.uncounted_rows += u64::from(requests == 0);
        tally.input = tally.input.saturating_add(data.input[i]);
        tally.output = tally.output.saturating_add(data.output[i]);
        tally.cached = tally.cached.saturating_add(data.cached(i));
        tally.cache_write = tally.cache_write.saturating_add(data.cache_write(i));
        tally.reasoning = tally.reasoning.saturating_add(data.reasoning(i));
        match self.costs.known(i) {
            Some(cost) => tally.cost += cost,
            None => tally.unpriced_tokens = tally.unpriced_tokens.saturating_add(data.tokens(i)),
        }
        if data.failed(i) == Some(true) {
            tally.failed += requests;
        }
        match self.measure {
            Measure::CostOf(part) => {
                let (list, part) = self.part_cost(i, part);
                tally.list_cost += list;
                tally.part_cost += part;
            }
            Measure::Latency if with_durations => self.add_duration(tally, &data.latency_ms, i),
            Measure::FirstToken if with_durations => self.add_duration(tally, &data.first_token_ms, i),
            _ => {}
        }
    }

    /// Failed requests often end at once: their durations are left out.
    fn add_duration(&self, tally: &mut Tally, durations: &[f32], i: usize) {
        if let Some(ms) = durations.get(i).filter(|ms| !ms.is_nan() && self.data.failed(i) != Some(true)) {
            tally.durations.push(*ms);
        }
    }

    /// The list cost of a row, and how much lower it would be without tokens of one sort.
    fn part_cost(&self, i: usize, part: Part) -> (f64, f64) {
        let Some(price) = self.pricing.price(self.data, i) else { return (0.0, 0.0) };
        let (all, tier) = (Tokens::from_row(self.data, i), self.data.tier(i));
        let rest = match part {
            Part::Output => Tokens { output: 0.0, reasoning: 0.0, audio_output: 0.0, ..all },
            Part::Reasoning => Tokens { output: all.output - all.reasoning, reasoning: 0.0, ..all },
            Part::Cached => Tokens { input: all.input - all.cached, cached: 0.0, ..all },
            Part::CacheWrite => {
                Tokens { input: all.input - all.cache_write, cache_write: 0.0, cache_write_1h: 0.0, ..all }
            }
            Part::Input => {
                // What remains is output alone; a tier by input length does not apply to it.
                let (list, output) = self.part_cost(i, Part::Output);
                return (list, list - output);
            }
        };
        // At the rates for the length of the whole prompt.
        let cost = |tokens: &Tokens| {
            let prompt = Pricing::prompt_tokens(self.data, i);
            price.cost_at(tokens, tier, prompt)
        };
        (cost(&all), cost(&all) - cost(&rest))
    }

    fn key_of(&self, key: Key, i: usize) -> Option<i64> {
        let data = self.data;
        let local = || data.time(i).map(|time| time + self.zone.offset_ms(time));
        let day = || local().map(|time| time.div_euclid(DAY));
        match key {
            Key::Model => i64::try_from(data.model_index(i)).ok(),
            Key::Kind => Some(data.kind(i) as i64),
            Key::Outcome => data.failed(i).map(i64::from),
            Key::Group(at) => {
                data.groups[at].codes.get(i).filter(|code| **code != NO_VALUE).map(|code| i64::from(*code))
            }
            Key::Day => day(),
            Key::Hour => local().map(|time| time.div_euclid(3_600_000).rem_euclid(24)),
            Key::Weekday => day().map(|day| (day + 3).rem_euclid(7)),
            Key::Week => day().map(|day| day - (day + 3).rem_euclid(7)),
            Key::Month => day().map(|day| day_number(date_of(day).first_of_month())),
        }
    }

    /// The name of a value.
    fn name(&self, key: Key, at: i64) -> String {
        let index = usize::try_from(at).unwrap_or(0);
        match key {
            Key::Model => self.data.models.get(index).cloned().unwrap_or_default(),
            Key::Kind => [Kind::Chat, Kind::Embedding, Kind::Image, Kind::Audio, Kind::Other]
                .into_iter()
                .find(|kind| *kind as i64 == at)
                .map_or_else(String::new, |kind| plural_of(kind).into()),
            Key::Outcome => if at == 1 { "failed" } else { "did not fail" }.into(),
            Key::Group(group) => self.data.groups[group].values.get(index).cloned().unwrap_or_default(),
            Key::Day => format!("{} ({:.3})", date_of(at), weekday_name(date_of(at).weekday())),
            Key::Hour => format!("{at:02}:00"),
            Key::Weekday => weekday_name(date_of(at + 4).weekday()).into(),
            Key::Week => format!("week from {}", date_of(at)),
            Key::Month => date_of(at).strftime("%Y-%m").to_string(),
        }
    }
}
