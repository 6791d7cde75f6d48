//! The runner: starts, stops and ends runs.
//!
//! Every run in the store is started when it is its turn, and ends in a terminal event after everything inside it is closed.
//! Normally the run's own task does this. After a crash [`Runner::recover`] does it, or [`Runner::run_background_tasks`] of another node, which also
//! ends runs that were left open because the store failed for too long. Runs that had not started stay queued. A stopped run's log
//! ends at once, whatever its agent does.

mod background;
mod expired_interrupts;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    Agents,
    failures::SERVER_RESTARTING,
    queue::{ActiveRun, Queue, RunLimits},
    run::{Run, failed},
    titles::Titles,
};
use crate::{
    protocol::{ErrorBody, ErrorCode, RunId, ThreadId, UserId},
    server::{
        bus::WaitingRun,
        channel::Channels,
        error::Result,
        leases::Leases,
        threads::NewRun,
        usage::{self, Budget},
    },
    thread::{EndKind, RunEnd},
};

/// How many stops are remembered for runs that are not known yet.
const MAX_EARLY_STOPS: usize = 256;
/// How long an open run of this node may have no task before it is ended.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(30);
/// How many runs may be queued on this node.
const MAX_WAITING: usize = 4_096;
/// How often the store is read to see whether a run on another node has ended, if a run here waits for it.
const BLOCKED_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How long runs may take to write their last events at shutdown.
const FINAL_EVENTS_TIMEOUT: Duration = Duration::from_secs(3);

/// Limits and settings of runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunnerOptions {
    /// Deltas of a message within this time become one entry; zero disables coalescing.
    pub coalesce: Duration,
    /// The time limit of a run.
    pub time_limit: Duration,
    /// How long a run waits for a failing store before it is dropped and ended later.
    pub store_timeout: Duration,
    /// How many runs of one user execute at once; more are queued.
    pub max_runs_per_user: usize,
    /// How many runs of one user may be queued; more are refused.
    pub max_waiting_per_user: usize,
    /// The daily budget of each user's runs.
    pub budget: Budget,
    /// How many runs execute at once.
    pub max_runs: usize,
    /// How long the lease is valid; after that another node ends this node's runs.
    pub lease: Duration,
    /// This node's name, for people.
    pub node: String,
    /// The folder of uploaded files: `<thread_id>/<file_id>` below it.
    pub files: PathBuf,
}

impl RunnerOptions {
    /// The defaults: 40 ms, 15 minutes, 4 runs per user, 32 queued per user, 64 runs in all, a lease of 15 seconds.
    #[must_use]
    pub fn new(files: impl Into<PathBuf>) -> Self {
        Self {
            coalesce: Duration::from_millis(40),
            time_limit: Duration::from_secs(15 * 60),
            store_timeout: Duration::from_secs(30),
            max_runs_per_user: 4,
            max_waiting_per_user: 32,
            budget: Budget::default(),
            max_runs: 64,
            lease: Duration::from_secs(15),
            node: String::new(),
            files: files.into(),
        }
    }
}

/// The runner; clones share it.
#[derive(Clone)]
pub struct Runner(Arc<Shared>);

struct Shared {
    channels: Channels,
    leases: Leases,
    agents: Arc<Agents>,
    options: Arc<RunnerOptions>,
    state: Mutex<State>,
    tasks: TaskTracker,
    /// Notified when positions in the queue changed.
    queue_changed: Notify,
    /// Notified when a run that waits for another run of its thread may be able to start.
    may_unblock: Arc<Notify>,
    /// Titles of threads.
    titles: Titles,
    /// Cancelled when the background loops must end.
    stopping: CancellationToken,
    /// Held while the lease is renewed or released, so that a released lease is not renewed.
    lease_lock: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    active: HashMap<RunId, Active>,
    queue: Queue,
    /// Threads whose queue positions changed since [`Runner::take_changed_queues`].
    changed_queues: HashSet<ThreadId>,
    /// Runs stopped before [`Runner::start`]: clients see a message a moment before its run is started.
    stopped_early: VecDeque<RunId>,
    /// How all runs end from now on, set at shutdown.
    shutdown_end: Option<RunEnd>,
}

struct Active {
    run: ActiveRun,
    stop: watch::Sender<Option<RunEnd>>,
}

impl Active {
    /// Ends the run; only the first call has an effect.
    fn stop(&self, ending: RunEnd) {
        self.stop.send_if_modified(|end| end.is_none() && end.replace(ending).is_none());
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("active", &self.active()).finish_non_exhaustive()
    }
}

