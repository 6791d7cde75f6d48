//! The group commit: whatever waits to be appended goes into one transaction.
//!
//! What an append costs is mostly its transaction; a writer that takes all that waits pays it once for all of them. Each
//! append is answered alone: with its place, or that its run is not this node's any more, or with the error of the step
//! that it shared. Where a step of many fails for a reason of its own (and not because the store is away), each of them is
//! tried alone, so that none suffers for another.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use super::{Channel, Delivery, Shared, frame, rows};
use crate::{
    protocol::RunId,
    server::{
        clock::now_ms,
        error::{Error, Result},
        metrics,
        store::Engine,
    },
};

/// How many appends wait for a writer at most; then those who append wait.
const WAITING: usize = 4096;
/// How many go into one transaction.
const BATCH: usize = 1024;

/// What is to be appended, as it will be stored.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) channel: Channel,
    /// Only while this run goes on and is this node's.
    pub(super) run: Option<RunId>,
    pub(super) entries: Vec<String>,
    /// When it was asked for.
    pub(super) began: Instant,
    pub(super) done: oneshot::Sender<Result<Option<u64>>>,
}

/// The ways to the writers; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Writers(Vec<mpsc::Sender<Job>>);

impl Writers {
    /// Begins the writers: one on SQLite, which has one; on PostgreSQL half as many as it has connections for, the others
    /// being left to commands.
    pub(super) fn spawn(shared: &Arc<Shared>) -> Self {
        let engine = shared.store.engine();
        let count = match engine {
            Engine::Sqlite => 1,
            Engine::Postgres => engine.writers().div_ceil(2),
        };
        let writer = |_| {
            let (sender, jobs) = mpsc::channel(WAITING);
            tokio::spawn(write(shared.clone(), jobs));
            sender
        };
        Self((0..count).map(writer).collect())
    }

    /// Appends, with others. Answers the last entry's place, or nothing where the run is over or another node's.
    pub(super) async fn append(
        &self,
        channel: Channel,
        run: Option<RunId>,
        entries: Vec<String>,
    ) -> Result<Option<u64>> {
        let (done, answer) = oneshot::channel();
        let mut hasher = DefaultHasher::new();
        channel.hash(&mut hasher);
        // A channel's appends stay in order: they all go to the same writer.
        let writer = &self.0[(hasher.finish() % self.0.len() as u64) as usize];
        let ended = |_| Error::Corrupt("the step of the log that had it did not end".into());
        writer.send(Job { channel, run, entries, began: Instant::now(), done }).await.map_err(|_| ended(()))?;
        answer.await.map_err(|_| ended(()))?
    }
}

async fn write(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while jobs.recv_many(&mut batch, BATCH).await > 0 {
        let (shared, batch) = (shared.clone(), std::mem::take(&mut batch));
        // A task of its own: should one panic, its appends fail and those after it do not.
        if let Err(error) = tokio::spawn(async move { commit(&shared, batch).await }).await {
            tracing::error!(%error, "a step of the log did not end");
        }
    }
}

async fn commit(shared: &Shared, batch: Vec<Job>) {
    match step(shared, &batch).await {
        Ok(places) => {
            let entries = batch.iter().map(|job| job.entries.len()).sum();
            metrics::committed(batch.len(), entries, batch.first().map_or(Duration::ZERO, |job| job.began.elapsed()));
            for (job, place) in batch.into_iter().zip(places) {
                // Whoever asked may be gone; it is stored all the same.
                let _ = job.done.send(Ok(place));
            }
        }
        Err(error) if batch.len() > 1 && !error.is_out_of_reach() => {
            tracing::warn!(%error, appends = batch.len(), "a step of the log failed; its parts are tried alone");
            for job in batch {
                let alone = step(shared, std::slice::from_ref(&job)).await.map(|places| places[0]);
                let _ = job.done.send(alone);
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for job in batch {
                let _ = job.done.send(Err(Error::Shared(error.clone())));
            }
        }
    }
}

/// One transaction and, after it, its deliveries; answers each job's place.
async fn step(shared: &Shared, batch: &[Job]) -> Result<Vec<Option<u64>>> {
    let engine = shared.store.engine();
    let _turn = shared.turn().await?;
    let at = now_ms();
    let mut tx = shared.store.begin().await?;
    let mut runs: Vec<RunId> = batch.iter().filter_map(|job| job.run).collect();
    runs.sort_unstable();
    runs.dedup();
    let held = rows::held(&mut tx, engine, &shared.node, &runs).await?;
    let counts = |job: &&Job| job.run.is_none_or(|run| held.contains(&run)) && !job.entries.is_empty();
    // By name: the order in which everyone locks channels.
    let mut appended: BTreeMap<String, rows::Added> = BTreeMap::new();
    for job in batch.iter().filter(counts) {
        let none = rows::Added { channel: job.channel, entries: 0, bytes: 0 };
        let added = appended.entry(job.channel.to_string()).or_insert(none);
        added.entries += job.entries.len() as u64;
        added.bytes += job.entries.iter().map(String::len).sum::<usize>() as u64;
    }
    let added: Vec<rows::Added> = appended.values().copied().collect();
    let heads = rows::advance(&mut tx, engine, &added).await?;
    // The place that the next entry of each channel takes.
    let mut places_left: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, rows::Added { channel, entries, .. }) in &appended {
        let head = heads.get(channel).ok_or_else(|| Error::Corrupt(format!("{channel} has no end")))?;
        places_left.insert(name, head - entries + 1);
    }
    let mut log = Vec::new();
    let mut deliveries = Vec::new();
    let mut places = Vec::with_capacity(batch.len());
    let names: Vec<String> = batch.iter().map(|job| job.channel.to_string()).collect();
    for (job, name) in batch.iter().zip(&names) {
        let Some(next) = places_left.get_mut(name.as_str()).filter(|_| counts(&job)) else {
            places.push(None);
            continue;
        };
        for entry in &job.entries {
            log.push(rows::LogRow { channel: name, seq: *next, at, entry });
            deliveries.push(Delivery {
                channel: job.channel,
                seq: *next,
                frame: frame(&shared.epoch, job.channel, *next, at, entry),
            });
            *next += 1;
        }
        places.push(Some(*next - 1));
    }
    rows::insert(&mut tx, engine, &log).await?;
    shared.commit(tx, deliveries).await?;
    Ok(places)
}
