//! Log events of coding agents, one for each request: Claude Code (`claude_code.api_request`), Codex
//! (`codex.sse_event`), Gemini CLI (`gemini_cli.api_response`), and the event of OpenTelemetry's conventions
//! (`gen_ai.client.inference.operation.details`).
//!
//! Source: Claude Code's page on monitoring (input excludes cached tokens, `cost_usd`, `duration_ms`; numbers may be
//! texts), the telemetry of Codex and of Gemini CLI as public readers of it describe it: Codex counts cached and
//! reasoning tokens within, Gemini counts thoughts and tool prompts beside, and restates each response in the event of
//! the conventions.

use std::borrow::Cow;

use super::{Reader, Source, attributes::Attributes, evidence::CacheEvidence};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage, values::Unit};

/// The source: events as objects or rows, as collectors and log services store them.
pub(super) static EVENTS: Events = Events;

/// Names of the field with the name of the event.
const NAME: &[&str] = &["event.name", "event_name", "eventName", "EventName", "body", "Body", "name"];

/// Names of the field with its time; a span ends when its request ends.
const TIMES: &[&str] = &["timeUnixNano", "timestamp", "Timestamp", "@timestamp", "time", "end_time", "endTime"];

/// What may stand before the names of attributes.
const PREFIXES: &[&str] = &["attributes.", "LogAttributes.", "Attributes.", ""];

const REQUESTS: &[&str] = &[
    "claude_code.api_request",
    "claude_code.api_error",
    // The span of a request.
    "claude_code.llm_request",
    "gemini_cli.api_response",
    "gemini_cli.api_error",
    "codex.sse_event",
    "gen_ai.client.inference.operation.details",
];

/// Events, one for each record.
pub(super) struct Events;

impl Source for Events {
    fn name(&self) -> &'static str {
        "telemetry of a coding agent (log events)"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        PREFIXES.iter().any(|prefix| {
            let attributes = Attributes { record, prefix };
            let name = attributes.text(NAME).or_else(|| record.first_text(NAME));
            name.is_some_and(|name| match name.as_ref() {
                // Claude Code writes the short name in the attribute.
                "api_request" => attributes.text(&["cache_read_tokens", "cost_usd"]).is_some(),
                "api_error" => attributes.text(&["session.id"]).is_some(),
                name => {
                    ["claude_code.", "codex.", "gemini_cli."].iter().any(|agent| name.starts_with(agent))
                        || (REQUESTS.contains(&name) && attributes.are_of_a_model())
                }
            })
        })
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(EventReader::default())
    }
}

#[derive(Default)]
struct EventReader {
    cache: CacheEvidence,
}

impl Reader for EventReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        let prefixed = |prefix: &&'static str| Attributes { record, prefix };
        let attributes = PREFIXES
            .iter()
            .map(prefixed)
            .find(|attributes| attributes.text(&["event.name", "event_name", "model"]).is_some())
            .unwrap_or(Attributes { record, prefix: "" });
        let time = TIMES.iter().find_map(|name| record.time(name, None).transpose()).transpose();
        let event = Event {
            name: record.first_text(&["body", "Body", "eventName", "EventName", "name"]),
            time_ms: sink.optional("time", time),
            service: record.first_text(&[
                "resource.attributes.service.name",
                "ResourceAttributes.service.name",
                "service.name",
            ]),
            scope: "",
            attributes,
        };
        event.read(&mut self.cache, sink)
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.cache.finish(sink);
    }
}

/// A log event.
pub(super) struct Event<'a> {
    /// Its name or text, outside of its attributes.
    pub name: Option<Cow<'a, str>>,
    /// Its time.
    pub time_ms: Option<i64>,
    /// The service that wrote it.
    pub service: Option<Cow<'a, str>>,
    /// The instrumentation that wrote it.
    pub scope: &'a str,
    /// Its attributes.
    pub attributes: Attributes<'a>,
}

