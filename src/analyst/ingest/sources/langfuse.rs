//! Observations of Langfuse: pages of its API (v1 and v2), exports from its tables (CSV, JSON), and exports to blob
//! storage (snake_case names).
//!
//! Source: Langfuse's source (`ingestion/types.ts`, `OtelIngestionProcessor.ts`, `observations_converters.ts`) and
//! its field reference of blob storage exports. Its usage types stand beside each other: `input` excludes
//! `input_cached_tokens`, `input_cache_creation` and the like, `output` excludes `output_reasoning_tokens`; `total` is
//! the sum of all. SDKs may send parts that are within; where the total shows it, they are not added.

use serde_json::Value;

use super::{Reader, Source};
use crate::analyst::{
    dataset::Kind,
    ingest::{record::Record, sink::Sink, usage::Usage, values::Unit},
};

/// The source.
pub(super) static OBSERVATIONS: Langfuse = Langfuse;

const USAGE: &[&str] = &["usageDetails", "usage_details"];
const TRACE: &[&str] = &["traceId", "trace_id"];
const START: &[&str] = &["startTime", "start_time"];
const PARENT: &[&str] = &["parentObservationId", "parent_observation_id"];

/// Fields that only Langfuse's observations have.
const OWN: &[&str] = &[
    "parentObservationId",
    "parent_observation_id",
    "completionStartTime",
    "completion_start_time",
    "costDetails",
    "cost_details",
    "usageDetails",
    "usage_details",
    "calculatedTotalCost",
    "calculated_total_cost",
];

/// Observations and traces.
pub(super) struct Langfuse;

impl Source for Langfuse {
    fn name(&self) -> &'static str {
        "Langfuse observations"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        is_observation(record) || is_trace(record)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(LangfuseReader)
    }
}

fn is_observation(record: Record<'_>) -> bool {
    let has = |names: &[&str]| names.iter().any(|name| record.has(name));
    record.has("id") && has(TRACE) && has(START) && has(OWN)
}

/// A trace sums up its observations, which may stand in it.
fn is_trace(record: Record<'_>) -> bool {
    record.has_all(&["id", "timestamp"])
        && (record.has_all(&["observations", "totalCost"]) || record.has_all(&["htmlPath", "totalCost"]))
}

struct LangfuseReader;

impl Reader for LangfuseReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        if is_observation(record) {
            return read_observation(record, sink);
        }
        sink.skip("traces (sums of their observations)");
        if let Some(Value::Array(observations)) = record.json("observations") {
            for observation in observations.iter().map(Record::Object).filter(|inner| is_observation(*inner)) {
                read_observation(observation, sink).unwrap_or_else(|reason| sink.reject(reason));
            }
        }
        Ok(())
    }
}

fn read_observation(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let id = record.text("id").ok_or("the observation has no id")?;
    let parent = record.first_text(PARENT);
    let kind = match record.text("type").as_deref().map(str::to_ascii_uppercase).as_deref() {
        Some("GENERATION") | None => Kind::Chat,
        Some("EMBEDDING") => Kind::Embedding,
        Some(_) => {
            sink.span(&id, parent.as_deref());
            sink.skip("observations that are no requests (spans, events, tools)");
            return Ok(());
        }
    };
    if record
        .text("usage.unit")
        .or_else(|| record.text("unit"))
        .is_some_and(|unit| !unit.eq_ignore_ascii_case("tokens"))
    {
        sink.skip("observations that are not measured in tokens");
        return Ok(());
    }
    let time = |names: &[&str]| names.iter().find_map(|name| record.time(name, None).transpose()).transpose();
    let start_ms = sink.optional("time", time(START));
    let mut usage = Usage {
        start_ms,
        end_ms: sink.optional("end time", time(&["endTime", "end_time"])),
        model: record.first_text(&["model", "providedModelName", "provided_model_name", "modelId"]),
        first_token: first_token(record, start_ms, sink),
        failed: record.text("level").map(|level| level.eq_ignore_ascii_case("error")),
        kind,
        ..Usage::default()
    };
    if usage.end_ms.is_none() {
        // Versions disagree about its unit.
        usage.latency = sink.optional("latency", record.number("latency")).map(|latency| (latency, None));
    }
    add_tokens(record, &mut usage)?;
    const COSTS: &[&str] = &[
        "totalCost",
        "total_cost",
        "calculatedTotalCost",
        "calculated_total_cost",
        "costDetails.total",
        "cost_details.total",
        "usage.totalCost",
    ];
    usage.cost = COSTS.iter().find_map(|name| sink.optional("cost", record.money(name)));
    add_groups(record, &mut usage);
    usage.span = Some((id.clone(), parent));
    usage.request_id = Some(id);
    sink.push(usage);
    Ok(())
}

