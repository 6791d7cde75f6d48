//! Entries for the feeds of several users, collected before they are appended: all transactions lock feeds in the order of their ids.

use std::collections::BTreeMap;

use crate::{
    protocol::{UserEntry, UserId},
    server::access::ThreadRow,
};

/// Entries for feeds, by user.
#[derive(Debug, Default)]
pub struct FeedEntries(BTreeMap<UserId, Vec<UserEntry>>);

impl FeedEntries {
    /// Adds an entry for one user.
    pub fn add(&mut self, user: UserId, entry: UserEntry) {
        self.0.entry(user).or_default().push(entry);
    }

    /// Adds an entry about a run for the owner and all members of its thread.
    pub fn add_for_all(&mut self, thread: &ThreadRow, entry: &UserEntry) {
        for user in thread.users() {
            self.add(user, thread.entry_for(user, entry));
        }
    }

    /// Adds what a change of a thread means for each list that has it.
    pub fn add_change(&mut self, before: &ThreadRow, after: &ThreadRow) {
        for user in after.users() {
            let (before, after) = (before.info_for(user), after.info_for(user));
            if before == after {
                continue;
            }
            let entry = match before.archived == after.archived {
                true => UserEntry::Thread { thread: after },
                false => UserEntry::Archived { thread: after },
            };
            self.add(user, entry);
        }
    }

    /// The entries, in the order of users.
    pub(super) fn into_sorted(self) -> BTreeMap<UserId, Vec<UserEntry>> {
        self.0
    }
}
