//! The channels that are followed and how far each has come: every entry is applied exactly once, in order.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{News, backoff::Backoff};
use crate::protocol::{
    ChannelName, Cursor, Entry, ErrorBody, ErrorCode, EventPush, Mode, Outcome, Snapshot, Subscribed,
    limits::MAX_SUBSCRIPTIONS,
};

/// Milliseconds until what was refused for the moment is asked again, where the refusal names no time.
const DEFAULT_RETRY_MS: u64 = 1_000;
/// The longest that the server may put off an `unsubscribe` or a `subscribe`, in milliseconds.
const MAX_RETRY_MS: u64 = 5 * 60_000;

/// Where a subscription is, on the present connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be asked for, not before this time.
    Due(i64),
    /// Asked for under this id.
    Asked(i64),
    /// Entries follow.
    On,
    /// Refused because the connection follows too many channels; asked for again when it follows one less.
    NoPlace,
    /// Refused; asked for again on the next connection.
    Refused,
}

#[derive(Debug)]
struct Follow {
    cursor: Option<Cursor>,
    state: State,
    /// Whether the server may already follow it for this connection, whatever becomes of what is asked next.
    granted: bool,
    /// Answers and entries in a row that did not fit.
    misfits: u32,
}

impl Follow {
    /// Whether it takes one of the connection's places at the server.
    fn takes_place(&self) -> bool {
        self.granted || matches!(self.state, State::Asked(_) | State::On)
    }
}

/// An `unsubscribe` on the present connection: it is repeated until the server agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// To be sent, not before this time.
    Due(i64),
    /// Sent under this id.
    Asked(i64),
}

/// What is followed, and what is being left: each channel is in one of the two maps, or in none.
#[derive(Debug, Default)]
pub(super) struct Follows {
    followed: BTreeMap<ChannelName, Follow>,
    leaving: BTreeMap<ChannelName, Leave>,
}

impl Follows {
    /// Follows a channel from a position, or from nothing.
    pub(super) fn add(&mut self, channel: ChannelName, after: Option<Cursor>) -> Result<(), ErrorBody> {
        if self.followed.len() >= MAX_SUBSCRIPTIONS && !self.followed.contains_key(&channel) {
            let full = format!("{MAX_SUBSCRIPTIONS} channels are followed already; leave one first");
            return Err(ErrorBody::new(ErrorCode::Unavailable, full));
        }
        // Its `unsubscribe` may be on the way, or refused: the `subscribe` comes after it and settles it.
        let granted = self.leaving.remove(&channel).is_some();
        let new = Follow { cursor: after, state: State::Due(i64::MIN), granted, misfits: 0 };
        self.followed.entry(channel).or_insert(new);
        Ok(())
    }

    /// Leaves a channel; the server is told where it may follow it.
    pub(super) fn remove(&mut self, channel: ChannelName) {
        let Some(follow) = self.followed.remove(&channel) else { return };
        if follow.takes_place() {
            self.leaving.insert(channel, Leave::Due(i64::MIN));
        } else {
            self.place_freed();
        }
    }

    pub(super) fn clear(&mut self) {
        self.followed.clear();
        self.leaving.clear();
    }

    /// The connection is gone: all are asked for again on the next, and nothing is left to leave.
    pub(super) fn lost(&mut self) {
        self.leaving.clear();
        for follow in self.followed.values_mut() {
            (follow.state, follow.granted) = (State::Due(i64::MIN), false);
        }
    }

    /// The connection follows one channel less: what found no place is asked for again.
    fn place_freed(&mut self) {
        for follow in self.followed.values_mut().filter(|follow| follow.state == State::NoPlace) {
            follow.state = State::Due(i64::MIN);
        }
    }

    /// The next channel to leave.
    pub(super) fn due_to_leave(&self, now: i64) -> Option<ChannelName> {
        let due = |(_, leave): &(&ChannelName, &Leave)| matches!(leave, Leave::Due(at) if *at <= now);
        self.leaving.iter().find(due).map(|(channel, _)| *channel)
    }

    /// Its `unsubscribe` was sent under this id.
    pub(super) fn asked_to_leave(&mut self, channel: ChannelName, id: i64) {
        if let Some(leave) = self.leaving.get_mut(&channel) {
            *leave = Leave::Asked(id);
        }
    }

