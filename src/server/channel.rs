//! Channels: append-only logs, and the one road by which anything gets into them.
//!
//! [`Channels::begin`] opens a transaction; [`Append::append`] gives entries their places in it; [`Append::commit`]
//! makes them durable and then hands them to the hub, in order. Promises: `seq` is gapless per channel; nothing is
//! delivered that is not stored; deliveries of a channel leave in the order of `seq`. Delivery is a hint: a receiver that
//! sees a gap reads the store.

use std::{fmt, str::FromStr, sync::Arc};

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use serde_json::Value;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    error::{Error, Result},
    store::{Store, now_ms},
};
use crate::{
    protocol::{
        ChannelName, Cursor, Entry, Epoch, EventPush, IdError, Push, Snapshot, ThreadEntry, ThreadId, UserEntry,
        UserId, encode_push,
    },
    thread::{ThreadView, UserFeed},
};

/// How many entries one page of a log holds.
pub const PAGE: u32 = 256;
/// After how many folded entries a snapshot is worth keeping.
const KEEP_SNAPSHOT_AFTER: u64 = 512;

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

/// Takes deliveries to the connections that follow their channel. Must not block.
pub trait Hub: Send + Sync + 'static {
    /// Delivers one entry. Called after commit, mostly in the order of `seq` per channel.
    fn deliver(&self, delivery: &Delivery);

    /// Whether something was appended to the channel cannot be known at the moment: its followers look into the store.
    fn uncertain(&self, channel: Channel) {
        let _ = channel;
    }
}

/// The channels of this node's store; clones share them.
#[derive(Clone)]
pub struct Channels {
    store: Store,
    hub: Arc<dyn Hub>,
    epoch: Epoch,
    /// Held from begin until after delivery, so that deliveries leave in the order of commits.
    turn: Arc<Mutex<()>>,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Channels {
    /// The channels of a store, delivered to a hub.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn new(store: Store, hub: Arc<dyn Hub>) -> Result<Self> {
        let fresh = format!("{:08x}", rand::random::<u32>());
        let epoch = Epoch(store.setting_or("epoch", &fresh).await?);
        Ok(Self { store, hub, epoch, turn: Arc::default() })
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The epoch of every log here.
    #[must_use]
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Begins a transaction that may append. One at a time: keep it short, and do no other waiting in it.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn begin(&self) -> Result<Append> {
        let turn = self.turn.clone().lock_owned().await;
        let tx = self.store.begin().await?;
        Ok(Append { tx, deliveries: Vec::new(), hub: self.hub.clone(), epoch: self.epoch.clone(), _turn: turn })
    }

    /// Where a channel's log ends: 0 where nothing was ever appended.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn head(&self, channel: Channel) -> Result<u64> {
        let query = sqlx::query_scalar("SELECT head FROM channels WHERE id = $1").bind(channel.to_string());
        let head: Option<i64> = query.fetch_optional(self.store.reader()).await?;
        Ok(head.map_or(0, i64::cast_unsigned))
    }

