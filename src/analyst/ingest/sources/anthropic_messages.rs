//! Answers of Anthropic's Messages API as objects: alone, beside their request, as the events of a stream, in the
//! results of a message batch.
//!
//! Fields as in Anthropic's API reference (`Message`, `MessageBatchIndividualResponse`, streaming events,
//! compaction). Input tokens exclude those read from and written to a cache. `output_tokens` of a stream are final
//! only in its last `message_delta`. The usage of a compaction stands only in `usage.iterations`.

use serde_json::{Value, json};

use super::{
    Reader, Source,
    shared::{TIMES, group_by, group_by_tags, tier},
};
use crate::analyst::{
    dataset::Tier,
    ingest::{record::Record, sink::Sink, usage::Usage},
};

/// The source.
pub(super) static MESSAGES: Messages = Messages;

/// Where the answer may stand in a record.
const BODIES: &[&str] = &["", "result.message", "message", "response.body", "response", "body", "output"];

/// Answers of Anthropic's Messages API.
pub(super) struct Messages;

impl Source for Messages {
    fn name(&self) -> &'static str {
        "Anthropic messages"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        body(record).is_some() || is_batch_line(record) || (record.is("type", "message_delta") && record.has("usage"))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(MessageReader::default())
    }
}

fn body(record: Record<'_>) -> Option<Record<'_>> {
    BODIES.iter().filter_map(|path| record.inside(path)).find(|body| {
        body.is("type", "message")
            && body.is("role", "assistant")
            && body.has_all(&["usage.input_tokens", "usage.output_tokens"])
    })
}

fn is_batch_line(record: Record<'_>) -> bool {
    let results = ["succeeded", "errored", "canceled", "expired"];
    record.has("custom_id") && record.text("result.type").is_some_and(|result| results.contains(&result.as_ref()))
}

/// Reads messages; keeps the message of a stream until its last event.
#[derive(Default)]
struct MessageReader {
    /// The event `message_start`, with the counts of the last `message_delta`.
    open: Option<Value>,
    /// Whether it has such counts.
    has_output: bool,
}

impl Reader for MessageReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        if record.is("type", "message_start") {
            if self.open.is_some() && !self.has_output {
                sink.unknown(
                    "Streams of several messages overlap in the log: the output tokens of some are not final.",
                );
            }
            self.close(sink)?;
            self.open = whole(record);
            return Ok(());
        }
        if record.is("type", "message_delta") {
            return self.update(record);
        }
        read_message(record, sink)
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        let closed = self.close(sink);
        sink.optional::<()>("last message of a stream", closed.map(|()| None));
    }
}

/// The JSON object of a record.
fn whole(record: Record<'_>) -> Option<Value> {
    match record {
        Record::Object(value) => Some(value.clone()),
        Record::Row(_) => None,
    }
}

impl MessageReader {
    /// The counts of a `message_delta` are those of the whole message so far.
    fn update(&mut self, record: Record<'_>) -> Result<(), String> {
        let Some(usage) = self.open.as_mut().and_then(|open| open.pointer_mut("/message/usage")) else {
            return Err("its stream has no message_start".into());
        };
        for name in ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"] {
            if let Some(n) = record.count(&format!("usage.{name}"))? {
                usage[name] = json!(n);
            }
        }
        self.has_output = true;
        Ok(())
    }

    fn close(&mut self, sink: &mut Sink<'_>) -> Result<(), String> {
        self.has_output = false;
        self.open.take().map_or(Ok(()), |open| read_message(Record::Object(&open), sink))
    }
}

fn read_message(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let is_batch = is_batch_line(record);
    let Some(body) = body(record) else {
        match record.text("result.type").as_deref() {
            Some("errored") => drop(sink.push(Usage { failed: Some(true), tier: Tier::Batch, ..Usage::default() })),
            Some("canceled" | "expired") => sink.skip("requests of a batch that were cancelled or expired"),
            _ => return Err("usage is missing".into()),
        }
        return Ok(());
    };
    let mut usage = tokens(body.inside("usage").unwrap_or(body))?;
    usage.start_ms = sink.optional("time", record.first_time(TIMES));
    usage.model = body.text("model");
    usage.request_id = body.text("id");
    usage.tier = if is_batch { Tier::Batch } else { tier(body.text("usage.service_tier").as_deref()) };
    usage.group("user", record.first_text(&["request.metadata.user_id", "metadata.user_id", "user"]));
    group_by(
        &mut usage,
        body,
        &[
            ("tier", "usage.service_tier"),
            ("region", "usage.inference_geo"),
            ("speed", "usage.speed"),
            ("status", "stop_reason"),
        ],
    );
    group_by_tags(&mut usage, record.json("metadata"));
    if body.count("usage.server_tool_use.web_search_requests")?.unwrap_or(0) > 0 {
        sink.unknown(WEB_SEARCHES);
    }
    let advice = add_iterations(&mut usage, body)?;
    let (start_ms, tier) = (usage.start_ms, usage.tier);
    sink.push(usage);
    for part in advice {
        sink.push(Usage { start_ms, tier, ..part });
    }
    Ok(())
}

/// What the report says of web searches.
pub(super) const WEB_SEARCHES: &str = "Web searches are billed beside tokens; costs at list prices leave them out.";

/// The counts of a record with the names of Anthropic's API, input with its cached tokens.
pub(super) fn tokens(record: Record<'_>) -> Result<Usage<'_>, String> {
    let count = |name: &str| record.count(name);
    let (short, long) =
        (count("cache_creation.ephemeral_5m_input_tokens")?, count("cache_creation.ephemeral_1h_input_tokens")?);
    let parts = short.or(long).map(|_| short.unwrap_or(0).saturating_add(long.unwrap_or(0)));
    let mut usage = Usage {
        input: record.first_count(&["input_tokens", "uncached_input_tokens"])?,
        output: count("output_tokens")?,
        cached: count("cache_read_input_tokens")?,
        cache_write: count("cache_creation_input_tokens")?.or(parts),
        cache_write_1h: long,
        ..Usage::default()
    };
    usage.add_cache_to_input();
    Ok(usage)
}

/// Adds the compactions of a message to its usage; returns the usage of other models that it asked (advisors).
fn add_iterations<'a>(usage: &mut Usage<'a>, body: Record<'a>) -> Result<Vec<Usage<'a>>, String> {
    let mut advice = Vec::new();
    for iteration in body.items("usage.iterations") {
        let kind = iteration.text("type").unwrap_or_default();
        if kind != "compaction" && kind != "advisor_message" {
            continue;
        }
        let part = Usage { model: iteration.text("model"), ..tokens(iteration)? };
        if kind == "advisor_message" {
            advice.push(part);
            continue;
        }
        for (sum, n) in [
            (&mut usage.input, part.input),
            (&mut usage.output, part.output),
            (&mut usage.cached, part.cached),
            (&mut usage.cache_write, part.cache_write),
            (&mut usage.cache_write_1h, part.cache_write_1h),
        ] {
            *sum = sum.or(n.map(|_| 0)).map(|sum| sum.saturating_add(n.unwrap_or(0)));
        }
    }
    Ok(advice)
}
