//! The events that end a run: they close what is open and end with the terminal event, as AG-UI's verifier requires.

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
    /// The kind of end.
    pub kind: EndKind,
    /// The tokens it used.
    pub usage: Vec<Usage>,
    /// The metadata of the terminal event, such as `costUsd`.
    pub metadata: Option<Map<String, Value>>,
    /// The other common fields of the agent's own terminal event.
    pub base: Base,
}

/// The kind of a run's end.
#[derive(Debug, Clone, PartialEq)]
pub enum EndKind {
    /// It succeeded.
    Finished {
        /// The result.
        result: Option<Value>,
        /// The ids of the tool calls that the client has to execute.
        pending: Vec<String>,
    },
    /// It ended with interrupts, which wait for a person's answer.
    Interrupted(Vec<Interrupt>),
    /// It was stopped.
    Cancelled,
    /// It failed.
    Failed {
        /// The error, for a person.
        message: String,
        /// The error's code, for programs.
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
    /// The events that end this run now: they close its open nodes, innermost first; the last is the terminal event.
    #[must_use]
    pub fn closing_events(&self, thread_id: ThreadId, end: &RunEnd) -> Vec<Event> {
        // A chunked node has no end event.
        let open = self.nodes.iter().rev().filter(|node| node.state == NodeState::Open && !node.chunked);
        let mut events: Vec<Event> = open.filter_map(|node| closing_event(node, end)).collect();
        events.push(terminal_event(thread_id, self.run_id, end));
        events
    }
}

fn terminal_event(thread_id: ThreadId, run_id: RunId, end: &RunEnd) -> Event {
    let usage = Some(end.usage.clone()).filter(|usage| !usage.is_empty());
    let finished = |outcome| RunFinished { outcome, usage: usage.clone(), ..RunFinished::new(thread_id, run_id) };
    let mut event: Event = match &end.kind {
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
    *event.base_mut() = Base { metadata: end.metadata.clone(), ..end.base.clone() };
    event
}

/// The event that closes an open node; `None` for nodes that need none.
fn closing_event(node: &Node, end: &RunEnd) -> Option<Event> {
    let id = node.id.clone();
    let mut event: Event = match &node.body {
        NodeBody::Text { .. } => TextMessageEnd::new(id).into(),
        NodeBody::ReasoningSpan => ReasoningEnd::new(id).into(),
        NodeBody::Reasoning { .. } => ReasoningMessageEnd::new(id).into(),
        NodeBody::Step => StepFinished::new(id).into(),
        NodeBody::Tool { .. } => ToolCallEnd::new(id).into(),
        NodeBody::Subagent { .. } => match &end.kind {
            EndKind::Failed { message, .. } => SubagentError::new(id, message.clone()).into(),
            // AG-UI has no cancelled outcome for sub-agents, and finishing without an outcome would mean success.
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
    // AG-UI has no outcome for steps: without this mark the step would look complete.
    if matches!(node.body, NodeBody::Step) && matches!(end.kind, EndKind::Failed { .. } | EndKind::Cancelled) {
        event.base_mut().metadata = Some(Map::from_iter([(UNFINISHED_STEP.to_owned(), true.into())]));
    }
    Some(event.with_subagent(node.within.as_deref()))
}
