//! Folds the log of the channel `user` into a person's feed.

use std::cmp::Reverse;

use crate::protocol::{FeedPlace, RunPhase, TagId, ThreadId, ThreadInfo, ThreadSummary, UserEntry, UserFeed};

/// How many threads that wait for the person the first page contains beside the newest threads.
const MAX_ASKING: usize = 50;
/// How many pinned threads the first page contains beside the newest threads.
const MAX_PINNED: usize = 100;
/// How many temporary threads the first page contains.
const MAX_TEMPORARY: usize = 20;

impl ThreadSummary {
    /// Its place in the feed's order.
    #[must_use]
    pub fn place(&self) -> FeedPlace {
        FeedPlace { active_at: self.active_at, thread_id: self.info.id }
    }
}

impl UserFeed {
    /// A page of at most `limit` threads that are not archived: those older than the place `older_than`, or the newest. The newest
    /// page also contains further threads: up to [`MAX_ASKING`] that wait for the person's answer, up to [`MAX_PINNED`] pinned ones, and up to
    /// [`MAX_TEMPORARY`] temporary ones, which are not listed, but whose state pages that show them need.
    #[must_use]
    pub fn page(&self, older_than: Option<FeedPlace>, limit: usize) -> Self {
        let (page, left) = self.split(older_than, limit, |thread| !thread.info.archived);
        let further = || left.iter().filter(|_| older_than.is_none());
        let pinned = further().filter(|thread| thread.info.pinned).take(MAX_PINNED);
        let asking = further().filter(|thread| !thread.asking.is_empty() && !thread.info.pinned).take(MAX_ASKING);
        let temporary = self.threads.iter().filter(|thread| older_than.is_none() && thread.info.temporary.is_some());
        let temporary: Vec<&ThreadSummary> = temporary.take(MAX_TEMPORARY).collect();
        Self {
            older: if left.is_empty() { None } else { page.last().map(|last| last.place()).or(older_than) },
            threads: page
                .iter()
                .chain(pinned)
                .chain(asking)
                .chain(&temporary)
                .map(|thread| (*thread).clone())
                .collect(),
            tags: self.tags.clone(),
        }
    }

    /// A page of at most `limit` threads with a tag, archived ones or the others: those older than the place `older_than`, or the newest. The
    /// newest page of threads that are not archived also contains up to [`MAX_PINNED`] further ones that are pinned.
    #[must_use]
    pub fn tagged_page(&self, tag: TagId, archived: bool, older_than: Option<FeedPlace>, limit: usize) -> Self {
        let is_listed = |thread: &ThreadSummary| thread.info.archived == archived && thread.info.tags.contains(&tag);
        let (page, left) = self.split(older_than, limit, is_listed);
        let further = left.iter().filter(|thread| older_than.is_none() && !archived && thread.info.pinned);
        Self {
            older: if left.is_empty() { None } else { page.last().map(|last| last.place()).or(older_than) },
            threads: page.iter().chain(further.take(MAX_PINNED)).map(|thread| (*thread).clone()).collect(),
            tags: self.tags.clone(),
        }
    }

    /// A page of at most `limit` archived threads: those older than the place `older_than`, or the newest.
    #[must_use]
    pub fn archived_page(&self, older_than: Option<FeedPlace>, limit: usize) -> Self {
        let (page, left) = self.split(older_than, limit, |thread| thread.info.archived);
        Self {
            older: if left.is_empty() { None } else { page.last().map(|last| last.place()).or(older_than) },
            threads: page.into_iter().cloned().collect(),
            tags: self.tags.clone(),
        }
    }

    /// The threads after a place that are not temporary and that are in a list, most recently active first: the first `limit`, and the rest.
    fn split(
        &self,
        older_than: Option<FeedPlace>,
        limit: usize,
        is_in_list: impl Fn(&ThreadSummary) -> bool,
    ) -> (Vec<&ThreadSummary>, Vec<&ThreadSummary>) {
        let is_listed = |thread: &ThreadSummary| thread.info.temporary.is_none() && is_in_list(thread);
        let is_after = |thread: &&ThreadSummary| older_than.is_none_or(|place| thread.place() < place);
        let mut page: Vec<&ThreadSummary> =
            self.threads.iter().filter(|thread| is_listed(thread)).filter(is_after).collect();
        page.sort_by_key(|thread| Reverse(thread.place()));
        let rest = page.split_off(limit.min(page.len()));
        (page, rest)
    }

