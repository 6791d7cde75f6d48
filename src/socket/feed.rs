//! The part of a person's feed that the page has: the newest threads, older ones as they are fetched, and the log's entries since.
//!
//! Pages of threads come over HTTP and entries over the socket, in any order. The last entries are therefore kept: a page that is
//! older than the last applied entry is brought up to date with them, and a newer page waits until the entries have caught up.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    protocol::{ThreadId, UserEntry, http::ThreadPage},
    thread::{FeedPlace, ThreadSummary, UserFeed},
};

/// How many entries are kept to bring pages up to date, and how many missing threads are remembered.
const MAX_RECENT: usize = 512;

/// The last entries of the feed, with which pages are brought up to date.
#[derive(Debug, Default)]
pub struct FeedTail {
    /// The last entries: `seq`, time, entry.
    recent: VecDeque<(u64, i64, UserEntry)>,
    /// All entries after this `seq` are in `recent`. A page from before it cannot be brought up to date.
    kept_after: u64,
    /// The `seq` of the last applied entry.
    applied: u64,
    /// A page that is newer than the last applied entry: it is added once the entries have caught up.
    early_page: Option<(Option<FeedPlace>, ThreadPage)>,
    /// Threads that the feed lacks although an entry moved them to its front, pinned them or took them out of the archive, so that
    /// no older page contains them; each with the `seq` of that entry.
    missing: BTreeMap<ThreadId, u64>,
}

/// A page is too old to be brought up to date; it has to be fetched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale;

impl FeedTail {
    /// The feed was replaced by its state at `seq`.
    pub fn restart(&mut self, seq: u64) {
        *self = Self { kept_after: seq, applied: seq, ..Self::default() };
    }

    /// Folds the feed's next entry.
    pub fn apply(&mut self, feed: &mut UserFeed, seq: u64, at: i64, entry: UserEntry) {
        if self.recent.len() == MAX_RECENT
            && let Some((dropped, ..)) = self.recent.pop_front()
        {
            self.kept_after = self.kept_after.max(dropped);
        }
        self.applied = seq;
        self.recent.push_back((seq, at, entry.clone()));
        self.fold(feed, seq, at, entry);
        if let Some((older_than, page)) = self.early_page.take_if(|(_, page)| page.cursor.seq <= seq) {
            // If the page became too old meanwhile, it is dropped; the caller can fetch it again.
            let _ = self.merge(feed, older_than, page);
        }
    }

    /// Whether something happened in a thread that the feed lacks, so that the newest page has to be fetched.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Adds the threads of a page: those older than the place `older_than`, or the newest ones.
    ///
    /// # Errors
    /// [`Stale`] if the page is too old to be brought up to date.
    pub fn merge(&mut self, feed: &mut UserFeed, older_than: Option<FeedPlace>, page: ThreadPage) -> Result<(), Stale> {
        if page.cursor.seq < self.kept_after {
            return Err(Stale);
        }
        if page.cursor.seq > self.applied {
            self.early_page = Some((older_than, page));
            return Ok(());
        }
        let ThreadPage { cursor, threads, older } = page;
        if older_than.is_some() && older_than != feed.older {
            // This page was added already.
            return Ok(());
        }
        for thread in &threads {
            self.missing.remove(&thread.info.id);
        }
        if older_than.is_some() {
            self.kept_after = cursor.seq;
            feed.older = older;
        } else {
            // If this page includes a missing thread's entry but not the thread, the thread comes after the page or was deleted.
            let has_gap = self.missing.values().any(|seq| *seq <= cursor.seq);
            let oldest_is_new = older.is_some_and(|oldest| feed.thread(oldest.thread_id).is_none());
            if has_gap || oldest_is_new {
                // No page would ever contain the threads between this page and the feed: start over from this page.
                self.missing.clear();
                self.kept_after = cursor.seq;
                *feed = UserFeed { threads, older, tags: std::mem::take(&mut feed.tags) };
                let since: Vec<_> = self.recent.iter().filter(|(seq, ..)| *seq > cursor.seq).cloned().collect();
                since.into_iter().for_each(|(seq, at, entry)| self.fold(feed, seq, at, entry));
                return Ok(());
            }
        }
        self.insert(feed, cursor.seq, threads);
        Ok(())
    }

    /// Adds threads of a page that has only some of the newest, as those with a tag.
    ///
    /// # Errors
    /// [`Stale`] if the page cannot be brought up to date, or is newer than the last applied entry.
    pub fn merge_further(&mut self, feed: &mut UserFeed, page: ThreadPage) -> Result<(), Stale> {
        let ThreadPage { cursor, threads, .. } = page;
        if !(self.kept_after..=self.applied).contains(&cursor.seq) {
            return Err(Stale);
        }
        for thread in &threads {
            self.missing.remove(&thread.info.id);
        }
        self.insert(feed, cursor.seq, threads);
        Ok(())
    }

