//! A run: agent, state, duration and usage; then its nodes, its interrupts, and how it ended.

use leptos::{prelude::*, task::spawn_local};

use super::{
    answer_actions::run_end,
    clock::elapsed,
    collapsible::Collapsible,
    icons::{Glyph, icon},
    json::LongText,
    run_nodes::Nodes,
    run_tree::{NodeTree, PtrEq, RunSignals},
};
use crate::{
    protocol::{MessageId, StopRun, TakeBack, Waiting, WaitsFor, agui::Usage, extensions::TOOL_TASK},
    text::escape_invisible,
    thread::{NodeBody, Resolution, RunState, RunView},
    ui::{
        components::{open_thread::OpenThread, rendered_items::ready_thread},
        context::AppContext,
        format,
    },
};

/// The value of `data-run-state`, which tests and scripts read.
fn state_attribute(state: &RunState) -> &'static str {
    match state {
        RunState::Waiting => "waiting",
        RunState::Running => "running",
        RunState::Finished => "finished",
        RunState::Cancelled => "cancelled",
        RunState::Interrupted { .. } => "interrupted",
        RunState::Failed { .. } => "failed",
    }
}

/// A run's state in words. While disconnected, a run that was active may have ended.
fn state_label(state: &RunState, answered: Option<&Resolution>, place: Option<Waiting>, connected: bool) -> String {
    let label = match (state, answered, place) {
        (RunState::Waiting | RunState::Running, ..) if !connected => "Not connected: state unknown",
        (RunState::Waiting, _, Some(place)) => return format!("Waiting: {} in line", format::ordinal(place.position)),
        (RunState::Waiting, ..) => "Waiting to start",
        (RunState::Running, ..) => "Running",
        (RunState::Finished, ..) => "Finished",
        (RunState::Cancelled, ..) => "Stopped",
        (RunState::Interrupted { .. }, None, _) => "Waiting for you",
        (RunState::Interrupted { .. }, Some(Resolution::Answered { .. }), _) => "Answered",
        (RunState::Interrupted { .. }, Some(Resolution::Abandoned), _) => "Not answered",
        (RunState::Failed { .. }, ..) => "Failed",
    };
    label.to_owned()
}

/// When a waiting run will start.
fn starts_when(place: Waiting) -> &'static str {
    match place.waits_for {
        WaitsFor::Thread => "Starts after earlier messages in this thread.",
        WaitsFor::Person => "Starts when one of your other runs ends.",
        WaitsFor::Agent => "Starts when the agent is free.",
        WaitsFor::Server => "Starts when the server is free.",
    }
}

/// A run's tokens and their cost; `None` if it reported none.
fn usage_label(run: &RunView) -> Option<String> {
    let tokens = |usage: &Usage| match (usage.input_tokens, usage.output_tokens) {
        (None, None) => usage.total_tokens,
        (input, output) => Some(input.unwrap_or(0) + output.unwrap_or(0)),
    };
    let tokens: u64 = run.usage.iter().filter_map(tokens).sum();
    let cost = run.cost_usd.map(|usd| format!(" · {}", format::dollars(usd))).unwrap_or_default();
    (tokens > 0).then(|| format!("{} tokens{cost}", format::number(tokens as f64)))
}

