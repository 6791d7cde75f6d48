//! Folds a run's events into its [`RunView`].

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{calls, is_later_piece};
use crate::{
    protocol::{
        Node, NodeBody, NodeState, RunId, RunState, RunView,
        agui::{Base, Event, RunFinished, RunOutcome, TextRole, ToolCallResult, ToolContent},
        extensions::UNFINISHED_STEP,
    },
    thread::patch,
};

/// The kind of a node. An agent may use the same id for nodes of different kinds, such as a text and a reasoning span.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum NodeKind {
    Text,
    Span,
    Reasoning,
    Step,
    Tool,
    Subagent,
    Activity,
}

impl NodeKind {
    /// The kind of a node with this body; `None` if it has no id.
    pub(super) fn from_body(body: &NodeBody) -> Option<Self> {
        Some(match body {
            NodeBody::Text { .. } => Self::Text,
            NodeBody::ReasoningSpan => Self::Span,
            NodeBody::Reasoning { .. } => Self::Reasoning,
            NodeBody::Step => Self::Step,
            NodeBody::Tool { .. } => Self::Tool,
            NodeBody::Subagent { .. } => Self::Subagent,
            NodeBody::Activity { .. } => Self::Activity,
            NodeBody::Custom { .. } | NodeBody::Withdrawn => return None,
        })
    }
}

impl RunView {
    /// A run that was accepted at `at` (milliseconds since 1970) and has not begun.
    #[must_use]
    pub fn new(run_id: RunId, agent: impl Into<String>, at: i64) -> Self {
        Self {
            run_id,
            agent: agent.into(),
            message_id: None,
            resumes: None,
            state: RunState::Waiting,
            answered: None,
            pending: Vec::new(),
            started_at: at,
            ended_at: None,
            nodes: Vec::new(),
            edited_by: None,
            nodes_before_message: None,
            read: Vec::new(),
            encrypted: Vec::new(),
            feedback: None,
            usage: Vec::new(),
            cost_usd: None,
            shared: None,
            shared_changes: Vec::new(),
            result: None,
        }
    }

