//! The saving options. For each: how many requests it changes, its assumption, the change to make, and the scenario to compute.

use super::{
    ASSUMED_BATCH_SHARE, ASSUMED_PREFIX_SHARE, Dataset, Evidence, OptionResult, Price, PriceTable, Pricing, Profile,
    Quality, Question, SavingOption, Scenario,
};
use crate::analyst::{
    caching::MIN_CACHEABLE_TOKENS,
    format::{money, whole},
};

/// Returns an option for a log, or why it does not apply.
type OptionFinder = fn(&Dataset, &Pricing, &PriceTable, &Profile, &Question) -> OptionResult;

/// One function for each option.
pub(super) const FINDERS: [OptionFinder; 5] = [cheaper_model, caching, output_cap, prompt_cap, batch];

/// An option without its saving, requests, assumption and change.
fn new_option(
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

fn count_requests(data: &Dataset, test: impl Fn(usize) -> bool) -> u64 {
    (0..data.len()).filter(|&i| test(i)).count() as u64
}

fn cheaper_model(
    data: &Dataset,
    pricing: &Pricing,
    table: &PriceTable,
    profile: &Profile,
    question: &Question,
) -> OptionResult {
    let in_use = pricing.in_use();
    // The first model named in the question that the log does not use.
    let named = question
        .models
        .iter()
        .filter_map(|name| table.find(name))
        .find(|price| !in_use.iter().any(|known| known.model == price.model));
    let target = |price: &Price| {
        let target = named
            .filter(|named| named.input <= price.input && named.output <= price.output)
            .or_else(|| table.cheaper_than(price))?;
        Some(target.clone())
    };
    let scenario = Scenario {
        cheaper_prices: (0..data.models.len().max(1))
            .map(|model| pricing.model_price(model).and_then(target))
            .collect(),
        small_request: (profile.input.p50 as u32, profile.output.p50 as u32),
        ..Scenario::default()
    };
    let mut moves: Vec<String> =
        in_use.iter().filter_map(|price| Some(format!("{} to {}", price.model, target(price)?.model))).collect();
    moves.truncate(4);
    if moves.is_empty() {
        let names: Vec<&str> = in_use.iter().map(|price| price.model.as_str()).collect();
        return Err(format!("No cheaper model of the same family is known for {}.", names.join(", ")));
    }
    let mut option = new_option(
        "cheaper_model",
        "A cheaper model for small requests".into(),
        Quality::NeedsTest,
        Evidence::Log,
        "usually faster",
    );
    option.requests = count_requests(data, |i| scenario.cheaper_price(data, i).is_some());
    let (input, output) = scenario.small_request;
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

fn caching(data: &Dataset, pricing: &Pricing, _: &PriceTable, _: &Profile, _: &Question) -> OptionResult {
    if !pricing.in_use().iter().any(|price| price.cached < price.input) {
        return Err("No model in use has a price for cached input, so caching saves nothing.".into());
    }
    let long = |i: usize| data.input[i] >= MIN_CACHEABLE_TOKENS;
    let requests = count_requests(data, |i| long(i) && data.cached(i) == 0);
    if requests == 0 {
        return Err(format!(
            "Caching can save no more: no request of {MIN_CACHEABLE_TOKENS} input tokens or more lacks cached tokens."
        ));
    }
    let change = "Put what never changes (instructions, tools, documents) first and what changes last; keep it identical byte by byte; \
                  send requests that share it close together."
        .to_owned();
    if !data.present().cached {
        let mut option = new_option(
            "caching",
            "Cached prompt prefixes".into(),
            Quality::Unchanged,
            Evidence::Assumption,
            "faster first token",
        );
        option.requests = requests;
        option.assumption = format!(
            "The log has no cached tokens, so it cannot show whether prompts repeat or are cached already. The saving assumes that \
             {:.0} % of each prompt of {MIN_CACHEABLE_TOKENS} tokens or more is a prefix that is always found in the cache.",
            ASSUMED_PREFIX_SHARE * 100.0
        );
        option.change = format!("Log cached tokens first (`cached_tokens`, `cache_read_input_tokens`). {change}");
        return Ok((option, Scenario { cached_share: Some(ASSUMED_PREFIX_SHARE), ..Scenario::default() }));
    }
    let sum = |tokens: &dyn Fn(usize) -> u32| {
        (0..data.len()).filter(|&i| long(i) && data.cached(i) > 0).map(|i| f64::from(tokens(i))).sum::<f64>()
    };
    let (hit, input) = (sum(&|i| data.cached(i)), sum(&|i| data.input[i]));
    if hit == 0.0 {
        return Err(format!(
            "No request of {MIN_CACHEABLE_TOKENS} input tokens or more has cached tokens, so the log cannot show how much caching would save."
        ));
    }
    let share = hit / input;
    let mut option = new_option(
        "caching",
        "Cached prefixes for requests without them".into(),
        Quality::Unchanged,
        Evidence::Log,
        "faster first token",
    );
    option.requests = requests;
    option.assumption = format!(
        "Requests of {MIN_CACHEABLE_TOKENS} input tokens or more without cached tokens get {:.1} % of their input from the cache, like those with cached tokens.",
        share * 100.0
    );
    option.change = change;
    Ok((option, Scenario { cached_share: Some(share), ..Scenario::default() }))
}

fn output_cap(data: &Dataset, _: &Pricing, _: &PriceTable, profile: &Profile, _: &Question) -> OptionResult {
    let cap = profile.output.p95 as u32;
    let requests = count_requests(data, |i| data.output[i] > cap);
    if requests == 0 {
        return Err("No answer is longer than the 95th percentile: a cap on output saves nothing.".into());
    }
    let mut option = new_option(
        "output_cap",
        "A cap on the longest answers".into(),
        Quality::NeedsTest,
        Evidence::Log,
        "faster for the longest answers",
    );
    option.requests = requests;
    option.assumption = format!(
        "Answers longer than {} tokens (the 95th percentile) are cut to it; all others stay as they are.",
        whole(cap.into())
    );
    option.change = format!(
        "Set the maximum output tokens to {cap} and ask for short answers; check that requests with cut answers are not sent again."
    );
    Ok((option, Scenario { output_cap: Some(cap), ..Scenario::default() }))
}

fn prompt_cap(data: &Dataset, _: &Pricing, _: &PriceTable, profile: &Profile, _: &Question) -> OptionResult {
    let cap = profile.input.p95 as u32;
    let requests = count_requests(data, |i| data.input[i] > cap);
    if requests == 0 {
        return Err("No prompt is longer than the 95th percentile: trimming prompts saves nothing.".into());
    }
    let mut option = new_option(
        "prompt_cap",
        "A cap on the longest prompts".into(),
        Quality::NeedsTest,
        Evidence::Log,
        "faster for the longest prompts",
    );
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

fn batch(data: &Dataset, pricing: &Pricing, _: &PriceTable, _: &Profile, _: &Question) -> OptionResult {
    let scenario = Scenario { batch_share: ASSUMED_BATCH_SHARE, ..Scenario::default() };
    let has_batch = |i: usize| pricing.price(data, i).is_some_and(|price| price.batch.is_some());
    let requests = count_requests(data, has_batch);
    if requests == 0 {
        return Err("No model in use has batch prices in the table.".into());
    }
    let all = Scenario { batch_share: 1.0, ..Scenario::default() };
    let max_saving: f64 = (0..data.len()).map(|i| pricing.cost(data, i) - all.cost(data, pricing, i)).sum();
    let mut option = new_option(
        "batch",
        "Batch prices for requests that can wait".into(),
        Quality::Unchanged,
        Evidence::Assumption,
        "answers within 24 hours",
    );
    option.requests = (requests as f64 * ASSUMED_BATCH_SHARE).round() as u64;
    option.assumption = format!(
        "The log cannot show which requests can wait: the saving assumes {:.0} % of the work, spread evenly, without a discount for cached \
         tokens in addition to the batch price. All of the work would save {}.",
        ASSUMED_BATCH_SHARE * 100.0,
        money(max_saving)
    );
    option.change =
        "Send evaluations, summaries, enrichment and reports through the provider's batch interface.".into();
    Ok((option, scenario))
}
