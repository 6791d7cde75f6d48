//! `subscribe`: follows a channel from a cursor.

use crate::{
    protocol::{ChannelName, ErrorBody, ErrorCode, Mode, Subscribe, Subscribed, http::User, limits::MAX_SUBSCRIPTIONS},
    server::{
        channel::{Channel, Channels, Extent},
        connections::Follower,
        error::{Error, Result},
        metrics, threads,
    },
};

/// A subscription that was granted.
#[derive(Debug)]
pub(super) struct Granted {
    /// The payload of the reply.
    pub(super) reply: Subscribed,
    /// The `seq` of the log's last entry.
    pub(super) head: u64,
}

/// The channel that a name refers to in a command of this user.
pub(super) fn channel(user: &User, name: ChannelName) -> Channel {
    match name {
        ChannelName::User => Channel::User(user.id),
        ChannelName::Thread(thread) => Channel::Thread(thread),
    }
}

/// Follows a channel. The connection is registered before the end of the log is read, so no entry in between is missed.
///
/// A client whose cursor is valid gets the entries after it, unless there are more than `replay_limit`; every other client gets
/// a snapshot.
///
/// # Errors
/// `not_found` if there is no such thread or it belongs to another user; `conflict` if the connection follows as many channels as
/// it may; an error of the store.
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
        let message = format!("a connection follows at most {MAX_SUBSCRIPTIONS} channels; unsubscribe from one first");
        return Err(ErrorBody::new(ErrorCode::Conflict, message).into());
    }
    let Extent { trimmed, head } = channels.extent(channel).await?;
    if head == 0 && matches!(channel, Channel::Thread(_)) {
        // Every thread has entries, so it was deleted since it was authorised.
        return Err(Error::not_found("thread"));
    }
    let cursor = command.after.as_ref().filter(|after| after.epoch == *channels.epoch());
    let resume_after = cursor
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
    let granted = match resume_after {
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
