//! The memory that large events of remote agents may take: bounded for all runs of a server together.
//!
//! Promises: an event of more than [`SMALL`] bytes is read no further than there is room for. A wait for room ends after
//! [`ROOM_TIMEOUT`] with an error; so do the waits of runs that hold room and wait for each other's. None holds it, unread, for
//! longer than [`MAX_HELD_TIME`].

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

/// Up to here an event needs no room, in bytes: as much as an entry of the log has at most.
pub(crate) const SMALL: usize = 256 * 1024;
/// How many times its bytes an event takes, once it is parsed beside its text.
const WEIGHT: usize = 4;
/// The room for all remote agents of this process, in KiB.
const MAX_HELD_KIB: usize = 256 * 1024;
/// How long an event may take room before it is read whole.
const MAX_HELD_TIME: Duration = Duration::from_secs(120);
/// How long an event waits for others.
const ROOM_TIMEOUT: Duration = Duration::from_secs(20);

/// The room of this process.
pub(crate) static ROOM: Room = Room::new(MAX_HELD_KIB, ROOM_TIMEOUT);

/// Room for large events.
#[derive(Debug)]
pub(crate) struct Room {
    free: Semaphore,
    kib: usize,
    timeout: Duration,
}

/// Why an event is read no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// There was no room in time.
    #[error(
        "large events of other runs take all the memory that this server has for large events; ask again in a moment"
    )]
    Taken,
    /// It kept room from others for longer than it may.
    #[error("a large event did not arrive whole within {MAX_HELD_TIME:?}; ask again")]
    Slow,
}

impl Room {
    /// Room for so many KiB, waited for no longer than that.
    pub(crate) const fn new(kib: usize, timeout: Duration) -> Self {
        Self { free: Semaphore::const_new(kib), kib, timeout }
    }

    /// Nothing of it.
    pub(crate) fn none(&'static self) -> Held {
        Held { room: self, permit: None, since: None }
    }
}

/// What one run takes of a room; given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    room: &'static Room,
    permit: Option<SemaphorePermit<'static>>,
    /// Since when there is a permit.
    since: Option<Instant>,
}

impl Held {
    /// Takes room for an event that has so many bytes by now. It is taken in steps that double, so that few are needed.
    ///
    /// # Errors
    /// Where there is none in time.
    pub(crate) async fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let kib = |bytes: usize| (bytes * WEIGHT).div_ceil(1024);
        let held = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        if self.since.is_some_and(|since| since.elapsed() > MAX_HELD_TIME) {
            return Err(NoRoom::Slow);
        }
        if bytes <= SMALL || kib(bytes).min(self.room.kib) <= held {
            return Ok(());
        }
        // One that is larger than the room has all of it.
        let wanted = kib(bytes.next_power_of_two()).min(self.room.kib);
        let more = u32::try_from(wanted - held).map_err(|_| NoRoom::Taken)?;
        let more = timeout(self.room.timeout, self.room.free.acquire_many(more)).await;
        let more = more.ok().and_then(Result::ok).ok_or(NoRoom::Taken)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => (self.permit, self.since) = (Some(more), Some(Instant::now())),
        }
        Ok(())
    }

    /// Gives back what is not needed for so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if bytes <= SMALL {
            (self.permit, self.since) = (None, None);
        }
    }
}
