//! Folds `MESSAGES_SNAPSHOT`, with which an agent restates the whole conversation.
//!
//! Guarantees: as in AG-UI's own reducer, the snapshot replaces what the run streamed. An agent may use other ids in the snapshot than
//! in the stream, so a message with the same text under another id is the same message; nodes that the snapshot leaves out are
//! withdrawn. Messages of people and of earlier runs of the branch do not change.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::run::NodeKind;
use crate::protocol::{
    Item, MessageId, Node, NodeBody, NodeState, Resolution, RunId, RunState, RunView, ThreadView,
    agui::{EncryptedSubtype, Message, TextRole, ToolCall},
};

impl ThreadView {
    /// Folds a restated conversation into the run. The messages after the one that the run answers belong to this turn.
    /// Messages that cannot be decoded are ignored.
    pub(super) fn restate(&mut self, run_id: RunId, at: i64, mut messages: Vec<Value>) {
        self.fill_in_results(&mut messages);
        let messages: Vec<Message> =
            messages.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
        let answered = self.run_mut(run_id, at).message_id;
        let Some(turn) = self.find_turn(run_id, answered, &messages) else { return };
        // If the beginning of the turn is not known, all messages may belong to it: the agent may have added user messages.
        let (before_turn, turn_messages) = messages.split_at(turn.start);
        let scope = if turn.is_certain { turn_messages } else { &messages[..] };
        let mut earlier = EarlierNodes::new(self, run_id, turn.message_id, (scope, turn.is_certain));
        let moved = self.moved_nodes(run_id, if turn.is_certain { before_turn } else { &[] });
        self.run_mut(run_id, at).withdraw(at, (scope, turn_messages), (&earlier, &moved));
        for message in messages.into_iter().skip(turn.start) {
            match message {
                Message::Tool { .. } => self.restate_result(run_id, at, message, &earlier),
                message => self.run_mut(run_id, at).restate_message(at, message, &mut earlier),
            }
        }
    }

    /// Where the run's turn begins in a restated conversation; `None` if the conversation ends before it. `answered`: the message
    /// that the run answers.
    fn find_turn(&self, run_id: RunId, answered: Option<MessageId>, messages: &[Message]) -> Option<TurnPosition> {
        let own_id = answered.map(|id| id.to_string());
        let is_user = |message: &Message| matches!(message, Message::User { .. });
        let is_own = |message: &Message| matches!(message, Message::User { id, .. } if Some(id) == own_id.as_ref());
        let own = messages.iter().rposition(is_own);
        let user = own.or_else(|| messages.iter().rposition(is_user));
        let turn =
            TurnPosition { start: user.map_or(0, |index| index + 1), is_certain: own.is_some(), message_id: answered };
        if let Some(Message::User { id, .. }) = user.map(|index| &messages[index])
            && let Ok(id) = id.parse::<MessageId>()
            && answered != Some(id)
            && self.message(id).is_some()
        {
            // The last user message is that of another turn. If this run cancels that turn's interrupts, the messages after it
            // belong to the cancelled turn.
            self.cancelled_by(run_id).filter(|run| run.message_id == Some(id))?;
            return Some(TurnPosition { is_certain: true, message_id: Some(id), ..turn });
        }
        Some(turn)
    }

    /// Folds a restated tool result into the run that has the call: this run, or an earlier one whose calls may get results.
    fn restate_result(&mut self, run_id: RunId, at: i64, message: Message, earlier: &EarlierNodes) {
        let Message::Tool { id, content, tool_call_id, error, encrypted_value, .. } = message else { return };
        let is_own = self.run_mut(run_id, at).has_call(&tool_call_id);
        let has_call = |run: &RunView| match is_own {
            true => run.run_id == run_id,
            false => earlier.answerable.contains(&tool_call_id) && run.has_call(&tool_call_id),
        };
        let is_holder = |item: &Item| matches!(item, Item::Run(run) if has_call(run));
        if let Some(Item::Run(run)) = self.items.iter_mut().rev().find(|item| is_holder(item)) {
            let run = Arc::make_mut(run);
            if let Some(value) = encrypted_value {
                run.keep_encrypted(EncryptedSubtype::Message, id.clone(), value);
            }
            run.set_result(at, &tool_call_id, (id, content), error);
        }
    }

