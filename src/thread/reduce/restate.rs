//! `MESSAGES_SNAPSHOT`: a conversation, restated.
//!
//! Promises: it replaces what the run said of itself, as AG-UI's own reducer has it. Ids need not be those of the stream, so what
//! says the same under another id is the same; what is not there any more is withdrawn. What the person said, and what earlier
//! runs of the branch said, stays as it is.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::Value;

use super::{Kind, Node, NodeBody, NodeState, Resolution, RunState, RunView};
use crate::{
    protocol::{
        MessageId, RunId,
        agui::{EncryptedSubtype, Message, TextRole, ToolCall},
    },
    thread::{Item, ThreadView},
};

impl ThreadView {
    /// Takes over what a restated conversation says after the message that the run answers: that is this turn. What cannot be
    /// read is left out.
    pub(super) fn restate(&mut self, run_id: RunId, at: i64, mut messages: Vec<Value>) {
        self.fill_in_results(&mut messages);
        let said: Vec<Message> = messages.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
        let answers = self.run_mut(run_id, at).message_id;
        let own = answers.map(|id| id.to_string());
        let user = |message: &Message| matches!(message, Message::User { .. });
        let is_own = |message: &Message| matches!(message, Message::User { id, .. } if Some(id) == own.as_ref());
        let mut begins = said.iter().rposition(is_own);
        let from = begins.or_else(|| said.iter().rposition(user));
        let mut turn_of = answers;
        if let Some(Message::User { id, .. }) = from.map(|at| &said[at])
            && let Ok(id) = id.parse::<MessageId>()
            && answers != Some(id)
            && self.message(id).is_some()
        {
            if self.cancelled_by(run_id).is_none_or(|run| run.message_id != Some(id)) {
                // It ends before this turn, and says nothing of it.
                return;
            }
            // What it says to a cancellation belongs to the turn that was cancelled.
            (turn_of, begins) = (Some(id), from);
        }
        let turn = from.map_or(0, |at| at + 1);
        // Where the turn begins may not be where the agent says: it may have said something in a person's name.
        let scope = if begins.is_some() { &said[turn..] } else { &said[..] };
        let mut before = Before::of(self, run_id, turn_of, (scope, begins.is_some()));
        let elsewhere = self.named_before(run_id, if begins.is_some() { &said[..turn] } else { &[] });
        self.run_mut(run_id, at).withdraw(at, (scope, &said[turn..]), (&before, &elsewhere));
        for message in said.into_iter().skip(turn) {
            match message {
                Message::Tool { id, content, tool_call_id, error, encrypted_value, .. } => {
                    let own = self.run_mut(run_id, at).calls(&tool_call_id);
                    let calls = |run: &RunView| match own {
                        true => run.run_id == run_id,
                        false => before.answerable.contains(&tool_call_id) && run.calls(&tool_call_id),
                    };
                    let called = |item: &Item| matches!(item, Item::Run(run) if calls(run));
                    if let Some(Item::Run(run)) = self.items.iter_mut().rev().find(|item| called(item)) {
                        let run = Arc::make_mut(run);
                        if let Some(value) = encrypted_value {
                            run.keep_encrypted(EncryptedSubtype::Message, id.clone(), value);
                        }
                        run.answer_call(at, &tool_call_id, (id, content), error);
                    }
                }
                message => self.run_mut(run_id, at).take_over(at, message, &mut before),
            }
        }
    }
}

impl ThreadView {
    /// What a restated conversation names before the turn, and no run before this one said: this run's, in another place.
    fn named_before(&self, run_id: RunId, said: &[Message]) -> HashSet<(Kind, String)> {
        let mut elsewhere: HashSet<_> = named(said).into_iter().map(|(kind, id)| (kind, id.to_owned())).collect();
        for node in self.runs_before(run_id).into_iter().flat_map(|run| &run.nodes) {
            if let Some(kind) = Kind::of(&node.body) {
                elsewhere.remove(&(kind, node.id.clone()));
            }
        }
        elsewhere
    }

    /// The run before this one, where it waited for a person and this one was begun instead of an answer.
    fn cancelled_by(&self, run_id: RunId) -> Option<&RunView> {
        let before = self.runs_before(run_id).last().copied()?;
        let is_given_up = before.answered == Some(Resolution::Abandoned);
        (is_given_up && matches!(before.state, RunState::Interrupted { .. })).then_some(before)
    }
}

/// What runs before said, which is not said again.
#[derive(Default)]
struct Before {
    ids: HashSet<(Kind, String)>,
    /// The calls whose results are taken over: those without one, and those of the turn, whose results may have got other ids.
    answerable: HashSet<String>,
    /// What the turn's runs said under ids that the restated conversation does not have.
    unnamed: Vec<(Kind, String)>,
    /// What sub-agents of earlier turns said and called, with their words and arguments: an id alone may be used anew.
    earlier: HashMap<(Kind, String), String>,
}

