//! Options that save money, each with its saving computed request by request at list prices.
//!
//! Guarantees: a saving is the difference between two sums over the same requests, as logged and as changed by the option;
//! the saving of several options is computed together, never added up; what the log cannot show is marked as an assumption.

mod options;

use serde::Serialize;

use super::{
    caching::{CacheUsage, MIN_CACHEABLE_TOKENS},
    dataset::Dataset,
    goals::{Goal, Question},
    ingest::{IngestError, StopFn},
    peaks::PeakShift,
    pricing::{Price, PriceTable, Pricing},
    profile::Profile,
};

/// Share of a long prompt assumed to be a cached prefix, if the log has no cached tokens.
pub const ASSUMED_PREFIX_SHARE: f64 = 0.5;

/// Share of the work assumed to be able to wait for a batch.
pub const ASSUMED_BATCH_SHARE: f64 = 0.2;

/// The effect of an option on answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// The same model gets the same prompt: answers stay the same.
    Unchanged,
    /// Answers may change: test before switching.
    NeedsTest,
}

/// What a saving is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The log alone.
    Log,
    /// A share that the log cannot show; included in the combined saving only if the question asks for the option.
    Assumption,
}

/// An option that saves money.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SavingOption {
    /// Stable name: `cheaper_model`, `caching`, `batch`, `output_cap`, `prompt_cap`.
    pub id: &'static str,
    /// A short title.
    pub title: String,
    /// US dollars saved over the log, at list prices.
    pub saving_usd: f64,
    /// The saving as a share of the list cost.
    pub share: f64,
    /// Number of requests that it changes.
    pub requests: u64,
    /// Its effect on answers.
    pub quality: Quality,
    /// What the saving is based on.
    pub evidence: Evidence,
    /// Its effect on latency.
    pub latency: &'static str,
    /// What is assumed.
    pub assumption: String,
    /// What to change.
    pub change: String,
}

/// All options for a log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Savings {
    /// List cost of the log in US dollars.
    pub base_usd: f64,
    /// The options, largest saving first.
    pub options: Vec<SavingOption>,
    /// Ids of the options in the combined saving.
    pub together: Vec<&'static str>,
    /// The combined saving in US dollars.
    pub together_usd: f64,
    /// The combined saving as a share of the list cost.
    pub together_share: f64,
    /// Why other options do not apply.
    pub notes: Vec<String>,
    /// What caching already saves, if the log has cached tokens.
    pub cache: Option<CacheUsage>,
    /// The effect of spreading peaks, if the log has times and peaks.
    pub peak_shift: Option<PeakShift>,
}

/// How options would change the requests.
#[derive(Debug, Clone, Default)]
struct Scenario {
    /// The price of the cheaper model for small requests, by index of the log's model.
    cheaper_prices: Vec<Option<Price>>,
    /// Most input and most output tokens of a small request.
    small_request: (u32, u32),
    /// Most output tokens.
    output_cap: Option<u32>,
    /// Most input tokens.
    input_cap: Option<u32>,
    /// Share of a long prompt that is cached, for prompts without cached tokens in the log.
    cached_share: Option<f64>,
    /// Share of each request at batch prices.
    batch_share: f64,
}

impl Scenario {
    /// The price of the cheaper model that request `i` moves to, if it does.
    fn cheaper_price<'a>(&'a self, data: &Dataset, i: usize) -> Option<&'a Price> {
        let (max_input, max_output) = self.small_request;
        let is_small = data.input[i] <= max_input && data.output[i] <= max_output;
        self.cheaper_prices.get(data.model_index(i))?.as_ref().filter(|_| is_small)
    }

    /// The cost of request `i` with the changes, in US dollars.
    fn cost(&self, data: &Dataset, pricing: &Pricing, i: usize) -> f64 {
        let Some(own) = pricing.price(data, i) else { return 0.0 };
        let price = self.cheaper_price(data, i).unwrap_or(own);
        let output = f64::from(data.output[i].min(self.output_cap.unwrap_or(u32::MAX)));
        let input = f64::from(data.input[i].min(self.input_cap.unwrap_or(u32::MAX)));
        let cached = f64::from(data.cached(i)).min(input);
        let write = f64::from(data.cache_write(i)).min(input - cached);
        let cached = match self.cached_share {
            Some(share) if cached == 0.0 && input >= f64::from(MIN_CACHEABLE_TOKENS) => share * input,
            _ => cached,
        };
        let standard = price.cost(input, cached, write.min(input - cached), output);
        // Batch prices have no further discount for cached tokens.
        let batch = price.batch.map_or(standard, |(input_price, output_price)| {
            (input * input_price + output * output_price).min(standard)
        });
        standard + self.batch_share * (batch - standard)
    }

    fn total_cost(&self, data: &Dataset, pricing: &Pricing) -> f64 {
        (0..data.len()).map(|i| self.cost(data, pricing, i)).sum()
    }

    /// Adds the changes of another scenario.
    fn merge(&mut self, other: Self) {
        if !other.cheaper_prices.is_empty() {
            (self.cheaper_prices, self.small_request) = (other.cheaper_prices, other.small_request);
        }
        self.output_cap = self.output_cap.or(other.output_cap);
        self.input_cap = self.input_cap.or(other.input_cap);
        self.cached_share = self.cached_share.or(other.cached_share);
        self.batch_share = self.batch_share.max(other.batch_share);
    }
}

impl Savings {
    /// Computes every option for a log.
    ///
    /// # Errors
    /// [`IngestError::Stopped`] when `stop` returns true.
    pub fn compute(
        data: &Dataset,
        pricing: &Pricing,
        table: &PriceTable,
        profile: &Profile,
        question: &Question,
        stop: StopFn<'_>,
    ) -> Result<Self, IngestError> {
        let base_usd = profile.list_cost;
        let mut combined = Scenario::default();
        let mut savings = Self { base_usd, ..Self::default() };
        for find in options::FINDERS {
            if stop() {
                return Err(IngestError::Stopped);
            }
            match find(data, pricing, table, profile, question) {
                Ok((mut option, scenario)) => {
                    option.saving_usd = (base_usd - scenario.total_cost(data, pricing)).max(0.0);
                    option.share = if base_usd > 0.0 { option.saving_usd / base_usd } else { 0.0 };
                    let requested = option.id == "batch" && question.has_goal(|goal| *goal == Goal::Batch);
                    let allowed = option.quality == Quality::Unchanged || !question.same_quality();
                    if (option.evidence == Evidence::Log || requested) && allowed && option.saving_usd > 0.0 {
                        combined.merge(scenario);
                        savings.together.push(option.id);
                    }
                    savings.options.push(option);
                }
                Err(note) => savings.notes.push(note),
            }
        }
        savings.options.sort_by(|a, b| b.saving_usd.total_cmp(&a.saving_usd));
        if !savings.together.is_empty() {
            savings.together_usd = (base_usd - combined.total_cost(data, pricing)).max(0.0);
        }
        savings.together_share = if base_usd > 0.0 { savings.together_usd / base_usd } else { 0.0 };
        savings.cache = CacheUsage::measure(data, pricing);
        savings.peak_shift = profile.load.as_ref().and_then(PeakShift::from_load);
        Ok(savings)
    }

    /// An option by its id.
    pub fn option(&self, id: &str) -> Option<&SavingOption> {
        self.options.iter().find(|option| option.id == id)
    }
}

/// An option with its scenario, or the reason why it does not apply.
type OptionResult = Result<(SavingOption, Scenario), String>;
