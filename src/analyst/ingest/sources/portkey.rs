//! Exported logs of Portkey, as JSON Lines or CSV.
//!
//! Source: Portkey's page on its logs export and the definition of its API: `req_units` and `res_units` are tokens,
//! `cost` is in cents, `response_time` in milliseconds. Cached tokens stand only in the body of the response.

use super::{Reader, Source, evidence::CacheEvidence};
use crate::analyst::{
    dataset::Kind,
    ingest::{record::Record, sink::Sink, usage::Usage, values::Unit},
};

/// The source.
pub(super) static LOGS: Portkey = Portkey;

/// Where the usage of the model's response stands.
const BODIES: &[&str] = &["response.body.usage", "response.usage", "response_body.usage"];

/// Logs of requests.
pub(super) struct Portkey;

impl Source for Portkey {
    fn name(&self) -> &'static str {
        "Portkey logs"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        record.has("ai_model") && ["req_units", "res_units", "total_units"].iter().any(|name| record.has(name))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(LogReader::default())
    }
}

#[derive(Default)]
struct LogReader {
    cache: CacheEvidence,
}

impl Reader for LogReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        let body = |names: &[&str]| -> Result<Option<u64>, String> {
            let paths: Vec<String> =
                BODIES.iter().flat_map(|body| names.iter().map(move |name| format!("{body}.{name}"))).collect();
            record.first_count(&paths.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let mut usage = Usage {
            start_ms: sink.optional("time", record.time("created_at", None)),
            model: record.text("ai_model"),
            input: record.count("req_units")?,
            output: record.count("res_units")?,
            total: record.count("total_units")?,
            cached: body(&[
                "prompt_tokens_details.cached_tokens",
                "input_tokens_details.cached_tokens",
                "cache_read_input_tokens",
            ])?,
            cache_write: body(&["cache_creation_input_tokens"])?,
            reasoning: body(&["completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"])?,
            cost: sink.optional("cost", record.money("cost")),
            kind: kind(record),
            failed: record.truth("is_success").map(|success| !success),
            request_id: record.text("id"),
            ..Usage::default()
        };
        if let Some(cost) = &mut usage.cost {
            cost.amount /= 100.0;
        }
        usage.latency = sink.optional("latency", record.number("response_time")).map(|ms| (ms, Some(Unit::Millis)));
        for (name, paths) in [
            ("provider", &["ai_org"][..]),
            ("user", &["metadata._user", "metadata.user", "metadata.user_id"]),
            ("environment", &["metadata._environment", "metadata.environment"]),
            ("project", &["workspace_slug", "metadata._project", "metadata.project"]),
            ("team", &["metadata.team"]),
            ("feature", &["metadata.feature"]),
            ("key", &["virtual_key"]),
            ("prompt", &["prompt_slug", "metadata._prompt"]),
            ("answered from Portkey's cache", &["cache_status"]),
            ("status", &["response_status_code"]),
        ] {
            usage.group(name, record.first_text(paths));
        }
        let provider = record.text("ai_org").unwrap_or_default();
        self.cache.push(&provider, usage, sink);
        Ok(())
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.cache.finish(sink);
    }
}

fn kind(record: Record<'_>) -> Kind {
    match record.text("request_url") {
        Some(url) if url.contains("/embeddings") => Kind::Embedding,
        Some(url) if url.contains("/images/") => Kind::Image,
        Some(url) if url.contains("/audio/") => Kind::Audio,
        _ => Kind::Chat,
    }
}
