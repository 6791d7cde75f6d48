//! llama.cpp: the answers of its own `/completion`, and the `timings` that it adds to those of OpenAI's API.
//!
//! Source: `tools/server/README.md` of ggml-org/llama.cpp. `prompt_n` leaves out what was kept from the request before
//! (`cache_n`); times are in ms.

use super::Stateless;
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage, values::Unit};

/// Completions of llama.cpp's own API.
pub(super) static COMPLETIONS: Stateless = Stateless { name: "llama.cpp completions", recognises, read };

fn recognises(record: Record<'_>) -> bool {
    record.has_all(&["tokens_predicted", "tokens_evaluated", "timings"])
        || record.has_all(&["timings.prompt_n", "timings.predicted_n", "content"])
}

fn read(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if record.truth("stop") == Some(false) {
        sink.skip("chunks of streams");
        return Ok(());
    }
    let mut usage = Usage {
        model: record.first_text(&["model", "generation_settings.model"]),
        // All tokens of the prompt, also those kept from the request before.
        input: record.count("tokens_evaluated")?,
        output: record.count("tokens_predicted")?,
        ..Usage::default()
    };
    read_timings(record, &mut usage, sink)?;
    if usage.cached.is_none() {
        let read = record.count("timings.prompt_n")?;
        usage.cached = usage.input.zip(read).and_then(|(all, read)| all.checked_sub(read));
    }
    usage.start_ms = sink.optional("time", record.time("timestamp", None));
    sink.push(usage);
    Ok(())
}

/// Whether an answer has llama.cpp's `timings`.
pub(super) fn has_timings(body: Record<'_>) -> bool {
    body.has("timings.predicted_n")
}

/// Adds what `timings` states, if the answer has it: counts that the usage lacks, and times.
pub(super) fn read_timings(body: Record<'_>, usage: &mut Usage<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if !has_timings(body) {
        return Ok(());
    }
    let cached = body.count("timings.cache_n")?;
    let prompt = body.count("timings.prompt_n")?.map(|prompt| prompt.saturating_add(cached.unwrap_or(0)));
    usage.input = usage.input.or(prompt);
    usage.output = usage.output.or(body.count("timings.predicted_n")?);
    usage.cached = usage.cached.or(cached);
    let before = sink.optional("time to first token", body.number("timings.prompt_ms"));
    let writing = sink.optional("latency", body.number("timings.predicted_ms"));
    usage.first_token = before.map(|ms| (ms, Some(Unit::Millis)));
    usage.latency = writing.map(|ms| (ms + before.unwrap_or(0.0), Some(Unit::Millis)));
    Ok(())
}
