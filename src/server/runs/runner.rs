//! The runner: begins, stops and ends runs, and answers for each of them ending.
//!
//! Promises: every run in the store begins when its turn comes, and ends in a terminal event with everything inside it
//! closed. While this process lives the run's own task sees to it; after a crash [`Runner::recover`] does, or
//! [`Runner::tend`] of another node, which also finds what neither did (the store failed for longer than a run waits). Runs
//! that had not begun then wait on, wherever that is. A stopped run's log ends at once, whatever its agent does.

mod silence;
mod tend;

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
    queue::{Going, Queue, Rules},
    run::{Run, failed},
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

/// How many stops are remembered for runs that did not begin yet.
const MAX_EARLY_STOPS: usize = 256;
/// How old a run of this node that nobody lives is before it is ended.
const UNATTENDED: Duration = Duration::from_secs(30);
/// How many runs may wait on this node.
const MAX_WAITING: usize = 4_096;
/// How often the store is asked whether a run on another node, for which one here waits, is over.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long runs may take to write their last events when the server ends.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What runs may do.
#[derive(Debug, Clone, PartialEq)]
pub struct RunnerOptions {
    /// Deltas of a message within this time go together; zero: each goes alone.
    pub coalesce: Duration,
    /// How long a run may take.
    pub time_limit: Duration,
    /// How long a run waits for a store that fails, before it is dropped and ended later.
    pub store_patience: Duration,
    /// How many runs of one person go on at once; more wait.
    pub max_runs_per_user: usize,
    /// How many runs of one person wait; more are refused.
    pub max_waiting_per_user: usize,
    /// What one person's runs may use on a day.
    pub budget: Budget,
    /// How many runs go on at once.
    pub max_runs: usize,
    /// Within what time another node ends the runs of one that died.
    pub lease: Duration,
    /// What this node is called, for people.
    pub node: String,
    /// The folder of uploaded files: `<thread_id>/<file_id>` below it.
    pub files: PathBuf,
}

