//! The channels that are followed and the cursor of each: every entry is applied exactly once, in order.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Event, backoff::Backoff, compact::CompactDecoder};
use crate::protocol::{
    ChannelName, Cursor, Entry, ErrorBody, ErrorCode, EventPush, Mode, Outcome, Snapshot, Subscribed,
    compact::CompactEntry, limits::MAX_SUBSCRIPTIONS,
};

/// The wait before a refused command is sent again if the refusal has no `retry_after_ms`, in milliseconds.
const DEFAULT_RETRY_MS: u64 = 1_000;
/// The longest wait that the server may ask for before an `unsubscribe` or `subscribe` is sent again, in milliseconds.
const MAX_RETRY_MS: u64 = 5 * 60_000;

/// The state of a subscription on the current connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `subscribe` is to be sent from this time on.
    Due(i64),
    /// `subscribe` was sent with this id.
    Sent(i64),
    /// The server accepted; entries follow.
    Active,
    /// Refused because the connection follows too many channels; tried again when it follows one fewer.
    NoSlot,
    /// Refused; tried again on the next connection.
    Refused,
}

#[derive(Debug)]
struct Subscription {
    cursor: Option<Cursor>,
    state: State,
    /// Whether the connection may already be subscribed to the channel, whatever the reply to the next `subscribe` is.
    may_be_active: bool,
    /// How many replies and entries in a row did not match the cursor.
    mismatches: u32,
}

impl Subscription {
    /// Whether it counts toward the server's limit of subscriptions per connection.
    fn takes_slot(&self) -> bool {
        self.may_be_active || matches!(self.state, State::Sent(_) | State::Active)
    }
}

/// An `unsubscribe` on the current connection; it is sent until the server accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsubscribing {
    /// To be sent from this time on.
    Due(i64),
    /// Sent with this id.
    Sent(i64),
}

/// The followed channels, and those to unsubscribe from; a channel is in at most one of the two maps.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    followed: BTreeMap<ChannelName, Subscription>,
    unsubscribing: BTreeMap<ChannelName, Unsubscribing>,
    compact: CompactDecoder,
}

impl Subscriptions {
    /// Follows a channel from a position, or from a snapshot.
    ///
    /// # Errors
    /// `unavailable` if [`MAX_SUBSCRIPTIONS`] channels are followed already.
    pub(super) fn add(&mut self, channel: ChannelName, after: Option<Cursor>) -> Result<(), ErrorBody> {
        if self.followed.len() >= MAX_SUBSCRIPTIONS && !self.followed.contains_key(&channel) {
            let message = format!("{MAX_SUBSCRIPTIONS} channels are followed already; unsubscribe from one first");
            return Err(ErrorBody::new(ErrorCode::Unavailable, message));
        }
        // An `unsubscribe` may be under way or refused. The new `subscribe` is sent after it, so it is the one that counts.
        let may_be_active = self.unsubscribing.remove(&channel).is_some();
        let new = Subscription { cursor: after, state: State::Due(i64::MIN), may_be_active, mismatches: 0 };
        self.followed.entry(channel).or_insert(new);
        Ok(())
    }

    /// Stops following a channel; an `unsubscribe` becomes due if the connection may be subscribed.
    pub(super) fn remove(&mut self, channel: ChannelName) {
        let Some(subscription) = self.followed.remove(&channel) else { return };
        if subscription.takes_slot() {
            self.unsubscribing.insert(channel, Unsubscribing::Due(i64::MIN));
        } else {
            self.on_slot_freed();
        }
    }

    pub(super) fn clear(&mut self) {
        self.followed.clear();
        self.unsubscribing.clear();
        self.compact.clear();
    }

    /// The connection was lost: every followed channel is due on the next one, and no `unsubscribe` is needed any more.
    pub(super) fn on_connection_lost(&mut self) {
        self.unsubscribing.clear();
        self.compact.clear();
        for subscription in self.followed.values_mut() {
            (subscription.state, subscription.may_be_active) = (State::Due(i64::MIN), false);
        }
    }

    /// The connection follows one channel fewer: channels without a slot are due again.
    fn on_slot_freed(&mut self) {
        for subscription in self.followed.values_mut().filter(|subscription| subscription.state == State::NoSlot) {
            subscription.state = State::Due(i64::MIN);
        }
    }

    /// The next channel to unsubscribe from.
    pub(super) fn next_unsubscribe(&self, now: i64) -> Option<ChannelName> {
        let due = |(_, state): &(&ChannelName, &Unsubscribing)| matches!(state, Unsubscribing::Due(at) if *at <= now);
        self.unsubscribing.iter().find(due).map(|(channel, _)| *channel)
    }

