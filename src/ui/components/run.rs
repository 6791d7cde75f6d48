//! A run: who, how it stands, how long; then what happened in it, what it asks, what came of it.

use leptos::{prelude::*, task::spawn_local};

use super::{
    clock::elapsed,
    consent::Asks,
    fold::Fold,
    icons::{Glyph, icon},
    json::Bounded,
    tree::{Nodes, Run, Shared, Tree},
};
use crate::{
    protocol::{MessageId, StopRun, TakeBack, Waiting, WaitsFor, extensions::TOOL_TASK},
    thread::{Answered, NodeBody, RunState, RunView},
    ui::{components::conversation::Conversation, context::AppContext, format},
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

/// A run's state for people. Without a connection a run that was under way may have ended since.
fn label_of(state: &RunState, answered: Option<&Answered>, place: Option<Waiting>, connected: bool) -> String {
    let label = match (state, answered, place) {
        (RunState::Waiting | RunState::Running, ..) if !connected => "Not connected: state unknown",
        (RunState::Waiting, _, Some(place)) => return format!("Waiting: {} in line", format::ordinal(place.position)),
        (RunState::Waiting, ..) => "Waiting to start",
        (RunState::Running, ..) => "Running",
        (RunState::Finished, ..) => "Finished",
        (RunState::Cancelled, ..) => "Stopped",
        (RunState::Interrupted { .. }, None, _) => "Waiting for you",
        (RunState::Interrupted { .. }, Some(Answered::By { .. }), _) => "Answered",
        (RunState::Interrupted { .. }, Some(Answered::GivenUp), _) => "Not answered",
        (RunState::Failed { .. }, ..) => "Failed",
    };
    label.to_owned()
}

/// What a run waits for, as a sentence.
fn waits_for(place: Waiting) -> &'static str {
    match place.waits_for {
        WaitsFor::Thread => "It begins after what was asked before in this thread.",
        WaitsFor::Person => "It begins when one of your other runs has ended.",
        WaitsFor::Agent => "It begins when the agent is free.",
        WaitsFor::Server => "It begins when the server is free.",
    }
}

/// The tokens of a run and what they cost, in words.
fn spent(run: &RunView) -> Option<String> {
    let of = |usage: &crate::protocol::agui::Usage| match (usage.input_tokens, usage.output_tokens) {
        (None, None) => usage.total_tokens,
        (input, output) => Some(input.unwrap_or(0) + output.unwrap_or(0)),
    };
    let tokens: u64 = run.usage.iter().filter_map(of).sum();
    let cost = run.cost_usd.map(|usd| format!(" · {}", format::dollars(usd))).unwrap_or_default();
    (tokens > 0).then(|| format!("{} tokens{cost}", format::number(tokens as f64)))
}

/// A run.
#[component]
pub(crate) fn RunCard(run: Memo<Shared<RunView>>) -> impl IntoView {
    let app: AppContext = expect_context();
    let conversation: Conversation = expect_context();
    let (run_id, agent) = run.with_untracked(|run| (run.run_id, app.agent_name(&run.agent)));
    let state = Memo::new(move |_| run.with(|run| run.state.clone()));
    let answered = Memo::new(move |_| run.with(|run| run.answered.clone()));
    let place = Memo::new(move |_| {
        let waiting = state.with(|state| *state == RunState::Waiting);
        waiting
            .then(|| conversation.queue.with(|queue| queue.iter().find(|place| place.run_id == run_id).copied()))
            .flatten()
    });
    let times = Memo::new(move |_| run.with(|run| (run.started_at, run.ended_at)));
    let spent = Memo::new(move |_| run.with(|run| spent(run)));
    let tree = Memo::new(move |_| run.with(|run| Tree::of(&run.nodes)));
    let is_busy = move || state.with(|state| !state.is_over());
    let is_empty = Memo::new(move |_| tree.with(|tree| tree.within(None).is_empty()));
    let connected = Memo::new(move |_| conversation.is_up_to_date());
    let has_shared = Memo::new(move |_| run.with(|run| run.shared.is_some() || !run.shared_changes.is_empty()));
    let shared = Signal::derive(move || {
        run.with(|run| match &run.shared {
            Some(shared) => serde_json::to_string_pretty(shared),
            // A large state stands where it was told.
            None => {
                serde_json::to_string_pretty(&run.shared_changes.iter().flat_map(|delta| &**delta).collect::<Vec<_>>())
            }
        })
        .unwrap_or_default()
    });
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
                <span class="run-state">
                    {move || state.with(|state| answered.with(|answered| label_of(state, answered.as_ref(), place.get(), connected.get())))}
                </span>
                <span class="time">{time}</span>
                {move || spent.get().map(|spent| view! { <span class="time" title="What the models of this run used">{spent}</span> })}
            </header>
            <div class="run-body">
                <Nodes run=Run { view: run, tree }/>
                <Show when=move || has_shared.get()>
                    <Fold open=false class="aside" summary=shared_summary><Bounded text=shared label="Shared state"/></Fold>
                </Show>
                <Show when=move || is_busy() && is_empty.get() && place.get().is_none() && connected.get()>
                    <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Getting started"</p>
                </Show>
                {move || place.get().map(|place| view! { <InLine run place/> })}
                {move || state.with(|state| ending(state, run))}
            </div>
        </article>
    }
    .into_any()
}

