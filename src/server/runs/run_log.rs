//! A run's own view of its thread's log: what it appends, and what it has open.
//!
//! Promises: only the node that holds the run appends to it; what is appended is there once, also where the store's answer
//! to it was lost and it is tried again.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio::time::{Instant, sleep};

use super::{
    condense::{TooLong, condense},
    failures, restart,
    runner::RunnerOptions,
};
use crate::{
    json_size::extent,
    protocol::{
        RunId, RunPhase, ThreadEntry, ThreadId, UserEntry, UserId,
        agui::{Event, Raw, RunStarted},
    },
    server::{
        backoff::Backoff,
        channel::{Append, Channel, Channels},
        clock::now_ms,
        error::{Error, Result},
        metrics, offload, outage, raw_events,
        threads::expires_at,
        usage,
    },
    thread::{EndKind, RunEnd, ThreadView},
};

/// Events without what their framework made them of, and that: `RAW` events, and each `rawEvent` as one.
fn without_raw(events: Vec<Event>) -> (Vec<Event>, Vec<Event>) {
    let (mut others, mut raw) = (Vec::with_capacity(events.len()), Vec::new());
    for mut event in events {
        if matches!(event, Event::Raw(_)) {
            raw.push(event);
            continue;
        }
        if let Some(value) = event.base_mut().raw_event.take() {
            let source = Some(event.kind().to_owned());
            raw.push(Raw { source, ..Raw::new(value) }.into());
        }
        others.push(event);
    }
    (others, raw)
}

/// The AG-UI version that runs declare.
const AG_UI: &str = "1.0";
/// Delays between attempts to write while the store fails.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Why a run's log takes nothing more.
#[derive(Debug)]
pub(super) enum Lost {
    /// The run is over, its thread was deleted, or another node took it over.
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
    /// The agent that runs.
    agent: String,
    /// The run that it goes on from.
    parent: Option<RunId>,
    /// Everything of this run up to here is known.
    seen: u64,
    /// The run as whoever follows the thread sees it.
    pub(super) view: ThreadView,
}

impl RunLog {
    /// The log of a new run. One found open goes on from what [`RunLog::at`] says.
    pub(super) fn new(
        channels: &Channels,
        options: &RunnerOptions,
        thread_id: ThreadId,
        run_id: RunId,
        (owner, agent): (UserId, &str),
    ) -> Self {
        let (channels, patience, view) = (channels.clone(), options.store_timeout, ThreadView::default());
        Self { channels, patience, thread_id, run_id, owner, agent: agent.to_owned(), parent: None, seen: 0, view }
    }

    /// The same for a run that goes on from another.
    pub(super) fn resuming(self, parent: Option<RunId>) -> Self {
        Self { parent, ..self }
    }

    /// The same for a run found open, in a thread that looks so at that place.
    pub(super) fn at(self, seq: u64, view: ThreadView) -> Self {
        Self { seen: seq, view, ..self }
    }

    /// Begins the run.
    pub(super) async fn begin(&mut self) -> Result<(), Lost> {
        let protocol_version = Some(AG_UI.into());
        let parent_run_id = self.parent.map(|id| id.to_string());
        let started = RunStarted { protocol_version, parent_run_id, ..RunStarted::new(self.thread_id, self.run_id) };
        self.append(vec![started.into()]).await
    }

    /// Appends events, all or none. What a framework made them of is kept apart, where it comes along.
    pub(super) async fn append(&mut self, events: Vec<Event>) -> Result<(), Lost> {
        let (events, raw) = without_raw(events);
        if !raw.is_empty()
            && let Err(error) = raw_events::keep(&self.channels, self.thread_id, self.run_id, &raw).await
        {
            tracing::warn!(run = %self.run_id, %error, lost = raw.len(), "RAW events of a run cannot be kept");
        }
        self.write(events, None).await
    }

    /// Ends the run: what is open is closed, the terminal event follows, and the owner's feed hears of it, in one step. A run that
    /// its server's end cut goes on by itself where it can.
    pub(super) async fn end(&mut self, ending: &RunEnd) -> Result<(), Lost> {
        if self.view.run(self.run_id).is_none() {
            self.view.apply(now_ms(), self.entry(RunStarted::new(self.thread_id, self.run_id).into()));
        }
        let interruption = restart::resumable_end(&self.view, self.run_id, ending);
        let ending = interruption.as_ref().unwrap_or(ending);
        let events =
            self.view.run(self.run_id).map(|run| run.closing_events(self.thread_id, ending)).unwrap_or_default();
        self.write(events, Some(ending)).await
    }

    /// What an event of the agent's says that is not in the thread by now. Where much is compared, no thread that serves sockets
    /// does it.
    pub(super) async fn new_in(&self, event: Event) -> Result<Vec<Event>, TooLong> {
        /// Up to here, in bytes of JSON, it is compared at once.
        const MAX_SHORT_BYTES: usize = 32 * 1024;
        /// Up to here, in deltas that make up the state.
        const MAX_CHANGES: usize = 64;
        let changes: usize = self.view.runs().map(|run| run.shared_changes.len()).sum();
        if extent(&event).bytes <= MAX_SHORT_BYTES && changes <= MAX_CHANGES {
            return condense(&self.view, self.run_id, now_ms(), event);
        }
        let (view, run_id) = (self.view.clone(), self.run_id);
        let kind = event.kind();
        let compared = offload::run(move || condense(&view, run_id, now_ms(), event)).await;
        compared.unwrap_or_else(|_| Err(TooLong::NotCompared(kind)))
    }

