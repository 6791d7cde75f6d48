//! Runs of LangSmith, as its SDK, API and bulk export write them, as JSON, JSON Lines or CSV.
//!
//! Source: LangSmith's run data format and the schemas of its SDK (`langsmith.schemas.Run`): only runs of the type
//! `llm` are requests, all others sum up the runs below them; `prompt_tokens` counts all input tokens, with parts in
//! `prompt_token_details`; `usage_metadata` has the same under other names.

use serde_json::Value;

use super::{Reader, Source, attributes::tier, evidence::CacheEvidence};
use crate::analyst::{
    dataset::Kind,
    ingest::{record::Record, sink::Sink, usage::Usage, values::Unit},
};

/// The source.
pub(super) static RUNS: LangSmith = LangSmith;

/// Where runs hold the usage that a model stated.
const METADATA: &[&str] = &[
    "outputs.usage_metadata",
    "extra.metadata.usage_metadata",
    "outputs.message.kwargs.usage_metadata",
    "usage_metadata",
];

/// Deepest nesting of runs.
const MAX_DEPTH: usize = 32;

/// Runs.
pub(super) struct LangSmith;

impl Source for LangSmith {
    fn name(&self) -> &'static str {
        "LangSmith runs"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        record.has_all(&["run_type", "start_time"])
            && ["dotted_order", "trace_id", "parent_run_id", "session_id", "first_token_time", "total_tokens"]
                .iter()
                .any(|name| record.has(name))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(RunReader::default())
    }
}

#[derive(Default)]
struct RunReader {
    cache: CacheEvidence,
}

impl Reader for RunReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        self.read_runs(record, 0, sink)
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        self.cache.finish(sink);
    }
}

impl RunReader {
    /// Reads a run and those below it, which some exports nest.
    fn read_runs(&mut self, record: Record<'_>, depth: usize, sink: &mut Sink<'_>) -> Result<(), String> {
        if let Some(Value::Array(children)) = record.json("child_runs")
            && depth < MAX_DEPTH
        {
            for child in children {
                self.read_runs(Record::Object(child), depth + 1, sink).unwrap_or_else(|reason| sink.reject(reason));
            }
        }
        self.read_run(record, sink)
    }

    fn read_run(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        let id = record.first_text(&["id", "run_id"]);
        let parent = record.text("parent_run_id");
        let kind = match record.text("run_type").as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("llm") => Kind::Chat,
            Some("embedding") => Kind::Embedding,
            _ => {
                if let Some(id) = &id {
                    sink.span(id, parent.as_deref());
                }
                sink.skip("runs that are no requests (chains, tools)");
                return Ok(());
            }
        };
        let mut usage = Usage { kind, ..tokens(record)? };
        usage.start_ms = sink.optional("time", record.time("start_time", None));
        usage.end_ms = sink.optional("end time", record.time("end_time", None));
        usage.first_token = first_token(record, usage.start_ms, sink);
        if usage.end_ms.is_none() {
            let seconds = sink.optional("latency", record.number("latency_seconds"));
            usage.latency = seconds.map(|seconds| (seconds, Some(Unit::Seconds)));
        }
        usage.cost = sink.optional("cost", record.money("total_cost"));
        usage.model = record.first_text(&[
            "extra.metadata.ls_model_name",
            "metadata.ls_model_name",
            "extra.invocation_params.model",
            "extra.invocation_params.model_name",
            "model",
            "model_name",
        ]);
        usage.failed = Some(record.is("status", "error") || record.text("error").is_some());
        usage.tier = record.text("extra.invocation_params.service_tier").map(|name| tier(&name)).unwrap_or_default();
        add_groups(record, &mut usage);
        let provider = record.first_text(&["extra.metadata.ls_provider", "metadata.ls_provider"]).unwrap_or_default();
        usage.span = id.clone().map(|id| (id, parent));
        usage.request_id = id;
        self.cache.push(&provider, usage, sink);
        Ok(())
    }
}

/// The tokens of a run: its own fields, or what the model stated.
fn tokens<'a>(record: Record<'a>) -> Result<Usage<'a>, String> {
    let own = Usage {
        input: record.count("prompt_tokens")?,
        output: record.count("completion_tokens")?,
        total: record.count("total_tokens")?,
        cached: record.first_count(&["prompt_token_details.cache_read", "prompt_token_details.cached_tokens"])?,
        cache_write: record
            .first_count(&["prompt_token_details.cache_creation", "prompt_token_details.cache_write"])?,
        reasoning: record.count("completion_token_details.reasoning")?,
        audio_input: record.count("prompt_token_details.audio")?,
        audio_output: record.count("completion_token_details.audio")?,
        ..Usage::default()
    };
    let stated = METADATA.iter().find_map(|path| record.json(path)).filter(|value| value.is_object());
    let Some(stated) = stated.map(Record::Object) else { return Ok(own) };
    let or = |known: Option<u64>, path: &str| known.map_or_else(|| stated.count(path), |n| Ok(Some(n)));
    // Runs without usage have zeros in their own fields.
    let nothing = own.input.unwrap_or(0) == 0 && own.output.unwrap_or(0) == 0;
    let own = if nothing { Usage::default() } else { own };
    Ok(Usage {
        input: or(own.input, "input_tokens")?,
        output: or(own.output, "output_tokens")?,
        total: or(own.total, "total_tokens")?,
        cached: or(own.cached, "input_token_details.cache_read")?,
        cache_write: or(own.cache_write, "input_token_details.cache_creation")?,
        cache_write_1h: stated.count("input_token_details.ephemeral_1h_input_tokens")?,
        reasoning: or(own.reasoning, "output_token_details.reasoning")?,
        audio_input: or(own.audio_input, "input_token_details.audio")?,
        audio_output: or(own.audio_output, "output_token_details.audio")?,
        ..own
    })
}

fn first_token(record: Record<'_>, start_ms: Option<i64>, sink: &mut Sink<'_>) -> Option<(f64, Option<Unit>)> {
    let first = sink.optional("time to first token", record.time("first_token_time", None))?;
    let start = start_ms.filter(|start| *start <= first)?;
    Some(((first - start) as f64, Some(Unit::Millis)))
}

fn add_groups<'a>(record: Record<'a>, usage: &mut Usage<'a>) {
    for (name, paths) in [
        ("project", &["session_name", "project_name", "session_id", "project_id"][..]),
        ("provider", &["extra.metadata.ls_provider", "metadata.ls_provider"]),
        ("user", &["extra.metadata.user_id", "extra.metadata.user", "metadata.user_id"]),
        (
            "session",
            &["thread_id", "extra.metadata.thread_id", "extra.metadata.session_id", "extra.metadata.conversation_id"],
        ),
        ("name", &["name"]),
        ("environment", &["extra.metadata.environment", "extra.metadata.env"]),
        ("agent", &["extra.metadata.langgraph_node"]),
        ("tag", &["tags"]),
    ] {
        usage.group(name, record.first_text(paths));
    }
}
