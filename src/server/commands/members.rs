//! `add_member`, `remove_member` and `leave_thread`.

use super::Commands;
use crate::{
    protocol::{AddMember, LeaveThread, RemoveMember, http::User},
    server::{
        error::Result,
        threads::{self, ThreadUser},
    },
};

impl Commands {
    /// Makes a user a member of a thread, unless this server is configured without members.
    ///
    /// # Errors
    /// As [`threads::add_member`] and [`threads::check_enabled`].
    pub async fn add_member(&self, user: &User, command: &AddMember) -> Result<()> {
        threads::check_enabled(self.has_members)?;
        threads::add_member(&self.channels, user, command).await
    }

    /// Removes a member, and ends their subscriptions of the thread on every node.
    ///
    /// # Errors
    /// As [`threads::remove_member`].
    pub async fn remove_member(&self, user: &User, command: &RemoveMember) -> Result<()> {
        let removed = threads::remove_member(&self.channels, user, command).await?;
        self.end_subscriptions(removed);
        Ok(())
    }

    /// Removes the user from a thread's members, and ends their subscriptions of the thread on every node.
    ///
    /// # Errors
    /// As [`threads::leave`].
    pub async fn leave_thread(&self, user: &User, command: &LeaveThread) -> Result<()> {
        let removed = threads::leave(&self.channels, user, command).await?;
        self.end_subscriptions(removed);
        Ok(())
    }

    fn end_subscriptions(&self, removed: Option<ThreadUser>) {
        if let Some(ThreadUser { thread_id, user_id }) = removed {
            self.nodes.member_removed(thread_id, user_id);
        }
    }
}
