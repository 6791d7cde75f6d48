//! Look-ups by key that share statements: those that wait while others are read are answered together by the next statement.
//!
//! Guarantees: the statement that answers a look-up begins after it was requested; if a shared statement fails, each look-up is
//! read alone and gets its own error.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::Hash,
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::server::error::Result;

/// The most keys of one call of the reading function.
const MAX_BATCH: usize = 256;

/// Look-ups of one kind. There are never more waiting look-ups than callers, since each caller waits for its own.
pub(crate) struct Lookups<K, V>(Arc<Mutex<Waiting<K, V>>>);

struct Waiting<K, V> {
    requests: Vec<(K, oneshot::Sender<Option<V>>)>,
    /// Whether a task is reading; the same task then reads what waits.
    is_reading: bool,
}

impl<K, V> Default for Lookups<K, V> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting { requests: Vec::new(), is_reading: false })))
    }
}

impl<K, V> fmt::Debug for Lookups<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}

impl<K, V> Lookups<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// Looks a key up. `read` returns the values of the keys that have one; all callers must pass the same function.
    ///
    /// # Errors
    /// As `read`.
    pub(crate) async fn get<R, F>(&self, key: K, read: R) -> Result<Option<V>>
    where
        R: Fn(Vec<K>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<HashMap<K, V>>> + Send + 'static,
    {
        let (sender, found) = oneshot::channel();
        let is_reading = {
            let mut waiting = self.0.lock();
            waiting.requests.push((key.clone(), sender));
            std::mem::replace(&mut waiting.is_reading, true)
        };
        if !is_reading {
            // In a task of its own, so that it reads for the others even if this caller is cancelled.
            tokio::spawn(read_all(EndReading(self.0.clone()), read.clone()));
        }
        match found.await {
            Ok(found) => Ok(found),
            Err(_) => Ok(read(vec![key.clone()]).await?.remove(&key)),
        }
    }
}

/// Reads until nothing waits.
async fn read_all<K, V, R, F>(reading: EndReading<K, V>, read: R)
where
    K: Clone + Eq + Hash,
    V: Clone,
    R: Fn(Vec<K>) -> F,
    F: Future<Output = Result<HashMap<K, V>>>,
{
    loop {
        let batch: Vec<_> = {
            let mut waiting = reading.0.lock();
            let count = waiting.requests.len().min(MAX_BATCH);
            if count == 0 {
                waiting.is_reading = false;
                return;
            }
            waiting.requests.drain(..count).collect()
        };
        let keys: HashSet<K> = batch.iter().map(|(key, _)| key.clone()).collect();
        // On an error the senders are dropped, and each caller reads alone.
        if let Ok(found) = read(keys.into_iter().collect()).await {
            for (key, sender) in batch {
                let _ = sender.send(found.get(&key).cloned());
            }
        }
    }
}

/// If the reading task panics, what waits is read by its callers, and the next look-up starts another task.
struct EndReading<K, V>(Arc<Mutex<Waiting<K, V>>>);

impl<K, V> Drop for EndReading<K, V> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        // Otherwise the task ended by itself, and another one may be reading.
        if std::thread::panicking() {
            waiting.is_reading = false;
            waiting.requests.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::server::error::Error;

    #[tokio::test]
    async fn look_ups_that_wait_share_a_statement() {
        let (lookups, statements) = (Lookups::<u32, u32>::default(), Arc::new(AtomicUsize::new(0)));
        let read = {
            let statements = statements.clone();
            move |keys: Vec<u32>| {
                statements.fetch_add(1, Ordering::Relaxed);
                async move {
                    tokio::task::yield_now().await;
                    Ok(keys.into_iter().filter(|key| key % 2 == 0).map(|key| (key, key * 10)).collect())
                }
            }
        };
        let found = (0..1_000_u32).map(|n| lookups.get(n % 500, read.clone()));
        let found = futures_util::future::join_all(found).await;
        for (n, found) in (0..1_000_u32).zip(found) {
            let key = n % 500;
            assert_eq!(found.expect("it is read"), (key % 2 == 0).then_some(key * 10));
        }
        assert!(statements.load(Ordering::Relaxed) <= 6, "one for the first, then 256 at a time");
    }

    #[tokio::test]
    async fn a_failed_statement_fails_only_the_look_ups_that_fail_alone() {
        let lookups = Lookups::<u32, u32>::default();
        let read = |keys: Vec<u32>| async move {
            match keys.contains(&3) {
                true => Err(Error::not_found("three")),
                false => Ok(keys.into_iter().map(|key| (key, key)).collect()),
            }
        };
        let found = futures_util::future::join_all((0..8).map(|key| lookups.get(key, read))).await;
        for (key, found) in (0..8).zip(found) {
            assert_eq!(found.ok(), (key != 3).then_some(Some(key)));
        }
    }

    #[tokio::test]
    async fn a_panic_while_reading_ends_no_later_look_up() {
        let (lookups, calls) = (Lookups::<u32, u32>::default(), Arc::new(AtomicUsize::new(0)));
        let read = move |keys: Vec<u32>| {
            let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                assert!(!first, "the first statement panics");
                Ok(keys.into_iter().map(|key| (key, key)).collect())
            }
        };
        for key in 0..3 {
            assert_eq!(lookups.get(key, read.clone()).await.expect("it is read"), Some(key));
        }
    }
}
