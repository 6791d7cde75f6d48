//! Model invocation logs of Amazon Bedrock, from S3 or CloudWatch (also as the column `@message` of Logs Insights).
//!
//! Schema `ModelInvocationLog` 1.0 of the Bedrock user guide. `inputTokenCount` excludes tokens read from and written
//! to a cache. Where a count is missing, that of the answer's body is taken: the usage of Converse and Nova
//! (`inputTokens`), of Anthropic's models (`input_tokens`), of Llama, Titan, and the last event of a stream
//! (`amazon-bedrock-invocationMetrics`). Batch jobs and the Converse API have these bodies without a log around them.

use std::borrow::Cow;

use super::{
    Stateless,
    shared::{TIMES, group_by, group_by_tags, is_embedding_model, note_without_tokens},
};
use crate::analyst::{
    dataset::{Kind, Tier},
    ingest::{record::Record, sink::Sink, usage::Usage, values::Unit},
};

/// The logs.
pub(super) static INVOCATIONS: Stateless = Stateless { name: "Bedrock invocation logs", recognises, read };

/// The output of a batch job, a record for each input.
pub(super) static BATCH: Stateless =
    Stateless { name: "Bedrock batch output", recognises: is_batch_line, read: read_batch_line };

/// Answers of the Converse API as objects.
pub(super) static CONVERSE: Stateless =
    Stateless { name: "Bedrock Converse answers", recognises: is_converse, read: read_converse };

/// Where the log may stand in a record.
const LOGS: &[&str] = &["", "@message", "message"];

/// The names of the counts in answers, after the name in the log itself.
const INPUT: &[&str] =
    &["inputTokenCount", "usage.inputTokens", "usage.input_tokens", "prompt_token_count", "inputTextTokenCount"];
const OUTPUT: &[&str] = &["outputTokenCount", "usage.outputTokens", "usage.output_tokens", "generation_token_count"];
const READ: &[&str] = &[
    "cacheReadInputTokenCount",
    "usage.cacheReadInputTokens",
    "usage.cacheReadInputTokenCount",
    "usage.cache_read_input_tokens",
];
const WRITTEN: &[&str] = &[
    "cacheWriteInputTokenCount",
    "usage.cacheWriteInputTokens",
    "usage.cacheWriteInputTokenCount",
    "usage.cache_creation_input_tokens",
];

fn recognises(record: Record<'_>) -> bool {
    log(record).is_some()
}

fn log(record: Record<'_>) -> Option<Record<'_>> {
    LOGS.iter().filter_map(|path| record.inside(path)).find(|log| {
        log.is("schemaType", "ModelInvocationLog")
            || (log.has_all(&["modelId", "requestId", "operation"])
                && (log.has("input.inputContentType") || log.has("input.inputTokenCount")))
    })
}

fn read(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let log = log(record).unwrap_or(record);
    let answers = answers(log);
    let model = model(log, &answers);
    let mut usage = Usage {
        start_ms: sink.optional("time", log.first_time(&["timestamp", "@timestamp"])),
        failed: Some(log.text("errorCode").is_some()),
        request_id: log.text("requestId"),
        ..usage_of(log, &answers, model, sink)?
    };
    if !usage.has_tokens() && usage.failed != Some(true) && usage.kind == Kind::Chat {
        sink.unknown("Some invocations have no token counts: they count as requests without tokens.");
    }
    note_without_tokens(&usage, sink);
    usage.group("user", log.text("identity.arn").map(caller));
    group_by(
        &mut usage,
        log,
        &[
            ("type", "operation"),
            ("region", "region"),
            ("inference region", "inferenceRegion"),
            ("organization", "accountId"),
            ("error", "errorCode"),
            ("status", "status"),
        ],
    );
    group_by_tags(&mut usage, log.json("requestMetadata"));
    sink.push(usage);
    Ok(())
}

/// The counts of a log and the answer in it.
fn usage_of<'a>(
    log: Record<'a>,
    answers: &[Record<'a>],
    model: Option<Cow<'a, str>>,
    sink: &mut Sink<'_>,
) -> Result<Usage<'a>, String> {
    let mut usage = Usage {
        kind: kind(model.as_deref().unwrap_or_default()),
        model,
        input: count(log, "input", INPUT, answers)?,
        output: count(log, "output", OUTPUT, answers)?,
        cached: count(log, "input", READ, answers)?,
        cache_write: count(log, "input", WRITTEN, answers)?,
        cache_write_1h: written_for_an_hour(answers)?,
        latency: milliseconds(answers, &["metrics.latencyMs", "invocationLatency"], sink),
        first_token: milliseconds(answers, &["firstByteLatency"], sink),
        ..Usage::default()
    };
    if usage.kind == Kind::Embedding && usage.input.is_some() {
        usage.output = Some(usage.output.unwrap_or(0));
    }
    usage.add_cache_to_input();
    Ok(usage)
}

fn is_batch_line(record: Record<'_>) -> bool {
    record.has_all(&["recordId", "modelInput"]) && (record.has("modelOutput") || record.has("error"))
}

