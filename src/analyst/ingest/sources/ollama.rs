//! Responses of Ollama's own API, `/api/generate`, `/api/chat` and `/api/embed`, whose durations are in nanoseconds.
//!
//! Source: Ollama's API documentation (`docs/api.md` of ollama/ollama). The counts stand in the last chunk of a
//! stream (`done`). `prompt_eval_count` is missing where the whole prompt was kept from the request before (versions up
//! to 0.3).

use super::Stateless;
use crate::analyst::{
    dataset::Kind,
    ingest::{record::Record, sink::Sink, usage::Usage, values::Unit},
};

/// The source.
pub(super) static RESPONSES: Stateless = Stateless { name: "Ollama responses", recognises, read };

fn recognises(record: Record<'_>) -> bool {
    let counts = ["total_duration", "prompt_eval_count", "eval_count"];
    record.has_all(&["model", "total_duration"]) && counts.iter().filter(|name| record.has(name)).count() > 1
        || record.has_all(&["model", "created_at", "done"])
}

fn read(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if record.truth("done") == Some(false) {
        sink.skip("chunks of streams");
        return Ok(());
    }
    let is_embedding = record.has("embeddings") || record.has("embedding");
    let nanos = |path: &str| record.number(path);
    let total = sink.optional("latency", nanos("total_duration"));
    let loading = sink.optional("time to load", nanos("load_duration"));
    let prompt = sink.optional("time to first token", nanos("prompt_eval_duration"));
    let usage = Usage {
        // The time of the last chunk, as near to the start as the response says.
        start_ms: sink.optional("time", record.time("created_at", None)),
        model: record.text("model"),
        input: record.count("prompt_eval_count")?,
        output: record.count("eval_count")?.or(is_embedding.then_some(0)),
        latency: total.map(|time| (time, Some(Unit::Nanos))),
        first_token: prompt.map(|time| (time + loading.unwrap_or(0.0), Some(Unit::Nanos))),
        kind: if is_embedding { Kind::Embedding } else { Kind::Chat },
        ..Usage::default()
    };
    if usage.input.is_none() && usage.output.is_none() {
        sink.skip("answers without counts (the model was only loaded or unloaded)");
        return Ok(());
    }
    sink.push(usage);
    Ok(())
}
