//! Commands on threads: create, rename, pin, archive, delete, choose an agent, mark read. In files of their own: messages and answers
//! ([`turns`]), messages sent during a run ([`queued`]), forks, share links, members, temporary threads, tags, imports, feedback; and what is only read: the inbox, a
//! run's entries, Markdown.
//!
//! A command is done in one transaction: it changes rows and appends entries to the thread's log and to the feeds of its owner and members. A
//! repeated command (same id, same content) gets the same reply and changes nothing; the same id with other content is a conflict. What a
//! user may do with a thread is decided by [`Access`](super::access::Access).

mod checks;
mod edit_answer;
mod expiry;
mod feedback;
mod fork;
mod import;
mod inbox;
mod markdown;
mod members;
mod model_title;
mod queries;
mod queued;
mod queued_queries;
mod run_entries;
mod runs;
mod sharing;
mod tags;
mod temporary;
mod title;
mod turns;

pub use checks::{check_message, check_sizes, expires_at, is_refusal};
pub use edit_answer::edit_answer;
pub use expiry::{Expired, Unanswered, expire, unanswered};
pub use feedback::{feedback_counts, give_feedback};
pub use fork::{CopiedFile, Fork, PreparedFork, prepare_fork, store_fork};
pub use import::{Conversation, Export, Imported, import, read_export};
pub use inbox::{InboxPlace, inbox};
pub use markdown::to_markdown;
pub use members::{
    ThreadUser, add_member, check_enabled, find_people, last_removal, leave, members, remove_member, revoked,
    set_member_role,
};
pub use model_title::{claim_title_request, store_model_title};
pub use queued::{RunnerState, edit_queued, move_queued, read_messages, run_orders};
pub use run_entries::run_entries;
pub use runs::{NewRun, RunOrder, is_blocked, is_open, request_stop};
pub use sharing::{links, share, shared_thread, withdraw_link};
pub use tags::{delete_tag, rename_tag, tag_threads, tags};
pub use temporary::{
    ExpiredThread, TemporaryLimits, create_temporary, delete_expired, expired_threads, keep, record_followed,
};
pub use turns::{RequestedRun, answer, send, send_with, take_back, was_accepted};

use super::{
    access::{self, Access, ThreadRow},
    channel::{Channel, Channels, CommandTransaction, FeedEntries, ThreadUpdate},
    clock::now_ms,
    error::{Error, Result},
    one_line::one_line,
    quotas::LogAdmission,
};
use crate::protocol::{
    ArchiveThread, CreateThread, DeleteThread, ErrorCode, MarkRead, PinThread, RenameThread, RunId, ThreadEntry,
    ThreadId, ThreadInfo, UserEntry, UserId, http::User, limits,
};

/// The title of a thread without messages.
pub const UNTITLED: &str = "New thread";

/// Creates a thread. `agent` answers in it; the caller has checked it.
///
/// # Errors
/// `conflict` if the id was used with other content, `invalid_payload` for a bad title, `quota_exceeded`.
pub async fn create(channels: &Channels, user: &User, command: &CreateThread, agent: &str) -> Result<ThreadInfo> {
    let title =
        command.title.as_deref().map(|title| one_line(title, "a title", limits::MAX_TITLE_CHARS)).transpose()?;
    let request = serde_json::to_string(command)?;
    let admission = channels.quotas().read_log_bytes(channels.store(), user.id).await?;
    let mut tx = channels.begin().await?;
    let thread = ThreadInfo::new(command.thread_id, title.unwrap_or_else(|| UNTITLED.to_owned()), agent, now_ms());
    if !queries::insert_thread(tx.sql(), user.id, &thread, &request).await? {
        return created_before(&mut tx, user.id, command.thread_id, &request).await;
    }
    let engine = tx.engine();
    channels.quotas().admit_thread(engine, tx.sql(), user.id).await?;
    admission.admit(request.len())?;
    append_info(&mut tx, user.id, &thread).await?;
    tx.commit().await?;
    Ok(thread)
}

