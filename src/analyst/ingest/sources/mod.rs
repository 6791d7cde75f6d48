//! The sources of usage logs: one file for each tool or API that writes them.
//!
//! A source says by which fields its records are recognised, and reads one record at a time. To add one: write its file, add it
//! to [`REGISTRY`], add a fixture under `tests/data/usage-logs` with its figures.

mod agent_events;
mod agent_output;
mod anthropic_messages;
mod anthropic_usage;
mod attributes;
mod azure;
mod bedrock;
mod bills;
mod ccusage;
mod claude_code;
mod codex;
mod cursor;
mod evidence;
mod gemini;
mod helicone;
mod langfuse;
mod langsmith;
mod litellm;
mod llama_cpp;
mod metrics;
mod ollama;
mod openai_activity;
mod openai_objects;
mod openai_usage;
mod openrouter;
mod opik;
mod otlp;
mod otlp_metrics;
mod portkey;
mod shared;
mod spans;
mod traces;
mod weave;

use super::{record::Record, sink::Sink};

/// A tool or API whose logs are known.
pub trait Source: Sync {
    /// Its name in reports, such as `LiteLLM spend logs`.
    fn name(&self) -> &'static str;

    /// Whether a record is one of this source, by the fields that it has.
    fn recognises(&self, record: Record<'_>) -> bool;

    /// Starts reading a file.
    fn reader(&self) -> Box<dyn Reader>;
}

/// Reads the records of one file, in order.
pub trait Reader {
    /// Reads a record that [`Source::recognises`] accepted: pushes its usage to `sink`, one or more rows, or skips it with a reason.
    ///
    /// # Errors
    /// The reason why the record cannot be used, as a clause; it is counted as a bad row.
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String>;

    /// Called after the last record.
    fn finish(&mut self, _sink: &mut Sink<'_>) {}
}

/// A source whose records are read one by one, without state.
pub struct Stateless {
    /// See [`Source::name`].
    pub name: &'static str,
    /// See [`Source::recognises`].
    pub recognises: fn(Record<'_>) -> bool,
    /// See [`Reader::read`].
    pub read: fn(Record<'_>, &mut Sink<'_>) -> Result<(), String>,
}

impl Source for Stateless {
    fn name(&self) -> &'static str {
        self.name
    }

    fn recognises(&self, record: Record<'_>) -> bool {
        (self.recognises)(record)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(StatelessReader(self.read))
    }
}

struct StatelessReader(fn(Record<'_>, &mut Sink<'_>) -> Result<(), String>);

impl Reader for StatelessReader {
    fn read(&mut self, record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
        (self.0)(record, sink)
    }
}

/// All sources; of several that recognise a record, the first one reads it.
pub static REGISTRY: &[&dyn Source] = &[
    &otlp::EXPORT,
    &agent_events::EVENTS,
    &ccusage::REPORTS,
    &claude_code::SESSIONS,
    &codex::SESSIONS,
    &agent_output::CLAUDE,
    &agent_output::CODEX,
    &cursor::EXPORT,
    &cursor::EVENTS,
    &litellm::SPEND_LOGS,
    &litellm::PAYLOADS,
    &litellm::DAILY,
    &bedrock::INVOCATIONS,
    &bedrock::BATCH,
    &bedrock::CONVERSE,
    &azure::GATEWAY,
    &azure::REQUESTS,
    &azure::TRACES,
    &metrics::AZURE,
    &metrics::CLOUDWATCH,
    &openai_usage::EXPORT,
    &openai_usage::API,
    &openai_activity::GROQ,
    &openai_activity::OPENAI,
    &anthropic_usage::CONSOLE,
    &anthropic_usage::REPORT,
    &anthropic_usage::CLAUDE_CODE,
    &openrouter::EXPORT,
    &openrouter::GENERATIONS,
    &openrouter::ACTIVITY,
    &langfuse::OBSERVATIONS,
    &langsmith::RUNS,
    &helicone::REQUESTS,
    &portkey::LOGS,
    &opik::SPANS,
    &weave::CALLS,
    &spans::SPANS,
    &gemini::LOGGING,
    &gemini::RESPONSES,
    &ollama::RESPONSES,
    &traces::MOONCAKE,
    &traces::BURST_GPT,
    &traces::BENCHMARKS,
    &bills::OPENAI,
    &bills::ANTHROPIC,
    &bills::ANTHROPIC_CONSOLE,
    &bills::AWS,
    &bills::AZURE,
    &bills::FOCUS,
    &llama_cpp::COMPLETIONS,
    // Objects of an API may stand in the records of many tools, so they come last.
    &anthropic_messages::MESSAGES,
    &openai_objects::OBJECTS,
];
