//! Metrics of OpenTelemetry that count tokens: sums over a time, without single requests.
//!
//! Source: Claude Code's page on monitoring (`claude_code.token.usage` with `type`, `claude_code.cost.usage`), Gemini
//! CLI (`gemini_cli.token.usage`, `type`), and the conventions' histogram `gen_ai.client.token.usage`
//! (`gen_ai.token.type`), whose counts are numbers of requests. A point counts what came since the last one (delta), or
//! since the start (cumulative).

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use serde_json::Value;

use super::otlp::{flatten, items, service};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage, values::Money};

/// Attributes that say which tokens a point counts.
const TYPE: &[&str] = &["type", "gen_ai.token.type"];

/// Values to group by, and the attributes that hold them.
const GROUPS: &[(&str, &[&str])] = &[
    ("user", &["user.email", "user.id", "user.account_uuid"]),
    ("session", &["session.id"]),
    ("organization", &["organization.id"]),
    ("provider", &["gen_ai.provider.name", "gen_ai.system"]),
    ("type", &["gen_ai.operation.name", "query_source"]),
];

/// The sums of a file.
#[derive(Default)]
pub(super) struct Metrics {
    /// By the time of their points and what they have in common.
    sums: BTreeMap<(i64, String), Sum>,
    /// The last value of each cumulative series.
    last: HashMap<String, f64>,
}

/// What the points of one time and one combination of attributes count.
#[derive(Default)]
struct Sum {
    attributes: serde_json::Map<String, Value>,
    start_ms: Option<i64>,
    tokens: HashMap<String, f64>,
    cost: Option<f64>,
    requests: u64,
}

impl Metrics {
    /// Reads the metrics of a resource.
    pub(super) fn add(&mut self, resource: &Value, sink: &mut Sink<'_>) {
        let service = service(resource);
        for scope in items(resource, &["scopeMetrics", "scope_metrics"]) {
            for metric in items(scope, &["metrics"]) {
                match metric.get("name").and_then(Value::as_str) {
                    Some("claude_code.token.usage" | "gemini_cli.token.usage" | "gen_ai.client.token.usage") => {
                        self.add_points(metric, false, service.as_deref());
                    }
                    Some("claude_code.cost.usage") => self.add_points(metric, true, service.as_deref()),
                    _ => sink.skip("metrics that count no tokens"),
                }
            }
        }
    }

    fn add_points(&mut self, metric: &Value, is_cost: bool, service: Option<&str>) {
        let Some(data) = ["sum", "histogram"].iter().find_map(|kind| metric.get(kind)) else { return };
        let record = Record::Object(data);
        let temporality = record.first_text(&["aggregationTemporality", "aggregation_temporality"]).unwrap_or_default();
        let is_cumulative = temporality == "2" || temporality.ends_with("CUMULATIVE");
        for point in items(data, &["dataPoints", "data_points"]) {
            let record = Record::Object(point);
            let number = |names: &[&str]| names.iter().find_map(|name| record.number(name).ok()?);
            let time = |names: &[&str]| names.iter().find_map(|name| record.time(name, None).ok()?);
            let Some(value) = number(&["asInt", "asDouble", "as_int", "as_double", "sum"]) else { continue };
            let requests = number(&["count"]).unwrap_or(0.0);
            let mut attributes = flatten(point.get("attributes"), 0);
            if let Some(service) = service {
                attributes.insert("service".into(), service.into());
            }
            let start = time(&["startTimeUnixNano", "start_time_unix_nano"]);
            let (value, requests) = if is_cumulative {
                let series = format!("{:?} {start:?} {is_cost} {}", metric.get("name"), sorted(&attributes));
                (self.since_last(series.clone(), value), self.since_last(series + " count", requests))
            } else {
                (value, requests)
            };
            let kind = TYPE.iter().find_map(|name| attributes.remove(*name)?.as_str().map(str::to_owned));
            let at = time(&["timeUnixNano", "time_unix_nano"]).unwrap_or(0);
            let sum = self.sums.entry((at, sorted(&attributes))).or_default();
            sum.start_ms = sum.start_ms.or(start.filter(|_| !is_cumulative));
            if is_cost {
                sum.cost = Some(sum.cost.unwrap_or(0.0) + value);
            } else {
                let kind = kind.unwrap_or_default();
                sum.requests += if kind == "input" { requests as u64 } else { 0 };
                *sum.tokens.entry(kind).or_default() += value;
            }
            sum.attributes = attributes;
        }
    }

    /// What a cumulative value adds to the last one; a smaller one began anew.
    fn since_last(&mut self, series: String, value: f64) -> f64 {
        let last = self.last.insert(series, value).unwrap_or(0.0);
        if value >= last { value - last } else { value }
    }

    /// Pushes the sums, unless the file has the requests themselves.
    pub(super) fn finish(&mut self, has_requests: bool, sink: &mut Sink<'_>) {
        for ((at, _), sum) in std::mem::take(&mut self.sums) {
            if has_requests {
                sink.skip("sums of requests that the log also has one by one");
            } else {
                sum.push(at, sink);
            }
        }
    }
}

impl Sum {
    fn push(&self, at: i64, sink: &mut Sink<'_>) {
        let tokens = |names: &[&str]| {
            let found: Vec<f64> = names.iter().filter_map(|name| self.tokens.get(*name)).copied().collect();
            (!found.is_empty()).then(|| found.iter().sum::<f64>().round() as u64)
        };
        if self.tokens.values().all(|n| *n == 0.0) && self.cost.unwrap_or(0.0) == 0.0 {
            return;
        }
        let attributes = Value::Object(self.attributes.clone());
        let record = Record::Object(&attributes);
        let is_gemini = record.is("service", "gemini-cli");
        let mut usage = Usage {
            start_ms: self.start_ms.or(Some(at)),
            period_ms: self.start_ms.map(|start| at - start).filter(|period| *period > 0),
            requests: Some(self.requests),
            model: record.first_text(&["model", "gen_ai.response.model", "gen_ai.request.model"]),
            input: tokens(&["input", "tool"]),
            // Gemini's thoughts stand beside its output.
            output: tokens(&["output", "completion", "thought"]),
            cached: tokens(&["cacheRead", "cache"]),
            cache_write: tokens(&["cacheCreation"]),
            reasoning: tokens(&["thought"]),
            cost: self.cost.map(|amount| Money { amount, currency: None }),
            ..Usage::default()
        };
        if !is_gemini {
            usage.add_cache_to_input();
        }
        for (name, names) in GROUPS {
            usage.group(name, record.first_text(names));
        }
        usage.group("service", record.text("service").map(|name| Cow::Owned(name.into_owned())));
        sink.push(usage);
    }
}

/// Attributes as a text that is the same for the same attributes in another order.
fn sorted(attributes: &serde_json::Map<String, Value>) -> String {
    let mut pairs: Vec<String> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.sort_unstable();
    pairs.join(",")
}
