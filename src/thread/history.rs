//! A thread's conversation as AG-UI messages: the history that an agent receives.
//!
//! Guarantees: every call of a run that has ended has a result, unless the requesting run resumes that run; if no result came, a text
//! says what is known. Arguments are always JSON, also those of a call that was cut off.

use std::{collections::HashMap, sync::Arc};

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::protocol::{
    AnswerStatus, Item, MessageItem, Node, NodeBody, Resolution, RunId, RunState, RunView, ThreadView,
    agui::{EncryptedSubtype, FunctionCall, Interrupt, Message, Resume, TextRole, ToolCall, ToolCallKind, ToolContent},
};

/// The result of a call that was not executed.
pub const NOT_CARRIED_OUT: &str = "This call was not carried out: its run ended before, or nobody allowed it.";
/// The result of a call that may have been executed.
pub const MAYBE_CARRIED_OUT: &str =
    "No result of this call is known: it may or may not have been carried out. Check before you repeat it.";

impl ThreadView {
    /// The conversation of a run's branch, up to the message that the run answers and the runs that it resumes. Each tool call is in
    /// the message that contained it and is followed by its result; a call that may still get one has none. Reasoning and encrypted
    /// values are included only for the agent that they came from.
    #[must_use]
    pub fn history(&self, run_id: RunId) -> Vec<Message> {
        self.conversation(run_id, self.resume(run_id).0)
    }

    /// The history after a request that cancelled the interrupts of the run before: the messages of that request come before the message
    /// that the run answers. Calls without a result cannot get one any more.
    #[must_use]
    pub fn history_after_cancellation(&self, run_id: RunId) -> Vec<Message> {
        let mut history = self.conversation(run_id, None);
        let message = history.pop_if(|last| matches!(last, Message::User { .. }));
        if let Some(run) = self.run(run_id) {
            let (is_own, may_get_results) = (true, false);
            push_messages(run, &run.nodes, (is_own, may_get_results), &mut history);
        }
        history.extend(message);
        history
    }

    /// The history of a run; the calls of the interrupted run `resumed` may still get their results.
    fn conversation(&self, run_id: RunId, resumed: Option<RunId>) -> Vec<Message> {
        let (message, agent) = self.run(run_id).map(|run| (run.message_id, run.agent.as_str())).unwrap_or_default();
        let mut history = Vec::new();
        for item in self.path_to(message) {
            match item {
                Item::Message(item) => history.push(user_message(item)),
                Item::Run(run) if run.run_id == run_id => break,
                Item::Run(run) => {
                    let may_get_results = !run.state.is_over() || resumed == Some(run.run_id) && is_interrupted(run);
                    let (is_own, before) = (run.agent == agent, &run.nodes[..run.answer_start()]);
                    // They are from the request that cancelled interrupts, which was sent before the user's message.
                    if !before.is_empty() {
                        let message = history.pop_if(|last| matches!(last, Message::User { .. }));
                        push_messages(run, before, (is_own, may_get_results), &mut history);
                        history.extend(message);
                    }
                    push_answer(run, (is_own, may_get_results), &mut history);
                }
            }
        }
        history
    }
}

fn user_message(item: &MessageItem) -> Message {
    Message::User {
        id: item.message.id.to_string(),
        content: ToolContent::Text(item.message.content.clone()),
        name: None,
    }
}

/// Appends a run's answer, with the messages that its agent read meanwhile at their places.
fn push_answer(run: &RunView, flags: (bool, bool), history: &mut Vec<Message>) {
    for (nodes, read) in run.parts(run.answer_start()) {
        push_messages(run, nodes, flags, history);
        history.extend(read.map(user_message));
    }
}

impl ThreadView {
    /// The interrupted run that a run resumes, and the answers. If its interrupts were abandoned because of another message, each is
    /// answered as cancelled, since the agent may still wait for them.
    #[must_use]
    pub fn resume(&self, run_id: RunId) -> (Option<RunId>, Vec<Resume>) {
        let interrupted = match self.run(run_id).and_then(|run| run.resumes) {
            Some(resumed) => self.run(resumed),
            None => self.runs_before(run_id).last().copied(),
        };
        let Some(interrupted) = interrupted else { return (None, Vec::new()) };
        let answer_to = |id: &str, status, payload, metadata| {
            let interrupt_id = id.to_owned();
            Resume { interrupt_id, status, payload, metadata }
        };
        match (&interrupted.answered, &interrupted.state) {
            (Some(Resolution::Answered { resumed_by, answers, .. }), _) if *resumed_by == run_id => {
                let answers =
                    answers.iter().map(|a| answer_to(&a.interrupt_id, a.status, a.payload.clone(), a.metadata.clone()));
                (Some(interrupted.run_id), answers.collect())
            }
            (Some(Resolution::Abandoned), RunState::Interrupted { interrupts }) => {
                let cancelled = interrupts.iter().map(|i| answer_to(&i.id, AnswerStatus::Cancelled, None, None));
                (Some(interrupted.run_id), cancelled.collect())
            }
            _ => (None, Vec::new()),
        }
    }
}

