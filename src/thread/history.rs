//! A thread's conversation as AG-UI restates it: what an agent is told of what was said before.

use super::view::{Answered, Item, NodeBody, RunState, RunView, ThreadView};
use crate::protocol::{
    AnswerStatus, RunId,
    agui::{FunctionCall, Message, Resume, TextRole, ToolCall, ToolCallKind, ToolContent},
};

impl ThreadView {
    /// The conversation of a run's branch, up to and with the message that it answers and the runs that it goes on from.
    /// Tool calls stand with the message that carried them, each followed by its answer; one that has none yet has none here.
    #[must_use]
    pub fn history(&self, run_id: RunId) -> Vec<Message> {
        let message = self.run(run_id).and_then(|run| run.message_id);
        let mut history = Vec::new();
        for item in self.until(message) {
            match item {
                Item::Message(said) => history.push(Message::User {
                    id: said.message.id.to_string(),
                    content: ToolContent::Text(said.message.content.clone()),
                    name: None,
                }),
                Item::Run(run) if run.run_id == run_id => break,
                Item::Run(run) => tell(run, &mut history),
            }
        }
        history
    }
}

impl ThreadView {
    /// What a run goes on from: the run that waited for a person, and the answers. Where that was given up, because something
    /// else was said, its interrupts are cancelled: the agent may still hold them open.
    #[must_use]
    pub fn resume(&self, run_id: RunId) -> (Option<RunId>, Vec<Resume>) {
        let waited = match self.run(run_id).and_then(|run| run.resumes) {
            Some(resumed) => self.run(resumed),
            None => self.runs_before(run_id).last().copied(),
        };
        let Some(waited) = waited else { return (None, Vec::new()) };
        let entry = |id: &str, status, payload| Resume { interrupt_id: id.to_owned(), status, payload, metadata: None };
        match (&waited.answered, &waited.state) {
            (Some(Answered::By { resumed_by, answers, .. }), _) if *resumed_by == run_id => {
                let answers = answers.iter().map(|a| entry(&a.interrupt_id, a.status, a.payload.clone()));
                (Some(waited.run_id), answers.collect())
            }
            (Some(Answered::GivenUp), RunState::Interrupted { interrupts }) => {
                let cancelled = interrupts.iter().map(|i| entry(&i.id, AnswerStatus::Cancelled, None));
                (Some(waited.run_id), cancelled.collect())
            }
            _ => (None, Vec::new()),
        }
    }
}

/// What a run said and called.
fn tell(run: &RunView, history: &mut Vec<Message>) {
    let from = history.len();
    for node in &run.nodes {
        match &node.body {
            NodeBody::Text { role: TextRole::Assistant, text } if !text.is_empty() => {
                history.push(Message::Assistant {
                    id: node.id.clone(),
                    content: Some(text.clone()),
                    name: None,
                    tool_calls: None,
                })
            }
            NodeBody::Tool { name, args, message, result } => {
                let function = FunctionCall { name: name.clone(), arguments: args.clone() };
                let call = ToolCall { id: node.id.clone(), kind: ToolCallKind::Function, function };
                carry(call, message.as_deref(), &mut history[from..]).into_iter().for_each(|alone| history.push(alone));
                if let Some(result) = result {
                    let (id, content) = (format!("{}-result", node.id), ToolContent::Text(result.clone()));
                    history.push(Message::Tool { id, content, tool_call_id: node.id.clone(), error: None });
                }
            }
            _ => {}
        }
    }
}

/// Puts a call into the message that carries it; where there is none, answers a message of its own.
fn carry(call: ToolCall, message: Option<&str>, said: &mut [Message]) -> Option<Message> {
    for known in said.iter_mut() {
        if let Message::Assistant { id, tool_calls, .. } = known
            && Some(id.as_str()) == message
        {
            tool_calls.get_or_insert_default().push(call);
            return None;
        }
    }
    let id = message.map_or_else(|| format!("{}-call", call.id), str::to_owned);
    Some(Message::Assistant { id, content: None, name: None, tool_calls: Some(vec![call]) })
}
