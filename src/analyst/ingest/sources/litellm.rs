//! A LiteLLM proxy: rows of its table `LiteLLM_SpendLogs` (CSV, JSON Lines, a database dump, the API `/spend/logs`),
//! its callbacks' `StandardLoggingPayload`, and the sums of a day in its tables `LiteLLM_Daily…Spend`.
//!
//! Source: the repository BerriAI/litellm (`schema.prisma`, `spend_tracking_utils.py`, `types/utils.py`,
//! `llms/anthropic/chat/transformation.py`).
//! - Cached tokens stand only in `metadata.usage_object`, in older versions in `metadata.additional_usage_values`.
//! - Prompt tokens include cached ones and those written to a cache, also for Anthropic's models; but some versions of
//!   2025 (about 1.66 to 1.77) left out those written, and pass-through endpoints left out both at times. Where they
//!   did, the parts are mostly larger than the whole, which shows it.
//! - Requests that the proxy answered from its own cache (`cache_hit`) repeat the usage of the answer that was stored;
//!   no provider was asked. (Anthropic's prompt caching does not set `cache_hit`.)

use super::Stateless;
use crate::analyst::{
    dataset::{Kind, Tier},
    ingest::{record::Record, sink::Sink, usage::Usage, values::Unit},
};

/// Rows of `LiteLLM_SpendLogs`.
pub(super) static SPEND_LOGS: Stateless =
    Stateless { name: "LiteLLM spend logs", recognises: is_spend_log, read: read_spend_log };

/// What callbacks log.
pub(super) static PAYLOADS: Stateless =
    Stateless { name: "LiteLLM logging payloads", recognises: is_payload, read: read_payload };

/// Rows of `LiteLLM_DailyUserSpend`, `LiteLLM_DailyTeamSpend` and the like.
pub(super) static DAILY: Stateless = Stateless { name: "LiteLLM daily spend", recognises: is_daily, read: read_daily };

fn is_spend_log(record: Record<'_>) -> bool {
    record.has_all(&["request_id", "call_type", "spend", "prompt_tokens", "completion_tokens"])
}

fn is_payload(record: Record<'_>) -> bool {
    record.has_all(&["id", "call_type", "response_cost", "prompt_tokens", "completion_tokens", "model_group"])
}

fn is_daily(record: Record<'_>) -> bool {
    record.has_all(&["date", "api_key", "spend", "prompt_tokens", "completion_tokens", "api_requests"])
}

/// Objects with the parts of the usage, in order of preference.
const OBJECTS: [&str; 3] = ["metadata.usage_object", "metadata.additional_usage_values", "response.usage"];

/// The first of these counts that any of the objects has.
fn part(record: Record<'_>, names: &[&str]) -> Result<Option<u64>, String> {
    let mut zero = None;
    for object in OBJECTS {
        for name in names {
            match record.count(&format!("{object}.{name}"))? {
                // Some versions state a part twice, once as 0.
                Some(0) => zero = Some(0),
                Some(count) => return Ok(Some(count)),
                None => {}
            }
        }
    }
    Ok(zero)
}

/// What rows and payloads have in common; `None` if the record is no request to a provider.
fn request<'a>(record: Record<'a>, sink: &mut Sink<'_>) -> Result<Option<Usage<'a>>, String> {
    if record.truth("cache_hit") == Some(true) {
        sink.skip("requests that LiteLLM answered from its own cache, without a provider");
        return Ok(None);
    }
    let call = record.text("call_type").unwrap_or_default().to_ascii_lowercase();
    if call.contains("mcp") {
        sink.skip("calls of tools");
        return Ok(None);
    }
    let is_batch = call.contains("retrieve_batch");
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("startTime", None)),
        end_ms: sink.optional("end time", record.time("endTime", None)),
        model: record.first_text(&["model", "model_group"]),
        input: record.count("prompt_tokens")?,
        output: record.count("completion_tokens")?,
        total: record.count("total_tokens")?,
        cached: part(record, &["cache_read_input_tokens", "prompt_tokens_details.cached_tokens"])?,
        cache_write: part(record, &["cache_creation_input_tokens", "prompt_tokens_details.cache_creation_tokens"])?,
        cache_write_1h: part(
            record,
            &[
                "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
                "cache_creation.ephemeral_1h_input_tokens",
            ],
        )?,
        reasoning: part(record, &["completion_tokens_details.reasoning_tokens"])?,
        audio_input: part(record, &["prompt_tokens_details.audio_tokens"])?,
        audio_output: part(record, &["completion_tokens_details.audio_tokens"])?,
        failed: record.text("status").map(|status| status.eq_ignore_ascii_case("failure")),
        // The result of a batch states the usage of all its requests.
        requests: is_batch.then_some(0),
        tier: if is_batch { Tier::Batch } else { tier(record) },
        kind: kind(&call),
        ..Usage::default()
    };
    usage.settle_parts();
    let completion = sink.optional("time to first token", record.time("completionStartTime", None));
    usage.first_token = first_token(&usage, completion).map(|ms| (ms, Some(Unit::Millis)));
    for (name, paths) in [
        ("user", &["user", "metadata.user_api_key_user_id"][..]),
        ("end user", &["end_user"]),
        ("key", &["metadata.user_api_key_alias", "api_key", "metadata.user_api_key_hash"]),
        ("team", &["metadata.user_api_key_team_alias", "team_id", "metadata.user_api_key_team_id"]),
        ("organization", &["organization_id", "metadata.user_api_key_org_id"]),
        ("type", &["call_type"]),
        ("provider", &["custom_llm_provider"]),
        ("session", &["session_id", "trace_id"]),
        ("status", &["status"]),
        ("agent", &["agent_id"]),
    ] {
        usage.group(name, record.first_text(paths));
    }
    usage.group("tag", tags(record));
    Ok(Some(usage))
}