fn shared_summary() -> impl IntoView {
    view! { {icon(Glyph::Chevron)} <span class="fold-name">"Shared state"</span> }
}

/// A run that waits its turn: what for, and the way out.
#[component]
fn InLine(run: Memo<Shared<RunView>>, place: Waiting) -> impl IntoView {
    let conversation: Conversation = expect_context();
    let busy = RwSignal::new(false);
    // One that goes on from another answers a message whose run began long ago: it can only be stopped.
    let message_id = run.with_untracked(|run| run.message_id.filter(|_| run.resumes.is_none()));
    let out = move |_| {
        busy.set(true);
        let run_id = run.with_untracked(|run| run.run_id);
        spawn_local(async move {
            match message_id {
                Some(message_id) => take_back(conversation, message_id).await,
                None => {
                    if let Err(refused) = conversation.socket.send(StopRun { run_id }).await {
                        conversation.draft.refuse(format::error_message(&refused));
                    }
                }
            }
            busy.try_set(false);
        });
    };
    let (glyph, label) = if message_id.is_some() { (Glyph::Undo, "Take back") } else { (Glyph::Stop, "Stop") };
    view! {
        <div class="ended">
            <p>{waits_for(place)}</p>
            <button type="button" class="small-button" disabled=move || busy.get() on:click=out>{icon(glyph)} {label}</button>
        </div>
    }
    .into_any()
}

/// Takes a message back: what it said is the draft again, wherever its person is by then.
async fn take_back(conversation: Conversation, message_id: MessageId) {
    let Some(message) = conversation.message(message_id) else { return };
    let thread_id = conversation.id;
    if let Err(refused) = conversation.socket.send(TakeBack { thread_id, message_id }).await {
        return conversation.draft.refuse(format::error_message(&refused));
    }
    let of_thread = conversation.view.try_with_untracked(|view| {
        crate::ui::components::conversation::ready_thread(view)
            .and_then(|thread| thread.info.as_ref().map(|info| info.agent.clone()))
    });
    match of_thread {
        Some(agent) => {
            let other = agent.is_some_and(|agent| agent != message.agent);
            let text = if other { format!("@{} {}", message.agent, message.content) } else { message.content };
            conversation.draft.take_back(text, message.attachments);
        }
        None => conversation.drafts.restore(Some(thread_id), &message.content, message.attachments),
    }
}

/// Whether a run said or showed something to people: text, a chart, an activity, or a call that waits for a result.
fn has_content(run: &RunView) -> bool {
    let shows = |body: &NodeBody| match body {
        NodeBody::Text { text, .. } => !text.trim().is_empty(),
        NodeBody::Activity { activity_type, .. } => activity_type != TOOL_TASK,
        NodeBody::Custom { .. } => true,
        _ => false,
    };
    run.nodes.iter().any(|node| shows(&node.body)) || !run.awaits().is_empty()
}

