//! The position of one connection in each channel that it follows. No I/O: deliveries and pages go in, entries to write come
//! out.
//!
//! Guarantee: the entries of a channel come out in the order of `seq`, each once and without a gap, however deliveries and
//! pages interleave. A delivery that is not the next entry only says how long the log is; the rest is read from the store.

use std::collections::HashMap;

use crate::server::channel::{Channel, Delivery};

/// The position in one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// The `seq` of the entry to write next.
    next: u64,
    /// The `seq` of the last entry known to exist.
    head: u64,
    /// The subscription is not answered yet: nothing is written, only `head` is updated.
    pending: bool,
}

/// A page does not begin with the entry that was requested: entries before it were trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap;

/// The channels that a connection follows.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(HashMap<Channel, Position>);

impl Subscriptions {
    /// A subscription was requested. Nothing of the channel is written until [`Subscriptions::activate`].
    pub(crate) fn begin(&mut self, channel: Channel) {
        let position = self.0.entry(channel).or_insert(Position { next: 0, head: 0, pending: true });
        position.pending = true;
    }

    /// The subscription is answered: the entries after `seq` are written from now on; the log ended at `head`. Returns false
    /// if the channel was removed meanwhile.
    pub(crate) fn activate(&mut self, channel: Channel, seq: u64, head: u64) -> bool {
        let Some(position) = self.0.get_mut(&channel) else { return false };
        *position = Position { next: seq + 1, head: head.max(position.head), pending: false };
        true
    }

    /// Stops following a channel; returns whether it was followed.
    pub(crate) fn remove(&mut self, channel: Channel) -> bool {
        self.0.remove(&channel).is_some()
    }

    /// An entry was delivered; returns whether to write it.
    pub(crate) fn on_delivery(&mut self, channel: Channel, seq: u64) -> bool {
        let Some(position) = self.0.get_mut(&channel) else { return false };
        position.head = position.head.max(seq);
        let write = !position.pending && seq == position.next;
        position.next += u64::from(write);
        write
    }

    /// The log has entries up to `head`.
    pub(crate) fn on_head(&mut self, channel: Channel, head: u64) {
        if let Some(position) = self.0.get_mut(&channel) {
            position.head = position.head.max(head);
        }
    }

    /// A channel with entries to read from the store, and the `seq` of its last entry that was written: the next one after `last` in
    /// the order of channels, so that all take turns.
    pub(crate) fn next_behind(&self, last: Option<Channel>) -> Option<(Channel, u64)> {
        let behind = || self.0.iter().filter(|(_, position)| !position.pending && position.next <= position.head);
        let later = behind().filter(|(channel, _)| last.is_some_and(|last| **channel > last));
        let (channel, position) =
            later.min_by_key(|(channel, _)| **channel).or_else(|| behind().min_by_key(|(channel, _)| **channel))?;
        Some((*channel, position.next - 1))
    }

    /// A page of the entries after `after` was read; returns those to write.
    ///
    /// # Errors
    /// [`Gap`] if the entry after `after` was trimmed.
    pub(crate) fn on_page(&mut self, channel: Channel, after: u64, page: Vec<Delivery>) -> Result<Vec<Delivery>, Gap> {
        let Some(position) = self.0.get_mut(&channel) else { return Ok(Vec::new()) };
        // The client subscribed again after the page was requested.
        if position.pending || position.next <= after {
            return Ok(Vec::new());
        }
        if page.first().is_none_or(|first| first.seq != after + 1) {
            return Err(Gap);
        }
        let mut page = page;
        page.retain(|entry| {
            let write = entry.seq == position.next;
            position.next += u64::from(write);
            write
        });
        position.head = position.head.max(position.next - 1);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Epoch, ThreadId};

