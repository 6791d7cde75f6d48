//! Checks an agent's events against AG-UI's rules before they are stored.
//!
//! The rules are those of the protocol's own verifier: start, content and end match by id, steps by owner and name, a sub-agent is
//! announced once, and tags (`subagentRunId`) do not change. As there, a tag may name a sub-agent that was not announced.
//! Two rules are added: agents must not send `RUN_*` events, and sizes are bounded.
//! [`Guard`] checks an agent's events one by one; [`Verifier`](super::verifier::Verifier) the whole log of a run.

mod operations;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use self::operations::check_operations;
use super::chunks::{Chunk, ChunkEffect, Chunks};
use crate::{
    json_size::{Extent, extent},
    protocol::{
        agui::{EncryptedSubtype, Event, SubagentError, SubagentFinished},
        limits::MAX_DEPTH,
    },
};

/// The largest event that is stored, in bytes of JSON: it is one log entry, and one frame to every follower.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;
/// The most bytes of JSON that are stored of one run.
pub const MAX_RUN_BYTES: usize = 64 * 1024 * 1024;
/// The most bytes of JSON that one run may send. Restated content counts each time.
const MAX_RECEIVED_BYTES: usize = 1024 * 1024 * 1024;
/// The most messages, calls, steps and sub-agents of one run.
pub const MAX_IDS: usize = 10_000;

/// A rule that an event violates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event}: {rule}")]
pub struct Violation {
    /// The event's type.
    pub event: &'static str,
    /// The rule, in a sentence.
    pub rule: String,
}

/// Kinds of things that are started and ended by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Text,
    Tool,
    Reasoning,
    Span,
    Activity,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text message",
            Self::Tool => "tool call",
            Self::Reasoning => "reasoning message",
            Self::Span => "reasoning span",
            Self::Activity => "activity",
        }
    }

    /// The kind whose ids it shares: a reasoning span and its message have the same owner.
    const fn family(self) -> Self {
        match self {
            Self::Span => Self::Reasoning,
            other => other,
        }
    }
}

/// The state of the check after the events of a run so far.
#[derive(Debug)]
pub struct Guard {
    open: HashSet<(Kind, String)>,
    /// The sub-agent that each id belongs to; `None` for the run itself.
    owners: HashMap<(Kind, String), Option<String>>,
    steps: HashSet<(Option<String>, String)>,
    /// Steps that have ended, at most [`MAX_IDS`].
    ended_steps: HashSet<(Option<String>, String)>,
    /// Every announced sub-agent, and whether it is active.
    subagents: HashMap<String, bool>,
    chunks: Chunks,
    bytes: usize,
    max_event_bytes: usize,
    max_bytes: usize,
}

impl Default for Guard {
    /// A guard with the limits of stored events.
    fn default() -> Self {
        Self::with_limits(MAX_EVENT_BYTES, MAX_RUN_BYTES)
    }
}

impl Guard {
    /// A guard with the limits of received events, of which only changes are stored. Each may have `max_event_bytes`.
    #[must_use]
    pub(crate) fn for_received(max_event_bytes: usize) -> Self {
        Self::with_limits(max_event_bytes, MAX_RECEIVED_BYTES)
    }

    fn with_limits(max_event_bytes: usize, max_bytes: usize) -> Self {
        let (open, owners, steps, ended_steps, subagents, chunks) = Default::default();
        Self { open, owners, steps, ended_steps, subagents, chunks, bytes: 0, max_event_bytes, max_bytes }
    }

    /// Checks the agent's next event.
    ///
    /// # Errors
    /// The rule that it violates. The guard cannot be used after that.
    pub fn check(&mut self, event: &Event) -> Result<(), Violation> {
        self.apply(event).map_err(|rule| Violation { event: event.kind(), rule })
    }

