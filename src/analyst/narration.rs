//! What the analyst writes while it works: reasoning, shortened tool results, the closing summary.

use serde_json::{Value, json};

use super::{
    analysis::{Action, Analysis},
    answer,
    format::{list, money, percent, timestamp, whole},
    goals::Question,
    ingest::UsageLog,
    optimize::Savings,
    pricing::Pricing,
    profile::Profile,
};

/// Most characters of a question or a name in a tool call, a prompt or a message.
const MAX_CHARS: usize = 2000;

/// The first 2,000 characters of a text.
pub fn truncate(text: &str) -> String {
    text.chars().take(MAX_CHARS).collect()
}

/// Sentences about reading the log: format, rows, columns, rows that cannot be used.
pub fn describe_ingest(log: &UsageLog) -> Vec<String> {
    let report = &log.report;
    let columns: Vec<String> = report.columns.iter().map(|(role, name)| format!("{role} ({name})")).collect();
    let mut sentences = vec![format!("{}: {} rows with {}.", report.format, whole(report.rows as f64), list(&columns))];
    if report.bad_rows > 0 {
        let share = report.bad_rows as f64 / (report.rows + report.bad_rows) as f64;
        sentences.push(format!(
            "{} rows ({}) cannot be used and are counted separately.",
            whole(report.bad_rows as f64),
            percent(share)
        ));
    }
    sentences.extend(report.notes.iter().cloned());
    sentences
}

/// The prices used, as a tool result.
pub(crate) fn pricing_json(pricing: &Pricing) -> Value {
    let used: Vec<_> = pricing.in_use().into_iter().take(20).collect();
    let unpriced: Vec<_> = pricing.unpriced.iter().take(20).collect();
    json!({"prices_usd_per_token": used, "assumed_for_all": pricing.assumed, "without_price": unpriced})
}

/// The profile, without its time series, as a tool result.
pub(crate) fn profile_json(profile: &Profile) -> Value {
    json!({
        "requests": profile.requests,
        "input": profile.input,
        "output": profile.output,
        "latency_ms": profile.latency,
        "cached_tokens": profile.cached,
        "cost_usd": profile.cost,
        "list_cost_usd": profile.list_cost,
        "by_model": profile.by_model.iter().take(20).collect::<Vec<_>>(),
        "by_prompt_size": profile.by_size,
        "load": profile.load,
        "heaviest": profile.heaviest,
    })
}

/// Sentences about prices, cost and load.
pub fn describe_profile(profile: &Profile, pricing: &Pricing) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(model) = &pricing.assumed {
        sentences.push(format!("No priced model is named in the log, so every request is priced as {model}."));
    }
    if !pricing.unpriced.is_empty() {
        let requests: u64 = pricing.unpriced.iter().map(|(_, requests)| requests).sum();
        sentences.push(format!(
            "{} requests are of models without a price; list costs exclude them.",
            whole(requests as f64)
        ));
    }
    let output = profile.output.sum / profile.tokens().max(1.0);
    sentences.push(format!("{} of the tokens are output; the cost is {}.", percent(output), money(profile.cost)));
    sentences
        .push(format!("The heaviest 10 % of requests take {} of the tokens.", percent(profile.heaviest.tokens_top_10)));
    if let Some(load) = &profile.load {
        sentences.push(format!(
            "The busiest minute is {} with {} tokens.",
            timestamp(load.peak_tokens.1),
            whole(load.peak_tokens.0 as f64)
        ));
    }
    sentences
}

/// Sentences about the possible savings.
pub fn describe_savings(savings: &Savings, question: &Question) -> Vec<String> {
    let mut sentences: Vec<String> = savings
        .options
        .iter()
        .map(|option| format!("{}: {} ({}).", option.title, money(option.saving_usd), percent(option.share)))
        .collect();
    sentences.extend(savings.notes.iter().cloned());
    if question.same_quality() {
        sentences
            .push("The question asks for the same quality, so only options that leave answers unchanged count.".into());
    }
    if savings.together.len() > 1 {
        sentences.push(format!("Computed together, without counting a token twice: {}.", money(savings.together_usd)));
    }
    sentences
}

/// The closing summary: the log in one line, the first sentence of each answer, the first three actions.
pub fn summary(analysis: &Analysis) -> String {
    let profile = &analysis.profile;
    let assumed = analysis
        .assumed_model
        .as_ref()
        .map(|model| format!(" (priced as {model}, because the log names no priced model)"))
        .unwrap_or_default();
    let unpriced: u64 = analysis.unpriced.iter().map(|(_, requests)| requests).sum();
    let left_out = match unpriced {
        0 => String::new(),
        requests => format!(", without {} requests of models that have no price", whole(requests as f64)),
    };
    let mut text = format!(
        "{} requests, {} tokens, {}{assumed}{left_out}.\n\n",
        whole(profile.requests as f64),
        whole(profile.tokens()),
        money(profile.cost)
    );
    for answer in answer::answers(analysis) {
        let first = answer.split_once(". ").map_or(answer.as_str(), |(first, _)| first);
        text += &format!("- {}.\n", first.trim_end_matches('.'));
    }
    let next: Vec<&str> = analysis.actions.iter().take(3).map(|action: &Action| action.title.as_str()).collect();
    if !next.is_empty() {
        text += &format!("\nDo first: {}. The report has the figures and their basis.\n", list(&next));
    }
    text
}
