//! Folds logs into states with the reducer: a thread's view, or a person's feed.
//!
//! Folding begins with the stored snapshot, or with the feed that was folded here last. Long logs are folded on threads that serve no
//! sockets ([`offload`]). A slot there is awaited before a connection of the store is taken, never while one is held.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Any, Transaction};

use super::{Channel, Channels, PAGE, queries};
use crate::{
    protocol::{Cursor, Entry, Snapshot, TagId, ThreadId, UserId, http::ThreadPage},
    server::{
        bounded_cache::BoundedCache,
        error::{Error, Result},
        offload::{self, Slot},
    },
    thread::{FeedPlace, ThreadSummary, ThreadView, UserFeed},
};

/// A new snapshot is stored after folding this many entries.
const SNAPSHOT_INTERVAL: u64 = 512;
/// The most entries that are folded on a thread that serves sockets.
const MAX_SHORT_ENTRIES: usize = 64;
/// The most bytes of entries, or of a snapshot, that are decoded on a thread that serves sockets.
const MAX_SHORT_BYTES: usize = 64 * 1024;
/// The most threads of all cached feeds together; each feed counts for [`FEED_OVERHEAD`] more, so there are at most about 1,000.
const MAX_CACHED_THREADS: usize = 100_000;
const FEED_OVERHEAD: usize = 98;