impl Runner {
    /// Creates a runner for these agents.
    #[must_use]
    pub fn new(channels: Channels, agents: Arc<Agents>, options: RunnerOptions) -> Self {
        let (state, tasks, queue_changed, may_unblock, lease_lock) = Default::default();
        let stopping = CancellationToken::new();
        let leases = Leases::new(&channels, &options.node, options.lease);
        let options = Arc::new(options);
        Self(Arc::new(Shared {
            channels,
            leases,
            agents,
            options,
            state,
            tasks,
            queue_changed,
            may_unblock,
            titles: Titles::new(&stopping),
            stopping,
            lease_lock,
        }))
    }

    /// The agents.
    #[must_use]
    pub fn agents(&self) -> &Agents {
        &self.0.agents
    }

    /// Whether the user may queue another run; called before a message is accepted.
    ///
    /// # Errors
    /// `rate_limited` if the user has too many queued runs, `unavailable` if the node has, or is shutting down. Messages accepted at the
    /// same moment may exceed the limit by their number.
    pub fn admit(&self, user: UserId) -> Result<(), ErrorBody> {
        let (state, options) = (self.0.state.lock(), &self.0.options);
        let refused = |code, message: String| Err(ErrorBody::new(code, message).retry_after(2_000));
        if self.0.tasks.is_closed() {
            return refused(ErrorCode::Unavailable, "the server is restarting; try again in a moment".into());
        }
        if state.queue.of_user(user) >= options.max_waiting_per_user {
            let max = options.max_waiting_per_user;
            let message = format!("{max} of your messages are queued, which is the limit; wait, or take some back");
            return refused(ErrorCode::RateLimited, message);
        }
        if state.queue.len() >= MAX_WAITING {
            let message = "this server's queue is full; try again in a moment";
            return refused(ErrorCode::Unavailable, message.into());
        }
        Ok(())
    }

    /// Whether today's budget allows the user another run.
    ///
    /// # Errors
    /// `rate_limited` if it does not, with the time until the next day; errors of the store.
    pub async fn admit_budget(&self, user: UserId) -> Result<()> {
        let open = self.0.agents.allowance().of_open_runs(user);
        usage::admit(self.0.channels.store().reader(), self.0.options.budget, user, open).await
    }

    /// Waits until queue positions change; see [`Runner::take_changed_queues`].
    pub async fn queue_changed(&self) {
        self.0.queue_changed.notified().await;
    }

    /// The threads whose queue positions changed since the last call.
    #[must_use]
    pub fn take_changed_queues(&self) -> Vec<ThreadId> {
        self.0.state.lock().changed_queues.drain().collect()
    }

    /// The queued runs of a thread on this node, in order.
    #[must_use]
    pub fn waiting(&self, thread_id: ThreadId) -> Vec<WaitingRun> {
        self.0.state.lock().queue.of_thread(thread_id)
    }

    /// The threads with queued runs on this node.
    #[must_use]
    pub fn queued_threads(&self) -> Vec<ThreadId> {
        self.0.state.lock().queue.threads()
    }

    /// Starts an accepted run, now or when it is its turn.
    pub fn start(&self, new: NewRun) {
        let run_id = new.run_id;
        let mut state = self.0.state.lock();
        if state.active.contains_key(&run_id) || state.queue.contains(run_id) {
            return;
        }
        if let Some(index) = state.stopped_early.iter().position(|stopped| *stopped == run_id) {
            state.stopped_early.remove(index);
            return self.0.spawn(&mut state, new, Some(EndKind::Cancelled.into()));
        }
        let blocked = new.blocked;
        state.queue.push(new);
        self.0.start_ready(&mut state);
        if blocked {
            self.0.may_unblock.notify_one();
        }
    }

    /// Stops a run: its log ends as cancelled within a second. Does nothing if the run was stopped already or has ended.
    pub fn stop(&self, run_id: RunId) {
        let mut state = self.0.state.lock();
        if let Some(run) = state.active.get(&run_id) {
            return run.stop(EndKind::Cancelled.into());
        }
        if let Some(new) = state.queue.remove(run_id) {
            self.0.spawn(&mut state, new, Some(EndKind::Cancelled.into()));
            return self.0.start_ready(&mut state);
        }
        if !state.stopped_early.contains(&run_id) {
            if state.stopped_early.len() == MAX_EARLY_STOPS {
                state.stopped_early.pop_front();
            }
            state.stopped_early.push_back(run_id);
        }
    }

