//! A budget for the memory of large events of remote agents, shared by all runs of a server.
//!
//! An event of more than [`SMALL_EVENT_BYTES`] is read only as far as the budget allows. Waiting for memory ends after [`WAIT_TIMEOUT`] with
//! an error, which also ends deadlocks between runs that hold some and wait for more. An incomplete event holds memory for at most
//! [`MAX_HOLD_TIME`].

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

/// Events up to this size, in bytes, need no reservation; it is the largest log entry.
pub(crate) const SMALL_EVENT_BYTES: usize = 256 * 1024;
/// The memory for an event's text and its parsed value together, as a multiple of the text's bytes.
const MEMORY_PER_BYTE: usize = 4;
/// The budget of this process, in KiB.
const BUDGET_KIB: usize = 256 * 1024;
/// How long an incomplete event may hold memory.
const MAX_HOLD_TIME: Duration = Duration::from_secs(120);
/// How long an event waits for memory.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The budget of this process.
pub(crate) static BUDGET: MemoryBudget = MemoryBudget::new(BUDGET_KIB, WAIT_TIMEOUT);

/// Memory for large events.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    free: Semaphore,
    kib: usize,
    timeout: Duration,
}

/// Why an event is not read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MemoryError {
    /// There was no memory in time.
    #[error("large events of other runs use all the memory that this server has for them; ask again in a moment")]
    Exhausted,
    /// It held memory for too long.
    #[error("a large event did not arrive completely within {MAX_HOLD_TIME:?}; ask again")]
    Slow,
}

impl MemoryBudget {
    /// A budget of `kib` KiB, with a limit on the wait for memory.
    pub(crate) const fn new(kib: usize, timeout: Duration) -> Self {
        Self { free: Semaphore::const_new(kib), kib, timeout }
    }

    /// A reservation of nothing.
    pub(crate) fn empty(&'static self) -> MemoryUse {
        MemoryUse { budget: self, permit: None, since: None }
    }
}

/// The reservation of one stream; released when dropped.
#[derive(Debug)]
pub(crate) struct MemoryUse {
    budget: &'static MemoryBudget,
    permit: Option<SemaphorePermit<'static>>,
    /// When the first memory was reserved.
    since: Option<Instant>,
}

impl MemoryUse {
    /// Reserves memory for an event that has `bytes` so far. Reserves for a power of two, so that few calls have to wait.
    ///
    /// # Errors
    /// If there is none in time.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), MemoryError> {
        let kib = |bytes: usize| (bytes * MEMORY_PER_BYTE).div_ceil(1024);
        let held = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        if self.since.is_some_and(|since| since.elapsed() > MAX_HOLD_TIME) {
            return Err(MemoryError::Slow);
        }
        if bytes <= SMALL_EVENT_BYTES || kib(bytes).min(self.budget.kib) <= held {
            return Ok(());
        }
        // An event larger than the budget gets all of it.
        let wanted = kib(bytes.next_power_of_two()).min(self.budget.kib);
        let more = u32::try_from(wanted - held).map_err(|_| MemoryError::Exhausted)?;
        let more = timeout(self.budget.timeout, self.budget.free.acquire_many(more)).await;
        let more = more.ok().and_then(Result::ok).ok_or(MemoryError::Exhausted)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => (self.permit, self.since) = (Some(more), Some(Instant::now())),
        }
        Ok(())
    }

    /// Releases everything if an event of `bytes` needs no reservation.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if bytes <= SMALL_EVENT_BYTES {
            (self.permit, self.since) = (None, None);
        }
    }
}
