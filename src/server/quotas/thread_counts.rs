//! Upper bounds of the numbers of threads, so that creating a thread does not count all the others each time.
//!
//! On SQLite this process alone adds threads, so a count plus those that were added since is an upper bound. Only when that exceeds the
//! limit the threads are counted again, as some may have been deleted. On PostgreSQL other nodes add threads, too: there they are always
//! counted.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::MAX_CACHED_USERS;
use crate::{protocol::UserId, server::store::Engine};

/// What was counted, and has been added since.
#[derive(Debug, Default)]
pub(super) struct ThreadCounts(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_user: HashMap<UserId, u64>,
    total: Option<u64>,
}

impl ThreadCounts {
    /// Adds a thread of a person; returns the upper bound of how many they have, if there is one.
    pub(super) fn add_to_user(&self, user: UserId) -> Option<u64> {
        let mut counts = self.0.lock();
        let count = counts.by_user.get_mut(&user)?;
        *count += 1;
        Some(*count)
    }

    /// Adds a thread; returns the upper bound of how many there are, if there is one.
    pub(super) fn add_to_total(&self) -> Option<u64> {
        let mut counts = self.0.lock();
        let count = counts.total.as_mut()?;
        *count += 1;
        Some(*count)
    }

    /// A person's threads were counted.
    pub(super) fn set_user(&self, engine: Engine, user: UserId, count: u64) {
        if engine == Engine::Sqlite {
            let mut counts = self.0.lock();
            if counts.by_user.len() >= MAX_CACHED_USERS {
                counts.by_user.clear();
            }
            counts.by_user.insert(user, count);
        }
    }

    /// All threads were counted.
    pub(super) fn set_total(&self, engine: Engine, count: u64) {
        if engine == Engine::Sqlite {
            self.0.lock().total = Some(count);
        }
    }
}
