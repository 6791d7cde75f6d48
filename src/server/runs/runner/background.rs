//! Background work of a runner: renews the lease, ends lost runs, and unblocks queued runs.

use std::collections::HashSet;

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{BLOCKED_CHECK_INTERVAL, ORPHAN_TIMEOUT, Runner};
use crate::{
    protocol::RunId,
    server::{
        clock::now_ms,
        error::{Error, Result},
        leases::OpenRun,
        runs::{
            failures::{SERVER_LOST, SERVER_RESTARTED},
            run::failed,
            run_log::{LogError, RunLog},
        },
        threads::{self, NewRun},
    },
    thread::{EndKind, RunEnd, RunState},
};

impl Runner {
    /// Takes this node's lease and ends runs that a crashed process left open; returns their number. Call it at start-up, before
    /// requests are accepted.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn recover(&self) -> Result<usize> {
        let leases = &self.0.leases;
        leases.end_others().await?;
        leases.renew().await?;
        leases.claim().await?;
        let message = "the server was restarted before the run ended; what was said so far is kept, ask again";
        self.end_lost(leases.open_runs().await?, &failed(SERVER_RESTARTED, message)).await
    }

    /// Renews the lease, ends lost runs, resumes runs with expired interrupts, and starts queued runs, until shutdown.
    pub async fn run_background_tasks(&self) {
        tokio::join!(self.lease_loop(), self.unblock_loop(), self.resume_expired_loop());
    }

    /// Unblocks queued runs that wait for an earlier run of their thread: when a run ended on this node, and at intervals, in case
    /// the earlier run is on another node or waits for an answer.
    async fn unblock_loop(&self) {
        let unblock = async {
            loop {
                let blocked = self.0.state.lock().queue.blocked();
                if blocked.is_empty() {
                    self.0.may_unblock.notified().await;
                } else {
                    let _ = timeout(BLOCKED_CHECK_INTERVAL, self.0.may_unblock.notified()).await;
                }
                if let Err(error) = self.unblock().await {
                    tracing::warn!(%error, "the store cannot be read to see which queued runs may start");
                    sleep(BLOCKED_CHECK_INTERVAL).await;
                }
            }
        };
        self.0.stopping.run_until_cancelled(unblock).await;
    }

    async fn unblock(&self) -> Result<()> {
        let blocked = self.0.state.lock().queue.blocked();
        for (thread_id, known) in blocked {
            // Their order may have changed, and messages may have been read by another run.
            let orders = threads::run_orders(&self.0.channels, thread_id).await?.into_iter().collect();
            let first = {
                let mut state = self.0.state.lock();
                let first = state.queue.reorder(thread_id, &known, &orders);
                self.0.start_ready(&mut state);
                first
            };
            let Some((run_id, order)) = first else { continue };
            if threads::is_blocked(&self.0.channels, thread_id, order).await? {
                continue;
            }
            let mut state = self.0.state.lock();
            // Another run of the thread may have started since, and may end with an interrupt. Its end triggers the next check.
            if !state.active.values().any(|active| active.run.thread_id == thread_id) {
                state.queue.unblock(run_id);
                self.0.start_ready(&mut state);
            }
        }
        Ok(())
    }

    async fn lease_loop(&self) {
        let mut ticks = interval(self.0.leases.renew_interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.0.stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.maintain_leases().await {
                tracing::warn!(%error, "leases and lost runs cannot be checked");
            }
        }
    }

    async fn maintain_leases(&self) -> Result<()> {
        let leases = &self.0.leases;
        {
            let _lock = self.0.lease_lock.lock().await;
            if self.0.stopping.is_cancelled() {
                return Ok(());
            }
            leases.renew().await?;
        }
        let waiting = self.0.state.lock().queue.ids();
        let open = leases.open_runs().await?;
        self.remove_closed(&waiting, &open);
        open.iter().filter(|run| run.stopped).for_each(|run| self.stop(run.run_id));
        let message = "the server that ran it is gone; what was said so far is kept, ask again";
        self.end_lost(leases.claim().await?, &failed(SERVER_LOST, message)).await?;
        let age = i64::try_from(ORPHAN_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
        let before = now_ms().saturating_sub(age);
        let message = "the run's events could not be stored for a while, so it was ended; ask again";
        let old = open.into_iter().filter(|run| run.started_at <= before).collect();
        self.end_lost(old, &failed("lost", message)).await?;
        Ok(())
    }

    /// Removes runs from the queue that are no longer open on this node: taken back, taken over or deleted, without a notification.
    /// `waiting` was read before `open`.
    fn remove_closed(&self, waiting: &[RunId], open: &[OpenRun]) {
        let open: HashSet<RunId> = open.iter().map(|run| run.run_id).collect();
        let mut state = self.0.state.lock();
        let before = state.queue.len();
        for closed in waiting.iter().filter(|id| !open.contains(*id)) {
            state.queue.remove(*closed);
        }
        if state.queue.len() < before {
            self.0.start_ready(&mut state);
        }
    }

    /// Releases the lease. Call it when the last run has ended, since other nodes may then take over this node's runs.
    pub async fn release_lease(&self) {
        self.0.stopping.cancel();
        let _lock = self.0.lease_lock.lock().await;
        if let Err(error) = self.0.leases.release().await {
            tracing::warn!(%error, "the lease could not be released; it expires by itself");
        }
    }

    /// Ends runs that no task executes, and queues those that had not started; returns how many were ended.
    async fn end_lost(&self, orphans: Vec<OpenRun>, ending: &RunEnd) -> Result<usize> {
        let mut ended = 0;
        for OpenRun { run_id, thread_id, owner, requested_by, agent, order, stopped, .. } in orphans {
            let is_known = {
                let state = self.0.state.lock();
                state.active.contains_key(&run_id) || state.queue.contains(run_id)
            };
            if is_known {
                continue;
            }
            let (seq, view) = match self.0.channels.thread(thread_id).await {
                Ok((at, view)) => (at.seq, view),
                Err(error @ (Error::Store(_) | Error::Shared(_))) => return Err(error),
                Err(error) => {
                    tracing::error!(thread = %thread_id, %error, "a thread cannot be read; its run ends without it");
                    Default::default()
                }
            };
            if let Some(run) = view.run(run_id).filter(|run| run.state == RunState::Waiting) {
                let resumes = run.resumes;
                tracing::info!(run = %run_id, thread = %thread_id, "a run of another node that had not started is queued here now");
                if stopped {
                    self.stop(run_id);
                }
                self.start(NewRun { run_id, thread_id, owner, requested_by, agent, resumes, order, blocked: true });
                continue;
            }
            let log = RunLog::new(&self.0.channels, &self.0.options, thread_id, run_id, (requested_by, &agent));
            let cancelled = RunEnd::from(EndKind::Cancelled);
            match log.with_view(seq, view).end(if stopped { &cancelled } else { ending }).await {
                Ok(()) => {
                    tracing::warn!(run = %run_id, thread = %thread_id, "a lost run was ended");
                    ended += 1;
                }
                Err(LogError::Closed) => {}
                Err(LogError::Store(error)) => return Err(error),
            }
        }
        Ok(ended)
    }
}
