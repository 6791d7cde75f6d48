//! Temporary threads: created with a time at which they are deleted, kept on request, and found when that time has come.
//!
//! The store has when a thread was last followed, so a crash of a server delays a deletion, and never prevents it.

use sqlx::AssertSqlSafe;

use super::{UNTITLED, append_info, created_before, delete_locked, lock_for_server, lock_thread, queries};
use crate::{
    protocol::{CreateTemporaryThread, KeepThread, RunId, Temporary, ThreadId, ThreadInfo, UserId, http::User},
    server::{
        access::Access,
        channel::Channels,
        clock::now_ms,
        error::{Error, Result},
        store::{chunks, placeholders, row},
    },
};

/// The most temporary threads that one sweep checks: those followed the longest ago.
const MAX_CHECKED: i64 = 1_000;
/// The most temporary threads that are deleted at once.
const MAX_EXPIRED: i64 = 64;

/// When temporary threads are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemporaryLimits {
    /// How many hours after they were created.
    pub max_hours: u32,
    /// After how many minutes without a connection that follows them.
    pub idle_minutes: u32,
}

impl Default for TemporaryLimits {
    fn default() -> Self {
        Self { max_hours: 24, idle_minutes: 10 }
    }
}

/// Creates a temporary thread. `agent` answers in it; the caller has checked it.
///
/// # Errors
/// `conflict` if the id was used with other content, `quota_exceeded`.
pub async fn create_temporary(
    channels: &Channels,
    user: &User,
    command: &CreateTemporaryThread,
    (agent, limits): (&str, TemporaryLimits),
) -> Result<ThreadInfo> {
    let request = serde_json::to_string(command)?;
    let admission = channels.quotas().read_log_bytes(channels.store(), user.id).await?;
    let mut tx = channels.begin().await?;
    let now = now_ms();
    let delete_at = now + i64::from(limits.max_hours) * 3_600_000;
    let temporary = Some(Temporary { delete_at, idle_minutes: limits.idle_minutes });
    let thread = ThreadInfo { temporary, ..ThreadInfo::new(command.thread_id, UNTITLED, agent, now) };
    if !queries::insert_thread(tx.sql(), user.id, &thread, &request).await? {
        return created_before(&mut tx, user.id, command.thread_id, &request).await;
    }
    let engine = tx.engine();
    channels.quotas().admit_thread(engine, tx.sql(), user.id).await?;
    admission.admit(request.len())?;
    let sql = "UPDATE threads SET delete_at = $2, idle_minutes = $3, followed_at = $4 WHERE id = $1";
    let query = sqlx::query(sql).bind(thread.id).bind(delete_at).bind(i64::from(limits.idle_minutes)).bind(now);
    query.execute(tx.sql()).await?;
    append_info(&mut tx, user.id, &thread).await?;
    tx.commit().await?;
    Ok(thread)
}

/// Makes a temporary thread an ordinary one.
///
/// # Errors
/// `not_found`.
pub async fn keep(channels: &Channels, user: &User, command: &KeepThread) -> Result<ThreadInfo> {
    let mut tx = channels.begin().await?;
    let thread = lock_thread(&mut tx, user.id, command.thread_id, Access::Own).await?.info;
    if thread.temporary.is_none() {
        return Ok(thread);
    }
    let thread = ThreadInfo { temporary: None, ..thread };
    let sql = "UPDATE threads SET delete_at = NULL, idle_minutes = NULL, followed_at = NULL WHERE id = $1";
    sqlx::query(sql).bind(thread.id).execute(tx.sql()).await?;
    append_info(&mut tx, user.id, &thread).await?;
    tx.commit().await?;
    Ok(thread)
}

/// Records which temporary threads are followed now: those for which `is_followed` returns true.
///
/// # Errors
/// If the store fails.
pub async fn record_followed(channels: &Channels, is_followed: impl Fn(ThreadId) -> bool) -> Result<()> {
    let sql = "SELECT id FROM threads WHERE delete_at IS NOT NULL ORDER BY followed_at LIMIT $1";
    let query = sqlx::query_scalar::<_, ThreadId>(sql).bind(MAX_CHECKED);
    let temporary = query.fetch_all(channels.store().reader()).await?;
    let followed: Vec<ThreadId> = temporary.into_iter().filter(|thread| is_followed(*thread)).collect();
    if followed.is_empty() {
        return Ok(());
    }
    let mut tx = channels.begin().await?;
    let engine = tx.engine();
    for chunk in chunks(&followed) {
        let (now, ids) = (engine.placeholder(1), placeholders(engine, 2, chunk.len()));
        let sql = format!("UPDATE threads SET followed_at = {now} WHERE delete_at IS NOT NULL AND id IN ({ids})");
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(now_ms());
        for thread in chunk {
            query = query.bind(*thread);
        }
        query.execute(tx.sql()).await?;
    }
    tx.commit().await
}

row! {
    /// A temporary thread whose time has come.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ExpiredThread {
        /// The thread.
        pub id: ThreadId,
        /// Its owner.
        pub owner: UserId,
    }
}

/// Whether a thread's time has come. The parameter `$1` is the time now.
const IS_EXPIRED: &str = "delete_at IS NOT NULL AND deleted_at IS NULL \
                          AND (delete_at <= $1 OR followed_at <= $1 - idle_minutes * 60000)";

/// Temporary threads that are to be deleted now, the longest unfollowed first.
///
/// # Errors
/// If the store fails.
pub async fn expired_threads(channels: &Channels) -> Result<Vec<ExpiredThread>> {
    let sql = format!("SELECT id, owner FROM threads WHERE {IS_EXPIRED} ORDER BY followed_at LIMIT $2");
    let query = sqlx::query_as(AssertSqlSafe(sql)).bind(now_ms()).bind(MAX_EXPIRED);
    Ok(query.fetch_all(channels.store().reader()).await?)
}

/// Deletes a temporary thread, unless it was kept, followed again or deleted since it was found by [`expired_threads`]. Returns its runs that
/// had not ended, as [`super::delete`]; `None` if it is not deleted.
///
/// # Errors
/// If the store fails.
pub async fn delete_expired(channels: &Channels, expired: ExpiredThread) -> Result<Option<Vec<RunId>>> {
    let ExpiredThread { id, .. } = expired;
    let mut tx = channels.begin().await?;
    let thread = match lock_for_server(&mut tx, id).await {
        Err(Error::Refused(_)) => return Ok(None),
        locked => locked?,
    };
    let sql = format!("SELECT COUNT(*) FROM threads WHERE {IS_EXPIRED} AND id = $2");
    let query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql)).bind(now_ms()).bind(id);
    if query.fetch_one(tx.sql()).await? == 0 {
        return Ok(None);
    }
    delete_locked(tx, &thread).await.map(Some)
}