    /// Inserts the threads that the feed lacks, as of `seq`, and brings them up to date.
    fn insert(&self, feed: &mut UserFeed, seq: u64, threads: Vec<ThreadSummary>) {
        let new: Vec<ThreadId> =
            threads.iter().map(|thread| thread.info.id).filter(|id| feed.thread(*id).is_none()).collect();
        threads.into_iter().for_each(|thread| feed.insert(thread));
        for (_, at, entry) in self.recent.iter().filter(|(later, ..)| *later > seq) {
            // Entries of tags may be applied again, if the later ones are, too.
            if thread_of(entry).is_none_or(|thread| new.contains(&thread)) {
                feed.apply(*at, entry.clone());
            }
        }
    }

    /// Folds an entry; if it belongs to a thread that the feed lacks and should have, the thread is only remembered in `missing`.
    fn fold(&mut self, feed: &mut UserFeed, seq: u64, at: i64, entry: UserEntry) {
        let Some(id) = thread_of(&entry) else { return feed.apply(at, entry) };
        let is_missing = self.missing.contains_key(&id);
        let has_row = feed.thread(id).is_some();
        match &entry {
            UserEntry::ThreadRemoved { .. } => {
                self.missing.remove(&id);
                feed.apply(at, entry);
            }
            UserEntry::Run { .. } if is_missing || feed.lacks(id) => self.add_missing(id, seq),
            // The newest page contains pinned threads, and the pages contain no archived ones.
            UserEntry::Thread { thread } if thread.pinned && !thread.archived && !has_row => self.add_missing(id, seq),
            UserEntry::Archived { thread } if !thread.archived && !has_row => self.add_missing(id, seq),
            // It may be new, or an older one in which the user may do something else now.
            UserEntry::Shared { .. } if is_missing || feed.lacks(id) => self.add_missing(id, seq),
            UserEntry::Archived { .. } if is_missing => drop(self.missing.remove(&id)),
            _ if is_missing => {}
            _ => feed.apply(at, entry),
        }
    }

    /// Remembers that the feed lacks a thread, because of the entry `seq`.
    fn add_missing(&mut self, id: ThreadId, seq: u64) {
        if self.missing.len() == MAX_RECENT
            && let Some(oldest) = self.missing.iter().min_by_key(|(_, seq)| **seq).map(|(id, _)| *id)
        {
            self.missing.remove(&oldest);
        }
        self.missing.insert(id, seq);
    }
}

