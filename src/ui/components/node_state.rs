//! How the parts of a run are shown: whether a step, a call or a sub-agent goes on, how it ended, and how long it took.

use leptos::prelude::*;

use super::{
    clock::elapsed,
    icons::{Glyph, icon},
    tree::{Run, Shared},
};
use crate::{
    thread::{Answered, Node, NodeBody, NodeState, RunState, RunView},
    ui::components::conversation::{Conversation, ready_thread},
};

/// How a step, a call or a sub-agent is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    InProgress,
    /// It waits for the person.
    Asks,
    Done,
    Failed,
    /// It ended with its run, before it was done.
    Stopped,
}

/// That as an icon with a name.
pub(super) fn icon_of(shown: Shown) -> AnyView {
    let (class, label, glyph) = match shown {
        Shown::InProgress => {
            return view! { <span class="state" role="img" aria-label="In progress"><span class="spinner"></span></span> }
                .into_any();
        }
        Shown::Asks => ("state", "Waits for you", Glyph::Question),
        Shown::Done => ("state done", "Done", Glyph::Check),
        Shown::Failed => ("state failed", "Failed", Glyph::Warning),
        Shown::Stopped => ("state", "Stopped", Glyph::Stop),
    };
    view! { <span class=class role="img" aria-label=label>{icon(glyph)}</span> }.into_any()
}

impl Shown {
    /// A run that was stopped stopped what was open in it: nothing of that failed.
    fn of(state: NodeState, run: &RunState) -> Self {
        match state {
            NodeState::Open | NodeState::Called => Self::InProgress,
            NodeState::Done => Self::Done,
            NodeState::Failed if *run == RunState::Cancelled => Self::Stopped,
            NodeState::Failed => Self::Failed,
        }
    }
}

/// How a step or a sub-agent is shown, and again when that changes.
///
/// It is one memo, and whoever shows it reads nothing else: an effect that reads a memo and after it another that the first is made
/// of is not run again where the second changes and the first does not.
pub(super) fn shown_of(run: Run, node: Memo<Shared<Node>>) -> Memo<Shown> {
    Memo::new(move |_| {
        let state = node.with(|node| node.state);
        run.view.with(|run| Shown::of(state, &run.state))
    })
}

/// How a tool call is shown, and again when that changes: one that nobody answers any more does not go on.
pub(super) fn call_shown(run: Run, node: Memo<Shared<Node>>, calls: Memo<Calls>) -> Memo<Shown> {
    Memo::new(move |_| {
        let (state, answered) = node.with(|node| {
            let answered = matches!(node.body, NodeBody::Tool { result: Some(_), .. });
            (node.state, answered)
        });
        match (Shown::of(state, &run.view.with(|run| run.state.clone())), calls.get()) {
            (Shown::InProgress, Calls::Ask) => Shown::Asks,
            (Shown::InProgress, Calls::Stopped(_)) => Shown::Stopped,
            (Shown::Stopped, _) if answered => Shown::Failed,
            (shown, _) => shown,
        }
    })
}

/// What becomes of the calls of a run that have no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    GoOn,
    Ask,
    /// Nobody answers them any more, since then.
    Stopped(Option<i64>),
}

/// What becomes of the calls of a run, and again when that changes. Those that a person answered are the next run's.
pub(super) fn calls_of(run: Run) -> Memo<Calls> {
    let conversation = use_context::<Conversation>();
    Memo::new(move |_| {
        let goes_on_in = |next| {
            let calls = conversation?.view.with(|view| Some(calls_without_answer(ready_thread(view)?.run(next)?)));
            calls.filter(|calls| *calls != Calls::Ask)
        };
        run.view.with(|run| match &run.answered {
            Some(Answered::By { resumed_by, .. }) => goes_on_in(*resumed_by).unwrap_or(Calls::GoOn),
            _ => calls_without_answer(run),
        })
    })
}

fn calls_without_answer(run: &RunView) -> Calls {
    match run.state {
        _ if !run.asks().is_empty() => Calls::Ask,
        RunState::Waiting | RunState::Running => Calls::GoOn,
        _ => Calls::Stopped(run.ended_at),
    }
}

/// How a node is, and again when that changes.
pub(super) fn state_of(node: Memo<Shared<Node>>) -> Memo<NodeState> {
    Memo::new(move |_| node.with(|node| node.state))
}

/// How long a node took or takes.
pub(super) fn time_of(node: Memo<Shared<Node>>) -> impl Fn() -> Option<String> + Copy + Send + Sync + 'static {
    let times = Memo::new(move |_| node.with(|node| (node.started_at, node.ended_at)));
    move || {
        let (started_at, ended_at) = times.get();
        elapsed(started_at, ended_at)
    }
}