    /// The problem if an event ends something that has ended already. Such an event can be dropped.
    pub(crate) fn repeated_end(&self, event: &Event) -> Option<String> {
        let is_known = |kind: Kind, id: &str| self.owners.contains_key(&(kind.family(), id.to_owned()));
        let is_open = |kind: Kind, id: &str| self.open.contains(&(kind, id.to_owned()));
        let ended = |kind: Kind, id: &str| {
            // Chunks need no end event.
            let again = is_known(kind, id) && (!is_open(kind, id) || self.chunks.has(kind, id));
            again.then(|| format!("the {} `{id}` has ended already", kind.name()))
        };
        match event {
            Event::TextMessageEnd(e) => ended(Kind::Text, &e.message_id),
            Event::ToolCallEnd(e) => ended(Kind::Tool, &e.tool_call_id),
            Event::ReasoningEnd(e) => ended(Kind::Span, &e.message_id),
            Event::ReasoningMessageEnd(e) => ended(Kind::Reasoning, &e.message_id),
            Event::StepFinished(e) => {
                let step = (event.subagent().map(str::to_owned), e.step_name.clone());
                let again = !self.steps.contains(&step) && self.ended_steps.contains(&step);
                again.then(|| format!("the step `{}` has ended already", e.step_name))
            }
            Event::SubagentFinished(SubagentFinished { subagent_run_id: id, .. })
            | Event::SubagentError(SubagentError { subagent_run_id: id, .. }) => {
                (self.subagents.get(id) == Some(&false)).then(|| format!("the sub-agent `{id}` has ended already"))
            }
            _ => None,
        }
    }

