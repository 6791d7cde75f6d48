//! What each command does, and the one reply that it gets.

use std::path::Path;

use serde_json::{Value, json};

use super::{connection::Peer, manager::Follower, turns::Runs};
use crate::{
    protocol::{
        Accepted, ChannelName, Command, CreateThread, DeleteThread, ErrorBody, ErrorCode, Mode, Pong, SetAgent,
        StopRun, Subscribe, Subscribed, ThreadId, ThreadReply, http::User, limits::MAX_SUBSCRIPTIONS,
    },
    server::{
        channel::{Channel, Channels, Extent},
        clock::now_ms,
        error::{Error, Result},
        metrics, threads,
    },
};

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
    let runs = &peer.gateway.runs;
    match command {
        Command::CreateThread(command) => create(channels, &**runs, user, &command).await,
        Command::RenameThread(command) => {
            let thread = threads::rename(channels, user, &command).await?;
            Ok(json!(ThreadReply { thread }))
        }
        Command::SetAgent(SetAgent { thread_id, agent }) => {
            let agent = runs.resolve(Some(&agent), user)?;
            let thread = threads::set_agent(channels, user, thread_id, &agent).await?;
            Ok(json!(ThreadReply { thread }))
        }
        Command::DeleteThread(command) => delete(peer, user, &command).await,
        Command::SendMessage(command) => Ok(json!(super::turns::send(channels, runs, user, &command, None).await?)),
        Command::Answer(command) => Ok(json!(super::turns::answer(channels, runs, user, &command, None).await?)),
        Command::TakeBack(command) => {
            if let Some(run) = threads::take_back(channels, user, &command).await? {
                peer.gateway.nodes.stop_run(run);
            }
            Ok(json!(Accepted {}))
        }
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
    let agent = runs.resolve(command.agent.as_deref(), user)?;
    let thread = threads::create(channels, user, command, &agent).await?;
    Ok(json!(ThreadReply { thread }))
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
            let (at, snapshot) = channels.snapshot(channel, command.newest.map(|newest| newest.max(1))).await?;
            Granted { reply: reply(at.seq, Mode::Snapshot, Some(snapshot)), head: head.max(at.seq) }
        }
    };
    if command.after.is_some() {
        metrics::resumed(granted.reply.mode);
    }
    Ok(granted)
}
