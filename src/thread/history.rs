//! A thread's conversation as AG-UI restates it: what an agent is told of what was said before.
//!
//! Promises: every call of a run that is over has an answer, unless the run that is told of it goes on from there: where none
//! came, it says what is known. Arguments are JSON, also those of a call that was cut off.

use std::{collections::HashMap, sync::Arc};

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::protocol::{
    AnswerStatus, Item, Node, NodeBody, Resolution, RunId, RunState, RunView, ThreadView,
    agui::{EncryptedSubtype, FunctionCall, Interrupt, Message, Resume, TextRole, ToolCall, ToolCallKind, ToolContent},
};

/// What stands in for the result of a call that was not carried out.
pub const NOT_CARRIED_OUT: &str = "This call was not carried out: its run ended before, or nobody allowed it.";
/// The same for one that may have been.
pub const MAYBE_CARRIED_OUT: &str =
    "No result of this call is known: it may or may not have been carried out. Check before you repeat it.";

impl ThreadView {
    /// The conversation of a run's branch, up to and with the message that it answers and the runs that it goes on from.
    /// Tool calls stand with the message that carried them, each followed by its answer; one that may still get one has none
    /// here.
    /// What an agent thought, and what only it can read of that, is told to that agent alone.
    #[must_use]
    pub fn history(&self, run_id: RunId) -> Vec<Message> {
        self.conversation(run_id, self.resume(run_id).0)
    }

    /// The same once what a run before waited for is cancelled, and this run has told what the agent said to that: it stands
    /// before the message that the run answers. No call gets an answer any more.
    #[must_use]
    pub fn history_after_cancellation(&self, run_id: RunId) -> Vec<Message> {
        let mut history = self.conversation(run_id, None);
        let message = history.pop_if(|last| matches!(last, Message::User { .. }));
        if let Some(run) = self.run(run_id) {
            tell(run, &run.nodes, (true, false), &mut history);
        }
        history.extend(message);
        history
    }

    /// The calls of the run `from` may still get their answers.
    fn conversation(&self, run_id: RunId, from: Option<RunId>) -> Vec<Message> {
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
                Item::Run(run) => {
                    let goes_on = !run.state.is_over() || from == Some(run.run_id) && is_interrupted(run);
                    let (own, (before, after)) = (run.agent == agent, run.nodes.split_at(run.answer_start()));
                    if !before.is_empty() {
                        let message = history.pop_if(|last| matches!(last, Message::User { .. }));
                        tell(run, before, (own, goes_on), &mut history);
                        history.extend(message);
                    }
                    tell(run, after, (own, goes_on), &mut history);
                }
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
        let entry = |id: &str, status, payload, metadata| {
            let interrupt_id = id.to_owned();
            Resume { interrupt_id, status, payload, metadata }
        };
        match (&waited.answered, &waited.state) {
            (Some(Resolution::Answered { resumed_by, answers, .. }), _) if *resumed_by == run_id => {
                let answers =
                    answers.iter().map(|a| entry(&a.interrupt_id, a.status, a.payload.clone(), a.metadata.clone()));
                (Some(waited.run_id), answers.collect())
            }
            (Some(Resolution::Abandoned), RunState::Interrupted { interrupts }) => {
                let cancelled = interrupts.iter().map(|i| entry(&i.id, AnswerStatus::Cancelled, None, None));
                (Some(waited.run_id), cancelled.collect())
            }
            _ => (None, Vec::new()),
        }
    }
}

