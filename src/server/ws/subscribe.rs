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

/// A subscription as it was granted.
#[derive(Debug)]
pub(super) struct Granted {
    /// What the client is told.
    pub(super) reply: Subscribed,
    /// Where the log ended.
    pub(super) head: u64,
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
