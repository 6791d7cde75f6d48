//! Follows one channel without a socket: for HTTP requests that are answered with a stream.
//!
//! Guarantees: it returns every entry that the store still has, in the order of `seq`, each once. A slow reader uses no more memory than its
//! queue: entries that do not fit are read from the store. It counts as a connection of its person, and ends when those are closed.

use std::collections::VecDeque;

use axum::http::StatusCode;

use super::{
    log_page::read,
    manager::{ConnectionGuard, ConnectionManager},
    rejection::RETRY_MS,
    send_queue::Item,
};
use crate::{
    protocol::{CloseCode, http::Problem},
    server::{
        auth::Identity,
        channel::{Channel, Channels, Delivery, PAGE},
        error::{Error, Result},
        problem::problem,
    },
};

/// Why no more entries come.
#[derive(Debug)]
pub(crate) enum StreamEnd {
    /// The channel was deleted, or may not be followed any more.
    Gone,
    /// It was closed, for this reason.
    Closed(CloseCode),
    /// The log cannot be read.
    Failed(Error),
}

/// Reads the entries of a channel as they are appended. Dropping it unregisters it.
#[derive(Debug)]
pub(crate) struct ChannelReader {
    manager: ConnectionManager,
    channels: Channels,
    identity: Identity,
    guard: ConnectionGuard,
    channel: Channel,
    /// The `seq` of the last entry that was returned.
    last: u64,
    /// The `seq` of the last entry that is known to exist.
    head: u64,
    /// Whether there may be entries that were not delivered, so that the store has to be read.
    stale: bool,
    entries: VecDeque<Delivery>,
    batch: VecDeque<Item>,
}

impl ChannelReader {
    /// Registers a connection of a person who may have `max_connections`. Unlike a new socket, it does not close their oldest. It
    /// does not follow the channel before [`ChannelReader::start_after`]: a thread that is followed before it exists would be taken
    /// for a deleted one (`catch_up.rs`).
    ///
    /// # Errors
    /// 503 while the server drains, 429 if the person or the server has too many connections.
    pub(crate) fn open(
        manager: &ConnectionManager,
        channels: &Channels,
        identity: &Identity,
        channel: Channel,
        max_connections: usize,
    ) -> Result<Self, Problem> {
        if manager.connections_of(identity.user.id) >= max_connections {
            let detail = format!("{max_connections} of your connections are open, and more are not allowed; close one");
            let refused = problem(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", detail);
            return Err(Problem { retry_after_ms: Some(RETRY_MS), ..refused });
        }
        let guard = manager.connect(identity)?;
        Ok(Self {
            manager: manager.clone(),
            channels: channels.clone(),
            identity: identity.clone(),
            guard,
            channel,
            last: 0,
            head: 0,
            stale: true,
            entries: VecDeque::new(),
            batch: VecDeque::new(),
        })
    }

    /// Follows the channel, and returns the entries after `seq` from now on. It reads the store first, so none is missed.
    pub(crate) fn start_after(&mut self, seq: u64) {
        self.guard.follower().follow(self.channel);
        (self.last, self.stale) = (seq, true);
    }

    /// Whether all entries that are known to exist were returned.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.entries.is_empty() && !self.stale && self.last >= self.head
    }

    /// Waits for the next entry. Cancel safe.
    ///
    /// # Errors
    /// [`StreamEnd`] if no more entries come.
    pub(crate) async fn next(&mut self) -> Result<Delivery, StreamEnd> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                self.last = entry.seq;
                return Ok(entry);
            }
            if self.stale || self.head > self.last {
                let page = read(&self.channels, self.channel, self.last).await.map_err(StreamEnd::Failed)?;
                if page.is_empty() {
                    // The entries were trimmed.
                    self.last = self.last.max(self.head);
                }
                self.stale = page.len() >= PAGE as usize;
                self.entries.extend(page);
                continue;
            }
            self.guard.send_queue().ready().await;
            self.take_queued()?;
        }
    }

    fn take_queued(&mut self) -> Result<(), StreamEnd> {
        match self.guard.send_queue().take(&mut self.batch).map(|close| close.code) {
            // A client would reconnect and resume; this does so at once.
            Some(CloseCode::TooSlow) => {
                self.guard =
                    self.manager.connect(&self.identity).map_err(|_| StreamEnd::Closed(CloseCode::Restarting))?;
                self.guard.follower().follow(self.channel);
                self.stale = true;
            }
            Some(code) => return Err(StreamEnd::Closed(code)),
            None => {}
        }
        for item in self.batch.drain(..) {
            match item {
                Item::Entry(entry) if entry.channel == self.channel => {
                    let newest = self.entries.back().map_or(self.last, |entry| entry.seq);
                    if entry.seq == newest + 1 {
                        self.entries.push_back(entry);
                    } else {
                        self.head = self.head.max(entry.seq);
                    }
                }
                Item::Head(channel, head) if channel == self.channel => self.head = self.head.max(head),
                Item::Revoked(channel) if channel == self.channel => return Err(StreamEnd::Gone),
                Item::Entry(_) | Item::Head(..) | Item::Revoked(_) | Item::Frame(_) => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        protocol::{
            RunId, RunPhase, ThreadId, UserEntry, UserId,
            http::{Role, User},
        },
        server::{auth::Via, config::SocketConfig, store::Store},
    };

    async fn append(channels: &Channels, user: UserId) -> u64 {
        let entry = UserEntry::Run { thread_id: ThreadId::new(), run_id: RunId::new(), phase: RunPhase::Running };
        let mut append = channels.begin().await.expect("the transaction begins");
        let seq = append.append_to_feed(user, &[entry]).await.expect("the entries are appended");
        append.commit().await.expect("the transaction commits");
        seq
    }

    #[tokio::test]
    async fn a_channel_that_is_created_after_the_reader_was_opened_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let manager = ConnectionManager::new(&SocketConfig::default());
        let store = Store::open(folder.path()).await.expect("the store opens");
        let channels = Channels::new(store, Arc::new(manager.clone())).await.expect("the log opens");
        let user = User { id: UserId::new(), name: "Ada".into(), email: "ada@example.org".into(), role: Role::Member };
        let (id, channel) = (user.id, Channel::User(user.id));
        let identity = Identity { user, via: Via::Cookie { session: "a".into() }, expires_at: i64::MAX };
        let mut reader = ChannelReader::open(&manager, &channels, &identity, channel, 1).expect("the reader opens");
        // As `catch_up.rs` does on every node at intervals: a followed channel without entries counts as deleted.
        for missing in manager.followed() {
            manager.end_subscriptions(missing);
        }
        reader.start_after(append(&channels, id).await);
        for seq in 2..=3 {
            append(&channels, id).await;
            assert_eq!(reader.next().await.expect("the reader continues").seq, seq);
        }
    }
}