/// What is said about a run that is over, and what can be done then.
fn ending(state: &RunState, run: Memo<Shared<RunView>>) -> Option<AnyView> {
    match state {
        RunState::Failed { message, code } => Some(
            view! {
                <div class="failure" data-code=code.clone()>
                    {icon(Glyph::Warning)}
                    <p><strong>"The run failed. "</strong> {format::sentence(message)}</p>
                    <Again run label="Ask again"/>
                </div>
            }
            .into_any(),
        ),
        RunState::Cancelled => {
            let text = "Stopped before it was done.";
            Some(
                view! { <div class="ended">{icon(Glyph::Stop)} <p>{text}</p> <Again run label="Ask again"/></div> }
                    .into_any(),
            )
        }
        RunState::Interrupted { interrupts } => {
            Some(view! { <Asks run interrupts=interrupts.clone()/> <GivenUp run/> }.into_any())
        }
        RunState::Finished => {
            let silent = run.with_untracked(|run| !has_content(run));
            let note = silent.then(|| view! { <p>"The agent ended without an answer."</p> });
            Some(view! { <div class="ended">{note} <Again run label="Regenerate"/></div> }.into_any())
        }
        RunState::Waiting | RunState::Running => None,
    }
}

/// What was asked and not answered can be asked once more.
#[component]
fn GivenUp(run: Memo<Shared<RunView>>) -> impl IntoView {
    let given_up = Memo::new(move |_| run.with(|run| run.answered == Some(Answered::GivenUp)));
    view! { <Show when=move || given_up.get()><div class="ended"><Again run label="Ask again"/></div></Show> }
}

/// Asks the same once more, of the same agent about the same files: in the place of what was asked, which stays reachable.
#[component]
fn Again(run: Memo<Shared<RunView>>, label: &'static str) -> impl IntoView {
    let conversation: Conversation = expect_context();
    let message_id = run.with_untracked(|run| run.message_id);
    let ask = move |_| {
        if let Some(message) = message_id.and_then(|id| conversation.message(id)) {
            conversation.replace_message(&message, message.content.clone(), None);
        }
    };
    message_id.map(|_| {
        view! { <button type="button" class="small-button" on:click=ask>{icon(Glyph::Redo)} {label}</button> }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RunId;

    #[test]
    fn a_waiting_run_says_where_in_line_it_is() {
        let place = Waiting { run_id: RunId::new(), position: 2, waits_for: WaitsFor::Thread };
        assert_eq!(label_of(&RunState::Waiting, None, Some(place), true), "Waiting: 2nd in line");
        assert_eq!(label_of(&RunState::Waiting, None, None, true), "Waiting to start");
        let asks = RunState::Interrupted { interrupts: Vec::new() };
        assert_eq!(label_of(&asks, None, None, true), "Waiting for you");
        assert_eq!(label_of(&asks, Some(&Answered::GivenUp), None, true), "Not answered");
    }

    #[test]
    fn without_a_connection_only_what_is_over_is_told_as_known() {
        assert_eq!(label_of(&RunState::Running, None, None, false), "Not connected: state unknown");
        assert_eq!(label_of(&RunState::Waiting, None, None, false), "Not connected: state unknown");
        assert_eq!(label_of(&RunState::Finished, None, None, false), "Finished");
    }

    #[test]
    fn a_run_without_text_or_anything_to_look_at_has_no_content() {
        use crate::protocol::{
            ThreadEntry,
            agui::{Event, StepFinished, StepStarted, TextMessageContent, TextMessageStart},
        };
        let run_id = RunId::new();
        let mut view = crate::thread::ThreadView::default();
        let mut told = |event: Event| {
            view.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event) });
            view.run(run_id).is_some_and(has_content)
        };
        assert!(!told(StepStarted::new("look").into()));
        assert!(!told(StepFinished::new("look").into()));
        assert!(!told(TextMessageStart::new("m").into()));
        assert!(!told(TextMessageContent::new("m", " \n").into()));
        assert!(told(TextMessageContent::new("m", "42").into()));
    }
}