/// A run.
#[component]
pub(crate) fn RunCard(run: Memo<PtrEq<RunView>>) -> impl IntoView {
    let app: AppContext = expect_context();
    // A replay has none: its run has no actions.
    let open_thread = use_context::<OpenThread>();
    let (run_id, agent) = run.with_untracked(|run| (run.run_id, app.agent_name(&run.agent)));
    let state = Memo::new(move |_| run.with(|run| run.state.clone()));
    let place = Memo::new(move |_| {
        let waiting = state.with(|state| *state == RunState::Waiting);
        let queue = open_thread.filter(|_| waiting)?.queue;
        queue.with(|queue| queue.iter().find(|place| place.run_id == run_id).copied())
    });
    let tree = Memo::new(move |_| run.with(|run| NodeTree::new(&run.nodes)));
    let is_active = move || state.with(|state| !state.is_over());
    let is_empty = Memo::new(move |_| tree.with(|tree| tree.children(None).is_empty()));
    let connected = Memo::new(move |_| open_thread.is_none_or(OpenThread::is_up_to_date));
    view! {
        <article
            class="run"
            aria-label=format!("Answer from {agent}")
            aria-busy=move || if is_active() { "true" } else { "false" }
            data-run-id=run_id.to_string()
            data-run-state=move || state.with(state_attribute)
        >
            <RunHeader run agent=agent.clone() state place connected/>
            <div class="run-body">
                <Nodes run=RunSignals { view: run, tree }/>
                <SharedState run/>
                <Show when=move || is_active() && is_empty.get() && place.get().is_none() && connected.get()>
                    <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Starting"</p>
                </Show>
                {move || place.get().map(|place| view! { <WaitingRun run place/> })}
                {move || state.with(|state| run_end(state, run))}
            </div>
        </article>
    }
    .into_any()
}

/// The line above a run: agent, state, duration and usage.
#[component]
fn RunHeader(
    run: Memo<PtrEq<RunView>>,
    agent: String,
    state: Memo<RunState>,
    place: Memo<Option<Waiting>>,
    connected: Memo<bool>,
) -> impl IntoView {
    let answered = Memo::new(move |_| run.with(|run| run.answered.clone()));
    let label = move || {
        state
            .with(|state| answered.with(|answered| state_label(state, answered.as_ref(), place.get(), connected.get())))
    };
    let times = Memo::new(move |_| run.with(|run| (run.started_at, run.ended_at)));
    let time = move || {
        let (started_at, ended_at) = times.get();
        elapsed(started_at, ended_at)
    };
    let usage = Memo::new(move |_| run.with(|run| usage_label(run)));
    let author = run.with_untracked(|run| escape_invisible(&run.author(&agent)));
    view! {
        <header class="byline">
            <span class="avatar agent" aria-hidden="true">{icon(Glyph::Spark)}</span>
            <bdi class="author">{author}</bdi>
            <span class="run-state">{label}</span>
            <span class="time">{time}</span>
            {move || usage.get().map(|usage| view! { <span class="time" title="Model usage of this run">{usage}</span> })}
        </header>
    }
    .into_any()
}

/// The agent's shared state, collapsed; nothing if the run has none.
#[component]
fn SharedState(run: Memo<PtrEq<RunView>>) -> impl IntoView {
    let has_state = Memo::new(move |_| run.with(|run| run.shared.is_some() || !run.shared_changes.is_empty()));
    let text = Signal::derive(move || {
        run.with(|run| match &run.shared {
            Some(shared) => serde_json::to_string_pretty(shared),
            // A large state is kept only in the run that set it; later runs have their changes.
            None => {
                serde_json::to_string_pretty(&run.shared_changes.iter().flat_map(|delta| &**delta).collect::<Vec<_>>())
            }
        })
        .unwrap_or_default()
    });
    let summary = || view! { {icon(Glyph::Chevron)} <span class="summary-name">"Shared state"</span> };
    view! {
        <Show when=move || has_state.get()>
            <Collapsible open=false class="aside" summary><LongText text label="Shared state"/></Collapsible>
        </Show>
    }
    .into_any()
}

/// Why a run waits, and a button that takes its message back or stops it.
#[component]
fn WaitingRun(run: Memo<PtrEq<RunView>>, place: Waiting) -> impl IntoView {
    let open_thread: OpenThread = expect_context();
    let busy = RwSignal::new(false);
    // A run that resumes another belongs to a message whose first run has begun: it can only be stopped.
    let message_id = run.with_untracked(|run| run.message_id.filter(|_| run.resumes.is_none()));
    let cancel = move |_| {
        busy.set(true);
        let run_id = run.with_untracked(|run| run.run_id);
        spawn_local(async move {
            match message_id {
                Some(message_id) => take_back(open_thread, message_id).await,
                None => {
                    if let Err(error) = open_thread.socket.send(StopRun { run_id }).await {
                        open_thread.draft.show_error(format::error_message(&error));
                    }
                }
            }
            busy.try_set(false);
        });
    };
    let steers = message_id.and_then(|id| open_thread.message(id)).is_some_and(|message| message.steer);
    let is_running = open_thread.running();
    let about = move || match steers && is_running.get().is_some() {
        true => "The agent will read this before its next step.",
        false => starts_when(place),
    };
    let (glyph, label) = if message_id.is_some() { (Glyph::Undo, "Take back") } else { (Glyph::Stop, "Stop") };
    view! {
        <div class="run-end">
            <p>{about}</p>
            <Show when=move || open_thread.can_write()>
                <button type="button" class="small-button" disabled=move || busy.get() on:click=cancel>{icon(glyph)} {label}</button>
            </Show>
        </div>
    }
    .into_any()
}

