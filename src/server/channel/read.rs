//! Reading the log: its end, its pages, and what it looks like folded.

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Any, AnyConnection, AssertSqlSafe, Executor, Row as _, Transaction};

use super::{Channel, Channels, Delivery, frame};
use crate::{
    protocol::{Cursor, Entry, RunId, Snapshot, ThreadEntry, ThreadId, UserId},
    server::{
        error::Result,
        store::{chunks, places},
    },
    thread::{ThreadView, UserFeed},
};

/// How many entries one page of a log holds.
pub const PAGE: u32 = 256;
/// After how many folded entries a snapshot is worth keeping.
const KEEP_SNAPSHOT_AFTER: u64 = 512;

/// Where a log begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Up to here entries may be missing: compacted, or no longer kept. Whoever has seen less begins with a snapshot.
    pub trimmed: u64,
    /// The last entry's place; 0 where nothing was ever appended.
    pub head: u64,
}

/// An entry as it is stored.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) seq: u64,
    pub(super) at: i64,
    pub(super) entry: String,
}

impl Row {
    pub(super) fn decode(&self, channel: Channel) -> Result<Entry> {
        Ok(Entry::decode(channel.name(), serde_json::from_str(&self.entry)?))
    }
}

/// The entries after a place, at most [`PAGE`] of them.
pub(super) async fn page<'c>(
    executor: impl Executor<'c, Database = Any>,
    channel: Channel,
    after: u64,
) -> Result<Vec<Row>> {
    let rows = sqlx::query("SELECT seq, at, entry FROM entries WHERE channel = $1 AND seq > $2 ORDER BY seq LIMIT $3")
        .bind(channel.to_string())
        .bind(after.cast_signed())
        .bind(i64::from(PAGE))
        .fetch_all(executor)
        .await?;
    let read = |row: &sqlx::any::AnyRow| -> Result<Row> {
        Ok(Row { seq: row.try_get::<i64, _>(0)?.cast_unsigned(), at: row.try_get(1)?, entry: row.try_get(2)? })
    };
    rows.iter().map(read).collect()
}