impl Before {
    /// Those of the run's branch. Where its turn `alone` is known to be what is restated, earlier turns count only for what their
    /// sub-agents said and is told again as it was: some agents list that behind all else.
    fn of(thread: &ThreadView, run_id: RunId, turn: Option<MessageId>, (said, alone): (&[Message], bool)) -> Self {
        let (mut before, named) = (Self::default(), named(said));
        for run in thread.runs_before(run_id) {
            for node in &run.nodes {
                let Some(kind) = Kind::of(&node.body) else { continue };
                if alone && run.message_id != turn {
                    let text = content(node).filter(|_| node.within.is_some());
                    before.earlier.extend(text.map(|text| ((kind, node.id.clone()), text.to_owned())));
                    continue;
                }
                before.ids.insert((kind, node.id.clone()));
                let is_unanswered = matches!(node.body, NodeBody::Tool { result: None, .. });
                if is_unanswered || kind == Kind::Tool && turn.is_some() && run.message_id == turn {
                    before.answerable.insert(node.id.clone());
                }
                if run.message_id == turn && !named.contains(&(kind, node.id.as_str())) {
                    before.unnamed.extend(words(node).map(|text| (kind, text.to_owned())));
                }
            }
        }
        // What the run itself said to a cancellation stands before its message.
        let own = thread.run(run_id).map_or(&[][..], |run| &run.nodes[..run.answer_start()]);
        before.ids.extend(own.iter().filter_map(|node| Some((Kind::of(&node.body)?, node.id.clone()))));
        before
    }

    /// Whether this was said under its id.
    fn knows(&self, kind: Kind, id: &str, text: &str) -> bool {
        let key = (kind, id.to_owned());
        self.ids.contains(&key) || self.earlier.get(&key).is_some_and(|said| said == text.trim())
    }

    /// Whether a text was said before: under its id, or under another.
    fn has(&mut self, kind: Kind, id: &str, text: &str) -> bool {
        if self.knows(kind, id, text) {
            return true;
        }
        let same = self.unnamed.iter().position(|(other, said)| (*other, said.as_str()) == (kind, text.trim()));
        same.map(|at| self.unnamed.remove(at)).is_some()
    }
}

impl RunView {
    /// Gives what is restated under another id that id, and withdraws what is not restated. What still goes on is not known to be
    /// left out; nor are thoughts and sub-agents' words, which most agents restate never, where none are restated.
    fn withdraw(
        &mut self,
        at: i64,
        (said, turn): (&[Message], &[Message]),
        (before, elsewhere): (&Before, &HashSet<(Kind, String)>),
    ) {
        let named = named(said);
        let thinks = said.iter().any(|message| matches!(message, Message::Reasoning { .. }));
        let delegates = said.iter().any(|message| message.subagent().is_some());
        let goes = |node: &Node| {
            let Some(kind) = Kind::of(&node.body) else { return false };
            let restated = match kind {
                Kind::Text | Kind::Tool => true,
                Kind::Reasoning | Kind::Span => thinks,
                _ => false,
            };
            let over = node.state != NodeState::Open || node.chunked;
            restated
                && over
                && (delegates || node.within.is_none())
                && !named.contains(&(kind, node.id.as_str()))
                && !elsewhere.contains(&(kind, node.id.clone()))
        };
        let from = self.answer_start();
        let mut gone: Vec<usize> = (from..self.nodes.len()).filter(|index| goes(&self.nodes[*index])).collect();
        for (kind, id, text) in turn.iter().filter_map(spoken) {
            if self.last(kind, |node| node.id == id).is_some() || before.knows(kind, id, text) {
                continue;
            }
            let same = |index: &usize| {
                let node = &self.nodes[*index];
                Kind::of(&node.body) == Some(kind) && words(node) == Some(text.trim())
            };
            if let Some(index) = gone.iter().position(same).map(|place| gone.remove(place)) {
                self.rename(index, id);
            }
        }
        for index in gone {
            self.edit(Some(index), |node| node.body = NodeBody::Withdrawn);
            self.finish(at, Some(index), NodeState::Done);
        }
    }

    fn rename(&mut self, index: usize, id: &str) {
        let before = self.nodes[index].id.clone();
        for known in &mut self.encrypted {
            if known.subtype == EncryptedSubtype::Message && known.entity_id == before {
                Arc::make_mut(known).entity_id = id.to_owned();
            }
        }
        self.edit(Some(index), |node| node.id = id.to_owned());
    }

