//! Options that save money, each with its amount computed request by request at list prices.
//!
//! Promises: an amount is the difference between two sums over the same requests, as they were and as they would be;
//! options taken together are computed together, never added up; what the log cannot show stands apart as an assumption.

use serde::Serialize;

use super::{
    caching::{CACHEABLE_FROM, CacheUse},
    dataset::Dataset,
    goals::{Goal, Question},
    ingest::{LoadError, StopFn},
    peaks::PeakShift,
    pricing::{Price, PriceTable, Pricing},
    profile::Profile,
    words::{money, whole},
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
        for add in [cheaper_model, caching, output_cap, prompt_cap, batch] {
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

fn option(
    id: &'static str,
    title: String,
    quality: Quality,
    evidence: Evidence,
    latency: &'static str,
) -> SavingOption {
    SavingOption {
        id,
        title,
        saving_usd: 0.0,
        share: 0.0,
        requests: 0,
        quality,
        evidence,
        latency,
        assumption: String::new(),
        change: String::new(),
    }
}

fn count(data: &Dataset, test: impl Fn(usize) -> bool) -> u64 {
    (0..data.len()).filter(|&i| test(i)).count() as u64
}

fn cheaper_model(
    data: &Dataset,
    pricing: &Pricing,
    table: &PriceTable,
    profile: &Profile,
    question: &Question,
) -> Found {
    let used = pricing.used();
    // A single model that the question names and the log does not use is the one to move to.
    let named = question
        .models
        .iter()
        .filter_map(|name| table.find(name))
        .find(|price| !used.iter().any(|used| used.model == price.model));
    let target = |price: &Price| {
        let target = named
            .filter(|named| named.input <= price.input && named.output <= price.output)
            .or_else(|| table.cheaper_than(price))?;
        Some(target.clone())
    };
    let scenario = Scenario {
        route: (0..data.models.len().max(1)).map(|model| pricing.of_model(model).and_then(target)).collect(),
        small: (profile.input.p50 as u32, profile.output.p50 as u32),
        ..Scenario::default()
    };
    let mut moves: Vec<String> =
        used.iter().filter_map(|price| Some(format!("{} to {}", price.model, target(price)?.model))).collect();
    moves.truncate(4);
    if moves.is_empty() {
        let names: Vec<&str> = used.iter().map(|price| price.model.as_str()).collect();
        return Err(format!("No cheaper model of the same family is known for {}.", names.join(", ")));
    }
    let mut option = option(
        "cheaper_model",
        "A cheaper model for small requests".into(),
        Quality::NeedsTest,
        Evidence::Log,
        "usually faster",
    );
    option.requests = count(data, |i| scenario.routed(data, i).is_some());
    let (input, output) = scenario.small;
    option.assumption = format!(
        "Small means at most {} input and {} output tokens, the medians of the log; token counts stay as they are ({}).",
        whole(input.into()),
        whole(output.into()),
        moves.join(", ")
    );
    option.change = format!(
        "Route requests with prompts of at most {} tokens and short expected answers ({}). Compare answers on a few hundred logged requests first.",
        whole(input.into()),
        moves.join(", ")
    );
    Ok((option, scenario))
}

fn caching(data: &Dataset, pricing: &Pricing, _: &PriceTable, _: &Profile, _: &Question) -> Found {
    if !pricing.used().iter().any(|price| price.cached < price.input) {
        return Err("No model in use has a price for cached input, so caching saves nothing.".into());
    }
    let long = |i: usize| data.input[i] >= CACHEABLE_FROM;
    let requests = count(data, |i| long(i) && data.cached(i) == 0);
    if requests == 0 {
        return Err(format!(
            "No request of {CACHEABLE_FROM} input tokens or more goes without cached tokens: caching is used up."
        ));
    }
    let change = "Put what never changes (instructions, tools, documents) first and what changes last; keep it identical byte by byte; \
                  send requests that share it close together."
        .to_owned();
    if !data.present().cached {
        let mut option = option(
            "caching",
            "Cached prompt prefixes".into(),
            Quality::Unchanged,
            Evidence::Assumption,
            "faster first token",
        );
        option.requests = requests;
        option.assumption = format!(
            "The log has no cached tokens, so it cannot show whether prompts repeat or are cached already. The amount assumes that \
             {:.0} % of each prompt of {CACHEABLE_FROM} tokens or more is a prefix that is always found in the cache.",
            ASSUMED_PREFIX * 100.0
        );
        option.change = format!("Log cached tokens first (`cached_tokens`, `cache_read_input_tokens`). {change}");
        return Ok((option, Scenario { prefix: Some(ASSUMED_PREFIX), ..Scenario::default() }));
    }
    let sum = |of: &dyn Fn(usize) -> u32| {
        (0..data.len()).filter(|&i| long(i) && data.cached(i) > 0).map(|i| f64::from(of(i))).sum::<f64>()
    };
    let (hit, input) = (sum(&|i| data.cached(i)), sum(&|i| data.input[i]));
    if hit == 0.0 {
        return Err(format!(
            "No request of {CACHEABLE_FROM} input tokens or more shows cached tokens: the log gives no measure of what caching could reach."
        ));
    }
    let share = hit / input;
    let mut option = option(
        "caching",
        "Cached prefixes for requests that miss".into(),
        Quality::Unchanged,
        Evidence::Log,
        "faster first token",
    );
    option.requests = requests;
    option.assumption = format!(
        "Requests of {CACHEABLE_FROM} input tokens or more that show no cached tokens reach the {:.1} % that those with cached tokens have.",
        share * 100.0
    );
    option.change = change;
    Ok((option, Scenario { prefix: Some(share), ..Scenario::default() }))
}

fn output_cap(data: &Dataset, _: &Pricing, _: &PriceTable, profile: &Profile, _: &Question) -> Found {
    let cap = profile.output.p95 as u32;
    let requests = count(data, |i| data.output[i] > cap);
    if requests == 0 {
        return Err("No answer is longer than the 95th percentile: a cap on output saves nothing.".into());
    }
    let mut option = option(
        "output_cap",
        "A cap on the longest answers".into(),
        Quality::NeedsTest,
        Evidence::Log,
        "faster at the top",
    );
    option.requests = requests;
    option.assumption = format!(
        "Answers longer than {} tokens (the 95th percentile) end there; the rest stays as it is.",
        whole(cap.into())
    );
    option.change = format!(
        "Set the maximum output tokens to {cap} and ask for short answers; check that cut answers are not asked again."
    );
    Ok((option, Scenario { output_cap: Some(cap), ..Scenario::default() }))
}

fn prompt_cap(data: &Dataset, _: &Pricing, _: &PriceTable, profile: &Profile, _: &Question) -> Found {
    let cap = profile.input.p95 as u32;
    let requests = count(data, |i| data.input[i] > cap);
    if requests == 0 {
        return Err("No prompt is longer than the 95th percentile: trimming prompts saves nothing.".into());
    }
    let mut option =
        option("prompt_cap", "Trimmed longest prompts".into(), Quality::NeedsTest, Evidence::Log, "faster at the top");
    option.requests = requests;
    option.assumption = format!(
        "Prompts longer than {} tokens (the 95th percentile) are trimmed to it; their cached tokens stay cached.",
        whole(cap.into())
    );
    option.change = format!(
        "Look at what fills prompts over {} tokens (history, retrieved passages, tool output), and summarise or drop it.",
        whole(cap.into())
    );
    Ok((option, Scenario { input_cap: Some(cap), ..Scenario::default() }))
}

fn batch(data: &Dataset, pricing: &Pricing, _: &PriceTable, _: &Profile, _: &Question) -> Found {
    let scenario = Scenario { batch_share: ASSUMED_BATCH, ..Scenario::default() };
    let has_batch = |i: usize| pricing.price(data, i).is_some_and(|price| price.batch.is_some());
    let requests = count(data, has_batch);
    if requests == 0 {
        return Err("No model in use has batch prices in the table.".into());
    }
    let all = Scenario { batch_share: 1.0, ..Scenario::default() };
    let most: f64 = (0..data.len()).map(|i| pricing.cost(data, i) - all.cost(data, pricing, i)).sum();
    let mut option = option(
        "batch",
        "Batch prices for what can wait".into(),
        Quality::Unchanged,
        Evidence::Assumption,
        "answers within 24 hours",
    );
    option.requests = (requests as f64 * ASSUMED_BATCH).round() as u64;
    option.assumption = format!(
        "The log cannot show which requests can wait: the amount assumes {:.0} % of the work, spread evenly, without a discount for cached \
         tokens beside the batch price. All of it would save {}.",
        ASSUMED_BATCH * 100.0,
        money(most)
    );
    option.change =
        "Send evaluations, summaries, enrichment and reports through the provider's batch interface.".into();
    Ok((option, scenario))
}
