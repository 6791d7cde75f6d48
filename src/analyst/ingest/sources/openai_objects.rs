//! Answers of OpenAI's API, and of the many that copy it (xAI, DeepSeek, Mistral, Groq, OpenRouter, vLLM, llama.cpp), as
//! objects: chat completions, responses, embeddings, text completions, realtime answers; alone, in an event of a stream,
//! beside their request, or in the lines of a batch's output.
//!
//! Fields as in OpenAI's OpenAPI description (`CompletionUsage`, `ResponseUsage`, `BatchRequestOutput`) and the references
//! of the others. Input includes cached tokens, output includes reasoning, unless the total shows otherwise.
//! - xAI: some models count reasoning beside the output; `cost_in_usd_ticks`, ten thousand millions a dollar.
//! - DeepSeek: the prompt is `prompt_cache_hit_tokens` and `prompt_cache_miss_tokens`.
//! - Groq: times in seconds, the wait in the queue beside them; in streams the usage is in `x_groq`.
//! - OpenRouter: `usage.cost` in dollars.

use super::{
    Stateless, llama_cpp,
    shared::{TIMES, group_by_tags, tier},
};
use crate::analyst::{
    dataset::{Kind, Tier},
    ingest::{
        record::Record,
        sink::Sink,
        usage::Usage,
        values::{Money, Unit},
    },
};

/// The source.
pub(super) static OBJECTS: Stateless = Stateless { name: "OpenAI API objects", recognises, read };

/// Where the answer may stand in a record.
const BODIES: &[&str] = &["", "response.body", "response", "body", "completion", "output", "result"];

/// The values of `object` in answers with usage.
const KINDS: &[&str] =
    &["chat.completion", "chat.completion.chunk", "text_completion", "response", "realtime.response"];

const TICKS_PER_DOLLAR: f64 = 1e10;

fn recognises(record: Record<'_>) -> bool {
    body(record).is_some() || is_batch_line(record) || is_failed_pair(record)
}

