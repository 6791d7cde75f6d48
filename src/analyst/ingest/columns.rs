//! Recognises columns by name, regardless of case and separators, with the synonyms of the common log formats.
//!
//! Guarantees: the position of a column does not matter; a nested name (`usage.prompt_tokens`) is recognised only inside known
//! containers of usage, so that fields of a chat message are never taken for usage.

use super::{
    suffix::{Suffix, split_suffix},
    synonyms::{CONTAINERS, GROUPS, SYNONYMS},
    values::Unit,
};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Start of the request.
    Time,
    /// End of the request; with the start it gives the latency if no column has it.
    End,
    /// Time of day, beside a column with the date.
    TimeOfDay,
    /// Time zone of the times.
    Zone,
    /// Model name.
    Model,
    /// Input tokens.
    Input,
    /// Output tokens.
    Output,
    /// Input and output tokens together.
    Total,
    /// Input tokens read from a cache.
    Cached,
    /// Input tokens written to a cache.
    CacheWrite,
    /// Output tokens that are reasoning.
    Reasoning,
    /// Time from request to last token.
    Latency,
    /// Time from request to first token.
    FirstToken,
    /// Cost.
    Cost,
    /// Currency of the cost.
    Currency,
    /// Number of requests that the row stands for.
    Requests,
    /// Id of the request.
    RequestId,
    /// Whether the request succeeded.
    Status,
}

impl Role {
    /// Number of roles, the length of an array indexed by `role as usize`.
    pub const COUNT: usize = 18;

    /// All roles, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Time,
        Self::End,
        Self::TimeOfDay,
        Self::Zone,
        Self::Model,
        Self::Input,
        Self::Output,
        Self::Total,
        Self::Cached,
        Self::CacheWrite,
        Self::Reasoning,
        Self::Latency,
        Self::FirstToken,
        Self::Cost,
        Self::Currency,
        Self::Requests,
        Self::RequestId,
        Self::Status,
    ];

    /// The name in reports.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::End => "end time",
            Self::TimeOfDay => "time of day",
            Self::Zone => "time zone",
            Self::Model => "model",
            Self::Input => "input tokens",
            Self::Output => "output tokens",
            Self::Total => "total tokens",
            Self::Cached => "cached tokens",
            Self::CacheWrite => "cache-write tokens",
            Self::Reasoning => "reasoning tokens",
            Self::Latency => "latency",
            Self::FirstToken => "time to first token",
            Self::Cost => "cost",
            Self::Currency => "currency",
            Self::Requests => "requests",
            Self::RequestId => "request id",
            Self::Status => "status",
        }
    }

    /// The short name, in answers and on the command line: `input`, `first_token`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::End => "end",
            Self::TimeOfDay => "time_of_day",
            Self::Zone => "zone",
            Self::Model => "model",
            Self::Input => "input",
            Self::Output => "output",
            Self::Total => "total",
            Self::Cached => "cached",
            Self::CacheWrite => "cache_write",
            Self::Reasoning => "reasoning",
            Self::Latency => "latency",
            Self::FirstToken => "first_token",
            Self::Cost => "cost",
            Self::Currency => "currency",
            Self::Requests => "requests",
            Self::RequestId => "request_id",
            Self::Status => "status",
        }
    }

    /// The role with this short name.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.key() == key)
    }

    /// Whether it counts tokens.
    pub fn is_tokens(self) -> bool {
        matches!(self, Self::Input | Self::Output | Self::Total | Self::Cached | Self::CacheWrite | Self::Reasoning)
    }

    /// Whether its values have a unit of time.
    pub(super) fn has_unit(self) -> bool {
        matches!(self, Self::Time | Self::End | Self::Latency | Self::FirstToken)
    }
}

