//! Mentions: a message that begins with `@` and an agent's id or name goes to that agent. While the name is typed, a list suggests
//! agents.

use leptos::{ev::KeyboardEvent, prelude::*};

use super::icons::{Glyph, icon};
use crate::{
    protocol::http::AgentInfo,
    ui::{format::sentence, keys::is_composing},
};

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
fn suggestions(text: &str, agents: &[AgentInfo]) -> Vec<AgentInfo> {
    let Some(typed) = partial_name(text).map(str::to_lowercase) else { return Vec::new() };
    let matches = |agent: &&AgentInfo| {
        let name = agent.name.to_lowercase();
        let in_word = name.match_indices(' ').any(|(space, _)| name[space + 1..].starts_with(&typed));
        agent.id.starts_with(&typed) || name.starts_with(&typed) || in_word
    };
    agents.iter().filter(matches).cloned().collect()
}

/// The state of the suggestion list.
#[derive(Clone, Copy)]
pub(crate) struct Mention {
    text: RwSignal<String>,
    suggestions: Memo<Vec<AgentInfo>>,
    selected: RwSignal<usize>,
    /// The text for which the list was dismissed.
    dismissed: RwSignal<Option<String>>,
    on_choose: Callback<String>,
}

impl Mention {
    /// `on_choose` is called with the mention of the chosen agent.
    pub(crate) fn new(
        text: RwSignal<String>,
        agents: StoredValue<Vec<AgentInfo>>,
        on_choose: Callback<String>,
    ) -> Self {
        let dismissed = RwSignal::new(None::<String>);
        let suggestions = Memo::new(move |_| {
            let is_dismissed = text.with(|text| dismissed.with(|dismissed| dismissed.as_ref() == Some(text)));
            // With one agent there is nothing to choose.
            if is_dismissed || agents.with_value(|agents| agents.len() < 2) {
                return Vec::new();
            }
            text.with(|text| agents.with_value(|agents| suggestions(text, agents)))
        });
        Self { text, suggestions, selected: RwSignal::new(0), dismissed, on_choose }
    }

    /// Whether the list is open.
    pub(crate) fn is_open(self) -> bool {
        self.suggestions.with(|suggestions| !suggestions.is_empty())
    }

    /// The element id of the selected option, for `aria-activedescendant`.
    pub(crate) fn selected_id(self) -> Option<String> {
        self.is_open().then(|| format!("mention-{}", self.index()))
    }

    fn index(self) -> usize {
        self.suggestions.with(|suggestions| self.selected.get().min(suggestions.len().saturating_sub(1)))
    }

    fn choose(self, index: usize) {
        let agent = self.suggestions.with_untracked(|suggestions| suggestions.get(index).cloned());
        if let Some(agent) = agent.filter(|agent| agent.disabled.is_none()) {
            self.selected.set(0);
            self.on_choose.run(format!("@{} ", agent.id));
        }
    }

    /// Handles a key if the list is open. Returns whether it did.
    pub(crate) fn on_keydown(self, event: &KeyboardEvent) -> bool {
        let count = self.suggestions.with_untracked(Vec::len);
        if count == 0 || is_composing(event) || event.shift_key() {
            return false;
        }
        let index = untrack(|| self.index());
        match event.key().as_str() {
            "ArrowDown" => self.selected.set((index + 1) % count),
            "ArrowUp" => self.selected.set((index + count - 1) % count),
            "Enter" | "Tab" => self.choose(index),
            "Escape" => self.dismissed.set(Some(self.text.get_untracked())),
            _ => return false,
        }
        event.prevent_default();
        true
    }
}

/// The list of suggested agents above the composer.
#[component]
pub(crate) fn MentionList(mention: Mention) -> impl IntoView {
    let option = move |(index, agent): (usize, AgentInfo)| {
        let is_usable = agent.disabled.is_none();
        let description = agent.disabled.as_deref().map_or_else(|| agent.description.clone(), sentence);
        view! {
            <li
                id=format!("mention-{index}")
                role="option"
                class="mention"
                aria-selected=move || if mention.index() == index { "true" } else { "false" }
                aria-disabled=(!is_usable).then_some("true")
                // Keeps the focus in the text field.
                on:mousedown=move |event| event.prevent_default()
                on:click=move |_| mention.choose(index)
            >
                {icon(Glyph::Spark)}
                <span class="mention-name">{agent.name.clone()} " " <code>{format!("@{}", agent.id)}</code></span>
                <span class="mention-about">{description}</span>
            </li>
        }
    };
    view! {
        <Show when=move || mention.is_open()>
            <ul class="mentions" id="mentions" role="listbox" aria-label="Suggestions">
                {move || mention.suggestions.get().into_iter().enumerate().map(option).collect_view()}
            </ul>
        </Show>
        <p class="sr-only" role="status">
            {move || {
                let count = mention.suggestions.with(Vec::len);
                (count > 0).then(|| format!("{count} agents. Choose with the arrow keys and Enter."))
            }}
        </p>
    }
    .into_any()
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
        let ids = |text: &str| suggestions(text, &agents()).into_iter().map(|agent| agent.id).collect::<Vec<_>>();
        assert_eq!(ids("@").len(), 3);
        assert_eq!(ids("@an"), ["analyst"]);
        assert_eq!(ids("@DATA"), ["analyst", "data"]);
        assert!(ids("@analyst ").is_empty());
        assert!(ids("a @an").is_empty());
    }
}
