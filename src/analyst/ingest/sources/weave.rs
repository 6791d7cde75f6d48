//! Calls of W&B Weave, as its API and export write them, as JSON or JSON Lines.
//!
//! Source: Weave's source (`trace_server_interface.py`: `CallSchema`, `LLMUsageSchema`) and its reference of calls:
//! `summary.usage` has the usage of each model, of the call and of all calls below it; `summary.weave.costs` its costs.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Reader, Source, evidence::CacheEvidence};
use crate::analyst::ingest::{record::Record, sink::Sink, usage::Usage, values::Money};

/// The source.
pub(super) static CALLS: Weave = Weave;

/// Calls.
pub(super) struct Weave;

impl Source for Weave {
    fn name(&self) -> &'static str {
        "W&B Weave calls"
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        record.has_all(&["op_name", "trace_id", "started_at"])
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(CallReader::default())
    }
}

#[derive(Default)]
struct CallReader {
    cache: CacheEvidence,
    /// The calls above calls with usage.
    parents: HashSet<String>,
    /// Calls with several models, which are sums, reduced to what is needed of them.
    sums: Vec<Value>,
}

impl Reader for CallReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        let id = record.text("id").ok_or("the call has no id")?;
        let parent = record.text("parent_id");
        let models = record.json("summary.usage").and_then(Value::as_object).filter(|models| !models.is_empty());
        let Some(models) = models else {
            sink.span(&id, parent.as_deref());
            sink.skip("calls without usage");
            return Ok(());
        };
        self.parents.extend(parent.as_deref().map(str::to_owned));
        let [(model, counts)] = models.iter().collect::<Vec<_>>()[..] else {
            sink.span(&id, parent.as_deref());
            self.sums.push(reduced(record));
            return Ok(());
        };
        let usage =
            Usage { span: Some((id.clone(), parent)), request_id: Some(id), ..usage(record, model, counts, sink)? };
        self.cache.push(model, usage, sink);
        Ok(())
    }

    fn finish(&mut self, sink: &mut Sink<'_>) {
        for call in std::mem::take(&mut self.sums) {
            let record = Record::Object(&call);
            let id = record.text("id").unwrap_or_default();
            if self.parents.contains(id.as_ref()) {
                sink.skip("calls that sum up the calls below them");
                continue;
            }
            for (model, counts) in record.json("summary.usage").and_then(Value::as_object).into_iter().flatten() {
                match usage(record, model, counts, sink) {
                    Ok(usage) => {
                        let request_id = Some(format!("{id} {model}").into());
                        self.cache.push(model, Usage { request_id, ..usage }, sink);
                    }
                    Err(reason) => sink.reject(reason),
                }
            }
        }
        self.cache.finish(sink);
    }
}

/// A call without its inputs and outputs.
fn reduced(record: Record<'_>) -> Value {
    const KEPT: &[&str] = &["id", "started_at", "ended_at", "op_name", "wb_user_id", "exception", "summary"];
    let kept = KEPT.iter().filter_map(|name| Some(((*name).to_owned(), record.json(name)?.clone())));
    Value::Object(Map::from_iter(kept))
}

/// The usage of one model in a call.
fn usage<'a>(call: Record<'a>, model: &'a str, counts: &'a Value, sink: &mut Sink<'_>) -> Result<Usage<'a>, String> {
    let counts = Record::Object(counts);
    let mut usage = Usage {
        start_ms: sink.optional("time", call.time("started_at", None)),
        end_ms: sink.optional("end time", call.time("ended_at", None)),
        model: Some(model.into()),
        input: counts.first_count(&["prompt_tokens", "input_tokens"])?,
        output: counts.first_count(&["completion_tokens", "output_tokens"])?,
        total: counts.count("total_tokens")?.filter(|total| *total > 0),
        cached: counts.first_count(&[
            "prompt_tokens_details.cached_tokens",
            "input_tokens_details.cached_tokens",
            "cache_read_input_tokens",
        ])?,
        cache_write: counts.count("cache_creation_input_tokens")?,
        reasoning: counts
            .first_count(&["completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"])?,
        requests: counts.count("requests")?.filter(|n| *n > 1),
        failed: Some(call.text("exception").is_some()),
        ..Usage::default()
    };
    let costs = call.json("summary.weave.costs").and_then(|costs| costs.get(model));
    if let Some(costs) = costs.map(Record::Object) {
        let cost = |name| sink.optional("cost", costs.number(name));
        let parts: Vec<f64> =
            ["prompt_tokens_total_cost", "completion_tokens_total_cost"].into_iter().filter_map(cost).collect();
        usage.cost = (!parts.is_empty()).then(|| Money { amount: parts.iter().sum(), currency: None });
    }
    usage.group("user", call.text("wb_user_id"));
    usage.group("name", call.first_text(&["display_name", "op_name"]));
    Ok(usage)
}