/// What a run said and called in these nodes; to its `own` agent also what it thought, and every encrypted value with what it
/// belongs to. `goes_on`: its calls may still get their answers.
fn tell(run: &RunView, nodes: &[Arc<Node>], (own, goes_on): (bool, bool), history: &mut Vec<Message>) {
    let from = history.len();
    let mut values = Values::of(run, own);
    for node in nodes {
        let subagent_run_id = node.within.clone();
        match &node.body {
            NodeBody::Text { role: TextRole::Assistant, text } if !text.is_empty() => {
                history.push(Message::Assistant {
                    id: node.id.clone(),
                    content: Some(text.clone()),
                    name: None,
                    tool_calls: None,
                    encrypted_value: values.take(EncryptedSubtype::Message, &node.id),
                    subagent_run_id,
                })
            }
            NodeBody::Tool { name, args, message, result, result_id, parts, error } => {
                let arguments = if is_json(args) { args.clone() } else { "{}".to_owned() };
                let function = FunctionCall { name: name.clone(), arguments };
                let encrypted_value = values.take(EncryptedSubtype::ToolCall, &node.id);
                let call = ToolCall { id: node.id.clone(), kind: ToolCallKind::Function, function, encrypted_value };
                let carrier = (message.as_deref(), node.within.as_deref());
                carry(call, carrier, &mut history[from..]).into_iter().for_each(|alone| history.push(alone));
                let text = match result {
                    Some(result) => result.as_str(),
                    None if goes_on => continue,
                    None => unanswered(run, node, args),
                };
                let encrypted_value = result_id.as_deref().and_then(|id| values.take(EncryptedSubtype::Message, id));
                history.push(Message::Tool {
                    id: result_id.clone().unwrap_or_else(|| format!("{}-result", node.id)),
                    content: parts.clone().map_or_else(|| ToolContent::Text(text.to_owned()), ToolContent::Parts),
                    tool_call_id: node.id.clone(),
                    error: error.clone(),
                    encrypted_value,
                    subagent_run_id,
                });
            }
            NodeBody::Reasoning { text } if own => {
                let encrypted_value = values.take(EncryptedSubtype::Message, &node.id);
                if encrypted_value.is_some() || !text.is_empty() {
                    let (id, content) = (node.id.clone(), text.clone());
                    history.push(Message::Reasoning { id, content, encrypted_value, subagent_run_id });
                }
            }
            // Thoughts that nobody may read have a span and a value, and no message.
            NodeBody::ReasoningSpan if values.has(EncryptedSubtype::Message, &node.id) && !speaks(run, &node.id) => {
                let encrypted_value = values.take(EncryptedSubtype::Message, &node.id);
                let (id, content) = (node.id.clone(), String::new());
                history.push(Message::Reasoning { id, content, encrypted_value, subagent_run_id });
            }
            _ => {}
        }
    }
}

/// What is known of a call that got no answer before its run was over.
fn unanswered(run: &RunView, call: &Node, args: &str) -> &'static str {
    let begun = match &run.state {
        RunState::Interrupted { interrupts } => was_allowed(run, interrupts, &call.id),
        // One that was cut off was never whole. Some models say nothing where there are no arguments.
        _ => args.is_empty() || is_json(args),
    };
    if begun { MAYBE_CARRIED_OUT } else { NOT_CARRIED_OUT }
}

/// Whether a call that its run asked about was allowed; one that it did not ask about needed no permission.
fn was_allowed(run: &RunView, interrupts: &[Interrupt], call: &str) -> bool {
    let asked = interrupts.iter().find(|asked| asked.tool_call_id.as_deref() == Some(call));
    let Some(asked) = asked else { return true };
    let Some(Resolution::Answered { answers, .. }) = &run.answered else { return false };
    let said = answers.iter().find(|answer| answer.interrupt_id == asked.id);
    let is_no = |payload: &Option<Value>| payload.as_ref().is_some_and(|said| said["approved"] == false);
    said.is_some_and(|said| said.status == AnswerStatus::Resolved && !is_no(&said.payload))
}

fn is_interrupted(run: &RunView) -> bool {
    matches!(run.state, RunState::Interrupted { .. })
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
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
fn carry(call: ToolCall, (message, within): (Option<&str>, Option<&str>), said: &mut [Message]) -> Option<Message> {
    for known in said.iter_mut() {
        if let Message::Assistant { id, tool_calls, .. } = known
            && Some(id.as_str()) == message
        {
            tool_calls.get_or_insert_default().push(call);
            return None;
        }
    }
    let id = message.map_or_else(|| format!("{}-call", call.id), str::to_owned);
    let (tool_calls, subagent_run_id) = (Some(vec![call]), within.map(str::to_owned));
    Some(Message::Assistant { id, content: None, name: None, tool_calls, encrypted_value: None, subagent_run_id })
}
