//! Which turns of a thread are in the document: a contiguous range. When the reader comes near one end of it, turns are added there and
//! removed at the other end, so the document stays small however long the thread is.
//!
//! At first the range is the end of the thread. It is kept as the keys of its first and last turn, so it survives changes
//! of the thread.

use std::ops::Range;

/// A turn's weight is the estimated number of its elements in the document. This much is added at once.
const STEP: usize = 1_200;
/// The weight above which turns that are far from the reader are removed.
const MAX: usize = 2_400;

/// A turn: a message with the runs that answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn<K> {
    /// The key of its first item.
    pub(crate) key: K,
    /// The number of its items.
    pub(crate) items: usize,
    /// The estimated number of its elements in the document.
    pub(crate) weight: usize,
}

/// The turns in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RenderedRange<K> {
    /// The first turn. `None`, or not in the thread: one [`STEP`] before the last one.
    first: Option<K>,
    /// The last turn. `None`, or not in the thread: the thread's last one.
    last: Option<K>,
    /// Whether turns that are added at the end of the thread may displace the first ones, because nobody reads these.
    follows_end: bool,
}

impl<K: Copy + PartialEq> RenderedRange<K> {
    /// The end of the thread.
    pub(crate) fn end() -> Self {
        Self { first: None, last: None, follows_end: true }
    }

    /// The range as indices of turns.
    pub(crate) fn indices(&self, turns: &[Turn<K>]) -> Range<usize> {
        let position = |key: Option<K>| turns.iter().rposition(|turn| Some(turn.key) == key);
        let end = position(self.last).map_or(turns.len(), |last| last + 1);
        let first = position(self.first).filter(|first| *first < end);
        match first {
            Some(first) if !(self.follows_end && weight(&turns[first..end]) > MAX) => first..end,
            _ => before(turns, end)..end,
        }
    }

    /// Adds earlier turns. The turns from the index `unseen` on are far below what the reader sees.
    pub(crate) fn add_earlier(&mut self, turns: &[Turn<K>], unseen: usize) {
        let Range { start, mut end } = self.indices(turns);
        let start = before(turns, start);
        while end > unseen.max(start + 1) && weight(&turns[start..end]) > MAX {
            end -= 1;
        }
        self.set(turns, start..end);
    }

    /// Adds later turns. The turns before the index `unseen` are far above what the reader sees.
    pub(crate) fn add_later(&mut self, turns: &[Turn<K>], unseen: usize) {
        let Range { mut start, end } = self.indices(turns);
        let end = after(turns, end);
        while start < unseen.min(end.saturating_sub(1)) && weight(&turns[start..end]) > MAX {
            start += 1;
        }
        self.set(turns, start..end);
    }

    /// Changes the range to the beginning of the thread.
    pub(crate) fn show_start(&mut self, turns: &[Turn<K>]) {
        self.set(turns, 0..after(turns, 0));
    }

    /// Changes the range so that it contains the turn at an index.
    pub(crate) fn show(&mut self, turns: &[Turn<K>], index: usize) {
        if !self.indices(turns).contains(&index) && index < turns.len() {
            self.set(turns, before(turns, index)..after(turns, index));
        }
    }

    /// Lets turns that are added at the end of the thread displace the first ones: the reader is at the end.
    pub(crate) fn follow_end(&mut self) {
        self.follows_end = true;
    }

    /// Keeps the first turn, however many are added at the end: someone reads there.
    pub(crate) fn keep_first(&mut self, turns: &[Turn<K>]) {
        self.first = turns.get(self.indices(turns).start).map(|turn| turn.key);
        self.follows_end = false;
    }

    fn set(&mut self, turns: &[Turn<K>], range: Range<usize>) {
        self.first = turns.get(range.start).map(|turn| turn.key);
        self.last = turns.get(range.end.saturating_sub(1)).filter(|_| range.end < turns.len()).map(|turn| turn.key);
    }
}

fn weight<K>(turns: &[Turn<K>]) -> usize {
    turns.iter().map(|turn| turn.weight).sum()
}

