//! What the views of a run share: its state, and which of its nodes belong to which sub-agent.

use std::{collections::HashMap, sync::Arc};

use leptos::prelude::*;

use crate::thread::{Node, NodeBody, RunView};

/// An `Arc` compared by pointer: the reducer replaces what it changes, so equal pointers mean equal content.
#[derive(Debug)]
pub(crate) struct PtrEq<T>(pub(crate) Arc<T>);

impl<T> Clone for PtrEq<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> PartialEq for PtrEq<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> std::ops::Deref for PtrEq<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Whether a sub-agent of this name writes a part of the answer.
pub(crate) fn is_report(name: &str) -> bool {
    name.eq_ignore_ascii_case("report")
}

/// The indices of a run's nodes by parent: `None` for the run itself, else the index of a sub-agent's node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NodeTree(HashMap<Option<usize>, Vec<usize>>);

impl NodeTree {
    /// Builds the tree of a run's nodes, without those that show nothing: spans of reasoning and withdrawn nodes. A
    /// node whose sub-agent is unknown, or begins after it, becomes a child of the run, so it is shown and there are no
    /// cycles.
    pub(crate) fn new(nodes: &[Arc<Node>]) -> Self {
        let mut subagents = HashMap::new();
        let mut tree: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let parent = node.within.as_deref().and_then(|within| subagents.get(within).copied());
            if !matches!(node.body, NodeBody::ReasoningSpan | NodeBody::Withdrawn) {
                tree.entry(parent).or_default().push(index);
            }
            if let NodeBody::Subagent { .. } = node.body {
                subagents.insert(node.id.as_str(), index);
            }
        }
        Self(tree)
    }

    /// The children of the run (`None`) or of the sub-agent at an index.
    pub(crate) fn children(&self, parent: Option<usize>) -> &[usize] {
        self.0.get(&parent).map_or(&[], Vec::as_slice)
    }
}

/// A run's state and its node tree, as signals.
#[derive(Clone, Copy)]
pub(crate) struct RunSignals {
    pub(crate) view: Memo<PtrEq<RunView>>,
    pub(crate) tree: Memo<NodeTree>,
}

impl RunSignals {
    /// The node at an index. The memo notifies only when that node changed.
    pub(crate) fn node(self, index: usize) -> Option<Memo<PtrEq<Node>>> {
        let initial = self.view.with_untracked(|run| run.nodes.get(index).cloned())?;
        Some(Memo::new(move |before: Option<&PtrEq<Node>>| {
            let now = self.view.with(|run| run.nodes.get(index).cloned());
            PtrEq(now.unwrap_or_else(|| before.map_or_else(|| initial.clone(), |before| before.0.clone())))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread::NodeState;

    fn node(id: &str, within: Option<&str>, subagent: bool) -> Arc<Node> {
        let body = match subagent {
            true => NodeBody::Subagent { name: id.into(), description: None, error: None },
            false => NodeBody::Step,
        };
        let within = within.map(str::to_owned);
        let id = id.to_owned();
        Arc::new(Node { id, within, state: NodeState::Open, started_at: 0, ended_at: None, chunked: false, body })
    }

    #[test]
    fn nodes_belong_to_a_subagent_only_if_it_began_before_them() {
        let nodes = [
            node("early", Some("a"), false),
            node("a", None, true),
            node("b", Some("a"), true),
            node("x", Some("b"), false),
            node("self", Some("self"), true),
            node("y", None, false),
        ];
        let tree = NodeTree::new(&nodes);
        assert_eq!(tree.children(None), [0, 1, 4, 5]);
        assert_eq!(tree.children(Some(1)), [2]);
        assert_eq!(tree.children(Some(2)), [3]);
        assert_eq!(tree.children(Some(4)), [] as [usize; 0]);
    }
}