    /// The nodes that a restated conversation has before the turn, but that no earlier run has: they are nodes of this run, moved to
    /// another place.
    fn moved_nodes(&self, run_id: RunId, before_turn: &[Message]) -> HashSet<(NodeKind, String)> {
        let mut moved: HashSet<_> =
            nodes_named(before_turn).into_iter().map(|(kind, id)| (kind, id.to_owned())).collect();
        for node in self.runs_before(run_id).into_iter().flat_map(|run| &run.nodes) {
            if let Some(kind) = NodeKind::from_body(&node.body) {
                moved.remove(&(kind, node.id.clone()));
            }
        }
        moved
    }

    /// The run before this one, if its interrupts were abandoned because of this run's message.
    fn cancelled_by(&self, run_id: RunId) -> Option<&RunView> {
        let before = self.runs_before(run_id).last().copied()?;
        let is_abandoned = before.answered == Some(Resolution::Abandoned);
        (is_abandoned && matches!(before.state, RunState::Interrupted { .. })).then_some(before)
    }
}

/// The position of a run's turn in a restated conversation.
struct TurnPosition {
    /// The index of the turn's first message.
    start: usize,
    /// Whether the conversation contains the message that begins the turn.
    is_certain: bool,
    /// The message that begins the turn.
    message_id: Option<MessageId>,
}

/// The nodes of earlier runs of the branch; the restating run does not repeat them.
#[derive(Default)]
struct EarlierNodes {
    /// The nodes of earlier runs, by kind and id.
    ids: HashSet<(NodeKind, String)>,
    /// The calls whose results may change: calls without a result, and calls of this turn, whose results may have new ids.
    answerable: HashSet<String>,
    /// The texts of this turn's runs whose ids the restated conversation does not contain.
    unmatched_texts: Vec<(NodeKind, String)>,
    /// The texts and arguments of sub-agents' nodes in earlier turns. An id alone does not identify these, since it may be reused.
    subagent_texts: HashMap<(NodeKind, String), String>,
}

impl EarlierNodes {
    /// `messages`: the restated messages; `only_turn`: whether they are known to be this turn's. If so, earlier turns matter only for
    /// nodes of sub-agents with the same text, which some agents list again at the end.
    fn new(
        thread: &ThreadView,
        run_id: RunId,
        turn: Option<MessageId>,
        (messages, only_turn): (&[Message], bool),
    ) -> Self {
        let (mut earlier, named) = (Self::default(), nodes_named(messages));
        for run in thread.runs_before(run_id) {
            for node in &run.nodes {
                let Some(kind) = NodeKind::from_body(&node.body) else { continue };
                if only_turn && run.message_id != turn {
                    let text = content(node).filter(|_| node.within.is_some());
                    earlier.subagent_texts.extend(text.map(|text| ((kind, node.id.clone()), text.to_owned())));
                    continue;
                }
                earlier.ids.insert((kind, node.id.clone()));
                let is_unanswered = matches!(node.body, NodeBody::Tool { result: None, .. });
                if is_unanswered || kind == NodeKind::Tool && turn.is_some() && run.message_id == turn {
                    earlier.answerable.insert(node.id.clone());
                }
                if run.message_id == turn && !named.contains(&(kind, node.id.as_str())) {
                    earlier.unmatched_texts.extend(text_of(node).map(|text| (kind, text.to_owned())));
                }
            }
        }
        // Nodes before the run's message belong to the cancellation of the run before.
        let own = thread.run(run_id).map_or(&[][..], |run| &run.nodes[..run.answer_start()]);
        earlier.ids.extend(own.iter().filter_map(|node| Some((NodeKind::from_body(&node.body)?, node.id.clone()))));
        earlier
    }

