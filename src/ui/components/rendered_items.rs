//! Which of an open thread's items are in the document, as signals over [`RenderedRange`].

use std::ops::Range;

use leptos::prelude::*;

use crate::{
    socket::context::Loaded,
    thread::{Item, NodeBody, ThreadView},
    ui::{
        item_key::ItemKey,
        rendered_range::{RenderedRange, Turn},
    },
};

/// The estimated number of elements of a message, and of a run without its nodes.
const ITEM_WEIGHT: usize = 16;
/// The estimated number of elements of a node, beside its text.
const NODE_WEIGHT: usize = 8;
/// About how many characters of an answer one element holds.
const CHARS_PER_ELEMENT: usize = 60;
/// Texts are measured only in runs with at most this many nodes; in others, the nodes alone weigh enough.
const MAX_MEASURED_NODES: usize = 50;

/// The thread's view, if it is loaded.
pub(crate) fn ready_thread(view: &Loaded<ThreadView>) -> Option<&ThreadView> {
    match view {
        Loaded::Ready(thread) => Some(thread),
        _ => None,
    }
}

/// Which items are in the document.
#[derive(Clone, Copy)]
pub(crate) struct RenderedItems {
    /// The items of the shown branch, each with its index in the thread.
    branch: Memo<Vec<(usize, ItemKey)>>,
    turns: Memo<Vec<Turn<ItemKey>>>,
    range: RwSignal<RenderedRange<ItemKey>>,
    /// The range as indices of turns.
    indices: Memo<Range<usize>>,
    /// The items in the document, each with its index in the thread.
    pub(crate) items: Memo<Vec<(usize, ItemKey)>>,
}

impl RenderedItems {
    /// Of a branch's items, those at its end.
    pub(crate) fn new(view: Signal<Loaded<ThreadView>>, branch: Memo<Vec<(usize, ItemKey)>>) -> Self {
        let turns = Memo::new(move |_| {
            view.with(|view| {
                let thread = ready_thread(view)?;
                Some(branch.with(|branch| turns_of(thread, branch)))
            })
            .unwrap_or_default()
        });
        let range = RwSignal::new(RenderedRange::end());
        let indices = Memo::new(move |_| turns.with(|turns| range.with(|range| range.indices(turns))));
        let items = Memo::new(move |_| {
            let Range { start, end } = indices.get();
            let (skipped, shown) = turns.with(|turns| (count(&turns[..start]), count(&turns[start..end])));
            branch.with(|branch| branch.iter().skip(skipped).take(shown).copied().collect())
        });
        Self { branch, turns, range, indices, items }
    }

    /// Whether the thread has turns before those in the document. Reactive in views.
    pub(crate) fn has_earlier(self) -> bool {
        self.indices.try_get().is_some_and(|indices| indices.start > 0)
    }

    /// Whether the thread has turns after those in the document. Reactive in views.
    pub(crate) fn has_later(self) -> bool {
        self.indices.try_get().is_some_and(|indices| self.turns.with(Vec::len) > indices.end)
    }

    /// Adds earlier turns. Those after the first `kept` items in the document may be removed. Returns whether anything changed.
    pub(crate) fn add_earlier(self, kept: usize) -> bool {
        let unseen = self.turn_of(kept).map_or(0, |turn| turn + 1);
        self.change(|range, turns| range.add_earlier(turns, unseen))
    }

    /// Adds later turns. Those before the turn of the last of the first `unseen` items in the document may be removed. Returns whether
    /// anything changed.
    pub(crate) fn add_later(self, unseen: usize) -> bool {
        let unseen = self.turn_of(unseen).unwrap_or(0);
        self.change(|range, turns| range.add_later(turns, unseen))
    }

    /// Shows the beginning of the thread.
    pub(crate) fn show_start(self) {
        self.change(RenderedRange::show_start);
    }

    /// Shows the end of the thread.
    pub(crate) fn show_end(self) {
        self.change(|range, _| *range = RenderedRange::end());
    }

    /// Shows the turn of an item of the branch. Returns whether the branch has the item.
    pub(crate) fn show(self, key: ItemKey) -> bool {
        let position = |branch: &Vec<(usize, ItemKey)>| branch.iter().position(|(_, item)| *item == key);
        let Some(index) = self.branch.try_with_untracked(position).flatten() else { return false };
        self.change(|range, turns| {
            if let Some(turn) = turn_at(turns, index) {
                range.show(turns, turn);
            }
        });
        true
    }

    /// Whether new turns at the end may displace the first ones in the document: only while the reader is at the end.
    pub(crate) fn set_follows_end(self, follows: bool) {
        self.change(|range, turns| if follows { range.follow_end() } else { range.keep_first(turns) });
    }

    /// The index of the turn that contains the last of the first `items` items in the document.
    fn turn_of(self, items: usize) -> Option<usize> {
        let last = items.checked_sub(1)?;
        let Range { start, end } = self.indices.try_get_untracked()?;
        self.turns.with_untracked(|turns| turn_at(&turns[start..end], last).map(|turn| start + turn))
    }

    /// Changes the range; it notifies only if it is another one. Returns whether it is.
    fn change(self, change: impl FnOnce(&mut RenderedRange<ItemKey>, &[Turn<ItemKey>])) -> bool {
        let Some(before) = self.range.try_get_untracked() else { return false };
        let mut range = before.clone();
        self.turns.with_untracked(|turns| change(&mut range, turns));
        let is_other = range != before;
        if is_other {
            self.range.set(range);
        }
        is_other
    }
}

/// The index of the turn that contains the item at an index.
fn turn_at(turns: &[Turn<ItemKey>], item: usize) -> Option<usize> {
    let mut end = 0;
    turns.iter().position(|turn| {
        end += turn.items;
        end > item
    })
}

fn count(turns: &[Turn<ItemKey>]) -> usize {
    turns.iter().map(|turn| turn.items).sum()
}

/// The turns of a branch. A run before the first message is a turn of its own.
fn turns_of(thread: &ThreadView, branch: &[(usize, ItemKey)]) -> Vec<Turn<ItemKey>> {
    let mut turns: Vec<Turn<ItemKey>> = Vec::new();
    for (index, key) in branch {
        let weight = thread.items.get(*index).map_or(ITEM_WEIGHT, weight_of);
        match turns.last_mut() {
            Some(turn) if matches!(key, ItemKey::Run(_)) => {
                turn.items += 1;
                turn.weight += weight;
            }
            _ => turns.push(Turn { key: *key, items: 1, weight }),
        }
    }
    turns
}

/// The estimated number of an item's elements in the document.
fn weight_of(item: &Item) -> usize {
    let Item::Run(run) = item else { return ITEM_WEIGHT };
    let text = |node: &NodeBody| match node {
        NodeBody::Text { text, .. } => text.len() / CHARS_PER_ELEMENT,
        _ => 0,
    };
    let texts: usize = match run.nodes.len() {
        0..=MAX_MEASURED_NODES => run.nodes.iter().map(|node| text(&node.body)).sum(),
        _ => 0,
    };
    ITEM_WEIGHT + run.nodes.len() * NODE_WEIGHT + texts
}
