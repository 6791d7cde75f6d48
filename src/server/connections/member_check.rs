//! Ends the subscriptions of users who were removed from a thread's members, even if no other node reported it.
//!
//! Twice a second it reads from the store whether any member was removed. If one was, it checks who follows which thread here, and ends the
//! subscriptions of those who may not read the thread any more.

use std::{collections::HashSet, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::nodes::Inner;
use crate::server::{
    channel::Channel,
    error::Result,
    store::Store,
    threads::{self, ThreadUser},
};

/// The time between two reads of whether a member was removed.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Checks until `stopping`.
pub(super) async fn run(node: &Inner, store: &Store, stopping: &CancellationToken) {
    let mut last_removal = None;
    loop {
        if let Err(error) = check(node, store, &mut last_removal).await {
            tracing::warn!(%error, "it cannot be checked who may follow threads; trying again");
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Checks all who follow a thread here if a member was removed since the last check.
async fn check(node: &Inner, store: &Store, last_removal: &mut Option<String>) -> Result<()> {
    // Read first, so that a removal during the check causes another.
    let removal = threads::last_removal(store).await?;
    if removal == *last_removal {
        return Ok(());
    }
    let following = node.manager.thread_followers();
    let following: HashSet<ThreadUser> =
        following.into_iter().map(|(thread_id, user_id)| ThreadUser { thread_id, user_id }).collect();
    for ThreadUser { thread_id, user_id } in threads::revoked(store, &following).await? {
        tracing::info!(thread = %thread_id, user = %user_id, "a subscription ended: the user is no longer a member");
        node.manager.revoke(user_id, Channel::Thread(thread_id));
    }
    *last_removal = removal;
    Ok(())
}