    /// Whether an earlier run has this text under this id.
    fn has_id(&self, kind: NodeKind, id: &str, text: &str) -> bool {
        let key = (kind, id.to_owned());
        self.ids.contains(&key) || self.subagent_texts.get(&key).is_some_and(|known| known == text.trim())
    }

    /// Whether an earlier run has this text, under this id or another. Each text under another id is matched once.
    fn match_text(&mut self, kind: NodeKind, id: &str, text: &str) -> bool {
        if self.has_id(kind, id, text) {
            return true;
        }
        let same =
            self.unmatched_texts.iter().position(|(other, known)| (*other, known.as_str()) == (kind, text.trim()));
        same.map(|index| self.unmatched_texts.remove(index)).is_some()
    }
}

impl RunView {
    /// Gives nodes that are restated under another id the new id, and withdraws nodes that are left out. Nodes that are still open are
    /// kept; so are reasoning and sub-agents' nodes if the snapshot has none at all, since most agents never restate those.
    fn withdraw(
        &mut self,
        at: i64,
        (scope, turn): (&[Message], &[Message]),
        (earlier, moved): (&EarlierNodes, &HashSet<(NodeKind, String)>),
    ) {
        let named = nodes_named(scope);
        let has_reasoning = scope.iter().any(|message| matches!(message, Message::Reasoning { .. }));
        let has_subagents = scope.iter().any(|message| message.subagent().is_some());
        let is_left_out = |node: &Node| {
            let Some(kind) = NodeKind::from_body(&node.body) else { return false };
            let is_restated_kind = match kind {
                NodeKind::Text | NodeKind::Tool => true,
                NodeKind::Reasoning | NodeKind::Span => has_reasoning,
                _ => false,
            };
            let is_complete = node.state != NodeState::Open || node.chunked;
            is_restated_kind
                && is_complete
                && (has_subagents || node.within.is_none())
                && !named.contains(&(kind, node.id.as_str()))
                && !moved.contains(&(kind, node.id.clone()))
        };
        let from = self.answer_start();
        let mut left_out: Vec<usize> =
            (from..self.nodes.len()).filter(|index| is_left_out(&self.nodes[*index])).collect();
        for (kind, id, text) in turn.iter().filter_map(text_of_message) {
            if self.last(kind, |node| node.id == id).is_some() || earlier.has_id(kind, id, text) {
                continue;
            }
            let same = |index: &usize| {
                let node = &self.nodes[*index];
                NodeKind::from_body(&node.body) == Some(kind) && text_of(node) == Some(text.trim())
            };
            if let Some(index) = left_out.iter().position(same).map(|place| left_out.remove(place)) {
                self.rename(index, id);
            }
        }
        for index in left_out {
            self.edit(Some(index), |node| node.body = NodeBody::Withdrawn);
            self.finish(at, Some(index), NodeState::Done);
        }
    }

    /// Gives a node another id, also in its encrypted values.
    fn rename(&mut self, index: usize, id: &str) {
        let old_id = self.nodes[index].id.clone();
        for known in &mut self.encrypted {
            if known.subtype == EncryptedSubtype::Message && known.entity_id == old_id {
                Arc::make_mut(known).entity_id = id.to_owned();
            }
        }
        self.edit(Some(index), |node| node.id = id.to_owned());
    }

    /// Folds a restated message of the agent.
    fn restate_message(&mut self, at: i64, message: Message, earlier: &mut EarlierNodes) {
        match message {
            Message::Assistant { id, content, tool_calls, encrypted_value, subagent_run_id, .. } => {
                let text = content.unwrap_or_default();
                let known = earlier.match_text(NodeKind::Text, &id, &text);
                if let Some(value) = encrypted_value.filter(|_| !known) {
                    self.keep_encrypted(EncryptedSubtype::Message, id.clone(), value);
                }
                if !known && !text.is_empty() {
                    let body = NodeBody::Text { role: TextRole::Assistant, text };
                    self.upsert(at, NodeKind::Text, subagent_run_id.clone(), id.clone(), body);
                }
                for call in tool_calls.into_iter().flatten() {
                    if !earlier.match_text(NodeKind::Tool, &call.id, &call.function.arguments) {
                        self.restate_call(at, call, &id, subagent_run_id.clone());
                    }
                }
            }
            Message::Reasoning { id, content, encrypted_value, subagent_run_id } => {
                if earlier.match_text(NodeKind::Reasoning, &id, &content) {
                    return;
                }
                if let Some(value) = encrypted_value {
                    self.keep_encrypted(EncryptedSubtype::Message, id.clone(), value);
                }
                self.upsert(at, NodeKind::Reasoning, subagent_run_id, id, NodeBody::Reasoning { text: content });
            }
            _ => {}
        }
    }

