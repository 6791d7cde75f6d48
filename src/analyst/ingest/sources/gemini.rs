//! Google's Gemini API and Vertex AI: responses, results of batches, and the table of Vertex AI's request-response
//! logging.
//!
//! Source: `GenerateContentResponse.UsageMetadata` of the Gemini API and of Vertex AI, Vertex AI's batch prediction
//! output (`request`, `response`, `status`), and the BigQuery table of its request-response logging (`full_request`,
//! `full_response`, `logging_time`).
//! - `promptTokenCount` includes cached tokens; those of the results of tools stand beside it
//!   (`toolUsePromptTokenCount`).
//! - `thoughtsTokenCount` stands beside `candidatesTokenCount`: the total shows it. Where it does not (Live API and
//!   others that call the output `responseTokenCount`), the total decides.

use serde_json::Value;

use super::Stateless;
use crate::analyst::{
    dataset::Tier,
    ingest::{record::Record, sink::Sink, usage::Usage},
};

/// Responses, also within other objects.
pub(super) static RESPONSES: Stateless =
    Stateless { name: "Gemini responses", recognises: is_response, read: read_response };

/// Rows of Vertex AI's request-response logging.
pub(super) static LOGGING: Stateless =
    Stateless { name: "Vertex AI request-response logging", recognises: is_logging, read: read_logging };

/// Where a response may stand.
const PLACES: [&str; 6] = ["", "response.", "full_response.", "responsePayload.", "response_payload.", "body."];

/// The place of the usage in a record, in camel or snake case.
fn usage_path(record: Record<'_>) -> Option<(&'static str, String)> {
    PLACES.iter().find_map(|place| {
        ["usageMetadata", "usage_metadata"].iter().find_map(|name| {
            let path = format!("{place}{name}");
            record.json(&path).is_some_and(Value::is_object).then_some((*place, path))
        })
    })
}

fn is_response(record: Record<'_>) -> bool {
    let is_batch_result =
        record.has_all(&["request.contents", "status"]) || record.has_all(&["request.contents", "response"]);
    is_batch_result
        || usage_path(record).is_some_and(|(_, path)| {
            [
                "promptTokenCount",
                "prompt_token_count",
                "candidatesTokenCount",
                "candidates_token_count",
                "totalTokenCount",
                "total_token_count",
            ]
            .iter()
            .any(|name| record.has(&format!("{path}.{name}")))
        })
}

fn read_response(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let Some((place, path)) = usage_path(record) else {
        // The error of a request in a batch.
        sink.push(Usage { model: model(record, ""), failed: Some(true), ..Usage::default() });
        return Ok(());
    };
    let usage = read_usage(record, place, &path, sink)?;
    sink.push(usage);
    Ok(())
}

/// The usage at `path`, of the response at `place`.
fn read_usage<'a>(record: Record<'a>, place: &str, path: &str, sink: &mut Sink<'_>) -> Result<Usage<'a>, String> {
    let count = |names: [&str; 2]| {
        record.first_count(&names.map(|name| format!("{path}.{name}")).each_ref().map(String::as_str))
    };
    let text = |names: &[&str]| names.iter().find_map(|name| record.text(&format!("{place}{name}")));
    let prompt = count(["promptTokenCount", "prompt_token_count"])?;
    let tools = count(["toolUsePromptTokenCount", "tool_use_prompt_token_count"])?;
    let candidates = match count(["candidatesTokenCount", "candidates_token_count"])? {
        None => count(["responseTokenCount", "response_token_count"])?,
        candidates => candidates,
    };
    let is_batch = record.has("request") && record.has_all(&["response", "status"]) || record.has("processed_time");
    let mut usage = Usage {
        model: model(record, place),
        total: count(["totalTokenCount", "total_token_count"])?,
        cached: count(["cachedContentTokenCount", "cached_content_token_count"])?,
        reasoning: count(["thoughtsTokenCount", "thoughts_token_count"])?,
        audio_input: audio(record, path, ["promptTokensDetails", "prompt_tokens_details"]),
        audio_output: audio(record, path, ["candidatesTokensDetails", "candidates_tokens_details"]),
        request_id: text(&["responseId", "response_id"]),
        tier: tier(record, path, is_batch),
        failed: record.text("status").map(|status| !status.is_empty()).filter(|_| is_batch),
        ..Usage::default()
    };
    let spare = |used: u64| usage.total.is_none_or(|total| total >= used);
    // The total leaves room for tools and thoughts unless they are within prompt and candidates.
    let (input, output) = (prompt.unwrap_or(0), candidates.unwrap_or(0));
    let with_tools = input.saturating_add(tools.unwrap_or(0));
    let reasoning = usage.reasoning.unwrap_or(0);
    let tools_beside = spare(with_tools.saturating_add(output));
    let input = if tools_beside { with_tools } else { input };
    let thoughts_beside = spare(input.saturating_add(output).saturating_add(reasoning));
    usage.input = prompt.or(tools).map(|_| input);
    // A response that was cut off within its thoughts has no candidates.
    let output = if thoughts_beside { output.saturating_add(reasoning) } else { output };
    usage.output = candidates.or(usage.reasoning).or(usage.total.filter(|total| *total == input)).map(|_| output);
    usage.start_ms = sink.optional("time", first_time(record, place));
    for (name, path) in [("region", "location"), ("key", "key"), ("status", "status")] {
        usage.group(name, record.text(path));
    }
    Ok(usage)
}