    /// Inserts a thread into a partial feed, by its activity; no effect if the feed has it.
    pub fn insert(&mut self, thread: ThreadSummary) {
        if self.thread(thread.info.id).is_none() {
            let at = self.threads.partition_point(|other| other.active_at >= thread.active_at);
            self.threads.insert(at, thread);
        }
    }

    /// Whether this is a partial feed without the thread.
    #[must_use]
    pub fn lacks(&self, id: ThreadId) -> bool {
        self.older.is_some() && self.thread(id).is_none()
    }

    /// Folds the next entry, which was appended at `at` (milliseconds since 1970). In a partial feed, entries of a thread that it lacks
    /// have no effect; new threads are added. Every feed may lack archived threads.
    pub fn apply(&mut self, at: i64, entry: UserEntry) {
        match entry {
            UserEntry::Thread { thread } => self.apply_thread(at, thread),
            UserEntry::Archived { thread } => {
                if let Some(known) = self.thread_mut(thread.id) {
                    known.info = thread;
                }
            }
            UserEntry::Shared { thread } => match self.thread_mut(thread.id) {
                Some(known) => known.info = thread,
                None if thread.archived => {}
                // It is new for this user, however old it is.
                None => self.threads.insert(0, ThreadSummary { unread: true, ..ThreadSummary::new(thread, at) }),
            },
            UserEntry::Tag { tag } => {
                self.tags.retain(|known| known.id != tag.id);
                self.tags.push(tag);
                self.tags.sort_by_cached_key(|tag| (tag.name.to_lowercase(), tag.id));
            }
            UserEntry::TagRemoved { tag_id } => {
                self.tags.retain(|tag| tag.id != tag_id);
                self.threads.iter_mut().for_each(|thread| thread.info.tags.retain(|tag| *tag != tag_id));
            }
            UserEntry::ThreadRemoved { thread_id } => self.threads.retain(|thread| thread.info.id != thread_id),
            UserEntry::Run { thread_id, run_id, phase } => {
                if let Some(thread) = self.thread_mut(thread_id) {
                    thread.running.retain(|running| *running != run_id);
                    thread.asking.retain(|asking| *asking != run_id);
                    thread.failed = match phase {
                        RunPhase::Failed => true,
                        RunPhase::Answered | RunPhase::TakenBack => thread.failed,
                        RunPhase::Running | RunPhase::Finished | RunPhase::Cancelled | RunPhase::Interrupted => false,
                    };
                    match phase {
                        RunPhase::Running => thread.running.push(run_id),
                        RunPhase::Interrupted => {
                            thread.asking.push(run_id);
                            thread.unread = true;
                        }
                        RunPhase::Finished | RunPhase::Cancelled | RunPhase::Failed => thread.unread = true,
                        RunPhase::Answered | RunPhase::TakenBack => {}
                    }
                    thread.active_at = at;
                    self.sort();
                }
            }
            UserEntry::Read { thread_id } => {
                if let Some(thread) = self.thread_mut(thread_id) {
                    thread.unread = false;
                    thread.failed = false;
                }
            }
        }
    }

    /// A thread by id.
    #[must_use]
    pub fn thread(&self, id: ThreadId) -> Option<&ThreadSummary> {
        self.threads.iter().find(|thread| thread.info.id == id)
    }