/// A recognised column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    /// Its role.
    pub role: Role,
    /// The unit in its name, if any.
    pub unit: Option<Unit>,
    /// The currency in its name, if any.
    pub currency: Option<&'static str>,
    /// What its numbers are multiplied with: 0.01 for cents.
    pub scale: f64,
    /// Quality of the match; of several columns with the same role, the one with the lowest rank is used.
    pub rank: u16,
    /// Whether Anthropic's API uses this name (`input_tokens`, `cache_read_input_tokens`). If both names are Anthropic's, the
    /// input tokens exclude the cached ones; with OpenTelemetry's and OpenAI's names they include them.
    pub anthropic: bool,
    /// The known name that it matched; empty if somebody named the column.
    pub known: &'static str,
}

impl Column {
    /// A column with this role that somebody named.
    pub fn named(role: Role, unit: Option<Unit>) -> Self {
        Self { role, unit, currency: None, scale: 1.0, rank: 0, anthropic: false, known: "" }
    }
}

impl Column {
    /// Whether its name says that it counts only the tokens that are not cached.
    pub(super) fn excludes_cache(&self) -> bool {
        ["uncached", "noncached"].iter().any(|word| self.known.contains(word))
    }
}

/// Recognised names, shown when a log has none of them.
pub const EXAMPLE_NAMES: &str = "input tokens as input_tokens, prompt_tokens, ContextTokens or gen_ai.usage.input_tokens; output tokens \
     as output_tokens, completion_tokens, GeneratedTokens or gen_ai.usage.output_tokens";

/// Recognises a column by its name (nested names joined with `.`); `None` for a name without a role.
pub fn recognise(name: &str) -> Option<Column> {
    let (base, suffix) = split_suffix(name);
    let parts: Vec<String> = base.split('.').map(normalize).filter(|part| !part.is_empty()).collect();
    let otel = parts.iter().any(|part| part == "genai");
    // Find the longest suffix that is a known name and follows known containers only.
    (0..parts.len()).find_map(|start| {
        if !parts[..start].iter().all(|part| CONTAINERS.split_whitespace().any(|known| known == part)) {
            return None;
        }
        let rest = parts[start..].concat();
        let (role, position, known) = find_role(&rest)
            .or_else(|| strip_container(&rest).and_then(find_role))
            .or_else(|| find_mean(&rest))
            .or_else(|| find_in_usage(parts[..start].last()?, &rest))?;
        // "tokens_ms" means something else.
        if !suffix.fits(role) {
            return None;
        }
        let rank = u16::try_from(start * 100 + position).unwrap_or(u16::MAX);
        let anthropic = !otel && ["inputtokens", "cachereadinputtokens", "cachecreationinputtokens"].contains(&known);
        let Suffix { unit, currency, scale } = suffix;
        Some(Column { role, unit, currency, scale: scale.unwrap_or(1.0), rank, anthropic, known })
    })
}

/// The name to group by that a column with this name stands for: `user` for `user_id`.
pub fn group_name(name: &str) -> Option<&'static str> {
    let parts: Vec<String> = name.split('.').map(normalize).collect();
    let (last, containers) = parts.split_last()?;
    let known = |part: &String| CONTAINERS.split_whitespace().any(|known| known == part);
    if !containers.iter().all(|part| known(part) || part == "metadata" || part == "tags") {
        return None;
    }
    GROUPS.iter().find_map(|(group, names)| names.split_whitespace().any(|known| known == last).then_some(*group))
}

/// The role of a normalised name, its position among the synonyms, and the synonym.
fn find_role(name: &str) -> Option<(Role, usize, &'static str)> {
    SYNONYMS.iter().find_map(|(role, names)| {
        let (position, known) = names.split_whitespace().enumerate().find(|(_, known)| *known == name)?;
        Some((*role, position, known))
    })
}

/// Removes a container written with another separator than a dot: `usage_prompt_tokens`, `llm_latency`.
fn strip_container(name: &str) -> Option<&str> {
    ["genaiusage", "genai", "llmusage", "llm", "usage", "total", "sumof", "sum"].iter().find_map(|prefix| {
        // "total_tokens" does not become a role, because "tokens" is not a synonym.
        name.strip_prefix(prefix).filter(|rest| !rest.is_empty())
    })
}

