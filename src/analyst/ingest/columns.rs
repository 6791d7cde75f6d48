//! Recognises columns by name, regardless of case and separators, with the synonyms of the common log formats.
//!
//! Guarantees: the position of a column does not matter; a nested name (`usage.prompt_tokens`) is recognised only inside known
//! containers of usage, so that fields of a chat message are never taken for usage.

use super::synonyms::{CONTAINERS, SYNONYMS};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Start of the request.
    Time,
    /// End of the request; with the start it gives the latency if no column has it.
    End,
    /// Model name.
    Model,
    /// Input tokens.
    Input,
    /// Output tokens.
    Output,
    /// Input tokens read from a cache.
    Cached,
    /// Input tokens written to a cache.
    CacheWrite,
    /// Time from request to last token.
    Latency,
    /// Cost in US dollars.
    Cost,
}

impl Role {
    /// Number of roles, the length of an array indexed by `role as usize`.
    pub const COUNT: usize = 9;

    /// The name in reports.
    pub fn label(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::End => "end time",
            Self::Model => "model",
            Self::Input => "input tokens",
            Self::Output => "output tokens",
            Self::Cached => "cached tokens",
            Self::CacheWrite => "cache-write tokens",
            Self::Latency => "latency",
            Self::Cost => "cost",
        }
    }
}

/// The unit of a time or latency, stated in the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanos,
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// Milliseconds in one of this unit.
    pub fn in_ms(self) -> f64 {
        match self {
            Self::Nanos => 1e-6,
            Self::Micros => 1e-3,
            Self::Millis => 1.0,
            Self::Seconds => 1e3,
        }
    }
}

/// A recognised column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its role.
    pub role: Role,
    /// The unit in its name, if any.
    pub unit: Option<Unit>,
    /// Quality of the match; of several columns with the same role, the one with the lowest rank is used.
    pub rank: u16,
    /// Whether Anthropic's API uses this name (`input_tokens`, `cache_read_input_tokens`). If both names are Anthropic's, the
    /// input tokens exclude the cached ones; with OpenTelemetry's and OpenAI's names they include them.
    pub anthropic: bool,
}

/// Recognised names, shown when a log has none of them.
pub const EXAMPLE_NAMES: &str = "input tokens as input_tokens, prompt_tokens, ContextTokens or gen_ai.usage.input_tokens; output tokens \
     as output_tokens, completion_tokens, GeneratedTokens or gen_ai.usage.output_tokens";

/// Recognises a column by its name (nested names joined with `.`); `None` for a name without a role.
pub fn recognise(name: &str) -> Option<Column> {
    let (base, unit) = split_unit(name);
    let parts: Vec<String> = base.split('.').map(normalize).filter(|part| !part.is_empty()).collect();
    let otel = parts.iter().any(|part| part == "genai");
    // Find the longest suffix that is a known name and follows known containers only.
    (0..parts.len()).find_map(|start| {
        if !parts[..start].iter().all(|part| CONTAINERS.split(' ').any(|known| known == part)) {
            return None;
        }
        let rest = parts[start..].concat();
        let (role, position, known) = find_role(&rest).or_else(|| strip_container(&rest).and_then(find_role))?;
        // Only times, latencies and costs have a unit: "tokens_ms" means something else.
        if unit.is_some() && !matches!(role, Role::Time | Role::End | Role::Latency | Role::Cost) {
            return None;
        }
        let rank = u16::try_from(start * 100 + position).unwrap_or(u16::MAX);
        let anthropic = !otel && ["inputtokens", "cachereadinputtokens", "cachecreationinputtokens"].contains(&known);
        Some(Column { role, unit, rank, anthropic })
    })
}

/// The role of a normalised name, its position among the synonyms, and the synonym.
fn find_role(name: &str) -> Option<(Role, usize, &'static str)> {
    SYNONYMS.iter().find_map(|(role, names)| {
        let (position, known) = names.split(' ').enumerate().find(|(_, known)| *known == name)?;
        Some((*role, position, known))
    })
}

/// Removes a container written with another separator than a dot: `usage_prompt_tokens`, `llm_latency`.
fn strip_container(name: &str) -> Option<&str> {
    ["genaiusage", "genai", "llmusage", "llm", "usage", "total", "avg"].iter().find_map(|prefix| {
        // "total_tokens" does not become a role, because "tokens" is not a synonym.
        name.strip_prefix(prefix).filter(|rest| !rest.is_empty())
    })
}

