//! The statements over `threads`, `runs` and `messages`.

use sqlx::{Any, AnyConnection, Executor};

use super::{NewRun, RunOrder, Unanswered};
use crate::{
    protocol::{MessageId, RunId, ThreadId, ThreadInfo, UserId},
    server::{
        clock::now_ms,
        error::{Error, Result},
        store::row,
    },
};

/// Inserts a thread with the request that created it; returns whether its id was free.
pub(super) async fn insert_thread(
    connection: &mut AnyConnection,
    owner: UserId,
    thread: &ThreadInfo,
    request: &str,
) -> Result<bool> {
    let sql = "INSERT INTO threads (id, owner, title, agent, request, created_at, forked_from) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";
    let query = sqlx::query(sql).bind(thread.id).bind(owner).bind(&thread.title).bind(&thread.agent);
    let forked_from = thread.forked_from.as_ref().map(serde_json::to_string).transpose()?;
    let inserted = query.bind(request).bind(thread.created_at).bind(forked_from).execute(connection).await?;
    Ok(inserted.rows_affected() > 0)
}

row! {
    /// How a thread was created.
    pub(super) struct Creation {
        pub(super) owner: UserId,
        pub(super) request: String,
        pub(super) deleted_at: Option<i64>,
    }
}

pub(super) async fn creation(connection: &mut AnyConnection, thread: ThreadId) -> Result<Creation> {
    let query = sqlx::query_as("SELECT owner, request, deleted_at FROM threads WHERE id = $1").bind(thread);
    Ok(query.fetch_one(connection).await?)
}

/// Stores a thread's title and agent, and whether it is archived.
pub(super) async fn update_thread(connection: &mut AnyConnection, thread: &ThreadInfo) -> Result<()> {
    let query = sqlx::query("UPDATE threads SET title = $2, agent = $3, archived = $4 WHERE id = $1").bind(thread.id);
    let query = query.bind(&thread.title).bind(&thread.agent).bind(i64::from(thread.archived));
    query.execute(connection).await?;
    Ok(())
}

/// Takes a thread out of the archives of its members.
pub(super) async fn unarchive_for_members(connection: &mut AnyConnection, thread: ThreadId) -> Result<()> {
    let sql = "UPDATE thread_members SET archived = 0 WHERE thread_id = $1 AND archived <> 0";
    sqlx::query(sql).bind(thread).execute(connection).await?;
    Ok(())
}

/// Where a thread's title comes from; `None` if a person set it, or if that is not known.
pub(super) async fn title_source(connection: &mut AnyConnection, thread: ThreadId) -> Result<Option<String>> {
    let query = sqlx::query_scalar("SELECT title_source FROM threads WHERE id = $1").bind(thread);
    Ok(query.fetch_one(connection).await?)
}

/// Sets where a thread's title comes from.
pub(super) async fn set_title_source(
    connection: &mut AnyConnection,
    thread: ThreadId,
    source: &'static str,
) -> Result<()> {
    let query = sqlx::query("UPDATE threads SET title_source = $2 WHERE id = $1").bind(thread).bind(source);
    query.execute(connection).await?;
    Ok(())
}

/// Whether a person's thread was deleted.
pub(super) async fn is_deleted(connection: &mut AnyConnection, owner: UserId, thread: ThreadId) -> Result<bool> {
    let sql = "SELECT COUNT(*) FROM threads WHERE id = $1 AND owner = $2 AND deleted_at IS NOT NULL";
    let count: i64 = sqlx::query_scalar(sql).bind(thread).bind(owner).fetch_one(connection).await?;
    Ok(count > 0)
}