impl Channels {
    /// A thread's current view, with its cursor.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn thread(&self, id: ThreadId) -> Result<(Cursor, ThreadView)> {
        let channel = Channel::Thread(id);
        let slot = self.slot_to_fold(channel, None).await?;
        let folded = self.fold(self.store().begin_read().await?, slot, channel, None, apply_to_thread).await?;
        Ok((self.cursor_at(folded.seq), folded.state))
    }

    /// A thread's view, read in a read transaction that this call ends. It does not wait for a slot for long work, because it holds
    /// the transaction; callers must bound how many run at once.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn thread_in(&self, tx: Transaction<'static, Any>, id: ThreadId) -> Result<(Cursor, ThreadView)> {
        let folded = self.fold(tx, Slot::none(), Channel::Thread(id), None, apply_to_thread).await?;
        Ok((self.cursor_at(folded.seq), folded.state))
    }

    /// A thread's current view as it is sent to people, without encrypted values, with its cursor.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn thread_for_people(&self, id: ThreadId) -> Result<(Cursor, ThreadView)> {
        let (cursor, view) = self.thread(id).await?;
        Ok((cursor, offload::run(move || view.without_encrypted_values()).await?))
    }

    /// A person's current feed, with its cursor.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn feed(&self, id: UserId) -> Result<(Cursor, Arc<UserFeed>)> {
        let channel = Channel::User(id);
        let cached = self.shared.feeds.take(id);
        if let Some(folded) = &cached
            && self.extent(channel).await?.head == folded.seq
        {
            let (seq, feed) = (folded.seq, folded.state.clone());
            self.shared.feeds.put(id, folded.clone());
            return Ok((self.cursor_at(seq), feed));
        }
        let slot = self.slot_to_fold(channel, cached.as_ref().map(|folded| folded.seq)).await?;
        let from = cached.map(|Folded { seq, snapshot_seq, state }| {
            // Copies nothing if no page is being rendered from it.
            Folded { seq, snapshot_seq, state: Arc::unwrap_or_clone(state) }
        });
        let tx = self.store().begin_read().await?;
        let Folded { seq, snapshot_seq, state } = self.fold(tx, slot, channel, from, apply_to_feed).await?;
        let feed = Arc::new(state);
        self.shared.feeds.put(id, Folded { seq, snapshot_seq, state: feed.clone() });
        Ok((self.cursor_at(seq), feed))
    }

    /// The newest threads of a person's feed, and the thread `named` if the feed has it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn newest(
        &self,
        id: UserId,
        limit: usize,
        named: Option<ThreadId>,
    ) -> Result<(Cursor, UserFeed, Option<ThreadSummary>)> {
        let (cursor, feed) = self.feed(id).await?;
        let read = move || (feed.page(None, limit), named.and_then(|id| feed.thread(id).cloned()));
        let (page, named) = offload::run(read).await?;
        Ok((cursor, page, named))
    }

    /// The newest threads of a person, or those before a position in the feed, without the archived ones; see [`UserFeed::page`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn threads_of(&self, id: UserId, before: Option<FeedPlace>, limit: usize) -> Result<ThreadPage> {
        let (cursor, feed) = self.feed(id).await?;
        let UserFeed { threads, older, .. } = offload::run(move || feed.page(before, limit)).await?;
        Ok(ThreadPage { cursor, threads, older })
    }

    /// The newest archived threads of a person, or those before a position in the feed.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn archived_threads_of(&self, id: UserId, before: Option<FeedPlace>, limit: usize) -> Result<ThreadPage> {
        let (cursor, feed) = self.feed(id).await?;
        let UserFeed { threads, older, .. } = offload::run(move || feed.archived_page(before, limit)).await?;
        Ok(ThreadPage { cursor, threads, older })
    }

    /// The newest threads of a person with a tag, or those before a position in the feed: archived ones, or the others; see
    /// [`UserFeed::tagged_page`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn tagged_threads_of(
        &self,
        id: UserId,
        (tag, archived): (TagId, bool),
        before: Option<FeedPlace>,
        limit: usize,
    ) -> Result<ThreadPage> {
        let (cursor, feed) = self.feed(id).await?;
        let page = move || feed.tagged_page(tag, archived, before, limit);
        let UserFeed { threads, older, .. } = offload::run(page).await?;
        Ok(ThreadPage { cursor, threads, older })
    }

    /// A channel's current state as it is sent to people, with its cursor; of a feed at most the `newest` threads.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn snapshot(&self, channel: Channel, newest: Option<u32>) -> Result<(Cursor, Snapshot)> {
        match (channel, newest) {
            (Channel::Thread(id), _) => self.thread_for_people(id).await.map(|(at, view)| (at, Snapshot::Thread(view))),
            (Channel::User(id), Some(newest)) => {
                let (cursor, page, _) = self.newest(id, newest as usize, None).await?;
                Ok((cursor, Snapshot::User(page)))
            }
            (Channel::User(id), None) => {
                let (cursor, feed) = self.feed(id).await?;
                Ok((cursor, Snapshot::User(offload::run(move || Arc::unwrap_or_clone(feed)).await?)))
            }
        }
    }

    fn cursor_at(&self, seq: u64) -> Cursor {
        Cursor { epoch: self.epoch().clone(), seq }
    }

    /// Waits for a slot if folding the log from its snapshot, or from a `seq`, is long work.
    async fn slot_to_fold(&self, channel: Channel, from: Option<u64>) -> Result<Slot> {
        let size = queries::fold_size(self.store().reader(), channel).await?;
        let Some(queries::FoldSize { head, snapshot_seq, snapshot_chars }) = size else { return Ok(Slot::none()) };
        let head = head.cast_unsigned();
        let (from, chars) = match from {
            Some(from) => (from, 0),
            None => (snapshot_seq.unwrap_or_default().cast_unsigned(), snapshot_chars.unwrap_or_default()),
        };
        let bytes = usize::try_from(chars).unwrap_or(usize::MAX);
        let is_short = head.saturating_sub(from) <= MAX_SHORT_ENTRIES as u64 && bytes <= MAX_SHORT_BYTES;
        // An estimate: entries may be large, or appended since. Such a log is folded on a blocking thread, but without a slot.
        Ok(if is_short { Slot::none() } else { offload::slot().await })
    }

    /// Folds a log page by page, from a state or from its snapshot, and stores a newer snapshot if many entries were folded. All pages
    /// are read in one transaction, so trimming cannot come in between.
    async fn fold<S>(
        &self,
        mut tx: Transaction<'static, Any>,
        slot: Slot,
        channel: Channel,
        from: Option<Folded<S>>,
        apply: fn(&mut S, i64, Entry),
    ) -> Result<Folded<S>>
    where
        S: Default + Serialize + DeserializeOwned + Send + 'static,
    {
        let Folded { mut seq, mut snapshot_seq, mut state } = match from {
            Some(from) => from,
            None => match queries::snapshot(&mut tx, channel).await? {
                Some((seq, text)) => {
                    let is_short = text.len() <= MAX_SHORT_BYTES;
                    let read = move || {
                        let state = serde_json::from_str(&text).ok()?;
                        Some(Folded { seq, snapshot_seq: seq, state })
                    };
                    let folded = if is_short { read() } else { slot.run(read).await? };
                    // A snapshot that this version cannot read is not needed: the log has everything but states that only deleted
                    // runs set.
                    folded.unwrap_or_default()
                }
                None => Folded::default(),
            },
        };
        loop {
            let rows = queries::page(&mut *tx, channel, seq).await?;
            let Some(last) = rows.last().map(queries::EntryRow::seq) else { break };
            let is_last = rows.len() < PAGE as usize;
            let is_short = rows.len() <= MAX_SHORT_ENTRIES
                && rows.iter().map(|row| row.entry.len()).sum::<usize>() <= MAX_SHORT_BYTES;
            let fold = move || apply_rows(state, &rows, channel, apply);
            state = if is_short { fold() } else { slot.run(fold).await? }?;
            seq = last;
            if is_last {
                break;
            }
        }
        drop(tx);
        if seq - snapshot_seq >= SNAPSHOT_INTERVAL {
            let write = move || Ok::<_, Error>((serde_json::to_string(&state)?, state));
            let (text, folded) = slot.run(write).await??;
            state = folded;
            // Reading does not need the snapshot, so it succeeds even if the store cannot be written.
            match self.store_snapshot(channel, seq, text).await {
                Ok(()) => snapshot_seq = seq,
                Err(error) => tracing::warn!(%channel, %error, "a snapshot could not be stored"),
            }
        }
        Ok(Folded { seq, snapshot_seq, state })
    }

    async fn store_snapshot(&self, channel: Channel, seq: u64, state: String) -> Result<()> {
        let mut tx = self.store().begin().await?;
        queries::put_snapshot(&mut tx, channel, seq, state).await?;
        Ok(tx.commit().await?)
    }
}

