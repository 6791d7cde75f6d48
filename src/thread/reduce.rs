//! Folding entries into a [`ThreadView`].

use std::sync::Arc;

use super::view::{Item, Node, NodeBody, NodeState, RunState, RunView, Said, ThreadView};
use crate::protocol::{
    RunId, ThreadEntry,
    agui::{Event, RunOutcome, TextRole},
};

impl ThreadView {
    /// Folds the next entry, appended at `at` (milliseconds since 1970).
    pub fn apply(&mut self, at: i64, entry: ThreadEntry) {
        match entry {
            ThreadEntry::Thread { thread } => self.info = Some(thread),
            ThreadEntry::Message { message } => {
                let (run_id, agent) = (message.run_id, message.agent.clone());
                self.items.push(Item::Message(Arc::new(Said { at, message })));
                self.items.push(Item::Run(Arc::new(RunView::new(run_id, agent, at))));
            }
            ThreadEntry::Agent { run_id, event } => self.run_mut(run_id, at).apply(at, *event),
        }
    }

    /// The run, begun here if no message announced it.
    fn run_mut(&mut self, run_id: RunId, at: i64) -> &mut RunView {
        let known = self.items.iter().rposition(|item| matches!(item, Item::Run(run) if run.run_id == run_id));
        let index = known.unwrap_or_else(|| {
            self.items.push(Item::Run(Arc::new(RunView::new(run_id, String::new(), at))));
            self.items.len() - 1
        });
        match &mut self.items[index] {
            Item::Run(run) => Arc::make_mut(run),
            Item::Message(_) => unreachable!("the index is a run's"),
        }
    }
}

/// Which kind of node an id names: ids are the agent's, and a text may share one with a reasoning span.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Span,
    Reasoning,
    Step,
    Tool,
    Subagent,
    Activity,
}

impl Kind {
    fn of(body: &NodeBody) -> Option<Self> {
        Some(match body {
            NodeBody::Text { .. } => Self::Text,
            NodeBody::ReasoningSpan => Self::Span,
            NodeBody::Reasoning { .. } => Self::Reasoning,
            NodeBody::Step => Self::Step,
            NodeBody::Tool { .. } => Self::Tool,
            NodeBody::Subagent { .. } => Self::Subagent,
            NodeBody::Activity { .. } => Self::Activity,
            NodeBody::Custom { .. } => return None,
        })
    }
}

impl RunView {
    fn new(run_id: RunId, agent: String, at: i64) -> Self {
        Self {
            run_id,
            agent,
            state: RunState::Waiting,
            started_at: at,
            ended_at: None,
            nodes: Vec::new(),
            usage: Vec::new(),
            shared: None,
            result: None,
        }
    }

    fn apply(&mut self, at: i64, event: Event) {
        let within = event.subagent().map(str::to_owned);
        let text = |role| NodeBody::Text { role, text: String::new() };
        let reasoning = || NodeBody::Reasoning { text: String::new() };
        let tool = |name| NodeBody::Tool { name, args: String::new(), result: None };
        match event {
            Event::RunStarted(_) => self.state = RunState::Running,
            Event::RunFinished(e) => {
                self.usage.extend(e.usage.into_iter().flatten());
                self.result = e.result;
                self.end(
                    at,
                    match e.outcome {
                        None | Some(RunOutcome::Success { .. }) => RunState::Finished,
                        Some(RunOutcome::Cancelled) => RunState::Cancelled,
                        Some(RunOutcome::Interrupt { interrupts }) => RunState::Interrupted { interrupts },
                    },
                );
            }
            Event::RunError(e) => {
                self.usage.extend(e.usage.into_iter().flatten());
                self.end(at, RunState::Failed { message: e.message, code: e.code });
            }
            Event::StepStarted(e) => self.begin(at, within, e.step_name, NodeBody::Step),
            Event::StepFinished(e) => {
                let step = |node: &Node| node.id == e.step_name && node.within == within;
                self.finish(at, self.last_open(Kind::Step, step), NodeState::Done);
            }
            Event::TextMessageStart(e) => self.begin(at, within, e.message_id, text(e.role.unwrap_or_default())),
            Event::TextMessageContent(e) => self.append(Kind::Text, &e.message_id, &e.delta),
            Event::TextMessageEnd(e) => self.finish_id(at, Kind::Text, &e.message_id),
            Event::TextMessageChunk(e) => {
                let body = text(e.role.unwrap_or(TextRole::Assistant));
                self.chunk(at, within, Kind::Text, e.message_id, body, e.delta.as_deref());
            }
            Event::ToolCallStart(e) => self.begin(at, within, e.tool_call_id, tool(e.tool_call_name)),
            Event::ToolCallArgs(e) => self.append(Kind::Tool, &e.tool_call_id, &e.delta),
            Event::ToolCallEnd(e) => {
                let index = self.last_open(Kind::Tool, |node| node.id == e.tool_call_id && !node.chunked);
                self.edit(index, |node| node.state = NodeState::Called);
            }
            Event::ToolCallChunk(e) => {
                let body = tool(e.tool_call_name.unwrap_or_default());
                self.chunk(at, within, Kind::Tool, e.tool_call_id, body, e.delta.as_deref());
            }
            Event::ToolCallResult(e) => {
                let index = self.last(Kind::Tool, |node| node.id == e.tool_call_id);
                self.edit(index, |node| {
                    if let NodeBody::Tool { result, .. } = &mut node.body {
                        *result = Some(e.content.to_text());
                    }
                });
                self.finish(at, index, NodeState::Done);
            }
            Event::ReasoningStart(e) => self.begin(at, within, e.message_id, NodeBody::ReasoningSpan),
            Event::ReasoningEnd(e) => self.finish_id(at, Kind::Span, &e.message_id),
            Event::ReasoningMessageStart(e) => self.begin(at, within, e.message_id, reasoning()),
            Event::ReasoningMessageContent(e) => self.append(Kind::Reasoning, &e.message_id, &e.delta),
            Event::ReasoningMessageEnd(e) => self.finish_id(at, Kind::Reasoning, &e.message_id),
            Event::ReasoningMessageChunk(e) => {
                self.chunk(at, within, Kind::Reasoning, e.message_id, reasoning(), e.delta.as_deref());
            }
            Event::SubagentStarted(e) => {
                let body = NodeBody::Subagent { name: e.name, description: e.description, error: None };
                self.begin(at, e.parent_subagent_run_id, e.subagent_run_id, body);
            }
            Event::SubagentFinished(e) => self.finish_id(at, Kind::Subagent, &e.subagent_run_id),
            Event::SubagentError(e) => {
                let index = self.last_open(Kind::Subagent, |node| node.id == e.subagent_run_id);
                self.edit(index, |node| {
                    if let NodeBody::Subagent { error, .. } = &mut node.body {
                        *error = Some(e.message);
                    }
                });
                self.finish(at, index, NodeState::Failed);
            }
            Event::ActivitySnapshot(e) => {
                let body = NodeBody::Activity { activity_type: e.activity_type, content: e.content };
                match self.last(Kind::Activity, |node| node.id == e.message_id) {
                    Some(_) if e.replace == Some(false) => {}
                    Some(index) => self.edit(Some(index), |node| node.body = body),
                    None => self.whole(at, within, e.message_id, body),
                }
            }
            Event::Custom(e) => {
                let body = NodeBody::Custom { name: e.name, value: e.value };
                self.whole(at, within, String::new(), body);
            }
            Event::StateSnapshot(e) => self.shared = Some(e.snapshot),
            // Kept in the log; nothing of a thread's looks depends on them yet.
            Event::StateDelta(_)
            | Event::MessagesSnapshot(_)
            | Event::ActivityDelta(_)
            | Event::ReasoningEncryptedValue(_)
            | Event::Raw(_) => {}
        }
    }

