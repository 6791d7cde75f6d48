//! Group commit: all appends and changes of threads that are waiting go into one transaction.
//!
//! The cost of an append is mostly that of its transaction, so a writer takes all waiting jobs at once. Each job gets its own result: an
//! append the last `seq`, or nothing if its run is no longer this node's; a change the thread, or why it was refused. If the transaction
//! fails although the store can be reached, each of its jobs is tried again in a transaction of its own, so that no job fails because of
//! another.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::AnyConnection;
use tokio::sync::{mpsc, oneshot};

use super::{
    Channel, Shared,
    insert::{PendingEntry, insert},
    queries,
    thread_updates::{EncodedEntries, ThreadChangeRequest, ThreadRows},
};
use crate::{
    protocol::{RunId, ThreadId, ThreadInfo},
    server::{
        clock::now_ms,
        error::{Error, Result},
        metrics,
        store::Engine,
    },
};

/// Jobs in a writer's queue; when it is full, callers wait.
const QUEUE_CAPACITY: usize = 4096;
/// The most jobs in one transaction.
const MAX_BATCH: usize = 1024;

/// Something that a writer does.
#[derive(Debug)]
struct Job {
    work: Work,
    requested: Instant,
    result: oneshot::Sender<Result<Done>>,
}

#[derive(Debug)]
enum Work {
    /// Encoded entries for a thread's log, only while the run has not ended and this node owns it.
    Append {
        thread: ThreadId,
        run: RunId,
        entries: Vec<String>,
    },
    Change(ThreadChangeRequest),
}

impl Work {
    fn thread(&self) -> ThreadId {
        match self {
            Self::Append { thread, .. } | Self::Change(ThreadChangeRequest { thread, .. }) => *thread,
        }
    }
}

/// The result of a job.
#[derive(Debug)]
enum Done {
    /// The last entry's `seq`, or nothing if the run has ended or another node owns it.
    Appended(Option<u64>),
    Changed(ThreadInfo),
}

/// The queues of the writers, which end when this is dropped.
#[derive(Debug)]
pub(super) struct Writers(Vec<mpsc::Sender<Job>>);

impl Writers {
    /// Starts the writers: one on SQLite; on PostgreSQL one for every second connection, the others being left to commands.
    pub(super) fn spawn(shared: &Arc<Shared>) -> Self {
        let engine = shared.store.engine();
        let count = match engine {
            Engine::Sqlite => 1,
            Engine::Postgres => engine.writers().div_ceil(2),
        };
        let writer = |_| {
            let (sender, jobs) = mpsc::channel(QUEUE_CAPACITY);
            tokio::spawn(write(shared.clone(), jobs));
            sender
        };
        Self((0..count).map(writer).collect())
    }

    /// Appends entries of a run. Returns the last one's `seq`, or nothing if the run has ended or another node owns it.
    pub(super) async fn append(&self, thread: ThreadId, run: RunId, entries: Vec<String>) -> Result<Option<u64>> {
        match self.request(Work::Append { thread, run, entries }).await? {
            Done::Appended(last_seq) => Ok(last_seq),
            Done::Changed(_) => Err(lost()),
        }
    }

    /// Changes a thread; returns it as it is then.
    pub(super) async fn change(&self, change: ThreadChangeRequest) -> Result<ThreadInfo> {
        match self.request(Work::Change(change)).await? {
            Done::Changed(thread) => Ok(thread),
            Done::Appended(_) => Err(lost()),
        }
    }

    async fn request(&self, work: Work) -> Result<Done> {
        let (result, received) = oneshot::channel();
        let mut hasher = DefaultHasher::new();
        work.thread().hash(&mut hasher);
        // All jobs of a thread go to the same writer, so they stay in order.
        let writer = &self.0[(hasher.finish() % self.0.len() as u64) as usize];
        let job = Job { work, requested: Instant::now(), result };
        writer.send(job).await.map_err(|_| lost())?;
        received.await.map_err(|_| lost())?
    }
}

fn lost() -> Error {
    Error::Corrupt("the task of a writer's transaction failed".into())
}

async fn write(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let (shared, batch) = (shared.clone(), std::mem::take(&mut batch));
        // In a task of its own, so that a panic fails the jobs of this batch and does not end the writer.
        if let Err(error) = tokio::spawn(async move { commit(&shared, batch).await }).await {
            tracing::error!(%error, "the task of a writer's transaction failed");
        }
    }
}

