//! Work that takes the processor for milliseconds or more (rendering a page, folding a long log, encoding a large snapshot),
//! kept off the threads that serve sockets.
//!
//! It runs on tokio's blocking threads, at most [`slots`] of it at once in this process, so that sockets always have a
//! processor left; what more there is waits in line. Who may add to that line is bounded by the callers: a socket has one
//! command under way, a page request is admitted by [`super::page`].

use std::{
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
};

/// How much runs at once: all processors but one.
static SLOTS: LazyLock<usize> =
    LazyLock::new(|| available_parallelism().map_or(1, |processors| processors.get().saturating_sub(1).max(1)));
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(*SLOTS));

/// The work panicked; the log has the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work panicked; the log has the cause")]
pub struct Panicked;

/// How much of this work runs at once.
#[must_use]
pub fn slots() -> usize {
    *SLOTS
}

/// A turn at work. It ends when it is dropped and everything that it ran is over.
#[derive(Debug, Clone)]
pub struct Turn {
    _slot: Option<Arc<SemaphorePermit<'static>>>,
}

/// Waits for a turn, for work of several steps. Whoever holds something that others wait for asks for the turn first.
pub async fn turn() -> Turn {
    // The semaphore is never closed; were it, the work would run all the same.
    Turn { _slot: TURNS.acquire().await.ok().map(Arc::new) }
}

impl Turn {
    /// A turn without waiting, for work whose number the caller bounds.
    #[must_use]
    pub fn unbounded() -> Self {
        Self { _slot: None }
    }

    /// Runs a step on a thread that serves no socket. What has begun is finished, also where the caller stops waiting.
    ///
    /// # Errors
    /// [`Panicked`] where the step did.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
        let turn = self.clone();
        let running = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        running.await.map_err(|error| {
            tracing::error!(%error, "work off the sockets' threads failed");
            Panicked
        })
    }
}

/// Runs work on a thread that serves no socket, when its turn comes. A caller that stops waiting before then withdraws it.
///
/// # Errors
/// [`Panicked`] where the work did.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Panicked> {
    turn().await.run(work).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn no_more_runs_at_once_than_there_are_slots_and_a_panic_gives_its_slot_back() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |n: usize| {
            let (running, most) = (running.clone(), most.clone());
            tokio::spawn(run(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                assert!(!n.is_multiple_of(4), "as the test wants it");
                n
            }))
        };
        let all: Vec<_> = (0..64).map(work).collect();
        for (n, done) in all.into_iter().enumerate() {
            let expected = if n % 4 == 0 { Err(Panicked) } else { Ok(n) };
            assert_eq!(done.await.expect("the task itself goes on"), expected);
        }
        assert!((1..=slots()).contains(&most.load(Ordering::SeqCst)));
    }
}
