//! Sessions of Claude Code: `~/.claude/projects/*/*.jsonl`, one line for each content block of a message.
//!
//! Source: transcripts as read by ccusage (its rules for counting a message once), and the usage of Anthropic's
//! Messages API.
//! - Each line repeats the usage of its whole message, early lines with the output so far: of the lines of a message,
//!   the one with the most tokens counts.
//! - A resumed session, and a side question, copy messages into another file, the latter with other request ids: a
//!   message with a request id is known by its own id in all files. Gateways that state no request id may use message
//!   ids again in other sessions: such messages are known by session and id.
//! - Sub-agents write lines with `isSidechain`, in this or in files of their own; the session's file may repeat theirs
//!   within lines of type `progress`.

use std::borrow::Cow;

use super::Stateless;
use crate::analyst::{
    dataset::Tier,
    ingest::{record::Record, sink::Sink, usage::Usage},
};

/// The source.
pub(super) static SESSIONS: Stateless = Stateless { name: "Claude Code sessions", recognises, read };

/// A message of a sub-agent within a line of the session that started it.
const PROGRESS: &str = "data.message.message";

fn recognises(record: Record<'_>) -> bool {
    record.has_all(&["type", "sessionId", "uuid"])
        && (record.has("message.role") || record.has("message.usage") || record.has("parentUuid"))
}

fn read(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let message = if record.has("message.usage") { "message" } else { PROGRESS };
    let at = |name: &str| format!("{message}.{name}");
    let count = |name: &str| record.count(&format!("{message}.usage.{name}"));
    if !record.has(&at("usage")) {
        sink.skip(match record.has("toolUseResult.agentId") || record.has("toolUseResult.totalTokens") {
            true => "results of sub-agents, whose requests stand on lines or in files of their own (agent-*.jsonl)",
            false => "lines without usage (prompts, tool results, notes)",
        });
        return Ok(());
    }
    // Claude Code wrote this message itself: no request was sent to a model.
    if record.is(&at("model"), "<synthetic>") {
        sink.skip("messages that no model wrote");
        return Ok(());
    }
    let (five_minutes, hour) =
        (count("cache_creation.ephemeral_5m_input_tokens")?, count("cache_creation.ephemeral_1h_input_tokens")?);
    let by_duration = five_minutes.or(hour).map(|_| five_minutes.unwrap_or(0).saturating_add(hour.unwrap_or(0)));
    let mut usage = Usage {
        start_ms: sink.optional("time", record.time("timestamp", None)),
        model: record.text(&at("model")),
        input: count("input_tokens")?,
        output: count("output_tokens")?,
        cached: count("cache_read_input_tokens")?,
        cache_write: count("cache_creation_input_tokens")?.max(by_duration),
        cache_write_1h: hour,
        reasoning: count("output_tokens_details.thinking_tokens")?,
        cost: sink.optional("cost", record.money("costUSD")),
        tier: tier(record, message),
        request_id: id(record, message),
        ..Usage::default()
    };
    usage.add_cache_to_input();
    usage.group("session", record.text("sessionId"));
    usage.group("project", record.text("cwd"));
    usage.group("branch", record.text("gitBranch"));
    usage.group("agent", record.first_text(&["agentId", "data.agentId"]));
    usage.group("sidechain", record.text("isSidechain"));
    usage.group("version", record.text("version"));
    sink.push(usage);
    Ok(())
}

/// By what a message is known wherever it is repeated.
fn id<'a>(record: Record<'a>, message: &str) -> Option<Cow<'a, str>> {
    let id = record.text(&format!("{message}.id"));
    let request = record.first_text(&["requestId", "data.message.requestId"]);
    match (id, request) {
        (Some(id), Some(_)) => Some(id),
        (Some(id), None) => {
            let session = record.text("sessionId").unwrap_or_default();
            Some(Cow::Owned(format!("{session} {id}")))
        }
        (None, Some(request)) => Some(request),
        // Copies of a line keep its id.
        (None, None) => record.text("uuid"),
    }
}

fn tier(record: Record<'_>, message: &str) -> Tier {
    let is = |name: &str, value: &str| record.is(&format!("{message}.usage.{name}"), value);
    match () {
        () if is("service_tier", "batch") => Tier::Batch,
        () if is("service_tier", "priority") || is("speed", "fast") => Tier::Priority,
        () => Tier::Standard,
    }
}