    #[expect(clippy::too_many_lines, reason = "a flat match over the event types")]
    pub(super) fn apply_event(&mut self, at: i64, event: Event) {
        let within = event.subagent().map(str::to_owned);
        let text = |role| NodeBody::Text { role, text: String::new() };
        let reasoning = || NodeBody::Reasoning { text: String::new() };
        match event {
            Event::RunStarted(_) => self.state = RunState::Running,
            Event::RunFinished(e) => self.finish_run(at, e),
            Event::RunError(e) => {
                self.usage.extend(e.usage.into_iter().flatten());
                self.cost_usd = cost_usd(&e.base);
                self.end(at, RunState::Failed { message: e.message, code: e.code });
            }
            Event::StepStarted(e) => self.begin(at, within, e.step_name, NodeBody::Step),
            Event::StepFinished(e) => {
                let step = |node: &Node| node.id == e.step_name && node.within == within;
                let is_unfinished =
                    e.base.metadata.as_ref().is_some_and(|metadata| metadata.contains_key(UNFINISHED_STEP));
                let state = if is_unfinished { NodeState::Failed } else { NodeState::Done };
                self.finish(at, self.last_open(NodeKind::Step, step), state);
            }
            Event::TextMessageStart(e) => self.begin(at, within, e.message_id, text(e.role.unwrap_or_default())),
            Event::TextMessageContent(e) => self.append(NodeKind::Text, &e.message_id, &e.delta),
            Event::TextMessageEnd(e) => self.finish_id(at, NodeKind::Text, &e.message_id),
            Event::TextMessageChunk(e) => {
                let body = text(e.role.unwrap_or(TextRole::Assistant));
                self.apply_chunk(at, within, NodeKind::Text, e.message_id, body, e.delta.as_deref());
            }
            Event::ToolCallStart(e) => {
                self.begin_call(at, within, e.tool_call_id, e.tool_call_name, e.parent_message_id);
            }
            Event::ToolCallArgs(e) => self.append(NodeKind::Tool, &e.tool_call_id, &e.delta),
            Event::ToolCallEnd(e) => self.end_call(at, &e.tool_call_id),
            Event::ToolCallChunk(e) => {
                let body = calls::tool(e.tool_call_name.unwrap_or_default(), e.parent_message_id);
                self.apply_chunk(at, within, NodeKind::Tool, e.tool_call_id, body, e.delta.as_deref());
            }
            Event::ToolCallResult(e) => self.apply_result(at, e),
            Event::ReasoningStart(e) => self.begin(at, within, e.message_id, NodeBody::ReasoningSpan),
            Event::ReasoningEnd(e) => self.finish_id(at, NodeKind::Span, &e.message_id),
            Event::ReasoningMessageStart(e) => self.begin(at, within, e.message_id, reasoning()),
            Event::ReasoningMessageContent(e) => self.append(NodeKind::Reasoning, &e.message_id, &e.delta),
            Event::ReasoningMessageEnd(e) => self.finish_id(at, NodeKind::Reasoning, &e.message_id),
            Event::ReasoningMessageChunk(e) => {
                self.apply_chunk(at, within, NodeKind::Reasoning, e.message_id, reasoning(), e.delta.as_deref());
            }
            Event::SubagentStarted(e) => {
                let body = NodeBody::Subagent { name: e.name, description: e.description, error: None };
                self.begin(at, e.parent_subagent_run_id, e.subagent_run_id, body);
            }
            Event::SubagentFinished(e) => self.finish_id(at, NodeKind::Subagent, &e.subagent_run_id),
            Event::SubagentError(e) => {
                let index = self.last_open(NodeKind::Subagent, |node| node.id == e.subagent_run_id);
                self.edit(index, |node| {
                    if let NodeBody::Subagent { error, .. } = &mut node.body {
                        *error = Some(e.message);
                    }
                });
                self.finish(at, index, NodeState::Failed);
            }
            Event::ActivitySnapshot(e) => {
                let body = NodeBody::Activity { activity_type: e.activity_type, content: e.content };
                match self.last(NodeKind::Activity, |node| node.id == e.message_id) {
                    Some(_) if e.replace == Some(false) => {}
                    Some(index) => self.edit(Some(index), |node| node.body = body),
                    None => self.add_complete(at, within, e.message_id, body),
                }
            }
            Event::Custom(e) => {
                let body = NodeBody::Custom { name: e.name, value: e.value };
                self.add_complete(at, within, String::new(), body);
            }
            Event::StateSnapshot(e) => self.set_state(e.snapshot),
            Event::StateDelta(e) => self.change_state(e.delta),
            Event::ActivityDelta(e) => {
                let index = self.last(NodeKind::Activity, |node| node.id == e.message_id);
                self.edit(index, |node| {
                    if let NodeBody::Activity { content, .. } = &mut node.body {
                        let mut whole = Value::Object(std::mem::take(content));
                        patch::apply(&mut whole, e.patch);
                        *content = if let Value::Object(map) = whole { map } else { Map::new() };
                    }
                });
            }
            Event::ReasoningEncryptedValue(e) => self.keep_encrypted(e.subtype, e.entity_id, e.encrypted_value),
            // `RAW` is only kept in the log. `MESSAGES_SNAPSHOT` is folded by the thread.
            Event::Raw(_) | Event::MessagesSnapshot(_) => {}
        }
    }

    fn finish_run(&mut self, at: i64, event: RunFinished) {
        self.usage.extend(event.usage.into_iter().flatten());
        self.cost_usd = cost_usd(&event.base);
        self.result = event.result;
        if let Some(RunOutcome::Success { pending_tool_call_ids: Some(pending) }) = &event.outcome {
            self.pending.clone_from(pending);
        }
        let state = match event.outcome {
            None | Some(RunOutcome::Success { .. }) => RunState::Finished,
            Some(RunOutcome::Cancelled) => RunState::Cancelled,
            Some(RunOutcome::Interrupt { interrupts }) => RunState::Interrupted { interrupts },
        };
        self.end(at, state);
    }

    fn apply_result(&mut self, at: i64, event: ToolCallResult) {
        let metadata = event.base.metadata.as_ref();
        let error = metadata.and_then(|metadata| metadata.get("error")).and_then(Value::as_str).map(str::to_owned);
        if let (true, ToolContent::Text(piece)) = (is_later_piece(&event.base), &event.content) {
            return self.append_to_result(&event.tool_call_id, piece);
        }
        self.set_result(at, &event.tool_call_id, (event.message_id, event.content), error);
    }

    /// Adds an open node.
    pub(super) fn begin(&mut self, at: i64, within: Option<String>, id: String, body: NodeBody) {
        let node = Node { id, within, state: NodeState::Open, started_at: at, ended_at: None, chunked: false, body };
        self.nodes.push(Arc::new(node));
    }

    /// Adds a node that is complete.
    pub(super) fn add_complete(&mut self, at: i64, within: Option<String>, id: String, body: NodeBody) {
        self.begin(at, within, id, body);
        self.finish(at, Some(self.nodes.len() - 1), NodeState::Done);
    }