fn add_groups<'a>(record: Record<'a>, usage: &mut Usage<'a>) {
    for (name, names) in [
        ("user", &["userId", "user_id"][..]),
        ("session", &["sessionId", "session_id"]),
        ("feature", &["traceName", "trace_name"]),
        ("name", &["name"]),
        ("prompt", &["promptName", "prompt_name"]),
        ("environment", &["environment"]),
        ("release", &["release"]),
    ] {
        usage.group(name, record.first_text(names));
    }
}

/// The time to the first token: from its time, or as stated, in seconds.
fn first_token(record: Record<'_>, start_ms: Option<i64>, sink: &mut Sink<'_>) -> Option<(f64, Option<Unit>)> {
    let time = ["completionStartTime", "completion_start_time"].iter().find_map(|name| record.time(name, None).ok()?);
    if let Some((start, first)) = start_ms.zip(time).filter(|(start, first)| first >= start) {
        return Some(((first - start) as f64, Some(Unit::Millis)));
    }
    let stated = ["timeToFirstToken", "time_to_first_token"]
        .iter()
        .find_map(|name| sink.optional("time to first token", record.number(name)))?;
    Some((stated, Some(Unit::Seconds)))
}

fn add_tokens(record: Record<'_>, usage: &mut Usage<'_>) -> Result<(), String> {
    let details = USAGE.iter().find_map(|name| record.json(name)?.as_object()).filter(|details| !details.is_empty());
    let Some(details) = details else {
        // Sums of all types, or the older fields, which have only these two.
        usage.input = record.first_count(&[
            "inputUsage",
            "input_usage",
            "usage.input",
            "inputTokens",
            "promptTokens",
            "prompt_tokens",
            "usage.promptTokens",
        ])?;
        usage.output = record.first_count(&[
            "outputUsage",
            "output_usage",
            "usage.output",
            "outputTokens",
            "completionTokens",
            "completion_tokens",
            "usage.completionTokens",
        ])?;
        usage.total = record
            .first_count(&["totalUsage", "usage.total", "totalTokens", "total_tokens"])?
            .filter(|total| *total > 0);
        return Ok(());
    };
    let mut parts = Parts::default();
    for (name, value) in details {
        let record = Value::Object(serde_json::Map::from_iter([(name.clone(), value.clone())]));
        if let Some(n) = Record::Object(&record).count(name)? {
            parts.add(name, n);
        }
    }
    parts.fill(usage);
    Ok(())
}

/// The usage types of an observation.
#[derive(Default)]
struct Parts {
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    reasoning: Option<u64>,
    audio_input: Option<u64>,
    audio_output: Option<u64>,
    /// All types of the input besides `input`.
    beside_input: u64,
    /// All types of the output besides `output`.
    beside_output: u64,
}