    fn restate_call(&mut self, at: i64, call: ToolCall, message: &str, within: Option<String>) {
        let (name, args) = (call.function.name, call.function.arguments);
        if let Some(value) = call.encrypted_value {
            self.keep_encrypted(EncryptedSubtype::ToolCall, call.id.clone(), value);
        }
        let known = self.last(NodeKind::Tool, |node| node.id == call.id).map(|index| self.nodes[index].clone());
        let (result, result_id, parts, error) = match known.as_deref().map(|node| node.body.clone()) {
            Some(NodeBody::Tool { result, result_id, parts, error, .. }) => (result, result_id, parts, error),
            _ => Default::default(),
        };
        // An open call stays open until its own end event.
        let is_open = known.is_some_and(|node| node.state == NodeState::Open && !node.chunked);
        let done = result.is_some();
        let message = Some(message.to_owned());
        let body = NodeBody::Tool { name, args, message, result, result_id, parts, error };
        let index = self.upsert(at, NodeKind::Tool, within, call.id, body);
        if !is_open {
            self.edit(Some(index), |node| node.state = if done { NodeState::Done } else { NodeState::Called });
        }
    }

    /// Sets the body of the node with this kind and id, adding the node if there is none. Returns its index.
    fn upsert(&mut self, at: i64, kind: NodeKind, within: Option<String>, id: String, body: NodeBody) -> usize {
        match self.last(kind, |node| node.id == id) {
            Some(index) => {
                self.edit(Some(index), |node| node.body = body);
                index
            }
            None => {
                self.add_complete(at, within, id, body);
                self.nodes.len() - 1
            }
        }
    }
}

/// The nodes that these messages stand for, by kind and id.
fn nodes_named(messages: &[Message]) -> HashSet<(NodeKind, &str)> {
    let mut named = HashSet::new();
    for message in messages {
        match message {
            Message::Reasoning { id, .. } => {
                named.extend([(NodeKind::Reasoning, id.as_str()), (NodeKind::Span, id.as_str())])
            }
            Message::Assistant { id, tool_calls, .. } => {
                named.insert((NodeKind::Text, id.as_str()));
                named.extend(tool_calls.iter().flatten().map(|call| (NodeKind::Tool, call.id.as_str())));
            }
            Message::User { id, .. } | Message::System { id, .. } | Message::Developer { id, .. } => {
                named.insert((NodeKind::Text, id.as_str()));
            }
            Message::Tool { .. } | Message::Activity { .. } => {}
        }
    }
    named
}

/// A message's text, with the kind and id of its node.
fn text_of_message(message: &Message) -> Option<(NodeKind, &str, &str)> {
    match message {
        Message::Assistant { id, content: Some(text), .. } if !text.is_empty() => Some((NodeKind::Text, id, text)),
        Message::Reasoning { id, content, .. } => Some((NodeKind::Reasoning, id, content)),
        _ => None,
    }
}

/// A node's text or arguments, for comparison.
fn content(node: &Node) -> Option<&str> {
    match &node.body {
        NodeBody::Tool { args, .. } => Some(args.trim()),
        _ => text_of(node),
    }
}

/// A node's text, for comparison.
fn text_of(node: &Node) -> Option<&str> {
    match &node.body {
        NodeBody::Text { role: TextRole::Assistant, text } | NodeBody::Reasoning { text } => Some(text.trim()),
        _ => None,
    }
}
