//! Answers of OpenAI's API, and of the many that copy it, as objects: chat completions, responses, embeddings, text
//! completions, realtime answers; alone, in an event of a stream, beside their request, or in the lines of a batch's
//! output.
//!
//! Fields as in OpenAI's OpenAPI description (`CompletionUsage`, `ResponseUsage`, `BatchRequestOutput`). Input
//! includes cached tokens, output includes reasoning. Some copies count reasoning beside the output (xAI): their
//! total shows it.

use super::{
    Stateless,
    shared::{TIMES, group_by_tags, tier},
};
use crate::analyst::{
    dataset::{Kind, Tier},
    ingest::{record::Record, sink::Sink, usage::Usage},
};

/// The source.
pub(super) static OBJECTS: Stateless = Stateless { name: "OpenAI API objects", recognises, read };

/// Where the answer may stand in a record.
const BODIES: &[&str] = &["", "response.body", "response", "body", "completion", "output", "result"];

/// The values of `object` in answers with usage.
const KINDS: &[&str] =
    &["chat.completion", "chat.completion.chunk", "text_completion", "response", "realtime.response"];

fn recognises(record: Record<'_>) -> bool {
    body(record).is_some() || is_batch_line(record) || is_failed_pair(record)
}

fn body(record: Record<'_>) -> Option<Record<'_>> {
    BODIES
        .iter()
        .filter_map(|path| record.inside(path))
        .find(|body| body.text("object").is_some_and(|object| KINDS.contains(&object.as_ref())) || is_embedding(*body))
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
    if body.inside("usage").is_none() {
        match status.as_deref() {
            Some("failed" | "cancelled" | "incomplete") => push_failure(record, sink),
            Some("queued" | "in_progress") => sink.skip("answers that were not finished yet"),
            _ if body.is("object", "chat.completion.chunk") => sink.skip("parts of streamed answers"),
            _ => return Err("usage is missing".into()),
        }
        return Ok(());
    }
    let mut usage = tokens(body)?;
    usage.start_ms = time(record, body, sink);
    usage.model = body.first_text(&["model"]).or_else(|| record.first_text(&["request.model", "model"]));
    usage.failed = status.as_deref().map(|status| status == "failed");
    usage.cost = sink.optional("cost", body.money("usage.cost"));
    usage.request_id = body.text("id");
    usage.tier = if is_batch_line(record) { Tier::Batch } else { tier(body.text("service_tier").as_deref()) };
    group(&mut usage, record, body);
    sink.push(usage);
    Ok(())
}

/// Reads `usage`.
fn tokens(body: Record<'_>) -> Result<Usage<'_>, String> {
    let input_detail =
        |name: &str| first_of(body, &["prompt_tokens_details", "input_tokens_details", "input_token_details"], name);
    let output_detail = |name: &str| {
        first_of(body, &["completion_tokens_details", "output_tokens_details", "output_token_details"], name)
    };
    let plain = |name: &str| body.count(&format!("usage.{name}"));
    let cached = match input_detail("cached_tokens")? {
        Some(cached) => Some(cached),
        None => body.first_count(&["usage.prompt_cache_hit_tokens", "usage.cached_tokens"])?,
    };
    let cache_write = match input_detail("cache_write_tokens")? {
        Some(written) => Some(written),
        None => input_detail("cache_creation_tokens")?,
    };
    let mut usage = Usage {
        input: body.first_count(&["usage.prompt_tokens", "usage.input_tokens"])?,
        output: body.first_count(&["usage.completion_tokens", "usage.output_tokens"])?,
        total: plain("total_tokens")?,
        cached,
        cache_write,
        reasoning: match output_detail("reasoning_tokens")? {
            Some(reasoning) => Some(reasoning),
            None => plain("reasoning_tokens")?,
        },
        audio_input: input_detail("audio_tokens")?,
        audio_output: output_detail("audio_tokens")?,
        ..Usage::default()
    };
    if is_embedding(body) {
        (usage.kind, usage.output) = (Kind::Embedding, Some(usage.output.unwrap_or(0)));
    }
    let (input, output, reasoning) =
        (usage.input.unwrap_or(0), usage.output.unwrap_or(0), usage.reasoning.unwrap_or(0));
    let all = input.saturating_add(output).saturating_add(reasoning);
    if reasoning > 0 && usage.total == Some(all) {
        usage.add_reasoning_to_output();
    }
    Ok(usage)
}

/// The first count of this name in these parts of `usage`.
fn first_of(body: Record<'_>, parts: &[&str], name: &str) -> Result<Option<u64>, String> {
    for part in parts {
        if let Some(n) = body.count(&format!("usage.{part}.{name}"))? {
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