    /// The channel's `unsubscribe` was sent with this id.
    pub(super) fn on_unsubscribe_sent(&mut self, channel: ChannelName, id: i64) {
        if let Some(state) = self.unsubscribing.get_mut(&channel) {
            *state = Unsubscribing::Sent(id);
        }
    }

    /// Handles a reply to an `unsubscribe`; false if `id` is not that of an `unsubscribe`.
    fn on_unsubscribe_reply(&mut self, now: i64, id: i64, outcome: &Outcome) -> bool {
        let sent = self.unsubscribing.iter().find(|(_, state)| **state == Unsubscribing::Sent(id));
        let Some(channel) = sent.map(|(channel, _)| *channel) else { return false };
        match outcome.as_ref().err().and_then(|error| retry_at(now, error)) {
            Some(at) => {
                self.unsubscribing.insert(channel, Unsubscribing::Due(at));
            }
            None => {
                self.unsubscribing.remove(&channel);
                self.compact.remove(channel);
                self.on_slot_freed();
            }
        }
        true
    }

    /// Makes a refused or waiting channel due at once: its thread has been created.
    pub(super) fn retry_now(&mut self, channel: ChannelName) {
        if let Some(subscription) = self.followed.get_mut(&channel)
            && matches!(subscription.state, State::Refused | State::Due(_))
        {
            subscription.state = State::Due(i64::MIN);
        }
    }

    /// The next channel to subscribe to, with its cursor; channels for which `is_held` is true wait.
    pub(super) fn next_subscribe(
        &self,
        now: i64,
        is_held: impl Fn(ChannelName) -> bool,
    ) -> Option<(ChannelName, Option<Cursor>)> {
        // A channel keeps its slot until the server accepts the `unsubscribe`.
        let slots = self.followed.values().filter(|followed| followed.takes_slot()).count() + self.unsubscribing.len();
        let due = |(channel, subscription): &(&ChannelName, &Subscription)| {
            let has_slot = subscription.may_be_active || slots < MAX_SUBSCRIPTIONS;
            matches!(subscription.state, State::Due(at) if at <= now) && has_slot && !is_held(**channel)
        };
        self.followed.iter().find(due).map(|(channel, subscription)| (*channel, subscription.cursor.clone()))
    }

    /// The channel's `subscribe` was sent with this id.
    pub(super) fn on_subscribe_sent(&mut self, channel: ChannelName, id: i64) {
        if let Some(subscription) = self.followed.get_mut(&channel) {
            subscription.state = State::Sent(id);
        }
    }

    /// The earliest time after `now` at which a `subscribe` or `unsubscribe` becomes due.
    pub(super) fn deadline(&self, now: i64) -> Option<i64> {
        let subscribe = self.followed.values().filter_map(|subscription| match subscription.state {
            State::Due(at) => Some(at),
            _ => None,
        });
        let unsubscribe = self.unsubscribing.values().filter_map(|state| match state {
            Unsubscribing::Due(at) => Some(*at),
            Unsubscribing::Sent(_) => None,
        });
        subscribe.chain(unsubscribe).filter(|at| *at > now).min()
    }

    /// The position that a channel has reached.
    pub(super) fn cursor(&self, channel: ChannelName) -> Option<&Cursor> {
        self.followed.get(&channel)?.cursor.as_ref()
    }

    /// Handles a reply to a `subscribe` or `unsubscribe`; other ids have no effect.
    pub(super) fn on_reply(&mut self, now: i64, id: i64, outcome: Outcome, backoff: &mut Backoff) -> Option<Event> {
        if self.on_unsubscribe_reply(now, id, &outcome) {
            return None;
        }
        let is_unsubscribing = !self.unsubscribing.is_empty();
        let is_answered = |subscription: &Subscription| subscription.state == State::Sent(id);
        let (channel, subscription) = self.followed.iter_mut().find(|(_, subscription)| is_answered(subscription))?;
        let channel = *channel;
        match outcome.map(Subscribed::deserialize) {
            Ok(Ok(reply)) => {
                subscription.may_be_active = true;
                if let Some(number) = reply.channel_number {
                    self.compact.begin(number, channel, reply.epoch.clone());
                }
                subscription.on_subscribed(now, channel, reply, backoff)
            }
            Ok(Err(_)) => {
                subscription.may_be_active = true;
                subscription.resync(now, backoff);
                None
            }
            Err(error) => match retry_at(now, &error) {
                Some(at) => {
                    subscription.state = State::Due(at);
                    None
                }
                None => {
                    // If the connection was subscribed to the channel before, the server has ended that subscription.
                    self.compact.remove(channel);
                    let is_full = error.code == ErrorCode::Conflict;
                    subscription.state = if is_full { State::NoSlot } else { State::Refused };
                    let freed = std::mem::take(&mut subscription.may_be_active);
                    if freed {
                        self.on_slot_freed();
                    }
                    // While an `unsubscribe` is under way, a slot is about to be free, and the application is not notified.
                    (!is_full || !is_unsubscribing).then_some(Event::Refused { channel, error })
                }
            },
        }
    }