    /// The run of a thread that executes on this node.
    #[must_use]
    pub fn started(&self, thread_id: ThreadId) -> Option<RunId> {
        let state = self.0.state.lock();
        let mut active = state.active.iter();
        active.find(|(_, active)| active.run.thread_id == thread_id).map(|(run_id, _)| *run_id)
    }

    /// The order of a thread's waiting runs changed: none of them starts before it is read again.
    pub fn queue_moved(&self, thread_id: ThreadId) {
        self.0.state.lock().queue.block(thread_id);
        self.0.may_unblock.notify_one();
    }

    /// How many runs are executing.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.state.lock().active.len()
    }

    /// Waits up to `limit` for runs to finish, then ends the others with `RUN_ERROR` `server_restarting`. From the call on,
    /// [`Runner::admit`] refuses. Queued runs stay in the store, for the next start or another node.
    pub async fn shutdown(&self, limit: Duration) {
        {
            // Under the lock, so that a run either has started, and is waited for, or does not start.
            let _state = self.0.state.lock();
            self.0.tasks.close();
        }
        if timeout(limit, self.0.tasks.wait()).await.is_ok() {
            return;
        }
        {
            let ending = failed(SERVER_RESTARTING, "the server is restarting; ask again in a moment");
            let mut state = self.0.state.lock();
            tracing::warn!(runs = state.active.len(), "ending runs, because the server shuts down");
            state.active.values().for_each(|run| run.stop(ending.clone()));
            state.shutdown_end = Some(ending);
        }
        if timeout(FINAL_EVENTS_TIMEOUT, self.0.tasks.wait()).await.is_err() {
            tracing::error!(runs = self.active(), "runs did not end in time; the next start ends them");
        }
    }
}

impl Shared {
    /// Starts all runs whose turn it is. During shutdown they stay in the store.
    fn start_ready(self: &Arc<Self>, state: &mut State) {
        let of_agent = |agent: &str| self.agents.limits(agent);
        let (per_user, all) = (self.options.max_runs_per_user, self.options.max_runs);
        let limits = RunLimits { per_user, all, of_agent: &of_agent };
        while !self.tasks.is_closed() {
            let State { active, queue, .. } = &mut *state;
            let Some(new) = queue.next(active.values().map(|active| &active.run), &limits) else { break };
            self.spawn(state, new, None);
        }
        let State { active, queue, changed_queues, .. } = state;
        let changed = queue.changed(active.values().map(|active| &active.run), &limits);
        if !changed.is_empty() {
            changed_queues.extend(changed);
            self.queue_changed.notify_one();
        }
    }

    /// Spawns a run's task. With `end`, the run is only ended.
    fn spawn(self: &Arc<Self>, state: &mut State, new: NewRun, end: Option<RunEnd>) {
        let NewRun { run_id, thread_id, requested_by, .. } = new;
        let (stop, stopped) = watch::channel(end.or_else(|| state.shutdown_end.clone()));
        let run = ActiveRun { thread_id, requested_by, agent: new.agent.clone() };
        state.active.insert(run_id, Active { run, stop });
        let limit = self.agents.limits(&new.agent).time_limit_ms.map(Duration::from_millis);
        let (channels, agents, options) = (self.channels.clone(), self.agents.clone(), self.options.clone());
        let time_limit = limit.unwrap_or(options.time_limit);
        let (may_unblock, titles) = (self.may_unblock.clone(), self.titles.clone());
        let guard = ActiveGuard { shared: self.clone(), run_id };
        // Not a child of the command's span, which ends long before.
        let span = tracing::info_span!(parent: None, "run", run = %run_id, thread = %thread_id, user = %requested_by);
        span.follows_from(tracing::Span::current());
        let execution = async move {
            let _guard = guard;
            Run { new, agents, channels, options, time_limit, may_unblock, titles, stop: stopped }.execute().await;
        };
        self.tasks.spawn(execution.instrument(span));
    }
}

/// Removes a run from the active ones when its task ends in any way, and starts the next.
struct ActiveGuard {
    shared: Arc<Shared>,
    run_id: RunId,
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.active.remove(&self.run_id);
        self.shared.start_ready(&mut state);
        drop(state);
        self.shared.may_unblock.notify_one();
    }
}
