//! A run: who, how it stands, how long; then what happened in it.

use leptos::prelude::*;

use super::{
    clock::elapsed,
    icons::{Glyph, icon},
    tree::{Nodes, Run, Shared, Tree},
};
use crate::{
    thread::{RunState, RunView},
    ui::{app::Facts, format},
};

/// A run's state for the document: what programs that look at the page go by.
fn name_of(state: &RunState) -> &'static str {
    match state {
        RunState::Waiting => "waiting",
        RunState::Running => "running",
        RunState::Finished => "finished",
        RunState::Cancelled => "cancelled",
        RunState::Interrupted { .. } => "interrupted",
        RunState::Failed { .. } => "failed",
    }
}

/// A run's state for people.
fn label_of(state: &RunState) -> &'static str {
    match state {
        RunState::Waiting => "Waiting to start",
        RunState::Running => "Running",
        RunState::Finished => "Finished",
        RunState::Cancelled => "Stopped",
        RunState::Interrupted { .. } => "Waiting for you",
        RunState::Failed { .. } => "Failed",
    }
}

/// A run.
#[component]
pub(crate) fn RunCard(
    run: Memo<Shared<RunView>>,
    /// Asks the same once more.
    again: Option<Callback<()>>,
) -> impl IntoView {
    let facts: Facts = expect_context();
    let (run_id, agent) = run.with_untracked(|run| (run.run_id, facts.agent_name(&run.agent)));
    let state = Memo::new(move |_| run.with(|run| run.state.clone()));
    let times = Memo::new(move |_| run.with(|run| (run.started_at, run.ended_at)));
    let tokens = Memo::new(move |_| {
        run.with(|run| run.usage.iter().filter_map(|u| Some(u.input_tokens? + u.output_tokens?)).sum::<u64>())
    });
    let tree = Memo::new(move |_| run.with(|run| Tree::of(&run.nodes)));
    let is_busy = move || state.with(|state| !state.is_over());
    let is_empty = Memo::new(move |_| tree.with(|tree| tree.within(None).is_empty()));
    let time = move || {
        let (started_at, ended_at) = times.get();
        elapsed(started_at, ended_at)
    };
    view! {
        <article
            class="run"
            aria-label=format!("Answer of {agent}")
            aria-busy=move || if is_busy() { "true" } else { "false" }
            data-run-id=run_id.to_string()
            data-run-state=move || state.with(name_of)
        >
            <header class="byline">
                <span class="avatar agent" aria-hidden="true">{icon(Glyph::Spark)}</span>
                <span class="author">{agent.clone()}</span>
                <span class="run-state">{move || state.with(label_of)}</span>
                <span class="time">{time}</span>
                {move || (tokens.get() > 0).then(|| view! { <span class="time">{format!("{} tokens", format::number(tokens.get() as f64))}</span> })}
            </header>
            <div class="run-body">
                <Nodes run=Run { view: run, tree }/>
                <Show when=move || is_busy() && is_empty.get()>
                    <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Getting started"</p>
                </Show>
                {move || state.with(|state| ending(state, again))}
            </div>
        </article>
    }
    .into_any()
}

/// What is said about a run that did not simply finish.
fn ending(state: &RunState, again: Option<Callback<()>>) -> Option<AnyView> {
    let again = again.map(|again| view! { <Again again/> });
    match state {
        RunState::Failed { message, .. } => Some(
            view! {
                <div class="failure" role="alert">
                    {icon(Glyph::Warning)}
                    <p><strong>"The run failed. "</strong> {format::sentence(message)}</p>
                    {again}
                </div>
            }
            .into_any(),
        ),
        RunState::Cancelled => {
            let text = "Stopped before it was done.";
            Some(view! { <div class="ended">{icon(Glyph::Stop)} <p>{text}</p> {again}</div> }.into_any())
        }
        RunState::Interrupted { interrupts } => {
            let reason = |interrupt: &crate::protocol::agui::Interrupt| {
                let text = interrupt.message.clone().unwrap_or_else(|| interrupt.reason.clone());
                view! { <p>{text}</p> }
            };
            Some(view! { <div class="waits">{interrupts.iter().map(reason).collect_view()}</div> }.into_any())
        }
        RunState::Waiting | RunState::Running | RunState::Finished => None,
    }
}

/// Asks the same once more. Once: what comes of it is shown below, and has a button of its own.
#[component]
fn Again(again: Callback<()>) -> impl IntoView {
    let asked = RwSignal::new(false);
    let ask = move |_| {
        if !asked.get_untracked() {
            asked.set(true);
            again.run(());
        }
    };
    view! {
        <button type="button" class="small-button" disabled=move || asked.get() on:click=ask>
            {move || if asked.get() { "Asked again" } else { "Ask again" }}
        </button>
    }
    .into_any()
}
