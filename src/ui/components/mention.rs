//! `@`: a message that begins with an agent's name goes to that agent. While the name is typed the agents are offered.

use leptos::{ev::KeyboardEvent, prelude::*};

use super::icons::{Glyph, icon};
use crate::{
    protocol::http::AgentInfo,
    ui::{format::sentence, keys::is_composing},
};

/// The longest name that is still one being typed, in bytes.
const LONGEST: usize = 80;

/// The agent that a text is addressed to, and the text without the address.
pub(crate) fn addressed<'t, 'a>(text: &'t str, agents: &'a [AgentInfo]) -> Option<(&'a AgentInfo, &'t str)> {
    let rest = text.trim_start().strip_prefix('@')?;
    let named = |name: &str| {
        let (head, tail) = rest.split_at_checked(name.len())?;
        let ends = tail.chars().next().is_none_or(char::is_whitespace);
        (!name.is_empty() && ends && head.eq_ignore_ascii_case(name)).then_some(tail)
    };
    let called = |agent: &'a AgentInfo| {
        Some((agent, named(&agent.id).into_iter().chain(named(&agent.name)).min_by_key(|tail| tail.len())?))
    };
    // The longest name that fits: one may begin with another.
    let (agent, tail) = agents.iter().filter_map(called).min_by_key(|(_, tail)| tail.len())?;
    Some((agent, tail.trim_start()))
}

/// What of a name is typed so far.
fn typed(text: &str) -> Option<&str> {
    text.strip_prefix('@').filter(|typed| typed.len() <= LONGEST && !typed.contains('\n'))
}

/// The agents that a name may become.
fn offered(text: &str, agents: &[AgentInfo]) -> Vec<AgentInfo> {
    let Some(typed) = typed(text).map(str::to_lowercase) else { return Vec::new() };
    let fits = |agent: &&AgentInfo| {
        let name = agent.name.to_lowercase();
        let within = name.match_indices(' ').any(|(at, _)| name[at + 1..].starts_with(&typed));
        agent.id.starts_with(&typed) || name.starts_with(&typed) || within
    };
    agents.iter().filter(fits).cloned().collect()
}

/// The agents that are offered while one is being named.
#[derive(Clone, Copy)]
pub(crate) struct Mention {
    text: RwSignal<String>,
    pub(crate) offered: Memo<Vec<AgentInfo>>,
    at: RwSignal<usize>,
    /// The text at which the reader wanted no offer.
    dismissed: RwSignal<Option<String>>,
    choose: Callback<String>,
}

impl Mention {
    /// `choose` takes the text with the name in it.
    pub(crate) fn new(text: RwSignal<String>, agents: StoredValue<Vec<AgentInfo>>, choose: Callback<String>) -> Self {
        let dismissed = RwSignal::new(None::<String>);
        let offered = Memo::new(move |_| {
            let quiet = text.with(|text| dismissed.with(|at| at.as_ref() == Some(text)));
            // One agent alone needs no choice.
            if quiet || agents.with_value(|agents| agents.len() < 2) {
                return Vec::new();
            }
            text.with(|text| agents.with_value(|agents| offered(text, agents)))
        });
        Self { text, offered, at: RwSignal::new(0), dismissed, choose }
    }

    pub(crate) fn is_open(self) -> bool {
        self.offered.with(|offered| !offered.is_empty())
    }

    /// The id of the option that the keys are at.
    pub(crate) fn active(self) -> Option<String> {
        self.is_open().then(|| format!("mention-{}", self.index()))
    }

    fn index(self) -> usize {
        self.offered.with(|offered| self.at.get().min(offered.len().saturating_sub(1)))
    }

    fn take(self, index: usize) {
        let chosen = self.offered.with_untracked(|offered| offered.get(index).cloned());
        if let Some(agent) = chosen.filter(|agent| agent.disabled.is_none()) {
            self.at.set(0);
            self.choose.run(format!("@{} ", agent.id));
        }
    }

    /// Takes a key that is for the offer; says whether it was.
    pub(crate) fn key(self, event: &KeyboardEvent) -> bool {
        let count = self.offered.with_untracked(Vec::len);
        if count == 0 || is_composing(event) || event.shift_key() {
            return false;
        }
        let index = untrack(|| self.index());
        match event.key().as_str() {
            "ArrowDown" => self.at.set((index + 1) % count),
            "ArrowUp" => self.at.set((index + count - 1) % count),
            "Enter" | "Tab" => self.take(index),
            "Escape" => self.dismissed.set(Some(self.text.get_untracked())),
            _ => return false,
        }
        event.prevent_default();
        true
    }
}

/// The list of agents above the composer.
#[component]
pub(crate) fn MentionList(mention: Mention) -> impl IntoView {
    let option = move |(index, agent): (usize, AgentInfo)| {
        let usable = agent.disabled.is_none();
        let about = agent.disabled.as_deref().map_or_else(|| agent.description.clone(), sentence);
        view! {
            <li
                id=format!("mention-{index}")
                role="option"
                class="mention"
                aria-selected=move || if mention.index() == index { "true" } else { "false" }
                aria-disabled=(!usable).then_some("true")
                // The text keeps the focus.
                on:mousedown=move |event| event.prevent_default()
                on:click=move |_| mention.take(index)
            >
                {icon(Glyph::Spark)}
                <span class="mention-name">{agent.name.clone()} " " <code>{format!("@{}", agent.id)}</code></span>
                <span class="mention-about">{about}</span>
            </li>
        }
    };
    view! {
        <Show when=move || mention.is_open()>
            <ul class="mentions" id="mentions" role="listbox" aria-label="Whom to ask">
                {move || mention.offered.get().into_iter().enumerate().map(option).collect_view()}
            </ul>
        </Show>
        <p class="sr-only" role="status">
            {move || {
                let count = mention.offered.with(Vec::len);
                (count > 0).then(|| format!("{count} to choose from: arrow keys and Enter."))
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

    fn to(text: &str) -> Option<(String, String)> {
        addressed(text, &agents()).map(|(agent, rest)| (agent.id.clone(), rest.to_owned()))
    }

    #[test]
    fn a_text_is_addressed_by_id_or_by_name() {
        assert_eq!(to("@analyst why?"), Some(("analyst".into(), "why?".into())));
        assert_eq!(to("@Data analyst\nwhy?"), Some(("analyst".into(), "why?".into())));
        assert_eq!(to("@data analyse this"), Some(("data".into(), "analyse this".into())));
        assert_eq!(to("@rück 2 x"), Some(("r2".into(), "x".into())));
        assert_eq!(to("@analyst"), Some(("analyst".into(), String::new())));
        assert_eq!(to("@analysts why?"), None);
        assert_eq!(to("mail me @data"), None);
        assert_eq!(to("@"), None);
    }

    #[test]
    fn what_is_typed_offers_what_it_may_become() {
        let ids = |text: &str| offered(text, &agents()).into_iter().map(|agent| agent.id).collect::<Vec<_>>();
        assert_eq!(ids("@").len(), 3);
        assert_eq!(ids("@an"), ["analyst"]);
        assert_eq!(ids("@DATA"), ["analyst", "data"]);
        assert!(ids("@analyst ").is_empty());
        assert!(ids("a @an").is_empty());
    }
}
