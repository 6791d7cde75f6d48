//! The older usage of OpenAI (`/v1/usage` and the export of the activity page), and that of Groq's console, which has
//! its fields.
//!
//! Each row is a sum of requests. Context tokens include cached ones. Fields as in the metricset `openai/usage` of
//! Elastic Beats, and in Groq's `activity`, which counts the tokens that were not cached.

use super::{
    Stateless,
    shared::{group_by, is_embedding_model, tier},
};
use crate::analyst::{
    dataset::Kind,
    ingest::{record::Record, sink::Sink, usage::Usage},
};

/// OpenAI's.
pub(super) static OPENAI: Stateless = Stateless { name: "OpenAI activity export", recognises, read };

/// Groq's.
pub(super) static GROQ: Stateless = Stateless {
    name: "Groq activity",
    recognises: |record| recognises(record) && record.has("n_non_cached_context_tokens_total"),
    read,
};

fn recognises(record: Record<'_>) -> bool {
    // Tools that count single requests use the names of the tokens, but not those of the sums.
    const OF_SUMS: [&str; 4] = ["n_requests", "num_requests", "aggregation_timestamp", "snapshot_id"];
    record.has_all(&["n_context_tokens_total", "n_generated_tokens_total"])
        && OF_SUMS.iter().any(|name| record.has(name))
}

fn read(record: Record<'_>, sink: &mut Sink<'_>) -> Result<(), String> {
    let input = record.count("n_context_tokens_total")?;
    let not_cached = record.count("n_non_cached_context_tokens_total")?;
    let cached = record.count("n_cached_context_tokens_total")?;
    let operation = record.text("operation");
    let model = record.first_text(&["snapshot_id", "model"]);
    let names_embedding = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().is_some_and(is_embedding_model);
    let mut usage = Usage {
        start_ms: sink
            .optional("time", record.first_time(&["aggregation_timestamp", "timestamp", "local_timestamp", "date"])),
        requests: Some(record.first_count(&["n_requests", "num_requests"])?.unwrap_or(0)),
        cached: cached.or(input.zip(not_cached).map(|(all, rest)| all.saturating_sub(rest))),
        input,
        output: record.count("n_generated_tokens_total")?,
        cost: sink.optional("cost", record.money("cost")),
        tier: tier(record.first_text(&["service_tier", "request_type"]).as_deref()),
        kind: if names_embedding(&operation) || names_embedding(&model) { Kind::Embedding } else { Kind::Chat },
        model,
        ..Usage::default()
    };
    usage.group("user", record.first_text(&["email", "user", "user_id"]));
    usage.group("key", record.first_text(&["api_key_name", "api_key_redacted", "api_key_id"]));
    usage.group("project", record.first_text(&["project_name", "project_id"]));
    usage.group("type", operation);
    group_by(&mut usage, record, &[("organization", "organization_name")]);
    sink.push(usage);
    Ok(())
}
