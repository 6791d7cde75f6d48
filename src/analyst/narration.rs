//! What the analyst writes while it works: reasoning, shortened tool results, the closing summary.

use serde_json::{Value, json};

use super::{
    analysis::{Action, Analysis},
    answer,
    format::{list, money, percent, timestamp, whole},
    goals::{Goal, Question},
    ingest::UsageLog,
    optimize::{Quality, Savings},
    pricing::Pricing,
    profile::{CostBasis, Grouping, Profile},
    report,
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
    let mut sentences = vec![format!("{}: {} rows.", report.sources().join("; "), whole(report.rows as f64))];
    if report.bad_rows > 0 {
        let share = report.bad_rows as f64 / (report.rows + report.bad_rows) as f64;
        sentences.push(format!(
            "{} rows ({}) cannot be used and are counted separately.",
            whole(report.bad_rows as f64),
            percent(share)
        ));
    }
    sentences.extend(report.unknown.iter().chain(&report.notes).cloned());
    sentences
}

/// The prices used, as a tool result.
pub(crate) fn pricing_json(pricing: &Pricing) -> Value {
    let used: Vec<_> = pricing.in_use().into_iter().take(20).collect();
    let missing: Vec<_> = pricing.missing.iter().take(20).collect();
    let matched: Vec<_> = pricing.matched.iter().take(20).collect();
    json!({
        "prices_usd_per_token": used,
        "assumed_for_all": pricing.assumed,
        "without_price": missing,
        "matched_names": matched,
        "notes": pricing.notes,
    })
}

/// The profile, without its time series, as a tool result. Costs are in `currency`; a cost of 0 beside
/// `unpriced_tokens` means that no price is known.
pub(crate) fn profile_json(profile: &Profile) -> Value {
    let group = |group: &Grouping| json!({"column": group.name, "values": group.values});
    json!({
        "requests": profile.requests,
        "rows": profile.rows,
        "rows_are_sums": profile.sums,
        "left_out": profile.left_out,
        "input_tokens": profile.input_known.then_some(profile.input_tokens),
        "output_tokens": profile.output_known.then_some(profile.output_tokens),
        "input": profile.input,
        "output": profile.output,
        "latency_ms": profile.latency,
        "time_to_first_token_ms": profile.first_token,
        "cached_tokens": profile.cached,
        "reasoning_tokens": profile.reasoning,
        "cost": known_cost(profile),
        "currency": profile.currency,
        "cost_basis": profile.cost_basis,
        "unpriced_tokens": profile.unpriced_tokens,
        "list_cost_usd": (profile.list_cost > 0.0).then_some(profile.list_cost),
        "logged_cost": profile.logged_cost,
        "by_model": profile.by_model.iter().take(20).collect::<Vec<_>>(),
        "by_kind": profile.by_kind,
        "by_prompt_size": profile.by_size,
        "groups": profile.by_group.iter().map(group).collect::<Vec<_>>(),
        "failures": profile.failures,
        "load": profile.load,
        "heaviest": profile.heaviest,
    })
}

/// The cost; `None` if none of it is known.
fn known_cost(profile: &Profile) -> Option<f64> {
    (profile.cost_basis != CostBasis::None).then_some(profile.cost)
}

/// Sentences about prices, cost and load.
pub fn describe_profile(profile: &Profile, pricing: &Pricing) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(model) = &pricing.assumed {
        sentences
            .push(format!("The log names no model, so every request is priced as {model}, which the question names."));
    }
    if !pricing.missing.is_empty() {
        sentences.push(format!(
            "{} models, {} of the tokens, have no price.",
            pricing.missing.len(),
            percent(pricing.missing_share())
        ));
    }
    sentences.extend(profile.left_out.iter().cloned());
    sentences.push(format!("The cost is {}.", answer::cost_with_basis(profile)));
    if profile.input_known && profile.output_known {
        let output = profile.output_tokens as f64 / profile.tokens().max(1.0);
        sentences.push(format!("{} of the tokens are output.", percent(output)));
    }
    if let Some(heaviest) = profile.heaviest {
        sentences
            .push(format!("The heaviest 10 % of requests take {} of the tokens.", percent(heaviest.tokens_top_10)));
    }
    if let Some(failures) = profile.failures.as_ref().filter(|failures| failures.requests > 0) {
        sentences.push(format!("{} requests failed.", whole(failures.requests as f64)));
    }
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
        .map(|option| {
            let test = if option.quality == Quality::NeedsTest { ", only after a test" } else { "" };
            format!("{}: {} ({}){test}.", option.title, money(option.saving_usd), percent(option.share))
        })
        .collect();
    sentences.extend(savings.notes.iter().cloned());
    if question.same_quality() {
        sentences
            .push("The question asks for the same quality, so only options that leave answers unchanged count.".into());
    }
    if savings.together.len() > 1 {
        sentences.push(format!(
            "Those that leave answers unchanged, computed together without counting a token twice: {}.",
            money(savings.together_usd)
        ));
    }
    sentences
}

/// Whether the changes that save most belong to the answer, rather than beside a question about caching or speed.
fn is_about_cost(question: &Question) -> bool {
    let about = |goal: &Goal| {
        matches!(
            goal,
            Goal::CutCost { .. } | Goal::SameQuality | Goal::SameSpend | Goal::WhereTokensGo | Goal::Budget { .. }
        )
    };
    question.goals.is_empty() || question.has_goal(about)
}

/// The closing summary: what is not known, the log in one line, the answers, the first three actions.
pub fn summary(analysis: &Analysis) -> String {
    let (profile, question) = (&analysis.profile, &analysis.question);
    if question.unclear {
        return answer::answers(analysis).join(" ");
    }
    let mut text: String = report::unknown(analysis).iter().map(|sentence| format!("{sentence}\n\n")).collect();
    let requests = match profile.requests {
        Some(requests) => format!("{} requests", whole(requests as f64)),
        None => format!("{} rows", whole(profile.rows as f64)),
    };
    text += &format!("{requests}, {} tokens, {}.\n\n", whole(profile.tokens()), answer::cost_with_basis(profile));
    let figures: Vec<&str> = analysis.figures.iter().map(|figure| figure.answer.as_str()).collect();
    for answer in answer::answers(analysis) {
        // The answer about savings says in its second sentence what needs a test, others what they assume or the
        // limit that was asked for; a figure may begin with what limits it.
        let whole_answer = figures.contains(&answer.as_str())
            || ["**Savings", "**Batch", "**Peaks", "**Budget", "**Caching"]
                .iter()
                .any(|begin| answer.starts_with(begin));
        let short = if whole_answer {
            answer.as_str()
        } else {
            answer.split_once(". ").map_or(answer.as_str(), |(first, _)| first)
        };
        text += &format!("- {}.\n", short.trim_end_matches('.'));
    }
    let next: Vec<&str> = analysis.actions.iter().take(3).map(|action: &Action| action.title.as_str()).collect();
    if !next.is_empty() && is_about_cost(question) {
        text += &format!("\nDo first: {}. The report has the figures and their basis.\n", list(&next));
    }
    text
}
