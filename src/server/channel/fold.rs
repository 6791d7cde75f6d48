//! What a log looks like folded: the reducer's state of a thread or of a person's feed.
//!
//! Folding begins with the snapshot that is kept, or with the feed that was folded here last. What is long is folded on
//! threads that serve no socket ([`offload`]); a turn there is waited for before a connection of the store is taken, never
//! while one is held.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Any, AnyConnection, Row as _, Transaction};

use super::{
    Channel, Channels,
    read::{PAGE, Row, page},
};
use crate::{
    protocol::{Cursor, Entry, Snapshot, ThreadId, UserId, http::ThreadPage},
    server::{
        error::{Error, Result},
        offload::{self, Turn},
    },
    thread::{FeedPlace, ThreadSummary, ThreadView, UserFeed},
};

/// After how many folded entries a snapshot is worth keeping.
const KEEP_SNAPSHOT_AFTER: u64 = 512;
/// How many entries are folded at once on a thread that serves sockets.
const MAX_SHORT_ENTRIES: usize = 64;
/// How many bytes of entries or of a kept snapshot are read at once on a thread that serves sockets.
const MAX_SHORT_BYTES: usize = 64 * 1024;
/// How many threads the feeds have together that are kept folded here, those of the people who came last.
const MAX_CACHED_THREADS: usize = 100_000;
/// How many people's feeds are kept folded.
const MAX_CACHED_FEEDS: usize = 1_024;

