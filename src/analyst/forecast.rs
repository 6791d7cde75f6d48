//! What the log means for a month, for growth, for a budget, for another model, and for speed.
//!
//! Promises: everything scales straight from the log's period; a month is 30 days; growth means more requests of the
//! same mix; a short log is named as such beside its figures.

use serde::Serialize;

use super::{
    dataset::Dataset,
    goals::{Goal, Question},
    optimize::Savings,
    pricing::{Price, PriceTable, Pricing},
    profile::Profile,
    stats::{LatencyFit, Stats},
};

/// Days of a month.
pub const MONTH_DAYS: f64 = 30.0;

/// Months shown for monthly growth when the question names no number.
const MONTHS: u32 = 6;

/// Most months shown.
const MAX_MONTHS: u32 = 36;

/// A month to come.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ahead {
    /// Such as `today`, `+50 %`, `month 3`.
    pub label: String,
    /// Traffic as a multiple of the log's.
    pub factor: f64,
    /// Requests a month.
    pub requests: f64,
    /// US dollars a month.
    pub usd: f64,
    /// US dollars a month with the options that were computed together.
    pub usd_with_savings: f64,
    /// Tokens in the busiest minute.
    pub peak_tokens: f64,
}

/// The log as a month, now and ahead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Days from the log's first to its last request.
    pub log_days: f64,
    /// Today and ahead.
    pub ahead: Vec<Ahead>,
    /// The budget, US dollars a month, where one is stated.
    pub budget_usd: Option<f64>,
    /// What is assumed.
    pub assumptions: Vec<String>,
}

impl Forecast {
    /// Scales the log to months; `None` when it has no times or covers less than a minute.
    pub fn of(profile: &Profile, savings: &Savings, question: &Question) -> Option<Self> {
        let load = profile.load.as_ref().filter(|load| load.to_ms - load.from_ms >= 60_000)?;
        let log_days = load.days();
        let months = MONTH_DAYS / log_days;
        let at = |label: String, factor: f64| Ahead {
            label,
            factor,
            requests: profile.requests as f64 * months * factor,
            usd: profile.cost * months * factor,
            usd_with_savings: profile.cost * (1.0 - savings.together_share) * months * factor,
            peak_tokens: load.peak_tokens.0 as f64 * factor,
        };
        let mut ahead = vec![at("today".into(), 1.0)];
        match question.growth() {
            Some((by, true, months)) => {
                let last = months.unwrap_or(MONTHS).clamp(1, MAX_MONTHS);
                ahead.extend((1..=last).map(|month| at(format!("month {month}"), (1.0 + by).powi(month as i32))));
            }
            Some((by, false, _)) => ahead.push(at(format!("+{:.0} %", by * 100.0), 1.0 + by)),
            None => {}
        }
        let mut assumptions = vec![
            format!("A month is {MONTH_DAYS:.0} days at the pace of the log's {}.", super::words::span(log_days)),
            "Growth means more requests of the same mix at the same prices; the peak grows with them.".to_owned(),
        ];
        if log_days < 6.5 {
            assumptions.push("The log covers less than a week: nights and weekends are missing or weigh wrongly, so take months as a scale, not as a promise.".into());
        }
        let budget_usd = question.goals.iter().find_map(|(goal, _)| match goal {
            Goal::Budget { usd_a_month } => Some(*usd_a_month),
            _ => None,
        });
        Some(Self { log_days, ahead, budget_usd, assumptions })
    }
}

/// What the log's requests cost with one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The model, as in the price table.
    pub model: String,
    /// US dollars for all requests of the log.
    pub usd: f64,
    /// US dollars for a thousand of them.
    pub usd_per_1000: f64,
    /// US dollars at batch prices, where there are any.
    pub usd_batch: Option<f64>,
    /// Requests of the log that this model answered.
    pub requests_in_log: u64,
    /// Their mean output tokens.
    pub mean_output: Option<f64>,
    /// Their latency, ms, where the log has it.
    pub latency: Option<Stats>,
}

