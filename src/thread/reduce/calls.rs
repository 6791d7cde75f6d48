//! Tool calls across the runs of a thread. Their ids are the agent's.
//!
//! Guarantees: a call that is announced again, by its own run or by one that resumes it, is the same call: it keeps its place, its
//! arguments are replaced, and its last result counts. A call of an earlier turn is a different one even if the id is the same,
//! since some models number their calls from the start in each turn. One exception: an agent whose interrupts were cancelled may
//! announce the call once more before it receives the new message.

use std::sync::Arc;

use serde_json::Value;

use super::run::NodeKind;
use crate::protocol::{
    Item, Node, NodeBody, NodeState, RunId, RunState, RunView, ThreadView,
    agui::{EncryptedSubtype, Event, ToolContent},
};

/// How an event refers to a call.
enum CallReference<'a> {
    /// It announces the call with this id, for the first time or again.
    Announcement(&'a str),
    /// It continues the call with this id.
    Continuation(&'a str),
    /// It continues the open chunked call.
    OpenChunk,
}

/// The call that an event refers to, if any.
fn call_reference(event: &Event) -> Option<CallReference<'_>> {
    Some(match event {
        Event::ToolCallStart(e) => CallReference::Announcement(&e.tool_call_id),
        Event::ToolCallChunk(e) => match e.tool_call_id.as_deref() {
            Some(id) => CallReference::Announcement(id),
            None => CallReference::OpenChunk,
        },
        Event::ToolCallArgs(e) => CallReference::Continuation(&e.tool_call_id),
        Event::ToolCallEnd(e) => CallReference::Continuation(&e.tool_call_id),
        Event::ToolCallResult(e) => CallReference::Continuation(&e.tool_call_id),
        Event::ReasoningEncryptedValue(e) if e.subtype == EncryptedSubtype::ToolCall => {
            CallReference::Continuation(&e.entity_id)
        }
        _ => return None,
    })
}

impl ThreadView {
    /// The earlier run that has the call to which this run's event refers; `None` if the run itself has the call, or no run does.
    pub(super) fn holder_of_call(&self, run_id: RunId, event: &Event) -> Option<RunId> {
        let reference = call_reference(event)?;
        let own = self.run(run_id);
        let has = |run: &RunView| match reference {
            CallReference::Announcement(id) | CallReference::Continuation(id) => run.has_call(id),
            CallReference::OpenChunk => run.last_open(NodeKind::Tool, |node| node.chunked).is_some(),
        };
        if own.is_some_and(has) {
            return None;
        }
        let turn = own.and_then(|run| run.message_id);
        let is_same_turn = |run: &RunView| turn.is_some() && run.message_id == turn;
        // Runs of other agents are left out, except for a result that a client sent for a call that it had to execute.
        let is_of_agent = |run: &RunView| {
            let is_pending = |id: &str| run.pending.iter().any(|pending| pending == id);
            own.is_none_or(|own| own.agent == run.agent)
                || matches!(event, Event::ToolCallResult(e) if is_pending(&e.tool_call_id))
        };
        let earlier = self.runs_before(run_id);
        // The run whose interrupts this run cancels; only until its agent receives the new message.
        let cancelled = earlier.last().filter(|_| own.is_some_and(|own| own.nodes_before_message.is_none()));
        let is_cancelled = |run: &RunView, id: &str, tool: Option<&str>| {
            cancelled.is_some_and(|cancelled| cancelled.run_id == run.run_id) && run.may_be_interrupted_for(id, tool)
        };
        let is_allowed = |run: &RunView| match (&reference, event) {
            (CallReference::Announcement(id), Event::ToolCallStart(e)) => {
                is_same_turn(run) || is_cancelled(run, id, Some(&e.tool_call_name))
            }
            (CallReference::Announcement(id), Event::ToolCallChunk(e)) => {
                is_same_turn(run) || is_cancelled(run, id, e.tool_call_name.as_deref())
            }
            (CallReference::Continuation(_), _) => true,
            _ => is_same_turn(run),
        };
        let holder = earlier.iter().rev().find(|run| has(run) && is_allowed(run) && is_of_agent(run));
        holder.map(|run| run.run_id)
    }

    /// Adds a call to the interrupted run if it is described only by that run's interrupt, and a result for it comes from the run that
    /// resumes it.
    pub(super) fn add_call_of_interrupt(&mut self, run_id: RunId, at: i64, call: &str) {
        let Some(own) = self.run(run_id).filter(|run| !run.has_call(call)) else { return };
        let has_interrupt =
            |run: &RunView| run.interrupts().iter().any(|interrupt| interrupt.tool_call_id.as_deref() == Some(call));
        let Some(resumed) =
            own.resumes.filter(|id| self.run(*id).is_some_and(|run| !run.has_call(call) && has_interrupt(run)))
        else {
            return;
        };
        self.run_mut(resumed, at).add_call_of_interrupt(at, call);
    }

    /// A run ended: closes the calls of earlier runs of its turn that it announced again and left open.
    pub(super) fn close_calls_of_turn(&mut self, run_id: RunId, at: i64) {
        let Some(run) = self.run(run_id) else { return };
        let (turn, failed) = (run.message_id, !matches!(run.state, RunState::Finished | RunState::Interrupted { .. }));
        if turn.is_none() {
            return;
        }
        for item in &mut self.items {
            let Item::Run(run) = item else { continue };
            let is_open = |node: &Node| matches!(node.body, NodeBody::Tool { .. }) && node.state == NodeState::Open;
            if run.message_id == turn && run.state.is_over() && run.nodes.iter().any(|node| is_open(node)) {
                Arc::make_mut(run).close_open_calls(at, failed);
            }
        }
    }
}

