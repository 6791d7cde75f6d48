//! Folding entries into a [`ThreadView`].

mod calls;
mod restate;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::patch;
use crate::protocol::{
    Item, MessageId, MessageItem, Node, NodeBody, NodeState, Resolution, RunAnswer, RunId, RunState, RunView,
    ThreadEntry, ThreadView, UserMessage,
    agui::{Base, Event, RunOutcome, TextRole, ToolContent},
    extensions::{AFTER_CANCELLATION, LATER_PIECE, UNFINISHED_STEP},
};

impl ThreadView {
    /// Folds the next entry, appended at `at` (milliseconds since 1970).
    pub fn apply(&mut self, at: i64, entry: ThreadEntry) {
        match entry {
            ThreadEntry::Thread { thread } => self.info = Some(thread),
            ThreadEntry::Message { message } => self.push_message(at, message),
            ThreadEntry::Answer { answer } => self.answer(at, answer),
            ThreadEntry::TakenBack { message_id } => self.take_back(message_id),
            ThreadEntry::Agent { run_id, event } => self.apply_event(run_id, at, *event),
        }
    }

    fn push_message(&mut self, at: i64, message: UserMessage) {
        if self.message(message.id).is_some() {
            return;
        }
        let follows = match (message.replaces, message.after) {
            (Some(replaced), _) if self.message(replaced).is_some() => {
                self.message(replaced).and_then(|said| said.follows)
            }
            (None, Some(after)) if self.message(after).is_some() => Some(after),
            // One that is not there any more was taken back or is no longer kept.
            _ => self.newest_message(),
        };
        self.abandon_interrupts();
        self.forget_old_thoughts();
        let (id, run_id, agent) = (message.id, message.run_id, message.agent.clone());
        self.items.push(Item::Message(Arc::new(MessageItem { at, message, follows })));
        self.announce(RunView { message_id: Some(id), ..RunView::new(run_id, agent, at) });
    }

    /// A run is to come; one that is there already was announced before.
    fn announce(&mut self, run: RunView) {
        if self.run(run.run_id).is_none() {
            self.items.push(Item::Run(Arc::new(run)));
        }
    }

    /// Something else was said: whatever runs of the thread wait for is not answered any more.
    fn abandon_interrupts(&mut self) {
        for item in &mut self.items {
            if let Item::Run(run) = item
                && !run.open_interrupts().is_empty()
            {
                Arc::make_mut(run).answered = Some(Resolution::Abandoned);
            }
        }
    }

    fn answer(&mut self, at: i64, answer: RunAnswer) {
        let RunAnswer { run_id, resumed_by, agent, author, answers, .. } = answer;
        let waited = self.run_mut(run_id, at);
        waited.answered = Some(Resolution::Answered { author, at, answers, resumed_by });
        let message_id = waited.message_id;
        self.announce(RunView { message_id, resumes: Some(run_id), ..RunView::new(resumed_by, agent, at) });
    }

    /// The message goes with its run; what was said after it follows what it followed.
    fn take_back(&mut self, message_id: MessageId) {
        let follows = self.message(message_id).and_then(|said| said.follows);
        self.items.retain(|item| match item {
            Item::Message(said) => said.message.id != message_id,
            Item::Run(run) => run.message_id != Some(message_id),
        });
        for item in &mut self.items {
            if let Item::Message(said) = item
                && said.follows == Some(message_id)
            {
                Arc::make_mut(said).follows = follows;
            }
        }
    }

    fn apply_event(&mut self, run_id: RunId, at: i64, event: Event) {
        if event.base().metadata.as_ref().is_some_and(|more| more.contains_key(AFTER_CANCELLATION)) {
            let run = self.run_mut(run_id, at);
            run.nodes_before_message = Some(run.nodes.len());
        }
        let event = match event {
            Event::MessagesSnapshot(e) => return self.restate(run_id, at, e.messages),
            event => event,
        };
        match &event {
            Event::ToolCallResult(e) => self.add_call_of_interrupt(run_id, at, &e.tool_call_id),
            Event::StateDelta(_) => self.begin_state(run_id, at),
            _ => {}
        }
        // What an interrupted run called, the one that resumes it may announce again, and answers.
        let holder = self.holder_of_call(run_id, &event).unwrap_or(run_id);
        let ends = matches!(event, Event::RunFinished(_) | Event::RunError(_));
        self.run_mut(run_id, at);
        self.run_mut(holder, at).apply(at, event);
        if ends {
            self.close_calls_of_turn(run_id, at);
        }
    }

    /// The run, begun here if no message announced it.
    pub(super) fn run_mut(&mut self, run_id: RunId, at: i64) -> &mut RunView {
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

/// Whether an event has a further piece of what one before it began.
fn is_continued(base: &Base) -> bool {
    base.metadata.as_ref().is_some_and(|more| more.contains_key(LATER_PIECE))
}

/// Which kind of node an id names: ids are the agent's, and a text may share one with a reasoning span.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
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
            NodeBody::Custom { .. } | NodeBody::Withdrawn => return None,
        })
    }
}

impl RunView {
    fn new(run_id: RunId, agent: String, at: i64) -> Self {
        Self {
            run_id,
            agent,
            message_id: None,
            resumes: None,
            state: RunState::Waiting,
            answered: None,
            pending: Vec::new(),
            started_at: at,
            ended_at: None,
            nodes: Vec::new(),
            nodes_before_message: None,
            encrypted: Vec::new(),
            usage: Vec::new(),
            cost_usd: None,
            shared: None,
            shared_changes: Vec::new(),
            result: None,
        }
    }

