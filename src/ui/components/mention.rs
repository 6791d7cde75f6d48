//! Mentions: a message that begins with `@` and an agent's id or name goes to that agent. While the name is typed, agents are suggested.

use super::{
    icons::Glyph,
    suggestions::{Choice, Suggestion},
};
use crate::{protocol::http::AgentInfo, ui::format::sentence};

/// Suggestions stop when more bytes than this follow the `@`.
const MAX_NAME_BYTES: usize = 80;

/// The agent that a text mentions at its start, and the text after the mention.
pub(crate) fn parse_mention<'t, 'a>(text: &'t str, agents: &'a [AgentInfo]) -> Option<(&'a AgentInfo, &'t str)> {
    let rest = text.trim_start().strip_prefix('@')?;
    let after = |name: &str| {
        let (head, tail) = rest.split_at_checked(name.len())?;
        let ends = tail.chars().next().is_none_or(char::is_whitespace);
        (!name.is_empty() && ends && head.eq_ignore_ascii_case(name)).then_some(tail)
    };
    let matches = |agent: &'a AgentInfo| {
        Some((agent, after(&agent.id).into_iter().chain(after(&agent.name)).min_by_key(|tail| tail.len())?))
    };
    // The longest match: one name may be a prefix of another.
    let (agent, tail) = agents.iter().filter_map(matches).min_by_key(|(_, tail)| tail.len())?;
    Some((agent, tail.trim_start()))
}

/// The part of a name that follows the `@`.
fn partial_name(text: &str) -> Option<&str> {
    text.strip_prefix('@').filter(|name| name.len() <= MAX_NAME_BYTES && !name.contains('\n'))
}

/// The agents whose id, name or a later word of the name begins with what was typed after the `@`.
pub(super) fn suggested_agents(text: &str, agents: &[AgentInfo]) -> Vec<Suggestion> {
    // With one agent there is nothing to choose.
    let Some(typed) = partial_name(text).filter(|_| agents.len() > 1).map(str::to_lowercase) else { return Vec::new() };
    let matches = |agent: &&AgentInfo| {
        let name = agent.name.to_lowercase();
        let in_word = name.match_indices(' ').any(|(space, _)| name[space + 1..].starts_with(&typed));
        agent.id.starts_with(&typed) || name.starts_with(&typed) || in_word
    };
    let suggestion = |agent: &AgentInfo| Suggestion {
        glyph: Glyph::Spark,
        name: agent.name.clone(),
        code: Some(format!("@{}", agent.id)),
        about: agent.disabled.as_deref().map_or_else(|| agent.description.clone(), sentence),
        is_usable: agent.disabled.is_none(),
        choice: Choice::Text(format!("@{} ", agent.id)),
    };
    agents.iter().filter(matches).map(suggestion).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents() -> Vec<AgentInfo> {
        vec![
            AgentInfo::new("analyst", "Data analyst", ""),
            AgentInfo::new("data", "Data", ""),
            AgentInfo::new("r2", "Rück 2", ""),
        ]
    }

    fn parsed(text: &str) -> Option<(String, String)> {
        parse_mention(text, &agents()).map(|(agent, rest)| (agent.id.clone(), rest.to_owned()))
    }

    #[test]
    fn a_text_mentions_an_agent_by_id_or_by_name() {
        assert_eq!(parsed("@analyst why?"), Some(("analyst".into(), "why?".into())));
        assert_eq!(parsed("@Data analyst\nwhy?"), Some(("analyst".into(), "why?".into())));
        assert_eq!(parsed("@data analyse this"), Some(("data".into(), "analyse this".into())));
        assert_eq!(parsed("@rück 2 x"), Some(("r2".into(), "x".into())));
        assert_eq!(parsed("@analyst"), Some(("analyst".into(), String::new())));
        assert_eq!(parsed("@analysts why?"), None);
        assert_eq!(parsed("mail me @data"), None);
        assert_eq!(parsed("@"), None);
    }

    #[test]
    fn agents_are_suggested_by_the_start_of_an_id_or_a_word() {
        let ids = |text: &str| {
            suggested_agents(text, &agents()).into_iter().filter_map(|agent| agent.code).collect::<Vec<_>>()
        };
        assert_eq!(ids("@").len(), 3);
        assert_eq!(ids("@an"), ["@analyst"]);
        assert_eq!(ids("@DATA"), ["@analyst", "@data"]);
        assert!(ids("@analyst ").is_empty());
        assert!(ids("a @an").is_empty());
        assert!(suggested_agents("@", &agents()[..1]).is_empty());
    }
}
