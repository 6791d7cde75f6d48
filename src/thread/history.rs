//! A thread's conversation as AG-UI restates it: what an agent is told of what was said before.

use std::collections::HashMap;

use super::view::{Answered, Item, NodeBody, RunState, RunView, ThreadView};
use crate::protocol::{
    AnswerStatus, RunId,
    agui::{EncryptedSubtype, FunctionCall, Message, Resume, TextRole, ToolCall, ToolCallKind, ToolContent},
};

impl ThreadView {
    /// The conversation of a run's branch, up to and with the message that it answers and the runs that it goes on from.
    /// Tool calls stand with the message that carried them, each followed by its answer; one that has none yet has none here.
    /// What an agent thought, and what only it can read of that, is told to that agent alone.
    #[must_use]
    pub fn history(&self, run_id: RunId) -> Vec<Message> {
        let (message, agent) = self.run(run_id).map(|run| (run.message_id, run.agent.as_str())).unwrap_or_default();
        let mut history = Vec::new();
        for item in self.until(message) {
            match item {
                Item::Message(said) => history.push(Message::User {
                    id: said.message.id.to_string(),
                    content: ToolContent::Text(said.message.content.clone()),
                    name: None,
                }),
                Item::Run(run) if run.run_id == run_id => break,
                Item::Run(run) => tell(run, run.agent == agent, &mut history),
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

/// What a run said and called; to its own agent also what it thought, and every encrypted value with what it belongs to.
fn tell(run: &RunView, own: bool, history: &mut Vec<Message>) {
    let from = history.len();
    let mut values = Values::of(run, own);
    for node in &run.nodes {
        match &node.body {
            NodeBody::Text { role: TextRole::Assistant, text } if !text.is_empty() => {
                history.push(Message::Assistant {
                    id: node.id.clone(),
                    content: Some(text.clone()),
                    name: None,
                    tool_calls: None,
                    encrypted_value: values.take(EncryptedSubtype::Message, &node.id),
                })
            }
            NodeBody::Tool { name, args, message, result, result_id } => {
                let function = FunctionCall { name: name.clone(), arguments: args.clone() };
                let encrypted_value = values.take(EncryptedSubtype::ToolCall, &node.id);
                let call = ToolCall { id: node.id.clone(), kind: ToolCallKind::Function, function, encrypted_value };
                carry(call, message.as_deref(), &mut history[from..]).into_iter().for_each(|alone| history.push(alone));
                if let Some(result) = result {
                    let encrypted_value =
                        result_id.as_deref().and_then(|id| values.take(EncryptedSubtype::Message, id));
                    history.push(Message::Tool {
                        id: result_id.clone().unwrap_or_else(|| format!("{}-result", node.id)),
                        content: ToolContent::Text(result.clone()),
                        tool_call_id: node.id.clone(),
                        error: None,
                        encrypted_value,
                    });
                }
            }
            NodeBody::Reasoning { text } if own => {
                let encrypted_value = values.take(EncryptedSubtype::Message, &node.id);
                if encrypted_value.is_some() || !text.is_empty() {
                    history.push(Message::Reasoning { id: node.id.clone(), content: text.clone(), encrypted_value });
                }
            }
            // Thoughts that nobody may read have a span and a value, and no message.
            NodeBody::ReasoningSpan if values.has(EncryptedSubtype::Message, &node.id) && !speaks(run, &node.id) => {
                let encrypted_value = values.take(EncryptedSubtype::Message, &node.id);
                history.push(Message::Reasoning { id: node.id.clone(), content: String::new(), encrypted_value });
            }
            _ => {}
        }
    }
}

/// Whether a run has a message of that id.
fn speaks(run: &RunView, id: &str) -> bool {
    let is_message = |body: &NodeBody| matches!(body, NodeBody::Text { .. } | NodeBody::Reasoning { .. });
    run.nodes.iter().any(|node| node.id == id && is_message(&node.body))
}

/// The encrypted values of a run. Each is told once: messages may share an id, and the first of them has it.
struct Values<'a>(HashMap<(EncryptedSubtype, &'a str), &'a str>);

impl<'a> Values<'a> {
    /// None for another agent, which could do nothing with them and has no business with them.
    fn of(run: &'a RunView, own: bool) -> Self {
        let values = run.encrypted.iter().filter(|_| own);
        Self(values.map(|known| ((known.subtype, known.entity_id.as_str()), known.value.as_str())).collect())
    }

    fn has(&self, subtype: EncryptedSubtype, id: &'a str) -> bool {
        self.0.contains_key(&(subtype, id))
    }

    fn take(&mut self, subtype: EncryptedSubtype, id: &'a str) -> Option<String> {
        self.0.remove(&(subtype, id)).map(str::to_owned)
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
    Some(Message::Assistant { id, content: None, name: None, tool_calls: Some(vec![call]), encrypted_value: None })
}
