//! Which page requests are worked on: bounded for each client and in all, so that nobody's pages wait long for another's.
//!
//! Promises: of one client at most half of the slots of [`offload`] are used at once; the rest of its requests wait in a line
//! of its own; a request that finds the line full, or waits too long, is refused with the time to try again.

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

/// How many requests of one client are there at once, those that wait among them.
pub(super) const MAX_PER_CLIENT: usize = 32;
/// How many of all clients together.
const MAX_IN_ALL: usize = 512;
/// How long a request may wait for its turn.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// When to try again.
pub(super) const RETRY_MS: u64 = 2_000;

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// Somebody who is signed in.
    Person(UserId),
    /// Whoever is not, by where they are.
    Address(IpAddr),
}

/// Too many requests are there already, or one waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

/// The page requests that are there; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    in_all: Arc<Semaphore>,
    lines: Mutex<HashMap<Client, Weak<Line>>>,
    at_once: usize,
}

/// The requests of one client. Dropped with the last of them.
#[derive(Debug)]
struct Line {
    admission: Weak<Inner>,
    client: Client,
    /// Places in the line.
    places: Arc<Semaphore>,
    /// Turns at work.
    turns: Arc<Semaphore>,
}

/// The right to work on a request, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
    _in_all: OwnedSemaphorePermit,
    // Last: the permits go back before the line is gone.
    _line: Arc<Line>,
}

impl Admission {
    pub(crate) fn new() -> Self {
        let at_once = (offload::slots() / 2).max(1);
        Self(Arc::new(Inner { in_all: Arc::new(Semaphore::new(MAX_IN_ALL)), lines: Mutex::default(), at_once }))
    }

    /// Takes a request in and waits for its turn.
    pub(super) async fn admit(&self, client: Client) -> Result<Admitted, Busy> {
        let in_all = self.0.in_all.clone().try_acquire_owned().map_err(|_| Busy)?;
        let line = self.line(client);
        let place = line.places.clone().try_acquire_owned().map_err(|_| Busy)?;
        let turn = timeout(WAIT_TIMEOUT, line.turns.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| Busy)?.map_err(|_| Busy)?;
        Ok(Admitted { _turn: turn, _place: place, _in_all: in_all, _line: line })
    }

    fn line(&self, client: Client) -> Arc<Line> {
        let mut lines = self.0.lines.lock();
        if let Some(line) = lines.get(&client).and_then(Weak::upgrade) {
            return line;
        }
        let line = Arc::new(Line {
            admission: Arc::downgrade(&self.0),
            client,
            places: Arc::new(Semaphore::new(MAX_PER_CLIENT)),
            turns: Arc::new(Semaphore::new(self.0.at_once)),
        });
        lines.insert(client, Arc::downgrade(&line));
        line
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let Some(admission) = self.admission.upgrade() else { return };
        let mut lines = admission.lines.lock();
        // Another may stand in its place by now.
        if lines.get(&self.client).is_some_and(|line| line.strong_count() == 0) {
            lines.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn one_client_fills_its_own_line_and_nobody_elses() {
        let admission = Admission::new();
        let (ada, bob) = (Client::Person(UserId::new()), Client::Person(UserId::new()));
        let first = admission.admit(ada).await.expect("there is room");
        let mut waiting = Vec::new();
        for _ in 1..MAX_PER_CLIENT {
            let mut request = Box::pin(admission.admit(ada));
            assert!(poll!(&mut request).is_pending() || admission.0.at_once > 1);
            waiting.push(request);
        }
        assert_eq!(admission.admit(ada).await.expect_err("the line is full"), Busy);
        drop(admission.admit(bob).await.expect("another's line is not"));

        drop(first);
        let mut next = pin!(waiting.remove(0));
        assert!(poll!(&mut next).is_ready(), "the one that waits longest is next");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_client_whose_requests_are_gone() {
        let admission = Admission::new();
        for last in 0..100 {
            let client = Client::Address([192, 0, 2, last].into());
            let admitted = admission.admit(client).await.expect("there is room");
            assert_eq!(admission.0.lines.lock().len(), 1);
            drop(admitted);
        }
        assert!(admission.0.lines.lock().is_empty());
        assert_eq!(admission.0.in_all.available_permits(), MAX_IN_ALL);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_refused_and_leaves_the_line() {
        let admission = Admission::new();
        let ada = Client::Person(UserId::new());
        let mut held = Vec::new();
        for _ in 0..admission.0.at_once {
            held.push(admission.admit(ada).await.expect("there is room"));
        }
        assert_eq!(admission.admit(ada).await.expect_err("nothing comes free"), Busy);
        assert_eq!(held[0]._line.places.available_permits(), MAX_PER_CLIENT - held.len());
    }
}
