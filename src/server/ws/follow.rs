//! Where one connection stands in each channel that it follows. No I/O: deliveries and pages go in, what to write comes
//! out.
//!
//! Promise: of each channel the entries come out in the order of `seq`, without a gap and each once, however deliveries
//! and pages of the store interleave. A delivery that is not the next one is only a hint: the store is read.

use std::collections::HashMap;

use crate::server::channel::{Channel, Delivery};

/// A place in a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Follow {
    /// The entry to write next.
    next: u64,
    /// The last entry known to exist.
    head: u64,
    /// The subscription is not answered yet: nothing is written, only the head is noted.
    pending: bool,
}

/// A page of the store does not begin where it was asked to: what lies between is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hole;

/// The channels that a connection follows.
#[derive(Debug, Default)]
pub(crate) struct Follows(HashMap<Channel, Follow>);

impl Follows {
    /// A subscription was asked for: whatever was followed of this channel rests until it is answered.
    pub(crate) fn begin(&mut self, channel: Channel) {
        let follow = self.0.entry(channel).or_insert(Follow { next: 0, head: 0, pending: true });
        follow.pending = true;
    }

    /// The subscription is answered: entries after `seq` follow, `head` is where the log ended. Answers false where it
    /// was revoked meanwhile.
    pub(crate) fn start(&mut self, channel: Channel, seq: u64, head: u64) -> bool {
        let Some(follow) = self.0.get_mut(&channel) else { return false };
        *follow = Follow { next: seq + 1, head: head.max(follow.head), pending: false };
        true
    }

    /// Follows the channel no more.
    pub(crate) fn stop(&mut self, channel: Channel) -> bool {
        self.0.remove(&channel).is_some()
    }

    /// An entry was delivered. Answers whether to write it.
    pub(crate) fn delivered(&mut self, channel: Channel, seq: u64) -> bool {
        let Some(follow) = self.0.get_mut(&channel) else { return false };
        follow.head = follow.head.max(seq);
        let write = !follow.pending && seq == follow.next;
        follow.next += u64::from(write);
        write
    }

    /// The log has come as far as `head`: what is not delivered is read from the store.
    pub(crate) fn reached(&mut self, channel: Channel, head: u64) {
        if let Some(follow) = self.0.get_mut(&channel) {
            follow.head = follow.head.max(head);
        }
    }

    /// A channel whose store is to be read, and after which entry; another one than `last`, where there is another.
    pub(crate) fn behind(&self, last: Option<Channel>) -> Option<(Channel, u64)> {
        let mut behind = self.0.iter().filter(|(_, follow)| !follow.pending && follow.next <= follow.head);
        let first = behind.next()?;
        let (channel, follow) = if Some(*first.0) == last { behind.next().unwrap_or(first) } else { first };
        Some((*channel, follow.next - 1))
    }

    /// A page of the store came, of what follows `after`. Answers what of it to write.
    ///
    /// # Errors
    /// [`Hole`] where the entry after `after` is gone.
    pub(crate) fn page(&mut self, channel: Channel, after: u64, page: Vec<Delivery>) -> Result<Vec<Delivery>, Hole> {
        let Some(follow) = self.0.get_mut(&channel) else { return Ok(Vec::new()) };
        // Asked before the subscription began anew.
        if follow.pending || follow.next <= after {
            return Ok(Vec::new());
        }
        if page.first().is_none_or(|first| first.seq != after + 1) {
            return Err(Hole);
        }
        let mut page = page;
        page.retain(|entry| {
            let write = entry.seq == follow.next;
            follow.next += u64::from(write);
            write
        });
        follow.head = follow.head.max(follow.next - 1);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::ThreadId;

    fn entry(channel: Channel, seq: u64) -> Delivery {
        Delivery { channel, seq, frame: String::new().into() }
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// The log grows, and the delivery arrives.
        Append,
        /// The log grows, and the delivery is lost.
        Lost,
        /// A page that was asked for arrives.
        Page,
        /// The heads are compared: the log's is told, as it was so many entries ago.
        Head(u64),
        /// The client subscribes again, from so many entries ago.
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
            let (mut follows, mut log, mut expected) = (Follows::default(), start, start / 2 + 1);
            follows.begin(channel);
            prop_assert!(follows.start(channel, start / 2, log));
            let mut asked: Option<u64> = None;
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
                        if follows.delivered(channel, log) {
                            check(&[log], &mut expected);
                        }
                    }
                    Step::Lost => log += 1,
                    Step::Page => {
                        if let Some(after) = asked.take() {
                            let page = (after + 1..=log).take(PAGE as usize).map(|seq| entry(channel, seq)).collect();
                            let written = follows.page(channel, after, page).expect("no hole");
                            check(&written.iter().map(|entry| entry.seq).collect::<Vec<_>>(), &mut expected);
                        }
                        asked = follows.behind(None).map(|(_, after)| after);
                    }
                    Step::Head(back) => {
                        let head = log.saturating_sub(back);
                        follows.reached(channel, head);
                        prop_assert!(head < expected || follows.behind(None).is_some(), "what is missing is read");
                    }
                    Step::Again(back) => {
                        let cursor = (expected - 1).saturating_sub(back);
                        follows.begin(channel);
                        log += 1;
                        prop_assert!(!follows.delivered(channel, log), "nothing is written before the answer");
                        prop_assert!(follows.start(channel, cursor, log - 1));
                        expected = cursor + 1;
                    }
                }
            }
            // The head tells of all that were lost, without another entry; then the store has them.
            follows.reached(channel, log);
            while let Some((_, after)) = follows.behind(None) {
                let page = (after + 1..=log).take(PAGE as usize).map(|seq| entry(channel, seq)).collect();
                let written = follows.page(channel, after, page).expect("no hole");
                check(&written.iter().map(|entry| entry.seq).collect::<Vec<_>>(), &mut expected);
            }
            prop_assert_eq!(expected, log + 1);
        }
    }

    #[test]
    fn what_is_not_followed_is_never_written() {
        let channel = Channel::Thread(ThreadId::new());
        let mut follows = Follows::default();
        assert!(!follows.delivered(channel, 1));
        follows.reached(channel, 1);
        assert_eq!(follows.behind(None), None);
        follows.begin(channel);
        assert!(follows.stop(channel));
        assert!(!follows.start(channel, 0, 1), "revoked before it was answered");
        assert!(!follows.delivered(channel, 1));
        assert_eq!(follows.page(channel, 0, vec![entry(channel, 1)]).map(|page| page.len()), Ok(0));
    }

    #[test]
    fn a_page_that_begins_too_late_is_a_hole() {
        let channel = Channel::Thread(ThreadId::new());
        let mut follows = Follows::default();
        follows.begin(channel);
        follows.start(channel, 3, 9);
        assert_eq!(follows.page(channel, 3, vec![entry(channel, 6)]).map(|page| page.len()), Err(Hole));
        assert_eq!(follows.page(channel, 3, Vec::new()).map(|page| page.len()), Err(Hole));
    }

    #[test]
    fn channels_that_are_behind_take_turns() {
        let channels = [Channel::Thread(ThreadId::new()), Channel::Thread(ThreadId::new())];
        let mut follows = Follows::default();
        for channel in channels {
            follows.begin(channel);
            follows.start(channel, 0, 600);
        }
        let (first, _) = follows.behind(None).expect("is behind");
        let (second, _) = follows.behind(Some(first)).expect("is behind");
        assert_ne!(first, second);
        follows.stop(second);
        assert_eq!(follows.behind(Some(first)), Some((first, 0)));
    }
}