impl Parts {
    fn add(&mut self, name: &str, n: u64) {
        let name = name.to_ascii_lowercase();
        let has = |word: &str| name.contains(word);
        let plus = |part: &mut Option<u64>| *part = Some(part.unwrap_or(0).saturating_add(n));
        match name.as_str() {
            "input" | "input_tokens" | "prompt_tokens" => return self.input = Some(n),
            "output" | "output_tokens" | "completion_tokens" => return self.output = Some(n),
            "total" | "total_tokens" => return self.total = Some(n),
            _ => {}
        }
        let is_write = has("cache_creation") || has("cache_write") || has("ephemeral");
        let is_cache = is_write || has("cache");
        if has("output") || has("completion") || has("reasoning") || has("thought") {
            self.beside_output = self.beside_output.saturating_add(n);
            match () {
                () if has("reasoning") || has("thought") => plus(&mut self.reasoning),
                () if has("audio") => plus(&mut self.audio_output),
                () => {}
            }
        } else if is_cache || name.starts_with("input") || name.starts_with("prompt") {
            self.beside_input = self.beside_input.saturating_add(n);
            match () {
                () if is_write => {
                    plus(&mut self.cache_write);
                    if has("1h") {
                        plus(&mut self.cache_write_1h);
                    }
                }
                () if is_cache => plus(&mut self.cached),
                () if has("audio") => plus(&mut self.audio_input),
                () => {}
            }
        }
    }

    fn fill(self, usage: &mut Usage<'_>) {
        let (input, output) = (self.input.unwrap_or(0), self.output.unwrap_or(0));
        let plain = input.saturating_add(output);
        let (mut add_input, mut add_output) = (self.beside_input, self.beside_output);
        // Parts that the total does not count are within.
        if let Some(total) = self.total
            && total != plain.saturating_add(add_input).saturating_add(add_output)
        {
            (add_input, add_output) = match total.checked_sub(plain) {
                Some(0) => (0, 0),
                Some(rest) if rest == add_input => (add_input, 0),
                Some(rest) if rest == add_output => (0, add_output),
                _ => (add_input, add_output),
            };
        }
        let whole =
            |part: Option<u64>, add: u64| part.map(|n| n.saturating_add(add)).or(Some(add).filter(|add| *add > 0));
        usage.input = whole(self.input, add_input);
        usage.output = whole(self.output, add_output);
        // A total alone, as some models state it, is input.
        if usage.input.is_none() && usage.output.is_none() {
            usage.input = self.total;
        }
        usage.total = self.total.filter(|_| usage.has_tokens() && self.output.is_some());
        usage.cached = self.cached;
        usage.cache_write = self.cache_write;
        usage.cache_write_1h = self.cache_write_1h;
        usage.reasoning = self.reasoning;
        usage.audio_input = self.audio_input;
        usage.audio_output = self.audio_output;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(types: &[(&str, u64)]) -> Usage<'static> {
        let (mut parts, mut usage) = (Parts::default(), Usage::default());
        types.iter().for_each(|(name, n)| parts.add(name, *n));
        parts.fill(&mut usage);
        usage
    }

    #[test]
    fn usage_types_stand_beside_each_other() {
        let usage = filled(&[
            ("input", 2),
            ("input_cached_tokens", 47_105),
            ("input_cache_creation", 0),
            ("input_cache_creation_1h", 1076),
            ("output", 214),
            ("output_reasoning_tokens", 500),
        ]);
        assert_eq!((usage.input, usage.output), (Some(48_183), Some(714)));
        assert_eq!((usage.cached, usage.cache_write, usage.cache_write_1h), (Some(47_105), Some(1076), Some(1076)));
        assert_eq!(usage.reasoning, Some(500));
    }

    #[test]
    fn parts_that_the_total_does_not_count_are_within() {
        let usage = filled(&[("input", 100), ("cache_read_input_tokens", 60), ("output", 10), ("total", 110)]);
        assert_eq!((usage.input, usage.output, usage.cached), (Some(100), Some(10), Some(60)));
        let usage = filled(&[
            ("input", 100),
            ("input_cached_tokens", 60),
            ("output", 10),
            ("reasoning_tokens", 4),
            ("total", 170),
        ]);
        assert_eq!((usage.input, usage.output), (Some(160), Some(10)));
    }
}