    fn apply(&mut self, at: i64, event: Event) {
        let within = event.subagent().map(str::to_owned);
        let text = |role| NodeBody::Text { role, text: String::new() };
        let reasoning = || NodeBody::Reasoning { text: String::new() };
        let cost = event.base().metadata.as_ref().and_then(|more| more.get("costUsd")).and_then(Value::as_f64);
        match event {
            Event::RunStarted(_) => self.state = RunState::Running,
            Event::RunFinished(e) => {
                self.usage.extend(e.usage.into_iter().flatten());
                self.cost_usd = cost;
                self.result = e.result;
                if let Some(RunOutcome::Success { pending_tool_call_ids: Some(pending) }) = &e.outcome {
                    self.pending.clone_from(pending);
                }
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
                self.cost_usd = cost;
                self.end(at, RunState::Failed { message: e.message, code: e.code });
            }
            Event::StepStarted(e) => self.begin(at, within, e.step_name, NodeBody::Step),
            Event::StepFinished(e) => {
                let step = |node: &Node| node.id == e.step_name && node.within == within;
                let unfinished = e.base.metadata.as_ref().is_some_and(|more| more.contains_key(UNFINISHED_STEP));
                let state = if unfinished { NodeState::Failed } else { NodeState::Done };
                self.finish(at, self.last_open(Kind::Step, step), state);
            }
            Event::TextMessageStart(e) => self.begin(at, within, e.message_id, text(e.role.unwrap_or_default())),
            Event::TextMessageContent(e) => self.append(Kind::Text, &e.message_id, &e.delta),
            Event::TextMessageEnd(e) => self.finish_id(at, Kind::Text, &e.message_id),
            Event::TextMessageChunk(e) => {
                let body = text(e.role.unwrap_or(TextRole::Assistant));
                self.chunk(at, within, Kind::Text, e.message_id, body, e.delta.as_deref());
            }
            Event::ToolCallStart(e) => {
                self.begin_call(at, within, e.tool_call_id, e.tool_call_name, e.parent_message_id);
            }
            Event::ToolCallArgs(e) => self.append(Kind::Tool, &e.tool_call_id, &e.delta),
            Event::ToolCallEnd(e) => self.end_call(at, &e.tool_call_id),
            Event::ToolCallChunk(e) => {
                let body = calls::tool(e.tool_call_name.unwrap_or_default(), e.parent_message_id);
                self.chunk(at, within, Kind::Tool, e.tool_call_id, body, e.delta.as_deref());
            }
            Event::ToolCallResult(e) => {
                let error = e.base.metadata.as_ref().and_then(|more| more.get("error")).and_then(Value::as_str);
                let error = error.map(str::to_owned);
                if let (true, ToolContent::Text(more)) = (is_continued(&e.base), &e.content) {
                    return self.continue_result(&e.tool_call_id, more);
                }
                self.answer_call(at, &e.tool_call_id, (e.message_id, e.content), error);
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
            Event::StateSnapshot(e) => self.tell_state(e.snapshot),
            Event::StateDelta(e) => self.change_state(e.delta),
            Event::ActivityDelta(e) => {
                let index = self.last(Kind::Activity, |node| node.id == e.message_id);
                self.edit(index, |node| {
                    if let NodeBody::Activity { content, .. } = &mut node.body {
                        let mut whole = Value::Object(std::mem::take(content));
                        patch::apply(&mut whole, e.patch);
                        *content = if let Value::Object(map) = whole { map } else { Map::new() };
                    }
                });
            }
            Event::ReasoningEncryptedValue(e) => self.keep_encrypted(e.subtype, e.entity_id, e.encrypted_value),
            // Kept in the log, where nothing of a thread's looks depends on it; or the whole thread's to fold.
            Event::Raw(_) | Event::MessagesSnapshot(_) => {}
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

    /// A chunk begins its node where the id is new, and goes on with its owner's last one of its kind where it names none; one
    /// that names no owner either may mean another's.
    fn chunk(
        &mut self,
        at: i64,
        within: Option<String>,
        kind: Kind,
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

    /// What goes on by id: begun as a whole, else in chunks.
    fn going_on(&self, kind: Kind, id: &str) -> Option<usize> {
        let whole = self.last_open(kind, |node| node.id == id && !node.chunked);
        whole.or_else(|| self.last_open(kind, |node| node.id == id))
    }

    fn append(&mut self, kind: Kind, id: &str, delta: &str) {
        self.append_at(self.going_on(kind, id), delta);
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
        self.finish(at, self.going_on(kind, id), NodeState::Done);
    }

    fn finish(&mut self, at: i64, index: Option<usize>, state: NodeState) {
        self.edit(index, |node| {
            node.state = state;
            node.ended_at = Some(at);
        });
    }

    /// The run is over, and so is everything in it.
    fn end(&mut self, at: i64, state: RunState) {
        // A call that waits for a person is answered later.
        let waits = matches!(state, RunState::Interrupted { .. });
        // What a run that failed or was stopped left open is not done.
        let unfinished = matches!(state, RunState::Failed { .. } | RunState::Cancelled);
        for index in 0..self.nodes.len() {
            match self.nodes[index].state {
                NodeState::Called if waits => {}
                NodeState::Open | NodeState::Called => {
                    let is_work = matches!(self.nodes[index].body, NodeBody::Step | NodeBody::Tool { .. });
                    let state = if unfinished && is_work { NodeState::Failed } else { NodeState::Done };
                    self.finish(at, Some(index), state);
                }
                NodeState::Done | NodeState::Failed => {}
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
