//! Spans of Opik (Comet), as its API and SDK write them (`search_spans`), as JSON, JSON Lines or CSV.
//!
//! Source: Opik's SDK (`opik_usage.py`): `usage` has the counts of OpenAI's API and, under `original_usage.*`, those
//! that the provider stated; only spans of the type `llm` are requests.

use super::{Reader, Source, evidence::CacheEvidence};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage, values::Unit};

/// The source.
pub(super) static SPANS: Opik = Opik;

/// Spans and traces.
pub(super) struct Opik;

impl Source for Opik {
    fn name(&self) -> &'static str {
        "Opik spans"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        let has = |names: &[&str]| names.iter().any(|name| record.has(name));
        record.has_all(&["id", "start_time"])
            && record.has("trace_id")
            && has(&["total_estimated_cost", "estimated_cost", "feedback_scores", "error_info"])
            && has(&["usage", "usage.prompt_tokens", "parent_span_id"])
            && !record.has("run_type")
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(SpanReader::default())
    }
}

#[derive(Default)]
struct SpanReader {
    cache: CacheEvidence,
}

impl Reader for SpanReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        let id = record.text("id").ok_or("the span has no id")?;
        let parent = record.text("parent_span_id");
        let original = |names: &[&str]| -> Result<Option<u64>, String> {
            let paths: Vec<String> = names.iter().map(|name| format!("usage.original_usage.{name}")).collect();
            record.first_count(&paths.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let mut usage = Usage {
            start_ms: sink.optional("time", record.time("start_time", None)),
            end_ms: sink.optional("end time", record.time("end_time", None)),
            model: record.text("model"),
            input: record.first_count(&["usage.prompt_tokens", "usage.original_usage.input_tokens"])?,
            output: record.first_count(&["usage.completion_tokens", "usage.original_usage.output_tokens"])?,
            total: record.count("usage.total_tokens")?,
            cached: original(&[
                "prompt_tokens_details.cached_tokens",
                "input_tokens_details.cached_tokens",
                "cache_read_input_tokens",
                "cached_content_token_count",
            ])?,
            cache_write: original(&["cache_creation_input_tokens"])?,
            reasoning: original(&[
                "completion_tokens_details.reasoning_tokens",
                "output_tokens_details.reasoning_tokens",
                "thoughts_token_count",
            ])?,
            cost: sink.optional("cost", record.money("total_estimated_cost")),
            failed: Some(
                record.json("error_info").is_some_and(|error| error.is_object()) || record.text("error_info").is_some(),
            ),
            ..Usage::default()
        };
        if !usage.has_tokens() && !record.is("type", "llm") {
            sink.span(&id, parent.as_deref());
            sink.skip("spans without usage");
            return Ok(());
        }
        if usage.end_ms.is_none() {
            usage.latency = sink.optional("latency", record.number("duration")).map(|ms| (ms, Some(Unit::Millis)));
        }
        usage.first_token =
            sink.optional("time to first token", record.number("ttft")).map(|ms| (ms, Some(Unit::Millis)));
        for (name, path) in [
            ("project", "project_name"),
            ("provider", "provider"),
            ("name", "name"),
            ("session", "thread_id"),
            ("user", "created_by"),
        ] {
            usage.group(name, record.text(path));
        }
        usage.span = Some((id.clone(), parent));
        usage.request_id = Some(id);
        let provider = record.text("provider").unwrap_or_default();
        self.cache.push(&provider, usage, sink);
        Ok(())
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.cache.finish(sink);
    }
}
