//! Spans of a trace as objects or rows of a table, one for each span, with the attributes under their names.
//!
//! Source: the console exporters of OpenTelemetry's SDKs (Python: `context.span_id`, `parent_id`; JavaScript:
//! `parentSpanId`), Arize Phoenix (REST API and `get_spans_dataframe`: `attributes.llm.token_count.prompt`), the
//! collector's ClickHouse table (`SpanAttributes`), and tables of observability services (`trace.span_id`).

use std::borrow::Cow;

use serde_json::Value;

use super::{Reader, Source, attributes::Attributes, evidence::CacheEvidence};
use crate::analyst::ingest::{record::Record, sink::Sink};

/// The source.
pub(super) static SPANS: Spans = Spans;

const SPAN_ID: &[&str] = &[
    "context.span_id",
    "context.spanId",
    "spanContext.spanId",
    "span_id",
    "spanId",
    "SpanId",
    "trace.span_id",
    "span.id",
];
const TRACE_ID: &[&str] = &[
    "context.trace_id",
    "context.traceId",
    "spanContext.traceId",
    "trace_id",
    "traceId",
    "TraceId",
    "trace.trace_id",
    "trace.id",
];
const PARENT_ID: &[&str] = &[
    "parent_id",
    "parent_span_id",
    "parentSpanId",
    "parentSpanContext.spanId",
    "ParentSpanId",
    "trace.parent_id",
    "parent.id",
];
const START: &[&str] = &[
    "start_time",
    "startTime",
    "startTimeUnixNano",
    "start_time_unix_nano",
    "Timestamp",
    "timestamp",
    "@timestamp",
    "time",
];
const END: &[&str] = &["end_time", "endTime", "endTimeUnixNano", "end_time_unix_nano"];
const STATUS: &[&str] = &["status.status_code", "status.code", "status_code", "statusCode", "StatusCode"];
const SERVICE: &[&str] = &[
    "resource.attributes.service.name",
    "resource.service.name",
    "ResourceAttributes.service.name",
    "ServiceName",
    "service.name",
];

/// What may stand before the names of attributes.
const PREFIXES: &[&str] = &["attributes.", "SpanAttributes.", "Attributes.", ""];

/// Spans, one for each record.
pub(super) struct Spans;

impl Source for Spans {
    fn name(&self) -> &'static str {
        "spans of a trace (OpenTelemetry, Arize Phoenix)"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        let has = |names: &[&str]| names.iter().any(|name| record.has(name));
        has(SPAN_ID)
            && (attributes(record).is_some()
                || (has(TRACE_ID) && ["attributes", "SpanAttributes"].iter().any(|name| record.json(name).is_some())))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(SpanReader::default())
    }
}

/// The attributes of a span of a model.
fn attributes(record: Record<'_>) -> Option<Attributes<'_>> {
    PREFIXES.iter().map(|prefix| Attributes { record, prefix }).find(Attributes::are_of_a_model)
}

#[derive(Default)]
struct SpanReader {
    cache: CacheEvidence,
}

impl Reader for SpanReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        let id = record.first_text(SPAN_ID).ok_or("the span has no id")?;
        let attributes = attributes(record);
        let start_ms = sink.optional("time", time(record, START));
        let end_ms = sink.optional("end time", time(record, END));
        let span = SpanFields {
            trace: record.first_text(TRACE_ID).unwrap_or_default(),
            id,
            parent: record.first_text(PARENT_ID),
            start_ms,
            end_ms: end_ms.or_else(|| Some(start_ms?.saturating_add(duration_ms(record)?))),
            failed: record.first_text(STATUS).and_then(|status| failed(&status)),
            service: record.first_text(SERVICE),
            writer: "",
        };
        span.push(attributes, &mut self.cache, sink)
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.cache.finish(sink);
    }
}

/// What a span has besides its attributes.
pub(super) struct SpanFields<'a> {
    /// The id of its trace.
    pub trace: Cow<'a, str>,
    /// Its id, unique in the trace.
    pub id: Cow<'a, str>,
    /// The id of the span above it.
    pub parent: Option<Cow<'a, str>>,
    /// Its start.
    pub start_ms: Option<i64>,
    /// Its end.
    pub end_ms: Option<i64>,
    /// Whether it failed.
    pub failed: Option<bool>,
    /// The service that wrote it.
    pub service: Option<Cow<'a, str>>,
    /// The instrumentation that wrote it.
    pub writer: &'a str,
}

impl SpanFields<'_> {
    /// Pushes the usage that the span's attributes state.
    ///
    /// # Errors
    /// The reason why a count cannot be read, as a clause.
    pub(super) fn push(
        self,
        attributes: Option<Attributes<'_>>,
        cache: &mut CacheEvidence,
        sink: &mut Sink<'_>,
    ) -> Result<(), String> {
        let id = format!("{}:{}", self.trace, self.id);
        let parent = self.parent.map(|parent| format!("{}:{parent}", self.trace));
        let Some(attributes) = attributes else {
            sink.span(&id, parent.as_deref());
            sink.skip("spans without usage");
            return Ok(());
        };
        let mut usage = attributes.usage(sink)?;
        let failed = attributes.text(&["error.type"]).map(|_| true).or(self.failed);
        if !usage.has_tokens() && !attributes.are_of_a_request() {
            sink.span(&id, parent.as_deref());
            sink.skip("spans without usage");
            return Ok(());
        }
        usage.span = Some((Cow::Borrowed(&id), parent.as_deref().map(Cow::Borrowed)));
        usage.request_id = Some(Cow::Borrowed(&id));
        (usage.start_ms, usage.end_ms, usage.failed) = (self.start_ms, self.end_ms, failed);
        usage.group("service", self.service.as_deref().map(Cow::Borrowed));
        let writer = format!("{} {}", attributes.writer(), self.writer);
        cache.push(&writer, usage, sink);
        Ok(())
    }
}

/// How long a span took, if its end is not stated: `duration_ms`, or nanoseconds in ClickHouse's table.
fn duration_ms(record: Record<'_>) -> Option<i64> {
    let number = |name| record.number(name).ok().flatten();
    let ms =
        number("duration_ms").or_else(|| Some(number("Duration").filter(|_| record.has("SpanAttributes"))? / 1e6))?;
    Some(ms.round() as i64)
}

/// Whether a status says that a span failed: `ERROR`, `STATUS_CODE_ERROR`, 2.
pub(super) fn failed(status: &str) -> Option<bool> {
    let status = status.to_ascii_uppercase();
    match status.as_str() {
        "2" => Some(true),
        "0" | "1" => Some(false),
        _ if status.contains("ERROR") => Some(true),
        _ if status.contains("OK") || status.contains("UNSET") => Some(false),
        _ => None,
    }
}

/// The first of these times that is there; JavaScript writes seconds and nanoseconds as a pair.
fn time(record: Record<'_>, names: &[&str]) -> Result<Option<i64>, String> {
    for name in names {
        if let Some(Value::Array(pair)) = record.json(name)
            && let [seconds, nanos] = pair.as_slice()
            && let (Some(seconds), Some(nanos)) = (seconds.as_i64(), nanos.as_i64())
        {
            return Ok(Some(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)));
        }
        if let Some(time) = record.time(name, None)? {
            return Ok(Some(time));
        }
    }
    Ok(None)
}
