//! What commands change: rows, and the entries that record the change.

use std::sync::Arc;

use serde::Serialize;

use super::{
    Channel, FeedEntries, Shared, queries,
    shared_transaction::{AppendedEntry, ChannelChanges, SharedTransaction},
};
use crate::{
    protocol::{ThreadEntry, ThreadId, UserEntry, UserId},
    server::{
        clock::now_ms,
        error::{Error, Result},
        store::Engine,
    },
};

/// The changes of a command, in a transaction that it may share with other commands. They are undone if this is dropped without
/// [`CommandTransaction::commit`].
pub struct CommandTransaction {
    transaction: SharedTransaction,
    pub(super) changes: ChannelChanges,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for CommandTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommandTransaction").field("entries", &self.changes.entries.len()).finish_non_exhaustive()
    }
}

impl CommandTransaction {
    pub(super) fn new(transaction: SharedTransaction, shared: Arc<Shared>) -> Self {
        Self { transaction, changes: ChannelChanges::default(), shared }
    }

    /// The connection, for other statements of the transaction. Entries are inserted before the commit: a statement does not see them.
    pub fn sql(&mut self) -> &mut sqlx::AnyConnection {
        self.transaction.sql()
    }

    /// The database that it runs on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.shared.store.engine()
    }

    /// Appends to a thread; returns the last entry's `seq`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn append_to_thread(&mut self, id: ThreadId, entries: &[ThreadEntry]) -> Result<u64> {
        self.append(Channel::Thread(id), entries).await
    }

    /// Appends copies of another thread's entries, each with its original time in milliseconds since 1970; returns their bytes.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn append_copies(&mut self, id: ThreadId, entries: &[(i64, ThreadEntry)]) -> Result<usize> {
        let (channel, mut bytes) = (Channel::Thread(id), 0);
        let mut seq = self.head(channel).await?;
        for (at, entry) in entries {
            let entry = serde_json::to_string(entry)?;
            (seq, bytes) = (seq + 1, bytes + entry.len());
            self.changes.entries.push(AppendedEntry { channel, seq, at: *at, entry });
        }
        self.changes.heads.insert(channel, seq);
        Ok(bytes)
    }

    /// Appends to a person's feed; returns the last entry's `seq`. A transaction that also appends to a thread must do that first,
    /// so that all transactions lock channels in one order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn append_to_feed(&mut self, id: UserId, entries: &[UserEntry]) -> Result<u64> {
        self.append(Channel::User(id), entries).await
    }

    /// Appends to the feeds of several users. A transaction does this once, after it has appended to a thread.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn append_to_feeds(&mut self, feeds: FeedEntries) -> Result<()> {
        for (user, entries) in feeds.into_sorted() {
            self.append_to_feed(user, &entries).await?;
        }
        Ok(())
    }

    /// As [`Self::append_to_feed`], with a time of its own, in milliseconds since 1970: when a thread was active before it was imported.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn append_to_feed_at(&mut self, id: UserId, at: i64, entry: &UserEntry) -> Result<u64> {
        self.append_at(Channel::User(id), at, std::slice::from_ref(entry)).await
    }

    async fn append(&mut self, channel: Channel, entries: &[impl Serialize]) -> Result<u64> {
        self.append_at(channel, now_ms(), entries).await
    }

    async fn append_at(&mut self, channel: Channel, at: i64, entries: &[impl Serialize]) -> Result<u64> {
        let entries = super::encode(entries)?;
        let mut head = self.head(channel).await?;
        for entry in entries {
            head += 1;
            self.changes.entries.push(AppendedEntry { channel, seq: head, at, entry });
            self.changes.heads.insert(channel, head);
        }
        Ok(head)
    }

    /// The end of a log, which nobody else moves until the transaction ends.
    async fn head(&mut self, channel: Channel) -> Result<u64> {
        if let Some(head) = self.changes.heads.get(&channel).copied().or_else(|| self.transaction.head(channel)) {
            return Ok(head);
        }
        match self.engine() {
            // No other transaction writes before this one ends.
            Engine::Sqlite => Ok(queries::extent(self.transaction.sql(), channel).await?.unwrap_or_default().head),
            Engine::Postgres => queries::lock_head(self.transaction.sql(), channel).await,
        }
    }

    /// Adds bytes that are kept for a thread outside its log, in other tables, to those that count for it.
    pub fn count_bytes(&mut self, id: ThreadId, bytes: usize) {
        self.changes.other_bytes.push((Channel::Thread(id), bytes as u64));
    }

    /// Deletes a channel's log with its snapshot.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete(&mut self, channel: Channel) -> Result<()> {
        for sql in [
            "DELETE FROM entries WHERE channel = $1",
            "DELETE FROM snapshots WHERE channel = $1",
            "DELETE FROM channels WHERE id = $1",
        ] {
            sqlx::query(sql).bind(channel).execute(self.sql()).await?;
        }
        self.changes.entries.retain(|entry| entry.channel != channel);
        self.changes.heads.remove(&channel);
        self.changes.shortened.push(channel);
        self.changes.deleted.push(channel);
        Ok(())
    }

    /// Commits, alone or with the commands that wait, and delivers the entries. This continues even if the caller is cancelled.
    ///
    /// # Errors
    /// If the store fails. Most likely nothing was stored then; if that is uncertain, the followers of the channels read the store.
    pub async fn commit(self) -> Result<()> {
        let Self { transaction, changes, .. } = self;
        let lost = |_| Error::Corrupt("the task of a commit failed".into());
        transaction.finish_command(changes).await.map_err(lost)?
    }
}