/// Takes a message back and returns its text to the thread's draft, even if the person has left the page meanwhile.
async fn take_back(open_thread: OpenThread, message_id: MessageId) {
    let Some(message) = open_thread.message(message_id) else { return };
    let thread_id = open_thread.id;
    if let Err(error) = open_thread.socket.send(TakeBack { thread_id, message_id }).await {
        return open_thread.draft.show_error(format::error_message(&error));
    }
    let thread_agent = open_thread.view.try_with_untracked(|view| {
        ready_thread(view).and_then(|thread| thread.info.as_ref().map(|info| info.agent.clone()))
    });
    match thread_agent {
        Some(agent) => {
            let is_other = agent.is_some_and(|agent| agent != message.agent);
            let text = if is_other { format!("@{} {}", message.agent, message.content) } else { message.content };
            open_thread.draft.add_taken_back(text, message.attachments);
        }
        None => open_thread.drafts.restore(Some(thread_id), &message.content, message.attachments),
    }
}

/// Whether a run shows anything but steps: text, a chart, an activity, or a tool call that waits for a result.
pub(super) fn has_content(run: &RunView) -> bool {
    let is_content = |body: &NodeBody| match body {
        NodeBody::Text { text, .. } => !text.trim().is_empty(),
        NodeBody::Activity { activity_type, .. } => activity_type != TOOL_TASK,
        NodeBody::Custom { .. } => true,
        _ => false,
    };
    run.nodes.iter().any(|node| is_content(&node.body)) || !run.pending_tool_calls().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RunId;

    #[test]
    fn a_waiting_run_shows_its_place_in_line() {
        let place = Waiting { run_id: RunId::new(), position: 2, waits_for: WaitsFor::Thread };
        assert_eq!(state_label(&RunState::Waiting, None, Some(place), true), "Waiting: 2nd in line");
        assert_eq!(state_label(&RunState::Waiting, None, None, true), "Waiting to start");
        let interrupted = RunState::Interrupted { interrupts: Vec::new() };
        assert_eq!(state_label(&interrupted, None, None, true), "Waiting for you");
        assert_eq!(state_label(&interrupted, Some(&Resolution::Abandoned), None, true), "Not answered");
    }

    #[test]
    fn without_a_connection_the_state_of_active_runs_is_unknown() {
        assert_eq!(state_label(&RunState::Running, None, None, false), "Not connected: state unknown");
        assert_eq!(state_label(&RunState::Waiting, None, None, false), "Not connected: state unknown");
        assert_eq!(state_label(&RunState::Finished, None, None, false), "Finished");
    }

    #[test]
    fn a_run_with_only_steps_or_blank_text_has_no_content() {
        use crate::protocol::{
            ThreadEntry,
            agui::{Event, StepFinished, StepStarted, TextMessageContent, TextMessageStart},
        };
        let run_id = RunId::new();
        let mut view = crate::thread::ThreadView::default();
        let mut has_content_after = |event: Event| {
            view.apply(0, ThreadEntry::Agent { run_id, event: Box::new(event) });
            view.run(run_id).is_some_and(has_content)
        };
        assert!(!has_content_after(StepStarted::new("look").into()));
        assert!(!has_content_after(StepFinished::new("look").into()));
        assert!(!has_content_after(TextMessageStart::new("m").into()));
        assert!(!has_content_after(TextMessageContent::new("m", " \n").into()));
        assert!(has_content_after(TextMessageContent::new("m", "42").into()));
    }
}
