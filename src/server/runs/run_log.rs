//! Appends the events of a run to its thread's log, and keeps the thread's view up to date with them.
//!
//! Only the node that owns the run can append. Events are stored once, even if the response to a commit is lost and the append is
//! retried.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio::time::{Instant, sleep};

use super::{
    condense::{CondenseError, condense},
    failures, restart,
    runner::RunnerOptions,
};
use crate::{
    json_size::extent,
    protocol::{
        RunId, RunPhase, ThreadEntry, ThreadId, UserEntry, UserId, UserMessage,
        agui::{Event, Raw, RunStarted},
    },
    server::{
        access,
        backoff::Backoff,
        channel::{Channel, Channels, CommandTransaction, FeedEntries},
        clock::now_ms,
        error::{Error, Result},
        metrics, offload, outage, raw_events,
        threads::{self, expires_at},
        usage,
    },
    thread::{EndKind, RunEnd, ThreadView},
};

/// Separates events from raw ones: `RAW` events, and the values of `rawEvent`, each as a `RAW` event.
fn split_raw(events: Vec<Event>) -> (Vec<Event>, Vec<Event>) {
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
const PROTOCOL_VERSION: &str = "1.0";
/// The delays between attempts to write while the store fails.
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Why events cannot be appended.
#[derive(Debug)]
pub(super) enum LogError {
    /// The run has ended, its thread was deleted, or another node owns it.
    Closed,
    /// The store failed for longer than its timeout.
    Store(Error),
}

/// The log of a run.
#[derive(Debug)]
pub(super) struct RunLog {
    channels: Channels,
    /// How long a write is retried.
    store_timeout: Duration,
    thread_id: ThreadId,
    run_id: RunId,
    /// Who requested it: its usage counts for this user.
    requested_by: UserId,
    /// The agent that runs.
    agent: String,
    /// The run that it resumes.
    parent: Option<RunId>,
    /// The `seq` up to which all entries of this run are in `view`.
    last_seq: u64,
    /// The thread, as its followers see it.
    pub(super) view: ThreadView,
}

impl RunLog {
    /// The log of a new run. For a run that has started already, also call [`RunLog::with_view`].
    pub(super) fn new(
        channels: &Channels,
        options: &RunnerOptions,
        thread_id: ThreadId,
        run_id: RunId,
        (requested_by, agent): (UserId, &str),
    ) -> Self {
        let (channels, store_timeout, view) = (channels.clone(), options.store_timeout, ThreadView::default());
        let agent = agent.to_owned();
        Self { channels, store_timeout, thread_id, run_id, requested_by, agent, parent: None, last_seq: 0, view }
    }

    /// Sets the run that this one resumes.
    pub(super) fn resuming(self, parent: Option<RunId>) -> Self {
        Self { parent, ..self }
    }

    /// Sets the thread as of `seq`.
    pub(super) fn with_view(self, seq: u64, view: ThreadView) -> Self {
        Self { last_seq: seq, view, ..self }
    }

    /// Appends `RUN_STARTED`.
    pub(super) async fn start(&mut self) -> Result<(), LogError> {
        let protocol_version = Some(PROTOCOL_VERSION.into());
        let parent_run_id = self.parent.map(|id| id.to_string());
        let started = RunStarted { protocol_version, parent_run_id, ..RunStarted::new(self.thread_id, self.run_id) };
        self.append(vec![started.into()]).await
    }

    /// Appends events, all or none. Raw events are stored separately.
    pub(super) async fn append(&mut self, events: Vec<Event>) -> Result<(), LogError> {
        let (events, raw) = split_raw(events);
        if !raw.is_empty()
            && let Err(error) = raw_events::keep(&self.channels, self.thread_id, self.run_id, &raw).await
        {
            tracing::warn!(run = %self.run_id, %error, lost = raw.len(), "RAW events of a run cannot be stored");
        }
        self.write(events, None).await
    }

    /// Ends the run: in one transaction, closes what is open, and appends the terminal event and the entries of feeds. A run
    /// that was cut off when its server stopped is interrupted instead, if it can be resumed automatically.
    pub(super) async fn end(&mut self, ending: &RunEnd) -> Result<(), LogError> {
        if self.view.run(self.run_id).is_none() {
            self.view.apply(now_ms(), self.entry(RunStarted::new(self.thread_id, self.run_id).into()));
        }
        let interruption = restart::resumable_end(&self.view, self.run_id, ending);
        let ending = interruption.as_ref().unwrap_or(ending);
        let events =
            self.view.run(self.run_id).map(|run| run.closing_events(self.thread_id, ending)).unwrap_or_default();
        self.write(events, Some(ending)).await
    }

    /// Gives the run the messages that wait to be read by its agent; none if the store fails.
    pub(super) async fn read_messages(&mut self) -> Vec<UserMessage> {
        let (ids, deadline) = ((self.thread_id, self.run_id), Instant::now() + self.store_timeout);
        let known = self.view.run(self.run_id).map_or(0, |run| run.read.len());
        let (mut retries, mut read_before) = (0, None);
        let (seq, messages) = loop {
            let error = match threads::read_messages(&self.channels, ids, read_before).await {
                Ok(read) => break read,
                Err(error) => error,
            };
            tracing::warn!(run = %self.run_id, %error, "messages that were sent during a run cannot be read");
            if !matches!(error, Error::Store(_) | Error::Shared(_)) || Instant::now() >= deadline {
                return Vec::new();
            }
            outage::count_store_error();
            read_before = Some(known);
            sleep(RETRY_BACKOFF.delay(retries)).await;
            retries += 1;
        };
        self.last_seq = self.last_seq.max(seq);
        let at = now_ms();
        for message in &messages {
            self.view.apply(at, ThreadEntry::Message { message: message.clone() });
            self.view.apply(at, ThreadEntry::Read { message_id: message.id, run_id: self.run_id });
        }
        messages
    }

    /// The changes that an event makes to the thread. Large comparisons are executed on a thread that serves no sockets.
    pub(super) async fn changes(&self, event: Event) -> Result<Vec<Event>, CondenseError> {
        /// The largest event that is compared inline, in bytes of JSON.
        const MAX_INLINE_BYTES: usize = 32 * 1024;
        /// The most deltas of a state that is compared inline.
        const MAX_INLINE_CHANGES: usize = 64;
        let changes: usize = self.view.runs().map(|run| run.shared_changes.len()).sum();
        if extent(&event).bytes <= MAX_INLINE_BYTES && changes <= MAX_INLINE_CHANGES {
            return condense(&self.view, self.run_id, now_ms(), event);
        }
        let (view, run_id) = (self.view.clone(), self.run_id);
        let kind = event.kind();
        let compared = offload::run(move || condense(&view, run_id, now_ms(), event)).await;
        compared.unwrap_or_else(|_| Err(CondenseError::NotCompared(kind)))
    }

    async fn write(&mut self, events: Vec<Event>, end: Option<&RunEnd>) -> Result<(), LogError> {
        if events.is_empty() {
            return Ok(());
        }
        let entries: Vec<ThreadEntry> = events.into_iter().map(|event| self.entry(event)).collect();
        let (deadline, mut retries, mut may_be_stored) = (Instant::now() + self.store_timeout, 0, false);
        loop {
            let error = match self.try_write(&entries, end, may_be_stored).await {
                Ok(Some(seq)) => {
                    self.last_seq = self.last_seq.max(seq);
                    break;
                }
                Ok(None) => return Err(LogError::Closed),
                Err(error) => error,
            };
            if !matches!(error, Error::Store(_) | Error::Shared(_)) || Instant::now() >= deadline {
                return Err(LogError::Store(error));
            }
            tracing::warn!(run = %self.run_id, %error, "a run's events wait for the store");
            outage::count_store_error();
            may_be_stored = true;
            sleep(RETRY_BACKOFF.delay(retries)).await;
            retries += 1;
        }
        let at = now_ms();
        end.map(phase).into_iter().for_each(metrics::run_ended);
        for entry in entries {
            self.view.apply(at, entry);
        }
        Ok(())
    }

    /// Writes once; returns the thread's last `seq`, or `None` if the run cannot be appended to. `may_be_stored`: an earlier attempt
    /// may have succeeded although it failed here. Only this node writes to the run, so a new entry of it is that attempt.
    async fn try_write(
        &self,
        entries: &[ThreadEntry],
        end: Option<&RunEnd>,
        may_be_stored: bool,
    ) -> Result<Option<u64>> {
        if may_be_stored && self.channels.has_after(self.thread_id, self.last_seq, self.run_id).await? {
            return Ok(Some(self.channels.extent(Channel::Thread(self.thread_id)).await?.head));
        }
        match end {
            None => self.channels.append(self.thread_id, self.run_id, entries).await,
            Some(ending) => self.write_end(entries, ending, may_be_stored).await,
        }
    }

    /// Writes the run's end, the entries of the feeds of its thread's owner and members, and the usage.
    async fn write_end(&self, entries: &[ThreadEntry], ending: &RunEnd, may_be_stored: bool) -> Result<Option<u64>> {
        let mut tx = self.channels.begin().await?;
        let engine = tx.engine();
        // Locked, so that a member who is added at the same time is told, too. Threads are locked before runs.
        let thread = match access::read_thread(tx.sql(), engine, self.thread_id, engine.for_share()).await {
            Err(Error::Refused(_)) => None,
            read => Some(read?),
        };
        // The runs of a deleted thread are deleted too, so no row matches.
        let sql = "UPDATE runs SET begun_at = COALESCE(begun_at, $2), ended_at = $2, asks_until = $4, problem = $5 \
                   WHERE id = $1 AND node = $3 AND ended_at IS NULL";
        let query = sqlx::query(sql).bind(self.run_id).bind(now_ms()).bind(self.channels.node().to_owned());
        let query = query.bind(answerable_until(ending)).bind(failures::problem(ending));
        if query.execute(tx.sql()).await?.rows_affected() == 0 {
            // Another node ended the run; record its usage, unless an earlier attempt may have.
            if !may_be_stored && !ending.usage.is_empty() && self.has_user(&mut tx).await? {
                usage::record(&mut tx, self.requested_by, &self.agent, ending).await?;
                tx.commit().await?;
            }
            return Ok(None);
        }
        let Some(thread) = thread else { return Ok(None) };
        let seq = tx.append_to_thread(self.thread_id, entries).await?;
        let entry = UserEntry::Run { thread_id: self.thread_id, run_id: self.run_id, phase: phase(ending) };
        let mut feeds = FeedEntries::default();
        feeds.add_for_all(&thread, &entry);
        tx.append_to_feeds(feeds).await?;
        usage::record(&mut tx, self.requested_by, &self.agent, ending).await?;
        tx.commit().await?;
        Ok(Some(seq))
    }

    /// Whether the user who requested the run still exists.
    async fn has_user(&self, tx: &mut CommandTransaction) -> Result<bool> {
        let sql = format!("SELECT id FROM users WHERE id = $1{}", tx.engine().for_share());
        let query = sqlx::query(AssertSqlSafe(sql)).bind(self.requested_by);
        Ok(query.fetch_optional(tx.sql()).await?.is_some())
    }

    fn entry(&self, event: Event) -> ThreadEntry {
        ThreadEntry::Agent { run_id: self.run_id, event: Box::new(event) }
    }
}

/// The run's phase in feeds.
fn phase(ending: &RunEnd) -> RunPhase {
    match ending.kind {
        EndKind::Finished { .. } => RunPhase::Finished,
        EndKind::Interrupted(_) => RunPhase::Interrupted,
        EndKind::Cancelled => RunPhase::Cancelled,
        EndKind::Failed { .. } => RunPhase::Failed,
    }
}

/// Until when a run's interrupts can be answered, in milliseconds since 1970: when the last of them expires.
fn answerable_until(ending: &RunEnd) -> Option<i64> {
    let EndKind::Interrupted(interrupts) = &ending.kind else { return None };
    interrupts.iter().map(|interrupt| expires_at(interrupt).unwrap_or(i64::MAX)).max()
}
