//! Forecasts a month, growth and a budget; compares models by cost; computes what faster answers need.
//!
//! Guarantees: amounts scale linearly from the elapsed time of the log; a month is 30 days; growth means more requests
//! of the same mix, and compounds; the assumptions say if a log is short, or if a part of its cost is not known.

use serde::Serialize;

use super::{
    dataset::{Dataset, Kind, Tier},
    format::{decimal, duration, percent, whole},
    goals::{Goal, Question, each, periods::date_of},
    optimize::Savings,
    pricing::{Price, PriceTable, Pricing, Tokens},
    profile::{CostBasis, Profile, has_tokens},
    stats::{LatencyFit, Stats},
};

/// Days of a month.
pub const MONTH_DAYS: f64 = 30.0;

/// Least days that can be scaled to a month: one minute.
const MIN_DAYS: f64 = 1.0 / 1440.0;

/// Months shown for growth that repeats, if the question states no number.
const DEFAULT_MONTHS: u32 = 6;

/// Most months shown.
const MAX_MONTHS: u32 = 36;

/// Growth of the traffic: the same mix of requests, more of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Growth {
    /// The share added: 0.5 for 50 %, 1.0 for doubling; negative for less traffic, not below -1.
    pub rate: f64,
    /// The months in which that share is added once, compounding: 1 for monthly, 3 for quarterly, 12 for yearly growth.
    /// `None` for growth that happens once.
    pub period_months: Option<f64>,
    /// Months ahead to show; half a year if not stated, and two periods at least.
    pub months: Option<u32>,
}

impl Growth {
    /// The traffic after some months as a multiple of today's: `(1 + rate) ^ (months / period)`.
    pub fn factor(&self, months: f64) -> f64 {
        let base = (1.0 + self.rate).max(0.0);
        match self.period_months.filter(|period| *period > 0.0) {
            Some(period) => base.powf(months / period),
            None => base,
        }
    }

    /// The number of months to show.
    fn months_ahead(&self) -> u32 {
        let two_periods = self.period_months.map_or(0.0, |period| (2.0 * period).ceil().clamp(0.0, 100.0)) as u32;
        self.months.unwrap_or(DEFAULT_MONTHS.max(two_periods)).clamp(1, MAX_MONTHS)
    }
}

/// A month of the forecast.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastMonth {
    /// `today`, `+50 %` or `month 3`.
    pub label: String,
    /// Traffic as a multiple of the log's.
    pub factor: f64,
    /// Requests a month; `None` if the log does not state their number.
    pub requests: Option<f64>,
    /// Cost of a month, in [`Forecast::currency`].
    pub usd: f64,
    /// The same with the savings that leave answers unchanged.
    pub usd_with_savings: f64,
    /// The same with all savings, also those that need a test.
    pub usd_with_test: f64,
    /// Tokens in the busiest minute, scaled by the factor; `None` if the log does not show minutes.
    pub peak_tokens: Option<f64>,
}

/// The log scaled to a month, today and with growth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// The elapsed days of the log: from the first start to the last start, or to the end of the last sum.
    pub log_days: f64,
    /// The currency of the amounts.
    pub currency: String,
    /// Today, then the months or the growth ahead.
    pub ahead: Vec<ForecastMonth>,
    /// The budget of a month, if one is stated in this currency.
    pub budget_usd: Option<f64>,
    /// The assumptions, in sentences.
    pub assumptions: Vec<String>,
}

impl Forecast {
    /// Scales the log to months, with the growth and the budget that the question states; see [`Self::scale`].
    pub fn compute(profile: &Profile, savings: &Savings, question: &Question) -> Option<Self> {
        let until = Some(profile.to_ms).flatten().filter(|_| question.until_year_end).and_then(months_to_december);
        let growth = question.growth().map(|(rate, period_months, months)| Growth {
            rate,
            period_months,
            months: until.or(months),
        });
        let budget_usd = question.goals.iter().find_map(|(goal, _)| match goal {
            Goal::Budget { amount_a_month, currency } if *currency == profile.currency => Some(*amount_a_month),
            _ => None,
        });
        let mut forecast = Self { budget_usd, ..Self::scale(profile, savings, growth)? };
        if let Some(last) = forecast.ahead.last_mut().filter(|_| until.is_some() && growth.is_some()) {
            last.label += " (December)";
        }
        Some(forecast)
    }

