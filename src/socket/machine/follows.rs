//! The channels that are followed and how far each has come: every entry is applied exactly once, in order.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{News, backoff::Backoff, outbox::retry_after};
use crate::protocol::{
    ChannelName, Cursor, Entry, ErrorBody, ErrorCode, EventPush, Mode, Outcome, Snapshot, Subscribed,
    limits::MAX_SUBSCRIPTIONS,
};

/// Where a subscription is, on the present connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be asked for, not before this time.
    Due(i64),
    /// Asked for under this id.
    Asked(i64),
    /// Entries follow.
    On,
    /// Refused; asked for again on the next connection.
    Refused,
}

#[derive(Debug)]
struct Follow {
    cursor: Option<Cursor>,
    state: State,
    /// Answers and entries in a row that did not fit.
    misfits: u32,
}

#[derive(Debug, Default)]
pub(super) struct Follows(BTreeMap<ChannelName, Follow>);

impl Follows {
    /// Follows a channel from a position, or from nothing.
    pub(super) fn add(&mut self, channel: ChannelName, after: Option<Cursor>) -> Result<(), ErrorBody> {
        if self.0.len() >= MAX_SUBSCRIPTIONS && !self.0.contains_key(&channel) {
            let full = format!("{MAX_SUBSCRIPTIONS} channels are followed already; leave one first");
            return Err(ErrorBody::new(ErrorCode::Unavailable, full));
        }
        self.0.entry(channel).or_insert(Follow { cursor: after, state: State::Due(i64::MIN), misfits: 0 });
        Ok(())
    }

    /// Leaves a channel. True when the server knows that it is followed.
    pub(super) fn remove(&mut self, channel: ChannelName) -> bool {
        self.0.remove(&channel).is_some_and(|follow| matches!(follow.state, State::Asked(_) | State::On))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The connection is gone: all are asked for again on the next.
    pub(super) fn lost(&mut self) {
        for follow in self.0.values_mut() {
            follow.state = State::Due(i64::MIN);
        }
    }

    /// A refused or waiting channel may be asked for again at once: its thread exists now.
    pub(super) fn nudge(&mut self, channel: ChannelName) {
        if let Some(follow) = self.0.get_mut(&channel)
            && matches!(follow.state, State::Refused | State::Due(_))
        {
            follow.state = State::Due(i64::MIN);
        }
    }

    /// The next channel to ask for, and from where, among those not `held` back.
    pub(super) fn due(&self, now: i64, held: impl Fn(ChannelName) -> bool) -> Option<(ChannelName, Option<Cursor>)> {
        let due = |(channel, follow): &(&ChannelName, &Follow)| {
            matches!(follow.state, State::Due(at) if at <= now) && !held(**channel)
        };
        self.0.iter().find(due).map(|(channel, follow)| (*channel, follow.cursor.clone()))
    }

    /// It was asked for under this id.
    pub(super) fn asked(&mut self, channel: ChannelName, id: i64) {
        if let Some(follow) = self.0.get_mut(&channel) {
            follow.state = State::Asked(id);
        }
    }

    /// The earliest time after now at which a channel is to be asked for.
    pub(super) fn deadline(&self, now: i64) -> Option<i64> {
        let due = |follow: &Follow| if let State::Due(at) = follow.state { Some(at) } else { None };
        self.0.values().filter_map(due).filter(|at| *at > now).min()
    }

    /// How far a channel has come.
    pub(super) fn cursor(&self, channel: ChannelName) -> Option<&Cursor> {
        self.0.get(&channel)?.cursor.as_ref()
    }

    /// The reply to `id`, if it was a subscription's: what it changes.
    pub(super) fn answered(&mut self, now: i64, id: i64, outcome: Outcome, backoff: &mut Backoff) -> Option<News> {
        let (channel, follow) = self.0.iter_mut().find(|(_, follow)| follow.state == State::Asked(id))?;
        let channel = *channel;
        match outcome.map(Subscribed::deserialize) {
            Ok(Ok(answer)) => follow.start(now, channel, answer, backoff),
            Ok(Err(_)) => follow.misfit(now, backoff),
            Err(error) => match retry_after(&error) {
                Some(ms) => {
                    follow.state = State::Due(now.saturating_add_unsigned(ms));
                    None
                }
                None => {
                    follow.state = State::Refused;
                    Some(News::Refused { channel, error })
                }
            },
        }
    }

    /// An entry arrived: what it changes, if it is the next one.
    pub(super) fn event(&mut self, now: i64, event: EventPush, backoff: &mut Backoff) -> Option<News> {
        let EventPush { channel, epoch, seq, at, entry } = event;
        let follow = self.0.get_mut(&channel)?;
        if let Some(seq) = seq {
            let settled = follow.state == State::On;
            match &mut follow.cursor {
                Some(cursor) if cursor.epoch == epoch && cursor.seq + 1 == seq => cursor.seq = seq,
                Some(cursor) if cursor.epoch == epoch && seq <= cursor.seq => return None,
                // Before the answer to a subscription, others may still be under way; the answer settles it.
                _ if !settled => return None,
                Some(cursor) if cursor.epoch == epoch => return follow.misfit(now, backoff),
                _ => {
                    follow.cursor = None;
                    return follow.misfit(now, backoff);
                }
            }
            follow.misfits = 0;
        }
        Some(News::Entry { channel, seq, at, entry: Entry::decode(channel, entry) })
    }
}

impl Follow {
    fn start(&mut self, now: i64, channel: ChannelName, answer: Subscribed, backoff: &mut Backoff) -> Option<News> {
        let here = self.cursor.as_ref().filter(|cursor| cursor.epoch == answer.epoch).map(|cursor| cursor.seq);
        match (answer.mode, answer.snapshot) {
            (Mode::Snapshot, Some(snapshot)) if fits(channel, &snapshot) => {
                self.state = State::On;
                // Entries of the subscription before may have carried us past it already.
                if here.is_some_and(|here| here > answer.seq) {
                    return None;
                }
                let cursor = Cursor { epoch: answer.epoch, seq: answer.seq };
                self.cursor = Some(cursor.clone());
                Some(News::Snapshot { channel, cursor, snapshot })
            }
            (Mode::Live | Mode::Replay, _) if here.is_some_and(|here| here >= answer.seq) => {
                self.state = State::On;
                None
            }
            _ => {
                self.cursor = None;
                self.misfit(now, backoff)
            }
        }
    }

    /// Something did not fit: asks again from the cursor, at once the first time; then from nothing, ever more slowly.
    fn misfit(&mut self, now: i64, backoff: &mut Backoff) -> Option<News> {
        self.misfits = self.misfits.saturating_add(1);
        self.state = State::Due(now);
        if self.misfits > 1 {
            self.cursor = None;
            self.state = State::Due(now.saturating_add_unsigned(backoff.jitter(self.misfits)));
        }
        None
    }
}

fn fits(channel: ChannelName, snapshot: &Snapshot) -> bool {
    matches!(
        (channel, snapshot),
        (ChannelName::User, Snapshot::User(_)) | (ChannelName::Thread(_), Snapshot::Thread(_))
    )
}