/// Appends the messages of these nodes to the history. `is_own`: whether the history is for the run's agent, which also gets its
/// reasoning and encrypted values. `may_get_results`: whether the run's calls may still get results.
fn push_messages(
    run: &RunView,
    nodes: &[Arc<Node>],
    (is_own, may_get_results): (bool, bool),
    history: &mut Vec<Message>,
) {
    let start = history.len();
    let mut values = EncryptedValues::new(run, is_own);
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
            NodeBody::Tool { .. } => push_call(run, node, may_get_results, &mut values, (start, &mut *history)),
            NodeBody::Reasoning { text } if is_own => {
                let encrypted_value = values.take(EncryptedSubtype::Message, &node.id);
                if encrypted_value.is_some() || !text.is_empty() {
                    let (id, content) = (node.id.clone(), text.clone());
                    history.push(Message::Reasoning { id, content, encrypted_value, subagent_run_id });
                }
            }
            // Reasoning that is only encrypted has a span and a value, but no message.
            NodeBody::ReasoningSpan
                if values.has(EncryptedSubtype::Message, &node.id) && !has_message(run, &node.id) =>
            {
                let encrypted_value = values.take(EncryptedSubtype::Message, &node.id);
                let (id, content) = (node.id.clone(), String::new());
                history.push(Message::Reasoning { id, content, encrypted_value, subagent_run_id });
            }
            _ => {}
        }
    }
}

/// Appends a tool call and its result to the history, whose messages from `start` are the run's.
fn push_call<'a>(
    run: &RunView,
    node: &'a Node,
    may_get_results: bool,
    values: &mut EncryptedValues<'a>,
    (start, history): (usize, &mut Vec<Message>),
) {
    let NodeBody::Tool { name, args, message, result, result_id, parts, error } = &node.body else { return };
    let arguments = if is_json(args) { args.clone() } else { "{}".to_owned() };
    let function = FunctionCall { name: name.clone(), arguments };
    let encrypted_value = values.take(EncryptedSubtype::ToolCall, &node.id);
    let call = ToolCall { id: node.id.clone(), kind: ToolCallKind::Function, function, encrypted_value };
    let parent = (message.as_deref(), node.within.as_deref());
    let new_message = add_to_message(call, parent, &mut history[start..]);
    history.extend(new_message);
    let text = match result {
        Some(result) => result.as_str(),
        None if may_get_results => return,
        None => missing_result(run, node, args),
    };
    let encrypted_value = result_id.as_deref().and_then(|id| values.take(EncryptedSubtype::Message, id));
    history.push(Message::Tool {
        id: result_id.clone().unwrap_or_else(|| format!("{}-result", node.id)),
        content: parts.clone().map_or_else(|| ToolContent::Text(text.to_owned()), ToolContent::Parts),
        tool_call_id: node.id.clone(),
        error: error.clone(),
        encrypted_value,
        subagent_run_id: node.within.clone(),
    });
}

/// A result that says what is known of a call without a result, whose run ended.
fn missing_result(run: &RunView, call: &Node, args: &str) -> &'static str {
    let maybe_carried_out = match &run.state {
        RunState::Interrupted { interrupts } => was_allowed(run, interrupts, &call.id),
        // A call that was cut off has incomplete arguments. Some models send none if a tool has no parameters.
        _ => args.is_empty() || is_json(args),
    };
    if maybe_carried_out { MAYBE_CARRIED_OUT } else { NOT_CARRIED_OUT }
}

/// Whether a person allowed a call. A call that no interrupt asked about needed no permission.
fn was_allowed(run: &RunView, interrupts: &[Interrupt], call: &str) -> bool {
    let interrupt = interrupts.iter().find(|interrupt| interrupt.tool_call_id.as_deref() == Some(call));
    let Some(interrupt) = interrupt else { return true };
    let Some(Resolution::Answered { answers, .. }) = &run.answered else { return false };
    let answer = answers.iter().find(|answer| answer.interrupt_id == interrupt.id);
    let is_refusal = |payload: &Option<Value>| payload.as_ref().is_some_and(|payload| payload["approved"] == false);
    answer.is_some_and(|answer| answer.status == AnswerStatus::Resolved && !is_refusal(&answer.payload))
}

fn is_interrupted(run: &RunView) -> bool {
    matches!(run.state, RunState::Interrupted { .. })
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether a run has a message with this id.
fn has_message(run: &RunView, id: &str) -> bool {
    let is_message = |body: &NodeBody| matches!(body, NodeBody::Text { .. } | NodeBody::Reasoning { .. });
    run.nodes.iter().any(|node| node.id == id && is_message(&node.body))
}

/// The encrypted values of a run. Each is used once: if messages share an id, the first one gets the value.
struct EncryptedValues<'a>(HashMap<(EncryptedSubtype, &'a str), &'a str>);

impl<'a> EncryptedValues<'a> {
    /// The run's values; empty unless they are for the run's own agent, since no other agent may have them.
    fn new(run: &'a RunView, is_own: bool) -> Self {
        let values = run.encrypted.iter().filter(|_| is_own);
        Self(values.map(|item| ((item.subtype, item.entity_id.as_str()), item.value.as_str())).collect())
    }

    fn has(&self, subtype: EncryptedSubtype, id: &'a str) -> bool {
        self.0.contains_key(&(subtype, id))
    }

    fn take(&mut self, subtype: EncryptedSubtype, id: &'a str) -> Option<String> {
        self.0.remove(&(subtype, id)).map(str::to_owned)
    }
}

/// Adds a call to the message that contained it. Without such a message, returns a new one with the call. `message` and `within`: the
/// ids of the message and of the sub-agent.
fn add_to_message(
    call: ToolCall,
    (message, within): (Option<&str>, Option<&str>),
    messages: &mut [Message],
) -> Option<Message> {
    for candidate in messages.iter_mut() {
        if let Message::Assistant { id, tool_calls, .. } = candidate
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
