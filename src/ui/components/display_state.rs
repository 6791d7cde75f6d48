//! How the parts of a run are displayed: whether a step, a tool call or a sub-agent is in progress, how it ended, and how long
//! it took.

use leptos::prelude::*;

use super::{
    clock::elapsed,
    icons::{Glyph, icon},
    run_tree::{PtrEq, RunSignals},
};
use crate::{
    thread::{Node, NodeBody, NodeState, Resolution, RunState, RunView},
    ui::components::{open_thread::OpenThread, rendered_items::ready_thread},
};

/// How a step, a tool call or a sub-agent is displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DisplayState {
    InProgress,
    /// It waits for the person's answer.
    NeedsAnswer,
    Done,
    Failed,
    /// Its run ended before it was done.
    Stopped,
}

/// The icon of a display state, with an accessible name.
pub(super) fn state_icon(state: DisplayState) -> AnyView {
    let (class, label, glyph) = match state {
        DisplayState::InProgress => {
            return view! { <span class="state" role="img" aria-label="In progress"><span class="spinner"></span></span> }
                .into_any();
        }
        DisplayState::NeedsAnswer => ("state", "Waiting for you", Glyph::Question),
        DisplayState::Done => ("state done", "Done", Glyph::Check),
        DisplayState::Failed => ("state failed", "Failed", Glyph::Warning),
        DisplayState::Stopped => ("state", "Stopped", Glyph::Stop),
    };
    view! { <span class=class role="img" aria-label=label>{icon(glyph)}</span> }.into_any()
}

impl DisplayState {
    /// What was open when its run was stopped counts as stopped, not as failed.
    fn new(node: NodeState, run: &RunState) -> Self {
        match node {
            NodeState::Open | NodeState::Called => Self::InProgress,
            NodeState::Done => Self::Done,
            NodeState::Failed if *run == RunState::Cancelled => Self::Stopped,
            NodeState::Failed => Self::Failed,
        }
    }
}

/// The display state of a step or a sub-agent.
///
/// It is one memo, and views must read nothing else: an effect that reads a memo, and after it another memo which the first
/// depends on, does not run again when only the second changes.
pub(super) fn display_state(run: RunSignals, node: Memo<PtrEq<Node>>) -> Memo<DisplayState> {
    Memo::new(move |_| {
        let state = node.with(|node| node.state);
        run.view.with(|run| DisplayState::new(state, &run.state))
    })
}

/// The display state of a tool call. A call that will get no result any more is not in progress.
pub(super) fn call_display_state(
    run: RunSignals,
    node: Memo<PtrEq<Node>>,
    calls: Memo<PendingCalls>,
) -> Memo<DisplayState> {
    Memo::new(move |_| {
        let (state, has_result) = node.with(|node| {
            let has_result = matches!(node.body, NodeBody::Tool { result: Some(_), .. });
            (node.state, has_result)
        });
        match (DisplayState::new(state, &run.view.with(|run| run.state.clone())), calls.get()) {
            (DisplayState::InProgress, PendingCalls::NeedAnswer) => DisplayState::NeedsAnswer,
            (DisplayState::InProgress, PendingCalls::Stopped(_)) => DisplayState::Stopped,
            (DisplayState::Stopped, _) if has_result => DisplayState::Failed,
            (state, _) => state,
        }
    })
}

/// The state of a run's tool calls that have no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PendingCalls {
    InProgress,
    /// They wait for the person's answer.
    NeedAnswer,
    /// They will get no result. The run's end, in milliseconds since 1970.
    Stopped(Option<i64>),
}

/// The state of a run's pending calls. When the person answered, it is that of the run that resumed this one.
pub(super) fn pending_calls(run: RunSignals) -> Memo<PendingCalls> {
    let open_thread = use_context::<OpenThread>();
    Memo::new(move |_| {
        let state_in = |resumed_by| {
            let state = open_thread?.view.with(|view| Some(own_pending_calls(ready_thread(view)?.run(resumed_by)?)));
            state.filter(|state| *state != PendingCalls::NeedAnswer)
        };
        run.view.with(|run| match &run.answered {
            Some(Resolution::Answered { resumed_by, .. }) => state_in(*resumed_by).unwrap_or(PendingCalls::InProgress),
            _ => own_pending_calls(run),
        })
    })
}

fn own_pending_calls(run: &RunView) -> PendingCalls {
    match run.state {
        _ if !run.open_interrupts().is_empty() => PendingCalls::NeedAnswer,
        RunState::Waiting | RunState::Running => PendingCalls::InProgress,
        _ => PendingCalls::Stopped(run.ended_at),
    }
}

/// The state of a node.
pub(super) fn node_state(node: Memo<PtrEq<Node>>) -> Memo<NodeState> {
    Memo::new(move |_| node.with(|node| node.state))
}

/// How long a node took, or has taken so far.
pub(super) fn node_duration(node: Memo<PtrEq<Node>>) -> impl Fn() -> Option<String> + Copy + Send + Sync + 'static {
    let times = Memo::new(move |_| node.with(|node| (node.started_at, node.ended_at)));
    move || {
        let (started_at, ended_at) = times.get();
        elapsed(started_at, ended_at)
    }
}
