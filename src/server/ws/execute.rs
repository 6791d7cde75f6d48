//! Executes one command of a connection, and encodes its reply.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    command_queue::CommandOutcome,
    gateway::{ConnectionContext, Gateway},
    subscribe::{Granted, subscribe},
};
use crate::{
    protocol::{
        Accepted, Command, ErrorBody, ErrorCode, Pong, Subscribe, ThreadInfo, ThreadReply, encode_ok, http::User,
    },
    server::{
        auth::Refusal,
        clock::now_ms,
        error::{Error, Result},
        prompts, threads,
    },
};

/// The largest reply, in bytes; replies to `subscribe` hold whole snapshots.
pub(super) const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// Executes a command with the rights that the connection's person has now.
///
/// `channel_number` is that of a subscription on `netra.v1.compact`.
pub(super) async fn execute(
    context: Arc<ConnectionContext>,
    id: i64,
    command: Command,
    channel_number: Option<u32>,
) -> CommandOutcome {
    let user = match context.gateway.auth.revalidate(&context.identity).await {
        Ok(user) => user,
        Err(Refusal::Failed(error)) => return CommandOutcome::Refused(error.into_body()),
        Err(Refusal::Unauthorized(_) | Refusal::Origin(_) | Refusal::Forbidden(_)) => return CommandOutcome::SignedOut,
    };
    let outcome = match command {
        Command::Subscribe(command) => reply_to_subscribe(&context, &user, id, command, channel_number).await,
        command => {
            let payload = payload(&context.gateway, &user, command).await;
            payload.map(|payload| CommandOutcome::Reply(encode_ok(id, &payload)))
        }
    };
    outcome.unwrap_or_else(|error| CommandOutcome::Refused(error.into_body()))
}

async fn reply_to_subscribe(
    context: &ConnectionContext,
    user: &User,
    id: i64,
    command: Subscribe,
    channel_number: Option<u32>,
) -> Result<CommandOutcome> {
    let ConnectionContext { gateway, follower, .. } = context;
    let Granted { reply, head } = subscribe(gateway, follower, user, &command, channel_number).await?;
    let (seq, reply) = (reply.seq, encode_ok(id, &reply));
    if reply.len() > MAX_REPLY_BYTES {
        let message = format!("the channel's state has more than {MAX_REPLY_BYTES} bytes; begin another thread");
        return Err(ErrorBody::new(ErrorCode::TooLarge, message).into());
    }
    Ok(CommandOutcome::Subscribed { seq, head, reply })
}

/// Executes a command that is not about subscriptions; returns the payload of its reply.
async fn payload(gateway: &Gateway, user: &User, command: Command) -> Result<Value> {
    let Gateway { channels, commands, .. } = gateway;
    Ok(match command {
        Command::CreateThread(command) => thread_reply(commands.create_thread(user, &command).await?),
        Command::CreateTemporaryThread(command) => {
            thread_reply(commands.create_temporary_thread(user, &command).await?)
        }
        Command::KeepThread(command) => thread_reply(threads::keep(channels, user, &command).await?),
        Command::ForkThread(command) => thread_reply(commands.fork_thread(user, &command).await?),
        Command::RenameThread(command) => thread_reply(threads::rename(channels, user, &command).await?),
        Command::PinThread(command) => thread_reply(threads::pin(channels, user, &command).await?),
        Command::ArchiveThread(command) => thread_reply(threads::archive(channels, user, &command).await?),
        Command::SetAgent(command) => thread_reply(commands.set_agent(user, &command).await?),
        Command::DeleteThread(command) => accepted(commands.delete_thread(user, &command).await?),
        Command::SendMessage(command) => json!(commands.send_message(user, &command, None).await?),
        Command::Answer(command) => json!(commands.answer(user, &command, None).await?),
        Command::TakeBack(command) => accepted(commands.take_back(user, &command).await?),
        Command::EditQueued(command) => accepted(threads::edit_queued(channels, user, &command).await?),
        Command::MoveQueued(command) => accepted(commands.move_queued(user, &command).await?),
        Command::StopRun(command) => accepted(commands.stop_run(user.id, command.run_id).await?),
        Command::MarkRead(command) => accepted(threads::mark_read(channels, user, &command).await?),
        Command::EditAnswer(command) => json!(threads::edit_answer(channels, user, &command).await?),
        Command::GiveFeedback(command) => accepted(threads::give_feedback(channels, user, &command).await?),
        Command::ShareThread(command) => accepted(threads::share(channels, user, &command).await?),
        Command::WithdrawLink(command) => accepted(threads::withdraw_link(channels, user, &command).await?),
        Command::AddMember(command) => accepted(commands.add_member(user, &command).await?),
        Command::SetMemberRole(command) => accepted(threads::set_member_role(channels, user, &command).await?),
        Command::RemoveMember(command) => accepted(commands.remove_member(user, &command).await?),
        Command::LeaveThread(command) => accepted(commands.leave_thread(user, &command).await?),
        Command::TagThreads(command) => accepted(threads::tag_threads(channels, user, &command).await?),
        Command::RenameTag(command) => accepted(threads::rename_tag(channels, user, &command).await?),
        Command::DeleteTag(command) => accepted(threads::delete_tag(channels, user, &command).await?),
        Command::SavePrompt(command) => accepted(commands.save_prompt(user, &command).await?),
        Command::DeletePrompt(command) => accepted(prompts::delete(channels, user, &command).await?),
        Command::Ping(_) => pong(),
        Command::Subscribe(_) | Command::Unsubscribe(_) => {
            return Err(Error::Corrupt("subscriptions belong to the connection".into()));
        }
    })
}

fn accepted((): ()) -> Value {
    json!(Accepted {})
}

fn thread_reply(thread: ThreadInfo) -> Value {
    json!(ThreadReply { thread })
}

/// The payload of the reply to `ping`.
pub(super) fn pong() -> Value {
    json!(Pong { server_time: now_ms() })
}