    /// The entries after a place, at most [`PAGE`] of them, as they go to the sockets.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn page(&self, channel: Channel, after: u64) -> Result<Vec<Delivery>> {
        let delivery = |(seq, at, entry): (u64, i64, Value)| Delivery {
            channel,
            seq,
            frame: frame(&self.epoch, channel, seq, at, entry),
        };
        Ok(self.rows(channel, after).await?.into_iter().map(delivery).collect())
    }

    async fn rows(&self, channel: Channel, after: u64) -> Result<Vec<(u64, i64, Value)>> {
        let rows =
            sqlx::query("SELECT seq, at, entry FROM entries WHERE channel = $1 AND seq > $2 ORDER BY seq LIMIT $3")
                .bind(channel.to_string())
                .bind(after.cast_signed())
                .bind(i64::from(PAGE))
                .fetch_all(self.store.reader())
                .await?;
        let read = |row: &sqlx::any::AnyRow| -> Result<(u64, i64, Value)> {
            let entry: String = row.try_get(2)?;
            Ok((row.try_get::<i64, _>(0)?.cast_unsigned(), row.try_get(1)?, serde_json::from_str(&entry)?))
        };
        rows.iter().map(read).collect()
    }

    /// A thread as it looks now, and the place it looks so at.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn thread(&self, id: ThreadId) -> Result<(Cursor, ThreadView)> {
        let fold = |view: &mut ThreadView, at, entry| match entry {
            Entry::Thread(entry) => view.apply(at, entry),
            Entry::User(_) | Entry::Signal(_) | Entry::Unknown(_) => {}
        };
        self.fold(Channel::Thread(id), fold).await
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
        self.fold(Channel::User(id), fold).await
    }

    /// A channel's state as it is now, and the place it is so at.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn snapshot(&self, channel: Channel) -> Result<(Cursor, Snapshot)> {
        Ok(match channel {
            Channel::Thread(id) => self.thread(id).await.map(|(at, view)| (at, Snapshot::Thread(view)))?,
            Channel::User(id) => self.feed(id).await.map(|(at, feed)| (at, Snapshot::User(feed)))?,
        })
    }

    /// Folds a log from its kept snapshot on, page by page, and keeps a newer snapshot where that was long.
    async fn fold<S>(&self, channel: Channel, apply: impl Fn(&mut S, i64, Entry)) -> Result<(Cursor, S)>
    where
        S: Default + Serialize + serde::de::DeserializeOwned,
    {
        let (from, mut state) = self.kept(channel).await?.unwrap_or_default();
        let mut seq = from;
        loop {
            let page = self.rows(channel, seq).await?;
            let whole = page.len() == PAGE as usize;
            for (next, at, entry) in page {
                apply(&mut state, at, Entry::decode(channel.name(), entry));
                seq = next;
            }
            if !whole {
                break;
            }
        }
        if seq - from >= KEEP_SNAPSHOT_AFTER {
            self.keep(channel, seq, &state).await?;
        }
        Ok((Cursor { epoch: self.epoch.clone(), seq }, state))
    }

    async fn kept<S: serde::de::DeserializeOwned>(&self, channel: Channel) -> Result<Option<(u64, S)>> {
        let query = sqlx::query("SELECT seq, state FROM snapshots WHERE channel = $1").bind(channel.to_string());
        let Some(row) = query.fetch_optional(self.store.reader()).await? else { return Ok(None) };
        let state: String = row.try_get(1)?;
        // One that an older build wrote otherwise is not needed: the log has everything.
        Ok(serde_json::from_str(&state).ok().map(|state| (row.get::<i64, _>(0).cast_unsigned(), state)))
    }

    async fn keep(&self, channel: Channel, seq: u64, state: &impl Serialize) -> Result<()> {
        let mut tx = self.store.begin().await?;
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

/// A transaction that may append to channels. Dropped without [`Append::commit`], nothing of it happened.
pub struct Append {
    tx: Transaction<'static, Any>,
    deliveries: Vec<Delivery>,
    hub: Arc<dyn Hub>,
    epoch: Epoch,
    _turn: OwnedMutexGuard<()>,
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append").field("deliveries", &self.deliveries.len()).finish_non_exhaustive()
    }
}

impl Append {
    /// The transaction, for what belongs to the same step as the entries.
    pub fn sql(&mut self) -> &mut sqlx::AnyConnection {
        &mut self.tx
    }

    /// Appends to a thread; answers the last entry's place.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn thread(&mut self, id: ThreadId, entries: &[ThreadEntry]) -> Result<u64> {
        self.append(Channel::Thread(id), entries).await
    }

    /// Appends to a person's feed; answers the last entry's place.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn user(&mut self, id: UserId, entries: &[UserEntry]) -> Result<u64> {
        self.append(Channel::User(id), entries).await
    }

    async fn append(&mut self, channel: Channel, entries: &[impl Serialize]) -> Result<u64> {
        let at = now_ms();
        let count = i64::try_from(entries.len()).map_err(|_| Error::Corrupt("too many entries".into()))?;
        let head: i64 = sqlx::query_scalar(
            "INSERT INTO channels (id, head) VALUES ($1, $2) \
             ON CONFLICT (id) DO UPDATE SET head = channels.head + excluded.head RETURNING head",
        )
        .bind(channel.to_string())
        .bind(count)
        .fetch_one(&mut *self.tx)
        .await?;
        // One statement for many rows: a statement a row is several times slower.
        for (chunk, entries) in entries.chunks(PAGE as usize).enumerate() {
            let first = (head - count).cast_unsigned() + (chunk * PAGE as usize) as u64 + 1;
            let rows: Vec<String> =
                (0..entries.len()).map(|row| format!("($1, ${}, $2, ${})", row * 2 + 3, row * 2 + 4)).collect();
            let sql = format!("INSERT INTO entries (channel, seq, at, entry) VALUES {}", rows.join(", "));
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(channel.to_string()).bind(at);
            for (seq, entry) in (first..).zip(entries) {
                let entry = serde_json::to_value(entry)?;
                query = query.bind(seq.cast_signed()).bind(entry.to_string());
                let frame = frame(&self.epoch, channel, seq, at, entry);
                self.deliveries.push(Delivery { channel, seq, frame });
            }
            query.execute(&mut *self.tx).await?;
        }
        Ok(head.cast_unsigned())
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
    /// Where the store fails: then nothing happened and nothing is delivered.
    pub async fn commit(self) -> Result<()> {
        self.tx.commit().await?;
        for delivery in &self.deliveries {
            self.hub.deliver(delivery);
        }
        Ok(())
    }
}