fn body(record: Record<'_>) -> Option<Record<'_>> {
    BODIES.iter().filter_map(|path| record.inside(path)).find(|body| {
        let has_kind = body.text("object").is_some_and(|object| KINDS.contains(&object.as_ref()));
        has_kind || is_embedding(*body) || is_plain_completion(*body)
    })
}

/// A chat completion of a copy of the API that leaves out `object`.
fn is_plain_completion(body: Record<'_>) -> bool {
    body.has_all(&["choices", "usage"]) && (body.has("usage.prompt_tokens") || llama_cpp::has_timings(body))
}

/// The counts of an answer.
fn usage_of(body: Record<'_>) -> Option<Record<'_>> {
    ["usage", "x_groq.usage"].into_iter().find_map(|path| body.inside(path))
}

/// A list of vectors is the answer to an embedding request.
fn is_embedding(body: Record<'_>) -> bool {
    body.is("object", "list") && body.has_all(&["model", "usage.prompt_tokens"])
}

fn is_batch_line(record: Record<'_>) -> bool {
    record.has_all(&["custom_id", "response", "error"])
}

/// A request whose answer is an error.
fn is_failed_pair(record: Record<'_>) -> bool {
    let has_request = record.has("request.model") && (record.has("request.messages") || record.has("request.input"));
    has_request && ["response.error", "response.body.error", "error"].iter().any(|path| record.inside(path).is_some())
}

fn read(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let Some(body) = body(record) else {
        if record.is("response.status_code", "200") {
            return Err("usage is missing".into());
        }
        push_failure(record, sink);
        return Ok(());
    };
    let status = body.text("status");
    let counts = usage_of(body);
    if counts.is_none() && !llama_cpp::has_timings(body) {
        match status.as_deref() {
            Some("failed" | "cancelled" | "incomplete") => push_failure(record, sink),
            Some("queued" | "in_progress") => sink.skip("answers that were not finished yet"),
            _ if body.is("object", "chat.completion.chunk") => sink.skip("parts of streamed answers"),
            _ => return Err("usage is missing".into()),
        }
        return Ok(());
    }
    let mut usage = counts.map_or_else(|| Ok(Usage::default()), tokens)?;
    if is_embedding(body) {
        (usage.kind, usage.output) = (Kind::Embedding, Some(usage.output.unwrap_or(0)));
    }
    llama_cpp::read_timings(body, &mut usage, sink)?;
    usage.settle_parts();
    if let Some(counts) = counts {
        read_groq_times(counts, &mut usage);
        usage.cost = cost(counts, sink);
    }
    usage.start_ms = time(record, body, sink);
    usage.model = body.first_text(&["model"]).or_else(|| record.first_text(&["request.model", "model"]));
    usage.failed = status.as_deref().map(|status| status == "failed");
    usage.request_id = body.text("id").filter(|id| !id.is_empty());
    usage.tier = if is_batch_line(record) { Tier::Batch } else { tier(body.text("service_tier").as_deref()) };
    group(&mut usage, record, body);
    sink.push(usage);
    Ok(())
}

/// Reads the token counts of `usage`.
fn tokens(counts: Record<'_>) -> Result<Usage<'_>, String> {
    let input_detail =
        |name: &str| first_of(counts, &["prompt_tokens_details", "input_tokens_details", "input_token_details"], name);
    let output_detail = |name: &str| {
        first_of(counts, &["completion_tokens_details", "output_tokens_details", "output_token_details"], name)
    };
    let hits = counts.count("prompt_cache_hit_tokens")?;
    let misses = counts.count("prompt_cache_miss_tokens")?;
    let input = counts.first_count(&["prompt_tokens", "input_tokens"])?;
    let cached = match input_detail("cached_tokens")? {
        Some(cached) => Some(cached),
        None => counts.count("cached_tokens")?,
    };
    let cache_write = match input_detail("cache_write_tokens")? {
        Some(written) => Some(written),
        None => input_detail("cache_creation_tokens")?,
    };
    Ok(Usage {
        input: input.or(hits.zip(misses).map(|(hits, misses)| hits.saturating_add(misses))),
        output: counts.first_count(&["completion_tokens", "output_tokens"])?,
        total: counts.count("total_tokens")?,
        cached: cached.filter(|n| *n > 0 || hits.is_none()).or(hits),
        cache_write,
        reasoning: match output_detail("reasoning_tokens")? {
            Some(reasoning) => Some(reasoning),
            None => counts.count("reasoning_tokens")?,
        },
        audio_input: input_detail("audio_tokens")?,
        audio_output: output_detail("audio_tokens")?,
        ..Usage::default()
    })
}

fn read_groq_times(counts: Record<'_>, usage: &mut Usage<'_>) {
    let seconds = |name: &str| counts.number(name).ok().flatten();
    if let Some(total) = seconds("total_time") {
        let queue = seconds("queue_time").unwrap_or(0.0).max(0.0);
        usage.latency = Some((total + queue, Some(Unit::Seconds)));
        usage.first_token = seconds("prompt_time").map(|prompt| (prompt + queue, Some(Unit::Seconds)));
    }
}

fn cost(counts: Record<'_>, sink: &mut Sink<'_>) -> Option<Money> {
    if let Some(ticks) = sink.optional("cost", counts.number("cost_in_usd_ticks")) {
        return Some(Money { amount: ticks / TICKS_PER_DOLLAR, currency: None });
    }
    ["cost", "cost.total_cost"].iter().find_map(|path| sink.optional("cost", counts.money(path)))
}

/// The first count of this name in these parts of the usage.
fn first_of(counts: Record<'_>, parts: &[&str], name: &str) -> Result<Option<u64>, String> {
    for part in parts {
        if let Some(n) = counts.count(&format!("{part}.{name}"))? {
            return Ok(Some(n));
        }
    }
    Ok(None)
}

fn time(record: Record<'_>, body: Record<'_>, sink: &mut Sink<'_>) -> Option<i64> {
    let created = sink.optional("time", body.first_time(&["created", "created_at"]));
    created.or_else(|| sink.optional("time", record.first_time(TIMES)))
}

fn group<'a>(usage: &mut Usage<'a>, record: Record<'a>, body: Record<'a>) {
    usage.group(
        "user",
        record.first_text(&["request.user", "user"]).or_else(|| body.first_text(&["user", "safety_identifier"])),
    );
    usage.group("tier", body.text("service_tier"));
    usage.group("provider", body.text("provider"));
    group_by_tags(usage, body.json("metadata"));
}

/// A request without usage because it failed.
fn push_failure(record: Record<'_>, sink: &mut Sink<'_>) {
    let body = body(record).unwrap_or(record);
    let mut usage = Usage {
        start_ms: time(record, body, sink),
        model: body.text("model").or_else(|| record.text("request.model")),
        failed: Some(true),
        request_id: record.first_text(&["id", "response.request_id"]),
        tier: if is_batch_line(record) { Tier::Batch } else { Tier::Standard },
        ..Usage::default()
    };
    usage.group(
        "error",
        record.first_text(&["error.code", "response.body.error.code", "response.error.code", "response.error.type"]),
    );
    sink.push(usage);
}
