//! A new thread: what to ask, of whom, with which file.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::{NavigateOptions, hooks::use_navigate};

use crate::{
    protocol::{ThreadId, http::AgentInfo},
    ui::{
        components::{
            composer::{Choice, Composer},
            draft::Draft,
            focus::WritesNext,
        },
        context::AppContext,
        outgoing::{NewMessage, Outgoing, Place},
        pages::thread::Drop,
    },
};

/// How many examples are offered at first.
const OFFERED: usize = 6;

/// The page of a new thread.
#[component]
pub(crate) fn Home() -> impl IntoView {
    let app: AppContext = expect_context();
    let outgoing: Outgoing = expect_context();
    let next: WritesNext = expect_context();
    let navigate = StoredValue::new(use_navigate());
    let draft = Draft::new(None);
    // The first that can be used is the server's default.
    let default =
        |agents: &Vec<AgentInfo>| agents.iter().find(|agent| agent.disabled.is_none()).map(|agent| agent.id.clone());
    let chosen = RwSignal::new(app.agents.with_value(default));
    let agent = Choice { current: chosen.into(), choose: Callback::new(move |id| chosen.set(Some(id))) };
    let send = move |written: NewMessage| {
        let thread_id = ThreadId::new();
        outgoing.send(thread_id, written, Place::Newest, Some(chosen.get_untracked()));
        let path = format!("/threads/{thread_id}");
        next.at(&path);
        navigate.with_value(|navigate| navigate(&path, NavigateOptions::default()));
    };
    let about = move || {
        let about = |agents: &Vec<AgentInfo>| {
            chosen.with(|id| {
                agents.iter().find(|agent| Some(&agent.id) == id.as_ref()).map(|agent| agent.description.clone())
            })
        };
        app.agents.with_value(about).unwrap_or_else(|| "Ask, and watch every step of the answer.".into())
    };
    view! {
        <Title text="New thread"/>
        <Drop draft>
            <div class="page home">
                <h1>"What would you like to know?"</h1>
                <p class="lead">{about}</p>
                <Composer draft placeholder="Ask a question, or drop a usage log here" agent on_send=send active=Signal::stored(None)/>
                <Examples draft chosen/>
            </div>
        </Drop>
    }
    .into_any()
}

/// Questions to begin with.
#[component]
fn Examples(draft: Draft, chosen: RwSignal<Option<String>>) -> impl IntoView {
    let app: AppContext = expect_context();
    let all = RwSignal::new(false);
    let examples = Memo::new(move |_| {
        let of = |agents: &Vec<AgentInfo>| {
            chosen.with(|id| {
                agents.iter().find(|agent| Some(&agent.id) == id.as_ref()).map(|agent| agent.examples.clone())
            })
        };
        app.agents.with_value(of).unwrap_or_default()
    });
    let offered = move || {
        let shown = if all.get() { usize::MAX } else { OFFERED };
        examples.get().into_iter().take(shown).collect::<Vec<_>>()
    };
    let example = move |text: String| {
        let suggested = text.clone();
        view! { <li><button type="button" class="example" on:click=move |_| draft.suggest(suggested.clone())>{text}</button></li> }
    };
    view! {
        <Show when=move || !examples.with(Vec::is_empty)>
            <section class="examples" aria-labelledby="examples-title">
                <h2 id="examples-title">"Questions to begin with"</h2>
                <ul><For each=offered key=String::clone children=example/></ul>
                <Show when=move || { examples.with(Vec::len) > OFFERED }>
                    <button type="button" class="small-button" on:click=move |_| all.update(|all| *all = !*all)>
                        {move || if all.get() { "Fewer" } else { "More questions" }}
                    </button>
                </Show>
            </section>
        </Show>
    }
    .into_any()
}