/// A folded log.
#[derive(Debug, Clone, Default)]
struct Folded<S> {
    /// The last folded entry.
    seq: u64,
    /// The last entry of the stored snapshot; 0 if there is none.
    snapshot_seq: u64,
    state: S,
}

pub(super) fn apply_to_thread(view: &mut ThreadView, at: i64, entry: Entry) {
    if let Entry::Thread(entry) = entry {
        view.apply(at, entry);
    }
}

fn apply_to_feed(feed: &mut UserFeed, at: i64, entry: Entry) {
    if let Entry::User(entry) = entry {
        feed.apply(at, entry);
    }
}

fn apply_rows<S>(
    mut state: S,
    rows: &[queries::EntryRow],
    channel: Channel,
    apply: fn(&mut S, i64, Entry),
) -> Result<S> {
    for row in rows {
        apply(&mut state, row.at, row.decode(channel)?);
    }
    Ok(state)
}

/// A cache of the feeds that were folded last, so that the next page folds only new entries. Each is checked against the log when it
/// is taken out.
pub(super) struct Feeds(Mutex<BoundedCache<UserId, Folded<Arc<UserFeed>>>>);

impl Default for Feeds {
    fn default() -> Self {
        Self(Mutex::new(BoundedCache::new(MAX_CACHED_THREADS)))
    }
}

impl Feeds {
    /// Takes a feed out of the cache, so that the caller can fold on without a copy.
    fn take(&self, id: UserId) -> Option<Folded<Arc<UserFeed>>> {
        self.0.lock().remove(&id)
    }

    /// Caches a feed unless the cache has a newer one of the person.
    fn put(&self, id: UserId, folded: Folded<Arc<UserFeed>>) {
        let mut feeds = self.0.lock();
        if feeds.get(&id).is_none_or(|known| known.seq <= folded.seq) {
            let weight = folded.state.threads.len() + FEED_OVERHEAD;
            feeds.insert(id, folded, weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ThreadInfo, UserEntry};

    fn feed(seq: u64, threads: usize) -> Folded<Arc<UserFeed>> {
        let mut feed = UserFeed::default();
        for n in 0..threads {
            let thread = ThreadInfo::new(ThreadId::new(), format!("{n}"), "a", 1);
            feed.apply(1, UserEntry::Thread { thread });
        }
        Folded { seq, snapshot_seq: 0, state: Arc::new(feed) }
    }

    #[test]
    fn cached_feeds_are_limited_in_number_and_in_threads() {
        let (feeds, large, small) = (Feeds::default(), feed(1, 1_000), feed(1, 1));
        let people: Vec<UserId> = (0..MAX_CACHED_THREADS / 1_000).map(|_| UserId::new()).collect();
        people.iter().for_each(|person| feeds.put(*person, large.clone()));
        assert!(feeds.take(people[0]).is_none(), "they have more threads");
        let last = people[people.len() - 1];
        assert!(feeds.take(last).is_some());
        feeds.put(last, small.clone());
        (0..MAX_CACHED_THREADS / FEED_OVERHEAD).for_each(|_| feeds.put(UserId::new(), small.clone()));
        assert!(feeds.take(last).is_none(), "there are more feeds");
    }

    #[test]
    fn a_newer_feed_is_not_replaced_by_an_older_one() {
        let (feeds, person) = (Feeds::default(), UserId::new());
        feeds.put(person, feed(7, 2));
        feeds.put(person, feed(3, 1));
        assert_eq!(feeds.take(person).map(|folded| folded.seq), Some(7));
        assert!(feeds.take(person).is_none());
    }
}
