//! Caches the owners of threads, for subscriptions. A thread never changes its owner, so an owner that was read once stays valid.

use parking_lot::Mutex;

use super::queries;
use crate::{
    protocol::{ThreadId, UserId},
    server::{
        bounded_cache::BoundedCache,
        error::{Error, Result},
        store::{Lookups, Store},
    },
};

/// The most owners that are kept; each takes about 60 bytes.
const MAX_CACHED_OWNERS: usize = 200_000;

/// The owners of the threads that were subscribed to last.
#[derive(Debug)]
pub struct Owners {
    lookups: Lookups<ThreadId, UserId>,
    known: Mutex<BoundedCache<ThreadId, UserId>>,
}

impl Default for Owners {
    fn default() -> Self {
        Self { lookups: Lookups::default(), known: Mutex::new(BoundedCache::new(MAX_CACHED_OWNERS)) }
    }
}

impl Owners {
    /// Checks that a thread is a person's. It may have been deleted: the caller reads its log next, which a deleted one does not have.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn check(&self, store: &Store, user: UserId, thread: ThreadId) -> Result<()> {
        let known = self.known.lock().get(&thread).copied();
        let owner = match known {
            Some(owner) => Some(owner),
            None => {
                let statement = {
                    let store = store.clone();
                    move |threads: Vec<ThreadId>| {
                        let store = store.clone();
                        async move { queries::owners(store.reader(), store.engine(), &threads).await }
                    }
                };
                let owner = self.lookups.get(thread, statement).await?;
                if let Some(owner) = owner {
                    self.known.lock().insert(thread, owner, 1);
                }
                owner
            }
        };
        if owner == Some(user) { Ok(()) } else { Err(Error::not_found("thread")) }
    }
}