/// Lower-cases a name and removes its separators.
fn normalize(part: &str) -> String {
    part.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Splits the unit off the end of a name: `latency_ms`, `Duration (s)`, `startTimeUnixNano`, `cost_usd`.
fn split_unit(name: &str) -> (&str, Option<Unit>) {
    const WORDS: &[(&str, Option<Unit>)] = &[
        ("nanoseconds", Some(Unit::Nanos)),
        ("nanos", Some(Unit::Nanos)),
        ("nano", Some(Unit::Nanos)),
        ("microseconds", Some(Unit::Micros)),
        ("micros", Some(Unit::Micros)),
        ("milliseconds", Some(Unit::Millis)),
        ("millis", Some(Unit::Millis)),
        ("msec", Some(Unit::Millis)),
        ("seconds", Some(Unit::Seconds)),
        ("secs", Some(Unit::Seconds)),
        ("sec", Some(Unit::Seconds)),
        ("usd", None),
        ("dollars", None),
        ("ns", Some(Unit::Nanos)),
        ("us", Some(Unit::Micros)),
        ("ms", Some(Unit::Millis)),
        ("s", Some(Unit::Seconds)),
    ];
    let trimmed = name.trim_end_matches(|c: char| !c.is_alphanumeric());
    for (word, unit) in WORDS {
        let Some(at) = trimmed.len().checked_sub(word.len()).filter(|&at| at > 0 && trimmed.is_char_boundary(at))
        else {
            continue;
        };
        let (base, tail) = trimmed.split_at(at);
        if !tail.eq_ignore_ascii_case(word) {
            continue;
        }
        // The unit must be a separate word: after a separator, or camel case.
        let own_word = base.ends_with(|c: char| !c.is_alphanumeric())
            || (tail.starts_with(char::is_uppercase) && base.ends_with(|c: char| c.is_lowercase()));
        if own_word {
            return (base, *unit);
        }
    }
    (name, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Option<Role> {
        recognise(name).map(|column| column.role)
    }

    #[test]
    fn names_are_recognised_regardless_of_case_and_separators() {
        for name in [
            "input_tokens",
            "Input Tokens",
            "inputTokens",
            "INPUT-TOKENS",
            "usage.prompt_tokens",
            "gen_ai.usage.input_tokens",
            "attributes.gen_ai.usage.input_tokens",
            "ContextTokens",
            "response.body.usage.input_tokens",
            "usageMetadata.promptTokenCount",
        ] {
            assert_eq!(role(name), Some(Role::Input), "{name}");
        }
        for name in ["GeneratedTokens", "usage.completion_tokens", "Response tokens", "gen_ai.usage.output_tokens"] {
            assert_eq!(role(name), Some(Role::Output), "{name}");
        }
        for name in [
            "usage.prompt_tokens_details.cached_tokens",
            "cache_read_input_tokens",
            "gen_ai.usage.cache_read.input_tokens",
            "usage.input_tokens_details.cached_tokens",
        ] {
            assert_eq!(role(name), Some(Role::Cached), "{name}");
        }
        for name in
            ["TIMESTAMP", "startTime", "created", "created_at", "startTimeUnixNano", "request_time", "@timestamp"]
        {
            assert_eq!(role(name), Some(Role::Time), "{name}");
        }
        for name in ["gen_ai.request.model", "model", "Model Name", "gen_ai.response.model"] {
            assert_eq!(role(name), Some(Role::Model), "{name}");
        }
        for name in ["spend", "cost_usd", "Cost (USD)", "response_cost", "gen_ai.usage.cost"] {
            assert_eq!(role(name), Some(Role::Cost), "{name}");
        }
    }

    #[test]
    fn units_in_names_are_read() {
        let unit = |name: &str| recognise(name).and_then(|c| c.unit);
        assert_eq!(unit("latency_ms"), Some(Unit::Millis));
        assert_eq!(unit("Duration (s)"), Some(Unit::Seconds));
        assert_eq!(unit("startTimeUnixNano"), Some(Unit::Nanos));
        assert_eq!(unit("durationMs"), Some(Unit::Millis));
        assert_eq!(unit("latency"), None);
        assert_eq!(role("latency_seconds"), Some(Role::Latency));
    }

    #[test]
    fn names_with_another_meaning_are_not_recognised() {
        for name in [
            "total_tokens",
            "user",
            "messages.content",
            "metadata.model",
            "tools.model",
            "completionStartTime",
            "tokens_ms",
            "",
            ".",
        ] {
            assert_eq!(role(name), None, "{name}");
        }
    }
}
