//! Accessors of a [`ThreadView`] and its runs: which runs are active, and what they wait for.

use std::sync::Arc;

use crate::protocol::{
    Item, MessageId, MessageItem, Node, NodeBody, RunId, RunState, RunView, ThreadView, agui::Interrupt,
    extensions::SERVER_RESTARTED,
};

impl RunState {
    /// Whether the run has ended. An interrupted run has ended; another run resumes it.
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

impl RunView {
    /// The index of the first node that belongs to the answer to the run's message.
    #[must_use]
    pub fn answer_start(&self) -> usize {
        self.nodes_before_message.unwrap_or(0).min(self.nodes.len())
    }

    /// Who answered, given the agent's name.
    #[must_use]
    pub fn author(&self, agent: &str) -> String {
        match &self.edited_by {
            Some(name) => format!("{agent}, edited by {name}"),
            None => agent.to_owned(),
        }
    }

    /// The nodes from the index `start` on, cut where the agent read messages: each part with the message that was read after it.
    #[must_use]
    pub fn parts(&self, start: usize) -> Vec<(&[Arc<Node>], Option<&MessageItem>)> {
        let mut start = start.min(self.nodes.len());
        let mut parts = Vec::with_capacity(self.read.len() + 1);
        for read in &self.read {
            let end = read.nodes_before.clamp(start, self.nodes.len());
            parts.push((&self.nodes[start..end], Some(&*read.item)));
            start = end;
        }
        parts.push((&self.nodes[start..], None));
        parts
    }

    /// The interrupts with which the run ended, open or not.
    #[must_use]
    pub fn interrupts(&self) -> &[Interrupt] {
        match &self.state {
            RunState::Interrupted { interrupts } => interrupts,
            _ => &[],
        }
    }

    /// Whether the run ended because its server stopped and is resumed automatically; its interrupts ask people nothing.
    #[must_use]
    pub fn was_cut_by_restart(&self) -> bool {
        self.interrupts().iter().any(|interrupt| interrupt.reason == SERVER_RESTARTED)
    }

    /// The interrupts that a person can still answer; empty once they are answered or abandoned. Some of them may have expired (see
    /// `expiresAt`); when all have, the server abandons them.
    #[must_use]
    pub fn open_interrupts(&self) -> &[Interrupt] {
        if self.answered.is_none() { self.interrupts() } else { &[] }
    }

    /// The tool calls that a finished run may have left to the client: those that its end lists, or all of its calls if it lists none,
    /// as AG-UI defines it. Includes calls that have a result; [`RunView::pending_tool_calls`] does not.
    pub fn client_tool_calls(&self) -> impl Iterator<Item = &str> {
        let (is_finished, all) = (self.state == RunState::Finished, self.pending.is_empty());
        let is_call = |node: &&Arc<Node>| matches!(node.body, NodeBody::Tool { .. });
        let unlisted = self.nodes.iter().filter(is_call).map(|node| node.id.as_str()).filter(move |_| all);
        self.pending.iter().map(String::as_str).chain(unlisted).filter(move |_| is_finished)
    }

    /// The tool calls whose results the client still has to send; empty once they were sent or abandoned.
    #[must_use]
    pub fn pending_tool_calls(&self) -> Vec<&str> {
        let has_result = |node: &Node| matches!(node.body, NodeBody::Tool { result: Some(_), .. });
        let is_open = |call: &str| !self.nodes.iter().any(|node| node.id == call && has_result(node));
        self.client_tool_calls().filter(|call| self.answered.is_none() && is_open(call)).collect()
    }
}

impl ThreadView {
    /// A run by id.
    #[must_use]
    pub fn run(&self, run_id: RunId) -> Option<&RunView> {
        self.items.iter().rev().find_map(|item| match item {
            Item::Run(run) if run.run_id == run_id => Some(&**run),
            _ => None,
        })
    }

    /// The run whose agent read a message while it was active.
    #[must_use]
    pub fn run_that_read(&self, message: MessageId) -> Option<&RunView> {
        self.runs().find(|run| run.read.iter().any(|read| read.item.message.id == message))
    }

    /// The runs that have not ended, oldest first.
    pub fn active_runs(&self) -> impl Iterator<Item = &RunView> {
        self.items.iter().filter_map(|item| match item {
            Item::Run(run) if !run.state.is_over() => Some(&**run),
            _ => None,
        })
    }
}
