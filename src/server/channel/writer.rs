//! Group commit: all appends that wait go into one transaction.
//!
//! The cost of an append is mostly that of its transaction, so a writer takes all waiting appends at once. Each append gets its own
//! result: its last `seq`, or nothing if its run is no longer this node's, or the error of the shared transaction. If a shared
//! transaction fails although the store can be reached, each of its appends is tried alone, so that none fails because of another.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{Channel, Delivery, Shared, queries};
use crate::{
    protocol::RunId,
    server::{
        clock::now_ms,
        error::{Error, Result},
        metrics,
        store::Engine,
    },
};

/// Appends in a writer's queue; when it is full, callers wait.
const QUEUE_CAPACITY: usize = 4096;
/// Appends in one transaction.
const MAX_BATCH: usize = 1024;

/// An append: encoded entries for a channel.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) channel: Channel,
    /// Append only while this run has not ended and this node owns it.
    pub(super) run: Option<RunId>,
    pub(super) entries: Vec<String>,
    pub(super) requested: Instant,
    pub(super) result: oneshot::Sender<Result<Option<u64>>>,
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

    /// Appends entries. Returns the last one's `seq`, or nothing if the run has ended or another node owns it.
    pub(super) async fn append(
        &self,
        channel: Channel,
        run: Option<RunId>,
        entries: Vec<String>,
    ) -> Result<Option<u64>> {
        let (result, received) = oneshot::channel();
        let mut hasher = DefaultHasher::new();
        channel.hash(&mut hasher);
        // All appends of a channel go to the same writer, so they stay in order.
        let writer = &self.0[(hasher.finish() % self.0.len() as u64) as usize];
        let lost = |_| Error::Corrupt("the task of an append failed".into());
        let job = Job { channel, run, entries, requested: Instant::now(), result };
        writer.send(job).await.map_err(|_| lost(()))?;
        received.await.map_err(|_| lost(()))?
    }
}

async fn write(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let (shared, batch) = (shared.clone(), std::mem::take(&mut batch));
        // In a task of its own: a panic fails these appends only, not the writer.
        if let Err(error) = tokio::spawn(async move { commit(&shared, batch).await }).await {
            tracing::error!(%error, "the task of a transaction of appends failed");
        }
    }
}

async fn commit(shared: &Shared, batch: Vec<Job>) {
    match run_batch(shared, &batch).await {
        Ok(last_seqs) => {
            let entries = batch.iter().map(|job| job.entries.len()).sum();
            metrics::committed(
                batch.len(),
                entries,
                batch.first().map_or(Duration::ZERO, |job| job.requested.elapsed()),
            );
            for (job, last_seq) in batch.into_iter().zip(last_seqs) {
                // The caller may have been cancelled; its entries are stored.
                let _ = job.result.send(Ok(last_seq));
            }
        }
        Err(error) if batch.len() > 1 && !error.is_out_of_reach() => {
            tracing::warn!(%error, appends = batch.len(), "a transaction of several appends failed; each is tried alone");
            for job in batch {
                let alone = run_batch(shared, std::slice::from_ref(&job)).await.map(|last_seqs| last_seqs[0]);
                let _ = job.result.send(alone);
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

/// Runs one transaction and delivers its entries; returns each job's `seq`.
async fn run_batch(shared: &Shared, batch: &[Job]) -> Result<Vec<Option<u64>>> {
    let engine = shared.store.engine();
    let _permit = shared.permits.acquire().await?;
    let at = now_ms();
    let mut tx = shared.store.begin().await?;
    let mut runs: Vec<RunId> = batch.iter().filter_map(|job| job.run).collect();
    runs.sort_unstable();
    runs.dedup();
    let owned = queries::owned_runs(&mut tx, engine, &shared.node, &runs).await?;
    let is_appended = |job: &Job| job.run.is_none_or(|run| owned.all.contains(&run)) && !job.entries.is_empty();
    let mut begun: Vec<RunId> = batch.iter().filter(|job| is_appended(job)).filter_map(|job| job.run).collect();
    begun.retain(|run| owned.not_begun.contains(run));
    queries::mark_begun(&mut tx, engine, &begun, at).await?;
    // By name: all transactions lock channels in this order.
    let mut growths: BTreeMap<String, queries::Growth> = BTreeMap::new();
    for job in batch.iter().filter(|job| is_appended(job)) {
        let none = queries::Growth { channel: job.channel, entries: 0, bytes: 0 };
        let growth = growths.entry(job.channel.to_string()).or_insert(none);
        growth.entries += job.entries.len() as u64;
        growth.bytes += job.entries.iter().map(String::len).sum::<usize>() as u64;
    }
    let in_order: Vec<queries::Growth> = growths.values().copied().collect();
    let heads = queries::grow(&mut tx, engine, &in_order).await?;
    // The `seq` of each channel's next entry.
    let mut next_seqs: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, queries::Growth { channel, entries, .. }) in &growths {
        let head = heads.get(channel).ok_or_else(|| Error::Corrupt(format!("{channel} has no last `seq`")))?;
        next_seqs.insert(name, head - entries + 1);
    }
    let (mut rows, mut deliveries) = (Vec::new(), Vec::new());
    let mut last_seqs = Vec::with_capacity(batch.len());
    let names: Vec<String> = batch.iter().map(|job| job.channel.to_string()).collect();
    for (job, name) in batch.iter().zip(&names) {
        let Some(next) = next_seqs.get_mut(name.as_str()).filter(|_| is_appended(job)) else {
            last_seqs.push(None);
            continue;
        };
        for entry in &job.entries {
            rows.push(queries::NewEntry { channel: name, seq: *next, at, entry });
            deliveries.push(Delivery::new(&shared.epoch, job.channel, *next, at, entry));
            *next += 1;
        }
        last_seqs.push(Some(*next - 1));
    }
    queries::insert_entries(&mut tx, engine, &rows).await?;
    shared.commit(tx, deliveries).await?;
    Ok(last_seqs)
}