    /// Handles a compact entry like an `event` push. If it cannot be decoded, its channel is subscribed again.
    ///
    /// # Errors
    /// If the entry cannot be decoded; the message says why.
    pub(super) fn on_compact_entry(
        &mut self,
        now: i64,
        entry: CompactEntry,
        backoff: &mut Backoff,
    ) -> Result<Option<Event>, String> {
        let undecodable = match self.compact.decode(entry) {
            Ok(push) => return Ok(push.and_then(|push| self.on_event(now, push, backoff))),
            Err(undecodable) => undecodable,
        };
        let subscription = self.followed.get_mut(&undecodable.channel);
        if let Some(subscription) = subscription.filter(|subscription| subscription.state == State::Active) {
            subscription.resync(now, backoff);
        }
        Err(undecodable.reason.to_owned())
    }

    /// Handles an `event` push; returns the entry if it is the channel's next one.
    pub(super) fn on_event(&mut self, now: i64, push: EventPush, backoff: &mut Backoff) -> Option<Event> {
        let EventPush { channel, epoch, seq, at, entry } = push;
        let subscription = self.followed.get_mut(&channel)?;
        if let Some(seq) = seq {
            let is_active = subscription.state == State::Active;
            match &mut subscription.cursor {
                Some(cursor) if cursor.epoch == epoch && cursor.seq + 1 == seq => cursor.seq = seq,
                Some(cursor) if cursor.epoch == epoch && seq <= cursor.seq => return None,
                // Entries of a former subscription may arrive before the reply to the `subscribe`, which sets the position.
                _ if !is_active => return None,
                Some(cursor) if cursor.epoch == epoch => {
                    subscription.resync(now, backoff);
                    return None;
                }
                _ => {
                    subscription.cursor = None;
                    subscription.resync(now, backoff);
                    return None;
                }
            }
            subscription.mismatches = 0;
        }
        Some(Event::Entry { channel, seq, at, entry: Entry::decode(channel, entry) })
    }
}

impl Subscription {
    fn on_subscribed(
        &mut self,
        now: i64,
        channel: ChannelName,
        reply: Subscribed,
        backoff: &mut Backoff,
    ) -> Option<Event> {
        let position = self.cursor.as_ref().filter(|cursor| cursor.epoch == reply.epoch).map(|cursor| cursor.seq);
        match (reply.mode, reply.snapshot) {
            (Mode::Snapshot, Some(snapshot)) if is_of_channel(&snapshot, channel) => {
                self.state = State::Active;
                // Entries of a former subscription may have moved the cursor past the snapshot already.
                if position.is_some_and(|position| position > reply.seq) {
                    return None;
                }
                let cursor = Cursor { epoch: reply.epoch, seq: reply.seq };
                self.cursor = Some(cursor.clone());
                Some(Event::Snapshot { channel, cursor, snapshot })
            }
            (Mode::Live | Mode::Replay, _) if position.is_some_and(|position| position >= reply.seq) => {
                self.state = State::Active;
                None
            }
            _ => {
                self.cursor = None;
                self.resync(now, backoff);
                None
            }
        }
    }

    /// Subscribes again after a mismatch: the first time at once and from the cursor, then from a snapshot and with growing
    /// waits.
    fn resync(&mut self, now: i64, backoff: &mut Backoff) {
        self.mismatches = self.mismatches.saturating_add(1);
        self.state = State::Due(now);
        if self.mismatches > 1 {
            self.cursor = None;
            self.state = State::Due(now.saturating_add_unsigned(backoff.jitter(self.mismatches)));
        }
    }
}

/// When to send a refused command again; `None` if the refusal is final.
fn retry_at(now: i64, error: &ErrorBody) -> Option<i64> {
    let is_temporary = matches!(error.code, ErrorCode::RateLimited | ErrorCode::Unavailable);
    let wait = error.retry_after_ms.unwrap_or(DEFAULT_RETRY_MS).min(MAX_RETRY_MS);
    is_temporary.then(|| now.saturating_add_unsigned(wait))
}

fn is_of_channel(snapshot: &Snapshot, channel: ChannelName) -> bool {
    matches!(
        (channel, snapshot),
        (ChannelName::User, Snapshot::User(_)) | (ChannelName::Thread(_), Snapshot::Thread(_))
    )
}
