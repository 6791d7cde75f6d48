//! Runs that wait for a person who does not come: once the last of their questions has expired, their agents go on.
//!
//! Every node looks; the transaction that answers lets one of them, or a person who was faster, have it. What expired while
//! no server ran goes on when one does. An agent goes on from silence once: where nobody answers what it asks then, either,
//! its turn ends, so that nothing asks an empty room for ever.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Runner;
use crate::server::{
    auth::by_id,
    error::{Error, Result},
    runs::run::failed,
    threads::{self, Expired},
};

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Runner {
    /// Looks until the server ends.
    pub(super) async fn tend_silence(&self) {
        let mut turns = interval(LOOK_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.0.ending.run_until_cancelled(turns.tick()).await.is_some() {
            if let Err(error) = self.end_silence().await {
                tracing::warn!(%error, "the store cannot be asked now for what nobody answered");
            }
        }
    }

    async fn end_silence(&self) -> Result<()> {
        let channels = &self.0.channels;
        for silent in threads::unanswered(channels).await? {
            // Where there is no room for another run now, there will be.
            if self.admit(silent.owner).is_err() {
                continue;
            }
            let Some(owner) = by_id(channels.store(), silent.owner).await? else { continue };
            let expired = match threads::expire(channels, &owner, silent).await {
                Err(error @ (Error::Store(_) | Error::Shared(_))) => return Err(error),
                // One that cannot be given up keeps no other waiting.
                Err(error) => {
                    tracing::warn!(run = %silent.run_id, %error, "what nobody answered cannot be given up");
                    continue;
                }
                Ok(expired) => expired,
            };
            let Some(Expired { run, again }) = expired else { continue };
            tracing::info!(run = %silent.run_id, thread = %silent.thread_id, again, "nobody answered in time");
            if again {
                let ending = failed("unanswered", "nobody answered, twice in a row; say something to go on");
                self.0.spawn(&mut self.0.state.lock(), run, Some(ending));
            } else {
                self.start(run);
            }
        }
        Ok(())
    }
}
