//! What people do to threads: make, rename, delete, say something, mark read.
//!
//! Every change is one transaction with its entries in the thread's log and in the owner's feed. Repeating a command with
//! the same id and content answers the same and changes nothing; with other content it is a conflict. A thread of someone
//! else is `not_found`, always.

use sqlx::{AssertSqlSafe, Row};

use super::{
    channel::{Append, Channel, Channels},
    error::{Error, Result},
    store::now_ms,
};
use crate::protocol::{
    Attachment, Author, CreateThread, DeleteThread, ErrorCode, MarkRead, MessageAccepted, RenameThread, RunId,
    RunPhase, SendMessage, ThreadEntry, ThreadId, ThreadInfo, UserEntry, UserId, UserMessage, UserRole, http::User,
    limits,
};

/// The title of a thread in which nothing was said yet.
pub const UNTITLED: &str = "New thread";
/// How much of the first message becomes the title, in characters.
const TITLE_FROM_MESSAGE: usize = 60;

/// A run that a message asked for: committed, not begun.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Whose thread it is.
    pub owner: UserId,
    /// The agent that runs.
    pub agent: String,
    /// The message that it answers.
    pub message: UserMessage,
}

/// Makes a thread. `agent` is the one that answers in it, checked by the caller.
///
/// # Errors
/// `conflict` where the id was used with other content, `invalid_payload` for a bad title.
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
    tell(&mut tx, user.id, &thread).await?;
    tx.commit().await?;
    Ok(thread)
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
    let thread = retitle(&mut tx, user.id, ThreadInfo { title, ..thread }).await?;
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

