//! Closing what a run left open, so that it ends as AG-UI's verifier wants it, whatever died.

use serde_json::{Map, Value};

use crate::protocol::{
    Node, NodeBody, NodeState, RunId, RunView, ThreadId,
    agui::{
        Base, Event, Interrupt, ReasoningEnd, ReasoningMessageEnd, RunError, RunFinished, RunOutcome, StepFinished,
        SubagentError, SubagentFinished, SubagentOutcome, TextMessageEnd, ToolCallEnd, Usage,
    },
    extensions::UNFINISHED_STEP,
};

/// How a run ends.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunEnd {
    /// In which way.
    pub kind: EndKind,
    /// The tokens it used.
    pub usage: Vec<Usage>,
    /// What the terminal event says beside: `costUsd`, say.
    pub metadata: Option<Map<String, Value>>,
    /// What else an agent's own terminal event says, whose metadata stands above.
    pub base: Base,
}

/// In which way a run ends.
#[derive(Debug, Clone, PartialEq)]
pub enum EndKind {
    /// It did what was asked.
    Finished {
        /// What came of it.
        result: Option<Value>,
        /// Tool calls that whoever asked is to carry out.
        pending: Vec<String>,
    },
    /// It waits for a person.
    Interrupted(Vec<Interrupt>),
    /// It was stopped.
    Cancelled,
    /// It failed.
    Failed {
        /// What happened, for a person.
        message: String,
        /// What happened, for programs.
        code: String,
    },
}

impl Default for EndKind {
    fn default() -> Self {
        Self::Finished { result: None, pending: Vec::new() }
    }
}

impl From<EndKind> for RunEnd {
    fn from(kind: EndKind) -> Self {
        Self { kind, ..Self::default() }
    }
}

impl RunView {
    /// The events that end this run from here: what is open is closed, innermost first; then the terminal event.
    #[must_use]
    pub fn closing_events(&self, thread_id: ThreadId, ending: &RunEnd) -> Vec<Event> {
        let open = self.nodes.iter().rev().filter(|node| node.state == NodeState::Open && !node.chunked);
        let mut events: Vec<Event> = open.filter_map(|node| closing(node, ending)).collect();
        events.push(terminal(thread_id, self.run_id, ending));
        events
    }
}

fn terminal(thread_id: ThreadId, run_id: RunId, ending: &RunEnd) -> Event {
    let usage = Some(ending.usage.clone()).filter(|usage| !usage.is_empty());
    let finished = |outcome| RunFinished { outcome, usage: usage.clone(), ..RunFinished::new(thread_id, run_id) };
    let mut event: Event = match &ending.kind {
        EndKind::Finished { result, pending } => {
            let outcome = RunOutcome::Success { pending_tool_call_ids: Some(pending.clone()) };
            let outcome = Some(outcome).filter(|_| !pending.is_empty());
            RunFinished { result: result.clone(), ..finished(outcome) }.into()
        }
        EndKind::Interrupted(interrupts) => {
            finished(Some(RunOutcome::Interrupt { interrupts: interrupts.clone() })).into()
        }
        EndKind::Cancelled => finished(Some(RunOutcome::Cancelled)).into(),
        EndKind::Failed { message, code } => {
            RunError { code: Some(code.clone()), usage, ..RunError::new(message.clone()) }.into()
        }
    };
    *event.base_mut() = Base { metadata: ending.metadata.clone(), ..ending.base.clone() };
    event
}

fn closing(node: &Node, ending: &RunEnd) -> Option<Event> {
    let id = node.id.clone();
    let mut event: Event = match &node.body {
        NodeBody::Text { .. } => TextMessageEnd::new(id).into(),
        NodeBody::ReasoningSpan => ReasoningEnd::new(id).into(),
        NodeBody::Reasoning { .. } => ReasoningMessageEnd::new(id).into(),
        NodeBody::Step => StepFinished::new(id).into(),
        NodeBody::Tool { .. } => ToolCallEnd::new(id).into(),
        NodeBody::Subagent { .. } => match &ending.kind {
            EndKind::Failed { message, .. } => SubagentError::new(id, message.clone()).into(),
            // A sub-agent cannot finish as cancelled, and finishing without an outcome would claim success.
            EndKind::Cancelled => {
                SubagentError { code: Some("cancelled".into()), ..SubagentError::new(id, "stopped") }.into()
            }
            EndKind::Finished { .. } => SubagentFinished::new(id).into(),
            EndKind::Interrupted(interrupts) => {
                let ids = interrupts.iter().map(|interrupt| interrupt.id.clone()).collect();
                let outcome = SubagentOutcome::Suspended { interrupt_ids: Some(ids) };
                SubagentFinished { outcome: Some(outcome), ..SubagentFinished::new(id) }.into()
            }
        },
        NodeBody::Activity { .. } | NodeBody::Custom { .. } | NodeBody::Withdrawn => return None,
    };
    // AG-UI has no outcome of a step: without this mark it would look as if the step was done.
    if matches!(node.body, NodeBody::Step) && matches!(ending.kind, EndKind::Failed { .. } | EndKind::Cancelled) {
        event.base_mut().metadata = Some(Map::from_iter([(UNFINISHED_STEP.to_owned(), true.into())]));
    }
    Some(event.with_subagent(node.within.as_deref()))
}