/// Deletes all rows of a thread but its own, which stays so that its id cannot be used again; returns the runs that had not ended.
pub(super) async fn delete_thread(connection: &mut AnyConnection, thread: ThreadId) -> Result<Vec<RunId>> {
    let query = sqlx::query_scalar("SELECT id FROM runs WHERE thread_id = $1 AND ended_at IS NULL").bind(thread);
    let open = query.fetch_all(&mut *connection).await?;
    for sql in [
        "DELETE FROM runs WHERE thread_id = $1",
        "DELETE FROM messages WHERE thread_id = $1",
        "DELETE FROM files WHERE thread_id = $1",
        "DELETE FROM uploads WHERE thread_id = $1",
        "DELETE FROM share_links WHERE thread_id = $1",
        "DELETE FROM thread_members WHERE thread_id = $1",
        "DELETE FROM thread_tags WHERE thread_id = $1",
        "DELETE FROM search_texts WHERE thread_id = $1",
        "DELETE FROM search_progress WHERE thread_id = $1",
    ] {
        sqlx::query(sql).bind(thread).execute(&mut *connection).await?;
    }
    let query = sqlx::query(
        "UPDATE threads SET title = '', request = '', tags = '', forked_from = NULL, delete_at = NULL, members = 0, deleted_at = $2 \
         WHERE id = $1",
    );
    query.bind(thread).bind(now_ms()).execute(connection).await?;
    Ok(open)
}

/// Inserts a run. `caller_input`: see [`super::send`]. `steers`: whether the agent of an active run may read its message.
pub(super) async fn insert_run(
    connection: &mut AnyConnection,
    run: &NewRun,
    message: Option<MessageId>,
    node: &str,
    (caller_input, steers): (Option<String>, bool),
) -> Result<()> {
    let sql = "INSERT INTO runs (id, thread_id, owner, agent, started_at, node, message_id, turn, seq, caller, steers, \
               requested_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    sqlx::query(sql)
        .bind(run.run_id)
        .bind(run.thread_id)
        .bind(run.owner)
        .bind(&run.agent)
        .bind(now_ms())
        .bind(node)
        .bind(message)
        .bind(run.order.turn.cast_signed())
        .bind(run.order.seq.cast_signed())
        .bind(caller_input)
        .bind(i64::from(steers))
        .bind(Some(run.requested_by).filter(|user| *user != run.owner))
        .execute(connection)
        .await?;
    Ok(())
}

/// Marks a run that no agent carries out as ended.
pub(super) async fn mark_ended(connection: &mut AnyConnection, run: RunId) -> Result<()> {
    let sql = "UPDATE runs SET begun_at = $2, ended_at = $2 WHERE id = $1";
    sqlx::query(sql).bind(run).bind(now_ms()).execute(connection).await?;
    Ok(())
}

row! {
    /// A run that may be answered.
    pub(super) struct AnswerableRun {
        pub(super) agent: String,
        pub(super) message_id: Option<MessageId>,
        pub(super) turn: i64,
        pub(super) asks_until: Option<i64>,
        pub(super) answered_at: Option<i64>,
        pub(super) caller_input: Option<String>,
    }
}

pub(super) async fn answerable_run(
    connection: &mut AnyConnection,
    thread: ThreadId,
    run: RunId,
) -> Result<Option<AnswerableRun>> {
    let sql = "SELECT agent, message_id, turn, asks_until, answered_at, caller AS caller_input FROM runs \
               WHERE id = $1 AND thread_id = $2";
    Ok(sqlx::query_as(sql).bind(run).bind(thread).fetch_optional(connection).await?)
}

/// Marks a run as no longer waiting for an answer.
pub(super) async fn mark_answered(connection: &mut AnyConnection, run: RunId) -> Result<()> {
    let sql = "UPDATE runs SET answered_at = $2 WHERE id = $1 AND answered_at IS NULL";
    sqlx::query(sql).bind(run).bind(now_ms()).execute(connection).await?;
    Ok(())
}

/// Marks all runs of a thread as no longer waiting for an answer; returns those that waited.
pub(super) async fn mark_all_answered(connection: &mut AnyConnection, thread: ThreadId) -> Result<Vec<RunId>> {
    let sql = "UPDATE runs SET answered_at = $2 WHERE thread_id = $1 AND asks_until IS NOT NULL AND answered_at IS NULL \
               RETURNING id";
    Ok(sqlx::query_scalar(sql).bind(thread).bind(now_ms()).fetch_all(connection).await?)
}