impl Event<'_> {
    /// Pushes the usage of the request that the event tells of.
    ///
    /// # Errors
    /// The reason why a count cannot be read, as a clause.
    pub(super) fn read(self, cache: &mut CacheEvidence, sink: &mut Sink<'_>) -> Result<(), String> {
        match self.full_name().as_deref() {
            Some("claude_code.api_request" | "claude_code.api_error" | "claude_code.llm_request") => {
                self.push_claude_code(sink)
            }
            Some("codex.sse_event") => self.push_codex(sink),
            Some("gemini_cli.api_response" | "gemini_cli.api_error") => self.push_gemini(sink),
            _ if self.attributes.are_of_a_model() => self.push_conventions(cache, sink),
            _ => {
                sink.skip("events that are no requests");
                Ok(())
            }
        }
    }

    /// The name with its agent: Claude Code leaves it out in the attribute.
    fn full_name(&self) -> Option<Cow<'_, str>> {
        let names = [self.name.clone(), self.attributes.text(&["event.name", "event_name"])];
        let known = names.iter().flatten().find(|name| REQUESTS.contains(&name.as_ref()));
        known.cloned().or_else(|| {
            let name = names.into_iter().flatten().find(|name| matches!(name.as_ref(), "api_request" | "api_error"))?;
            let is_claude_code = self.service.as_deref().is_none_or(|service| service.contains("claude"));
            is_claude_code.then(|| Cow::Owned(format!("claude_code.{name}")))
        })
    }

    /// What all agents log in the same way.
    fn usage(&self, sink: &mut Sink<'_>) -> Usage<'_> {
        let attributes = &self.attributes;
        let event_time = attributes.text(&["event.timestamp", "event_timestamp"]);
        let mut usage = Usage {
            // The event is written when the request ends.
            end_ms: self.time_ms.or_else(|| {
                event_time.and_then(|time| time.parse::<jiff::Timestamp>().ok()).map(|time| time.as_millisecond())
            }),
            model: attributes.text(&["model"]),
            request_id: attributes.text(&["request_id", "response.id"]).or_else(|| self.sequence_id()),
            ..Usage::default()
        };
        let latency = attributes.text(&["duration_ms"]).and_then(|text| text.parse::<f64>().ok());
        usage.latency = latency.map(|ms| (ms, Some(Unit::Millis)));
        usage.start_ms = usage.end_ms.map(|end| end.saturating_sub(latency.unwrap_or(0.0) as i64));
        for (name, names) in [
            ("user", &["user.email", "user.id", "user.account_uuid"][..]),
            ("session", &["session.id", "conversation.id"]),
            ("organization", &["organization.id"]),
            ("type", &["query_source", "role"]),
            ("terminal", &["terminal.type"]),
        ] {
            usage.group(name, attributes.text(names));
        }
        usage.group("service", self.service.as_deref().map(Cow::Borrowed));
        if let Err(reason) = attributes.record.number("duration_ms") {
            sink.optional::<f64>("latency", Err(reason));
        }
        usage
    }

    /// Events are numbered within a session; a resumed one may begin anew, so the time tells them apart.
    fn sequence_id(&self) -> Option<Cow<'_, str>> {
        let (session, number) = (self.attributes.text(&["session.id"])?, self.attributes.text(&["event.sequence"])?);
        let time = self.attributes.text(&["event.timestamp"]).unwrap_or_default();
        Some(Cow::Owned(format!("{session} {number} {time} {:?}", self.time_ms)))
    }

    fn push_claude_code(&self, sink: &mut Sink<'_>) -> Result<(), String> {
        let counts = &self.attributes;
        let mut usage = Usage {
            input: counts.count(&["input_tokens"])?,
            output: counts.count(&["output_tokens"])?,
            cached: counts.count(&["cache_read_tokens"])?,
            cache_write: counts.count(&["cache_creation_tokens"])?,
            cost: sink.optional("cost", counts.money("cost_usd")),
            failed: Some(counts.text(&["error", "status_code"]).is_some()),
            ..self.usage(sink)
        };
        usage.add_cache_to_input();
        sink.push(usage);
        Ok(())
    }

    fn push_codex(&self, sink: &mut Sink<'_>) -> Result<(), String> {
        let counts = &self.attributes;
        let input = counts.count(&["input_token_count"])?;
        if input.is_none() {
            sink.skip("events that are no requests");
            return Ok(());
        }
        let usage = Usage {
            input,
            output: counts.count(&["output_token_count"])?,
            cached: counts.count(&["cached_token_count"])?,
            reasoning: counts.count(&["reasoning_token_count"])?,
            ..self.usage(sink)
        };
        sink.push(usage);
        Ok(())
    }

    fn push_gemini(&self, sink: &mut Sink<'_>) -> Result<(), String> {
        let counts = &self.attributes;
        let tool_prompt = counts.count(&["tool_token_count"])?.unwrap_or(0);
        let mut usage = Usage {
            input: counts.count(&["input_token_count"])?.map(|input| input.saturating_add(tool_prompt)),
            output: counts.count(&["output_token_count"])?,
            total: counts.count(&["total_token_count"])?,
            cached: counts.count(&["cached_content_token_count"])?,
            reasoning: counts.count(&["thoughts_token_count"])?,
            failed: Some(counts.text(&["error", "error.message"]).is_some()),
            ..self.usage(sink)
        };
        usage.add_reasoning_to_output();
        sink.push(usage);
        Ok(())
    }

    fn push_conventions(&self, cache: &mut CacheEvidence, sink: &mut Sink<'_>) -> Result<(), String> {
        if self.service.as_deref() == Some("gemini-cli") {
            sink.skip("events that repeat another event");
            return Ok(());
        }
        let mut usage = self.attributes.usage(sink)?;
        if !usage.has_tokens() {
            sink.skip("events that are no requests");
            return Ok(());
        }
        usage.start_ms = self.time_ms;
        usage.request_id = self.attributes.text(&["gen_ai.response.id"]);
        usage.group("service", self.service.as_deref().map(Cow::Borrowed));
        cache.push(&format!("{} {}", self.attributes.writer(), self.scope), usage, sink);
        Ok(())
    }
}
