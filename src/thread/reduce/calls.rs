//! Tool calls across the runs of a thread.
//!
//! Promises: ids are the agent's. A call that is announced again, by its own run or by one that goes on from it, is the same
//! call: it stands where it stood, its arguments are replaced, and it has one result, the last one told. A call of an earlier
//! turn is another one, even if it has the same id: some models number their calls anew in each turn. But an agent that is told
//! that nobody answers its question may announce the call once more, before it is told of the new message.

use std::sync::Arc;

use serde_json::Value;

use super::{Kind, Node, NodeBody, NodeState, RunState, RunView};
use crate::{
    protocol::{
        RunId,
        agui::{EncryptedSubtype, Event, ToolContent},
    },
    thread::{Item, ThreadView},
};

/// What an event says of a call.
enum About<'a> {
    /// It may begin the call.
    Announces(&'a str),
    /// The call was announced before.
    Continues(&'a str),
    /// It continues the chunked call that is open.
    Open,
}

fn about(event: &Event) -> Option<About<'_>> {
    Some(match event {
        Event::ToolCallStart(e) => About::Announces(&e.tool_call_id),
        Event::ToolCallChunk(e) => e.tool_call_id.as_deref().map_or(About::Open, About::Announces),
        Event::ToolCallArgs(e) => About::Continues(&e.tool_call_id),
        Event::ToolCallEnd(e) => About::Continues(&e.tool_call_id),
        Event::ToolCallResult(e) => About::Continues(&e.tool_call_id),
        Event::ReasoningEncryptedValue(e) if e.subtype == EncryptedSubtype::ToolCall => About::Continues(&e.entity_id),
        _ => return None,
    })
}

impl ThreadView {
    /// The earlier run that has the call which an event of this run is about; nothing where the run itself has it, or none.
    pub(super) fn holder_of_call(&self, run_id: RunId, event: &Event) -> Option<RunId> {
        let about = about(event)?;
        let own = self.run(run_id);
        let has = |run: &RunView| match about {
            About::Announces(id) | About::Continues(id) => run.calls(id),
            About::Open => run.last_open(Kind::Tool, |node| node.chunked).is_some(),
        };
        if own.is_some_and(has) {
            return None;
        }
        let turn = own.and_then(|run| run.message_id);
        let is_same_turn = |run: &RunView| turn.is_some() && run.message_id == turn;
        // Calls are an agent's own. Only a result that a calling program brings may be of another's.
        let is_of_agent = |run: &RunView| {
            let is_pending = |id: &str| run.pending.iter().any(|pending| pending == id);
            own.is_none_or(|own| own.agent == run.agent)
                || matches!(event, Event::ToolCallResult(e) if is_pending(&e.tool_call_id))
        };
        let earlier = self.runs_before(run_id);
        // Only what the run cancels, and only until its agent is told of the message.
        let cancelled = earlier.last().filter(|_| own.is_some_and(|own| own.nodes_before_message.is_none()));
        let waits = |run: &RunView, id: &str, tool: Option<&str>| {
            cancelled.is_some_and(|cancelled| cancelled.run_id == run.run_id) && run.waits_for(id, tool)
        };
        let may = |run: &RunView| match (&about, event) {
            (About::Announces(id), Event::ToolCallStart(e)) => {
                is_same_turn(run) || waits(run, id, Some(&e.tool_call_name))
            }
            (About::Announces(id), Event::ToolCallChunk(e)) => {
                is_same_turn(run) || waits(run, id, e.tool_call_name.as_deref())
            }
            (About::Continues(_), _) => true,
            _ => is_same_turn(run),
        };
        let holder = earlier.iter().rev().find(|run| has(run) && may(run) && is_of_agent(run));
        holder.map(|run| run.run_id)
    }

    /// Where a result answers a call that only the interrupt told of from which the run goes on, the call is put into the run
    /// that was interrupted.
    pub(super) fn add_call_of_interrupt(&mut self, run_id: RunId, at: i64, call: &str) {
        let Some(own) = self.run(run_id).filter(|run| !run.calls(call)) else { return };
        let asks = |run: &RunView| run.interrupts().iter().any(|asked| asked.tool_call_id.as_deref() == Some(call));
        let Some(resumed) = own.resumes.filter(|id| self.run(*id).is_some_and(|run| !run.calls(call) && asks(run)))
        else {
            return;
        };
        self.run_mut(resumed, at).add_call_of_interrupt(at, call);
    }

