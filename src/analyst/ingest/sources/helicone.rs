//! Requests of Helicone: its API and exports (`HeliconeRequest`), and rows of its ClickHouse table
//! `request_response_rmt`.
//!
//! Source: Helicone's source. `prompt_tokens` excludes tokens read from and written to a cache, for every provider
//! (`openaiBodyProcessor.ts` subtracts them, Anthropic states them beside), and so does `total_tokens`. The table holds
//! costs in billionths of a dollar; the API divides them.

use super::Stateless;
use crate::analyst::{
    dataset::Kind,
    ingest::{record::Record, sink::Sink, usage::Usage, values::Unit},
};

/// The source.
pub(super) static REQUESTS: Stateless = Stateless { name: "Helicone requests", recognises, read };

/// The parts of a dollar in which the table holds costs.
const COST_PRECISION: f64 = 1e9;

/// The id of no request.
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

fn recognises(record: Record<'_>) -> bool {
    let has = |names: &[&str]| names.iter().any(|name| record.has(name));
    record.has_all(&["request_created_at", "prompt_tokens", "completion_tokens"])
        && has(&["delay_ms", "latency", "request_properties", "properties", "helicone_user", "response_status"])
}

fn read(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let is_table = !record.has("delay_ms") && record.has_all(&["organization_id", "latency"]);
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("request_created_at", None)),
        end_ms: sink.optional("end time", record.time("response_created_at", None)),
        model: record.first_text(&["response_model", "model_override", "request_model", "model"]),
        input: record.count("prompt_tokens")?,
        output: record.count("completion_tokens")?,
        cached: record.count("prompt_cache_read_tokens")?,
        cache_write: record.count("prompt_cache_write_tokens")?,
        cache_write_1h: record.count("prompt_cache_write_1h")?,
        reasoning: record.count("reasoning_tokens")?,
        audio_input: record.count("prompt_audio_tokens")?,
        audio_output: record.count("completion_audio_tokens")?,
        kind: kind(record),
        failed: failed(record),
        request_id: record.first_text(&["request_id", "id"]),
        ..Usage::default()
    };
    usage.add_cache_to_input();
    // Audio stands beside the other tokens, in both directions.
    usage.input = plus(usage.input, usage.audio_input);
    usage.output = plus(usage.output, usage.audio_output);
    let ms = |value: Option<f64>| value.map(|ms| (ms, Some(Unit::Millis)));
    usage.latency =
        ms(sink.optional("latency", record.number(if record.has("delay_ms") { "delay_ms" } else { "latency" })));
    let first_token = sink.optional("time to first token", record.number("time_to_first_token"));
    usage.first_token = ms(first_token.filter(|ms| *ms > 0.0));
    usage.cost = ["costUSD", "cost_usd", "cost"].iter().find_map(|name| sink.optional("cost", record.money(name)));
    if let Some(cost) = usage.cost.as_mut().filter(|_| is_table) {
        cost.amount /= COST_PRECISION;
    }
    add_groups(record, &mut usage);
    sink.push(usage);
    Ok(())
}

fn plus(whole: Option<u64>, part: Option<u64>) -> Option<u64> {
    match (whole, part) {
        (Some(whole), Some(part)) => Some(whole.saturating_add(part)),
        (whole, part) => whole.or(part),
    }
}

/// Whether the request failed, by its HTTP status; Helicone has negative numbers for requests that got none.
fn failed(record: Record<'_>) -> Option<bool> {
    let status = record.first_text(&["response_status", "status"])?;
    let status = status.parse::<i64>().ok()?;
    (status != -2).then_some(!(200..400).contains(&status))
}

fn kind(record: Record<'_>) -> Kind {
    match record.first_text(&["request_path", "target_url"]) {
        Some(path) if path.contains("/embeddings") => Kind::Embedding,
        Some(path) if path.contains("/images/") => Kind::Image,
        Some(path) if path.contains("/audio/") => Kind::Audio,
        _ => Kind::Chat,
    }
}

fn add_groups<'a>(record: Record<'a>, usage: &mut Usage<'a>) {
    for (name, paths) in [
        ("user", &["request_user_id", "user_id", "helicone_user"][..]),
        ("provider", &["provider"]),
        ("key", &["key_name", "proxy_key_id"]),
        ("prompt", &["prompt_id", "prompt_name"]),
        ("country", &["country_code"]),
        ("status", &["response_status", "status"]),
    ] {
        usage.group(name, record.first_text(paths));
    }
    let cached = record.text("cache_reference_id").filter(|id| id != NO_ID);
    usage.group("answered from Helicone's cache", cached.map(|_| "true".into()));
    let properties = ["request_properties", "properties"].iter().find_map(|name| record.json(name)?.as_object());
    for (name, value) in properties.into_iter().flatten() {
        if let Some(text) = value.as_str() {
            let name = name.strip_prefix("Helicone-").unwrap_or(name);
            usage.group(name, Some(text.into()));
        }
    }
}