/// Compares the models the question names; with one named, it and the log's own; with none, those of the log and the
/// cheaper one of the family.
pub fn compare(
    data: &Dataset,
    pricing: &Pricing,
    table: &PriceTable,
    profile: &Profile,
    question: &Question,
) -> Vec<Compared> {
    let mut prices: Vec<&Price> = question.models.iter().filter_map(|name| table.find(name)).collect();
    if prices.len() < 2 {
        let own = pricing.used();
        let more = own.iter().copied().chain(own.iter().filter_map(|price| table.cheaper_than(price)));
        for price in more.take(4) {
            if !prices.iter().any(|known| known.model == price.model) {
                prices.push(price);
            }
        }
    }
    prices.truncate(6);
    let cached = profile.cached.unwrap_or(0) as f64;
    let (input, output) = (profile.input.sum, profile.output.sum);
    let write: f64 = data.cache_write.iter().map(|&n| f64::from(n)).sum();
    prices
        .into_iter()
        .map(|price| {
            let usd = price.cost(input, cached, write, output);
            let answered = |name: &str| table.find(name).is_some_and(|known| known.model == price.model);
            let parts: Vec<_> = profile.by_model.iter().enumerate().filter(|(_, part)| answered(&part.name)).collect();
            let requests_in_log = parts.iter().map(|(_, part)| part.requests).sum();
            let outputs: u64 = parts.iter().map(|(_, part)| part.output).sum();
            Compared {
                model: price.model.clone(),
                usd,
                usd_per_1000: usd / profile.requests as f64 * 1000.0,
                usd_batch: price.batch.map(|batch| input * batch.0 + output * batch.1),
                requests_in_log,
                mean_output: (requests_in_log > 0).then(|| outputs as f64 / requests_in_log as f64),
                // Percentiles of several spellings cannot be merged; the first stands.
                latency: parts
                    .first()
                    .and_then(|(at, _)| profile.latency_by_model.get(*at))
                    .filter(|stats| stats.count > 0)
                    .copied(),
            }
        })
        .collect()
}

/// What "so many times faster" means for a log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// Times faster; 2 where the question has no figure.
    pub factor: f64,
    /// Latency now, ms.
    pub now: Stats,
    /// Share of the mean latency that output tokens explain.
    pub output_share: Option<f64>,
    /// Share by which answers must shrink for the mean latency to reach its target; `None` when that cannot reach it.
    pub shorten_by: Option<f64>,
    /// The line behind the two.
    pub fit: Option<LatencyFit>,
    /// The fastest model of the log by median, when it has several with 30 requests or more.
    pub fastest: Option<(String, f64)>,
}

impl Speed {
    /// Measures what the log can say; `None` when it has no latency.
    pub fn of(profile: &Profile, question: &Question) -> Option<Self> {
        let factor = question.goals.iter().find_map(|(goal, _)| match goal {
            Goal::Faster { factor } => Some(factor.unwrap_or(2.0)),
            _ => None,
        });
        let (now, factor) = (profile.latency?, factor.unwrap_or(2.0));
        let fit = profile.latency_fit.filter(|fit| fit.per_output_ms > 0.0 && fit.r2 >= 0.2);
        let in_output = fit.map(|fit| fit.per_output_ms * profile.output.mean);
        let shorten_by = in_output.map(|ms| (now.mean - now.mean / factor) / ms).filter(|share| *share <= 1.0);
        let medians = profile.by_model.iter().zip(&profile.latency_by_model).filter(|(_, stats)| stats.count >= 30);
        let fastest = medians
            .clone()
            .min_by(|a, b| a.1.p50.total_cmp(&b.1.p50))
            .map(|(part, stats)| (part.name.clone(), stats.p50));
        Some(Self {
            factor,
            now,
            output_share: in_output.map(|ms| (ms / now.mean).min(1.0)),
            shorten_by,
            fit,
            fastest: fastest.filter(|_| medians.count() > 1),
        })
    }
}