async fn commit(shared: &Shared, batch: Vec<Job>) {
    match run_batch(shared, &batch).await {
        Ok(results) => {
            for (job, result) in batch.into_iter().zip(results) {
                // Sending fails if the caller was cancelled; the transaction is committed all the same.
                let _ = job.result.send(result);
            }
        }
        Err(error) if batch.len() > 1 && (error.is_contention() || !error.is_out_of_reach()) => {
            tracing::warn!(%error, jobs = batch.len(), "a transaction of several jobs failed; each is tried alone");
            for job in batch {
                let alone = run_batch(shared, std::slice::from_ref(&job)).await;
                let _ = job
                    .result
                    .send(alone.and_then(|results| results.into_iter().next().unwrap_or_else(|| Err(lost()))));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for job in batch {
                let _ = job.result.send(Err(Error::Shared(error.clone())));
            }
        }
    }
}

/// What becomes of a job.
enum Outcome<'a> {
    /// Nothing is stored.
    None(Result<Done>),
    Append(Channel, &'a [String]),
    Change(ThreadInfo, EncodedEntries),
}

impl Outcome<'_> {
    fn entries(&self) -> impl Iterator<Item = (Channel, &[String])> {
        let (append, change) = match self {
            Self::None(_) => (None, [].as_slice()),
            Self::Append(channel, entries) => (Some((*channel, *entries)), [].as_slice()),
            Self::Change(_, entries) => (None, entries.as_slice()),
        };
        append.into_iter().chain(change.iter().map(|(channel, entries)| (*channel, entries.as_slice())))
    }
}

/// Runs one transaction and delivers its entries; returns each job's result.
async fn run_batch(shared: &Shared, batch: &[Job]) -> Result<Vec<Result<Done>>> {
    let _permit = shared.permits.acquire().await?;
    let at = now_ms();
    let mut tx = shared.store.begin().await?;
    let outcomes = decide(shared, &mut tx, batch, at).await?;
    let pending: Vec<PendingEntry<'_>> = outcomes
        .iter()
        .flat_map(Outcome::entries)
        .flat_map(|(channel, entries)| entries.iter().map(move |entry| PendingEntry { channel, at, entry }))
        .collect();
    let deliveries = insert(shared, &mut tx, &pending, &[]).await?;
    let mut seqs = deliveries.iter().map(|delivery| delivery.seq);
    let last_seq = |outcome: &Outcome<'_>| {
        let count = outcome.entries().map(|(_, entries)| entries.len()).sum();
        seqs.by_ref().take(count).last()
    };
    let last_seqs: Vec<Option<u64>> = outcomes.iter().map(last_seq).collect();
    let entries = deliveries.len();
    shared.commit(tx, deliveries).await?;
    let waited = batch.first().map_or(Duration::ZERO, |job| job.requested.elapsed());
    metrics::committed(batch.len(), entries, waited);
    let result = |(outcome, last_seq)| match outcome {
        Outcome::None(result) => result,
        Outcome::Append(..) => Ok(Done::Appended(last_seq)),
        Outcome::Change(thread, _) => Ok(Done::Changed(thread)),
    };
    Ok(outcomes.into_iter().zip(last_seqs).map(result).collect())
}

/// Locks what the jobs need, and decides what becomes of them; stores all but the entries.
async fn decide<'a>(
    shared: &Shared,
    connection: &mut AnyConnection,
    batch: &'a [Job],
    at: i64,
) -> Result<Vec<Outcome<'a>>> {
    let engine = shared.store.engine();
    let (mut threads, mut runs) = (BTreeSet::new(), BTreeSet::new());
    for job in batch {
        match &job.work {
            Work::Change(change) => drop(threads.insert(change.thread)),
            Work::Append { run, .. } => drop(runs.insert(*run)),
        }
    }
    // Threads before runs before channels: all transactions lock in this order.
    let mut thread_rows = ThreadRows::lock(connection, engine, &Vec::from_iter(threads)).await?;
    let owned = queries::owned_runs(connection, engine, &shared.node, &Vec::from_iter(runs)).await?;
    let mut begun = BTreeSet::new();
    let outcome = |job: &'a Job| match &job.work {
        Work::Append { thread, run, entries } if owned.all.contains(run) && !entries.is_empty() => {
            if owned.not_begun.contains(run) {
                begun.insert(*run);
            }
            Outcome::Append(Channel::Thread(*thread), entries)
        }
        Work::Append { .. } => Outcome::None(Ok(Done::Appended(None))),
        Work::Change(change) => match thread_rows.decide(change) {
            Ok((thread, entries)) => Outcome::Change(thread, entries),
            Err(refusal) => Outcome::None(Err(refusal)),
        },
    };
    let outcomes = batch.iter().map(outcome).collect();
    queries::mark_begun(connection, engine, &Vec::from_iter(begun), at).await?;
    thread_rows.store(connection, engine).await?;
    Ok(outcomes)
}