    /// The reply to `id`, if it was that of an `unsubscribe`. Answers whether it was.
    fn left(&mut self, now: i64, id: i64, outcome: &Outcome) -> bool {
        let asked = self.leaving.iter().find(|(_, leave)| **leave == Leave::Asked(id)).map(|(channel, _)| *channel);
        let Some(channel) = asked else { return false };
        match outcome.as_ref().err().and_then(|error| retry_at(now, error)) {
            Some(at) => {
                self.leaving.insert(channel, Leave::Due(at));
            }
            None => {
                self.leaving.remove(&channel);
                self.place_freed();
            }
        }
        true
    }

    /// A refused or waiting channel may be asked for again at once: its thread exists now.
    pub(super) fn nudge(&mut self, channel: ChannelName) {
        if let Some(follow) = self.followed.get_mut(&channel)
            && matches!(follow.state, State::Refused | State::Due(_))
        {
            follow.state = State::Due(i64::MIN);
        }
    }

    /// The next channel to ask for, and from where, among those not `held` back.
    pub(super) fn due(&self, now: i64, held: impl Fn(ChannelName) -> bool) -> Option<(ChannelName, Option<Cursor>)> {
        // What is being left keeps its place until the server agrees.
        let taken = self.followed.values().filter(|follow| follow.takes_place()).count() + self.leaving.len();
        let due = |(channel, follow): &(&ChannelName, &Follow)| {
            let fits = follow.granted || taken < MAX_SUBSCRIPTIONS;
            matches!(follow.state, State::Due(at) if at <= now) && fits && !held(**channel)
        };
        self.followed.iter().find(due).map(|(channel, follow)| (*channel, follow.cursor.clone()))
    }

    /// It was asked for under this id.
    pub(super) fn asked(&mut self, channel: ChannelName, id: i64) {
        if let Some(follow) = self.followed.get_mut(&channel) {
            follow.state = State::Asked(id);
        }
    }

    /// The earliest time after now at which a channel is to be asked for.
    pub(super) fn deadline(&self, now: i64) -> Option<i64> {
        let due = |follow: &Follow| if let State::Due(at) = follow.state { Some(at) } else { None };
        let leave = |leave: &Leave| if let Leave::Due(at) = *leave { Some(at) } else { None };
        let all = self.followed.values().filter_map(due).chain(self.leaving.values().filter_map(leave));
        all.filter(|at| *at > now).min()
    }

    /// How far a channel has come.
    pub(super) fn cursor(&self, channel: ChannelName) -> Option<&Cursor> {
        self.followed.get(&channel)?.cursor.as_ref()
    }

    /// The reply to `id`, if it was that of a `subscribe` or an `unsubscribe`: what it changes.
    pub(super) fn answered(&mut self, now: i64, id: i64, outcome: Outcome, backoff: &mut Backoff) -> Option<News> {
        if self.left(now, id, &outcome) {
            return None;
        }
        let leaves = !self.leaving.is_empty();
        let (channel, follow) = self.followed.iter_mut().find(|(_, follow)| follow.state == State::Asked(id))?;
        let channel = *channel;
        match outcome.map(Subscribed::deserialize) {
            Ok(Ok(answer)) => {
                follow.granted = true;
                follow.start(now, channel, answer, backoff)
            }
            Ok(Err(_)) => {
                follow.granted = true;
                follow.misfit(now, backoff)
            }
            Err(error) => match retry_at(now, &error) {
                Some(at) => {
                    follow.state = State::Due(at);
                    None
                }
                None => {
                    let full = error.code == ErrorCode::Conflict;
                    follow.state = if full { State::NoPlace } else { State::Refused };
                    let freed = std::mem::take(&mut follow.granted);
                    if freed {
                        self.place_freed();
                    }
                    // A place is about to be free: there is nothing to tell.
                    (!full || !leaves).then_some(News::Refused { channel, error })
                }
            },
        }
    }

    /// An entry arrived: what it changes, if it is the next one.
    pub(super) fn event(&mut self, now: i64, event: EventPush, backoff: &mut Backoff) -> Option<News> {
        let EventPush { channel, epoch, seq, at, entry } = event;
        let follow = self.followed.get_mut(&channel)?;
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

/// When to ask again what was refused only for the moment.
fn retry_at(now: i64, error: &ErrorBody) -> Option<i64> {
    let passes = matches!(error.code, ErrorCode::RateLimited | ErrorCode::Unavailable);
    passes.then(|| now.saturating_add_unsigned(error.retry_after_ms.unwrap_or(DEFAULT_RETRY_MS).min(MAX_RETRY_MS)))
}

fn fits(channel: ChannelName, snapshot: &Snapshot) -> bool {
    matches!(
        (channel, snapshot),
        (ChannelName::User, Snapshot::User(_)) | (ChannelName::Thread(_), Snapshot::Thread(_))
    )
}
