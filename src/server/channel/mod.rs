//! Channels: append-only logs that can be followed.
//!
//! There are two ways to write. Runs append entries with [`Channels::append`], and commands that only change a thread's row do so with
//! [`Channels::change_thread`]; everything of these two kinds that waits is committed in one transaction (`writer.rs`). All other commands
//! begin with [`Channels::begin`], execute statements of their own, and append the entries that record what they changed
//! ([`CommandTransaction::append_to_thread`], [`CommandTransaction::append_to_feed`]); on SQLite, several of them share a transaction
//! (`shared_transaction.rs`). After the commit, the entries go to the hub.
//!
//! Guarantees: `seq` has no gaps within a channel; only stored entries are delivered; only the node that owns a run appends its
//! entries. A delivery is a hint: a receiver that sees a gap in `seq` reads the store.

mod command_transaction;
mod delivery;
mod extents;
mod feed_entries;
mod fold;
mod insert;
mod permits;
mod queries;
mod read;
mod shared_transaction;
mod snapshots;
mod thread_updates;
mod trim;
mod writer;

#[cfg(test)]
mod shared_transaction_tests;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use sqlx::{Any, Transaction};
use tokio::sync::OwnedSemaphorePermit;

pub use command_transaction::CommandTransaction;
pub use delivery::{Delivery, Hub};
pub use extents::Extent;
pub use feed_entries::FeedEntries;
pub use read::PAGE;
pub use thread_updates::ThreadUpdate;
pub use trim::Trimming;

use self::{
    permits::{Acquired, Permits},
    shared_transaction::{MAX_AGE, SharedTransaction},
    thread_updates::ThreadChangeRequest,
    writer::Writers,
};
use super::{
    access::{Access, Owners},
    error::Result,
    quotas::Quotas,
    store::{Store, text_columns},
};
use crate::protocol::{ChannelName, Epoch, IdError, RunId, ThreadEntry, ThreadId, ThreadInfo, UserId};

/// A channel of the store. Unlike a [`ChannelName`], it says whose feed it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// A thread.
    Thread(ThreadId),
    /// A person's feed.
    User(UserId),
}

impl Channel {
    /// Its name on the wire.
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

text_columns!(Channel);

/// The channels of a store, as this node uses them; clones share their state.
#[derive(Clone)]
pub struct Channels {
    shared: Arc<Shared>,
    writers: Arc<Writers>,
    quotas: Quotas,
}

/// What all transactions share.
struct Shared {
    store: Store,
    hub: Arc<dyn Hub>,
    epoch: Epoch,
    node: String,
    permits: Permits,
    /// After this time a transaction that commands share takes no further command.
    max_transaction_age: Duration,
    /// Where the logs begin and end.
    extents: extents::Extents,
    /// The feeds that were folded last.
    feeds: fold::Feeds,
    /// The snapshots that were sent last.
    snapshots: snapshots::Snapshots,
    /// The owners of threads.
    owners: Owners,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { epoch, node, .. } = &*self.shared;
        f.debug_struct("Channels").field("epoch", epoch).field("node", node).finish_non_exhaustive()
    }
}

