//! What people do to threads: make, rename, delete, choose an agent, mark read; and in [`turns`] what they say in them.
//!
//! Every change is one transaction with its entries in the thread's log and in the owner's feed. Repeating a command with
//! the same id and content answers the same and changes nothing; with other content it is a conflict. A thread of someone
//! else is `not_found`, always.

mod checks;
mod silence;
mod turns;

pub use checks::{check_message, check_sizes, expires_at, is_refusal};
pub use silence::{Silence, Unanswered, expire, unanswered};
pub use turns::{Asked, NewRun, Place, answer, ask_to_stop, goes_on, is_blocked, is_known, send, take_back};

use sqlx::{AssertSqlSafe, Row};

use super::{
    channel::{Append, Channel, Channels},
    clock::now_ms,
    error::{Error, Result},
};
use crate::protocol::{
    CreateThread, DeleteThread, ErrorCode, MarkRead, RenameThread, RunId, ThreadEntry, ThreadId, ThreadInfo, UserEntry,
    UserId, http::User, limits,
};

/// The title of a thread in which nothing was said yet.
pub const UNTITLED: &str = "New thread";
/// How much of the first message becomes the title, in characters.
const TITLE_FROM_MESSAGE: usize = 60;

/// Makes a thread. `agent` is the one that answers in it, checked by the caller.
///
/// # Errors
/// `conflict` where the id was used with other content, `invalid_payload` for a bad title, `quota_exceeded`.
pub async fn create(channels: &Channels, user: &User, command: &CreateThread, agent: &str) -> Result<ThreadInfo> {
    let title = command.title.as_deref().map(title).transpose()?;
    let request = serde_json::to_string(command)?;
    let mut tx = channels.begin().await?;
    let thread = ThreadInfo {
        id: command.thread_id,
        title: title.unwrap_or_else(|| UNTITLED.to_owned()),
        agent: agent.to_owned(),
        created_at: now_ms(),
    };
    let sql = "INSERT INTO threads (id, owner, title, agent, request, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (id) DO NOTHING";
    let made = sqlx::query(sql)
        .bind(thread.id.to_string())
        .bind(user.id.to_string())
        .bind(&thread.title)
        .bind(&thread.agent)
        .bind(&request)
        .bind(thread.created_at)
        .execute(tx.sql())
        .await?;
    if made.rows_affected() == 0 {
        return known_thread(&mut tx, user.id, command.thread_id, &request).await;
    }
    let engine = tx.engine();
    channels.quotas().admit_thread(engine, tx.sql(), user.id).await?;
    admit(channels, &mut tx, user.id, request.len()).await?;
    tell(&mut tx, user.id, &thread).await?;
    tx.commit().await?;
    Ok(thread)
}

/// Whether a person may add so many bytes to what is kept of theirs.
async fn admit(channels: &Channels, tx: &mut Append, user: UserId, bytes: usize) -> Result<()> {
    channels.quotas().admit_log(channels.store(), tx.sql(), user, bytes).await
}

/// The thread that the same command made before.
async fn known_thread(tx: &mut Append, user: UserId, thread: ThreadId, request: &str) -> Result<ThreadInfo> {
    let query = sqlx::query("SELECT owner, request, deleted_at FROM threads WHERE id = $1").bind(thread.to_string());
    let row = query.fetch_one(tx.sql()).await?;
    let (owner, asked): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if owner != user.to_string() || asked != request || row.try_get::<Option<i64>, _>(2)?.is_some() {
        return Err(Error::refused(ErrorCode::Conflict, "this thread_id was used before; mint another"));
    }
    read_info(tx.sql(), user, thread, "").await
}

/// Gives a thread another title.
///
/// # Errors
/// `not_found`, `invalid_payload` for a bad title.
pub async fn rename(channels: &Channels, user: &User, command: &RenameThread) -> Result<ThreadInfo> {
    let title = title(&command.title)?;
    let mut tx = channels.begin().await?;
    let thread = info(&mut tx, user.id, command.thread_id).await?;
    if thread.title == title {
        return Ok(thread);
    }
    admit(channels, &mut tx, user.id, title.len()).await?;
    let thread = change(&mut tx, user.id, ThreadInfo { title, ..thread }).await?;
    tx.commit().await?;
    Ok(thread)
}

/// Lets another agent, checked by the caller, answer in a thread from now on.
///
/// # Errors
/// `not_found`.
pub async fn set_agent(channels: &Channels, user: &User, thread: ThreadId, agent: &str) -> Result<ThreadInfo> {
    let mut tx = channels.begin().await?;
    let thread = info(&mut tx, user.id, thread).await?;
    if thread.agent == agent {
        return Ok(thread);
    }
    admit(channels, &mut tx, user.id, agent.len()).await?;
    let thread = change(&mut tx, user.id, ThreadInfo { agent: agent.to_owned(), ..thread }).await?;
    tx.commit().await?;
    Ok(thread)
}

