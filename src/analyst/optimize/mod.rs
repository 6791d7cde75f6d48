//! Options that save money, each with its amount computed request by request at list prices.
//!
//! Promises: an amount is the difference between two sums over the same requests, as they were and as they would be;
//! options taken together are computed together, never added up; what the log cannot show stands apart as an assumption.

mod options;

use serde::Serialize;

use super::{
    caching::{CACHEABLE_FROM, CacheUse},
    dataset::Dataset,
    goals::{Goal, Question},
    ingest::{LoadError, StopFn},
    peaks::PeakShift,
    pricing::{Price, PriceTable, Pricing},
    profile::Profile,
};

/// Share of a long prompt taken to repeat, where the log says nothing of caching.
pub const ASSUMED_PREFIX: f64 = 0.5;

/// Share of each request's cost taken to be able to wait for a batch.
pub const ASSUMED_BATCH: f64 = 0.2;

/// What an option does to answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// The same model sees the same prompt and says the same.
    Unchanged,
    /// Answers may change: test before switching.
    NeedsTest,
}

/// What an amount rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The log's own figures.
    Log,
    /// A share that the log cannot show; not in any sum unless the question asks for it.
    Assumption,
}

/// One option.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SavingOption {
    /// Stable name: `cheaper_model`, `caching`, `batch`, `output_cap`, `prompt_cap`.
    pub id: &'static str,
    /// In a few words.
    pub title: String,
    /// US dollars saved over the log, at list prices.
    pub saving_usd: f64,
    /// The same as a share of the list cost.
    pub share: f64,
    /// Requests it touches.
    pub requests: u64,
    /// What it does to answers.
    pub quality: Quality,
    /// What the amount rests on.
    pub evidence: Evidence,
    /// What it does to waiting.
    pub latency: &'static str,
    /// What is assumed.
    pub assumption: String,
    /// What to change.
    pub change: String,
}

/// All options for a log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Savings {
    /// List cost of the log.
    pub base_usd: f64,
    /// The options, largest amount first.
    pub options: Vec<SavingOption>,
    /// The options that were computed together.
    pub together: Vec<&'static str>,
    /// What those save together, US dollars.
    pub together_usd: f64,
    /// The same as a share of the list cost.
    pub together_share: f64,
    /// What options there are not, and why.
    pub notes: Vec<String>,
    /// What caching does already, where the log has cached tokens.
    pub cache: Option<CacheUse>,
    /// Spreading peaks, where the log has times and peaks.
    pub peak_shift: Option<PeakShift>,
}

/// Requests as they would be.
#[derive(Debug, Clone, Default)]
struct Scenario {
    /// For each model the price small requests would have.
    route: Vec<Option<Price>>,
    /// What counts as small: most input, most output tokens.
    small: (u32, u32),
    output_cap: Option<u32>,
    input_cap: Option<u32>,
    /// Cached share of long prompts that show no cached tokens.
    prefix: Option<f64>,
    batch_share: f64,
}

impl Scenario {
    fn routed<'a>(&'a self, data: &Dataset, i: usize) -> Option<&'a Price> {
        let small = data.input[i] <= self.small.0 && data.output[i] <= self.small.1;
        self.route.get(data.model_of(i))?.as_ref().filter(|_| small)
    }

    fn cost(&self, data: &Dataset, pricing: &Pricing, i: usize) -> f64 {
        let Some(own) = pricing.price(data, i) else { return 0.0 };
        let price = self.routed(data, i).unwrap_or(own);
        let output = f64::from(data.output[i].min(self.output_cap.unwrap_or(u32::MAX)));
        let input = f64::from(data.input[i].min(self.input_cap.unwrap_or(u32::MAX)));
        let cached = f64::from(data.cached(i)).min(input);
        let write = f64::from(data.cache_write(i)).min(input - cached);
        let cached = match self.prefix {
            Some(share) if cached == 0.0 && input >= f64::from(CACHEABLE_FROM) => share * input,
            _ => cached,
        };
        let now = price.cost(input, cached, write.min(input - cached), output);
        // A batch has its own prices and no discount for cached tokens beside them.
        let later = price
            .batch
            .map_or(now, |(input_price, output_price)| (input * input_price + output * output_price).min(now));
        now + self.batch_share * (later - now)
    }

    fn total(&self, data: &Dataset, pricing: &Pricing) -> f64 {
        (0..data.len()).map(|i| self.cost(data, pricing, i)).sum()
    }
}

impl Savings {
    /// Computes every option for a log.
    ///
    /// # Errors
    /// [`LoadError::Stopped`] when `stop` says so.
    pub fn of(
        data: &Dataset,
        pricing: &Pricing,
        table: &PriceTable,
        profile: &Profile,
        question: &Question,
        stop: StopFn<'_>,
    ) -> Result<Self, LoadError> {
        let base_usd = profile.list_cost;
        let mut all = Scenario::default();
        let mut savings = Self { base_usd, ..Self::default() };
        for add in options::ALL {
            if stop() {
                return Err(LoadError::Stopped);
            }
            match add(data, pricing, table, profile, question) {
                Ok((mut option, scenario)) => {
                    option.saving_usd = (base_usd - scenario.total(data, pricing)).max(0.0);
                    option.share = if base_usd > 0.0 { option.saving_usd / base_usd } else { 0.0 };
                    let asked = option.id == "batch" && question.asks(|goal| *goal == Goal::Batch);
                    let fits = option.quality == Quality::Unchanged || !question.same_quality();
                    if (option.evidence == Evidence::Log || asked) && fits && option.saving_usd > 0.0 {
                        all.merge(scenario);
                        savings.together.push(option.id);
                    }
                    savings.options.push(option);
                }
                Err(note) => savings.notes.push(note),
            }
        }
        savings.options.sort_by(|a, b| b.saving_usd.total_cmp(&a.saving_usd));
        if !savings.together.is_empty() {
            savings.together_usd = (base_usd - all.total(data, pricing)).max(0.0);
        }
        savings.together_share = if base_usd > 0.0 { savings.together_usd / base_usd } else { 0.0 };
        savings.cache = CacheUse::of(data, pricing);
        savings.peak_shift = profile.load.as_ref().and_then(PeakShift::of);
        Ok(savings)
    }

    /// An option by its id.
    pub fn option(&self, id: &str) -> Option<&SavingOption> {
        self.options.iter().find(|option| option.id == id)
    }
}

impl Scenario {
    fn merge(&mut self, other: Self) {
        if !other.route.is_empty() {
            (self.route, self.small) = (other.route, other.small);
        }
        self.output_cap = self.output_cap.or(other.output_cap);
        self.input_cap = self.input_cap.or(other.input_cap);
        self.prefix = self.prefix.or(other.prefix);
        self.batch_share = self.batch_share.max(other.batch_share);
    }
}

type Found = Result<(SavingOption, Scenario), String>;