fn read_batch_line(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let answers: Vec<Record<'_>> = record.inside("modelOutput").into_iter().collect();
    let usage = usage_of(record, &answers, record.text("modelOutput.model"), sink)?;
    if !usage.has_tokens() && !answers.is_empty() {
        return Err("usage is missing".into());
    }
    sink.push(Usage { tier: Tier::Batch, failed: Some(answers.is_empty()), ..usage });
    Ok(())
}

fn is_converse(record: Record<'_>) -> bool {
    converse(record).is_some()
}

fn converse(record: Record<'_>) -> Option<Record<'_>> {
    let has_fields = |body: &Record<'_>| body.has_all(&["stopReason", "usage.inputTokens", "usage.outputTokens"]);
    ["", "response", "body"].iter().filter_map(|path| record.inside(path)).find(has_fields)
}

fn read_converse(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let body = converse(record).unwrap_or(record);
    let model = record.first_text(&["modelId", "request.modelId", "model", "request.model"]);
    let mut usage = usage_of(record, &[body], model.map(short_name), sink)?;
    usage.start_ms = sink.optional("time", record.first_time(TIMES));
    usage.request_id = body.text("ResponseMetadata.RequestId");
    sink.push(usage);
    Ok(())
}

/// The body of the answer, or the events of a streamed one, each with its metrics.
fn answers(log: Record<'_>) -> Vec<Record<'_>> {
    const BODY: &str = "output.outputBodyJson";
    let parts: Vec<Record<'_>> = log.inside(BODY).into_iter().chain(log.items(BODY)).collect();
    let inner = parts.iter().flat_map(|part| {
        ["amazon-bedrock-invocationMetrics", "metadata", "message"].iter().filter_map(|path| part.inside(path))
    });
    // Later events count: the usage of `message_start` is not final.
    inner.chain(parts.iter().copied()).collect::<Vec<_>>().into_iter().rev().collect()
}

/// A count of the log, else of the answer; `names` begin with that of the log.
fn count(log: Record<'_>, part: &str, names: &[&str], answers: &[Record<'_>]) -> Result<Option<u64>, String> {
    let Some(name) = names.first() else { return Ok(None) };
    match log.count(&format!("{part}.{name}"))? {
        Some(n) => Ok(Some(n)),
        None => first(answers, names),
    }
}

fn first(answers: &[Record<'_>], names: &[&str]) -> Result<Option<u64>, String> {
    for answer in answers {
        if let Some(n) = answer.first_count(names)? {
            return Ok(Some(n));
        }
    }
    Ok(None)
}

/// Tokens written to a cache for an hour: of Anthropic's models, and of Converse.
fn written_for_an_hour(answers: &[Record<'_>]) -> Result<Option<u64>, String> {
    if let Some(n) = first(answers, &["usage.cache_creation.ephemeral_1h_input_tokens"])? {
        return Ok(Some(n));
    }
    let mut details = answers.iter().flat_map(|answer| answer.items("usage.cacheDetails"));
    details.find(|detail| detail.is("ttl", "1h")).map_or(Ok(None), |detail| detail.count("inputTokens"))
}

fn milliseconds(answers: &[Record<'_>], names: &[&str], sink: &mut Sink<'_>) -> Option<(f64, Option<Unit>)> {
    let mut fields = answers.iter().flat_map(|answer| names.iter().map(|name| answer.number(name)));
    let found = fields.find(|number| !matches!(number, Ok(None)))?;
    sink.optional("latency", found).map(|ms| (ms, Some(Unit::Millis)))
}

/// The model: the last part of an ARN; the body's name where the ARN is of a profile or capacity of one's own.
fn model<'a>(log: Record<'a>, answers: &[Record<'a>]) -> Option<Cow<'a, str>> {
    let id = log.text("modelId")?;
    let is_named = !["application-inference-profile", "provisioned-model", "custom-model", "imported-model"]
        .iter()
        .any(|own| id.contains(own));
    if is_named {
        return Some(short_name(id));
    }
    answers.iter().find_map(|answer| answer.text("model")).or(Some(short_name(id)))
}

/// The last part of an ARN.
fn short_name(id: Cow<'_, str>) -> Cow<'_, str> {
    match id.rsplit_once('/') {
        Some((_, name)) if id.starts_with("arn:") => Cow::Owned(name.to_owned()),
        _ => id,
    }
}

/// `role/session` or `user/name` of an ARN.
fn caller(arn: Cow<'_, str>) -> Cow<'_, str> {
    match arn.rsplit_once(':') {
        Some((_, name)) => Cow::Owned(name.trim_start_matches("assumed-role/").to_owned()),
        None => arn,
    }
}

fn kind(model: &str) -> Kind {
    let model = model.to_ascii_lowercase();
    let is = |words: &[&str]| words.iter().any(|word| model.contains(word));
    match () {
        () if is_embedding_model(&model) => Kind::Embedding,
        () if is(&["image", "canvas", "stable-", "stability"]) => Kind::Image,
        () if is(&["rerank", "reel"]) => Kind::Other,
        () if is(&["sonic"]) => Kind::Audio,
        () => Kind::Chat,
    }
}
