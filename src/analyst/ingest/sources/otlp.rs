//! OpenTelemetry's protocol as JSON, as the collector's file exporter writes it: `resourceSpans`, `resourceLogs`,
//! `resourceMetrics`.
//!
//! Source: OTLP's JSON encoding (attributes as lists of key and value, whole numbers as texts; also the
//! snake_case names of the protobuf definition). Events of coding agents are read by [`super::agent_events`].

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    Reader, Source, agent_events, attributes::Attributes, evidence::CacheEvidence, otlp_metrics::Metrics, spans,
};
use crate::analyst::ingest::{record::Record, sink::Sink};

/// The source.
pub(super) static EXPORT: Otlp = Otlp;

const SPANS: &[&str] = &["resourceSpans", "resource_spans"];
const LOGS: &[&str] = &["resourceLogs", "resource_logs"];
const METRICS: &[&str] = &["resourceMetrics", "resource_metrics"];

/// Deepest nesting of attribute values.
const MAX_DEPTH: usize = 4;

/// An OTLP export of spans, logs or metrics.
pub(super) struct Otlp;

impl Source for Otlp {
    fn name(&self) -> &'static str {
        "OpenTelemetry export (OTLP)"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        let Record::Object(value) = record else { return false };
        [SPANS, LOGS, METRICS].into_iter().flatten().any(|name| value.get(name).is_some_and(Value::is_array))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(OtlpReader::default())
    }
}

#[derive(Default)]
struct OtlpReader {
    cache: CacheEvidence,
    metrics: Metrics,
    has_requests: bool,
}

impl Reader for OtlpReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        let Record::Object(value) = record else { return Ok(()) };
        let before = sink.rows();
        for resource in items(value, SPANS) {
            let service = service(resource);
            for scope in items(resource, &["scopeSpans", "scope_spans", "instrumentationLibrarySpans"]) {
                for span in items(scope, &["spans"]) {
                    let read = self.read_span(span, scope_name(scope), service.as_deref(), sink);
                    read.unwrap_or_else(|reason| sink.reject(reason));
                }
            }
        }
        for resource in items(value, LOGS) {
            let service = service(resource);
            for scope in items(resource, &["scopeLogs", "scope_logs", "instrumentationLibraryLogs"]) {
                for log in items(scope, &["logRecords", "log_records"]) {
                    let read = self.read_log(log, scope_name(scope), service.as_deref(), sink);
                    read.unwrap_or_else(|reason| sink.reject(reason));
                }
            }
        }
        self.has_requests |= sink.rows() > before;
        for resource in items(value, METRICS) {
            self.metrics.add(resource, sink);
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.metrics.finish(self.has_requests, sink);
        self.cache.finish(sink);
    }
}

impl OtlpReader {
    fn read_span(
        &mut self,
        span: &Value,
        scope: &str,
        service: Option<&str>,
        sink: &mut Sink<'_>,
    ) -> Result<(), String> {
        let flat = Value::Object(flatten(span.get("attributes"), 0));
        let attributes = Attributes { record: Record::Object(&flat), prefix: "" };
        let record = Record::Object(span);
        let time = |names: &[&str]| names.iter().find_map(|name| record.time(name, None).transpose()).transpose();
        if record.is("name", "claude_code.llm_request") {
            let event = agent_events::Event {
                name: record.text("name"),
                time_ms: sink.optional("end time", time(&["endTimeUnixNano", "end_time_unix_nano"])),
                service: service.map(Cow::Borrowed),
                scope,
                attributes,
            };
            return event.read(&mut self.cache, sink);
        }
        let fields = spans::SpanFields {
            trace: record.first_text(&["traceId", "trace_id"]).unwrap_or_default(),
            id: record.first_text(&["spanId", "span_id"]).ok_or("a span has no id")?,
            parent: record.first_text(&["parentSpanId", "parent_span_id"]),
            start_ms: sink.optional("time", time(&["startTimeUnixNano", "start_time_unix_nano"])),
            end_ms: sink.optional("end time", time(&["endTimeUnixNano", "end_time_unix_nano"])),
            failed: record.text("status.code").and_then(|status| spans::failed(&status)),
            service: service.map(Cow::Borrowed),
            writer: scope,
        };
        fields.push(Some(attributes).filter(Attributes::are_of_a_model), &mut self.cache, sink)
    }

    fn read_log(&mut self, log: &Value, scope: &str, service: Option<&str>, sink: &mut Sink<'_>) -> Result<(), String> {
        let flat = Value::Object(flatten(log.get("attributes"), 0));
        let record = Record::Object(log);
        let attributes = Attributes { record: Record::Object(&flat), prefix: "" };
        let time = ["timeUnixNano", "time_unix_nano", "observedTimeUnixNano", "observed_time_unix_nano"]
            .iter()
            .find_map(|name| record.time(name, None).transpose().filter(|time| *time != Ok(0)))
            .transpose();
        let event = agent_events::Event {
            name: record.first_text(&["eventName", "event_name", "body.stringValue", "body.string_value"]),
            time_ms: sink.optional("time", time),
            service: service.map(Cow::Borrowed),
            scope,
            attributes,
        };
        event.read(&mut self.cache, sink)
    }
}

/// The items of the first of these lists that is there.
pub(super) fn items<'a>(value: &'a Value, names: &[&str]) -> impl Iterator<Item = &'a Value> {
    names.iter().find_map(|name| value.get(name)?.as_array()).into_iter().flatten()
}

/// The name of the service that a resource describes.
pub(super) fn service(resource: &Value) -> Option<String> {
    let attributes = flatten(resource.get("resource").and_then(|resource| resource.get("attributes")), 0);
    Some(attributes.get("service.name")?.as_str()?.to_owned())
}

/// The name of the instrumentation that wrote the spans of a scope.
fn scope_name(scope: &Value) -> &str {
    let scope = scope.get("scope").or_else(|| scope.get("instrumentationLibrary"));
    scope.and_then(|scope| scope.get("name")?.as_str()).unwrap_or_default()
}

/// Attributes as an object. Some exporters write them as one already.
pub(super) fn flatten(attributes: Option<&Value>, depth: usize) -> Map<String, Value> {
    match attributes {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|item| Some((item.get("key")?.as_str()?.to_owned(), plain(item.get("value")?, depth)?)))
            .collect(),
        Some(Value::Object(fields)) => fields.clone(),
        _ => Map::new(),
    }
}

/// The value of an attribute; `None` for lists and bytes, which hold no usage.
fn plain(value: &Value, depth: usize) -> Option<Value> {
    let Some((kind, value)) = value.as_object().and_then(|fields| fields.iter().next()) else {
        return (!value.is_object()).then(|| value.clone());
    };
    match kind.as_str() {
        "stringValue" | "intValue" | "doubleValue" | "boolValue" | "string_value" | "int_value" | "double_value"
        | "bool_value" => Some(value.clone()),
        "kvlistValue" | "kvlist_value" if depth < MAX_DEPTH => {
            Some(Value::Object(flatten(value.get("values"), depth + 1)))
        }
        _ => None,
    }
}
