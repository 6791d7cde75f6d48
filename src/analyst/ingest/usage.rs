//! What a source reads from one record: the usage of a request, or of a sum of requests.

use std::borrow::Cow;

use super::values::{MAX_COUNT, Money, Unit};
use crate::analyst::dataset::{Kind, Tier};

/// The usage of one record. `input` and `output` count all tokens: a source that logs cached or reasoning tokens beside
/// them adds them.
#[derive(Debug, Clone, Default)]
pub struct Usage<'a> {
    /// Start, milliseconds since 1970.
    pub start_ms: Option<i64>,
    /// End, milliseconds since 1970; with the start it gives the latency if the log has none.
    pub end_ms: Option<i64>,
    /// The model's name.
    pub model: Option<Cow<'a, str>>,
    /// All input tokens, including those read from and written to a cache.
    pub input: Option<u64>,
    /// All output tokens, including reasoning.
    pub output: Option<u64>,
    /// The total that the log states beside the parts; checked against them.
    pub total: Option<u64>,
    /// Input tokens read from a cache.
    pub cached: Option<u64>,
    /// Input tokens written to a cache, for any time.
    pub cache_write: Option<u64>,
    /// Those of `cache_write` that are kept for an hour.
    pub cache_write_1h: Option<u64>,
    /// Output tokens that are reasoning.
    pub reasoning: Option<u64>,
    /// Input tokens that are audio.
    pub audio_input: Option<u64>,
    /// Output tokens that are audio.
    pub audio_output: Option<u64>,
    /// Time from request to last token, and its unit if known.
    pub latency: Option<(f64, Option<Unit>)>,
    /// Time from request to first token, and its unit if known.
    pub first_token: Option<(f64, Option<Unit>)>,
    /// Cost, in dollars unless it states a currency.
    pub cost: Option<Money>,
    /// For a sum of requests: their number, 0 if not stated. `None` for a single request.
    pub requests: Option<u64>,
    /// For a sum of requests: the length of its period, in milliseconds.
    pub period_ms: Option<i64>,
    /// The service tier.
    pub tier: Tier,
    /// What is asked for.
    pub kind: Kind,
    /// Whether the request failed.
    pub failed: Option<bool>,
    /// The id of the request. Of rows with the same id, the one with the most tokens counts.
    pub request_id: Option<Cow<'a, str>>,
    /// The id of the span and of the span above it. A span with usage below it sums that usage and is left out; so is one without
    /// tokens above or below one with tokens.
    pub span: Option<(Cow<'a, str>, Option<Cow<'a, str>>)>,
    /// Values to group by: name, value.
    pub groups: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// The end of the year 9999, in milliseconds since 1970.
const MAX_TIME_MS: u64 = 253_402_300_799_999;