fn frame(epoch: &Epoch, channel: Channel, seq: u64, at: i64, entry: Value) -> Utf8Bytes {
    let push = EventPush { channel: channel.name(), epoch: epoch.clone(), seq: Some(seq), at, entry };
    encode_push(&Push::Event(push)).into()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as SyncMutex;

    use super::*;
    use crate::protocol::RunId;
    use crate::protocol::RunPhase;

    #[derive(Default)]
    struct Heard(SyncMutex<Vec<(Channel, u64)>>);

    impl Hub for Heard {
        fn deliver(&self, delivery: &Delivery) {
            self.0.lock().expect("not poisoned").push((delivery.channel, delivery.seq));
        }
    }

    async fn channels(folder: &tempfile::TempDir) -> (Channels, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        let store = Store::open(folder.path()).await.expect("opens");
        (Channels::new(store, heard.clone()).await.expect("begins"), heard)
    }

    fn entries(count: usize) -> Vec<UserEntry> {
        let entry = || UserEntry::Run { thread_id: ThreadId::new(), run_id: RunId::new(), phase: RunPhase::Running };
        (0..count).map(|_| entry()).collect()
    }

    #[tokio::test]
    async fn seq_is_gapless_and_delivery_follows_commit_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let (channels, heard) = channels(&folder).await;
        let user = UserId::new();
        let mut first = channels.begin().await.expect("begins");
        assert_eq!(first.user(user, &entries(2)).await.expect("appends"), 2);
        assert!(heard.0.lock().expect("not poisoned").is_empty(), "nothing is delivered before it is stored");
        first.commit().await.expect("commits");
        let mut dropped = channels.begin().await.expect("begins");
        dropped.user(user, &entries(5)).await.expect("appends");
        drop(dropped);
        let mut second = channels.begin().await.expect("begins");
        assert_eq!(second.user(user, &entries(600)).await.expect("appends"), 602);
        second.commit().await.expect("commits");
        let seqs: Vec<u64> = heard.0.lock().expect("not poisoned").iter().map(|(_, seq)| *seq).collect();
        assert_eq!(seqs, (1..=602).collect::<Vec<u64>>());
        let page = channels.page(Channel::User(user), 500).await.expect("reads");
        assert_eq!(page.iter().map(|d| d.seq).collect::<Vec<u64>>(), (501..=602).collect::<Vec<u64>>());
        assert_eq!(channels.head(Channel::User(user)).await.expect("reads"), 602);
    }

    #[tokio::test]
    async fn the_log_and_its_epoch_survive_a_restart_and_a_kept_snapshot_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let user = UserId::new();
        let (before, _) = channels(&folder).await;
        let mut append = before.begin().await.expect("begins");
        append.user(user, &entries(700)).await.expect("appends");
        append.commit().await.expect("commits");
        let folded = before.feed(user).await.expect("folds");
        before.store().close().await;
        let (after, _) = channels(&folder).await;
        assert_eq!(after.kept::<UserFeed>(Channel::User(user)).await.expect("reads").map(|kept| kept.0), Some(700));
        assert_eq!(after.feed(user).await.expect("folds"), folded);
    }
}