/// Says something in a thread. `agent` is the one that answers, checked by the caller. A new message brings the run that
/// the caller now begins; a repeated one does not. `admit` says whether another run may begin, and is asked for a new one only.
///
/// # Errors
/// `not_found`, `conflict`, `too_large`, `invalid_payload`; what `admit` says.
pub async fn send(
    channels: &Channels,
    user: &User,
    command: &SendMessage,
    agent: &str,
    admit: impl FnOnce() -> Result<()>,
) -> Result<(MessageAccepted, Option<NewRun>)> {
    check_message(command)?;
    let request = serde_json::to_string(command)?;
    let mut tx = channels.begin().await?;
    let thread = info(&mut tx, user.id, command.thread_id).await?;
    if let Some(accepted) = known_message(&mut tx, user.id, command, &request).await? {
        return Ok((accepted, None));
    }
    admit()?;
    let message = UserMessage {
        id: command.message_id,
        role: UserRole::User,
        author: Author { id: user.id, name: user.name.clone() },
        content: command.text.clone(),
        run_id: RunId::new(),
        agent: agent.to_owned(),
        attachments: attachments(&mut tx, command).await?,
    };
    if thread.title == UNTITLED {
        retitle(&mut tx, user.id, ThreadInfo { title: title_of(&command.text), ..thread }).await?;
    }
    let run_id = message.run_id;
    let seq = tx.thread(command.thread_id, &[ThreadEntry::Message { message: message.clone() }]).await?;
    tx.user(user.id, &[UserEntry::Run { thread_id: command.thread_id, run_id, phase: RunPhase::Running }]).await?;
    let sql = "INSERT INTO messages (id, author, thread_id, request, run_id, seq) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (author, id) DO NOTHING";
    let noted = sqlx::query(sql)
        .bind(command.message_id.to_string())
        .bind(user.id.to_string())
        .bind(command.thread_id.to_string())
        .bind(request)
        .bind(run_id.to_string())
        .bind(seq.cast_signed())
        .execute(tx.sql())
        .await?;
    if noted.rows_affected() == 0 {
        return Err(message_conflict());
    }
    sqlx::query("INSERT INTO runs (id, thread_id, owner, agent, started_at, node) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(run_id.to_string())
        .bind(command.thread_id.to_string())
        .bind(user.id.to_string())
        .bind(agent)
        .bind(now_ms())
        .bind(channels.node().to_owned())
        .execute(tx.sql())
        .await?;
    tx.commit().await?;
    let run = NewRun { run_id, thread_id: command.thread_id, owner: user.id, agent: agent.to_owned(), message };
    Ok((MessageAccepted { run_id, seq }, Some(run)))
}

/// The answer that the same message got before. Its thread is locked, so that of two that say the same at the same time
/// the second waits here; that an id is used twice in different threads, its key forbids.
async fn known_message(
    tx: &mut Append,
    user: UserId,
    command: &SendMessage,
    request: &str,
) -> Result<Option<MessageAccepted>> {
    let row = sqlx::query("SELECT request, run_id, seq FROM messages WHERE author = $1 AND id = $2")
        .bind(user.to_string())
        .bind(command.message_id.to_string())
        .fetch_optional(tx.sql())
        .await?;
    let Some(row) = row else { return Ok(None) };
    if row.try_get::<String, _>(0)? != request {
        return Err(message_conflict());
    }
    let (run_id, seq): (String, i64) = (row.try_get(1)?, row.try_get(2)?);
    Ok(Some(MessageAccepted { run_id: run_id.parse()?, seq: seq.cast_unsigned() }))
}

fn message_conflict() -> Error {
    Error::refused(ErrorCode::Conflict, "this message_id was used before; mint another")
}

/// The person has seen what there is in a thread.
///
/// # Errors
/// `not_found`.
pub async fn mark_read(channels: &Channels, user: &User, command: &MarkRead) -> Result<()> {
    let mut tx = channels.begin().await?;
    info(&mut tx, user.id, command.thread_id).await?;
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

/// Notes that a person wants a run stopped, so that the node that lives it stops it, whatever becomes of this one. Answers
/// whether the run goes on.
///
/// # Errors
/// `not_found`.
pub async fn ask_to_stop(channels: &Channels, user: UserId, run: RunId) -> Result<bool> {
    let row = sqlx::query("SELECT ended_at FROM runs WHERE id = $1 AND owner = $2")
        .bind(run.to_string())
        .bind(user.to_string())
        .fetch_optional(channels.store().reader())
        .await?
        .ok_or_else(|| Error::not_found("run"))?;
    if row.try_get::<Option<i64>, _>(0)?.is_some() {
        return Ok(false);
    }
    let mut tx = channels.begin().await?;
    let sql = "UPDATE runs SET stop_at = $2 WHERE id = $1 AND ended_at IS NULL AND stop_at IS NULL";
    sqlx::query(sql).bind(run.to_string()).bind(now_ms()).execute(tx.sql()).await?;
    tx.commit().await?;
    Ok(true)
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

async fn retitle(tx: &mut Append, user: UserId, thread: ThreadInfo) -> Result<ThreadInfo> {
    sqlx::query("UPDATE threads SET title = $2 WHERE id = $1")
        .bind(thread.id.to_string())
        .bind(&thread.title)
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

async fn attachments(tx: &mut Append, command: &SendMessage) -> Result<Vec<Attachment>> {
    let mut found = Vec::with_capacity(command.attachments.len());
    for file_id in &command.attachments {
        let row = sqlx::query("SELECT name, bytes FROM files WHERE id = $1 AND thread_id = $2")
            .bind(file_id.to_string())
            .bind(command.thread_id.to_string())
            .fetch_optional(tx.sql())
            .await?
            .ok_or_else(|| Error::not_found("file in this thread"))?;
        let bytes: i64 = row.try_get(1)?;
        found.push(Attachment { file_id: *file_id, name: row.try_get(0)?, bytes: bytes.cast_unsigned() });
    }
    Ok(found)
}

fn check_message(command: &SendMessage) -> Result<()> {
    let invalid = |message: String| Err(Error::refused(ErrorCode::InvalidPayload, message));
    if command.text.trim().is_empty() {
        return invalid("the text is empty; say something".into());
    }
    if command.text.len() > limits::MAX_MESSAGE_BYTES {
        let message = format!("the text has more than {} bytes; attach it as a file", limits::MAX_MESSAGE_BYTES);
        return Err(Error::refused(ErrorCode::TooLarge, message));
    }
    if command.attachments.len() > limits::MAX_ATTACHMENTS {
        return invalid(format!("more than {} attachments", limits::MAX_ATTACHMENTS));
    }
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

/// The title that a first message gives its thread.
fn title_of(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(TITLE_FROM_MESSAGE) {
        Some((end, _)) => format!("{}…", words[..end].trim_end()),
        None => words,
    }
}