    /// Checks that a run can finish: chunks end with the run; everything else must have ended before.
    ///
    /// # Errors
    /// What is still open.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        for (kind, id, owner) in self.chunks.end_all() {
            self.end(kind, &id, owner.as_deref())?;
        }
        let ids = self.open.iter().map(|(kind, id)| format!("{} `{id}`", kind.name()));
        let steps = self.steps.iter().map(|(_, name)| format!("step `{name}`"));
        let subagents = self.subagents.iter().filter(|(_, active)| **active).map(|(id, _)| format!("sub-agent `{id}`"));
        ids.chain(steps).chain(subagents).next().map_or(Ok(()), |open| Err(format!("the {open} is still open")))
    }

    #[expect(clippy::too_many_lines, reason = "a flat match over the event types")]
    fn apply(&mut self, event: &Event) -> Result<(), String> {
        self.check_limits(event)?;
        for (kind, id, owner) in self.chunks.ended_by(event) {
            self.end(kind, &id, owner.as_deref())?;
        }
        let tag = event.subagent();
        let has_content = |delta: Option<&String>| delta.is_some() || event.base().raw_event.is_some();
        match event {
            Event::RunStarted(_) | Event::RunFinished(_) | Event::RunError(_) => {
                Err("agents must not send this event; the runner starts and ends runs".into())
            }
            Event::StepStarted(e) => match self.steps.insert((tag.map(str::to_owned), e.step_name.clone())) {
                true => Ok(()),
                false => Err(format!("the step `{}` has started already", e.step_name)),
            },
            Event::StepFinished(e) => self.end_step((tag.map(str::to_owned), e.step_name.clone())),
            Event::TextMessageStart(e) => self.start(Kind::Text, &e.message_id, tag),
            Event::TextMessageContent(e) => self.check_open(Kind::Text, &e.message_id, tag),
            Event::TextMessageEnd(e) => self.end(Kind::Text, &e.message_id, tag),
            Event::TextMessageChunk(e) => {
                let fields = [e.role.map(|role| format!("{role:?}")), e.name.clone()];
                self.chunk(
                    Chunk { kind: Kind::Text, id: e.message_id.clone(), fields },
                    has_content(e.delta.as_ref()),
                    tag,
                )
            }
            Event::ToolCallStart(e) => {
                let owner = self.owner_of_call(&e.tool_call_id, e.parent_message_id.as_ref(), tag)?;
                self.start(Kind::Tool, &e.tool_call_id, owner.as_deref())
            }
            Event::ToolCallArgs(e) => self.check_open(Kind::Tool, &e.tool_call_id, tag),
            Event::ToolCallEnd(e) => self.end(Kind::Tool, &e.tool_call_id, tag),
            Event::ToolCallChunk(e) => {
                let fields = [e.tool_call_name.clone(), e.parent_message_id.clone()];
                self.chunk(
                    Chunk { kind: Kind::Tool, id: e.tool_call_id.clone(), fields },
                    has_content(e.delta.as_ref()),
                    tag,
                )
            }
            Event::ToolCallResult(e) => {
                self.owners.insert((Kind::Text, e.message_id.clone()), tag.map(str::to_owned));
                Ok(())
            }
            Event::ReasoningStart(e) => self.start(Kind::Span, &e.message_id, tag),
            Event::ReasoningEnd(e) => self.end(Kind::Span, &e.message_id, tag),
            Event::ReasoningMessageStart(e) => self.start(Kind::Reasoning, &e.message_id, tag),
            Event::ReasoningMessageContent(e) => self.check_open(Kind::Reasoning, &e.message_id, tag),
            Event::ReasoningMessageEnd(e) => self.end(Kind::Reasoning, &e.message_id, tag),
            Event::ReasoningMessageChunk(e) => {
                let chunk = Chunk { kind: Kind::Reasoning, id: e.message_id.clone(), fields: [None, None] };
                self.chunk(chunk, has_content(e.delta.as_ref()), tag)
            }
            Event::SubagentStarted(e) => {
                if let Some(parent) = e.parent_subagent_run_id.as_ref().filter(|id| !self.subagents.contains_key(*id)) {
                    return Err(format!("the parent `{parent}` was not announced by SUBAGENT_STARTED"));
                }
                match self.subagents.insert(e.subagent_run_id.clone(), true) {
                    None => Ok(()),
                    Some(_) => Err(format!("the sub-agent `{}` was announced already", e.subagent_run_id)),
                }
            }
            Event::SubagentFinished(e) => self.end_subagent(&e.subagent_run_id),
            Event::SubagentError(e) => self.end_subagent(&e.subagent_run_id),
            Event::StateDelta(e) => check_operations(&e.delta),
            Event::ActivitySnapshot(e) => {
                let (key, owner) = ((Kind::Activity, e.message_id.clone()), tag.map(str::to_owned));
                if e.replace == Some(false) {
                    self.owners.entry(key).or_insert(owner);
                } else {
                    self.owners.insert(key, owner);
                }
                Ok(())
            }
            Event::ActivityDelta(e) => {
                self.check_owner(Kind::Activity, &e.message_id, tag)?;
                check_operations(&e.patch)
            }
            Event::ReasoningEncryptedValue(e) => match e.subtype {
                EncryptedSubtype::ToolCall => self.check_owner(Kind::Tool, &e.entity_id, tag),
                EncryptedSubtype::Message if self.owners.contains_key(&(Kind::Text, e.entity_id.clone())) => {
                    self.check_owner(Kind::Text, &e.entity_id, tag)
                }
                EncryptedSubtype::Message => self.check_owner(Kind::Reasoning, &e.entity_id, tag),
            },
            Event::MessagesSnapshot(e) => {
                self.set_owners(&e.messages, true);
                Ok(())
            }
            Event::StateSnapshot(_) | Event::Raw(_) | Event::Custom(_) => Ok(()),
        }
    }

    fn check_limits(&mut self, event: &Event) -> Result<(), String> {
        let Extent { bytes, depth } = extent(event);
        self.bytes += bytes;
        if depth > MAX_DEPTH {
            return Err(format!("an event may be nested at most {MAX_DEPTH} levels deep, this one has {depth}"));
        }
        let Self { max_event_bytes, max_bytes, .. } = *self;
        if bytes > max_event_bytes {
            return Err(format!("an event may have at most {max_event_bytes} bytes, this one has {bytes}"));
        }
        if self.bytes > max_bytes {
            return Err(format!("the events of a run may have at most {max_bytes} bytes in total"));
        }
        // All ids but those of ended steps are kept, since an id may occur again.
        if self.owners.len() + self.subagents.len() + self.steps.len() > MAX_IDS {
            return Err(format!("a run may have at most {MAX_IDS} messages, calls, steps and sub-agents"));
        }
        Ok(())
    }

    fn start(&mut self, kind: Kind, id: &str, tag: Option<&str>) -> Result<(), String> {
        self.check_owner(kind, id, tag)?;
        if !self.open.insert((kind, id.to_owned())) {
            return Err(format!("the {} `{id}` has started already", kind.name()));
        }
        self.owners.entry((kind.family(), id.to_owned())).or_insert_with(|| tag.map(str::to_owned));
        Ok(())
    }

    fn check_open(&self, kind: Kind, id: &str, tag: Option<&str>) -> Result<(), String> {
        if !self.open.contains(&(kind, id.to_owned())) {
            return Err(format!("the {} `{id}` has not started or has ended", kind.name()));
        }
        self.check_owner(kind, id, tag)
    }

    fn end(&mut self, kind: Kind, id: &str, tag: Option<&str>) -> Result<(), String> {
        self.check_open(kind, id, tag)?;
        self.open.remove(&(kind, id.to_owned()));
        Ok(())
    }

    fn chunk(&mut self, chunk: Chunk, has_content: bool, tag: Option<&str>) -> Result<(), String> {
        let (kind, parent) = (chunk.kind, chunk.fields[1].clone().filter(|_| chunk.kind == Kind::Tool));
        let (id, mut owner, ended) = match self.chunks.apply(chunk, tag)? {
            ChunkEffect::Starts { id, owner, ended } => (id, owner, ended),
            // A chunk without content may come after the end.
            ChunkEffect::Continues { id } => {
                return if has_content { self.check_open(kind, &id, None) } else { Ok(()) };
            }
        };
        if let Some((kind, id)) = ended {
            self.end(kind, &id, None)?;
        }
        if kind == Kind::Tool {
            owner = self.owner_of_call(&id, parent.as_ref(), owner.as_deref())?;
        }
        self.start(kind, &id, owner.as_deref())
    }

    /// An id keeps the owner that it started with; an event without a tag is accepted.
    fn check_owner(&self, kind: Kind, id: &str, tag: Option<&str>) -> Result<(), String> {
        match (self.owners.get(&(kind.family(), id.to_owned())), tag) {
            (Some(owner), Some(tag)) if owner.as_deref() != Some(tag) => {
                let owner = owner.as_deref().map_or("the run itself".into(), |id| format!("the sub-agent `{id}`"));
                Err(format!("the {} `{id}` belongs to {owner}, not to `{tag}`", kind.name()))
            }
            _ => Ok(()),
        }
    }

    /// The owner of a tool call: that of its parent message. A call that occurs again keeps its owner.
    fn owner_of_call(&self, call: &str, message: Option<&String>, tag: Option<&str>) -> Result<Option<String>, String> {
        let Some(message) = message else { return Ok(tag.map(str::to_owned)) };
        self.check_owner(Kind::Text, message, tag)?;
        let Some(owner) = self.owners.get(&(Kind::Text, message.clone())) else { return Ok(tag.map(str::to_owned)) };
        match self.owners.get(&(Kind::Tool, call.to_owned())) {
            Some(before) if before != owner => {
                Err(format!("the tool call `{call}` belongs to another agent than its parent message `{message}`"))
            }
            _ => Ok(owner.clone()),
        }
    }

    /// Sets the owners of restated messages and their calls; with `replace`, also of known ones.
    fn set_owners(&mut self, messages: &[Value], replace: bool) {
        for message in messages {
            let text = |key| message.get(key).and_then(Value::as_str);
            let kind = match text("role") {
                Some("reasoning") => Kind::Reasoning,
                Some("activity") => Kind::Activity,
                Some("assistant" | "user" | "tool" | "system" | "developer") => Kind::Text,
                // A role of a later version.
                _ => continue,
            };
            let calls = message.get("toolCalls").and_then(Value::as_array).into_iter().flatten();
            let calls = calls.filter_map(|call| call.get("id").and_then(Value::as_str)).map(|id| (Kind::Tool, id));
            for (kind, id) in text("id").map(|id| (kind, id)).into_iter().chain(calls) {
                let (key, owner) = ((kind, id.to_owned()), text("subagentRunId").map(str::to_owned));
                if replace || !self.owners.contains_key(&key) {
                    self.owners.insert(key, owner);
                }
            }
        }
    }

    /// Sets the owners of the messages that a run starts with: the `input` of its RUN_STARTED.
    pub(crate) fn seed(&mut self, input: Option<&Value>) {
        let messages = input.and_then(|input| input.get("messages")).and_then(Value::as_array);
        self.set_owners(messages.map_or(&[], Vec::as_slice), false);
    }

    fn end_step(&mut self, step: (Option<String>, String)) -> Result<(), String> {
        if !self.steps.remove(&step) {
            return Err(format!("the step `{}` has not started or has ended", step.1));
        }
        if self.ended_steps.len() < MAX_IDS {
            self.ended_steps.insert(step);
        }
        Ok(())
    }

    fn end_subagent(&mut self, id: &str) -> Result<(), String> {
        match self.subagents.get_mut(id) {
            Some(active) if *active => {
                *active = false;
                Ok(())
            }
            _ => Err(format!("the sub-agent `{id}` has not started or has ended")),
        }
    }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
