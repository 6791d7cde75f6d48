//! The saving options. For each: how many requests it changes, its assumption, the change to make, and the scenario to
//! compute.

use std::{collections::HashMap, rc::Rc};

use super::{
    ASSUMED_BATCH_SHARE, DUPLICATE_INPUT, DUPLICATE_MS, DUPLICATE_OUTPUT, Evidence, OptionResult, Quality, SMALL_INPUT,
    SMALL_OUTPUT, SavingOption, Workload,
    scenario::{Scenario, batch_cost, has_costs, is_free, is_small},
};
use crate::analyst::{
    caching::{CacheUsage, MIN_CACHEABLE_TOKENS, Misses, NoEvidence},
    dataset::{Dataset, GroupColumn, NO_VALUE},
    format::{list, money, whole},
    pricing::{Price, Tokens},
    profile::has_tokens,
};

/// Returns an option for a log, or why it does not apply.
type OptionFinder = fn(Workload<'_>) -> OptionResult;

/// One function for each option, with its id.
pub(super) const FINDERS: [(&str, OptionFinder); 5] = [
    ("caching", caching),
    ("failed_requests", failed_requests),
    ("duplicates", duplicates),
    ("batch", batch),
    ("cheaper_model", cheaper_model),
];

/// An option without its saving, requests, assumption and change.
fn new_option(
    id: &'static str,
    title: &str,
    quality: Quality,
    evidence: Evidence,
    latency: &'static str,
) -> SavingOption {
    SavingOption {
        id,
        title: title.to_owned(),
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

fn cheaper_model(work: Workload<'_>) -> OptionResult {
    let Workload { data, pricing, table, .. } = work;
    if data.present().sums {
        return Err("A cheaper model for small requests: sums do not show how large single requests are.".to_owned());
    }
    let in_use = pricing.in_use();
    // The first model named in the question that the log does not use.
    let named = work
        .question
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
        ..Scenario::default()
    };
    let mut moves: Vec<String> =
        in_use.iter().filter_map(|price| Some(format!("{} to {}", price.model, target(price)?.model))).collect();
    moves.truncate(4);
    if moves.is_empty() {
        let names: Vec<&str> = in_use.iter().map(|price| price.model.as_str()).collect();
        return Err(format!("No cheaper model of the same family is known for {}.", list(&names)));
    }
    let small = (0..data.len()).filter(|&i| is_small(data, i));
    let moves_to = |i: usize| scenario.cheaper_price(data, pricing.price(data, i)?, i);
    let requests = small.filter(|&i| moves_to(i).is_some()).count() as u64;
    let (input, output) = (whole(SMALL_INPUT as f64), whole(SMALL_OUTPUT as f64));
    if requests == 0 {
        return Err(format!(
            "No chat request is small (at most {input} input and {output} output tokens) and has a cheaper model of \
             the same family."
        ));
    }
    let title = "A cheaper model for small requests";
    let mut option =
        new_option("cheaper_model", title, Quality::NeedsTest, Evidence::Log, "latency not shown by the log");
    option.requests = requests;
    option.assumption = format!(
        "Small means a chat request of at most {input} input and {output} output tokens; token counts stay as they \
         are ({}). Whether the cheaper model answers as well, only a test shows.",
        list(&moves)
    );
    option.change =
        format!("Route requests with prompts of at most {input} tokens and short expected answers ({}).", list(&moves));
    Ok((option, scenario))
}

fn caching(work: Workload<'_>) -> OptionResult {
    let data = work.data;
    if CacheUsage::measure(data, work.pricing).is_some_and(|cache| cache.long_requests > 0 && cache.is_complete()) {
        return Err(format!(
            "Caching can save no more: every chat request of {MIN_CACHEABLE_TOKENS} input tokens or more reads from a \
             cache or writes to it."
        ));
    }
    let misses = Misses::find(data).map_err(|missing| {
        let what = match missing {
            NoEvidence::Sums => {
                "sums do not show single requests. Log single requests with a session and cached tokens"
            }
            NoEvidence::NoCachedTokens => {
                "the log has no cached tokens. Log them (`cached_tokens`, `cache_read_input_tokens`) with a session \
                 of each request"
            }
            NoEvidence::NoTimes => "the log has no start times. Log `timestamp`",
            NoEvidence::NoSession => {
                "the log does not show which requests begin with the same text. Log a session (`session_id`) or the \
                 name of the prompt (`prompt_name`)"
            }
        };
        format!("What more caching would save cannot be computed: {what}.")
    })?;
    if misses.requests == 0 {
        return Err("Caching: no request provably misses a prefix that an earlier one left in the cache.".to_owned());
    }
    let title = "Cached prefixes for requests that miss them";
    let mut option = new_option("caching", title, Quality::Unchanged, Evidence::Log, "faster first token");
    option.requests = misses.requests;
    option.assumption = format!(
        "{} requests repeat the beginning of an earlier one of their session within the cache's life and do not read \
         it from the cache ({} tokens). Counted are continued conversations and requests between two hits; first \
         writes are no misses, and what has to be written is paid for.",
        whole(misses.requests as f64),
        whole(misses.tokens as f64)
    );
    option.change = "Put what never changes (instructions, tools, documents) first and what changes last, keep it \
                     identical byte by byte, and mark it for the cache if the provider asks for that."
        .to_owned();
    Ok((option, Scenario { misses: Some(Rc::new(misses)), ..Scenario::default() }))
}

fn failed_requests(work: Workload<'_>) -> OptionResult {
    let Workload { data, pricing, .. } = work;
    if !data.present().failed {
        return Err("Failed requests: the log does not state which requests failed. Log `status`.".to_owned());
    }
    let has_costs = has_costs(data);
    let rows = (0..data.len()).filter(|&i| data.failed(i) == Some(true) && !(has_costs && is_free(data, i)));
    let not_sent: Vec<u32> = rows
        .filter(|&i| has_tokens(data, i) && pricing.cost(data, i) > 0.0)
        .filter_map(|i| u32::try_from(i).ok())
        .collect();
    if not_sent.is_empty() {
        return Err("No failed request has a cost.".to_owned());
    }
    let billed = has_costs && not_sent.iter().all(|&i| data.cost(i as usize).is_some());
    let evidence = if billed { Evidence::Log } else { Evidence::Assumption };
    let mut option =
        new_option("failed_requests", "No paid requests that fail", Quality::Unchanged, evidence, "latency unchanged");
    option.requests = not_sent.len() as u64;
    option.assumption = if billed {
        "The log has a cost for each of these failed requests; the figure is what avoiding all of them saves at list \
         prices."
            .to_owned()
    } else {
        "The log has tokens for these failed requests, but no cost: the figure assumes that the provider bills them, \
         and that all of them can be avoided."
            .to_owned()
    };
    option.change =
        "Find out why they fail (status, length, time limits), check requests before sending them, and wait longer \
         before each new attempt."
            .to_owned();
    Ok((option, Scenario { not_sent, ..Scenario::default() }))
}

fn duplicates(work: Workload<'_>) -> OptionResult {
    let data = work.data;
    let present = data.present();
    let session = data.group("session").filter(|_| present.time && present.input && present.output && !present.sums);
    let Some(session) = session else {
        return Err("Requests sent twice: the log cannot show them without single requests with a session and a time."
            .to_owned());
    };
    let not_sent = repeated(data, session);
    if not_sent.is_empty() {
        return Err("No request was provably sent twice.".to_owned());
    }
    let mut option = new_option(
        "duplicates",
        "Requests sent twice",
        Quality::Unchanged,
        Evidence::Log,
        "no wait for the second one",
    );
    option.requests = not_sent.len() as u64;
    option.assumption = format!(
        "Same session, model, input and output tokens (at least {DUPLICATE_INPUT} and {DUPLICATE_OUTPUT}) within {} \
         minutes count as the same request; one that was only logged twice saves nothing.",
        DUPLICATE_MS / 60_000
    );
    option.change =
        "Keep the first answer for the second request; look for double clicks, two workers on one job, and attempts \
         after a time limit that is too short."
            .to_owned();
    Ok((option, Scenario { not_sent, ..Scenario::default() }))
}

/// The rows that repeat an earlier one of their session, in order.
fn repeated(data: &Dataset, session: &GroupColumn) -> Vec<u32> {
    const FORGET_AT: usize = 100_000;
    let mut seen: HashMap<(u16, u16, u64, u64), i64> = HashMap::new();
    let mut forget_at = FORGET_AT;
    let mut rows = Vec::new();
    for row in data.by_time() {
        let i = row as usize;
        let code = session.codes.get(i).copied().unwrap_or(NO_VALUE);
        let is_long = data.input[i] >= DUPLICATE_INPUT && data.output[i] >= DUPLICATE_OUTPUT;
        let Some(time) = data.time(i).filter(|_| is_long && code != NO_VALUE && data.failed(i) != Some(true)) else {
            continue;
        };
        let model = data.model.get(i).copied().unwrap_or(0);
        if seen.insert((code, model, data.input[i], data.output[i]), time).is_some_and(|at| time - at <= DUPLICATE_MS) {
            rows.push(row);
        }
        if seen.len() >= forget_at {
            seen.retain(|_, at| time - *at <= DUPLICATE_MS);
            forget_at = FORGET_AT.max(2 * seen.len());
        }
    }
    rows.sort_unstable();
    rows
}

fn batch(work: Workload<'_>) -> OptionResult {
    let Workload { data, pricing, .. } = work;
    let saves = |i: usize| {
        let price = pricing.price(data, i).filter(|_| has_tokens(data, i))?;
        let tokens = Tokens::from_row(data, i);
        Some(pricing.cost(data, i) - batch_cost(price, data, i, &tokens)?)
    };
    let (requests, max_saving) = (0..data.len())
        .filter_map(|i| Some((i, saves(i)?)))
        .fold((0u64, 0.0), |(requests, usd), (i, saving)| (requests + requests_of(data, i), usd + saving));
    if requests == 0 {
        return Err("No model in use has batch prices in the table, or all requests are batched already.".to_owned());
    }
    let mut option = new_option(
        "batch",
        "Batch prices for requests that can wait",
        Quality::Unchanged,
        Evidence::Assumption,
        "answers within 24 hours",
    );
    option.requests = (requests as f64 * ASSUMED_BATCH_SHARE).round().max(1.0) as u64;
    option.assumption = format!(
        "The log cannot show which requests can wait: the saving assumes {:.0} % of the work, spread evenly. All of \
         the work would save {}.",
        ASSUMED_BATCH_SHARE * 100.0,
        money(max_saving)
    );
    option.change =
        "Send evaluations, summaries, enrichment and reports through the provider's batch interface.".to_owned();
    Ok((option, Scenario { batch_share: ASSUMED_BATCH_SHARE, ..Scenario::default() }))
}

/// Number of requests of row `i`; 1 for a sum that does not state it.
fn requests_of(data: &Dataset, i: usize) -> u64 {
    data.requests.get(i).map_or(1, |n| (*n).max(1))
}