impl RunView {
    pub(super) fn has_call(&self, call: &str) -> bool {
        self.last(NodeKind::Tool, |node| node.id == call).is_some()
    }

    /// Whether an interrupt of the run may be about this call, which has no result; `tool`: the tool's name, if known.
    fn may_be_interrupted_for(&self, call: &str, tool: Option<&str>) -> bool {
        let is_call = |node: &Node| match &node.body {
            NodeBody::Tool { name, result: None, .. } => node.id == call && tool.is_none_or(|tool| tool == name),
            _ => false,
        };
        // An interrupt without a call may be about any call that has no result.
        let has_interrupt =
            self.interrupts().iter().any(|interrupt| interrupt.tool_call_id.as_deref().is_none_or(|id| id == call));
        has_interrupt && self.last(NodeKind::Tool, is_call).is_some()
    }

    fn close_open_calls(&mut self, at: i64, failed: bool) {
        for index in 0..self.nodes.len() {
            let NodeBody::Tool { result, .. } = &self.nodes[index].body else { continue };
            if self.nodes[index].state == NodeState::Open {
                let state = if failed && result.is_none() { NodeState::Failed } else { NodeState::Done };
                self.finish(at, Some(index), state);
            }
        }
    }

    /// Begins a call, or begins a known one again.
    pub(super) fn begin_call(
        &mut self,
        at: i64,
        within: Option<String>,
        id: String,
        name: String,
        parent_message: Option<String>,
    ) {
        match self.last(NodeKind::Tool, |node| node.id == id) {
            Some(index) => self.begin_again(index, name, parent_message),
            None => self.begin(at, within, id, tool(name, parent_message)),
        }
    }

    /// Begins a known call again. It keeps its result until another one comes.
    pub(super) fn begin_again(&mut self, index: usize, tool_name: String, parent_message: Option<String>) {
        self.edit(Some(index), |node| {
            (node.state, node.ended_at, node.chunked) = (NodeState::Open, None, false);
            if let NodeBody::Tool { name, args, message, .. } = &mut node.body {
                (*name, *args) = (tool_name, String::new());
                *message = parent_message.or(message.take());
            }
        });
    }

    /// The arguments of a call are complete.
    pub(super) fn end_call(&mut self, at: i64, id: &str) {
        let index = self.open_node(NodeKind::Tool, id);
        self.edit(index, |node| match &node.body {
            NodeBody::Tool { result: Some(_), .. } => (node.state, node.ended_at) = (NodeState::Done, Some(at)),
            _ => node.state = NodeState::Called,
        });
    }

    /// Sets a call's result: its message's id and content, and the error if the call failed.
    pub(super) fn set_result(
        &mut self,
        at: i64,
        call: &str,
        (id, content): (String, ToolContent),
        failure: Option<String>,
    ) {
        let index = self.last(NodeKind::Tool, |node| node.id == call);
        let state = if failure.is_some() { NodeState::Failed } else { NodeState::Done };
        self.edit(index, |node| {
            if let NodeBody::Tool { result, result_id, parts, error, .. } = &mut node.body {
                let text = Some(content.to_text()).filter(|text| !text.is_empty());
                *result = Some(text.or_else(|| failure.clone()).unwrap_or_default());
                *parts = if let ToolContent::Parts(parts) = content { Some(parts) } else { None };
                (*result_id, *error) = (Some(id), failure);
            }
        });
        self.finish(at, index, state);
    }

    /// Appends a piece to a call's result.
    pub(super) fn append_to_result(&mut self, call: &str, piece: &str) {
        let index = self.last(NodeKind::Tool, |node| node.id == call);
        self.edit(index, |node| {
            if let NodeBody::Tool { result: Some(text), .. } = &mut node.body {
                text.push_str(piece);
            }
        });
    }

    /// Adds a call that an interrupt describes: the interrupt's metadata has the tool's name and arguments.
    fn add_call_of_interrupt(&mut self, at: i64, call: &str) {
        let interrupt = self.interrupts().iter().find(|interrupt| interrupt.tool_call_id.as_deref() == Some(call));
        let Some(interrupt) = interrupt.cloned() else { return };
        let metadata = |key: &str| interrupt.metadata.as_ref().and_then(|metadata| metadata.get(key));
        let name = metadata("toolName").and_then(Value::as_str).unwrap_or("tool").to_owned();
        let arguments = metadata("args").map(Value::to_string).unwrap_or_default();
        self.begin(at, interrupt.subagent_run_id.clone(), call.to_owned(), tool(name, None));
        let index = self.nodes.len() - 1;
        self.edit(Some(index), |node| {
            node.state = NodeState::Called;
            if let NodeBody::Tool { args, .. } = &mut node.body {
                *args = arguments;
            }
        });
    }
}

/// A call of which only the tool's name and the message that contains it are known.
pub(super) fn tool(name: String, message: Option<String>) -> NodeBody {
    let (args, result, result_id, parts, error) = Default::default();
    NodeBody::Tool { name, args, message, result, result_id, parts, error }
}