    /// A run is over: calls of its turn that it announced again and did not end get nothing more.
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
    pub(super) fn calls(&self, call: &str) -> bool {
        self.last(Kind::Tool, |node| node.id == call).is_some()
    }

    /// Whether a person was asked about this call of that tool, and it has no result.
    fn waits_for(&self, call: &str, tool: Option<&str>) -> bool {
        let is_it = |node: &Node| match &node.body {
            NodeBody::Tool { name, result: None, .. } => node.id == call && tool.is_none_or(|tool| tool == name),
            _ => false,
        };
        // An interrupt that names no call may be about any that has no result.
        let asked = self.interrupts().iter().any(|asked| asked.tool_call_id.as_deref().is_none_or(|id| id == call));
        asked && self.last(Kind::Tool, is_it).is_some()
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

    /// Begins a call, or begins it again.
    pub(super) fn begin_call(
        &mut self,
        at: i64,
        within: Option<String>,
        id: String,
        name: String,
        carrier: Option<String>,
    ) {
        match self.last(Kind::Tool, |node| node.id == id) {
            Some(index) => self.begin_again(index, name, carrier),
            None => self.begin(at, within, id, tool(name, carrier)),
        }
    }

    /// Its result stays until another is told.
    pub(super) fn begin_again(&mut self, index: usize, tool_name: String, carrier: Option<String>) {
        self.edit(Some(index), |node| {
            (node.state, node.ended_at, node.chunked) = (NodeState::Open, None, false);
            if let NodeBody::Tool { name, args, message, .. } = &mut node.body {
                (*name, *args) = (tool_name, String::new());
                *message = carrier.or(message.take());
            }
        });
    }

    /// The arguments of a call are whole.
    pub(super) fn end_call(&mut self, at: i64, id: &str) {
        let index = self.going_on(Kind::Tool, id);
        self.edit(index, |node| match &node.body {
            NodeBody::Tool { result: Some(_), .. } => (node.state, node.ended_at) = (NodeState::Done, Some(at)),
            _ => node.state = NodeState::Called,
        });
    }

    pub(super) fn answer_call(&mut self, at: i64, call: &str, (id, said): (String, ToolContent), why: Option<String>) {
        let index = self.last(Kind::Tool, |node| node.id == call);
        let state = if why.is_some() { NodeState::Failed } else { NodeState::Done };
        self.edit(index, |node| {
            if let NodeBody::Tool { result, result_id, parts, error, .. } = &mut node.body {
                let text = Some(said.to_text()).filter(|text| !text.is_empty());
                *result = Some(text.or_else(|| why.clone()).unwrap_or_default());
                *parts = if let ToolContent::Parts(parts) = said { Some(parts) } else { None };
                (*result_id, *error) = (Some(id), why);
            }
        });
        self.finish(at, index, state);
    }

    /// More of the result that a call has.
    pub(super) fn continue_result(&mut self, call: &str, more: &str) {
        let index = self.last(Kind::Tool, |node| node.id == call);
        self.edit(index, |node| {
            if let NodeBody::Tool { result: Some(text), .. } = &mut node.body {
                text.push_str(more);
            }
        });
    }

    /// As the interrupt tells the call: its name and arguments stand in its metadata.
    fn add_call_of_interrupt(&mut self, at: i64, call: &str) {
        let asked = self.interrupts().iter().find(|asked| asked.tool_call_id.as_deref() == Some(call));
        let Some(asked) = asked.cloned() else { return };
        let told = |key: &str| asked.metadata.as_ref().and_then(|more| more.get(key));
        let name = told("toolName").and_then(Value::as_str).unwrap_or("tool").to_owned();
        let arguments = told("args").map(Value::to_string).unwrap_or_default();
        self.begin(at, asked.subagent_run_id.clone(), call.to_owned(), tool(name, None));
        let index = self.nodes.len() - 1;
        self.edit(Some(index), |node| {
            node.state = NodeState::Called;
            if let NodeBody::Tool { args, .. } = &mut node.body {
                *args = arguments;
            }
        });
    }
}

/// A call of which only this is known.
pub(super) fn tool(name: String, message: Option<String>) -> NodeBody {
    let (args, result, result_id, parts, error) = Default::default();
    NodeBody::Tool { name, args, message, result, result_id, parts, error }
}