    /// A thread was created or changed.
    fn apply_thread(&mut self, at: i64, thread: ThreadInfo) {
        let older = self.older;
        match self.thread_mut(thread.id) {
            Some(known) => {
                let is_kept = known.info.temporary.is_some() && thread.temporary.is_none();
                known.info = thread;
                // A page has its temporary threads at the end.
                if is_kept {
                    self.sort();
                }
            }
            // The thread is archived, or older than the partial feed: it was changed, it is not new.
            None if thread.archived || thread.pinned => {}
            None if older.is_some_and(|older| thread.created_at < older.active_at) => {}
            None => {
                // First, unless it was imported with an earlier time.
                let place = self.threads.partition_point(|other| other.active_at > at);
                self.threads.insert(place, ThreadSummary::new(thread, at));
            }
        }
    }

    /// Orders the threads by their latest activity.
    fn sort(&mut self) {
        self.threads.sort_by_key(|thread| std::cmp::Reverse(thread.active_at));
    }

    fn thread_mut(&mut self, id: ThreadId) -> Option<&mut ThreadSummary> {
        self.threads.iter_mut().find(|thread| thread.info.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{RunId, Tag, Temporary};

    fn thread_created(at: i64) -> ThreadInfo {
        ThreadInfo::new(ThreadId::new(), format!("created at {at}"), "a", at)
    }

    fn feed(threads: i64) -> UserFeed {
        let mut feed = UserFeed::default();
        (0..threads).for_each(|at| feed.apply(at, UserEntry::Thread { thread: thread_created(at) }));
        feed
    }

    #[test]
    fn consecutive_pages_are_the_whole_feed_even_if_threads_were_active_at_the_same_time() {
        let mut whole = feed(40);
        for same in &mut whole.threads[10..30] {
            same.active_at = 20;
        }
        let (mut older_than, mut seen) = (None, Vec::new());
        loop {
            let page = whole.page(older_than, 7);
            assert!(page.threads.len() <= 7);
            seen.extend(page.threads);
            older_than = page.older;
            if older_than.is_none() {
                break;
            }
        }
        whole.threads.sort_by_key(|thread| Reverse(thread.place()));
        assert_eq!(seen, whole.threads);
    }

    #[test]
    fn the_first_page_contains_threads_that_wait_for_the_person() {
        let mut whole = feed(20);
        let (asking, run_id) = (whole.threads[15].info.id, RunId::new());
        whole.threads[15].asking.push(run_id);
        let page = whole.page(None, 5);
        assert_eq!(page.threads.len(), 6);
        assert!(page.thread(asking).is_some());
        let next = whole.page(page.older, 20);
        assert_eq!((next.threads.len(), next.older), (15, None), "the thread is in its own place, too");
    }

    #[test]
    fn the_first_page_contains_pinned_threads() {
        let mut whole = feed(20);
        whole.threads[15].info.pinned = true;
        let pinned = whole.threads[15].info.id;
        let page = whole.page(None, 5);
        assert_eq!(page.threads.len(), 6);
        assert!(page.thread(pinned).is_some());
        assert!(whole.page(page.older, 20).thread(pinned).is_some(), "the thread is in its own place, too");
    }

    #[test]
    fn archived_threads_have_pages_of_their_own() {
        let mut whole = feed(20);
        let infos: Vec<ThreadInfo> = whole.threads[..10].iter().map(|thread| thread.info.clone()).collect();
        for info in infos {
            whole.apply(30, UserEntry::Archived { thread: ThreadInfo { archived: true, ..info } });
        }
        let page = whole.page(None, 10);
        assert!(page.threads.iter().all(|thread| !thread.info.archived));
        assert_eq!((page.threads.len(), page.older), (10, None));
        let first = whole.archived_page(None, 6);
        let last = whole.archived_page(first.older, 6);
        assert!(first.threads.iter().chain(&last.threads).all(|thread| thread.info.archived));
        assert_eq!((first.threads.len(), last.threads.len(), last.older), (6, 4, None));
        assert_eq!(whole.threads[0].active_at, 19, "archiving is not activity");
    }

    #[test]
    fn tags_are_listed_by_name_and_their_threads_have_pages() {
        let mut whole = feed(20);
        let [work, home] = ["work", "Home"].map(|name| Tag { id: TagId::new(), name: name.into() });
        whole.apply(30, UserEntry::Tag { tag: work.clone() });
        whole.apply(30, UserEntry::Tag { tag: home.clone() });
        assert_eq!(whole.tags, [home.clone(), work.clone()]);
        whole.apply(30, UserEntry::Tag { tag: Tag { name: "Zoo".into(), ..home.clone() } });
        assert_eq!(whole.tags.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(), ["work", "Zoo"]);
        for (index, archived, pinned) in [(3, false, false), (5, true, false), (9, false, false), (19, false, true)] {
            let info = whole.threads[index].info.clone();
            let thread = ThreadInfo { tags: vec![work.id], archived, pinned, ..info };
            whole.apply(30, UserEntry::Thread { thread });
        }
        let places = |page: UserFeed| page.threads.iter().map(|thread| thread.active_at).collect::<Vec<_>>();
        let first = whole.tagged_page(work.id, false, None, 1);
        assert_eq!((places(first.clone()), first.tags.len()), (vec![16, 0], 2), "with what is pinned");
        assert_eq!(places(whole.tagged_page(work.id, false, first.older, 5)), [10, 0]);
        assert_eq!(places(whole.tagged_page(work.id, true, None, 5)), [14]);
        assert_eq!(places(whole.tagged_page(home.id, false, None, 5)), [] as [i64; 0]);
        whole.apply(31, UserEntry::TagRemoved { tag_id: work.id });
        assert!(whole.threads.iter().all(|thread| thread.info.tags.is_empty()) && whole.tags.len() == 1);
    }

    #[test]
    fn a_thread_has_failed_until_another_run_begins_or_the_person_marks_it_as_read() {
        let mut whole = feed(1);
        let thread_id = whole.threads[0].info.id;
        let run = |phase| UserEntry::Run { thread_id, run_id: RunId::new(), phase };
        let mut failed_after = |entry| {
            whole.apply(1, entry);
            whole.threads[0].failed
        };
        assert!(failed_after(run(RunPhase::Failed)));
        assert!(failed_after(run(RunPhase::TakenBack)));
        assert!(!failed_after(run(RunPhase::Running)));
        assert!(failed_after(run(RunPhase::Failed)));
        assert!(!failed_after(UserEntry::Read { thread_id }));
    }

    #[test]
    fn a_temporary_thread_that_is_kept_takes_its_place_by_activity() {
        let mut whole = feed(20);
        let kept = whole.threads[2].info.clone();
        whole.threads[2].info.temporary = Some(Temporary { delete_at: 1_000, idle_minutes: 10 });
        let mut page = whole.page(None, 5);
        assert_eq!(page.threads.last().map(|thread| thread.info.id), Some(kept.id));
        page.apply(30, UserEntry::Thread { thread: kept.clone() });
        assert_eq!(page.threads[2].info, kept);
    }

    #[test]
    fn a_partial_feed_adds_new_threads_and_ignores_entries_of_threads_that_it_lacks() {
        let whole = feed(20);
        let mut part = whole.page(None, 5);
        let lacking = whole.threads[12].info.clone();
        assert!(part.lacks(lacking.id));
        part.apply(30, UserEntry::Thread { thread: ThreadInfo { title: "renamed".into(), ..lacking.clone() } });
        part.apply(31, UserEntry::Run { thread_id: lacking.id, run_id: RunId::new(), phase: RunPhase::Running });
        assert_eq!(part, whole.page(None, 5));
        for change in
            [ThreadInfo { pinned: true, ..thread_created(31) }, ThreadInfo { archived: true, ..thread_created(31) }]
        {
            part.apply(31, UserEntry::Thread { thread: change.clone() });
            part.apply(31, UserEntry::Archived { thread: change });
        }
        assert_eq!(part, whole.page(None, 5), "only changes of existing threads pin and archive");
        let new = thread_created(32);
        part.apply(32, UserEntry::Thread { thread: new.clone() });
        assert_eq!(part.threads[0].info, new);
        part.insert(whole.threads[12].clone());
        assert_eq!(part.threads.last(), Some(&whole.threads[12]));
        part.insert(whole.threads[12].clone());
        assert_eq!(part.threads.len(), 7, "a second time changes nothing");
    }
}
