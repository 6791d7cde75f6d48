//! Forecasts a month, growth and a budget; compares models by cost; computes what faster answers need.
//!
//! Guarantees: amounts scale linearly from the log's period; a month is 30 days; growth means more requests of the same mix;
//! the assumptions say if a log is short.

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

/// Months shown for monthly growth if the question states no number.
const DEFAULT_MONTHS: u32 = 6;

/// Most months shown.
const MAX_MONTHS: u32 = 36;

/// A month of the forecast.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastMonth {
    /// `today`, `+50 %` or `month 3`.
    pub label: String,
    /// Traffic as a multiple of the log's.
    pub factor: f64,
    /// Requests a month.
    pub requests: f64,
    /// US dollars a month.
    pub usd: f64,
    /// US dollars a month with the options that were computed together.
    pub usd_with_savings: f64,
    /// Tokens in the busiest minute, scaled by the factor.
    pub peak_tokens: f64,
}

/// The log scaled to a month, today and with growth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// Days from the first to the last request of the log.
    pub log_days: f64,
    /// Today, then the months or the growth ahead.
    pub ahead: Vec<ForecastMonth>,
    /// The budget in US dollars a month, if stated.
    pub budget_usd: Option<f64>,
    /// The assumptions, in sentences.
    pub assumptions: Vec<String>,
}

impl Forecast {
    /// Scales the log to months; `None` when it has no times or covers less than a minute.
    pub fn compute(profile: &Profile, savings: &Savings, question: &Question) -> Option<Self> {
        let load = profile.load.as_ref().filter(|load| load.to_ms - load.from_ms >= 60_000)?;
        let log_days = load.days();
        let months = MONTH_DAYS / log_days;
        let month_at = |label: String, factor: f64| ForecastMonth {
            label,
            factor,
            requests: profile.requests as f64 * months * factor,
            usd: profile.cost * months * factor,
            usd_with_savings: profile.cost * (1.0 - savings.together_share) * months * factor,
            peak_tokens: load.peak_tokens.0 as f64 * factor,
        };
        let mut ahead = vec![month_at("today".into(), 1.0)];
        match question.growth() {
            Some((by, true, months)) => {
                let last = months.unwrap_or(DEFAULT_MONTHS).clamp(1, MAX_MONTHS);
                ahead.extend((1..=last).map(|month| month_at(format!("month {month}"), (1.0 + by).powi(month as i32))));
            }
            Some((by, false, _)) => ahead.push(month_at(format!("+{:.0} %", by * 100.0), 1.0 + by)),
            None => {}
        }
        let mut assumptions = vec![
            format!("A month is {MONTH_DAYS:.0} days at the pace of the log's {}.", super::format::duration(log_days)),
            "Growth means more requests of the same mix at the same prices; the peak grows with them.".to_owned(),
        ];
        if log_days < 6.5 {
            assumptions.push("The log covers less than a week: nights and weekends are missing or have the wrong weight, so monthly amounts are rough estimates.".into());
        }
        let budget_usd = question.goals.iter().find_map(|(goal, _)| match goal {
            Goal::Budget { usd_a_month } => Some(*usd_a_month),
            _ => None,
        });
        Some(Self { log_days, ahead, budget_usd, assumptions })
    }
}

/// The cost of the log's requests with one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelCost {
    /// The model, as in the price table.
    pub model: String,
    /// US dollars for all requests of the log.
    pub usd: f64,
    /// US dollars for 1,000 of them.
    pub usd_per_1000: f64,
    /// US dollars at batch prices, if the model has them.
    pub usd_batch: Option<f64>,
    /// Number of requests in the log that this model answered.
    pub requests_in_log: u64,
    /// Mean output tokens of those requests.
    pub mean_output: Option<f64>,
    /// Latency of those requests in ms, if the log has it.
    pub latency: Option<Stats>,
}

/// Compares models by cost: those in the question if it names two or more; else also those of the log and cheaper ones of their
/// families.
pub fn compare(
    data: &Dataset,
    pricing: &Pricing,
    table: &PriceTable,
    profile: &Profile,
    question: &Question,
) -> Vec<ModelCost> {
    let mut prices: Vec<&Price> = question.models.iter().filter_map(|name| table.find(name)).collect();
    if prices.len() < 2 {
        let own = pricing.in_use();
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
            let segments: Vec<_> =
                profile.by_model.iter().enumerate().filter(|(_, segment)| answered(&segment.name)).collect();
            let requests_in_log = segments.iter().map(|(_, segment)| segment.requests).sum();
            let outputs: u64 = segments.iter().map(|(_, segment)| segment.output).sum();
            ModelCost {
                model: price.model.clone(),
                usd,
                usd_per_1000: usd / profile.requests as f64 * 1000.0,
                usd_batch: price.batch.map(|batch| input * batch.0 + output * batch.1),
                requests_in_log,
                mean_output: (requests_in_log > 0).then(|| outputs as f64 / requests_in_log as f64),
                // Percentiles cannot be merged: for a model under several names, this is the latency of the first.
                latency: segments
                    .first()
                    .and_then(|(at, _)| profile.latency_by_model.get(*at))
                    .filter(|stats| stats.count > 0)
                    .copied(),
            }
        })
        .collect()
}

/// The speed of a log, and what being faster by a factor requires.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Speed {
    /// How many times faster; 2 if the question states no number.
    pub factor: f64,
    /// Latency in the log, ms.
    pub now: Stats,
    /// Share of the mean latency due to output tokens, by the fit.
    pub output_share: Option<f64>,
    /// Share by which answers must shrink for the mean latency to reach its target; `None` if that is not enough.
    pub shorten_by: Option<f64>,
    /// The fit, if it explains enough of the latency.
    pub fit: Option<LatencyFit>,
    /// The model with the lowest median latency in ms, if several have 30 requests or more.
    pub fastest: Option<(String, f64)>,
}

impl Speed {
    /// Measures the speed; `None` if the log has no latency.
    pub fn measure(profile: &Profile, question: &Question) -> Option<Self> {
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
            .map(|(segment, stats)| (segment.name.clone(), stats.p50));
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
