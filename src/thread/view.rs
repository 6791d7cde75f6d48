//! Questions about a [`ThreadView`] and its runs: which are active, what they wait for.

use std::sync::Arc;

use crate::protocol::{
    Item, Node, NodeBody, RunId, RunState, RunView, ThreadView, agui::Interrupt, extensions::SERVER_RESTARTED,
};

impl RunState {
    /// Whether the run is over (one that waits for a person is, until it is resumed).
    #[must_use]
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

impl RunView {
    /// The index of the first node that answers the run's message.
    #[must_use]
    pub fn answer_start(&self) -> usize {
        self.nodes_before_message.unwrap_or(0).min(self.nodes.len())
    }

    /// What the run ended with to be answered, whatever became of it since.
    #[must_use]
    pub fn interrupts(&self) -> &[Interrupt] {
        match &self.state {
            RunState::Interrupted { interrupts } => interrupts,
            _ => &[],
        }
    }

    /// Whether the end of its server cut the run, which goes on by itself: nobody is asked anything.
    #[must_use]
    pub fn was_cut_by_restart(&self) -> bool {
        self.interrupts().iter().any(|asked| asked.reason == SERVER_RESTARTED)
    }

    /// What the run waits for a person to answer; nothing where it does not, or not any more. Whether one interrupt of several
    /// has expired is its `expiresAt`'s to say; when all have, the server gives them up.
    #[must_use]
    pub fn open_interrupts(&self) -> &[Interrupt] {
        if self.answered.is_none() { self.interrupts() } else { &[] }
    }

    /// The calls that the run left to whoever asked, whatever became of them since: those that its end names, else all of a
    /// finished run, as AG-UI has it. Which of them got a result in the run itself, [`RunView::pending_tool_calls`] tells.
    pub fn client_tool_calls(&self) -> impl Iterator<Item = &str> {
        let (finished, all) = (self.state == RunState::Finished, self.pending.is_empty());
        let is_call = |node: &&Arc<Node>| matches!(node.body, NodeBody::Tool { .. });
        let unnamed = self.nodes.iter().filter(is_call).map(|node| node.id.as_str()).filter(move |_| all);
        self.pending.iter().map(String::as_str).chain(unnamed).filter(move |_| finished)
    }

    /// The calls whose results the run waits for from whoever asked; nothing where it does not, or not any more.
    #[must_use]
    pub fn pending_tool_calls(&self) -> Vec<&str> {
        let has_result = |node: &Node| matches!(node.body, NodeBody::Tool { result: Some(_), .. });
        let open = |call: &str| !self.nodes.iter().any(|node| node.id == call && has_result(node));
        self.client_tool_calls().filter(|call| self.answered.is_none() && open(call)).collect()
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

    /// The runs that are not over, oldest first.
    pub fn active_runs(&self) -> impl Iterator<Item = &RunView> {
        self.items.iter().filter_map(|item| match item {
            Item::Run(run) if !run.state.is_over() => Some(&**run),
            _ => None,
        })
    }
}
