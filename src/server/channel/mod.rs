//! Channels: append-only logs, and the one road by which anything gets into them.
//!
//! [`Channels::append`] is the agents' way in: many appends share a transaction. [`Channels::begin`] is the commands': a
//! transaction that changes what there is and appends what that means, with [`Append::thread`] and [`Append::user`].
//! Either hands what it stored to the hub after its commit. Promises: `seq` is gapless per channel; nothing is delivered
//! that is not stored; what was stored by a run is this node's to store. Delivery is a hint: a receiver that sees a gap
//! reads the store.

mod append;
mod fold;
mod read;
mod rows;
mod trim;
mod writer;

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr, sync::Arc, time::Instant};

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use sqlx::{Any, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use append::Append;
pub use read::{Extent, PAGE};
pub use trim::Trimming;

use self::writer::Writers;
use super::{
    error::{Error, Result},
    quotas::Quotas,
    store::Store,
};
use crate::protocol::{ChannelName, Epoch, IdError, RunId, ThreadEntry, ThreadId, UserId};

/// A channel, told apart between people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// A thread.
    Thread(ThreadId),
    /// A person's feed.
    User(UserId),
}

impl Channel {
    /// Its name as its receivers know it.
    #[must_use]
    pub fn name(self) -> ChannelName {
        match self {
            Self::Thread(id) => ChannelName::Thread(id),
            Self::User(_) => ChannelName::User,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(id) => write!(f, "thread/{id}"),
            Self::User(id) => write!(f, "user/{id}"),
        }
    }
}

impl FromStr for Channel {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('/') {
            Some(("thread", id)) => id.parse().map(Self::Thread),
            Some(("user", id)) => id.parse().map(Self::User),
            _ => Err(IdError::NotChannel(text.chars().take(64).collect())),
        }
    }
}

/// An entry on its way to whoever follows its channel: encoded once, shared by all.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The channel.
    pub channel: Channel,
    /// The entry's place.
    pub seq: u64,
    /// The `event` push as it goes to the sockets.
    pub frame: Utf8Bytes,
}

impl Delivery {
    /// When the entry was appended, in milliseconds since 1970: read from the frame, near whose beginning it stands.
    #[must_use]
    pub fn at(&self) -> Option<i64> {
        let (_, rest) = self.frame.split_once(",\"at\":")?;
        rest.split_once(|after: char| !after.is_ascii_digit())?.0.parse().ok()
    }
}

/// Takes deliveries to the connections that follow their channel. Must not block.
pub trait Hub: Send + Sync + 'static {
    /// Delivers one entry. Called after commit, mostly in the order of `seq` per channel.
    fn deliver(&self, delivery: &Delivery);

    /// Whether something was appended to the channel cannot be known at the moment: its followers look into the store.
    fn uncertain(&self, channel: Channel) {
        let _ = channel;
    }
}

/// The channels of a store, as this node appends to them; clones share them.
#[derive(Clone)]
pub struct Channels {
    shared: Arc<Shared>,
    writers: Arc<Writers>,
    quotas: Quotas,
}

/// What every transaction needs.
struct Shared {
    store: Store,
    hub: Arc<dyn Hub>,
    epoch: Epoch,
    node: String,
    /// As many as there are writers. On SQLite one, held from begin until after delivery: deliveries leave in the order of
    /// commits. On PostgreSQL two of one channel may leave in the other order; their receivers then read the store.
    turns: Arc<Semaphore>,
    /// What was folded here last.
    feeds: fold::Feeds,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { epoch, node, .. } = &*self.shared;
        f.debug_struct("Channels").field("epoch", epoch).field("node", node).finish_non_exhaustive()
    }
}

impl Channels {
    /// A new epoch for every log of a store: whoever comes back to one begins with a snapshot. For a store that was restored
    /// from a copy, whose logs may end before what clients have seen. No server may use it meanwhile.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn renew_epoch(store: &Store) -> Result<Epoch> {
        let epoch = fresh_epoch();
        store.set("epoch", &epoch).await?;
        Ok(Epoch(epoch))
    }

    /// The channels of a store, delivered to a hub. This process becomes a node with a name of its own.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn new(store: Store, hub: Arc<dyn Hub>) -> Result<Self> {
        let epoch = Epoch(store.setting_or("epoch", &fresh_epoch()).await?);
        let node = uuid::Uuid::now_v7().to_string();
        let turns = Arc::new(Semaphore::new(store.engine().writers() as usize));
        let shared = Arc::new(Shared { store, hub, epoch, node, turns, feeds: fold::Feeds::default() });
        let writers = Arc::new(Writers::spawn(&shared));
        Ok(Self { shared, writers, quotas: Quotas::unlimited() })
    }

    /// The same for people who may keep so much.
    #[must_use]
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    /// How much people may keep.
    #[must_use]
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The epoch of every log here.
    #[must_use]
    pub fn epoch(&self) -> &Epoch {
        &self.shared.epoch
    }

    /// What this process is called among those that share the store: another one after each start.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.shared.node
    }

    /// Appends to a thread what a run brought, all or none, while the run goes on and is this node's. Answers the last
    /// entry's place, or nothing where the run is over or was taken over. Shares its transaction with what else waits.
    ///
    /// # Errors
    /// Where the store fails. It then most likely did not happen; a caller that must know looks into the log.
    pub async fn append(&self, thread: ThreadId, run: RunId, entries: &[ThreadEntry]) -> Result<Option<u64>> {
        self.writers.append(Channel::Thread(thread), Some(run), encode(entries)?).await
    }

    /// Begins a transaction that may append. There are few at a time: keep it short, and do no other waiting in it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn begin(&self) -> Result<Append> {
        let (shared, began) = (self.shared.clone(), Instant::now());
        let turn = shared.turn().await?;
        let tx = shared.store.begin().await?;
        Ok(Append { tx, deliveries: Vec::new(), shared, turn, began })
    }
}

impl Shared {
    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let closed = |_| Error::Corrupt("the log is closed".into());
        self.turns.clone().acquire_owned().await.map_err(closed)
    }

    /// Commits and then delivers.
    async fn commit(&self, tx: Transaction<'static, Any>, deliveries: Vec<Delivery>) -> Result<()> {
        #[cfg(debug_assertions)]
        if super::fault_injection::loses_commit() {
            deliveries.iter().for_each(|delivery| self.hub.deliver(delivery));
            return Ok(tx.rollback().await?);
        }
        if let Err(error) = tx.commit().await {
            let mut channels: Vec<Channel> = deliveries.iter().map(|delivery| delivery.channel).collect();
            channels.sort_unstable();
            channels.dedup();
            channels.into_iter().for_each(|channel| self.hub.uncertain(channel));
            return Err(error.into());
        }
        deliveries.iter().for_each(|delivery| self.hub.deliver(delivery));
        Ok(())
    }
}

fn fresh_epoch() -> String {
    format!("{:08x}", rand::random::<u32>())
}

/// Entries as they are stored and sent.
fn encode(entries: &[impl Serialize]) -> Result<Vec<String>> {
    entries.iter().map(|entry| Ok(serde_json::to_string(entry)?)).collect()
}

/// The `event` push of a stored entry, put together around the entry's own text: every entry is encoded once.
fn frame(epoch: &Epoch, channel: Channel, seq: u64, at: i64, entry: &str) -> Utf8Bytes {
    let (channel, epoch) = (channel.name(), &epoch.0);
    format!(
        r#"{{"type":"event","payload":{{"channel":"{channel}","epoch":"{epoch}","seq":{seq},"at":{at},"entry":{entry}}}}}"#
    )
    .into()
}