impl RunnerOptions {
    /// The defaults, for a folder of files: 40 ms, 15 minutes, 4 runs a person, 32 waiting, 64 in all, a lease of 15 seconds.
    #[must_use]
    pub fn new(files: impl Into<PathBuf>) -> Self {
        Self {
            coalesce: Duration::from_millis(40),
            time_limit: Duration::from_secs(15 * 60),
            store_patience: Duration::from_secs(30),
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
    /// Told when places in line changed.
    moved: Notify,
    /// Told when a run that waits for another of its thread may not have to any more.
    freed: Arc<Notify>,
    /// Cancelled when there is nothing left to look after.
    ending: CancellationToken,
    /// Held while the lease is renewed or given back: once given back it stays so.
    turning: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    active: HashMap<RunId, Active>,
    queue: Queue,
    /// Threads where places in line changed since it was asked.
    moved: HashSet<ThreadId>,
    /// Runs stopped before they began: a message is seen a moment before its run starts.
    early: VecDeque<RunId>,
    /// How runs end from now on.
    all: Option<RunEnd>,
}

struct Active {
    run: Going,
    stop: watch::Sender<Option<RunEnd>>,
}

impl Active {
    /// The first word counts.
    fn stop(&self, ending: RunEnd) {
        self.stop.send_if_modified(|told| told.is_none() && told.replace(ending).is_none());
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("active", &self.active()).finish_non_exhaustive()
    }
}

impl Runner {
    /// A runner of these agents.
    #[must_use]
    pub fn new(channels: Channels, agents: Arc<Agents>, options: RunnerOptions) -> Self {
        let (state, tasks, moved, freed, ending, turning) = Default::default();
        let leases = Leases::new(&channels, &options.node, options.lease);
        let options = Arc::new(options);
        Self(Arc::new(Shared { channels, leases, agents, options, state, tasks, moved, freed, ending, turning }))
    }

    /// The agents that it runs.
    #[must_use]
    pub fn agents(&self) -> &Agents {
        &self.0.agents
    }

    /// Whether this person may ask for another run now: asked before the message is accepted. It may have to wait.
    ///
    /// # Errors
    /// `rate_limited` where as many of the person's wait as allowed, `unavailable` where as many wait as this server keeps,
    /// or it is about to end. Messages accepted at the same moment may exceed the bound by their number.
    pub fn admit(&self, user: UserId) -> Result<(), ErrorBody> {
        let (state, options) = (self.0.state.lock(), &self.0.options);
        let refused = |code, message: String| Err(ErrorBody::new(code, message).retry_after(2_000));
        if self.0.tasks.is_closed() {
            return refused(ErrorCode::Unavailable, "the server restarts; try again in a moment".into());
        }
        if state.queue.of_user(user) >= options.max_waiting_per_user {
            let most = options.max_waiting_per_user;
            let message = format!("{most} of your messages wait, and more are not kept; wait, or take some back");
            return refused(ErrorCode::RateLimited, message);
        }
        if state.queue.len() >= MAX_WAITING {
            let message = "as many messages wait as this server keeps; try again in a moment";
            return refused(ErrorCode::Unavailable, message.into());
        }
        Ok(())
    }

    /// Whether today's budget allows a person another run.
    ///
    /// # Errors
    /// `rate_limited` where it does not, with the time until it does; what the store says.
    pub async fn admit_budget(&self, user: UserId) -> Result<()> {
        let going = self.0.agents.allowance().of_open_runs(user);
        usage::admit(self.0.channels.store().reader(), self.0.options.budget, user, going).await
    }

    /// Places in line changed, in [`Runner::take_moved`].
    pub async fn moved(&self) {
        self.0.moved.notified().await;
    }

    /// The threads where places in line changed since it was asked.
    #[must_use]
    pub fn take_moved(&self) -> Vec<ThreadId> {
        self.0.state.lock().moved.drain().collect()
    }

    /// The runs of a thread that wait here, in order.
    #[must_use]
    pub fn waiting(&self, thread_id: ThreadId) -> Vec<WaitingRun> {
        self.0.state.lock().queue.of_thread(thread_id)
    }

    /// The threads in which runs wait here.
    #[must_use]
    pub fn lines(&self) -> Vec<ThreadId> {
        self.0.state.lock().queue.threads()
    }

    /// Takes a run that was accepted; it begins at once or when its turn comes.
    pub fn start(&self, new: NewRun) {
        let run_id = new.run_id;
        let mut state = self.0.state.lock();
        if state.active.contains_key(&run_id) || state.queue.contains(run_id) {
            return;
        }
        if let Some(index) = state.early.iter().position(|stopped| *stopped == run_id) {
            state.early.remove(index);
            return self.0.begin(&mut state, new, Some(EndKind::Cancelled.into()));
        }
        let blocked = new.blocked;
        state.queue.push(new);
        self.0.pump(&mut state);
        if blocked {
            self.0.freed.notify_one();
        }
    }

    /// Stops a run: its log ends as cancelled within a second. Again, or after its end, it changes nothing.
    pub fn stop(&self, run_id: RunId) {
        let mut state = self.0.state.lock();
        if let Some(run) = state.active.get(&run_id) {
            return run.stop(EndKind::Cancelled.into());
        }
        if let Some(new) = state.queue.remove(run_id) {
            self.0.begin(&mut state, new, Some(EndKind::Cancelled.into()));
            return self.0.pump(&mut state);
        }
        if !state.early.contains(&run_id) {
            if state.early.len() == MAX_EARLY_STOPS {
                state.early.pop_front();
            }
            state.early.push_back(run_id);
        }
    }

    /// How many runs go on.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.state.lock().active.len()
    }

    /// Lets runs finish for as long as `limit`, then ends those that have not, with `RUN_ERROR` `server_restarting`.
    /// From the call on, [`Runner::admit`] refuses. Runs that wait stay in the store, for the next start or another node.
    pub async fn shutdown(&self, limit: Duration) {
        {
            // Under the lock: what is about to begin either has, and is waited for, or never does.
            let _state = self.0.state.lock();
            self.0.tasks.close();
        }
        if timeout(limit, self.0.tasks.wait()).await.is_ok() {
            return;
        }
        {
            let ending = failed(SERVER_RESTARTING, "the server restarts; ask again in a moment");
            let mut state = self.0.state.lock();
            tracing::warn!(runs = state.active.len(), "runs are ended, because the server ends");
            state.active.values().for_each(|run| run.stop(ending.clone()));
            state.all = Some(ending);
        }
        if timeout(LAST_WORDS, self.0.tasks.wait()).await.is_err() {
            tracing::error!(runs = self.active(), "runs did not end in time; they are ended at the next start");
        }
    }
}

impl Shared {
    /// Begins all whose turn has come. Where the server ends, they stay in the store.
    fn pump(self: &Arc<Self>, state: &mut State) {
        let of_agent = |agent: &str| self.agents.limits(agent);
        let (per_user, all) = (self.options.max_runs_per_user, self.options.max_runs);
        let rules = Rules { per_user, all, of_agent: &of_agent };
        while !self.tasks.is_closed() {
            let State { active, queue, .. } = &mut *state;
            let Some(new) = queue.next(active.values().map(|active| &active.run), &rules) else { break };
            self.begin(state, new, None);
        }
        let State { active, queue, moved, .. } = state;
        let changed = queue.changed(active.values().map(|active| &active.run), &rules);
        if !changed.is_empty() {
            moved.extend(changed);
            self.moved.notify_one();
        }
    }

    /// Begins a run; `told`: only to end it so.
    fn begin(self: &Arc<Self>, state: &mut State, new: NewRun, told: Option<RunEnd>) {
        let NewRun { run_id, thread_id, owner, .. } = new;
        let (stop, stopped) = watch::channel(told.or_else(|| state.all.clone()));
        let run = Going { thread_id, owner, agent: new.agent.clone() };
        state.active.insert(run_id, Active { run, stop });
        let limit = self.agents.limits(&new.agent).time_limit_ms.map(Duration::from_millis);
        let (channels, agents, options) = (self.channels.clone(), self.agents.clone(), self.options.clone());
        let time_limit = limit.unwrap_or(options.time_limit);
        let entry = Entry { shared: self.clone(), run_id };
        // Not a part of the command's span, which ends long before it.
        let span = tracing::info_span!(parent: None, "run", run = %run_id, thread = %thread_id, user = %owner);
        span.follows_from(tracing::Span::current());
        let live = async move {
            let _entry = entry;
            Run { new, agents, channels, options, time_limit, stop: stopped }.live().await;
        };
        self.tasks.spawn(live.instrument(span));
    }
}

/// A run's place among the active: given up when its task ends, however it does; then it is another's turn.
struct Entry {
    shared: Arc<Shared>,
    run_id: RunId,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.active.remove(&self.run_id);
        self.shared.pump(&mut state);
        drop(state);
        self.shared.freed.notify_one();
    }
}