/// The index of the first of the turns before `end` that together weigh about a [`STEP`]; at least one.
fn before<K>(turns: &[Turn<K>], end: usize) -> usize {
    let (mut start, mut added) = (end.min(turns.len()), 0);
    while start > 0 && added < STEP {
        start -= 1;
        added += turns[start].weight;
    }
    start
}

/// The index after the last of the turns from `start` on that together weigh about a [`STEP`]; at least one.
fn after<K>(turns: &[Turn<K>], start: usize) -> usize {
    let (mut end, mut added) = (start, 0);
    while end < turns.len() && added < STEP {
        added += turns[end].weight;
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of one weight, whose keys are their numbers.
    fn turns(count: usize, weight: usize) -> Vec<Turn<usize>> {
        (0..count).map(|key| Turn { key, items: 2, weight }).collect()
    }

    #[test]
    fn at_first_only_the_end_is_in_the_document() {
        assert_eq!(RenderedRange::end().indices(&turns(500, 50)), 476..500);
        assert_eq!(RenderedRange::end().indices(&turns(3, 50)), 0..3, "a short thread is there as a whole");
        assert_eq!(RenderedRange::end().indices(&turns(3, 9_000)), 2..3, "at least one turn, however large");
        assert_eq!(RenderedRange::end().indices(&turns(0, 50)), 0..0);
    }

    #[test]
    fn a_reader_reaches_every_turn_in_both_directions_while_the_weight_stays_bounded() {
        let turns = turns(500, 50);
        let mut range = RenderedRange::end();
        range.keep_first(&turns);
        let mut seen = vec![false; turns.len()];
        let mut note = |indices: Range<usize>| {
            assert!(weight(&turns[indices.clone()]) <= MAX + STEP, "{indices:?}");
            seen[indices].fill(true);
        };
        for _ in 0..100 {
            let first = range.indices(&turns).start;
            note(range.indices(&turns));
            range.add_earlier(&turns, first + 8);
        }
        assert!(seen.iter().all(|seen| *seen));
        assert_eq!(range.indices(&turns).start, 0);
        for _ in 0..100 {
            let end = range.indices(&turns).end;
            range.add_later(&turns, end - 8);
            assert!(weight(&turns[range.indices(&turns)]) <= MAX + STEP);
        }
        assert_eq!(range.indices(&turns).end, 500);
        assert_eq!(range.last, None, "at the end, new turns are shown");
    }

    #[test]
    fn turns_in_sight_are_never_removed() {
        let turns = turns(10, 5_000);
        let mut range = RenderedRange::end();
        range.keep_first(&turns);
        range.add_earlier(&turns, 10);
        assert_eq!(range.indices(&turns), 8..10, "heavy, but the reader sees both");
        range.add_earlier(&turns, 9);
        assert_eq!(range.indices(&turns), 7..9);
    }

    #[test]
    fn while_nobody_reads_earlier_turns_new_ones_displace_them() {
        let mut range = RenderedRange::end();
        range.add_earlier(&turns(100, 50), 100);
        assert_eq!(range.indices(&turns(100, 50)), 52..100);
        assert_eq!(range.indices(&turns(101, 50)), 77..101);
        range.keep_first(&turns(100, 50));
        assert_eq!(range.indices(&turns(200, 50)), 52..200, "someone reads there");
    }

    #[test]
    fn any_turn_can_be_shown_and_a_range_that_is_gone_becomes_the_end() {
        let all = turns(500, 50);
        let mut range = RenderedRange::end();
        range.show(&all, 499);
        assert_eq!(range, RenderedRange::end(), "it is in the document already");
        range.show(&all, 250);
        assert_eq!(range.indices(&all), 226..274);
        assert_eq!(range.indices(&turns(200, 50)), 176..200, "these turns are on another branch");
        range.show_start(&all);
        assert_eq!(range.indices(&all), 0..24);
        range.show(&all, 600);
        assert_eq!(range.indices(&all), 0..24);
    }
}
