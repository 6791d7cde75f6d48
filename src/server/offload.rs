//! Runs CPU-bound work of milliseconds or more (rendering a page, folding a long log, encoding a large snapshot) off the threads that
//! serve sockets.
//!
//! The work runs on tokio's blocking threads, in at most [`slot_count`] slots, so that one processor is left for sockets; further work
//! waits. The callers bound how much waits: a socket executes one command at a time, and [`super::page`] admits page requests.

use std::{
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
};

/// The number of slots: all processors but one, at least one.
static SLOTS: LazyLock<usize> =
    LazyLock::new(|| available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1).max(1)));
static PERMITS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(*SLOTS));

/// The work panicked; the cause is in the server's log output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work panicked; the log has the cause")]
pub struct Panicked;

/// The number of slots.
#[must_use]
pub fn slot_count() -> usize {
    *SLOTS
}

/// The right to run work. It is free again when all clones are dropped and all work that they ran has ended.
#[derive(Debug, Clone)]
pub struct Slot {
    _permit: Option<Arc<SemaphorePermit<'static>>>,
}

/// Waits for a slot, for work in several steps. To avoid deadlocks, call it before taking locks that others wait for.
pub async fn slot() -> Slot {
    // The semaphore is never closed; if it were, the work would run nevertheless.
    Slot { _permit: PERMITS.acquire().await.ok().map(Arc::new) }
}

impl Slot {
    /// Runs without a slot: for short work, or work that the caller limits.
    #[must_use]
    pub fn none() -> Self {
        Self { _permit: None }
    }

    /// Runs a step on a blocking thread. It runs to its end even if the caller stops waiting.
    ///
    /// # Errors
    /// [`Panicked`] if the step panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
        let slot = self.clone();
        let running = spawn_blocking(move || {
            let done = work();
            drop(slot);
            done
        });
        running.await.map_err(|error| {
            tracing::error!(%error, "work on a blocking thread failed");
            Panicked
        })
    }
}

/// Runs work on a blocking thread once there is a slot. If the caller stops waiting before that, the work does not run.
///
/// # Errors
/// [`Panicked`] if the work panics.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
    slot().await.run(work).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_work_runs_at_once_than_there_are_slots_and_a_panic_returns_its_slot() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |n: usize| {
            let (running, most) = (running.clone(), most.clone());
            tokio::spawn(run(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                assert!(!n.is_multiple_of(4), "every fourth panics");
                n
            }))
        };
        let all: Vec<_> = (0..64).map(work).collect();
        for (n, done) in all.into_iter().enumerate() {
            let expected = if n % 4 == 0 { Err(Panicked) } else { Ok(n) };
            assert_eq!(done.await.expect("the task does not panic"), expected);
        }
        assert!((1..=slot_count()).contains(&most.load(Ordering::SeqCst)));
    }
}