    /// Takes over what one message says.
    fn take_over(&mut self, at: i64, message: Message, before: &mut Before) {
        match message {
            Message::Assistant { id, content, tool_calls, encrypted_value, subagent_run_id, .. } => {
                let text = content.unwrap_or_default();
                let known = before.has(Kind::Text, &id, &text);
                if let Some(value) = encrypted_value.filter(|_| !known) {
                    self.keep_encrypted(EncryptedSubtype::Message, id.clone(), value);
                }
                if !known && !text.is_empty() {
                    let body = NodeBody::Text { role: TextRole::Assistant, text };
                    self.upsert(at, Kind::Text, subagent_run_id.clone(), id.clone(), body);
                }
                for call in tool_calls.into_iter().flatten() {
                    if !before.has(Kind::Tool, &call.id, &call.function.arguments) {
                        self.take_call(at, call, &id, subagent_run_id.clone());
                    }
                }
            }
            Message::Reasoning { id, content, encrypted_value, subagent_run_id } => {
                if before.has(Kind::Reasoning, &id, &content) {
                    return;
                }
                if let Some(value) = encrypted_value {
                    self.keep_encrypted(EncryptedSubtype::Message, id.clone(), value);
                }
                self.upsert(at, Kind::Reasoning, subagent_run_id, id, NodeBody::Reasoning { text: content });
            }
            _ => {}
        }
    }

    fn take_call(&mut self, at: i64, call: ToolCall, message: &str, within: Option<String>) {
        let (name, args) = (call.function.name, call.function.arguments);
        if let Some(value) = call.encrypted_value {
            self.keep_encrypted(EncryptedSubtype::ToolCall, call.id.clone(), value);
        }
        let known = self.last(Kind::Tool, |node| node.id == call.id).map(|index| self.nodes[index].clone());
        let (result, result_id, parts, error) = match known.as_deref().map(|node| node.body.clone()) {
            Some(NodeBody::Tool { result, result_id, parts, error, .. }) => (result, result_id, parts, error),
            _ => Default::default(),
        };
        // One that goes on is yet to be ended.
        let goes_on = known.is_some_and(|node| node.state == NodeState::Open && !node.chunked);
        let done = result.is_some();
        let message = Some(message.to_owned());
        let body = NodeBody::Tool { name, args, message, result, result_id, parts, error };
        let index = self.upsert(at, Kind::Tool, within, call.id, body);
        if !goes_on {
            self.edit(Some(index), |node| node.state = if done { NodeState::Done } else { NodeState::Called });
        }
    }

    /// The node of that kind and id as it is said now: a new one where there was none. Answers its index.
    fn upsert(&mut self, at: i64, kind: Kind, within: Option<String>, id: String, body: NodeBody) -> usize {
        match self.last(kind, |node| node.id == id) {
            Some(index) => {
                self.edit(Some(index), |node| node.body = body);
                index
            }
            None => {
                self.whole(at, within, id, body);
                self.nodes.len() - 1
            }
        }
    }
}

/// What a restated conversation names.
fn named(said: &[Message]) -> HashSet<(Kind, &str)> {
    let mut named = HashSet::new();
    for message in said {
        match message {
            Message::Reasoning { id, .. } => named.extend([(Kind::Reasoning, id.as_str()), (Kind::Span, id.as_str())]),
            Message::Assistant { id, tool_calls, .. } => {
                named.insert((Kind::Text, id.as_str()));
                named.extend(tool_calls.iter().flatten().map(|call| (Kind::Tool, call.id.as_str())));
            }
            Message::User { id, .. } | Message::System { id, .. } | Message::Developer { id, .. } => {
                named.insert((Kind::Text, id.as_str()));
            }
            Message::Tool { .. } | Message::Activity { .. } => {}
        }
    }
    named
}

/// What a message says in words.
fn spoken(message: &Message) -> Option<(Kind, &str, &str)> {
    match message {
        Message::Assistant { id, content: Some(text), .. } if !text.is_empty() => Some((Kind::Text, id, text)),
        Message::Reasoning { id, content, .. } => Some((Kind::Reasoning, id, content)),
        _ => None,
    }
}

/// What a node says or calls with, to compare.
fn content(node: &Node) -> Option<&str> {
    match &node.body {
        NodeBody::Tool { args, .. } => Some(args.trim()),
        _ => words(node),
    }
}

/// What a node says in words, to compare.
fn words(node: &Node) -> Option<&str> {
    match &node.body {
        NodeBody::Text { role: TextRole::Assistant, text } | NodeBody::Reasoning { text } => Some(text.trim()),
        _ => None,
    }
}