impl Channels {
    /// Gives a store a new epoch, so that every client starts over with a snapshot. Used after restoring a backup, whose logs
    /// may end before what clients have seen. No server may use the store meanwhile.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn renew_epoch(store: &Store) -> Result<Epoch> {
        let epoch = fresh_epoch();
        store.set("epoch", &epoch).await?;
        Ok(Epoch(epoch))
    }

    /// The channels of a store; entries are delivered to `hub`. This process becomes a node with a fresh id.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn new(store: Store, hub: Arc<dyn Hub>) -> Result<Self> {
        Self::with_transaction_age(store, hub, MAX_AGE).await
    }

    async fn with_transaction_age(store: Store, hub: Arc<dyn Hub>, max_transaction_age: Duration) -> Result<Self> {
        let epoch = Epoch(store.setting_or("epoch", &fresh_epoch()).await?);
        let node = uuid::Uuid::now_v7().to_string();
        let permits = Permits::new(store.engine());
        let (extents, feeds, snapshots) =
            (extents::Extents::new(store.engine()), Default::default(), Default::default());
        let owners = Owners::default();
        let shared = Arc::new(Shared {
            store,
            hub,
            epoch,
            node,
            permits,
            max_transaction_age,
            extents,
            feeds,
            snapshots,
            owners,
        });
        let writers = Arc::new(Writers::spawn(&shared));
        Ok(Self { shared, writers, quotas: Quotas::unlimited() })
    }

    /// With limits on what people may keep.
    #[must_use]
    pub fn with_quotas(self, quotas: Quotas) -> Self {
        Self { quotas, ..self }
    }

    /// The limits on what people may keep.
    #[must_use]
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The epoch of all logs.
    #[must_use]
    pub fn epoch(&self) -> &Epoch {
        &self.shared.epoch
    }

    /// What a user may do with a thread, which may have been deleted; see [`Owners::access`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn access(&self, user: UserId, thread: ThreadId) -> Result<Access> {
        self.shared.owners.access(self.store(), user, thread).await
    }

    /// The owner of a thread; see [`Owners::owner`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn owner(&self, thread: ThreadId) -> Result<Option<UserId>> {
        self.shared.owners.owner(self.store(), thread).await
    }

    /// The id of this node: another one after each start.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.shared.node
    }

    /// Appends the entries of a run to its thread, all or none. Returns the last entry's `seq`, or nothing if the run has ended or
    /// another node owns it. Shares its transaction with other waiting appends.
    ///
    /// # Errors
    /// If the store fails. Most likely nothing was appended then; a caller that must be sure reads the log.
    pub async fn append(&self, thread: ThreadId, run: RunId, entries: &[ThreadEntry]) -> Result<Option<u64>> {
        self.writers.append(thread, run, encode(entries)?).await
    }

    /// Changes a thread for a user who needs this access; returns it as the user sees it then. `decide` gets the thread and returns what
    /// changes, or refuses; it is called again if the transaction fails. Shares its transaction with other waiting changes and appends.
    ///
    /// # Errors
    /// `not_found`, `forbidden`; the errors of `decide`; if the store fails.
    pub async fn change_thread(
        &self,
        (user, needed): (UserId, Access),
        thread: ThreadId,
        decide: impl Fn(&ThreadInfo) -> Result<ThreadUpdate> + Send + Sync + 'static,
    ) -> Result<ThreadInfo> {
        self.writers.change(ThreadChangeRequest { user, thread, needed, decide: Box::new(decide) }).await
    }

    /// Begins the changes of a command. Only a few commands can do so at a time: keep it short, and await only its statements.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin(&self) -> Result<CommandTransaction> {
        let requested = Instant::now();
        match self.shared.permits.acquire_or_join().await? {
            Acquired::Begin(permit) => self.begin_with(permit, requested).await,
            Acquired::Join(transaction) => {
                Ok(CommandTransaction::new(transaction.begin_command().await?, self.shared.clone()))
            }
        }
    }

    /// As [`Channels::begin`], but never in a transaction of other commands: their entries are inserted only before the commit, so work that
    /// reads the log would not see them.
    async fn begin_alone(&self) -> Result<CommandTransaction> {
        let requested = Instant::now();
        self.begin_with(self.shared.permits.acquire().await?, requested).await
    }

    async fn begin_with(&self, permit: OwnedSemaphorePermit, requested: Instant) -> Result<CommandTransaction> {
        let transaction = SharedTransaction::begin(&self.shared, permit, requested).await?;
        Ok(CommandTransaction::new(transaction, self.shared.clone()))
    }
}

impl Shared {
    /// Commits and then delivers.
    async fn commit(&self, tx: Transaction<'static, Any>, mut deliveries: Vec<Delivery>) -> Result<()> {
        // A stable sort, so that the entries of a channel stay in order.
        deliveries.sort_by_key(|delivery| delivery.channel);
        #[cfg(debug_assertions)]
        if !deliveries.is_empty() && super::fault_injection::loses_commit() {
            self.hub.deliver_all(&deliveries);
            return Ok(tx.rollback().await?);
        }
        if let Err(error) = tx.commit().await {
            let mut channels: Vec<Channel> = deliveries.iter().map(|delivery| delivery.channel).collect();
            channels.dedup();
            self.extents.forget(channels.iter().copied());
            channels.into_iter().for_each(|channel| self.hub.uncertain(channel));
            return Err(error.into());
        }
        self.extents.on_commit(&deliveries);
        self.hub.deliver_all(&deliveries);
        Ok(())
    }
}

fn fresh_epoch() -> String {
    format!("{:08x}", rand::random::<u32>())
}

/// Encodes entries as they are stored and sent.
fn encode(entries: &[impl Serialize]) -> Result<Vec<String>> {
    entries.iter().map(|entry| Ok(serde_json::to_string(entry)?)).collect()
}
