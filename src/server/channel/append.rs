//! Transactions of commands: they change rows and append the entries that record the change.

use std::{sync::Arc, time::Instant};

use serde::Serialize;
use sqlx::{Any, Transaction};
use tokio::sync::OwnedSemaphorePermit;

use super::{Channel, Delivery, Shared, queries};
use crate::{
    protocol::{ThreadEntry, ThreadId, UserEntry, UserId},
    server::{
        clock::now_ms,
        error::{Error, Result},
        metrics,
        store::Engine,
    },
};

/// A transaction that may append to channels. Dropping it without [`Append::commit`] rolls it back.
pub struct Append {
    pub(super) tx: Transaction<'static, Any>,
    pub(super) deliveries: Vec<Delivery>,
    /// The channels whose logs were trimmed or deleted.
    pub(super) shortened: Vec<Channel>,
    pub(super) shared: Arc<Shared>,
    /// Held until after delivery, so that on SQLite deliveries leave in the order of commits.
    pub(super) permit: OwnedSemaphorePermit,
    /// When the caller requested the transaction.
    pub(super) requested: Instant,
}

impl std::fmt::Debug for Append {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append").field("deliveries", &self.deliveries.len()).finish_non_exhaustive()
    }
}

impl Append {
    /// The connection, for other statements of the transaction.
    pub fn sql(&mut self) -> &mut sqlx::AnyConnection {
        &mut self.tx
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

    /// Appends to a person's feed; returns the last entry's `seq`. A transaction that also appends to a thread must do that first,
    /// so that all transactions lock channels in one order.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn append_to_feed(&mut self, id: UserId, entries: &[UserEntry]) -> Result<u64> {
        self.append(Channel::User(id), entries).await
    }

    async fn append(&mut self, channel: Channel, entries: &[impl Serialize]) -> Result<u64> {
        let (at, name, engine) = (now_ms(), channel.to_string(), self.engine());
        let entries = super::encode(entries)?;
        let bytes = entries.iter().map(String::len).sum::<usize>() as u64;
        let growth = queries::Growth { channel, entries: entries.len() as u64, bytes };
        let heads = queries::grow(&mut self.tx, engine, &[growth]).await?;
        let head = *heads.get(&channel).ok_or_else(|| Error::Corrupt(format!("{channel} has no last `seq`")))?;
        let seqs = head + 1 - entries.len() as u64..;
        let row = |(seq, entry)| queries::NewEntry { channel: &name, seq, at, entry };
        let rows: Vec<_> = seqs.zip(entries.iter().map(String::as_str)).map(row).collect();
        queries::insert_entries(&mut self.tx, engine, &rows).await?;
        let epoch = &self.shared.epoch;
        self.deliveries.extend(rows.iter().map(|row| Delivery::new(epoch, channel, row.seq, at, row.entry)));
        Ok(head)
    }

    /// Adds to the bytes that a thread is counted with: those kept for it in other tables than the log's.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn count_bytes(&mut self, id: ThreadId, bytes: usize) -> Result<()> {
        let query = sqlx::query("UPDATE channels SET bytes = bytes + $2 WHERE id = $1");
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        query.bind(Channel::Thread(id)).bind(bytes).execute(&mut *self.tx).await?;
        Ok(())
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
            sqlx::query(sql).bind(channel).execute(&mut *self.tx).await?;
        }
        self.shortened.push(channel);
        Ok(())
    }

    /// Commits, then delivers the entries.
    ///
    /// # Errors
    /// If the store fails. Most likely nothing was stored then; if that is uncertain, the followers of the channels read the store.
    pub async fn commit(self) -> Result<()> {
        let Self { tx, deliveries, shortened, shared, permit, requested } = self;
        let entries = deliveries.len();
        let done = shared.commit(tx, deliveries).await;
        // After an error, too: the commit may have happened.
        shared.extents.forget(shortened);
        drop(permit);
        if done.is_ok() {
            metrics::committed(1, entries, requested.elapsed());
        }
        done
    }
}