fn thread_of(entry: &UserEntry) -> Option<ThreadId> {
    match entry {
        UserEntry::Thread { thread } | UserEntry::Archived { thread } | UserEntry::Shared { thread } => Some(thread.id),
        UserEntry::ThreadRemoved { thread_id } | UserEntry::Run { thread_id, .. } | UserEntry::Read { thread_id } => {
            Some(*thread_id)
        }
        UserEntry::Tag { .. } | UserEntry::TagRemoved { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Cursor, Epoch, RunId, RunPhase, ThreadInfo};

    /// A log of a person's feed, with the feed's state after each entry.
    struct Log {
        entries: Vec<(i64, UserEntry)>,
        states: Vec<UserFeed>,
    }

    impl Log {
        fn new(steps: &[(u8, u8)]) -> Self {
            let (mut entries, mut made) = (Vec::new(), Vec::new());
            for (n, (act, which)) in steps.iter().enumerate() {
                let at = 1_000 + 10 * n as i64;
                let known = |made: &[ThreadInfo]| made.get(*which as usize % made.len().max(1)).cloned();
                let entry = match (act % 10, known(&made)) {
                    (1, Some(thread)) => {
                        UserEntry::Thread { thread: ThreadInfo { title: format!("renamed {n}"), ..thread } }
                    }
                    (2, Some(thread)) => UserEntry::ThreadRemoved { thread_id: thread.id },
                    (3, Some(thread)) => UserEntry::Read { thread_id: thread.id },
                    (4 | 5, Some(thread)) => {
                        let phase = [RunPhase::Running, RunPhase::Finished, RunPhase::Interrupted][n % 3];
                        UserEntry::Run { thread_id: thread.id, run_id: RunId::new(), phase }
                    }
                    (6, Some(thread)) => {
                        let thread = ThreadInfo { archived: !thread.archived, ..thread };
                        UserEntry::Archived { thread }
                    }
                    (7, Some(thread)) => {
                        let thread = ThreadInfo { pinned: !thread.pinned, ..thread };
                        UserEntry::Thread { thread }
                    }
                    // The user may do something else in a thread that is shared.
                    (8, Some(thread)) => UserEntry::Shared { thread },
                    // An old thread of somebody else is new in this feed.
                    (9, _) => UserEntry::Shared { thread: ThreadInfo::new(ThreadId::new(), format!("{n}"), "a", 1) },
                    _ => UserEntry::Thread { thread: ThreadInfo::new(ThreadId::new(), format!("{n}"), "a", at) },
                };
                if let UserEntry::Thread { thread } | UserEntry::Archived { thread } | UserEntry::Shared { thread } =
                    &entry
                {
                    made.retain(|known| known.id != thread.id);
                    made.push(thread.clone());
                }
                if let UserEntry::ThreadRemoved { thread_id } = &entry {
                    made.retain(|thread| thread.id != *thread_id);
                }
                entries.push((at, entry));
            }
            let (mut feed, mut states) = (UserFeed::default(), vec![UserFeed::default()]);
            for (at, entry) in &entries {
                feed.apply(*at, entry.clone());
                states.push(feed.clone());
            }
            Self { entries, states }
        }

        fn page(&self, seq: usize, older_than: Option<FeedPlace>, limit: usize) -> ThreadPage {
            let UserFeed { threads, older, .. } = self.states[seq].page(older_than, limit);
            ThreadPage { cursor: Cursor { epoch: Epoch("e".into()), seq: seq as u64 }, threads, older }
        }
    }

    proptest! {
        #[test]
        fn in_any_order_of_pages_and_entries_each_known_thread_is_as_in_the_whole_feed(
            steps in prop::collection::vec((any::<u8>(), any::<u8>()), 10..80),
            from in 0..100usize,
            pages in prop::collection::vec((0..100usize, 0..100usize), 0..12),
        ) {
            let log = Log::new(&steps);
            let end = log.entries.len();
            let from = from % end;
            let first = log.page(from, None, 3);
            let mut feed = UserFeed { threads: first.threads, older: first.older, tags: Vec::new() };
            let mut tail = FeedTail::default();
            tail.restart(from as u64);
            for seq in from + 1..=end {
                let (at, entry) = log.entries[seq - 1].clone();
                tail.apply(&mut feed, seq as u64, at, entry);
                // A page arrives that was made at any moment since the start, before or after the last applied entry.
                for (_, made_at) in pages.iter().filter(|(when, _)| when % end + 1 == seq) {
                    let made_at = from + made_at % (end - from + 1);
                    let older_than = if made_at.is_multiple_of(2) { None } else { feed.older };
                    let page = log.page(made_at, older_than, 3);
                    // A page that is too old is refused and changes nothing.
                    let _ = tail.merge(&mut feed, older_than, page);
                }
            }
            let whole = &log.states[end];
            for thread in &feed.threads {
                prop_assert_eq!(Some(thread), whole.thread(thread.info.id));
            }
            while tail.is_behind() || feed.older.is_some() {
                let older_than = if tail.is_behind() { None } else { feed.older };
                prop_assert_eq!(tail.merge(&mut feed, older_than, log.page(end, older_than, 3)), Ok(()));
            }
            let listed = |feed: &UserFeed| {
                let ids = feed.threads.iter().filter(|thread| !thread.info.archived).map(|thread| thread.info.id);
                ids.collect::<std::collections::BTreeSet<_>>()
            };
            prop_assert_eq!(listed(&feed), listed(whole), "in the end, it has every thread that is not archived");
        }
    }

    #[test]
    fn a_run_in_a_thread_that_the_feed_lacks_makes_it_behind_until_a_page_has_the_thread() {
        let log = Log::new(&[(0, 0); 10]);
        let page = log.page(10, None, 4);
        let mut feed = UserFeed { threads: page.threads, older: page.older, tags: Vec::new() };
        let mut tail = FeedTail::default();
        tail.restart(10);
        let old = log.states[10].threads[9].info.id;
        let run = UserEntry::Run { thread_id: old, run_id: RunId::new(), phase: RunPhase::Running };
        tail.apply(&mut feed, 11, 5_000, run.clone());
        assert!(tail.is_behind() && feed.thread(old).is_none());
        // Even a page that is older than the entry contains the thread, and the entry is applied to it.
        let whole = UserFeed { older: None, ..log.states[10].page(None, 10) };
        let page = ThreadPage { threads: whole.threads, older: None, ..log.page(10, None, 10) };
        assert_eq!(tail.merge(&mut feed, None, page), Ok(()));
        assert!(!tail.is_behind());
        assert_eq!((feed.threads[0].info.id, feed.threads[0].running.len()), (old, 1));
    }

    #[test]
    fn a_page_older_than_the_kept_entries_is_refused() {
        let log = Log::new(&[(0, 0); 20]);
        let (mut feed, mut tail) = (log.states[20].clone(), FeedTail::default());
        tail.restart(20);
        let read = UserEntry::Read { thread_id: feed.threads[0].info.id };
        for seq in 21..21 + MAX_RECENT as u64 + 5 {
            tail.apply(&mut feed, seq, 9_000, read.clone());
        }
        assert_eq!(tail.merge(&mut feed, None, log.page(20, None, 5)), Err(Stale));
        assert_eq!(tail.recent.len(), MAX_RECENT);
    }
}
