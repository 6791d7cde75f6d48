//! The home page: starts a new thread.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::{NavigateOptions, hooks::use_navigate};

use crate::{
    protocol::{ThreadId, http::AgentInfo},
    ui::{
        components::{
            agent_select::AgentChoice, composer::Composer, draft::Draft, focus::ComposerFocus,
            temporary::TemporarySwitch,
        },
        context::{AppContext, RequestedAgent},
        outgoing::{NewMessage, NewThread, Outgoing, Place},
        pages::thread::DropArea,
    },
};

/// How many example questions are shown at first.
const MAX_FIRST_EXAMPLES: usize = 6;

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
        let description = |agents: &Vec<AgentInfo>| {
            chosen.with(|id| {
                agents.iter().find(|agent| Some(&agent.id) == id.as_ref()).map(|agent| agent.description.clone())
            })
        };
        app.agents.with_value(description).unwrap_or_else(|| "Ask a question and watch each step of the answer.".into())
    };
    view! {
        <Title text="New thread"/>
        <DropArea draft>
            <div class="page home">
                <h1>"What would you like to know?"</h1>
                <p class="lead">{description}</p>
                <Composer draft placeholder="Ask a question, or drop a usage log here" agent on_send=send active=Signal::stored(None)/>
                <TemporarySwitch is_on=is_temporary/>
                <Examples draft chosen/>
            </div>
        </DropArea>
    }
    .into_any()
}

/// Example questions of the chosen agent.
#[component]
fn Examples(draft: Draft, chosen: RwSignal<Option<String>>) -> impl IntoView {
    let app: AppContext = expect_context();
    let show_all = RwSignal::new(false);
    let examples = Memo::new(move |_| {
        let examples = |agents: &Vec<AgentInfo>| {
            chosen.with(|id| {
                agents.iter().find(|agent| Some(&agent.id) == id.as_ref()).map(|agent| agent.examples.clone())
            })
        };
        app.agents.with_value(examples).unwrap_or_default()
    });
    let visible = move || {
        let shown = if show_all.get() { usize::MAX } else { MAX_FIRST_EXAMPLES };
        examples.get().into_iter().take(shown).collect::<Vec<_>>()
    };
    let example = move |text: String| {
        let suggested = text.clone();
        view! { <li><button type="button" class="example" on:click=move |_| draft.fill(suggested.clone())>{text}</button></li> }
    };
    view! {
        <Show when=move || !examples.with(Vec::is_empty)>
            <section class="examples" aria-labelledby="examples-title">
                <h2 id="examples-title">"Example questions"</h2>
                <ul><For each=visible key=String::clone children=example/></ul>
                <Show when=move || { examples.with(Vec::len) > MAX_FIRST_EXAMPLES }>
                    <button type="button" class="small-button" on:click=move |_| show_all.update(|all| *all = !*all)>
                        {move || if show_all.get() { "Fewer" } else { "More questions" }}
                    </button>
                </Show>
            </section>
        </Show>
    }
    .into_any()
}