/// The thread that the same command created before.
async fn created_before(
    tx: &mut CommandTransaction,
    user: UserId,
    thread: ThreadId,
    request: &str,
) -> Result<ThreadInfo> {
    let before = queries::creation(tx.sql(), thread).await?;
    if before.owner != user || before.request != request || before.deleted_at.is_some() {
        return Err(Error::refused(ErrorCode::Conflict, "this thread_id was used before; create another"));
    }
    let engine = tx.engine();
    Ok(access::read_thread(tx.sql(), engine, thread, "").await?.info_for(user))
}

/// Gives a thread another title.
///
/// # Errors
/// `not_found`, `invalid_payload` for a bad title, `quota_exceeded`.
pub async fn rename(channels: &Channels, user: &User, command: &RenameThread) -> Result<ThreadInfo> {
    let title = one_line(&command.title, "a title", limits::MAX_TITLE_CHARS)?;
    change_info(channels, (user.id, Access::Own), command.thread_id, move |thread| {
        (thread.title != title).then(|| (ThreadInfo { title: title.clone(), ..thread.clone() }, title.len()))
    })
    .await
}

/// Sets the agent that answers in a thread from now on; the caller has checked it.
///
/// # Errors
/// `not_found`, `quota_exceeded`.
pub async fn set_agent(channels: &Channels, user: &User, thread: ThreadId, agent: &str) -> Result<ThreadInfo> {
    let agent = agent.to_owned();
    change_info(channels, (user.id, Access::Write), thread, move |thread| {
        (thread.agent != agent).then(|| (ThreadInfo { agent: agent.clone(), ..thread.clone() }, agent.len()))
    })
    .await
}

/// Pins a thread in the user's list, or unpins it.
///
/// # Errors
/// `not_found`, `quota_exceeded`.
pub async fn pin(channels: &Channels, user: &User, command: &PinThread) -> Result<ThreadInfo> {
    let pinned = command.pinned;
    change_info(channels, (user.id, Access::Read), command.thread_id, move |thread| {
        (thread.pinned != pinned).then(|| (ThreadInfo { pinned, ..thread.clone() }, 0))
    })
    .await
}

/// Archives a thread in the user's list, or takes it out of the archive.
///
/// # Errors
/// `not_found`, `quota_exceeded`.
pub async fn archive(channels: &Channels, user: &User, command: &ArchiveThread) -> Result<ThreadInfo> {
    let archived = command.archived;
    change_info(channels, (user.id, Access::Read), command.thread_id, move |thread| {
        (thread.archived != archived).then(|| (ThreadInfo { archived, ..thread.clone() }, 0))
    })
    .await
}

/// Changes a thread as a user sees it, if `change` returns the changed thread with the bytes that it needs.
async fn change_info(
    channels: &Channels,
    (user, needed): (UserId, Access),
    thread: ThreadId,
    change: impl Fn(&ThreadInfo) -> Option<(ThreadInfo, usize)> + Send + Sync + 'static,
) -> Result<ThreadInfo> {
    let admission = admission(channels, user, thread).await?;
    let decide = move |thread: &ThreadInfo| {
        let Some((info, bytes)) = change(thread) else { return Ok(ThreadUpdate::default()) };
        admission.admit(bytes)?;
        Ok(ThreadUpdate { info: Some(info), feed: None })
    };
    channels.change_thread((user, needed), thread, decide).await
}

/// Reads how much may be added to a thread: its conversation counts for its owner, whoever writes.
async fn admission(channels: &Channels, user: UserId, thread: ThreadId) -> Result<LogAdmission> {
    let owner = channels.owner(thread).await?.unwrap_or(user);
    channels.quotas().read_log_bytes(channels.store(), owner).await.map(|admission| admission.requested_by(user))
}

