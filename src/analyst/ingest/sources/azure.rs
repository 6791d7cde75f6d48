//! Logs of Azure: requests to Azure OpenAI (diagnostic category `RequestResponse`), the gateway for models of API
//! Management (`ApiManagementGatewayLlmLog`), and the traces that Azure published for research.
//!
//! Columns as in Azure Monitor's table reference; fields of events (`promptCachedTokens` is only there) as read by
//! published processors of them. The diagnostic logs have times, latencies and models, but no tokens. API Management
//! splits long messages over rows of one `CorrelationId`; the row with `SequenceNumber` 0 has the tokens. The portal
//! names a column of times `TimeGenerated [UTC]`.

use serde_json::Value;

use super::Stateless;
use crate::analyst::{
    dataset::Kind,
    ingest::{record::Record, sink::Sink, usage::Usage, values::Unit},
};

/// The gateway of API Management.
pub(super) static GATEWAY: Stateless =
    Stateless { name: "Azure API Management logs", recognises: is_gateway, read: read_gateway };

/// Requests to Azure OpenAI.
pub(super) static REQUESTS: Stateless =
    Stateless { name: "Azure OpenAI diagnostic logs", recognises: is_request, read: read_request };

/// The traces of 2023 and 2024.
pub(super) static TRACES: Stateless =
    Stateless { name: "Azure LLM inference trace", recognises: is_trace, read: read_trace };

/// Names of the time.
const TIMES: &[&str] = &["TimeGenerated", "TimeGenerated [UTC]", "time", "timeGenerated", "timestamp"];

fn is_gateway(record: Record<'_>) -> bool {
    record.has_all(&["CorrelationId", "SequenceNumber", "PromptTokens", "CompletionTokens"])
        || (record.is("category", "GatewayLlmLogs") && record.inside("properties").is_some())
}

fn read_gateway(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    // In a storage account, columns are fields of `properties`, in camel case.
    let text =
        |name: &str| record.first_text(&[name, &format!("properties.{name}"), &format!("properties.{}", camel(name))]);
    let count =
        |name: &str| record.first_count(&[name, &format!("properties.{name}"), &format!("properties.{}", camel(name))]);
    let mut usage = Usage {
        start_ms: sink.optional("time", record.first_time(TIMES)),
        model: text("ModelName").or_else(|| text("DeploymentName")),
        input: count("PromptTokens")?,
        output: count("CompletionTokens")?,
        total: count("TotalTokens")?,
        cached: count("PromptCachedTokens")?,
        request_id: text("CorrelationId").or_else(|| record.text("correlationId")),
        ..Usage::default()
    };
    let has_tokens = usage.input.unwrap_or(0) > 0 || usage.output.unwrap_or(0) > 0;
    if !has_tokens && count("SequenceNumber")?.unwrap_or(0) > 0 {
        sink.skip("rows with parts of long messages");
        return Ok(());
    }
    // Of Claude models, prompt tokens exclude cached ones, as in their API.
    if usage.model.as_deref().is_some_and(|model| model.contains("claude")) {
        usage.add_cache_to_input();
        usage.total = None;
        sink.unknown(CLAUDE_CACHE);
    }
    usage.group("deployment", text("DeploymentName"));
    usage.group("region", text("Region").or_else(|| record.text("location")));
    usage.group("type", text("OperationName").or_else(|| record.text("operationName")));
    sink.push(usage);
    Ok(())
}

/// What the gateway does not log.
const CLAUDE_CACHE: &str = "The gateway of API Management does not log the tokens that Claude models write to a cache, \
     and in its table none that they read from it: input tokens and costs are too low by them.";

/// `PromptTokens` as `promptTokens`.
fn camel(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

/// Fields of a request: in a storage account, and in the table `AzureDiagnostics`.
const CATEGORY: &[&str] = &["category", "Category"];
const PROPERTIES: &[&str] = &["properties", "properties_s"];
const DURATION: &[&str] = &["durationMs", "DurationMs"];

fn is_request(record: Record<'_>) -> bool {
    record.first_text(CATEGORY).is_some_and(|category| category == "RequestResponse")
        && DURATION.iter().any(|name| record.has(name))
        && PROPERTIES.iter().any(|name| record.has(name))
}

fn read_request(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let text = record.first_text(PROPERTIES);
    let parsed: Option<Value> = text.and_then(|text| serde_json::from_str(&text).ok());
    let inner = PROPERTIES.iter().find_map(|path| record.inside(path));
    let Some(properties) =
        inner.or(parsed.as_ref().map(Record::Object)).filter(|properties| properties.has("modelName"))
    else {
        sink.skip("requests to no model (lists of deployments, files)");
        return Ok(());
    };
    let operation = record.first_text(&["operationName", "OperationName"]);
    let mut latency = None;
    for name in DURATION {
        latency = latency.or(sink.optional("latency", record.number(name)));
    }
    let status = record.first_text(&["resultSignature", "ResultSignature"]);
    let mut usage = Usage {
        start_ms: sink.optional("time", record.first_time(TIMES)),
        model: properties.first_text(&["modelName", "modelDeploymentName"]),
        latency: latency.map(|ms| (ms, Some(Unit::Millis))),
        kind: match operation.as_deref() {
            Some(name) if name.to_ascii_lowercase().contains("embedding") => Kind::Embedding,
            Some(name) if name.to_ascii_lowercase().contains("image") => Kind::Image,
            _ => Kind::Chat,
        },
        failed: status.as_deref().and_then(crate::analyst::ingest::values::is_failure),
        ..Usage::default()
    };
    usage.group("deployment", properties.text("modelDeploymentName"));
    usage.group("streaming", properties.text("streamType"));
    usage.group("type", operation);
    usage.group("status", status);
    usage.group("region", record.first_text(&["location", "Location"]));
    sink.push(usage);
    Ok(())
}

fn is_trace(record: Record<'_>) -> bool {
    record.has_all(&["TIMESTAMP", "ContextTokens", "GeneratedTokens"])
}

fn read_trace(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let usage = Usage {
        start_ms: sink.optional("time", record.time("TIMESTAMP", None)),
        input: record.count("ContextTokens")?,
        output: record.count("GeneratedTokens")?,
        ..Usage::default()
    };
    if !usage.has_tokens() {
        return Err("token counts are missing".into());
    }
    sink.push(usage);
    Ok(())
}
