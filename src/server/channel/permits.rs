//! Who may write: a permit for each writing transaction, and the commands that wait for one.

use std::{collections::VecDeque, future::pending, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::shared_transaction::SharedTransaction;
use crate::server::{
    error::{Error, Result},
    store::Engine,
};

/// A permit for each writing transaction, held from its beginning until its entries are delivered. On SQLite there is one permit, so entries are
/// delivered in the order of commits. On PostgreSQL two deliveries of a channel may swap; their receivers then read the store.
#[derive(Debug)]
pub(super) struct Permits {
    permits: Arc<Semaphore>,
    /// Commands that wait, for a permit or for the transaction of another command; empty on PostgreSQL.
    waiting: Mutex<VecDeque<oneshot::Sender<SharedTransaction>>>,
    engine: Engine,
}

/// What a command acquired to write with.
pub(super) enum Acquired {
    /// A permit: the command begins a transaction.
    Begin(OwnedSemaphorePermit),
    /// The transaction of other commands, which it joins.
    Join(SharedTransaction),
}

impl Permits {
    pub(super) fn new(engine: Engine) -> Self {
        let permits = Arc::new(Semaphore::new(engine.writers() as usize));
        Self { permits, waiting: Mutex::default(), engine }
    }

    /// Waits for a permit.
    pub(super) async fn acquire(&self) -> Result<OwnedSemaphorePermit> {
        let closed = |_| Error::Corrupt("the log is closed".into());
        self.permits.clone().acquire_owned().await.map_err(closed)
    }

    /// Waits for a permit, or for a transaction that another command hands over.
    pub(super) async fn acquire_or_join(&self) -> Result<Acquired> {
        if self.engine == Engine::Postgres {
            return self.acquire().await.map(Acquired::Begin);
        }
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(Acquired::Begin(permit));
        }
        let (sender, mut receiver) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            // Commands that have got a permit meanwhile, or were cancelled, are still in the list.
            while waiting.front().is_some_and(oneshot::Sender::is_closed) {
                waiting.pop_front();
            }
            waiting.push_back(sender);
        }
        let handed = async {
            match (&mut receiver).await {
                Ok(transaction) => transaction,
                Err(_) => pending().await,
            }
        };
        let permit = tokio::select! {
            biased;
            transaction = handed => return Ok(Acquired::Join(transaction)),
            permit = self.acquire() => permit?,
        };
        receiver.close();
        // A transaction may have been handed over at the same moment.
        Ok(receiver.try_recv().map_or(Acquired::Begin(permit), Acquired::Join))
    }

    /// The command that has waited longest.
    pub(super) fn next_waiting(&self) -> Option<oneshot::Sender<SharedTransaction>> {
        self.waiting.lock().pop_front()
    }
}
