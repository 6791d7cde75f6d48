//! `subscribe`: follows a channel from a cursor.
//!
//! A client of the thread's owner whose cursor is at the end of the log costs no statement, if this node knows the owner and the log's end.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::gateway::Gateway;
use crate::{
    protocol::{ChannelName, ErrorBody, ErrorCode, Mode, Subscribe, Subscribed, http::User, limits::MAX_SUBSCRIPTIONS},
    server::{
        access::Access,
        channel::{Channel, Extent},
        connections::Follower,
        error::{Error, Result},
        metrics,
    },
};

/// A subscription that was granted.
#[derive(Debug)]
pub(super) struct Granted {
    /// The payload of the reply.
    pub(super) reply: Subscribed<Arc<RawValue>>,
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
/// a snapshot. `channel_number` stands for the channel in compact frames.
///
/// # Errors
/// `not_found` if there is no such thread or the user may not read it; `conflict` if the connection follows as many channels as
/// it may; an error of the store.
pub(super) async fn subscribe(
    gateway: &Gateway,
    follower: &Follower,
    user: &User,
    command: &Subscribe,
    channel_number: Option<u32>,
) -> Result<Granted> {
    let Gateway { channels, .. } = gateway;
    let channel = channel(user, command.channel);
    let access = match channel {
        Channel::Thread(thread) => channels.access(user.id, thread).await?,
        Channel::User(_) => Access::Own,
    };
    access.require(Access::Read)?;
    if !follower.follow(channel) {
        let message = format!("a connection follows at most {MAX_SUBSCRIPTIONS} channels; unsubscribe from one first");
        return Err(ErrorBody::new(ErrorCode::Conflict, message).into());
    }
    if let Channel::Thread(thread) = channel
        && access < Access::Own
    {
        // A removal from the members that came between ended no subscription: from here on, it does. A refusal ends the subscription.
        channels.access(user.id, thread).await?.require(Access::Read)?;
    }
    let extent = channels.extent(channel).await?;
    let Extent { trimmed, head } = extent;
    if head == 0 && matches!(channel, Channel::Thread(_)) {
        // Every thread has entries, so it was deleted since it was authorised.
        return Err(Error::not_found("thread"));
    }
    let cursor = command.after.as_ref().filter(|after| after.epoch == *channels.epoch());
    let resume_after = cursor
        .map(|after| after.seq)
        .filter(|seq| (trimmed..=head).contains(seq))
        .filter(|seq| head - seq <= gateway.config.replay_limit);
    let reply = |seq, mode, snapshot| Subscribed {
        channel: command.channel,
        epoch: channels.epoch().clone(),
        seq,
        mode,
        snapshot,
        channel_number,
    };
    let granted = match resume_after {
        Some(seq) if seq == head => Granted { reply: reply(seq, Mode::Live, None), head },
        Some(seq) => Granted { reply: reply(seq, Mode::Replay, None), head },
        None => {
            let newest = command.newest.map(|newest| newest.max(1)).filter(|_| matches!(channel, Channel::User(_)));
            let (at, snapshot) = channels.encoded_snapshot(channel, newest, extent).await?;
            Granted { reply: reply(at.seq, Mode::Snapshot, Some(snapshot)), head: head.max(at.seq) }
        }
    };
    if command.after.is_some() {
        metrics::resumed(granted.reply.mode);
    }
    Ok(granted)
}
