//! What a runner does turn by turn: its lease, the runs that nobody lives, and those whose turn may have come.

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
            run_log::{Lost, RunLog},
        },
        threads::{self, NewRun},
    },
    thread::{EndKind, RunEnd, RunState},
};

impl Runner {
    /// Takes this node's lease and ends the runs that nobody lives: those of a process that died. For start-up, before
    /// people come in. Answers how many.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn recover(&self) -> Result<usize> {
        let leases = &self.0.leases;
        leases.end_others().await?;
        leases.renew().await?;
        leases.claim().await?;
        let message = "the server was restarted before the run ended; what was said so far is kept, ask again";
        self.end_lost(leases.open_runs().await?, &failed(SERVER_RESTARTED, message)).await
    }

    /// Renews the lease, looks after what is lost and what nobody answers, and lets those begin whose turn has come; returns when
    /// the server ends.
    pub async fn tend(&self) {
        tokio::join!(self.tend_leases(), self.tend_queue(), self.tend_silence());
    }

    /// Asks the store for those that wait for an earlier run of their thread: when one ended here, and every now and then,
    /// for one that goes on elsewhere or waits for a person.
    async fn tend_queue(&self) {
        let look = async {
            loop {
                let blocked = self.0.state.lock().queue.blocked();
                if blocked.is_empty() {
                    self.0.freed.notified().await;
                } else {
                    let _ = timeout(BLOCKED_CHECK_INTERVAL, self.0.freed.notified()).await;
                }
                if let Err(error) = self.look().await {
                    tracing::warn!(%error, "the store cannot be asked whose turn it is");
                    sleep(BLOCKED_CHECK_INTERVAL).await;
                }
            }
        };
        self.0.ending.run_until_cancelled(look).await;
    }

    async fn look(&self) -> Result<()> {
        let blocked = self.0.state.lock().queue.blocked();
        for (run_id, thread_id, place) in blocked {
            if threads::is_blocked(&self.0.channels, thread_id, place).await? {
                continue;
            }
            let mut state = self.0.state.lock();
            // One of its thread that began since then may end with a question: its end has the store asked again.
            if !state.active.values().any(|active| active.run.thread_id == thread_id) {
                state.queue.unblock(run_id);
                self.0.start_ready(&mut state);
            }
        }
        Ok(())
    }

    async fn tend_leases(&self) {
        let mut turns = interval(self.0.leases.renew_interval());
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.0.ending.run_until_cancelled(turns.tick()).await.is_some() {
            if let Err(error) = self.turn().await {
                tracing::warn!(%error, "the store cannot be asked for lost runs now");
            }
        }
    }

    async fn turn(&self) -> Result<()> {
        let leases = &self.0.leases;
        {
            let _lock = self.0.lease_lock.lock().await;
            if self.0.ending.is_cancelled() {
                return Ok(());
            }
            leases.renew().await?;
        }
        let waiting = self.0.state.lock().queue.ids();
        let open = leases.open_runs().await?;
        self.let_go(&waiting, &open);
        open.iter().filter(|run| run.stopped).for_each(|run| self.stop(run.run_id));
        let message = "the server that ran it is gone; what was said so far is kept, ask again";
        self.end_lost(leases.claim().await?, &failed(SERVER_LOST, message)).await?;
        let age = i64::try_from(ORPHAN_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
        let (before, message) = (
            now_ms().saturating_sub(age),
            "the run's events could not be stored for a while, and it had to end; ask again",
        );
        let old = open.into_iter().filter(|run| run.started_at <= before).collect();
        self.end_lost(old, &failed("lost", message)).await?;
        Ok(())
    }

    /// Lets go of runs that waited here before it was asked what is open, and are not any more: taken back, taken over or
    /// deleted, and nobody told this node.
    fn let_go(&self, waiting: &[RunId], open: &[OpenRun]) {
        let open: HashSet<RunId> = open.iter().map(|run| run.run_id).collect();
        let mut state = self.0.state.lock();
        let before = state.queue.len();
        for gone in waiting.iter().filter(|id| !open.contains(*id)) {
            state.queue.remove(*gone);
        }
        if state.queue.len() < before {
            self.0.start_ready(&mut state);
        }
    }

    /// Gives the lease back, when the last run has ended: until then it is renewed, so that nobody takes them over.
    pub async fn leave(&self) {
        self.0.ending.cancel();
        let _lock = self.0.lease_lock.lock().await;
        if let Err(error) = self.0.leases.leave().await {
            tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
        }
    }

    async fn end_lost(&self, orphans: Vec<OpenRun>, ending: &RunEnd) -> Result<usize> {
        let mut ended = 0;
        for OpenRun { run_id, thread_id, owner, agent, place, stopped, .. } in orphans {
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
                tracing::info!(run = %run_id, thread = %thread_id, "a run that had not begun waits here now");
                if stopped {
                    self.stop(run_id);
                }
                self.start(NewRun { run_id, thread_id, owner, agent, resumes, place, blocked: true });
                continue;
            }
            let log = RunLog::new(&self.0.channels, &self.0.options, thread_id, run_id, (owner, &agent));
            let cancelled = RunEnd::from(EndKind::Cancelled);
            match log.at(seq, view).end(if stopped { &cancelled } else { ending }).await {
                Ok(()) => {
                    tracing::warn!(run = %run_id, thread = %thread_id, "a lost run was ended");
                    ended += 1;
                }
                Err(Lost::Over) => {}
                Err(Lost::Store(error)) => return Err(error),
            }
        }
        Ok(ended)
    }
}