    async fn write(&mut self, events: Vec<Event>, end: Option<&RunEnd>) -> Result<(), Lost> {
        if events.is_empty() {
            return Ok(());
        }
        let entries: Vec<ThreadEntry> = events.into_iter().map(|event| self.entry(event)).collect();
        let (give_up, mut retries, mut doubt) = (Instant::now() + self.patience, 0, false);
        loop {
            let error = match self.once(&entries, end, doubt).await {
                Ok(Some(seq)) => {
                    self.seen = self.seen.max(seq);
                    break;
                }
                Ok(None) => return Err(Lost::Over),
                Err(error) => error,
            };
            if !matches!(error, Error::Store(_) | Error::Shared(_)) || Instant::now() >= give_up {
                return Err(Lost::Store(error));
            }
            tracing::warn!(run = %self.run_id, %error, "a run's events wait for the store");
            outage::count_store_error();
            doubt = true;
            sleep(RETRY.delay(retries)).await;
            retries += 1;
        }
        let at = now_ms();
        end.map(phase).into_iter().for_each(metrics::run_ended);
        for entry in entries {
            self.view.apply(at, entry);
        }
        Ok(())
    }

    /// One try; answers the last place known, or nothing where the run is not ours to go on with. `doubt`: a try before may
    /// have been stored though its answer was lost; nobody else writes to this run, so what is new of it is that.
    async fn once(&self, entries: &[ThreadEntry], end: Option<&RunEnd>, doubt: bool) -> Result<Option<u64>> {
        if doubt && self.channels.has_after(self.thread_id, self.seen, self.run_id).await? {
            return Ok(Some(self.channels.extent(Channel::Thread(self.thread_id)).await?.head));
        }
        match end {
            None => self.channels.append(self.thread_id, self.run_id, entries).await,
            Some(ending) => self.last(entries, ending, doubt).await,
        }
    }

    /// The run's end, with what the owner's feed hears of it and what it used.
    async fn last(&self, entries: &[ThreadEntry], ending: &RunEnd, doubt: bool) -> Result<Option<u64>> {
        let mut tx = self.channels.begin().await?;
        // A deleted thread took its runs along: no row says so, and its log stays deleted.
        let sql = "UPDATE runs SET begun_at = COALESCE(begun_at, $2), ended_at = $2, asks_until = $4, problem = $5 \
                   WHERE id = $1 AND node = $3 AND ended_at IS NULL";
        let query = sqlx::query(sql).bind(self.run_id).bind(now_ms()).bind(self.channels.node().to_owned());
        let query = query.bind(asks_until(ending)).bind(failures::problem(ending));
        if query.execute(tx.sql()).await?.rows_affected() == 0 {
            // Whoever ended it knew nothing of what it used here. In doubt it may be counted already: once is enough.
            if !doubt && !ending.usage.is_empty() && self.has_owner(&mut tx).await? {
                usage::record(&mut tx, self.owner, &self.agent, ending).await?;
                tx.commit().await?;
            }
            return Ok(None);
        }
        let seq = tx.append_to_thread(self.thread_id, entries).await?;
        let entry = UserEntry::Run { thread_id: self.thread_id, run_id: self.run_id, phase: phase(ending) };
        tx.append_to_feed(self.owner, &[entry]).await?;
        usage::record(&mut tx, self.owner, &self.agent, ending).await?;
        tx.commit().await?;
        Ok(Some(seq))
    }

    /// Whether there still is somebody whom the run's usage belongs to.
    async fn has_owner(&self, tx: &mut Append) -> Result<bool> {
        let sql = format!("SELECT id FROM users WHERE id = $1{}", tx.engine().for_share());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.owner);
        Ok(query.fetch_optional(tx.sql()).await?.is_some())
    }

    fn entry(&self, event: Event) -> ThreadEntry {
        ThreadEntry::Agent { run_id: self.run_id, event: Box::new(event) }
    }
}

/// How the owner's feed tells an ending.
fn phase(ending: &RunEnd) -> RunPhase {
    match ending.kind {
        EndKind::Finished { .. } => RunPhase::Finished,
        EndKind::Interrupted(_) => RunPhase::Interrupted,
        EndKind::Cancelled => RunPhase::Cancelled,
        EndKind::Failed { .. } => RunPhase::Failed,
    }
}

/// Until when a person may answer what a run waits for: until the last of its interrupts has expired.
fn asks_until(ending: &RunEnd) -> Option<i64> {
    let EndKind::Interrupted(interrupts) = &ending.kind else { return None };
    interrupts.iter().map(|interrupt| expires_at(interrupt).unwrap_or(i64::MAX)).max()
}
