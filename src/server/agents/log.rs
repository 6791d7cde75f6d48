//! A run's own view of its thread's log: what it appends, and what it has open.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::runner::RunnerOptions;
use crate::{
    protocol::{
        RunId, RunPhase, ThreadEntry, ThreadId, UserEntry, UserId,
        agui::{Event, RunStarted},
    },
    server::{
        channel::Channels,
        error::{Error, Result},
        metrics,
        store::now_ms,
    },
    thread::{Ending, ThreadView},
};

/// The AG-UI version that runs declare.
const AG_UI: &str = "1.0";
/// While the store fails: the first and the longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Why a run's log takes nothing more.
#[derive(Debug)]
pub(super) enum Lost {
    /// The run is over, or its thread was deleted.
    Over,
    /// The store failed for longer than we wait.
    Store(Error),
}

/// Where a run writes.
#[derive(Debug)]
pub(super) struct RunLog {
    channels: Channels,
    /// How long a failing store is tried again.
    patience: Duration,
    thread_id: ThreadId,
    run_id: RunId,
    owner: UserId,
    /// The run as whoever follows the thread sees it.
    pub(super) view: ThreadView,
}

impl RunLog {
    /// The log of a new run. For one found open, `view` is its thread's.
    pub(super) fn new(
        channels: &Channels,
        options: &RunnerOptions,
        thread_id: ThreadId,
        run_id: RunId,
        owner: UserId,
    ) -> Self {
        let (channels, patience, view) = (channels.clone(), options.store_patience, ThreadView::default());
        Self { channels, patience, thread_id, run_id, owner, view }
    }

    /// Begins the run.
    pub(super) async fn begin(&mut self) -> Result<(), Lost> {
        let started =
            RunStarted { protocol_version: Some(AG_UI.into()), ..RunStarted::new(self.thread_id, self.run_id) };
        self.append(vec![started.into()]).await
    }

    /// Appends events, all or none.
    pub(super) async fn append(&mut self, events: Vec<Event>) -> Result<(), Lost> {
        self.write(events, None).await
    }

    /// Ends the run: what is open is closed, the terminal event follows, and the owner's feed hears of it, in one step.
    pub(super) async fn end(&mut self, ending: &Ending) -> Result<(), Lost> {
        if self.view.run(self.run_id).is_none() {
            self.view.apply(now_ms(), self.entry(RunStarted::new(self.thread_id, self.run_id).into()));
        }
        let events = self.view.run(self.run_id).map(|run| run.ending(self.thread_id, ending)).unwrap_or_default();
        let phase = match ending {
            Ending::Finished(_) => RunPhase::Finished,
            Ending::Cancelled => RunPhase::Cancelled,
            Ending::Failed { .. } => RunPhase::Failed,
        };
        self.write(events, Some(phase)).await
    }

    async fn write(&mut self, events: Vec<Event>, end: Option<RunPhase>) -> Result<(), Lost> {
        if events.is_empty() {
            return Ok(());
        }
        let entries: Vec<ThreadEntry> = events.into_iter().map(|event| self.entry(event)).collect();
        let (give_up, mut wait) = (Instant::now() + self.patience, RETRY.0);
        loop {
            match self.try_write(&entries, end).await {
                Ok(true) => break,
                Ok(false) => return Err(Lost::Over),
                Err(Error::Store(error)) if Instant::now() < give_up => {
                    metrics::store_failed();
                    tracing::warn!(run = %self.run_id, %error, "a run's events wait for the store");
                    sleep(wait).await;
                    wait = (wait * 2).min(RETRY.1);
                }
                Err(error) => return Err(Lost::Store(error)),
            }
        }
        let at = now_ms();
        end.into_iter().for_each(metrics::run_ended);
        for entry in entries {
            self.view.apply(at, entry);
        }
        Ok(())
    }

    /// One transaction; answers whether the run still goes on, and nothing is written where it does not.
    async fn try_write(&self, entries: &[ThreadEntry], end: Option<RunPhase>) -> Result<bool> {
        let mut tx = self.channels.begin().await?;
        let run_id = self.run_id.to_string();
        // A deleted thread took its runs along: no row says so, and its log stays deleted.
        let goes_on = match end {
            None => {
                let sql = "SELECT started_at FROM runs WHERE id = $1 AND ended_at IS NULL";
                sqlx::query_scalar::<_, i64>(sql).bind(run_id).fetch_optional(tx.sql()).await?.is_some()
            }
            Some(_) => {
                let sql = "UPDATE runs SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL";
                sqlx::query(sql).bind(run_id).bind(now_ms()).execute(tx.sql()).await?.rows_affected() > 0
            }
        };
        if !goes_on {
            return Ok(false);
        }
        tx.thread(self.thread_id, entries).await?;
        if let Some(phase) = end {
            let entry = UserEntry::Run { thread_id: self.thread_id, run_id: self.run_id, phase };
            tx.user(self.owner, &[entry]).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    fn entry(&self, event: Event) -> ThreadEntry {
        ThreadEntry::Agent { run_id: self.run_id, event: Box::new(event) }
    }
}
