//! A transaction that changes what there is and appends what it means: the commands' road into the log.

use std::{sync::Arc, time::Instant};

use serde::Serialize;
use sqlx::{Any, Transaction};
use tokio::sync::OwnedSemaphorePermit;

use super::{Channel, Delivery, Shared, frame, rows};
use crate::{
    protocol::{ThreadEntry, ThreadId, UserEntry, UserId},
    server::{
        clock::now_ms,
        error::{Error, Result},
        metrics,
        store::Engine,
    },
};

/// A transaction that may append to channels. Dropped without [`Append::commit`], nothing of it happened.
pub struct Append {
    pub(super) tx: Transaction<'static, Any>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) shared: Arc<Shared>,
    /// Held until after delivery, so that on SQLite deliveries leave in the order of commits.
    pub(super) turn: OwnedSemaphorePermit,
    /// When it was asked for.
    pub(super) began: Instant,
}

impl std::fmt::Debug for Append {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Append").field("deliveries", &self.deliveries.len()).finish_non_exhaustive()
    }
}

impl Append {
    /// The transaction, for what belongs to the same step as the entries.
    pub fn sql(&mut self) -> &mut sqlx::AnyConnection {
        &mut self.tx
    }

    /// Which database it runs on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.shared.store.engine()
    }

    /// Appends to a thread; answers the last entry's place.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn thread(&mut self, id: ThreadId, entries: &[ThreadEntry]) -> Result<u64> {
        self.append(Channel::Thread(id), entries).await
    }

    /// Appends to a person's feed; answers the last entry's place. A transaction that appends to a thread, too, does that
    /// first: all who lock both take them in this order.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn user(&mut self, id: UserId, entries: &[UserEntry]) -> Result<u64> {
        self.append(Channel::User(id), entries).await
    }

    async fn append(&mut self, channel: Channel, entries: &[impl Serialize]) -> Result<u64> {
        let (at, name, engine) = (now_ms(), channel.to_string(), self.engine());
        let entries = super::encode(entries)?;
        let bytes = entries.iter().map(String::len).sum::<usize>() as u64;
        let added = rows::Added { channel, entries: entries.len() as u64, bytes };
        let heads = rows::advance(&mut self.tx, engine, &[added]).await?;
        let head = *heads.get(&channel).ok_or_else(|| Error::Corrupt(format!("{channel} has no end")))?;
        let places = head + 1 - entries.len() as u64..;
        let row = |(seq, entry)| rows::LogRow { channel: &name, seq, at, entry };
        let log: Vec<_> = places.zip(&entries).map(|(seq, entry)| row((seq, entry.as_str()))).collect();
        rows::insert(&mut self.tx, engine, &log).await?;
        let epoch = &self.shared.epoch;
        let delivery = |row: &rows::LogRow<'_>| Delivery {
            channel,
            seq: row.seq,
            frame: frame(epoch, channel, row.seq, at, row.entry),
        };
        self.deliveries.extend(log.iter().map(delivery));
        Ok(head)
    }

    /// Whether a thread has an entry after a place whose JSON is like a pattern of SQL's `LIKE`.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn has_entry_like(&mut self, id: ThreadId, after: u64, pattern: &str) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM entries WHERE channel = $1 AND seq > $2 AND entry LIKE $3";
        let query = sqlx::query_scalar::<_, i64>(sql).bind(Channel::Thread(id).to_string());
        Ok(query.bind(after.cast_signed()).bind(pattern).fetch_one(&mut *self.tx).await? > 0)
    }

    /// Counts bytes that the store keeps for a thread beside its entries.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn count_bytes(&mut self, id: ThreadId, bytes: usize) -> Result<()> {
        let query = sqlx::query("UPDATE channels SET bytes = bytes + $2 WHERE id = $1");
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        query.bind(Channel::Thread(id).to_string()).bind(bytes).execute(&mut *self.tx).await?;
        Ok(())
    }

    /// Deletes a channel's log with its snapshot.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn delete(&mut self, channel: Channel) -> Result<()> {
        for sql in [
            "DELETE FROM entries WHERE channel = $1",
            "DELETE FROM snapshots WHERE channel = $1",
            "DELETE FROM channels WHERE id = $1",
        ] {
            sqlx::query(sql).bind(channel.to_string()).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Makes it durable, then delivers.
    ///
    /// # Errors
    /// Where the store fails. It then most likely did not happen; where that cannot be known, whoever follows the channels
    /// looks into the store.
    pub async fn commit(self) -> Result<()> {
        let Self { tx, deliveries, shared, turn, began } = self;
        let entries = deliveries.len();
        let done = shared.commit(tx, deliveries).await;
        drop(turn);
        if done.is_ok() {
            metrics::committed(1, entries, began.elapsed());
        }
        done
    }
}