fn read_spend_log(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if let Some(mut usage) = request(record, sink)? {
        usage.cost = sink.optional("cost", record.money("spend"));
        usage.request_id = record.text("request_id");
        sink.push(usage);
    }
    Ok(())
}

fn read_payload(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if let Some(mut usage) = request(record, sink)? {
        usage.cost = sink.optional("cost", record.money("response_cost"));
        usage.request_id = record.text("id");
        sink.push(usage);
    }
    Ok(())
}

/// The time to the first token of an answer that was streamed: others state their end.
fn first_token(usage: &Usage<'_>, completion: Option<i64>) -> Option<f64> {
    let (start, end, completion) = (usage.start_ms?, usage.end_ms?, completion?);
    (start < completion && completion < end).then(|| (completion - start) as f64)
}

fn tier(record: Record<'_>) -> Tier {
    let named = |name: &str| {
        ["metadata.usage_object.service_tier", "model_parameters.service_tier"].iter().any(|path| record.is(path, name))
    };
    match () {
        () if named("flex") => Tier::Flex,
        () if named("priority") => Tier::Priority,
        () => Tier::Standard,
    }
}

fn kind(call: &str) -> Kind {
    match () {
        () if call.contains("embedding") => Kind::Embedding,
        () if call.contains("image") => Kind::Image,
        () if call.contains("speech") || call.contains("transcription") => Kind::Audio,
        () if ["rerank", "moderation", "ocr", "search"].iter().any(|name| call.contains(name)) => Kind::Other,
        () => Kind::Chat,
    }
}

/// The tags of a request as one value.
fn tags<'a>(record: Record<'a>) -> Option<std::borrow::Cow<'a, str>> {
    let tags = record.json("request_tags")?.as_array()?;
    let names: Vec<&str> = tags.iter().filter_map(serde_json::Value::as_str).collect();
    (!names.is_empty()).then(|| names.join(", ").into())
}

fn read_daily(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    const DAY_MS: i64 = 86_400_000;
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("date", None)),
        period_ms: Some(DAY_MS),
        requests: Some(record.count("api_requests")?.unwrap_or(0)),
        model: record.first_text(&["model", "model_group"]),
        input: record.count("prompt_tokens")?,
        output: record.count("completion_tokens")?,
        cached: record.count("cache_read_input_tokens")?,
        cache_write: record.count("cache_creation_input_tokens")?,
        cost: sink.optional("cost", record.money("spend")),
        ..Usage::default()
    };
    if usage.requests == Some(0) && usage.input.unwrap_or(0) == 0 && usage.output.unwrap_or(0) == 0 {
        sink.skip("days without requests");
        return Ok(());
    }
    usage.settle_parts();
    for (name, path) in [
        ("user", "user_id"),
        ("team", "team_id"),
        ("organization", "organization_id"),
        ("end user", "end_user_id"),
        ("agent", "agent_id"),
        ("tag", "tag"),
        ("key", "api_key"),
        ("provider", "custom_llm_provider"),
    ] {
        usage.group(name, record.text(path));
    }
    sink.push(usage);
    Ok(())
}