/// At most `limit` runs whose last interrupt has expired, in the order in which they expired.
pub(super) async fn unanswered<'c>(executor: impl Executor<'c, Database = Any>, limit: i64) -> Result<Vec<Unanswered>> {
    let sql = "SELECT id AS run_id, thread_id, owner, COALESCE(requested_by, owner) AS requested_by FROM runs WHERE asks_until <= $1 AND answered_at IS NULL \
               ORDER BY asks_until LIMIT $2";
    Ok(sqlx::query_as(sql).bind(now_ms()).bind(limit).fetch_all(executor).await?)
}

/// Ends a run as taken back, unless it has begun or ended. Appends lock the run's row, too, so after this it can append nothing.
pub(super) async fn take_back_run(connection: &mut AnyConnection, run: RunId) -> Result<bool> {
    let sql =
        "UPDATE runs SET ended_at = $2, taken_back_at = $2 WHERE id = $1 AND ended_at IS NULL AND begun_at IS NULL";
    Ok(sqlx::query(sql).bind(run).bind(now_ms()).execute(connection).await?.rows_affected() > 0)
}

/// Deletes a message of a thread from what search finds.
pub(super) async fn delete_from_search(
    connection: &mut AnyConnection,
    thread: ThreadId,
    message: MessageId,
) -> Result<()> {
    let sql = "DELETE FROM search_texts WHERE thread_id = $1 AND message_id = $2";
    sqlx::query(sql).bind(thread).bind(message).execute(connection).await?;
    Ok(())
}

/// Whether a run was taken back.
pub(super) async fn is_taken_back(connection: &mut AnyConnection, run: RunId) -> Result<bool> {
    let sql = "SELECT COUNT(*) FROM runs WHERE id = $1 AND taken_back_at IS NOT NULL";
    let count: i64 = sqlx::query_scalar(sql).bind(run).fetch_one(connection).await?;
    Ok(count > 0)
}

/// Whether runs of a thread with a lesser order have not ended, or wait for an answer, or a later one has begun: a run that resumes
/// another, or whose message was moved, goes ahead of runs that may have begun before.
pub(super) async fn is_blocked(connection: &mut AnyConnection, thread: ThreadId, order: RunOrder) -> Result<bool> {
    const EARLIER: &str = "SELECT COUNT(*) FROM runs WHERE thread_id = $1 AND (turn < $2 OR (turn = $2 AND seq < $3)) \
                           AND (ended_at IS NULL OR (asks_until > $4 AND answered_at IS NULL))";
    const BEGUN: &str = "SELECT COUNT(*) FROM runs WHERE thread_id = $1 AND (turn > $2 OR (turn = $2 AND seq > $3)) \
                         AND ended_at IS NULL AND begun_at IS NOT NULL";
    let (turn, seq) = (order.turn.cast_signed(), order.seq.cast_signed());
    let query = sqlx::query_scalar::<_, i64>(EARLIER).bind(thread).bind(turn).bind(seq).bind(now_ms());
    if query.fetch_one(&mut *connection).await? > 0 {
        return Ok(true);
    }
    let query = sqlx::query_scalar::<_, i64>(BEGUN).bind(thread).bind(turn).bind(seq);
    Ok(query.fetch_one(connection).await? > 0)
}

/// Whether a run exists and has not ended.
pub(super) async fn is_open<'c>(executor: impl Executor<'c, Database = Any>, run: RunId) -> Result<bool> {
    let query = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM runs WHERE id = $1 AND ended_at IS NULL").bind(run);
    Ok(query.fetch_one(executor).await? > 0)
}

row! {
    /// Where a run is.
    pub(super) struct RunPlace {
        pub(super) thread_id: ThreadId,
        /// A `seq` at or before that of the message or answer that requested it; 0 if that is not known.
        pub(super) seq: i64,
    }
}

