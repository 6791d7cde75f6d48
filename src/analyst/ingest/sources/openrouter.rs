//! OpenRouter: the activity export (CSV, one row a generation), objects of `/api/v1/generation`, and the sums of
//! `/api/v1/activity`.
//!
//! Source: OpenRouter's OpenAPI description, and the columns of exports. `tokens_…` of a generation count with a
//! tokenizer of OpenRouter's own, `native_tokens_…` with that of the model, by which it is charged. Cached and
//! reasoning tokens are parts of prompt and completion. Costs are dollars; of requests with a key of one's own, the
//! cost is that of the provider.

use super::Stateless;
use crate::analyst::{
    dataset::Tier,
    ingest::{
        record::Record,
        sink::Sink,
        usage::Usage,
        values::{Money, Unit},
    },
};

/// The export of single generations.
pub(super) static EXPORT: Stateless =
    Stateless { name: "OpenRouter activity export", recognises: is_export, read: read_export };

/// Objects of a generation.
pub(super) static GENERATIONS: Stateless =
    Stateless { name: "OpenRouter generations", recognises: is_generation, read: read_generation };

/// The sums of a day.
pub(super) static ACTIVITY: Stateless =
    Stateless { name: "OpenRouter activity", recognises: is_activity, read: read_activity };

fn is_export(record: Record<'_>) -> bool {
    record.has_all(&["generation_id", "tokens_prompt", "tokens_completion", "model_permaslug"])
}

fn read_export(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("created_at", None)),
        model: record.text("model_permaslug"),
        input: record.count("tokens_prompt")?,
        output: record.count("tokens_completion")?,
        cached: record.count("tokens_cached")?,
        reasoning: record.count("tokens_reasoning")?,
        latency: ms(sink.optional("latency", record.number("generation_time_ms"))),
        first_token: ms(sink.optional("time to first token", record.number("time_to_first_token_ms"))),
        cost: cost(record, "cost_total", "byok_usage_inference", sink),
        failed: record.text("finish_reason_normalized").map(|reason| reason.eq_ignore_ascii_case("error")),
        request_id: record.text("generation_id"),
        ..Usage::default()
    };
    usage.settle_parts();
    for (name, column) in [
        ("provider", "provider_name"),
        ("project", "app_name"),
        ("key", "api_key_name"),
        ("user", "user"),
        ("variant", "variant"),
        ("status", "finish_reason_normalized"),
    ] {
        usage.group(name, record.text(column));
    }
    sink.push(usage);
    Ok(())
}

fn is_generation(record: Record<'_>) -> bool {
    record.has_all(&["id", "model", "native_tokens_prompt", "native_tokens_completion"])
        || record.has_all(&["data.id", "data.native_tokens_prompt", "data.native_tokens_completion"])
}

fn read_generation(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    // The API's answer as it is holds the generation in `data`.
    let inner = record.json("data").filter(|data| data.is_object()).map(Record::Object);
    let record = inner.unwrap_or(record);
    let tier = match record.text("service_tier").as_deref() {
        Some("flex") => Tier::Flex,
        Some("priority") => Tier::Priority,
        _ => Tier::Standard,
    };
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("created_at", None)),
        model: record.text("model"),
        input: record.first_count(&["native_tokens_prompt", "tokens_prompt"])?,
        output: record.first_count(&["native_tokens_completion", "tokens_completion"])?,
        cached: record.count("native_tokens_cached")?,
        reasoning: record.count("native_tokens_reasoning")?,
        // `generation_time` is the time for the whole answer. `latency` is read as the time to the first token, and only if the answer was
        // streamed: otherwise no token came before the whole answer.
        latency: ms(sink.optional("latency", record.number("generation_time"))),
        first_token: ms(sink.optional("time to first token", record.number("latency")))
            .filter(|_| record.truth("streamed") == Some(true)),
        cost: cost(record, "total_cost", "upstream_inference_cost", sink),
        failed: record.text("finish_reason").map(|reason| reason.eq_ignore_ascii_case("error")),
        request_id: record.text("id"),
        tier,
        ..Usage::default()
    };
    usage.settle_parts();
    for (name, path) in [
        ("provider", "provider_name"),
        ("project", "app_id"),
        ("user", "external_user"),
        ("session", "session_id"),
        ("status", "finish_reason"),
    ] {
        usage.group(name, record.text(path));
    }
    sink.push(usage);
    Ok(())
}

fn ms(value: Option<f64>) -> Option<(f64, Option<Unit>)> {
    value.map(|value| (value, Some(Unit::Millis)))
}

/// What OpenRouter charges; if that is nothing, what the provider charges for a key of one's own.
fn cost(record: Record<'_>, path: &str, own_key: &str, sink: &mut Sink<'_>) -> Option<Money> {
    let charged = sink.optional("cost", record.money(path));
    let upstream = sink.optional("cost", record.money(own_key)).filter(|cost| cost.amount > 0.0);
    let is_own = record.truth("is_byok") != Some(false) && charged.as_ref().is_none_or(|cost| cost.amount == 0.0);
    upstream.filter(|_| is_own).or(charged)
}

fn is_activity(record: Record<'_>) -> bool {
    record.has_all(&["date", "model", "requests", "usage", "endpoint_id"])
        && (record.has("prompt_tokens") && record.has("completion_tokens"))
}

fn read_activity(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    const DAY_MS: i64 = 86_400_000;
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("date", None)),
        period_ms: Some(DAY_MS),
        requests: Some(record.count("requests")?.unwrap_or(0)),
        model: record.first_text(&["model_permaslug", "model"]),
        input: record.count("prompt_tokens")?,
        output: record.count("completion_tokens")?,
        reasoning: record.count("reasoning_tokens")?,
        cost: cost(record, "usage", "byok_usage_inference", sink),
        ..Usage::default()
    };
    usage.settle_parts();
    usage.group("provider", record.text("provider_name"));
    sink.push(usage);
    Ok(())
}
