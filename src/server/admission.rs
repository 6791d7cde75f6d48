//! Limits how many page requests are rendered, per client and in total, so that one client does not delay the others.
//!
//! Guarantees: one client uses at most half of the slots of [`offload`] at once; its other requests wait in its own queue. A
//! request is refused with a retry time if the queue is full or the wait too long.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{protocol::UserId, server::offload};

/// The most requests of one client at once, including those that wait.
pub(super) const MAX_PER_CLIENT: usize = 32;
/// The most requests of all clients together.
const MAX_TOTAL: usize = 512;
/// How long a request may wait for its slot.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// The retry time of refused requests, in milliseconds.
pub(super) const RETRY_MS: u64 = 2_000;

/// A client, whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// A signed-in user.
    Person(UserId),
    /// Everyone who is not signed in, by IP address.
    Address(IpAddr),
}

/// There are too many requests, or this one waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

/// The admitted and the waiting page requests. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: Arc<Semaphore>,
    queues: Mutex<HashMap<Client, Weak<Queue>>>,
    /// How many requests of one client are rendered at once.
    slots_per_client: usize,
}

/// The queue of one client. Dropped with its last request.
#[derive(Debug)]
struct Queue {
    admission: Weak<Inner>,
    client: Client,
    /// One permit for each request, waiting or rendered.
    places: Arc<Semaphore>,
    /// One permit for each request that is rendered.
    slots: Arc<Semaphore>,
}

/// Permission to render a request. Dropping it gives the slot back.
#[derive(Debug)]
pub(super) struct Admitted {
    _slot: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
    // The last field, so that the permits are returned before the queue is dropped.
    _queue: Arc<Queue>,
}

impl Admission {
    pub(crate) fn new() -> Self {
        let slots_per_client = (offload::slot_count() / 2).max(1);
        Self(Arc::new(Inner { total: Arc::new(Semaphore::new(MAX_TOTAL)), queues: Mutex::default(), slots_per_client }))
    }

    /// Adds a request to its client's queue and waits for a slot.
    ///
    /// # Errors
    /// A limit is reached, or the wait is too long.
    pub(super) async fn admit(&self, client: Client) -> Result<Admitted, Busy> {
        let total = self.0.total.clone().try_acquire_owned().map_err(|_| Busy)?;
        let queue = self.queue(client);
        let place = queue.places.clone().try_acquire_owned().map_err(|_| Busy)?;
        let slot = timeout(WAIT_TIMEOUT, queue.slots.clone().acquire_owned()).await;
        let slot = slot.map_err(|_| Busy)?.map_err(|_| Busy)?;
        Ok(Admitted { _slot: slot, _place: place, _total: total, _queue: queue })
    }

    fn queue(&self, client: Client) -> Arc<Queue> {
        let mut queues = self.0.queues.lock();
        if let Some(queue) = queues.get(&client).and_then(Weak::upgrade) {
            return queue;
        }
        let queue = Arc::new(Queue {
            admission: Arc::downgrade(&self.0),
            client,
            places: Arc::new(Semaphore::new(MAX_PER_CLIENT)),
            slots: Arc::new(Semaphore::new(self.0.slots_per_client)),
        });
        queues.insert(client, Arc::downgrade(&queue));
        queue
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let Some(admission) = self.admission.upgrade() else { return };
        let mut queues = admission.queues.lock();
        // A new queue of the client may have replaced this one.
        if queues.get(&self.client).is_some_and(|queue| queue.strong_count() == 0) {
            queues.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_client_fills_only_its_own_queue() {
        let admission = Admission::new();
        let (ada, bob) = (Client::Person(UserId::new()), Client::Person(UserId::new()));
        let first = admission.admit(ada).await.expect("the request is admitted");
        let mut waiting = Vec::new();
        for _ in 1..MAX_PER_CLIENT {
            let mut request = Box::pin(admission.admit(ada));
            assert!(poll!(&mut request).is_pending() || admission.0.slots_per_client > 1);
            waiting.push(request);
        }
        assert_eq!(admission.admit(ada).await.expect_err("the queue is full"), Busy);
        drop(admission.admit(bob).await.expect("the other client's queue is not"));

        drop(first);
        let mut next = pin!(waiting.remove(0));
        assert!(poll!(&mut next).is_ready(), "the request that waited longest is next");
    }

    #[tokio::test]
    async fn a_queue_is_dropped_with_its_last_request() {
        let admission = Admission::new();
        for last in 0..100 {
            let client = Client::Address([192, 0, 2, last].into());
            let admitted = admission.admit(client).await.expect("the request is admitted");
            assert_eq!(admission.0.queues.lock().len(), 1);
            drop(admitted);
        }
        assert!(admission.0.queues.lock().is_empty());
        assert_eq!(admission.0.total.available_permits(), MAX_TOTAL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_too_long_is_refused_and_leaves_the_queue() {
        let admission = Admission::new();
        let ada = Client::Person(UserId::new());
        let mut held = Vec::new();
        for _ in 0..admission.0.slots_per_client {
            held.push(admission.admit(ada).await.expect("the request is admitted"));
        }
        assert_eq!(admission.admit(ada).await.expect_err("no slot becomes free"), Busy);
        assert_eq!(held[0]._queue.places.available_permits(), MAX_PER_CLIENT - held.len());
    }
}