    /// Scales the log to months by its elapsed time, then by growth; `None` when it has no times, covers less than a
    /// minute, or has no known cost.
    pub fn scale(profile: &Profile, savings: &Savings, growth: Option<Growth>) -> Option<Self> {
        let log_days = profile.elapsed_days.filter(|days| *days >= MIN_DAYS)?;
        if profile.cost_basis == CostBasis::None {
            return None;
        }
        let months = MONTH_DAYS / log_days;
        let month_at = |label: String, factor: f64| {
            let usd = profile.cost * months * factor;
            ForecastMonth {
                label,
                factor,
                requests: profile.requests.map(|n| n as f64 * months * factor),
                usd,
                usd_with_savings: usd * (1.0 - savings.together_share),
                usd_with_test: usd * (1.0 - savings.together_with_test_share),
                peak_tokens: profile.load.as_ref().map(|load| load.peak_tokens.0 as f64 * factor),
            }
        };
        let mut ahead = vec![month_at("today".into(), 1.0)];
        match growth {
            Some(growth) if growth.period_months.is_some() => {
                let months = 1..=growth.months_ahead();
                ahead.extend(months.map(|month| month_at(format!("month {month}"), growth.factor(month.into()))));
            }
            Some(growth) => ahead.push(month_at(format!("{:+.0} %", growth.rate * 100.0), growth.factor(0.0))),
            None => {}
        }
        let assumptions = assumptions(profile, log_days, growth);
        Some(Self { log_days, currency: profile.currency.clone(), ahead, budget_usd: None, assumptions })
    }
}

/// The months from the one in which a log ends to December; `None` in December, and for times without a date.
fn months_to_december(end_ms: i64) -> Option<u32> {
    const YEAR_MS: i64 = 366 * 86_400_000;
    let month = date_of((end_ms - 1).div_euclid(86_400_000)).month();
    u32::try_from(12 - i32::from(month)).ok().filter(|months| *months > 0 && end_ms > 3 * YEAR_MS)
}

fn assumptions(profile: &Profile, log_days: f64, growth: Option<Growth>) -> Vec<String> {
    let until = if profile.sums { "end of the last period" } else { "last request" };
    let mut sentences = vec![format!(
        "A month is {MONTH_DAYS:.0} days at the pace of the log's {}, from the first start to the {until}.",
        duration(log_days)
    )];
    if growth.is_some() {
        sentences.push(
            "Growth means more requests of the same mix at the same prices; the peak grows with them.".to_owned(),
        );
    }
    if let Some(Growth { rate, period_months: Some(period), .. }) = growth {
        sentences.push(format!(
            "Growth compounds: {} % more traffic {}, spread evenly over it.",
            decimal(rate * 100.0),
            each(period)
        ));
    }
    if log_days < 1.0 {
        sentences.push(format!(
            "The log covers {}: a month is that times {}. It shows no night, no weekend and no other day, so monthly \
             amounts are no more than an order of magnitude.",
            duration(log_days),
            whole(MONTH_DAYS / log_days)
        ));
    } else if log_days < 6.5 {
        sentences.push(
            "The log covers less than a week: nights and weekends are missing or have the wrong weight, so monthly \
             amounts are rough estimates."
                .to_owned(),
        );
    }
    if profile.unpriced_tokens > 0 {
        sentences.push(format!(
            "{} of the tokens have no known cost; the amounts lack them.",
            percent(profile.unpriced_share())
        ));
    }
    sentences
}

/// The cost of the log's requests with one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelCost {
    /// The model, as in the price table.
    pub model: String,
    /// US dollars at list prices for all chat requests of the log.
    pub usd: f64,
    /// US dollars for 1,000 of them, if their number is known.
    pub usd_per_1000: Option<f64>,
    /// US dollars at batch prices, if the model has them.
    pub usd_batch: Option<f64>,
    /// Number of requests in the log that this model answered, where the log states it.
    pub requests_in_log: u64,
    /// Mean output tokens of those requests.
    pub mean_output: Option<f64>,
    /// Latency of those requests in ms, if the log has it.
    pub latency: Option<Stats>,
}

/// Compares models by cost: those in the question if it names two or more; else also those of the log and cheaper ones
/// of their families.
pub fn compare(
    data: &Dataset,
    pricing: &Pricing,
    table: &PriceTable,
    profile: &Profile,
    question: &Question,
) -> Vec<ModelCost> {
    let mut prices: Vec<&Price> = question.models.iter().filter_map(|name| table.find(name)).collect();
    if prices.len() < 2 {
        // A model of embeddings cannot answer the chat requests that are compared.
        let mut own: Vec<&Price> = Vec::new();
        for price in chat_rows(data).filter_map(|i| pricing.price(data, i)) {
            if !own.iter().any(|known| known.model == price.model) {
                own.push(price);
            }
        }
        let more = own.iter().copied().chain(own.iter().filter_map(|price| table.cheaper_than(price)));
        for price in more.take(4) {
            if !prices.iter().any(|known| known.model == price.model) {
                prices.push(price);
            }
        }
    }
    prices.truncate(6);
    prices.into_iter().filter_map(|price| model_cost(data, table, profile, price)).collect()
}

