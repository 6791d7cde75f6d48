//! The choice of the agent that answers: a list of the browser's own for a few agents, and a dialog with a search field for more.

use leptos::{html, prelude::*};

use super::{
    dialogs::Dialogs,
    icons::{Glyph, icon},
};
use crate::{protocol::http::AgentInfo, ui::context::AppContext};

/// With more agents than this, they are chosen in a dialog.
const MAX_LISTED: usize = 7;

/// The agent that answers, and a way to change it.
#[derive(Clone, Copy)]
pub(crate) struct AgentChoice {
    /// The agent's id, if known.
    pub(crate) current: Signal<Option<String>>,
    pub(crate) choose: Callback<String>,
}

/// A list to choose the agent from; nothing if there is only one.
#[component]
pub(crate) fn AgentSelect(agent: AgentChoice) -> impl IntoView {
    let app: AppContext = expect_context();
    match app.agents.with_value(Vec::len) {
        0 | 1 => None,
        2..=MAX_LISTED => Some(view! { <AgentList agent/> }.into_any()),
        _ => Some(view! { <AgentButton agent/> }.into_any()),
    }
}

/// A button that opens the dialog of agents.
#[component]
fn AgentButton(agent: AgentChoice) -> impl IntoView {
    let (app, dialogs): (AppContext, Dialogs) = (expect_context(), expect_context());
    let name = move || agent.current.get().map(|id| app.agent_name(&id)).unwrap_or_else(|| "Agent".to_owned());
    view! {
        <button
            type="button"
            class="agent-select agent-button"
            title="The agent that answers"
            aria-haspopup="dialog"
            on:click=move |_| dialogs.choose_agent(agent)
        >
            <span class="sr-only">"Agent: "</span>
            <span class="agent-button-name">{name}</span>
            {icon(Glyph::Chevron)}
        </button>
    }
    .into_any()
}

/// The browser's list of agents.
#[component]
fn AgentList(agent: AgentChoice) -> impl IntoView {
    let app: AppContext = expect_context();
    let agents = app.agents.get_value();
    let AgentChoice { current, choose } = agent;
    let select = NodeRef::<html::Select>::new();
    // The agent may be changed in another tab, or the change may be refused.
    Effect::new(move |_| {
        if let (Some(select), Some(current)) = (select.get(), current.get()) {
            select.set_value(&current);
        }
    });
    // A thread may keep an agent that was removed, or that this person may not use.
    let unknown = move || {
        let is_known = |id: &String| app.agents.with_value(|agents| agents.iter().any(|agent| agent.id == *id));
        current
            .get()
            .filter(|id| !is_known(id))
            .map(|id| view! { <option value=id.clone() selected disabled>{id.clone()}</option> })
    };
    let initial = current.get_untracked();
    let option = |agent: &AgentInfo| {
        let why = agent.disabled.as_deref().map(|why| format!(" (not available: {})", why.trim_end_matches('.')));
        view! {
            <option value=agent.id.clone() disabled=agent.disabled.is_some() selected=initial.as_ref() == Some(&agent.id)>
                {format!("{}{}", agent.name, why.unwrap_or_default())}
            </option>
        }
    };
    view! {
        <label class="sr-only" for="agent">"Agent"</label>
        <select
            id="agent"
            class="agent-select"
            autocomplete="off"
            title="The agent that answers"
            node_ref=select
            on:change:target=move |event| choose.run(event.target().value())
        >
            {agents.iter().map(option).collect_view()}
            {unknown}
        </select>
    }
    .into_any()
}
