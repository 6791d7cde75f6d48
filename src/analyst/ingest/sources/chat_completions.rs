//! Responses of APIs that follow OpenAI's chat completions: xAI, DeepSeek, Mistral, Groq, OpenRouter, vLLM, llama.cpp
//! and others; and of llama.cpp's own `/completion`.
//!
//! Followed: the API references of these services, and `tools/server/README.md` of ggml-org/llama.cpp.
//! - xAI states reasoning beside the completion, others within it: the total decides.
//! - DeepSeek: the prompt is `prompt_cache_hit_tokens` and `prompt_cache_miss_tokens`.
//! - Groq: times in seconds, the wait in the queue beside them.
//! - OpenRouter: `usage.cost` in dollars; xAI: `cost_in_usd_ticks`, ten thousand millions a dollar.
//! - llama.cpp: `prompt_n` of its `timings` leaves out what was kept from the request before (`cache_n`); times in ms.

use super::Stateless;
use crate::analyst::{
    dataset::{Kind, Tier},
    ingest::{
        record::Record,
        sink::Sink,
        usage::Usage,
        values::{Money, Unit},
    },
};

/// Chat completions.
pub(super) static RESPONSES: Stateless = Stateless { name: "chat completions", recognises, read };

/// Completions of llama.cpp's own API.
pub(super) static LLAMA_CPP: Stateless =
    Stateless { name: "llama.cpp completions", recognises: is_llama_cpp, read: read_llama_cpp };

const TICKS_PER_DOLLAR: f64 = 1e10;

fn recognises(record: Record<'_>) -> bool {
    let names = ["chat.completion", "chat.completion.chunk", "text_completion"];
    let is_completion = record.text("object").is_some_and(|object| names.contains(&object.as_ref()));
    (is_completion && record.has("id"))
        || (record.has_all(&["choices", "usage"])
            && (record.has("usage.prompt_tokens") || record.has("timings.predicted_n")))
}

fn read(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let usage_at = |name: &str| format!("usage.{name}");
    let has_usage = record.has("usage.prompt_tokens") || record.has("x_groq.usage.prompt_tokens");
    if !has_usage && !record.has("timings.predicted_n") {
        sink.skip(match record.text("object").is_some_and(|object| object.ends_with(".chunk")) {
            true => "chunks of streams without usage",
            false => "responses without usage",
        });
        return Ok(());
    }
    let count = |names: &[&str]| -> Result<Option<u64>, String> {
        for name in names {
            for path in [usage_at(name), format!("x_groq.usage.{name}")] {
                if let Some(n) = record.count(&path)? {
                    return Ok(Some(n));
                }
            }
        }
        Ok(None)
    };
    let misses = count(&["prompt_cache_miss_tokens"])?;
    let hits = count(&["prompt_cache_hit_tokens"])?;
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("created", None)),
        model: record.text("model"),
        input: count(&["prompt_tokens"])?.or(hits.zip(misses).map(|(hits, misses)| hits.saturating_add(misses))),
        output: count(&["completion_tokens"])?,
        total: count(&["total_tokens"])?,
        cached: count(&["prompt_tokens_details.cached_tokens", "cached_tokens"])?
            .filter(|n| *n > 0 || hits.is_none())
            .or(hits),
        cache_write: count(&[
            "prompt_tokens_details.cache_write_tokens",
            "prompt_tokens_details.cache_creation_tokens",
        ])?,
        reasoning: count(&["completion_tokens_details.reasoning_tokens", "reasoning_tokens"])?,
        audio_input: count(&["prompt_tokens_details.audio_tokens"])?,
        audio_output: count(&["completion_tokens_details.audio_tokens"])?,
        cost: cost(record, sink),
        tier: tier(record),
        request_id: record.text("id").filter(|id| !id.is_empty()),
        ..Usage::default()
    };
    read_llama_timings(record, &mut usage, sink)?;
    usage.settle_parts();
    let seconds = |path: &str| record.number(path).ok().flatten();
    if let Some(total) = seconds("usage.total_time").or(seconds("x_groq.usage.total_time")) {
        let queue = seconds("usage.queue_time").or(seconds("x_groq.usage.queue_time")).unwrap_or(0.0).max(0.0);
        let prompt = seconds("usage.prompt_time").or(seconds("x_groq.usage.prompt_time"));
        usage.latency = Some((total + queue, Some(Unit::Seconds)));
        usage.first_token = prompt.map(|prompt| (prompt + queue, Some(Unit::Seconds)));
    }
    usage.group("provider", record.text("provider"));
    usage.group("user", record.text("user"));
    sink.push(usage);
    Ok(())
}

/// Counts and times in llama.cpp's `timings`.
fn read_llama_timings(record: Record<'_>, usage: &mut Usage<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if !record.has("timings.predicted_n") {
        return Ok(());
    }
    let cached = record.count("timings.cache_n")?;
    let prompt = record.count("timings.prompt_n")?.map(|prompt| prompt.saturating_add(cached.unwrap_or(0)));
    usage.input = usage.input.or(prompt);
    usage.output = usage.output.or(record.count("timings.predicted_n")?);
    usage.cached = usage.cached.or(cached);
    let before = sink.optional("time to first token", record.number("timings.prompt_ms"));
    let writing = sink.optional("latency", record.number("timings.predicted_ms"));
    usage.first_token = before.map(|ms| (ms, Some(Unit::Millis)));
    usage.latency = writing.map(|ms| (ms + before.unwrap_or(0.0), Some(Unit::Millis)));
    Ok(())
}

fn cost(record: Record<'_>, sink: &mut Sink<'_>) -> Option<Money> {
    if let Some(ticks) = sink.optional("cost", record.number("usage.cost_in_usd_ticks")) {
        return Some(Money { amount: ticks / TICKS_PER_DOLLAR, currency: None });
    }
    ["usage.cost", "usage.cost.total_cost"].iter().find_map(|path| sink.optional("cost", record.money(path)))
}

fn tier(record: Record<'_>) -> Tier {
    match record.text("service_tier").as_deref() {
        Some("flex") => Tier::Flex,
        Some("priority") => Tier::Priority,
        _ => Tier::Standard,
    }
}

fn is_llama_cpp(record: Record<'_>) -> bool {
    record.has_all(&["tokens_predicted", "tokens_evaluated", "timings"])
        || record.has_all(&["timings.prompt_n", "timings.predicted_n", "content"])
}

fn read_llama_cpp(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if record.truth("stop") == Some(false) {
        sink.skip("chunks of streams");
        return Ok(());
    }
    let mut usage = Usage {
        model: record.first_text(&["model", "generation_settings.model"]),
        // All tokens of the prompt, also those kept from the request before.
        input: record.count("tokens_evaluated")?,
        output: record.count("tokens_predicted")?,
        kind: Kind::Chat,
        ..Usage::default()
    };
    read_llama_timings(record, &mut usage, sink)?;
    if usage.cached.is_none() {
        let read = record.count("timings.prompt_n")?;
        usage.cached = usage.input.zip(read).and_then(|(all, read)| all.checked_sub(read));
    }
    usage.start_ms = sink.optional("time", record.time("timestamp", None));
    sink.push(usage);
    Ok(())
}
