//! The home page: starts a new thread.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::{NavigateOptions, hooks::use_navigate};

use crate::{
    protocol::{ThreadId, http::AgentInfo},
    ui::{
        components::{
            agent_select::AgentChoice, composer::Composer, draft::Draft, examples::Examples, focus::ComposerFocus,
            temporary::TemporarySwitch,
        },
        context::{AppContext, RequestedAgent},
        outgoing::{NewMessage, NewThread, Outgoing, Place},
        pages::thread::DropArea,
    },
};

/// The home page.
#[component]
pub(crate) fn Home() -> impl IntoView {
    let app: AppContext = expect_context();
    let outgoing: Outgoing = expect_context();
    let composer_focus: ComposerFocus = expect_context();
    let navigate = StoredValue::new(use_navigate());
    let draft = Draft::new(None);
    // The first usable agent is the server's default.
    let default =
        |agents: &Vec<AgentInfo>| agents.iter().find(|agent| agent.disabled.is_none()).map(|agent| agent.id.clone());
    let chosen = RwSignal::new(app.agents.with_value(default));
    let RequestedAgent(requested) = expect_context();
    Effect::new(move |_| {
        if let Some(agent) = requested.get() {
            chosen.set(Some(agent));
            requested.set(None);
        }
    });
    let agent = AgentChoice { current: chosen.into(), choose: Callback::new(move |id| chosen.set(Some(id))) };
    let is_temporary = RwSignal::new(false);
    let send = move |message: NewMessage| {
        let thread_id = ThreadId::new();
        let new_thread = NewThread { agent: chosen.get_untracked(), temporary: is_temporary.get_untracked() };
        outgoing.send(thread_id, message, Place::Newest, Some(new_thread));
        let path = format!("/threads/{thread_id}");
        composer_focus.request(&path);
        navigate.with_value(|navigate| navigate(&path, NavigateOptions::default()));
    };
    let description = move || {
        let description = chosen.with(|id| app.of_agent(id.as_deref(), |agent| agent.description.clone()));
        description.unwrap_or_else(|| "Ask a question and watch each step of the answer.".into())
    };
    view! {
        <Title text="New thread"/>
        <DropArea draft>
            <div class="page home">
                <h1>"What would you like to know?"</h1>
                <p class="lead">{description}</p>
                <Composer draft placeholder="Ask a question, or drop a usage log here" agent on_send=send active=Signal::stored(None)/>
                <TemporarySwitch is_on=is_temporary/>
                <Examples draft agent=chosen/>
            </div>
        </DropArea>
    }
    .into_any()
}
