//! OpenAI's own counts of usage: the export of the platform's usage page (CSV), and the usage API
//! (`/v1/organization/usage/…`).
//!
//! Each row is a bucket, a day by default, of one combination of project, user, key and model. Input includes cached
//! tokens. The fields are those of `UsageCompletionsResult` and its siblings in OpenAI's OpenAPI description. Images,
//! speech and transcriptions are counted in images, characters and seconds: they have requests, but no tokens.

use serde_json::Value;

use super::{
    Stateless,
    shared::{group_by, identify_sum, is_embedding_model, note_without_tokens, tier},
};
use crate::analyst::{
    dataset::{Kind, Tier},
    ingest::{record::Record, sink::Sink, usage::Usage},
};

/// The CSV export.
pub(super) static EXPORT: Stateless = Stateless { name: "OpenAI usage export", recognises: is_row, read: read_rows };

/// The answers of the API.
pub(super) static API: Stateless = Stateless { name: "OpenAI usage API", recognises: is_answer, read: read_answer };

/// The beginning of `object` in a result.
const RESULT: &str = "organization.usage.";

/// Fields with what a result counts.
const COUNTS: &[&str] = &["input_tokens", "images", "characters", "seconds"];

fn is_row(record: Record<'_>) -> bool {
    record.has_all(&["start_time", "end_time", "num_model_requests"]) && COUNTS.iter().any(|name| record.has(name))
}

fn is_answer(record: Record<'_>) -> bool {
    is_result(record) || record.items("results").any(is_result) || record.items("data").any(is_answer)
}

fn is_result(record: Record<'_>) -> bool {
    record.text("object").is_some_and(|object| object.starts_with(RESULT))
}

fn read_rows(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    read_result(record, record, sink)
}

/// Reads a page, a bucket or a result.
fn read_answer(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if is_result(record) {
        return read_result(record, record, sink);
    }
    record.items("data").try_for_each(|bucket| read_answer(bucket, sink))?;
    if record.json("results").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        sink.skip("periods without usage");
    }
    record.items("results").try_for_each(|result| read_result(result, record, sink))
}

fn read_result<'a>(record: Record<'a>, bucket: Record<'a>, sink: &mut Sink<'_>) -> Result<(), String> {
    let Some(kind) = kind(record) else {
        sink.skip("counts of stored bytes, tool sessions and searches, which have no tokens");
        return Ok(());
    };
    let requests = record.first_count(&["num_model_requests", "num_requests"])?;
    let uncached = record.sum(&["input_cached_tokens", "input_uncached_tokens", "input_cache_write_tokens"])?;
    let start = sink.optional("time", bucket.first_time(&["start_time", "start_time_iso"]));
    let end = sink.optional("end time", bucket.first_time(&["end_time", "end_time_iso"]));
    let mut usage = Usage {
        start_ms: start,
        period_ms: start.zip(end).map(|(start, end)| end - start),
        requests: Some(requests.unwrap_or(0)),
        model: record.text("model"),
        input: record.count("input_tokens")?.or(uncached),
        output: record.count("output_tokens")?,
        cached: record.count("input_cached_tokens")?,
        cache_write: record.count("input_cache_write_tokens")?,
        audio_input: record.count("input_audio_tokens")?,
        audio_output: record.count("output_audio_tokens")?,
        tier: match record.truth("batch") {
            Some(true) => Tier::Batch,
            _ => tier(record.text("service_tier").as_deref()),
        },
        kind,
        ..Usage::default()
    };
    if requests.unwrap_or(0) == 0 && usage.input.unwrap_or(0) == 0 && usage.output.unwrap_or(0) == 0 {
        sink.skip("periods without usage");
        return Ok(());
    }
    if usage.output.is_none() && usage.input.is_some() && kind != Kind::Chat {
        usage.output = Some(0);
    }
    usage.group("project", record.first_text(&["project_name", "project_id"]));
    usage.group("user", record.first_text(&["user_email", "user_name", "user_id"]));
    usage.group("key", record.first_text(&["api_key_name", "api_key_id"]));
    usage.group("organization", record.first_text(&["organization_name", "organization_id"]));
    group_by(&mut usage, record, &[("tier", "service_tier"), ("type", "source"), ("image size", "size")]);
    note_without_tokens(&usage, sink);
    identify_sum(&mut usage);
    sink.push(usage);
    Ok(())
}

/// What a result counts; `None` if no requests to models.
fn kind(record: Record<'_>) -> Option<Kind> {
    let object = record.text("object").unwrap_or_default();
    let named = |name: &str| object.get(RESULT.len()..).is_some_and(|rest| rest.starts_with(name));
    let is_model = |name: &str| record.text("model").is_some_and(|model| model.contains(name));
    Some(match () {
        () if named("completions") => Kind::Chat,
        () if named("embeddings") => Kind::Embedding,
        () if named("moderations") => Kind::Other,
        () if named("images") || record.has("images") => Kind::Image,
        () if named("audio") || record.has("characters") || record.has("seconds") => Kind::Audio,
        () if object.starts_with(RESULT) => return None,
        () if record.text("model").is_some_and(|model| is_embedding_model(&model)) => Kind::Embedding,
        () if is_model("moderation") => Kind::Other,
        () => Kind::Chat,
    })
}