impl Channels {
    /// A thread as it looks now, and the place it looks so at.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn thread(&self, id: ThreadId) -> Result<(Cursor, ThreadView)> {
        let channel = Channel::Thread(id);
        let turn = self.turn_to_fold(channel, None).await?;
        let folded = self.fold(self.store().look().await?, turn, channel, None, apply_to_thread).await?;
        Ok((self.cursor_at(folded.seq), folded.state))
    }

    /// A thread as it looks in a moment of the store, of which it is the last that is read. Callers bound how many of these
    /// go on at once: it waits for no turn, as it holds that moment.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn thread_in(&self, look: Transaction<'static, Any>, id: ThreadId) -> Result<(Cursor, ThreadView)> {
        let folded = self.fold(look, Turn::unbounded(), Channel::Thread(id), None, apply_to_thread).await?;
        Ok((self.cursor_at(folded.seq), folded.state))
    }

    /// A thread as people are shown it now, and the place it is so at.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn shown(&self, id: ThreadId) -> Result<(Cursor, ThreadView)> {
        let (cursor, view) = self.thread(id).await?;
        Ok((cursor, offload::run(move || view.without_encrypted_values()).await?))
    }

    /// A person's feed as it looks now, and the place it looks so at.
    ///
    /// # Errors
    /// Where the store fails.
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
        let turn = self.turn_to_fold(channel, cached.as_ref().map(|folded| folded.seq)).await?;
        let from = cached.map(|Folded { seq, kept, state }| {
            // Nobody else has it, most likely: then this copies nothing.
            Folded { seq, kept, state: Arc::unwrap_or_clone(state) }
        });
        let look = self.store().look().await?;
        let Folded { seq, kept, state } = self.fold(look, turn, channel, from, apply_to_feed).await?;
        let feed = Arc::new(state);
        self.shared.feeds.put(id, Folded { seq, kept, state: feed.clone() });
        Ok((self.cursor_at(seq), feed))
    }

    /// The newest threads of a person's feed, and another one that is named, where it is among the others.
    ///
    /// # Errors
    /// Where the store fails.
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

    /// The newest threads of a person, or those after a place of the feed; at most `limit`.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn threads_of(&self, id: UserId, before: Option<FeedPlace>, limit: usize) -> Result<ThreadPage> {
        let (cursor, feed) = self.feed(id).await?;
        let UserFeed { threads, older } = offload::run(move || feed.page(before, limit)).await?;
        Ok(ThreadPage { cursor, threads, older })
    }

    /// A channel's state as people are shown it now, and the place it is so at; of a feed at most the `newest` threads.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn snapshot(&self, channel: Channel, newest: Option<u32>) -> Result<(Cursor, Snapshot)> {
        match (channel, newest) {
            (Channel::Thread(id), _) => self.shown(id).await.map(|(at, view)| (at, Snapshot::Thread(view))),
            (Channel::User(id), Some(newest)) => {
                let ThreadPage { cursor, threads, older } = self.threads_of(id, None, newest as usize).await?;
                Ok((cursor, Snapshot::User(UserFeed { threads, older })))
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

    /// A turn at long work, waited for where folding a log from what is kept, or from a place, is long.
    async fn turn_to_fold(&self, channel: Channel, from: Option<u64>) -> Result<Turn> {
        let sql = "SELECT c.head, s.seq, LENGTH(s.state) FROM channels c LEFT JOIN snapshots s ON s.channel = c.id \
                   WHERE c.id = $1";
        let query = sqlx::query(sql).bind(channel.to_string());
        let Some(row) = query.fetch_optional(self.store().reader()).await? else { return Ok(Turn::unbounded()) };
        let head = row.try_get::<i64, _>(0)?.cast_unsigned();
        let (from, bytes) = match from {
            Some(from) => (from, 0),
            None => (
                row.try_get::<Option<i64>, _>(1)?.unwrap_or_default().cast_unsigned(),
                row.try_get::<Option<i64>, _>(2)?.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            ),
        };
        let is_short = head.saturating_sub(from) <= MAX_SHORT_ENTRIES as u64 && bytes <= MAX_SHORT_BYTES;
        // What turns out to be long all the same is so for few: entries that are large, or that came meanwhile.
        Ok(if is_short { Turn::unbounded() } else { offload::turn().await })
    }

    /// Folds a log from a state, or from its kept snapshot on, page by page, and keeps a newer snapshot where that was long.
    /// One moment of the store for all pages: what is trimmed meanwhile is not half seen.
    async fn fold<S>(
        &self,
        mut tx: Transaction<'static, Any>,
        turn: Turn,
        channel: Channel,
        from: Option<Folded<S>>,
        apply: fn(&mut S, i64, Entry),
    ) -> Result<Folded<S>>
    where
        S: Default + Serialize + DeserializeOwned + Send + 'static,
    {
        let Folded { mut seq, mut kept, mut state } = match from {
            Some(from) => from,
            None => match kept_text(&mut tx, channel).await? {
                // One that an older build wrote otherwise is not needed: the log has everything.
                Some((seq, text)) => {
                    let is_short = text.len() <= MAX_SHORT_BYTES;
                    let read = move || serde_json::from_str(&text).ok().map(|state| Folded { seq, kept: seq, state });
                    let kept = if is_short { read() } else { turn.run(read).await? };
                    kept.unwrap_or_default()
                }
                None => Folded::default(),
            },
        };
        loop {
            let rows = page(&mut *tx, channel, seq).await?;
            let Some(last) = rows.last().map(|row| row.seq) else { break };
            let is_last = rows.len() < PAGE as usize;
            let is_short = rows.len() <= MAX_SHORT_ENTRIES
                && rows.iter().map(|row| row.entry.len()).sum::<usize>() <= MAX_SHORT_BYTES;
            let fold = move || apply_rows(state, &rows, channel, apply);
            state = if is_short { fold() } else { turn.run(fold).await? }?;
            seq = last;
            if is_last {
                break;
            }
        }
        drop(tx);
        if seq - kept >= KEEP_SNAPSHOT_AFTER {
            let write = move || Ok::<_, Error>((serde_json::to_string(&state)?, state));
            let (text, folded) = turn.run(write).await??;
            state = folded;
            // Whoever reads does not need it kept: a store that cannot be written can still be read.
            match self.keep(channel, seq, text).await {
                Ok(()) => kept = seq,
                Err(error) => tracing::warn!(%channel, %error, "a snapshot could not be kept"),
            }
        }
        Ok(Folded { seq, kept, state })
    }

    async fn keep(&self, channel: Channel, seq: u64, state: String) -> Result<()> {
        let mut tx = self.store().begin().await?;
        // Only where the channel is still there: a deleted thread leaves nothing behind.
        sqlx::query(
            "INSERT INTO snapshots (channel, seq, state) SELECT id, $2, $3 FROM channels WHERE id = $1 \
             ON CONFLICT (channel) DO UPDATE SET seq = excluded.seq, state = excluded.state",
        )
        .bind(channel.to_string())
        .bind(seq.cast_signed())
        .bind(state)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

/// A state, the place in the log that it is the state at, and the place of the snapshot that is kept.
#[derive(Debug, Clone, Default)]
struct Folded<S> {
    seq: u64,
    kept: u64,
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

fn apply_rows<S>(mut state: S, rows: &[Row], channel: Channel, apply: fn(&mut S, i64, Entry)) -> Result<S> {
    for row in rows {
        apply(&mut state, row.at, row.decode(channel)?);
    }
    Ok(state)
}

pub(super) async fn kept_text(connection: &mut AnyConnection, channel: Channel) -> Result<Option<(u64, String)>> {
    let query = sqlx::query("SELECT seq, state FROM snapshots WHERE channel = $1").bind(channel.to_string());
    let Some(row) = query.fetch_optional(connection).await? else { return Ok(None) };
    Ok(Some((row.try_get::<i64, _>(0)?.cast_unsigned(), row.try_get(1)?)))
}

/// The feeds of the people who came last, folded: the next page folds only what is new. A hint that is checked against the
/// log; who finds nothing here folds from what is stored.
#[derive(Default)]
pub(super) struct Feeds(Mutex<VecDeque<(UserId, Folded<Arc<UserFeed>>)>>);

impl Feeds {
    /// Takes a feed out: whoever goes on folding it is the only one who has it.
    fn take(&self, id: UserId) -> Option<Folded<Arc<UserFeed>>> {
        let mut feeds = self.0.lock();
        let at = feeds.iter().position(|(user, _)| *user == id)?;
        feeds.remove(at).map(|(_, folded)| folded)
    }

    /// Keeps a feed, in place of an older one of the same person, and forgets who came longest ago where it is too much.
    fn put(&self, id: UserId, folded: Folded<Arc<UserFeed>>) {
        let mut feeds = self.0.lock();
        if let Some(at) = feeds.iter().position(|(user, _)| *user == id) {
            if feeds[at].1.seq > folded.seq {
                return;
            }
            feeds.remove(at);
        }
        feeds.push_back((id, folded));
        let mut threads: usize = feeds.iter().map(|(_, folded)| folded.state.threads.len()).sum();
        while threads > MAX_CACHED_THREADS || feeds.len() > MAX_CACHED_FEEDS {
            let Some((_, oldest)) = feeds.pop_front() else { return };
            threads -= oldest.state.threads.len();
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
            let thread = ThreadInfo { id: ThreadId::new(), title: format!("{n}"), agent: "a".into(), created_at: 1 };
            feed.apply(1, UserEntry::Thread { thread });
        }
        Folded { seq, kept: 0, state: Arc::new(feed) }
    }

    #[test]
    fn the_feeds_kept_are_bounded_in_threads_and_in_people_and_the_oldest_goes_first() {
        let (feeds, large, small) = (Feeds::default(), feed(1, 1_000), feed(1, 1));
        let people: Vec<UserId> = (0..=MAX_CACHED_THREADS / 1_000).map(|_| UserId::new()).collect();
        for person in &people {
            feeds.put(*person, large.clone());
        }
        assert!(feeds.take(people[0]).is_none());
        assert!(feeds.take(people[1]).is_some());
        for _ in 0..2 * MAX_CACHED_FEEDS {
            feeds.put(UserId::new(), small.clone());
        }
        assert_eq!(feeds.0.lock().len(), MAX_CACHED_FEEDS);
    }

    #[test]
    fn a_newer_feed_stays_in_the_place_of_an_older_one() {
        let (feeds, person) = (Feeds::default(), UserId::new());
        feeds.put(person, feed(7, 2));
        feeds.put(person, feed(3, 1));
        assert_eq!(feeds.take(person).map(|folded| folded.seq), Some(7));
        assert!(feeds.take(person).is_none());
    }
}
