//! What asks for a run, from a socket or over HTTP: the same checks, the same log, the same queue.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::Instrument;

use crate::{
    protocol::{Answer, MessageAccepted, RunId, SendMessage, ThreadId, UserId, http::User},
    server::{
        bus::InLine,
        channel::Channels,
        error::{Error, Result},
        runs::{CallerInput, Runner},
        threads::{self, Asked, NewRun},
    },
};

/// What commands need of the agents.
#[async_trait]
pub trait Runs: Send + Sync + 'static {
    /// The agent of this id, or the default one, where this person may use it now.
    ///
    /// # Errors
    /// `not_found` where there is none, with those there are; `unavailable`.
    fn resolve(&self, agent: Option<&str>, user: &User) -> Result<String>;

    /// Whether this person may ask for another run now.
    ///
    /// # Errors
    /// `rate_limited` or `unavailable`, with the time after which it may work.
    fn admit(&self, user: UserId) -> Result<()>;

    /// Whether today's budget allows this person another run.
    ///
    /// # Errors
    /// `rate_limited`, with the time after which it may work.
    async fn admit_budget(&self, user: UserId) -> Result<()> {
        let _ = user;
        Ok(())
    }

    /// Takes a run that is in the log already: it begins when its turn comes.
    fn start(&self, run: NewRun);

    /// Stops a run; one that does not go on is fine.
    fn stop(&self, run: RunId);

    /// The runs of a thread that wait here.
    fn waiting(&self, thread: ThreadId) -> Vec<InLine> {
        let _ = thread;
        Vec::new()
    }

    /// The threads in which runs wait here.
    fn lines(&self) -> Vec<ThreadId> {
        Vec::new()
    }

    /// Resolves when places in line changed.
    async fn moved(&self) {
        std::future::pending().await
    }

    /// Another node says that administrators changed the agents.
    fn agents_changed(&self) {}

    /// The threads where they did.
    fn take_moved(&self) -> Vec<ThreadId> {
        Vec::new()
    }
}

#[async_trait]
impl Runs for Runner {
    fn resolve(&self, agent: Option<&str>, user: &User) -> Result<String> {
        self.agents().resolve(agent, user)
    }

    fn admit(&self, user: UserId) -> Result<()> {
        Ok(self.admit(user)?)
    }

    async fn admit_budget(&self, user: UserId) -> Result<()> {
        self.admit_budget(user).await
    }

    fn start(&self, run: NewRun) {
        self.start(run);
    }

    fn stop(&self, run: RunId) {
        self.stop(run);
    }

    fn waiting(&self, thread: ThreadId) -> Vec<InLine> {
        self.waiting(thread)
    }

    fn lines(&self) -> Vec<ThreadId> {
        self.lines()
    }

    async fn moved(&self) {
        self.moved().await;
    }

    fn take_moved(&self) -> Vec<ThreadId> {
        self.take_moved()
    }

    fn agents_changed(&self) {
        self.agents().changed.notify_one();
    }
}

/// Says something: to the agent that the message names, or to the thread's. Once begun it is done, also where whoever asked
/// does not wait for it: what is in the log is also in line.
///
/// # Errors
/// As [`threads::send`] has them, and what agents and budgets say.
pub async fn send(
    channels: &Channels,
    runs: &Arc<dyn Runs>,
    user: &User,
    command: &SendMessage,
    caller: Option<&CallerInput>,
) -> Result<MessageAccepted> {
    let caller = caller.map(serde_json::to_string).transpose()?;
    let (channels, runs, user, command) = (channels.clone(), runs.clone(), user.clone(), command.clone());
    done(async move {
        let budget = runs.admit_budget(user.id).await;
        let admit = |of_thread: &str| {
            let agent = runs.resolve(Some(command.agent.as_deref().unwrap_or(of_thread)), &user)?;
            runs.admit(user.id).and(budget).map(|()| agent)
        };
        Ok(started(&*runs, threads::send(&channels, &user, &command, caller, admit).await?))
    })
    .await
}

/// Answers what a run waits for; as [`send`], once begun it is done.
///
/// # Errors
/// As [`threads::answer`] has them, and what agents and budgets say.
pub async fn answer(
    channels: &Channels,
    runs: &Arc<dyn Runs>,
    user: &User,
    command: &Answer,
    caller: Option<&CallerInput>,
) -> Result<MessageAccepted> {
    let caller = caller.map(serde_json::to_string).transpose()?;
    let (channels, runs, user, command) = (channels.clone(), runs.clone(), user.clone(), command.clone());
    done(async move {
        // A no costs nothing that was not asked for already.
        let budget = if threads::is_refusal(&command) { Ok(()) } else { runs.admit_budget(user.id).await };
        let admit = |agent: &str| runs.resolve(Some(agent), &user).and(runs.admit(user.id)).and(budget);
        Ok(started(&*runs, threads::answer(&channels, &user, &command, caller, admit).await?))
    })
    .await
}

/// Does it in a task of its own: HTTP's requests are dropped where they are when their caller goes away, and between the
/// commit and the start a run would be left to [`Runner::tend`].
async fn done<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let ended = |error| Error::Corrupt(format!("a command did not end: {error}"));
    tokio::spawn(work.in_current_span()).await.map_err(ended)?
}

fn started(runs: &dyn Runs, asked: Asked) -> MessageAccepted {
    asked.run.into_iter().for_each(|run| runs.start(run));
    asked.accepted
}
