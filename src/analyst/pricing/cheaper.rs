//! Which model of the same family costs less.

use super::{price::Price, spelling::snapshot, table::PriceTable};

/// A cheaper model of the same family for each model, at every provider that has both; used unless the question names one.
pub(super) const CHEAPER_MODELS: &[(&str, &str)] = &[
    ("gpt-4-turbo", "gpt-4o"),
    ("gpt-4o", "gpt-4o-mini"),
    ("gpt-4.1", "gpt-4.1-mini"),
    ("gpt-4.1-mini", "gpt-4.1-nano"),
    ("o1", "o3"),
    ("o3", "o4-mini"),
    ("gpt-5", "gpt-5-mini"),
    ("gpt-5-mini", "gpt-5-nano"),
    ("gpt-5-codex", "gpt-5.1-codex-mini"),
    ("gpt-5.1", "gpt-5-mini"),
    ("gpt-5.1-codex", "gpt-5.1-codex-mini"),
    ("gpt-5.1-codex-max", "gpt-5.1-codex-mini"),
    ("gpt-5.2", "gpt-5-mini"),
    ("gpt-5.4", "gpt-5.4-mini"),
    ("gpt-5.4-mini", "gpt-5.4-nano"),
    ("gpt-5.5", "gpt-5.4-mini"),
    ("gpt-5.6", "gpt-5.6-terra"),
    ("gpt-5.6-sol", "gpt-5.6-terra"),
    ("gpt-5.6-terra", "gpt-5.6-luna"),
    ("gpt-6-astra", "gpt-6-sol"),
    ("gpt-6-sol", "gpt-6-luna"),
    ("gpt-6.1-sol", "gpt-6.1-terra"),
    ("gpt-6.1-terra", "gpt-6-luna"),
    ("claude-opus-4-5", "claude-sonnet-4-5"),
    ("claude-opus-4-6", "claude-sonnet-4-6"),
    ("claude-opus-4-7", "claude-sonnet-4-6"),
    ("claude-opus-4-8", "claude-sonnet-4-6"),
    ("claude-opus-5", "claude-sonnet-5"),
    ("claude-opus-5-5", "claude-sonnet-5-5"),
    ("claude-sonnet-4-5", "claude-haiku-4-5"),
    ("claude-sonnet-4-6", "claude-haiku-4-5"),
    ("claude-sonnet-5", "claude-haiku-4-5"),
    ("claude-sonnet-5-5", "claude-haiku-5-5"),
    ("claude-haiku-4-5", "claude-haiku-5-5"),
    ("claude-fable-5", "claude-opus-5"),
    ("claude-fable-5-1", "claude-opus-5-5"),
    ("claude-mythos-5", "claude-opus-5"),
    ("claude-mythos-5-1", "claude-opus-5-5"),
    ("gemini-2.5-pro", "gemini-2.5-flash"),
    ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
    ("gemini-3-flash-preview", "gemini-3.1-flash-lite"),
    ("gemini-3.1-pro-preview", "gemini-3.8-flash"),
    ("gemini-3.5-flash", "gemini-3.5-flash-lite"),
    ("gemini-3.6-flash", "gemini-3.5-flash-lite"),
    ("gemini-3.7-flash", "gemini-3.5-flash-lite"),
    ("gemini-3.8-flash", "gemini-3.5-flash-lite"),
    ("gemini-4-argon", "gemini-4-hydrogen"),
    ("gemini-4-hydrogen", "gemini-3.8-flash"),
    ("mistral-medium-latest", "mistral-small-latest"),
    ("mistral-large-latest", "mistral-small-latest"),
    ("grok-4.5", "grok-4.3"),
    ("grok-4.6", "grok-4.3"),
    ("grok-4.7", "grok-4.3"),
    ("deepseek-v4-pro", "deepseek-v4-flash"),
    ("amazon.nova-premier", "amazon.nova-pro"),
    ("amazon.nova-pro", "amazon.nova-lite"),
    ("amazon.nova-lite", "amazon.nova-micro"),
    ("sonar-pro", "sonar"),
    ("qwen-max", "qwen-plus"),
    ("text-embedding-3-large", "text-embedding-3-small"),
];

/// The cheaper sibling of the model with this name in the table: with the same prefix (`azure/eu/`, `us.anthropic.`), as its
/// name or one of its snapshots.
pub(super) fn cheaper_key<'a>(table: &'a PriceTable, model: &str) -> Option<&'a Price> {
    let ends = |suffix: &str| suffix.is_empty() || snapshot(suffix).is_some();
    CHEAPER_MODELS.iter().find_map(|(dear, cheap)| {
        let (prefix, suffix) = model.split_once(dear)?;
        if !(prefix.is_empty() || prefix.ends_with(['/', '.'])) || !ends(suffix) {
            return None;
        }
        let name = format!("{prefix}{cheap}");
        // The newest snapshot, if there is none without a date.
        let last = || table.starting_with(&name).iter().rfind(|price| ends(&price.model[name.len()..]));
        table.get(&name).or_else(last)
    })
}
