//! Commands on threads: create, rename, pin, archive, delete, choose an agent, mark read. In files of their own: messages and answers
//! ([`turns`]), messages sent during a run ([`queued`]), forks, share links, temporary threads, tags, imports, feedback; and what is only read: the inbox, a
//! run's entries, Markdown.
//!
//! A command is done in one transaction: it changes rows and appends entries to the thread's log and to the owner's feed. A repeated command
//! (same id, same content) gets the same reply and changes nothing; the same id with other content is a conflict. Threads of other
//! people are `not_found`.

mod checks;
mod expiry;
mod feedback;
mod fork;
mod import;
mod inbox;
mod markdown;
mod model_title;
mod owners;
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
pub use expiry::{Expired, Unanswered, expire, unanswered};
pub use feedback::{feedback_counts, give_feedback};
pub use fork::{CopiedFile, Fork, PreparedFork, prepare_fork, store_fork};
pub use import::{Conversation, Export, Imported, import, read_export};
pub use inbox::{InboxPlace, inbox};
pub use markdown::to_markdown;
pub use model_title::{claim_title_request, store_model_title};
pub use owners::Owners;
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
    channel::{Channel, Channels, CommandTransaction, ThreadUpdate},
    clock::now_ms,
    error::{Error, Result},
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
    let title = command.title.as_deref().map(title).transpose()?;
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
    queries::thread(tx.sql(), user, thread, "").await
}

/// Gives a thread another title.
///
/// # Errors
/// `not_found`, `invalid_payload` for a bad title, `quota_exceeded`.
pub async fn rename(channels: &Channels, user: &User, command: &RenameThread) -> Result<ThreadInfo> {
    let title = title(&command.title)?;
    change_info(channels, user.id, command.thread_id, move |thread| {
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
    change_info(channels, user.id, thread, move |thread| {
        (thread.agent != agent).then(|| (ThreadInfo { agent: agent.clone(), ..thread.clone() }, agent.len()))
    })
    .await
}

/// Pins a thread, or unpins it.
///
/// # Errors
/// `not_found`, `quota_exceeded`.
pub async fn pin(channels: &Channels, user: &User, command: &PinThread) -> Result<ThreadInfo> {
    let pinned = command.pinned;
    change_info(channels, user.id, command.thread_id, move |thread| {
        (thread.pinned != pinned).then(|| (ThreadInfo { pinned, ..thread.clone() }, 0))
    })
    .await
}

/// Archives a thread, or takes it out of the archive.
///
/// # Errors
/// `not_found`, `quota_exceeded`.
pub async fn archive(channels: &Channels, user: &User, command: &ArchiveThread) -> Result<ThreadInfo> {
    let archived = command.archived;
    change_info(channels, user.id, command.thread_id, move |thread| {
        (thread.archived != archived).then(|| (ThreadInfo { archived, ..thread.clone() }, 0))
    })
    .await
}

/// Changes what a thread's row has, if `change` returns the changed thread with the bytes that it needs.
async fn change_info(
    channels: &Channels,
    owner: UserId,
    thread: ThreadId,
    change: impl Fn(&ThreadInfo) -> Option<(ThreadInfo, usize)> + Send + Sync + 'static,
) -> Result<ThreadInfo> {
    let admission = channels.quotas().read_log_bytes(channels.store(), owner).await?;
    let decide = move |thread: &ThreadInfo| {
        let Some((info, bytes)) = change(thread) else { return Ok(ThreadUpdate::default()) };
        admission.admit(bytes)?;
        Ok(ThreadUpdate {
            log: vec![ThreadEntry::Thread { thread: info.clone() }],
            feed: vec![feed_entry(thread, &info)],
            info: Some(info),
        })
    };
    channels.change_thread(owner, thread, decide).await
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
    lock_thread(&mut tx, owner, thread_id).await?;
    delete_locked(tx, owner, thread_id).await
}

/// Deletes a thread that is locked, and commits. Returns its runs that had not ended.
async fn delete_locked(mut tx: CommandTransaction, owner: UserId, thread_id: ThreadId) -> Result<Vec<RunId>> {
    let open = queries::delete_thread(tx.sql(), thread_id).await?;
    tx.delete(Channel::Thread(thread_id)).await?;
    tx.append_to_feed(owner, &[UserEntry::ThreadRemoved { thread_id }]).await?;
    tx.commit().await?;
    Ok(open)
}

/// Marks a thread as read by its owner.
///
/// # Errors
/// `not_found`, `quota_exceeded`.
pub async fn mark_read(channels: &Channels, user: &User, command: &MarkRead) -> Result<()> {
    let (thread_id, quotas) = (command.thread_id, channels.quotas());
    let admission = quotas.read_log_bytes(channels.store(), user.id).await?;
    let decide = move |_: &ThreadInfo| {
        admission.admit(0)?;
        Ok(ThreadUpdate { feed: vec![UserEntry::Read { thread_id }], ..ThreadUpdate::default() })
    };
    channels.change_thread(user.id, thread_id, decide).await.map(drop)
}

/// A thread that a person may read and write.
///
/// # Errors
/// `not_found`.
pub async fn authorise(channels: &Channels, user: UserId, thread: ThreadId) -> Result<ThreadInfo> {
    queries::thread(channels.store().reader(), user, thread, "").await
}

/// A person's thread, locked until the transaction ends.
async fn lock_thread(tx: &mut CommandTransaction, user: UserId, thread: ThreadId) -> Result<ThreadInfo> {
    let lock = tx.engine().for_update();
    queries::thread(tx.sql(), user, thread, lock).await
}

/// Stores a thread's title and agent, and whether it is archived, unless they are as `before`; appends the change to its log and
/// to its owner's feed.
async fn update_thread(
    tx: &mut CommandTransaction,
    before: &ThreadInfo,
    thread: &ThreadInfo,
    user: UserId,
) -> Result<()> {
    if before == thread {
        return Ok(());
    }
    queries::update_thread(tx.sql(), thread).await?;
    tx.append_to_thread(thread.id, &[ThreadEntry::Thread { thread: thread.clone() }]).await?;
    tx.append_to_feed(user, &[feed_entry(before, thread)]).await?;
    Ok(())
}

/// The feed's entry about a change of a thread.
fn feed_entry(before: &ThreadInfo, thread: &ThreadInfo) -> UserEntry {
    let thread_now = thread.clone();
    match before.archived == thread.archived {
        true => UserEntry::Thread { thread: thread_now },
        false => UserEntry::Archived { thread: thread_now },
    }
}

/// Appends a new thread's title and agent to its log and to its owner's feed.
async fn append_info(tx: &mut CommandTransaction, owner: UserId, thread: &ThreadInfo) -> Result<()> {
    tx.append_to_thread(thread.id, &[ThreadEntry::Thread { thread: thread.clone() }]).await?;
    tx.append_to_feed(owner, &[UserEntry::Thread { thread: thread.clone() }]).await?;
    Ok(())
}

/// Normalises and checks a title: one line, trimmed, 1 to [`limits::MAX_TITLE_CHARS`] characters, none of them a control character.
fn title(text: &str) -> Result<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.chars().count() > limits::MAX_TITLE_CHARS || text.contains(char::is_control) {
        let message = format!("a title has 1 to {} characters, and no control characters", limits::MAX_TITLE_CHARS);
        return Err(Error::refused(ErrorCode::InvalidPayload, message));
    }
    Ok(text)
}