/// Where a run is; the caller checks the access to its thread.
///
/// # Errors
/// `not_found`.
pub(super) async fn place_of_run<'c>(executor: impl Executor<'c, Database = Any>, run: RunId) -> Result<RunPlace> {
    // A message that was moved in the queue has another `seq` in `runs`, which may be a later one.
    let sql = "SELECT r.thread_id, CASE WHEN r.turn = r.seq AND m.seq < r.seq THEN m.seq ELSE r.seq END AS seq FROM runs r \
               LEFT JOIN messages m ON m.author = COALESCE(r.requested_by, r.owner) AND m.id = r.message_id WHERE r.id = $1";
    let query = sqlx::query_as(sql).bind(run);
    query.fetch_optional(executor).await?.ok_or_else(|| Error::not_found("run"))
}

row! {
    /// The thread of a run, and when the run ended.
    pub(super) struct RunThread {
        pub(super) thread_id: ThreadId,
        pub(super) ended_at: Option<i64>,
    }
}

/// The thread of a run; the caller checks the access to it.
///
/// # Errors
/// `not_found`.
pub(super) async fn thread_of_run<'c>(executor: impl Executor<'c, Database = Any>, run: RunId) -> Result<RunThread> {
    let query = sqlx::query_as("SELECT thread_id, ended_at FROM runs WHERE id = $1").bind(run);
    query.fetch_optional(executor).await?.ok_or_else(|| Error::not_found("run"))
}

/// Marks a run to be stopped.
pub(super) async fn mark_to_stop(connection: &mut AnyConnection, run: RunId) -> Result<()> {
    let sql = "UPDATE runs SET stop_at = $2 WHERE id = $1 AND ended_at IS NULL AND stop_at IS NULL";
    sqlx::query(sql).bind(run).bind(now_ms()).execute(connection).await?;
    Ok(())
}

row! {
    /// A message or answer that was accepted.
    pub(super) struct Accepted {
        pub(super) request: String,
        pub(super) run_id: RunId,
        pub(super) seq: i64,
    }
}

/// The accepted message or answer of an id.
pub(super) async fn accepted<'c>(
    executor: impl Executor<'c, Database = Any>,
    author: UserId,
    id: MessageId,
) -> Result<Option<Accepted>> {
    let query = sqlx::query_as("SELECT request, run_id, seq FROM messages WHERE author = $1 AND id = $2");
    Ok(query.bind(author).bind(id).fetch_optional(executor).await?)
}

/// Whether a thread has a message or answer with this id, of whoever.
pub(super) async fn has_message(connection: &mut AnyConnection, thread: ThreadId, id: MessageId) -> Result<bool> {
    let sql = "SELECT COUNT(*) FROM messages WHERE thread_id = $2 AND id = $1";
    let count: i64 = sqlx::query_scalar(sql).bind(id).bind(thread).fetch_one(connection).await?;
    Ok(count > 0)
}

/// Inserts a message or answer, whose entry is at `seq`, with the run that it requested; returns whether its id was free.
pub(super) async fn insert_accepted(
    connection: &mut AnyConnection,
    id: MessageId,
    request: String,
    run: &NewRun,
    seq: u64,
) -> Result<bool> {
    let sql = "INSERT INTO messages (id, author, thread_id, request, run_id, seq) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (author, id) DO NOTHING";
    let query = sqlx::query(sql).bind(id).bind(run.requested_by).bind(run.thread_id).bind(request);
    let inserted = query.bind(run.run_id).bind(seq.cast_signed()).execute(connection).await?;
    Ok(inserted.rows_affected() > 0)
}

row! {
    /// The run that a message requested, and who sent the message.
    pub(super) struct RequestedBy {
        pub(super) run_id: RunId,
        pub(super) author: UserId,
    }
}

/// The run that a message of a thread requested.
///
/// # Errors
/// `not_found`.
pub(super) async fn run_of_message(
    connection: &mut AnyConnection,
    thread: ThreadId,
    message: MessageId,
) -> Result<RequestedBy> {
    // `messages` has answers, too; their runs have the `message_id` of the turn's message.
    let sql = "SELECT m.run_id, m.author FROM messages m JOIN runs r ON r.id = m.run_id \
               WHERE m.id = $1 AND m.thread_id = $2 AND r.message_id = m.id";
    let run = sqlx::query_as(sql).bind(message).bind(thread).fetch_optional(connection).await?;
    run.ok_or_else(|| Error::not_found("message in this thread"))
}