impl<'a> Usage<'a> {
    /// Adds a value to group by, if there is one.
    pub fn group(&mut self, name: &'a str, value: Option<Cow<'a, str>>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.groups.push((Cow::Borrowed(name), value));
        }
    }

    /// Adds cached and cache-write tokens to an input that excludes them, as in Anthropic's API.
    pub fn add_cache_to_input(&mut self) {
        let cache = self.cached.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
        self.input = match self.input {
            Some(input) => Some(input.saturating_add(cache)),
            None if cache > 0 => Some(cache),
            None => None,
        };
    }

    /// Adds reasoning tokens to an output that excludes them.
    pub fn add_reasoning_to_output(&mut self) {
        if let Some(reasoning) = self.reasoning {
            self.output = Some(self.output.unwrap_or(0).saturating_add(reasoning));
        }
    }

    /// Adds parts that stand beside their whole, for sources in which this differs by version or by model: reasoning
    /// that the output excludes, cached tokens that the input excludes. The stated total decides; a part larger than
    /// its whole stands beside it in any case.
    pub fn settle_parts(&mut self) {
        let (input, output) = (self.input.unwrap_or(0), self.output.unwrap_or(0));
        let (cached, written) = (self.cached.unwrap_or(0), self.cache_write.unwrap_or(0));
        let reasoning = self.reasoning.unwrap_or(0);
        let all =
            |parts: &[u64]| parts.iter().fold(input.saturating_add(output), |sum, part| sum.saturating_add(*part));
        // The simplest explanation of the total counts.
        let beside =
            [(0, 0, 0), (reasoning, 0, 0), (0, cached, written), (0, 0, written), (reasoning, cached, written)]
                .into_iter()
                .find(|(reasoning, cached, written)| self.total == Some(all(&[*reasoning, *cached, *written])))
                .unwrap_or_default();
        let add_reasoning = if reasoning > output { reasoning } else { beside.0 };
        let add_cached = if cached > input { cached } else { beside.1 };
        // Some versions of LiteLLM include what was read, but not what was written.
        let is_written_beside = cached > input || cached.saturating_add(written) > input.saturating_add(add_cached);
        let add_written = if is_written_beside { written } else { beside.2 };
        self.output = self.output.map(|output| output.saturating_add(add_reasoning)).or(self.reasoning);
        self.input = self.input.map(|input| input.saturating_add(add_cached).saturating_add(add_written));
        if (add_reasoning, add_cached, add_written) != beside {
            // It leaves out parts, so it is no check.
            self.total = None;
        }
    }

    /// Removes times outside the years that can be written and periods as long, with which sums would overflow; returns whether there were any.
    pub fn remove_impossible_times(&mut self) -> bool {
        let mut found = false;
        for time in [&mut self.start_ms, &mut self.end_ms, &mut self.period_ms] {
            found |= time.take_if(|ms| ms.unsigned_abs() > MAX_TIME_MS).is_some();
        }
        found
    }

    /// Whether a count is larger than any row's can be.
    pub fn is_impossible(&self) -> bool {
        let parts =
            [self.cached, self.cache_write, self.cache_write_1h, self.reasoning, self.audio_input, self.audio_output];
        let counts = [self.input, self.output, self.requests].into_iter().chain(parts);
        counts.flatten().any(|count| count > MAX_COUNT)
    }

    /// Whether the record is an amount of money for an unknown number of requests, as in a bill.
    pub fn is_money_only(&self) -> bool {
        !self.has_tokens() && self.cost.is_some() && self.requests == Some(0)
    }

    /// Takes the kind of request from the column `type`, else from the model's name.
    pub fn set_kind_by_name(&mut self) {
        const KINDS: [(&str, Kind); 8] = [
            ("embed", Kind::Embedding),
            ("image", Kind::Image),
            ("dall-e", Kind::Image),
            ("audio", Kind::Audio),
            ("speech", Kind::Audio),
            ("transcri", Kind::Audio),
            ("moderation", Kind::Other),
            ("rerank", Kind::Other),
        ];
        let kind_of = |name: &str| {
            let name = name.to_lowercase();
            KINDS.iter().find(|(word, _)| name.contains(word)).map(|(_, kind)| *kind)
        };
        let by_type = self.groups.iter().find(|(name, _)| name == "type").and_then(|(_, value)| kind_of(value));
        // Models that take images or speech also chat; only the names of those for embeddings say what is asked for.
        let by_model = || self.model.as_deref().and_then(kind_of).filter(|kind| *kind == Kind::Embedding);
        if let Some(kind) = by_type.or_else(by_model) {
            self.kind = kind;
        }
    }

    /// Whether the record has token counts.
    pub fn has_tokens(&self) -> bool {
        self.input.is_some() || self.output.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_beside_their_whole_are_added_if_total_or_size_shows_it() {
        // Input, output, total, cached, written, reasoning; then input and output with all parts.
        for ([input, output, total, cached, written, reasoning], whole) in [
            ([100, 20, 120, 40, 10, 15], (100, 20)),
            ([100, 5, 405, 40, 0, 300], (100, 305)),
            ([100, 50, 180, 40, 0, 30], (100, 80)),
            ([100, 20, 190, 60, 10, 0], (170, 20)),
            ([31, 467, 498, 0, 1253, 0], (1284, 467)),
            ([2459, 23, 2482, 2455, 900, 0], (3359, 23)),
            ([3, 10, 13, 900, 50, 0], (953, 10)),
            ([100, 20, 999, 40, 10, 15], (100, 20)),
        ] {
            let mut usage = Usage {
                input: Some(input),
                output: Some(output),
                total: Some(total),
                cached: Some(cached),
                cache_write: Some(written),
                reasoning: Some(reasoning),
                ..Usage::default()
            };
            usage.settle_parts();
            assert_eq!((usage.input, usage.output), (Some(whole.0), Some(whole.1)), "{input} {output} {total}");
        }
    }
}
