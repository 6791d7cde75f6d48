//! The background loop of the index.

use std::{collections::HashSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::index::index_thread;
use crate::{
    protocol::ThreadId,
    server::{
        channel::{Channel, Channels, Delivery, Hub},
        error::Result,
        store::row,
    },
};

/// How long changes are collected before they are indexed.
const INDEX_DELAY: Duration = Duration::from_millis(300);
/// How long to wait after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How often to look for threads that no node has indexed, because it ended before.
const SCAN_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// How many threads one step of a scan looks at; what people write meanwhile is indexed after it.
const SCAN_THREADS: i64 = 16;
/// The most threads that wait to be indexed; if there are more, all threads are scanned instead.
const MAX_CHANGED: usize = 10_000;

/// The threads to which this node appended since they were indexed; clones share them.
#[derive(Debug, Clone, Default)]
pub struct ChangedThreads(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    threads: HashSet<ThreadId>,
    /// There were too many.
    is_incomplete: bool,
}

impl ChangedThreads {
    fn add(&self, threads: impl Iterator<Item = ThreadId>) {
        let mut state = self.0.state.lock();
        for thread in threads {
            if state.threads.len() < MAX_CHANGED || state.threads.contains(&thread) {
                state.threads.insert(thread);
            } else {
                state.is_incomplete = true;
            }
        }
        drop(state);
        self.0.changed.notify_one();
    }

    fn take(&self) -> State {
        std::mem::take(&mut *self.0.state.lock())
    }
}

/// A hub that also records the threads whose logs have something new to index.
#[derive(Debug)]
pub struct IndexedHub<H> {
    hub: H,
    changed: ChangedThreads,
}

impl<H> IndexedHub<H> {
    /// Delivers to `hub`, and records threads in `changed`.
    pub fn new(hub: H, changed: ChangedThreads) -> Self {
        Self { hub, changed }
    }
}

impl<H: Hub> Hub for IndexedHub<H> {
    fn deliver(&self, delivery: &Delivery) {
        self.deliver_all(std::slice::from_ref(delivery));
    }

    fn deliver_all(&self, deliveries: &[Delivery]) {
        self.hub.deliver_all(deliveries);
        // A text is indexed when its run has ended, so its pieces are nothing new.
        let mut threads = deliveries.iter().filter_map(|delivery| match delivery.channel {
            Channel::Thread(thread) if delivery.around_delta().is_none() => Some(thread),
            _ => None,
        });
        if let Some(first) = threads.next() {
            self.changed.add(std::iter::once(first).chain(threads));
        }
    }

    fn uncertain(&self, channel: Channel) {
        self.hub.uncertain(channel);
        if let Channel::Thread(thread) = channel {
            self.changed.add(std::iter::once(thread));
        }
    }
}

/// Keeps the index up to date.
#[derive(Debug)]
pub struct Indexer {
    channels: Channels,
    changed: ChangedThreads,
}

/// A scan of all threads, from the newest to the oldest.
#[derive(Debug)]
enum Scan {
    /// All threads that are older than this one are still to be looked at; `None`: all threads.
    From(Option<ThreadId>),
    /// The next one begins then.
    At(Instant),
}

impl Indexer {
    /// An indexer of these logs, whose hub records `changed`.
    #[must_use]
    pub fn new(channels: Channels, changed: ChangedThreads) -> Self {
        Self { channels, changed }
    }

    /// Indexes until `stopping`. While the store cannot be used it waits.
    pub async fn run(self, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.run_forever()).await;
    }

    async fn run_forever(&self) {
        let (mut scan, mut is_failing) = (Scan::From(None), false);
        loop {
            match self.step(&mut scan).await {
                Ok(()) if is_failing => tracing::info!("the index of search is brought up to date again"),
                Ok(()) => {}
                Err(error) => {
                    if !is_failing {
                        tracing::warn!(%error, "search does not find new messages, because the store cannot be used");
                    }
                    is_failing = true;
                    sleep(RETRY_INTERVAL).await;
                    continue;
                }
            }
            is_failing = false;
        }
    }

    /// Indexes the threads that changed, and then some of those that a scan finds; waits if there is nothing to do.
    async fn step(&self, scan: &mut Scan) -> Result<()> {
        self.index_changed(scan).await?;
        match *scan {
            Scan::From(thread) => {
                let began = Instant::now();
                *scan = self
                    .scan(thread)
                    .await?
                    .map_or_else(|| Scan::At(began + SCAN_INTERVAL), |last| Scan::From(Some(last)));
                // At least half of the time is left to others.
                sleep(began.elapsed()).await;
            }
            Scan::At(next) => tokio::select! {
                () = self.changed.0.changed.notified() => sleep(INDEX_DELAY).await,
                () = sleep_until(next) => *scan = Scan::From(None),
            },
        }
        Ok(())
    }

    /// Indexes the threads that changed. After a failure the rest still waits.
    async fn index_changed(&self, scan: &mut Scan) -> Result<()> {
        let State { threads, is_incomplete } = self.changed.take();
        if is_incomplete {
            *scan = Scan::From(None);
        }
        let mut threads = threads.into_iter();
        while let Some(thread) = threads.next() {
            if let Err(error) = self.index(thread).await {
                self.changed.add(std::iter::once(thread).chain(threads));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Indexes a thread. Fails only if the store cannot be used.
    async fn index(&self, thread: ThreadId) -> Result<()> {
        match index_thread(&self.channels, thread).await {
            Err(error) if error.is_out_of_reach() => Err(error),
            // A log that cannot be read is left out.
            Err(error) => {
                tracing::error!(%thread, %error, "a thread cannot be indexed for search");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Indexes those of the next threads that were not indexed; returns the last of these threads, or nothing if there are no more.
    async fn scan(&self, before: Option<ThreadId>) -> Result<Option<ThreadId>> {
        row! { struct Row { id: ThreadId, is_behind: i64 } }
        // Ids have the digits 0 to f, so that all are before `g`.
        let before = before.map_or_else(|| "g".to_owned(), |thread| thread.to_string());
        let sql = "SELECT t.id, CAST(CASE WHEN c.head > COALESCE(p.indexed_seq, 0) THEN 1 ELSE 0 END AS BIGINT) AS is_behind \
                   FROM (SELECT id FROM threads WHERE id < $1 ORDER BY id DESC LIMIT $2) AS t \
                   LEFT JOIN channels c ON c.id = 'thread/' || t.id LEFT JOIN search_progress p ON p.thread_id = t.id \
                   ORDER BY t.id DESC";
        let query = sqlx::query_as(sql).bind(before).bind(SCAN_THREADS);
        let rows: Vec<Row> = query.fetch_all(self.channels.store().reader()).await?;
        let last = rows.last().map(|row| row.id);
        for Row { id, .. } in rows.into_iter().filter(|row| row.is_behind != 0) {
            self.index(id).await?;
        }
        Ok(last)
    }

    /// Indexes everything that is not indexed yet.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn index_all(&self) -> Result<()> {
        let mut last = self.scan(None).await?;
        while last.is_some() {
            last = self.scan(last).await?;
        }
        Ok(())
    }
}
