//! What coding agents print when they run without a person: `claude -p --output-format json` or `stream-json`, and
//! `codex exec --json`.
//!
//! Source: the message types of Claude's Agent SDK (`SDKMessage`), and the event types of `codex exec` (repository
//! openai/codex).
//! - Claude prints each message of the model, once for each block of it, and at the end a result that sums up the session,
//!   with a sum for each model. The result counts only if the messages were not printed.
//! - Codex prints the sum of a turn, which may be of several requests.

use std::collections::HashSet;

use serde_json::Value;

use super::{Reader, Source, Stateless};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage};

/// Output of Claude Code.
pub(super) static CLAUDE: Claude = Claude;

/// Output of Codex.
pub(super) static CODEX: Stateless = Stateless { name: "Codex output", recognises: is_codex, read: read_codex };

/// See [`CLAUDE`].
pub(super) struct Claude;

impl Source for Claude {
    fn name(&self) -> &'static str {
        "Claude Code output"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        const TYPES: [&str; 5] = ["assistant", "user", "system", "result", "stream_event"];
        record.has_all(&["type", "session_id"])
            && record.text("type").is_some_and(|kind| TYPES.contains(&kind.as_ref()))
            && ["message.role", "event.type", "total_cost_usd", "subtype"].iter().any(|name| record.has(name))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(Output::default())
    }
}

/// The sessions whose messages were printed.
#[derive(Default)]
struct Output {
    printed: HashSet<String>,
    /// The costs of the results that are left out because their messages were printed.
    cost_of_sessions: f64,
}

impl Reader for Output {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        let session = record.text("session_id").unwrap_or_default();
        if record.is("type", "assistant") && record.has("message.usage") && !record.is("message.model", "<synthetic>") {
            self.printed.insert(session.into_owned());
            let mut usage = claude_usage(record, "message.usage")?;
            usage.model = record.text("message.model");
            usage.request_id = record.text("message.id");
            sink.push(usage);
        } else if !record.is("type", "result") {
            sink.skip("lines without usage (prompts, tool results, notes)");
        } else if self.printed.contains(session.as_ref()) {
            let cost = sink.optional("cost", record.money("total_cost_usd"));
            self.cost_of_sessions += cost.map_or(0.0, |cost| cost.amount);
            sink.skip("results that sum up messages above");
        } else {
            read_result(record, sink)?;
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        if self.cost_of_sessions > 0.0 {
            sink.unknown(&format!(
                "The log states costs of whole sessions only, ${:.4} together; by message, by day and by model, costs are list prices.",
                self.cost_of_sessions
            ));
        }
    }
}

fn claude_usage<'a>(record: Record<'a>, path: &str) -> Result<Usage<'a>, String> {
    let count = |name: &str| record.count(&format!("{path}.{name}"));
    let mut usage = Usage {
        input: count("input_tokens")?,
        output: count("output_tokens")?,
        cached: count("cache_read_input_tokens")?,
        cache_write: count("cache_creation_input_tokens")?,
        cache_write_1h: count("cache_creation.ephemeral_1h_input_tokens")?,
        ..Usage::default()
    };
    usage.add_cache_to_input();
    usage.group("session", record.text("session_id"));
    Ok(usage)
}

/// The sum of a session, for each model if stated.
fn read_result(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let Some(models) = record.json("modelUsage").and_then(Value::as_object).filter(|models| !models.is_empty()) else {
        let mut usage = claude_usage(record, "usage")?;
        usage.requests = Some(0);
        usage.cost = sink.optional("cost", record.money("total_cost_usd"));
        usage.failed = record.truth("is_error");
        sink.push(usage);
        return Ok(());
    };
    for (model, counts) in models {
        let counts = Record::Object(counts);
        let mut usage = Usage {
            model: Some(model.as_str().into()),
            requests: Some(0),
            input: counts.count("inputTokens")?,
            output: counts.count("outputTokens")?,
            cached: counts.count("cacheReadInputTokens")?,
            cache_write: counts.count("cacheCreationInputTokens")?,
            cost: sink.optional("cost", counts.money("costUSD")),
            ..Usage::default()
        };
        usage.add_cache_to_input();
        usage.group("session", record.text("session_id"));
        sink.push(usage);
    }
    Ok(())
}

fn is_codex(record: Record<'_>) -> bool {
    let starts = |kind: &str| ["thread.", "turn.", "item."].iter().any(|start| kind.starts_with(start));
    record.text("type").is_some_and(|kind| starts(&kind))
        && ["thread_id", "usage.input_tokens", "item.type", "error"].iter().any(|name| record.has(name))
}

fn read_codex(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    if !record.has("usage.input_tokens") {
        sink.skip("lines without usage (prompts, tool calls, notes)");
        return Ok(());
    }
    sink.push(Usage {
        requests: Some(0),
        input: record.count("usage.input_tokens")?,
        output: record.count("usage.output_tokens")?,
        cached: record.count("usage.cached_input_tokens")?,
        reasoning: record.count("usage.reasoning_output_tokens")?,
        ..Usage::default()
    });
    Ok(())
}
