//! Resumes runs whose interrupts have all expired without an answer.
//!
//! Every node checks for them; the transaction that records them as expired ensures that only one node resumes a run, and only if the
//! user has not answered. Interrupts that expired while no server ran are handled at the next start. An agent is resumed without an
//! answer once: if the next interrupts expire too, the turn ends, so that an agent does not ask forever.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Runner;
use crate::server::{
    access::Access,
    auth::user_by_id,
    error::{Error, Result},
    runs::run::failed,
    threads::{self, Expired, Unanswered},
};

/// The time between two checks for expired interrupts.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl Runner {
    /// Resumes runs with expired interrupts, until shutdown.
    pub(super) async fn resume_expired_loop(&self) {
        let mut ticks = interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.0.stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.resume_expired().await {
                tracing::warn!(%error, "the expired interrupts cannot be read from the store; trying again");
            }
        }
    }

    async fn resume_expired(&self) -> Result<()> {
        let channels = &self.0.channels;
        for unanswered in threads::unanswered(channels).await? {
            let Unanswered { thread_id, owner, requested_by, .. } = unanswered;
            // The run goes on for who requested it, or for the owner if that user may not write in the thread any more.
            let may_write = threads::authorise(channels, requested_by, thread_id, Access::Write).await;
            let user = if matches!(may_write, Err(Error::Refused(_))) { owner } else { requested_by };
            // Try again at the next check if the queue is full now.
            if self.admit(user).is_err() {
                continue;
            }
            let Some(user) = user_by_id(channels.store(), user).await? else { continue };
            let expired = match threads::expire(channels, &user, unanswered).await {
                Err(error @ (Error::Store(_) | Error::Shared(_))) => return Err(error),
                // The error concerns this run only.
                Err(error) => {
                    tracing::warn!(run = %unanswered.run_id, %error, "the expired interrupts of a run cannot be answered");
                    continue;
                }
                Ok(expired) => expired,
            };
            let Some(Expired { run, repeated }) = expired else { continue };
            tracing::info!(run = %unanswered.run_id, thread = %unanswered.thread_id, again = repeated, "the interrupts of a run expired");
            if repeated {
                let ending = failed("unanswered", "nobody answered, twice in a row; send a message to continue");
                self.0.spawn(&mut self.0.state.lock(), run, Some(ending));
            } else {
                self.start(run);
            }
        }
        Ok(())
    }
}
