//! One channel followed by somebody who has no socket: whoever asked over HTTP and reads the answer as a stream.
//!
//! Promises: entries come in the order of `seq`, each once and all that are kept; how slowly they are read costs the server
//! nothing but a place in the books, for what was missed is read from the store. What closes a person's sockets ends this too.

use std::collections::VecDeque;

use axum::http::StatusCode;

use super::{
    log_page::read,
    manager::{ConnectionManager, Handle, RETRY_MS},
    outbound::Item,
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

/// Why nothing more comes.
#[derive(Debug)]
pub(crate) enum Silence {
    /// The channel is gone, or may not be followed any more.
    Gone,
    /// As sockets are closed: why.
    Closed(CloseCode),
    /// The store failed for good.
    Failed(Error),
}

/// The follower. Dropped, it is out of the books.
#[derive(Debug)]
pub(crate) struct Listener {
    manager: ConnectionManager,
    channels: Channels,
    identity: Identity,
    handle: Handle,
    channel: Channel,
    /// The last entry that was handed on.
    told: u64,
    /// The last entry that is known to exist.
    head: u64,
    /// There may be entries that nobody told of.
    stale: bool,
    entries: VecDeque<Delivery>,
    batch: VecDeque<Item>,
}

impl Listener {
    /// Registers a connection of the person, who may have `most` at once. Unlike a new socket, it does not close their oldest
    /// one. It does not follow the channel yet, see [`Listener::begin_after`]: a thread that is followed before it is created
    /// would be taken for a deleted one (`catch_up.rs`).
    ///
    /// # Errors
    /// 503 while the server stops, 429 where there is no place.
    pub(crate) fn open(
        manager: &ConnectionManager,
        channels: &Channels,
        identity: &Identity,
        channel: Channel,
        most: usize,
    ) -> Result<Self, Problem> {
        if manager.connections_of(identity.user.id) >= most {
            let detail = format!("{most} of your connections are open, and more are not allowed; close one");
            let refused = problem(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", detail);
            return Err(Problem { retry_after_ms: Some(RETRY_MS), ..refused });
        }
        let handle = manager.connect(identity)?;
        Ok(Self {
            manager: manager.clone(),
            channels: channels.clone(),
            identity: identity.clone(),
            handle,
            channel,
            told: 0,
            head: 0,
            stale: true,
            entries: VecDeque::new(),
            batch: VecDeque::new(),
        })
    }

    /// Follows the channel and delivers the entries after `seq`. They are read from the store first, so none is missed.
    pub(crate) fn begin_after(&mut self, seq: u64) {
        self.handle.follower().follow(self.channel);
        (self.told, self.stale) = (seq, true);
    }

    /// Whether everything that is known to exist was handed on.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.entries.is_empty() && !self.stale && self.told >= self.head
    }

    /// Waits for the next entry. Not waiting any longer loses nothing.
    ///
    /// # Errors
    /// [`Silence`], where there will be none.
    pub(crate) async fn next(&mut self) -> Result<Delivery, Silence> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                self.told = entry.seq;
                return Ok(entry);
            }
            if self.stale || self.head > self.told {
                let page = read(&self.channels, self.channel, self.told).await.map_err(Silence::Failed)?;
                if page.is_empty() {
                    // What there was is not kept any more.
                    self.told = self.told.max(self.head);
                }
                self.stale = page.len() >= PAGE as usize;
                self.entries.extend(page);
                continue;
            }
            self.handle.outbound().ready().await;
            self.take()?;
        }
    }

    fn take(&mut self) -> Result<(), Silence> {
        match self.handle.outbound().take(&mut self.batch).map(|close| close.code) {
            // Sockets come back and resume; this does so here.
            Some(CloseCode::TooSlow) => {
                self.handle =
                    self.manager.connect(&self.identity).map_err(|_| Silence::Closed(CloseCode::Restarting))?;
                self.handle.follower().follow(self.channel);
                self.stale = true;
            }
            Some(code) => return Err(Silence::Closed(code)),
            None => {}
        }
        for item in self.batch.drain(..) {
            match item {
                Item::Entry(entry) if entry.channel == self.channel => {
                    let last = self.entries.back().map_or(self.told, |entry| entry.seq);
                    if entry.seq == last + 1 {
                        self.entries.push_back(entry);
                    } else {
                        self.head = self.head.max(entry.seq);
                    }
                }
                Item::Head(channel, head) if channel == self.channel => self.head = self.head.max(head),
                Item::Revoked(channel) if channel == self.channel => return Err(Silence::Gone),
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
        let mut append = channels.begin().await.expect("begins");
        let seq = append.user(user, &[entry]).await.expect("appends");
        append.commit().await.expect("commits");
        seq
    }

    #[tokio::test]
    async fn a_channel_that_is_created_after_the_listener_was_opened_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let manager = ConnectionManager::new(&SocketConfig::default());
        let store = Store::open(folder.path()).await.expect("opens");
        let channels = Channels::new(store, Arc::new(manager.clone())).await.expect("begins");
        let user = User { id: UserId::new(), name: "Ada".into(), email: "ada@example.org".into(), role: Role::Member };
        let (id, channel) = (user.id, Channel::User(user.id));
        let identity = Identity { user, via: Via::Cookie { session: "a".into() }, expires_at: i64::MAX };
        let mut listener = Listener::open(&manager, &channels, &identity, channel, 1).expect("fits");
        // As `catch_up.rs` does on every node at intervals: a followed channel without entries counts as deleted.
        for missing in manager.followed() {
            manager.forget(missing);
        }
        listener.begin_after(append(&channels, id).await);
        for seq in 2..=3 {
            append(&channels, id).await;
            assert_eq!(listener.next().await.expect("goes on").seq, seq);
        }
    }
}