/// Deletes a thread with its log, runs and messages. Answers the runs that were going on, which the caller stops, and
/// whose files the caller removes from the disk. Deleting again changes nothing.
///
/// # Errors
/// `not_found` where it never was this person's.
pub async fn delete(channels: &Channels, user: &User, command: &DeleteThread) -> Result<Vec<RunId>> {
    let id = command.thread_id.to_string();
    let mut tx = channels.begin().await?;
    let gone = sqlx::query_scalar::<_, i64>(
        "SELECT deleted_at FROM threads WHERE id = $1 AND owner = $2 AND deleted_at IS NOT NULL",
    )
    .bind(&id)
    .bind(user.id.to_string())
    .fetch_optional(tx.sql())
    .await?;
    if gone.is_some() {
        return Ok(Vec::new());
    }
    info(&mut tx, user.id, command.thread_id).await?;
    let running: Vec<String> = sqlx::query_scalar("SELECT id FROM runs WHERE thread_id = $1 AND ended_at IS NULL")
        .bind(&id)
        .fetch_all(tx.sql())
        .await?;
    for sql in [
        "DELETE FROM runs WHERE thread_id = $1",
        "DELETE FROM messages WHERE thread_id = $1",
        "DELETE FROM files WHERE thread_id = $1",
        "DELETE FROM uploads WHERE thread_id = $1",
    ] {
        sqlx::query(sql).bind(&id).execute(tx.sql()).await?;
    }
    tx.delete(Channel::Thread(command.thread_id)).await?;
    sqlx::query("UPDATE threads SET title = '', request = '', deleted_at = $2 WHERE id = $1")
        .bind(&id)
        .bind(now_ms())
        .execute(tx.sql())
        .await?;
    tx.user(user.id, &[UserEntry::ThreadRemoved { thread_id: command.thread_id }]).await?;
    tx.commit().await?;
    running.iter().map(|id| Ok(id.parse()?)).collect()
}

/// The person has seen what there is in a thread.
///
/// # Errors
/// `not_found`.
pub async fn mark_read(channels: &Channels, user: &User, command: &MarkRead) -> Result<()> {
    let mut tx = channels.begin().await?;
    info(&mut tx, user.id, command.thread_id).await?;
    admit(channels, &mut tx, user.id, 0).await?;
    tx.user(user.id, &[UserEntry::Read { thread_id: command.thread_id }]).await?;
    tx.commit().await
}

/// A thread that this person may read and write.
///
/// # Errors
/// `not_found`.
pub async fn authorise(channels: &Channels, user: UserId, thread: ThreadId) -> Result<ThreadInfo> {
    read_info(channels.store().reader(), user, thread, "").await
}

/// The thread, which nobody else changes until the transaction ends.
async fn info(tx: &mut Append, user: UserId, thread: ThreadId) -> Result<ThreadInfo> {
    let lock = tx.engine().for_update();
    read_info(tx.sql(), user, thread, lock).await
}

async fn read_info<'c>(
    executor: impl sqlx::Executor<'c, Database = sqlx::Any>,
    user: UserId,
    thread: ThreadId,
    lock: &'static str,
) -> Result<ThreadInfo> {
    let sql = "SELECT title, agent, created_at FROM threads WHERE id = $1 AND owner = $2 AND deleted_at IS NULL";
    let row = sqlx::query(AssertSqlSafe(format!("{sql}{lock}")))
        .bind(thread.to_string())
        .bind(user.to_string())
        .fetch_optional(executor)
        .await?
        .ok_or_else(|| Error::not_found("thread"))?;
    Ok(ThreadInfo { id: thread, title: row.try_get(0)?, agent: row.try_get(1)?, created_at: row.try_get(2)? })
}

/// Gives a thread the title and the agent that are said here.
async fn change(tx: &mut Append, user: UserId, thread: ThreadInfo) -> Result<ThreadInfo> {
    sqlx::query("UPDATE threads SET title = $2, agent = $3 WHERE id = $1")
        .bind(thread.id.to_string())
        .bind(&thread.title)
        .bind(&thread.agent)
        .execute(tx.sql())
        .await?;
    tell(tx, user, &thread).await?;
    Ok(thread)
}

/// The thread as it is now, in its own log and in its owner's feed.
async fn tell(tx: &mut Append, owner: UserId, thread: &ThreadInfo) -> Result<()> {
    tx.thread(thread.id, &[ThreadEntry::Thread { thread: thread.clone() }]).await?;
    tx.user(owner, &[UserEntry::Thread { thread: thread.clone() }]).await?;
    Ok(())
}

/// A title as it may be: trimmed, of one line, not empty, not too long.
fn title(text: &str) -> Result<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.chars().count() > limits::MAX_TITLE_CHARS {
        let message = format!("a title has 1 to {} characters", limits::MAX_TITLE_CHARS);
        return Err(Error::refused(ErrorCode::InvalidPayload, message));
    }
    Ok(text)
}