/// Deletes a thread with its log, runs and messages. Returns its runs that had not ended: the caller stops them, and deletes the
/// thread's files from the disk. Deleting again changes nothing.
///
/// # Errors
/// `not_found` if it never was a thread of this person.
pub async fn delete(channels: &Channels, user: &User, command: &DeleteThread) -> Result<Vec<RunId>> {
    let (owner, thread_id) = (user.id, command.thread_id);
    let mut tx = channels.begin().await?;
    if queries::is_deleted(tx.sql(), owner, thread_id).await? {
        return Ok(Vec::new());
    }
    let thread = lock_thread(&mut tx, owner, thread_id, Access::Own).await?;
    delete_locked(tx, &thread).await
}

/// Deletes a thread that is locked, and commits. Returns its runs that had not ended.
async fn delete_locked(mut tx: CommandTransaction, thread: &ThreadRow) -> Result<Vec<RunId>> {
    let thread_id = thread.info.id;
    let open = queries::delete_thread(tx.sql(), thread_id).await?;
    tx.delete(Channel::Thread(thread_id)).await?;
    let mut feeds = FeedEntries::default();
    feeds.add_for_all(thread, &UserEntry::ThreadRemoved { thread_id });
    tx.append_to_feeds(feeds).await?;
    tx.commit().await?;
    Ok(open)
}

/// Marks a thread as read in the user's list.
///
/// # Errors
/// `not_found`, `quota_exceeded`.
pub async fn mark_read(channels: &Channels, user: &User, command: &MarkRead) -> Result<()> {
    let (thread_id, quotas) = (command.thread_id, channels.quotas());
    let admission = quotas.read_log_bytes(channels.store(), user.id).await?;
    let decide = move |_: &ThreadInfo| {
        admission.admit(0)?;
        Ok(ThreadUpdate { info: None, feed: Some(UserEntry::Read { thread_id }) })
    };
    channels.change_thread((user.id, Access::Read), thread_id, decide).await.map(drop)
}

/// A thread as a user sees it who has at least this access.
///
/// # Errors
/// `not_found`, `forbidden`.
pub async fn authorise(channels: &Channels, user: UserId, thread: ThreadId, needed: Access) -> Result<ThreadInfo> {
    let mut reader = channels.store().reader().acquire().await?;
    let row = access::read_thread(&mut reader, channels.store().engine(), thread, "").await?;
    row.access(user).require(needed)?;
    Ok(row.info_for(user))
}

/// The thread of a run, if a user has at least this access to it.
///
/// # Errors
/// `not_found`, `forbidden`.
pub async fn authorise_run(channels: &Channels, user: UserId, run: RunId, needed: Access) -> Result<ThreadId> {
    let thread = queries::thread_of_run(channels.store().reader(), run).await?.thread_id;
    match authorise(channels, user, thread, needed).await {
        Err(Error::Refused(body)) if body.code == ErrorCode::NotFound => Err(Error::not_found("run")),
        authorised => authorised.map(|_| thread),
    }
}

/// A thread to which a user has at least this access, locked until the transaction ends.
async fn lock_thread(tx: &mut CommandTransaction, user: UserId, thread: ThreadId, needed: Access) -> Result<ThreadRow> {
    let row = lock_for_server(tx, thread).await?;
    row.access(user).require(needed)?;
    Ok(row)
}

/// A thread, locked until the transaction ends, for changes that no user requests.
async fn lock_for_server(tx: &mut CommandTransaction, thread: ThreadId) -> Result<ThreadRow> {
    let engine = tx.engine();
    access::read_thread(tx.sql(), engine, thread, engine.for_update()).await
}

/// Appends a new thread's title and agent to its log and to its owner's feed.
async fn append_info(tx: &mut CommandTransaction, owner: UserId, thread: &ThreadInfo) -> Result<()> {
    tx.append_to_thread(thread.id, &[ThreadEntry::info(thread)]).await?;
    tx.append_to_feed(owner, &[UserEntry::Thread { thread: thread.clone() }]).await?;
    Ok(())
}
