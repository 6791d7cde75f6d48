//! `create_temporary_thread`, and the loop that deletes temporary threads.

use std::{collections::HashSet, time::Duration};

use tokio_util::sync::CancellationToken;

use super::Commands;
use crate::{
    protocol::{CreateTemporaryThread, ThreadId, ThreadInfo, http::User},
    server::{
        channel::Channel,
        connections::ConnectionManager,
        error::Result,
        threads::{self, ExpiredThread},
    },
};

/// How often this node records which temporary threads are followed, and deletes those whose time has come.
const SWEEP_INTERVAL: Duration = Duration::from_secs(20);

impl Commands {
    /// Creates a temporary thread with the agent that is named, or the first one that the person may use.
    ///
    /// # Errors
    /// As [`threads::create_temporary`]; the agent is unknown or cannot be used.
    pub async fn create_temporary_thread(&self, user: &User, command: &CreateTemporaryThread) -> Result<ThreadInfo> {
        let agent = self.agents().resolve(command.agent.as_deref(), user)?;
        threads::create_temporary(&self.channels, user, command, (&agent, self.temporary)).await
    }

    /// Deletes temporary threads when their time has come, until `stopping`. `manager` knows which are followed here.
    pub async fn run_temporary_threads(self, manager: ConnectionManager, stopping: CancellationToken) {
        // The first comes after an interval, so that clients can follow their threads again after a restart.
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + SWEEP_INTERVAL, SWEEP_INTERVAL);
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.sweep_temporary_threads(&manager).await {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(deleted, "deleted temporary threads"),
                Err(error) => tracing::warn!(%error, "temporary threads could not be deleted"),
            }
        }
    }

    async fn sweep_temporary_threads(&self, manager: &ConnectionManager) -> Result<usize> {
        let threads = manager.followed().into_iter().filter_map(|channel| match channel {
            Channel::Thread(thread) => Some(thread),
            Channel::User(_) => None,
        });
        let followed: HashSet<ThreadId> = threads.collect();
        threads::record_followed(&self.channels, |thread| followed.contains(&thread)).await?;
        let mut deleted = 0;
        for expired in threads::expired_threads(&self.channels).await? {
            // The others are deleted whatever happens to one of them.
            match self.delete_expired(expired).await {
                Ok(is_deleted) => deleted += usize::from(is_deleted),
                Err(error) => tracing::error!(thread = %expired.id, %error, "a temporary thread could not be deleted"),
            }
        }
        Ok(deleted)
    }

    async fn delete_expired(&self, expired: ExpiredThread) -> Result<bool> {
        let Some(running) = threads::delete_expired(&self.channels, expired).await? else { return Ok(false) };
        self.after_deletion(expired.id, running).await?;
        Ok(true)
    }
}