impl Channels {
    /// Where a channel's log begins and ends.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn extent(&self, channel: Channel) -> Result<Extent> {
        let query = sqlx::query("SELECT trimmed, head FROM channels WHERE id = $1").bind(channel.to_string());
        let Some(row) = query.fetch_optional(self.store().reader()).await? else { return Ok(Extent::default()) };
        let place = |index| -> Result<u64> { Ok(row.try_get::<i64, _>(index)?.cast_unsigned()) };
        Ok(Extent { trimmed: place(0)?, head: place(1)? })
    }

    /// Where many logs end, in few questions: what a node asks when it may have missed something. Those that have no log are
    /// left out.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn heads(&self, channels: &[Channel]) -> Result<Vec<(Channel, u64)>> {
        let mut heads = Vec::with_capacity(channels.len());
        for chunk in chunks(channels) {
            let places = places(self.store().engine(), 1, chunk.len());
            let mut query = sqlx::query(AssertSqlSafe(format!("SELECT id, head FROM channels WHERE id IN ({places})")));
            for channel in chunk {
                query = query.bind(channel.to_string());
            }
            for row in query.fetch_all(self.store().reader()).await? {
                heads.push((row.try_get::<String, _>(0)?.parse()?, row.try_get::<i64, _>(1)?.cast_unsigned()));
            }
        }
        Ok(heads)
    }

    /// The entries after a place, at most [`PAGE`] of them, as they go to the sockets.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn page(&self, channel: Channel, after: u64) -> Result<Vec<Delivery>> {
        let rows = page(self.store().reader(), channel, after).await?;
        let delivery =
            |Row { seq, at, entry }| Delivery { channel, seq, frame: frame(self.epoch(), channel, seq, at, &entry) };
        Ok(rows.into_iter().map(delivery).collect())
    }

    /// The entries of a thread after a place, at most [`PAGE`] of them, each with its own.
    ///
    /// # Errors
    /// Where the store fails, or keeps what this build cannot read.
    pub async fn entries(&self, thread: ThreadId, after: u64) -> Result<Vec<(u64, ThreadEntry)>> {
        let rows = page(self.store().reader(), Channel::Thread(thread), after).await?;
        rows.iter().map(|row| Ok((row.seq, serde_json::from_str(&row.entry)?))).collect()
    }

    /// Whether a run has entries after a place in its thread's log.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn has_after(&self, thread: ThreadId, mut after: u64, run: RunId) -> Result<bool> {
        let channel = Channel::Thread(thread);
        loop {
            let rows = page(self.store().reader(), channel, after).await?;
            let Some(last) = rows.last().map(|row| row.seq) else { return Ok(false) };
            let of_run = |row: &Row| matches!(row.decode(channel), Ok(Entry::Thread(ThreadEntry::Agent { run_id, .. })) if run_id == run);
            if rows.iter().any(of_run) {
                return Ok(true);
            }
            after = last;
        }
    }

    /// A thread as it looks now, and the place it looks so at.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn thread(&self, id: ThreadId) -> Result<(Cursor, ThreadView)> {
        self.thread_in(self.store().look().await?, id).await
    }

    /// A thread as it looks in a moment of the store, of which it is the last that is read.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn thread_in(&self, look: Transaction<'static, Any>, id: ThreadId) -> Result<(Cursor, ThreadView)> {
        let fold = |view: &mut ThreadView, at, entry| match entry {
            Entry::Thread(entry) => view.apply(at, entry),
            Entry::User(_) | Entry::Signal(_) | Entry::Unknown(_) => {}
        };
        self.fold(look, Channel::Thread(id), fold).await
    }

    /// A person's feed as it looks now, and the place it looks so at.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn feed(&self, id: UserId) -> Result<(Cursor, UserFeed)> {
        let fold = |feed: &mut UserFeed, at, entry| match entry {
            Entry::User(entry) => feed.apply(at, entry),
            Entry::Thread(_) | Entry::Signal(_) | Entry::Unknown(_) => {}
        };
        self.fold(self.store().look().await?, Channel::User(id), fold).await
    }

    /// A channel's state as people are shown it now, and the place it is so at.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn snapshot(&self, channel: Channel) -> Result<(Cursor, Snapshot)> {
        Ok(match channel {
            Channel::Thread(id) => self.thread(id).await.map(|(at, view)| (at, Snapshot::Thread(view.shown())))?,
            Channel::User(id) => self.feed(id).await.map(|(at, feed)| (at, Snapshot::User(feed)))?,
        })
    }

    /// Folds a log from its kept snapshot on, page by page, and keeps a newer snapshot where that was long. One moment of the
    /// store for all pages: what is trimmed meanwhile is not half seen.
    async fn fold<S>(
        &self,
        mut tx: Transaction<'static, Any>,
        channel: Channel,
        apply: impl Fn(&mut S, i64, Entry),
    ) -> Result<(Cursor, S)>
    where
        S: Default + Serialize + DeserializeOwned,
    {
        let (from, mut state) = kept(&mut tx, channel).await?.unwrap_or_default();
        let mut seq = from;
        loop {
            let rows = page(&mut *tx, channel, seq).await?;
            for row in &rows {
                apply(&mut state, row.at, row.decode(channel)?);
                seq = row.seq;
            }
            if rows.len() < PAGE as usize {
                break;
            }
        }
        drop(tx);
        // Whoever reads does not need it kept: a store that cannot be written can still be read.
        if seq - from >= KEEP_SNAPSHOT_AFTER
            && let Err(error) = self.keep(channel, seq, &state).await
        {
            tracing::warn!(%channel, %error, "a snapshot could not be kept");
        }
        Ok((Cursor { epoch: self.epoch().clone(), seq }, state))
    }

    async fn keep(&self, channel: Channel, seq: u64, state: &impl Serialize) -> Result<()> {
        let mut tx = self.store().begin().await?;
        // Only where the channel is still there: a deleted thread leaves nothing behind.
        sqlx::query(
            "INSERT INTO snapshots (channel, seq, state) SELECT id, $2, $3 FROM channels WHERE id = $1 \
             ON CONFLICT (channel) DO UPDATE SET seq = excluded.seq, state = excluded.state",
        )
        .bind(channel.to_string())
        .bind(seq.cast_signed())
        .bind(serde_json::to_string(state)?)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(super) async fn kept<S: DeserializeOwned>(
    connection: &mut AnyConnection,
    channel: Channel,
) -> Result<Option<(u64, S)>> {
    let query = sqlx::query("SELECT seq, state FROM snapshots WHERE channel = $1").bind(channel.to_string());
    let Some(row) = query.fetch_optional(connection).await? else { return Ok(None) };
    let state: String = row.try_get(1)?;
    // One that an older build wrote otherwise is not needed: the log has everything.
    Ok(serde_json::from_str(&state).ok().map(|state| (row.get::<i64, _>(0).cast_unsigned(), state)))
}