/// The role of a mean: one of times can be read; of tokens and costs it is no part of a sum.
fn find_mean(name: &str) -> Option<(Role, usize, &'static str)> {
    let base = ["avg", "average", "mean"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    find_role(base).filter(|(role, ..)| role.has_unit())
}

/// The role of `input` or `output` in an object of usage, as in `usage.input`.
fn find_in_usage(container: &str, name: &str) -> Option<(Role, usize, &'static str)> {
    const LAST: usize = 90;
    let counts_tokens = ["usage", "tokens", "tokenusage", "tokencount", "usagemetadata"].contains(&container);
    match name {
        "input" | "prompt" if counts_tokens => Some((Role::Input, LAST, "input")),
        "output" | "completion" if counts_tokens => Some((Role::Output, LAST, "output")),
        "total" if counts_tokens => Some((Role::Total, LAST, "total")),
        _ => None,
    }
}

/// Lower-cases a name and removes its separators.
pub(super) fn normalize(part: &str) -> String {
    part.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
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
        for name in ["spend", "cost_usd", "Cost (USD)", "response_cost", "gen_ai.usage.cost", "Cost (€)", "cost_cents"]
        {
            assert_eq!(role(name), Some(Role::Cost), "{name}");
        }
    }

    #[test]
    fn units_and_currencies_in_names_are_read() {
        let unit = |name: &str| recognise(name).and_then(|c| c.unit);
        assert_eq!(unit("latency_ms"), Some(Unit::Millis));
        assert_eq!(unit("Duration (s)"), Some(Unit::Seconds));
        assert_eq!(unit("startTimeUnixNano"), Some(Unit::Nanos));
        assert_eq!(unit("durationMs"), Some(Unit::Millis));
        assert_eq!(unit("latency"), None);
        assert_eq!(role("latency_seconds"), Some(Role::Latency));
        let currency = |name: &str| recognise(name).and_then(|c| c.currency);
        assert_eq!([currency("cost_eur"), currency("Cost (€)"), currency("cost")], [Some("EUR"), Some("EUR"), None]);
        assert_eq!(recognise("cost_cents").map(|c| c.scale), Some(0.01));
    }

    #[test]
    fn names_with_another_meaning_are_not_recognised() {
        for name in
            ["user", "messages.content", "metadata.model", "tools.model", "completionStartTime", "tokens_ms", "", "."]
        {
            assert_eq!(role(name), None, "{name}");
        }
        assert_eq!(role("total_tokens"), Some(Role::Total));
        assert_eq!([role("avg_input_tokens"), role("mean_cost"), role("input")], [None; 3]);
    }

    #[test]
    fn names_of_tools_are_recognised() {
        for (name, expected) in [
            ("usage.input", Role::Input),
            ("usage.output", Role::Output),
            ("inputTokens", Role::Input),
            ("tokens_evaluated", Role::Input),
            ("tokens_predicted", Role::Output),
            ("n_context_tokens_total", Role::Input),
            ("n_generated_tokens_total", Role::Output),
            ("generation_token_count", Role::Output),
            ("llm_output.token_usage.prompt_tokens", Role::Input),
            ("ai_model", Role::Model),
            ("avg_latency", Role::Latency),
            ("ttft_ms", Role::FirstToken),
            ("delay_ms", Role::Latency),
            ("n_calls", Role::Requests),
            ("Tokens de entrada", Role::Input),
            ("Jetons en sortie", Role::Output),
        ] {
            assert_eq!(role(name), Some(expected), "{name}");
        }
        assert_eq!(recognise("cost_in_cents").map(|column| column.scale), Some(0.01));
        assert_eq!(recognise("costInUsd").and_then(|column| column.currency), Some("USD"));
    }

    #[test]
    fn columns_to_group_by_are_recognised() {
        for (name, group) in
            [("user_id", "user"), ("metadata.team", "team"), ("API Key", "key"), ("Feature", "feature"), ("x", "")]
        {
            assert_eq!(group_name(name).unwrap_or_default(), group, "{name}");
        }
    }
}