    /// Applies a `*_CHUNK` event to the open chunked node with its id. If there is none, it begins one, or begins an existing tool call again.
    /// Without an id, the chunk continues the last open chunked node of its kind and of its sub-agent; if it names no sub-agent and there
    /// is no such node of the run itself, that of any sub-agent; if there is none at all, it is ignored.
    fn apply_chunk(
        &mut self,
        at: i64,
        within: Option<String>,
        kind: NodeKind,
        id: Option<String>,
        body: NodeBody,
        delta: Option<&str>,
    ) {
        let open = match &id {
            Some(id) => self.last_open(kind, |node| node.chunked && node.id == *id),
            None => {
                let own = self.last_open(kind, |node| node.chunked && node.within == within);
                own.or_else(|| self.last_open(kind, |node| node.chunked && within.is_none()))
            }
        };
        let index = match (open, id) {
            (Some(index), _) => index,
            (None, Some(id)) => {
                let index = match (self.last(kind, |node| node.id == id), body) {
                    (Some(index), NodeBody::Tool { name, message, .. }) => {
                        self.begin_again(index, name, message);
                        index
                    }
                    (_, body) => {
                        self.begin(at, within, id, body);
                        self.nodes.len() - 1
                    }
                };
                self.edit(Some(index), |node| node.chunked = true);
                index
            }
            (None, None) => return,
        };
        if let Some(delta) = delta {
            self.append_at(Some(index), delta);
        }
    }

    /// The open node with this id. A node with a start event is preferred to one that arrived in chunks.
    pub(super) fn open_node(&self, kind: NodeKind, id: &str) -> Option<usize> {
        let whole = self.last_open(kind, |node| node.id == id && !node.chunked);
        whole.or_else(|| self.last_open(kind, |node| node.id == id))
    }

    fn append(&mut self, kind: NodeKind, id: &str, delta: &str) {
        self.append_at(self.open_node(kind, id), delta);
    }

    fn append_at(&mut self, index: Option<usize>, delta: &str) {
        self.edit(index, |node| match &mut node.body {
            NodeBody::Text { text, .. } | NodeBody::Reasoning { text } | NodeBody::Tool { args: text, .. } => {
                text.push_str(delta);
            }
            _ => {}
        });
    }

    fn finish_id(&mut self, at: i64, kind: NodeKind, id: &str) {
        self.finish(at, self.open_node(kind, id), NodeState::Done);
    }

    pub(super) fn finish(&mut self, at: i64, index: Option<usize>, state: NodeState) {
        self.edit(index, |node| {
            node.state = state;
            node.ended_at = Some(at);
        });
    }

    /// Ends the run and every open node in it.
    fn end(&mut self, at: i64, state: RunState) {
        // A call of an interrupted run gets its result later.
        let is_interrupted = matches!(state, RunState::Interrupted { .. });
        // Open steps and calls of a run that failed or was stopped did not complete.
        let is_broken_off = matches!(state, RunState::Failed { .. } | RunState::Cancelled);
        for index in 0..self.nodes.len() {
            match self.nodes[index].state {
                NodeState::Called if is_interrupted => {}
                NodeState::Open | NodeState::Called => {
                    let is_work = matches!(self.nodes[index].body, NodeBody::Step | NodeBody::Tool { .. });
                    let state = if is_broken_off && is_work { NodeState::Failed } else { NodeState::Done };
                    self.finish(at, Some(index), state);
                }
                NodeState::Done | NodeState::Failed => {}
            }
        }
        self.state = state;
        self.ended_at = Some(at);
    }

    pub(super) fn edit(&mut self, index: Option<usize>, change: impl FnOnce(&mut Node)) {
        if let Some(node) = index.and_then(|index| self.nodes.get_mut(index)) {
            change(Arc::make_mut(node));
        }
    }

    /// The last node of this kind for which `is` holds.
    pub(super) fn last(&self, kind: NodeKind, is: impl Fn(&Node) -> bool) -> Option<usize> {
        self.nodes.iter().rposition(|node| NodeKind::from_body(&node.body) == Some(kind) && is(node))
    }

    pub(super) fn last_open(&self, kind: NodeKind, is: impl Fn(&Node) -> bool) -> Option<usize> {
        self.last(kind, |node| node.state == NodeState::Open && is(node))
    }
}

/// The run's cost, from the metadata of its terminal event.
fn cost_usd(base: &Base) -> Option<f64> {
    base.metadata.as_ref()?.get("costUsd")?.as_f64()
}