fn first_time(record: Record<'_>, place: &str) -> Result<Option<i64>, String> {
    for name in ["createTime", "create_time", "timestamp", "time", "processed_time"] {
        for place in [place, ""] {
            if let Some(time) = record.time(&format!("{place}{name}"), None)? {
                return Ok(Some(time));
            }
        }
    }
    Ok(None)
}

fn model<'a>(record: Record<'a>, place: &str) -> Option<std::borrow::Cow<'a, str>> {
    let within = ["modelVersion", "model_version"].iter().find_map(|name| record.text(&format!("{place}{name}")));
    within.or_else(|| {
        record.first_text(&["modelVersion", "model_version", "model", "request.model", "deployed_model_id"])
    })
}

/// The tokens of sound among the details of a count.
fn audio(record: Record<'_>, path: &str, names: [&str; 2]) -> Option<u64> {
    let details = names.iter().find_map(|name| record.json(&format!("{path}.{name}"))?.as_array())?;
    let is_audio = |detail: &&Value| {
        detail.get("modality").and_then(Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case("AUDIO"))
    };
    let tokens = |detail: &Value| {
        ["tokenCount", "token_count"].iter().find_map(|name| detail.get(name)).and_then(Value::as_u64).unwrap_or(0)
    };
    let sum = details.iter().filter(is_audio).map(tokens).fold(0, u64::saturating_add);
    (sum > 0).then_some(sum)
}

fn tier(record: Record<'_>, path: &str, is_batch: bool) -> Tier {
    let traffic = ["trafficType", "traffic_type"].iter().find_map(|name| record.text(&format!("{path}.{name}")));
    match traffic.as_deref() {
        _ if is_batch => Tier::Batch,
        Some("ON_DEMAND_FLEX") => Tier::Flex,
        Some("ON_DEMAND_PRIORITY") => Tier::Priority,
        _ => Tier::Standard,
    }
}

fn is_logging(record: Record<'_>) -> bool {
    record.has_all(&["logging_time", "request_id"]) && (record.has("full_response") || record.has("response_payload"))
}

fn read_logging(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let Some(response) = response(record) else {
        sink.skip("rows without a response");
        return Ok(());
    };
    let inner = Record::Object(&response);
    let found = ["usageMetadata", "usage_metadata"].into_iter().find(|name| inner.has(name));
    let mut usage = match found {
        Some(name) => read_usage(inner, "", name, sink)?,
        // Models of other companies on Vertex AI, such as Anthropic's.
        None if inner.has("usage.input_tokens") => {
            let mut usage = Usage {
                input: inner.count("usage.input_tokens")?,
                output: inner.count("usage.output_tokens")?,
                cached: inner.count("usage.cache_read_input_tokens")?,
                cache_write: inner.count("usage.cache_creation_input_tokens")?,
                ..Usage::default()
            };
            usage.add_cache_to_input();
            usage
        }
        None => Usage { failed: inner.has("error").then_some(true), ..Usage::default() },
    };
    usage.model =
        usage.model.or_else(|| inner.text("model")).or_else(|| record.first_text(&["model", "deployed_model_id"]));
    usage.start_ms = sink.optional("time", record.time("logging_time", None)).or(usage.start_ms);
    usage.request_id = record.text("request_id").filter(|id| id != "0").or(usage.request_id);
    usage.latency = sink.optional("latency", record.number("metadata.request_latency")).map(|time| (time, None));
    usage.group("endpoint", record.text("endpoint"));
    usage.group("type", record.text("api_method"));
    sink.push(usage);
    Ok(())
}

/// The response of a row: an object, JSON in a text, or the parts of a stream, of which the last one with usage counts.
fn response(record: Record<'_>) -> Option<Value> {
    ["full_response", "response_payload"].iter().find_map(|name| {
        let value = record.json(name).cloned().unwrap_or(Value::Null);
        let value = match record.text(name) {
            Some(text) => serde_json::from_str(&text).ok()?,
            None => value,
        };
        whole(value)
    })
}

fn whole(value: Value) -> Option<Value> {
    match value {
        Value::Object(_) => Some(value),
        Value::String(text) => whole(serde_json::from_str(&text).ok()?),
        Value::Array(parts) => {
            let mut parts: Vec<Value> = parts.into_iter().filter_map(whole).collect();
            let last =
                parts.iter().rposition(|part| ["usageMetadata", "usage"].iter().any(|name| part.get(name).is_some()));
            last.map(|at| parts.swap_remove(at)).or_else(|| parts.pop())
        }
        _ => None,
    }
}
