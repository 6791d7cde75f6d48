//! The runner: begins, stops and ends runs, and answers for each of them ending.
//!
//! Promises: every run in the store ends in a terminal event with everything inside it closed. While this process lives
//! the run's own task sees to it; after a crash [`Runner::recover`] does, or [`Runner::tend`] of another node, which also
//! finds what neither did (the store failed for longer than a run waits). A stopped run's log ends at once, whatever its
//! agent does.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    log::{Lost, RunLog},
    registry::Agents,
    run::{Run, failed},
};
use crate::{
    protocol::{ErrorBody, ErrorCode, RunId, ThreadId, UserId},
    server::{
        channel::Channels,
        error::{Error, Result},
        leases::{Leases, Orphan},
        store::now_ms,
        threads::NewRun,
    },
    thread::Ending,
};

/// How many stops are remembered for runs that did not begin yet.
const MAX_EARLY_STOPS: usize = 256;
/// How old a run of this node that nobody lives is before it is ended.
const UNATTENDED: Duration = Duration::from_secs(30);
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
    /// How many runs of one person go on at once.
    pub max_runs_per_user: usize,
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
    /// The defaults, for a folder of files: 40 ms, 15 minutes, 4 runs a person, 64 in all, a lease of 15 seconds.
    #[must_use]
    pub fn new(files: impl Into<PathBuf>) -> Self {
        Self {
            coalesce: Duration::from_millis(40),
            time_limit: Duration::from_secs(15 * 60),
            store_patience: Duration::from_secs(30),
            max_runs_per_user: 4,
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
    /// Cancelled when there is nothing left to look after.
    ending: CancellationToken,
}

#[derive(Default)]
struct State {
    active: HashMap<RunId, Active>,
    /// Runs stopped before they began: a message is seen a moment before its run starts.
    early: VecDeque<RunId>,
    /// How runs end from now on.
    all: Option<Ending>,
}

struct Active {
    thread_id: ThreadId,
    owner: UserId,
    stop: watch::Sender<Option<Ending>>,
}

impl Active {
    /// The first word counts.
    fn stop(&self, ending: Ending) {
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
        let (state, tasks, ending) = Default::default();
        let leases = Leases::new(&channels, &options.node, options.lease);
        Self(Arc::new(Shared { channels, leases, agents, options: Arc::new(options), state, tasks, ending }))
    }

    /// The agents that it runs.
    #[must_use]
    pub fn agents(&self) -> &Agents {
        &self.0.agents
    }

    /// Whether this person may begin another run now: asked before the message is accepted.
    ///
    /// # Errors
    /// `rate_limited` where the person has as many as allowed, `unavailable` where the server has or is about to end.
    /// Messages accepted at the same moment may exceed the bound by their number.
    pub fn admit(&self, user: UserId) -> Result<(), ErrorBody> {
        let (state, options) = (self.0.state.lock(), &self.0.options);
        let refused = |code, message: String| Err(ErrorBody::new(code, message).retry_after(2_000));
        if self.0.tasks.is_closed() {
            return refused(ErrorCode::Unavailable, "the server restarts; try again in a moment".into());
        }
        if state.active.values().filter(|run| run.owner == user).count() >= options.max_runs_per_user {
            let most = options.max_runs_per_user;
            let message = format!("{most} of your runs go on, and more are not allowed at once; stop one or wait");
            return refused(ErrorCode::RateLimited, message);
        }
        if state.active.len() >= options.max_runs {
            let message = "as many agents run as this server allows; try again in a moment";
            return refused(ErrorCode::Unavailable, message.into());
        }
        Ok(())
    }

    /// Begins a run that was accepted. Call it with no wait between the acceptance and this.
    pub fn start(&self, new: NewRun) {
        let (run_id, shared) = (new.run_id, self.0.clone());
        let mut state = shared.state.lock();
        if state.active.contains_key(&run_id) {
            return;
        }
        let early = state.early.iter().position(|stopped| *stopped == run_id);
        let told = early.and_then(|index| state.early.remove(index)).map(|_| Ending::Cancelled);
        let (stop, stopped) = watch::channel(told.or_else(|| state.all.clone()));
        state.active.insert(run_id, Active { thread_id: new.thread_id, owner: new.owner, stop });
        drop(state);
        let agent = self.0.agents.get(&new.agent);
        let (channels, options) = (self.0.channels.clone(), self.0.options.clone());
        let entry = Entry { shared: shared.clone(), run_id };
        // Not a part of the command's span, which ends long before it.
        let span = tracing::info_span!(parent: None, "run", run = %run_id, thread = %new.thread_id, user = %new.owner);
        span.follows_from(tracing::Span::current());
        let live = async move {
            let _entry = entry;
            Run { new, agent, channels, options, stop: stopped }.live().await;
        };
        shared.tasks.spawn(live.instrument(span));
    }

    /// Stops a run: its log ends as cancelled within a second. Again, or after its end, it changes nothing.
    pub fn stop(&self, run_id: RunId) {
        let mut state = self.0.state.lock();
        if let Some(run) = state.active.get(&run_id) {
            return run.stop(Ending::Cancelled);
        }
        if !state.early.contains(&run_id) {
            if state.early.len() == MAX_EARLY_STOPS {
                state.early.pop_front();
            }
            state.early.push_back(run_id);
        }
    }

    /// Stops all runs of a thread: one that was deleted, whose runs then end without a word.
    pub fn stop_thread(&self, thread_id: ThreadId) {
        let state = self.0.state.lock();
        state.active.values().filter(|run| run.thread_id == thread_id).for_each(|run| run.stop(Ending::Cancelled));
    }

    /// How many runs go on.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.state.lock().active.len()
    }

    /// Lets runs finish for as long as `limit`, then ends those that have not, with `RUN_ERROR` `server_restarting`.
    /// From the call on, [`Runner::admit`] refuses.
    pub async fn shutdown(&self, limit: Duration) {
        self.0.tasks.close();
        if timeout(limit, self.0.tasks.wait()).await.is_ok() {
            return;
        }
        {
            let ending = failed("server_restarting", "the server restarts; ask again in a moment");
            let mut state = self.0.state.lock();
            tracing::warn!(runs = state.active.len(), "runs are ended, because the server ends");
            state.active.values().for_each(|run| run.stop(ending.clone()));
            state.all = Some(ending);
        }
        if timeout(LAST_WORDS, self.0.tasks.wait()).await.is_err() {
            tracing::error!(runs = self.active(), "runs did not end in time; they are ended at the next start");
        }
    }

    /// Takes this node's lease and ends the runs that nobody lives: those of a process that died. For start-up, before
    /// people come in. Answers how many.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn recover(&self) -> Result<usize> {
        let leases = &self.0.leases;
        leases.inherit().await?;
        leases.renew().await?;
        leases.claim().await?;
        let message = "the server was restarted before the run ended; what was said so far is kept, ask again";
        self.end_lost(leases.open_runs(i64::MAX).await?, &failed("server_restarted", message)).await
    }

    /// Renews the lease and looks after what is lost, turn by turn; returns when the server ends.
    pub async fn tend(&self) {
        let mut turns = interval(self.0.leases.turn());
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.0.ending.run_until_cancelled(turns.tick()).await.is_some() {
            if let Err(error) = self.turn().await {
                tracing::warn!(%error, "the store cannot be asked for lost runs now");
            }
        }
    }

    async fn turn(&self) -> Result<()> {
        let leases = &self.0.leases;
        leases.renew().await?;
        leases.stops().await?.into_iter().for_each(|run_id| self.stop(run_id));
        let message = "the server that ran it is gone; what was said so far is kept, ask again";
        self.end_lost(leases.claim().await?, &failed("server_lost", message)).await?;
        let age = i64::try_from(UNATTENDED.as_millis()).unwrap_or(i64::MAX);
        let message = "the run's events could not be stored for a while, and it had to end; ask again";
        self.end_lost(leases.open_runs(now_ms().saturating_sub(age)).await?, &failed("lost", message)).await?;
        Ok(())
    }

    /// Gives the lease back, when the last run has ended: until then it is renewed, so that nobody takes them over.
    pub async fn leave(&self) {
        self.0.ending.cancel();
        if let Err(error) = self.0.leases.leave().await {
            tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
        }
    }

    async fn end_lost(&self, orphans: Vec<Orphan>, ending: &Ending) -> Result<usize> {
        let mut ended = 0;
        for Orphan { run_id, thread_id, owner } in orphans {
            if self.0.state.lock().active.contains_key(&run_id) {
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
            let log = RunLog::new(&self.0.channels, &self.0.options, thread_id, run_id, owner);
            match log.at(seq, view).end(ending).await {
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

/// A run's place among the active: given up when its task ends, however it does.
struct Entry {
    shared: Arc<Shared>,
    run_id: RunId,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.state.lock().active.remove(&self.run_id);
    }
}
