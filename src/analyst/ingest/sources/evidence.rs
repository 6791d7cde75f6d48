//! Decides whether cached tokens are a part of the input tokens, where tools that write the same names disagree.
//!
//! OpenAI's API counts cached tokens as a part of the input, Anthropic's beside it; tracing tools pass on either. All
//! rows of one writer (provider and instrumentation) follow the same rule, so one row that can only be read one way
//! decides for all of them.

use std::collections::BTreeMap;

use super::super::{sink::Sink, usage::Usage};

/// What the rows of each writer show.
#[derive(Default)]
pub(super) struct CacheEvidence {
    writers: BTreeMap<String, Writer>,
}

/// The rows of one writer that have cached tokens.
#[derive(Default)]
struct Writer {
    rows: Vec<u32>,
    /// Rows that show that cached tokens stand beside the input: there are more of them, or the total counts them
    /// separately.
    beside: u64,
    /// Rows whose total shows that they are a part of it.
    within: u64,
}

impl CacheEvidence {
    /// Pushes a row of `writer`, with the input as it is logged. Without a writer, all rows of a model count as those
    /// of one.
    pub(super) fn push(&mut self, writer: &str, mut usage: Usage<'_>, sink: &mut Sink<'_>) {
        let cache = usage.cached.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
        let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
        let plain = input.saturating_add(output);
        let beside = cache > input || usage.total == Some(plain.saturating_add(cache));
        let within = !beside && usage.total == Some(plain);
        if cache > 0 {
            // Seen here; the collector would compare it with an input that may still change.
            usage.total = None;
        }
        let writer = match (writer.trim(), usage.model.as_deref()) {
            ("", model) => model.unwrap_or("a nameless model").to_owned(),
            (writer, _) => writer.to_owned(),
        };
        let Some(row) = sink.push(usage).filter(|_| cache > 0) else { return };
        let writer = self.writers.entry(writer).or_default();
        writer.rows.push(row);
        writer.beside += u64::from(beside);
        writer.within += u64::from(within);
    }

    /// Decides, after the last row.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) {
        let (mut beside, mut within, mut unclear) = (Vec::new(), Vec::new(), 0);
        for (name, writer) in std::mem::take(&mut self.writers) {
            if writer.beside == 0 {
                within.push(name);
                continue;
            }
            sink.add_cache_to_input(&writer.rows);
            beside.push(name);
            // A total that leaves out the cache is common, but not in nearly all rows.
            unclear += if writer.within > writer.beside * 100 { writer.rows.len() } else { 0 };
        }
        if !beside.is_empty() {
            sink.note(format!(
                "Input tokens exclude cached ones in the rows of {}; they are added, so input means all input tokens.",
                beside.join(", ")
            ));
        }
        if !within.is_empty() {
            sink.note(format!(
                "Cached tokens count as a part of the input tokens in the rows of {}.",
                within.join(", ")
            ));
        }
        if unclear > 0 {
            sink.unknown(&format!(
                "In {unclear} rows it is not certain whether input tokens include cached ones; these are added."
            ));
        }
    }
}