/// The chat requests with tokens.
fn chat_rows(data: &Dataset) -> impl Iterator<Item = usize> {
    (0..data.len()).filter(|&i| data.kind(i) == Kind::Chat && has_tokens(data, i))
}

/// What the chat requests that [`compare`] prices cost at list prices as they were; `None` if some have no price, for
/// then the two amounts are of different requests.
pub fn compared_with(data: &Dataset, pricing: &Pricing) -> Option<f64> {
    chat_rows(data).map(|i| pricing.price(data, i).map(|_| pricing.cost(data, i))).sum()
}

/// The cost of the log's chat requests with one model; `None` if the log lacks the tokens to be paid for.
fn model_cost(data: &Dataset, table: &PriceTable, profile: &Profile, price: &Price) -> Option<ModelCost> {
    let (mut usd, mut usd_batch, mut count) = (0.0, 0.0, 0u64);
    for i in chat_rows(data) {
        let tokens = Tokens::from_row(data, i);
        usd += Pricing::cost_with(price, data, i, &tokens, Tier::Standard);
        usd_batch += Pricing::cost_with(price, data, i, &tokens, Tier::Batch);
        count += 1;
    }
    if count == 0 {
        return None;
    }
    let requests: Option<u64> = if profile.sums { profile.requests } else { Some(count) };
    let answered = |name: &str| table.find(name).is_some_and(|known| known.model == price.model);
    let segments: Vec<_> = profile.by_model.iter().enumerate().filter(|(_, segment)| answered(&segment.name)).collect();
    let requests_in_log = segments.iter().map(|(_, segment)| segment.requests).sum();
    let outputs: u64 = segments.iter().map(|(_, segment)| segment.output).sum();
    Some(ModelCost {
        model: price.model.clone(),
        usd,
        usd_per_1000: requests.filter(|n| *n > 0).map(|n| usd / n as f64 * 1000.0),
        usd_batch: (usd_batch < usd).then_some(usd_batch),
        requests_in_log,
        mean_output: (requests_in_log > 0).then(|| outputs as f64 / requests_in_log as f64),
        // Percentiles cannot be merged: for a model under several names, this is the latency of the first.
        latency: segments
            .first()
            .and_then(|(at, _)| profile.latency_by_model.get(*at))
            .filter(|stats| stats.count > 0)
            .copied(),
    })
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
        let in_output = fit.map(|fit| fit.per_output_ms * profile.output.unwrap_or_default().mean);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_compounds_over_any_period() {
        let growth = |rate, period_months, months| Growth { rate, period_months, months };
        // Python: 2 ** (6 / 3), 1.1 ** 12, 2 ** (1 / 3)
        assert_eq!(growth(1.0, Some(3.0), None).factor(6.0), 4.0);
        assert!((growth(0.1, Some(1.0), None).factor(12.0) - 3.138_428_376_721).abs() < 1e-9);
        assert!((growth(1.0, Some(3.0), None).factor(1.0) - 1.259_921_049_894_873).abs() < 1e-12);
        assert_eq!((growth(0.5, None, None).factor(0.0), growth(-2.0, None, None).factor(0.0)), (1.5, 0.0));
        let months = |period, stated| growth(1.0, Some(period), stated).months_ahead();
        assert_eq!((months(1.0, None), months(12.0, None), months(1.0, Some(99))), (6, 24, MAX_MONTHS));
    }

    #[test]
    fn a_month_is_scaled_by_elapsed_time_and_not_by_rows() {
        let profile = Profile {
            rows: 14,
            sums: true,
            requests: None,
            cost: 7.0,
            currency: "EUR".into(),
            cost_basis: CostBasis::Logged,
            elapsed_days: Some(14.0),
            ..Profile::default()
        };
        let savings = Savings { together_share: 0.1, together_with_test_share: 0.5, ..Savings::default() };
        let growth = Growth { rate: 1.0, period_months: Some(3.0), months: Some(3) };
        let forecast = Forecast::scale(&profile, &savings, Some(growth)).expect("a forecast");
        // 7 * 30 / 14, times 0.9, 0.5; doubled after three months
        let today = &forecast.ahead[0];
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        near(today.usd, 15.0);
        near(today.usd_with_savings, 13.5);
        near(today.usd_with_test, 7.5);
        near(forecast.ahead[3].usd, 30.0);
        assert_eq!((today.requests, today.peak_tokens, forecast.currency.as_str()), (None, None, "EUR"));
        let unknown = Profile { cost_basis: CostBasis::None, ..profile };
        assert_eq!(Forecast::scale(&unknown, &savings, None), None);
    }
}