    fn entry(channel: Channel, seq: u64) -> Delivery {
        Delivery::new(&Epoch("e".into()), channel, seq, 1, "{}")
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// The log grows, and the delivery arrives.
        Append,
        /// The log grows, and the delivery is lost.
        Lost,
        /// A page that was requested arrives.
        Page,
        /// The head of the log is reported as of this many entries ago.
        Head(u64),
        /// The client subscribes again, from this many entries ago.
        Again(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Append),
            1 => Just(Step::Lost),
            3 => Just(Step::Page),
            1 => (0..3_u64).prop_map(Step::Head),
            1 => (0..20_u64).prop_map(Step::Again)
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn entries_come_out_in_order_each_once_and_all_of_them(steps in steps(), start in 0..30_u64) {
            const PAGE: u64 = 4;
            let channel = Channel::Thread(ThreadId::new());
            let (mut subscriptions, mut log, mut expected) = (Subscriptions::default(), start, start / 2 + 1);
            subscriptions.begin(channel);
            prop_assert!(subscriptions.activate(channel, start / 2, log));
            let mut requested: Option<u64> = None;
            let check = |written: &[u64], expected: &mut u64| {
                for seq in written {
                    assert_eq!(seq, expected);
                    *expected += 1;
                }
            };
            for step in steps {
                match step {
                    Step::Append => {
                        log += 1;
                        if subscriptions.on_delivery(channel, log) {
                            check(&[log], &mut expected);
                        }
                    }
                    Step::Lost => log += 1,
                    Step::Page => {
                        if let Some(after) = requested.take() {
                            let page = (after + 1..=log).take(PAGE as usize).map(|seq| entry(channel, seq)).collect();
                            let written = subscriptions.on_page(channel, after, page).expect("no gap");
                            check(&written.iter().map(|entry| entry.seq).collect::<Vec<_>>(), &mut expected);
                        }
                        requested = subscriptions.next_behind(None).map(|(_, after)| after);
                    }
                    Step::Head(back) => {
                        let head = log.saturating_sub(back);
                        subscriptions.on_head(channel, head);
                        prop_assert!(head < expected || subscriptions.next_behind(None).is_some(), "what is missing is read");
                    }
                    Step::Again(back) => {
                        let cursor = (expected - 1).saturating_sub(back);
                        subscriptions.begin(channel);
                        log += 1;
                        prop_assert!(!subscriptions.on_delivery(channel, log), "nothing is written before the answer");
                        prop_assert!(subscriptions.activate(channel, cursor, log - 1));
                        expected = cursor + 1;
                    }
                }
            }
            // The head reports all entries whose delivery was lost; they are read from the store.
            subscriptions.on_head(channel, log);
            while let Some((_, after)) = subscriptions.next_behind(None) {
                let page = (after + 1..=log).take(PAGE as usize).map(|seq| entry(channel, seq)).collect();
                let written = subscriptions.on_page(channel, after, page).expect("no gap");
                check(&written.iter().map(|entry| entry.seq).collect::<Vec<_>>(), &mut expected);
            }
            prop_assert_eq!(expected, log + 1);
        }
    }

    #[test]
    fn what_is_not_followed_is_never_written() {
        let channel = Channel::Thread(ThreadId::new());
        let mut subscriptions = Subscriptions::default();
        assert!(!subscriptions.on_delivery(channel, 1));
        subscriptions.on_head(channel, 1);
        assert_eq!(subscriptions.next_behind(None), None);
        subscriptions.begin(channel);
        assert!(subscriptions.remove(channel));
        assert!(!subscriptions.activate(channel, 0, 1), "revoked before it was answered");
        assert!(!subscriptions.on_delivery(channel, 1));
        assert_eq!(subscriptions.on_page(channel, 0, vec![entry(channel, 1)]).map(|page| page.len()), Ok(0));
    }

    #[test]
    fn a_page_that_begins_too_late_is_a_gap() {
        let channel = Channel::Thread(ThreadId::new());
        let mut subscriptions = Subscriptions::default();
        subscriptions.begin(channel);
        subscriptions.activate(channel, 3, 9);
        assert_eq!(subscriptions.on_page(channel, 3, vec![entry(channel, 6)]).map(|page| page.len()), Err(Gap));
        assert_eq!(subscriptions.on_page(channel, 3, Vec::new()).map(|page| page.len()), Err(Gap));
    }

    #[test]
    fn channels_that_are_behind_take_turns() {
        let channels: BTreeSet<Channel> = (0..3).map(|_| Channel::Thread(ThreadId::new())).collect();
        let mut subscriptions = Subscriptions::default();
        for channel in &channels {
            subscriptions.begin(*channel);
            subscriptions.activate(*channel, 0, 600);
        }
        let (mut last, mut read) = (None, Vec::new());
        for _ in 0..6 {
            let (channel, _) = subscriptions.next_behind(last).expect("a subscription is behind");
            read.push(channel);
            last = Some(channel);
        }
        assert_eq!(read[..3].iter().copied().collect::<BTreeSet<_>>(), channels, "each before any again");
        assert_eq!(read[..3], read[3..]);
        assert!(read[1..3].iter().all(|channel| subscriptions.remove(*channel)));
        assert_eq!(subscriptions.next_behind(last), Some((read[0], 0)), "the only one has its turn again");
    }
}