    fn begin(&mut self, at: i64, within: Option<String>, id: String, body: NodeBody) {
        let node = Node { id, within, state: NodeState::Open, started_at: at, ended_at: None, chunked: false, body };
        self.nodes.push(Arc::new(node));
    }

    /// A node that is complete as it comes.
    fn whole(&mut self, at: i64, within: Option<String>, id: String, body: NodeBody) {
        self.begin(at, within, id, body);
        self.finish(at, Some(self.nodes.len() - 1), NodeState::Done);
    }

    /// A chunk begins its node where the id is new, and goes on with the last one of its kind where it names none.
    fn chunk(
        &mut self,
        at: i64,
        within: Option<String>,
        kind: Kind,
        id: Option<String>,
        body: NodeBody,
        delta: Option<&str>,
    ) {
        let open = self.last_open(kind, |node| node.chunked && id.as_ref().is_none_or(|id| node.id == *id));
        let index = match (open, id) {
            (Some(index), _) => index,
            (None, Some(id)) => {
                self.begin(at, within, id, body);
                self.edit(Some(self.nodes.len() - 1), |node| node.chunked = true);
                self.nodes.len() - 1
            }
            (None, None) => return,
        };
        if let Some(delta) = delta {
            self.append_at(Some(index), delta);
        }
    }

    fn append(&mut self, kind: Kind, id: &str, delta: &str) {
        self.append_at(self.last_open(kind, |node| node.id == id && !node.chunked), delta);
    }

    fn append_at(&mut self, index: Option<usize>, delta: &str) {
        self.edit(index, |node| match &mut node.body {
            NodeBody::Text { text, .. } | NodeBody::Reasoning { text } | NodeBody::Tool { args: text, .. } => {
                text.push_str(delta);
            }
            _ => {}
        });
    }

    fn finish_id(&mut self, at: i64, kind: Kind, id: &str) {
        self.finish(at, self.last_open(kind, |node| node.id == id && !node.chunked), NodeState::Done);
    }

    fn finish(&mut self, at: i64, index: Option<usize>, state: NodeState) {
        self.edit(index, |node| {
            node.state = state;
            node.ended_at = Some(at);
        });
    }

    /// The run is over, and so is everything in it.
    fn end(&mut self, at: i64, state: RunState) {
        for index in 0..self.nodes.len() {
            if matches!(self.nodes[index].state, NodeState::Open | NodeState::Called) {
                self.finish(at, Some(index), NodeState::Done);
            }
        }
        self.state = state;
        self.ended_at = Some(at);
    }

    fn edit(&mut self, index: Option<usize>, change: impl FnOnce(&mut Node)) {
        if let Some(node) = index.and_then(|index| self.nodes.get_mut(index)) {
            change(Arc::make_mut(node));
        }
    }

    fn last(&self, kind: Kind, is: impl Fn(&Node) -> bool) -> Option<usize> {
        self.nodes.iter().rposition(|node| Kind::of(&node.body) == Some(kind) && is(node))
    }

    fn last_open(&self, kind: Kind, is: impl Fn(&Node) -> bool) -> Option<usize> {
        self.last(kind, |node| node.state == NodeState::Open && is(node))
    }
}
