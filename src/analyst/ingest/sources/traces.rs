//! Published traces of requests, and results of benchmarks of servers.
//!
//! Source: `FAST25-release` of kvcache-ai/Mooncake (times in ms; `hash_ids` name the blocks of 512 tokens that the
//! prompt begins with: they say what a cache could share, not what one did, so no token counts as cached);
//! HPMLL/BurstGPT (times in seconds; a failed request has no response tokens); `vllm bench serve` and
//! `sglang.bench_serving`, whose detailed results list the requests, times in seconds.

use serde_json::Value;

use super::Stateless;
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage, values::Unit};

/// Mooncake.
pub(super) static MOONCAKE: Stateless =
    Stateless { name: "Mooncake trace", recognises: is_mooncake, read: read_mooncake };

/// BurstGPT.
pub(super) static BURST_GPT: Stateless =
    Stateless { name: "BurstGPT trace", recognises: is_burst_gpt, read: read_burst_gpt };

/// Results of benchmarks.
pub(super) static BENCHMARKS: Stateless =
    Stateless { name: "benchmark of a vLLM or SGLang server", recognises: is_benchmark, read: read_benchmark };

fn is_mooncake(record: Record<'_>) -> bool {
    record.has_all(&["timestamp", "input_length", "output_length"]) && record.has("hash_ids")
}

fn read_mooncake(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let usage = Usage {
        start_ms: sink.optional("time", record.time("timestamp", Some(Unit::Millis))),
        input: record.count("input_length")?,
        output: record.count("output_length")?,
        ..Usage::default()
    };
    sink.push(usage);
    Ok(())
}

fn is_burst_gpt(record: Record<'_>) -> bool {
    record.has_all(&["Timestamp", "Model", "Request tokens", "Response tokens", "Log Type"])
}

fn read_burst_gpt(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let output = record.count("Response tokens")?;
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("Timestamp", Some(Unit::Seconds))),
        model: record.text("Model"),
        input: record.count("Request tokens")?,
        output,
        total: record.count("Total tokens")?,
        latency: sink
            .optional("latency", record.number("Elapsed time"))
            .filter(|seconds| *seconds > 0.0)
            .map(|seconds| (seconds, Some(Unit::Seconds))),
        failed: Some(output == Some(0)),
        ..Usage::default()
    };
    usage.group("type", record.text("Log Type"));
    usage.group("session", record.text("Session ID"));
    sink.push(usage);
    Ok(())
}

fn is_benchmark(record: Record<'_>) -> bool {
    record.has_all(&["duration", "completed", "total_input_tokens", "total_output_tokens", "request_throughput"])
}

fn read_benchmark(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let model = || record.first_text(&["model_id", "model", "model.name"]);
    let list = |name: &str| record.json(name).and_then(Value::as_array).map(Vec::as_slice);
    let start = sink.optional("time", benchmark_start(record));
    let (Some(inputs), Some(outputs)) = (list("input_lens"), list("output_lens")) else {
        let mut usage = Usage {
            start_ms: start,
            period_ms: sink.optional("duration", record.number("duration")).map(|seconds| (seconds * 1e3) as i64),
            requests: Some(record.count("completed")?.unwrap_or(0)),
            model: model(),
            input: record.count("total_input_tokens")?,
            output: record.count("total_output_tokens")?,
            ..Usage::default()
        };
        usage.group("backend", record.text("backend"));
        sink.push(usage);
        return Ok(());
    };
    let nth = |name: &str, at: usize| list(name).and_then(|list| list.get(at));
    for (at, (input, output)) in inputs.iter().zip(outputs).enumerate() {
        let first = nth("ttfts", at).and_then(Value::as_f64).filter(|seconds| *seconds > 0.0);
        let pauses = nth("itls", at).and_then(Value::as_array);
        let rest = pauses.map(|pauses| pauses.iter().filter_map(Value::as_f64).sum::<f64>());
        let error = nth("errors", at).and_then(Value::as_str).is_some_and(|error| !error.is_empty());
        let failed = error || output.as_u64() == Some(0);
        let mut usage = Usage {
            start_ms: nth("start_times", at).and_then(Value::as_f64).map(|seconds| (seconds * 1e3) as i64),
            model: model(),
            // A failed request is listed with the prompt that it had.
            input: input.as_u64(),
            output: output.as_u64(),
            latency: first.zip(rest).map(|(first, rest)| (first + rest, Some(Unit::Seconds))),
            first_token: first.map(|first| (first, Some(Unit::Seconds))),
            failed: Some(failed),
            ..Usage::default()
        };
        usage.group("backend", record.text("backend"));
        sink.push(usage);
    }
    Ok(())
}

/// `date` is written as `20260131-123000`.
fn benchmark_start(record: Record<'_>) -> Result<Option<i64>, String> {
    let Some(date) = record.text("date") else { return Ok(None) };
    let digits: String = date.chars().filter(char::is_ascii_digit).collect();
    crate::analyst::ingest::values::parse_time_ms(&digits, None, Default::default(), None)
}
