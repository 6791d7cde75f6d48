//! Closing what a run left open, so that it ends as AG-UI's verifier wants it, whatever died.

use super::view::{Node, NodeBody, NodeState, RunView};
use crate::protocol::{
    RunId, ThreadId,
    agui::{
        Event, ReasoningEnd, ReasoningMessageEnd, RunError, RunFinished, RunOutcome, StepFinished, SubagentError,
        SubagentFinished, TextMessageEnd, ToolCallEnd,
    },
};

/// How a run ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// It did what was asked, with its result.
    Finished(Option<serde_json::Value>),
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

impl RunView {
    /// The events that end this run from here: what is open is closed, innermost first; then the terminal event.
    #[must_use]
    pub fn ending(&self, thread_id: ThreadId, ending: &Ending) -> Vec<Event> {
        let open = self.nodes.iter().rev().filter(|node| node.state == NodeState::Open && !node.chunked);
        let mut events: Vec<Event> = open.filter_map(|node| closing(node, ending)).collect();
        events.push(terminal(thread_id, self.run_id, ending));
        events
    }
}

fn terminal(thread_id: ThreadId, run_id: RunId, ending: &Ending) -> Event {
    let finished = || RunFinished::new(thread_id, run_id);
    match ending {
        Ending::Finished(result) => RunFinished { result: result.clone(), ..finished() }.into(),
        Ending::Cancelled => RunFinished { outcome: Some(RunOutcome::Cancelled), ..finished() }.into(),
        Ending::Failed { message, code } => {
            RunError { code: Some(code.clone()), ..RunError::new(message.clone()) }.into()
        }
    }
}

fn closing(node: &Node, ending: &Ending) -> Option<Event> {
    let id = node.id.clone();
    let event: Event = match &node.body {
        NodeBody::Text { .. } => TextMessageEnd::new(id).into(),
        NodeBody::ReasoningSpan => ReasoningEnd::new(id).into(),
        NodeBody::Reasoning { .. } => ReasoningMessageEnd::new(id).into(),
        NodeBody::Step => StepFinished::new(id).into(),
        NodeBody::Tool { .. } => ToolCallEnd::new(id).into(),
        NodeBody::Subagent { .. } => match ending {
            Ending::Failed { message, .. } => SubagentError::new(id, message.clone()).into(),
            // A sub-agent cannot finish as cancelled, and finishing without an outcome would claim success.
            Ending::Cancelled => {
                SubagentError { code: Some("cancelled".into()), ..SubagentError::new(id, "stopped") }.into()
            }
            Ending::Finished(_) => SubagentFinished::new(id).into(),
        },
        NodeBody::Activity { .. } | NodeBody::Custom { .. } => return None,
    };
    Some(event.of_subagent(node.within.as_deref()))
}
