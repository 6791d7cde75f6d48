//! What each command does, and the one reply that it gets.

use std::path::Path;

use serde_json::{Value, json};

use super::{connection::Peer, manager::Follower};
use crate::{
    protocol::{
        Accepted, ChannelName, Command, CreateThread, DeleteThread, ErrorBody, ErrorCode, Mode, Pong, RunId,
        SendMessage, StopRun, Subscribe, Subscribed, ThreadId, ThreadReply, UserId, http::User,
        limits::MAX_SUBSCRIPTIONS,
    },
    server::{
        agents::Runner,
        channel::{Channel, Channels, Extent},
        error::{Error, Result},
        metrics,
        store::now_ms,
        threads::{self, NewRun},
    },
};

/// What commands need of the agents.
pub trait Runs: Send + Sync + 'static {
    /// The agent of this id, or the default one.
    ///
    /// # Errors
    /// `not_found` where there is none, with those there are.
    fn resolve(&self, agent: Option<&str>) -> Result<String>;

    /// Whether this person may begin another run now.
    ///
    /// # Errors
    /// `rate_limited` or `unavailable`, with the time after which it may work.
    fn admit(&self, user: UserId) -> Result<()>;

    /// Begins a run that is in the log already.
    fn start(&self, run: NewRun);

    /// Stops a run; one that does not go on is fine.
    fn stop(&self, run: RunId);
}

impl Runs for Runner {
    fn resolve(&self, agent: Option<&str>) -> Result<String> {
        self.agents().resolve(agent).map(str::to_owned)
    }

    fn admit(&self, user: UserId) -> Result<()> {
        Ok(self.admit(user)?)
    }

    fn start(&self, run: NewRun) {
        self.start(run);
    }

    fn stop(&self, run: RunId) {
        self.stop(run);
    }
}

/// A subscription as it was granted.
#[derive(Debug)]
pub(super) struct Granted {
    /// What the client is told.
    pub(super) reply: Subscribed,
    /// Where the log ended.
    pub(super) head: u64,
}

/// Does a command for a person, as they are now. Subscribing is [`subscribe`]'s.
pub(super) async fn execute(peer: &Peer, user: &User, command: Command) -> Result<Value> {
    let channels = &peer.gateway.channels;
    let runs = &*peer.gateway.runs;
    match command {
        Command::CreateThread(command) => create(channels, runs, user, &command).await,
        Command::RenameThread(command) => {
            let thread = threads::rename(channels, user, &command).await?;
            Ok(json!(ThreadReply { thread }))
        }
        Command::DeleteThread(command) => delete(peer, user, &command).await,
        Command::SendMessage(command) => send(channels, runs, user, &command).await,
        Command::StopRun(StopRun { run_id }) => {
            if threads::ask_to_stop(channels, user.id, run_id).await? {
                peer.gateway.nodes.stop_run(run_id);
            }
            Ok(json!(Accepted {}))
        }
        Command::MarkRead(command) => {
            threads::mark_read(channels, user, &command).await?;
            Ok(json!(Accepted {}))
        }
        Command::Ping(_) => Ok(pong()),
        Command::Subscribe(_) | Command::Unsubscribe(_) => {
            Err(Error::Corrupt("subscriptions are the connection's".into()))
        }
    }
}

/// The answer to `ping`.
pub(super) fn pong() -> Value {
    json!(Pong { server_time: now_ms() })
}

async fn create(channels: &Channels, runs: &dyn Runs, user: &User, command: &CreateThread) -> Result<Value> {
    let agent = runs.resolve(command.agent.as_deref())?;
    let thread = threads::create(channels, user, command, &agent).await?;
    Ok(json!(ThreadReply { thread }))
}

async fn send(channels: &Channels, runs: &dyn Runs, user: &User, command: &SendMessage) -> Result<Value> {
    let agent = match &command.agent {
        Some(agent) => runs.resolve(Some(agent))?,
        None => runs.resolve(Some(&threads::authorise(channels, user.id, command.thread_id).await?.agent))?,
    };
    let (accepted, run) = threads::send(channels, user, command, &agent, || runs.admit(user.id)).await?;
    if let Some(run) = run {
        runs.start(run);
    }
    Ok(json!(accepted))
}

async fn delete(peer: &Peer, user: &User, command: &DeleteThread) -> Result<Value> {
    let running = threads::delete(&peer.gateway.channels, user, command).await?;
    peer.gateway.nodes.forget(command.thread_id);
    running.into_iter().for_each(|run| peer.gateway.nodes.stop_run(run));
    remove_files(&peer.gateway.files, command.thread_id).await?;
    Ok(json!(Accepted {}))
}

async fn remove_files(files: &Path, thread: ThreadId) -> Result<()> {
    match tokio::fs::remove_dir_all(files.join(thread.to_string())).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// The channel that a name means to a person.
pub(super) fn channel(user: &User, name: ChannelName) -> Channel {
    match name {
        ChannelName::User => Channel::User(user.id),
        ChannelName::Thread(thread) => Channel::Thread(thread),
    }
}

/// Follows a channel from a cursor: registers first and then reads the head, so that no entry falls between.
pub(super) async fn subscribe(
    channels: &Channels,
    follower: &Follower,
    replay_limit: u64,
    user: &User,
    command: &Subscribe,
) -> Result<Granted> {
    let channel = channel(user, command.channel);
    if let Channel::Thread(thread) = channel {
        threads::authorise(channels, user.id, thread).await?;
    }
    if !follower.follow(channel) {
        let message = format!("a connection follows at most {MAX_SUBSCRIPTIONS} channels; leave one first");
        return Err(ErrorBody::new(ErrorCode::Conflict, message).into());
    }
    let Extent { trimmed, head } = channels.extent(channel).await?;
    if head == 0 && matches!(channel, Channel::Thread(_)) {
        // Deleted between the two: every thread has entries.
        return Err(Error::not_found("thread"));
    }
    let known = command.after.as_ref().filter(|after| after.epoch == *channels.epoch());
    let known = known
        .map(|after| after.seq)
        .filter(|seq| (trimmed..=head).contains(seq))
        .filter(|seq| head - seq <= replay_limit);
    let reply = |seq, mode, snapshot| Subscribed {
        channel: command.channel,
        epoch: channels.epoch().clone(),
        seq,
        mode,
        snapshot,
    };
    let granted = match known {
        Some(seq) if seq == head => Granted { reply: reply(seq, Mode::Live, None), head },
        Some(seq) => Granted { reply: reply(seq, Mode::Replay, None), head },
        None => {
            let (at, snapshot) = channels.snapshot(channel).await?;
            Granted { reply: reply(at.seq, Mode::Snapshot, Some(snapshot)), head: head.max(at.seq) }
        }
    };
    if command.after.is_some() {
        metrics::resumed(granted.reply.mode);
    }
    Ok(granted)
}
