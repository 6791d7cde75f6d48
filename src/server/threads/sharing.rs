//! Links with which anybody can read a thread.

use sqlx::AnyConnection;

use super::{authorise, lock_thread};
use crate::{
    protocol::{
        ErrorCode, ShareId, ShareThread, ThreadId, WithdrawLink,
        http::User,
        limits::{MAX_SAFE_INTEGER, MAX_SHARE_LINKS},
    },
    server::{
        access::Access,
        channel::Channels,
        clock::now_ms,
        error::{Error, Result},
        store::row,
    },
};

/// How long a link is kept after it was withdrawn or expired, in milliseconds: a command that is repeated meanwhile does not create it again.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// The most links of a thread that are kept, including those that do not work any more.
const MAX_KEPT: i64 = 200;

row! {
    /// A link that works.
    pub struct StoredLink {
        /// Its id.
        pub id: ShareId,
        /// When it was created, in milliseconds since 1970.
        pub created_at: i64,
        /// When it expires, in milliseconds since 1970; `None`: never.
        pub expires_at: Option<i64>,
    }
}

row! {
    struct ExistingLink {
        thread_id: ThreadId,
        expires_at: Option<i64>,
    }
}

/// Creates a link. With the same id and content again, it changes nothing.
///
/// # Errors
/// `not_found`; `invalid_payload` for a time that is past; `conflict` if the id is in use; `quota_exceeded` if the thread has
/// [`MAX_SHARE_LINKS`] links.
pub async fn share(channels: &Channels, user: &User, command: &ShareThread) -> Result<()> {
    let ShareThread { share_id, thread_id, expires_at } = *command;
    let now = now_ms();
    let mut tx = channels.begin().await?;
    lock_thread(&mut tx, user.id, thread_id, Access::Own).await?;
    if let Some(existing) = find_any(tx.sql(), share_id).await? {
        let is_same = existing.thread_id == thread_id && existing.expires_at == expires_at;
        return if is_same {
            Ok(())
        } else {
            Err(Error::refused(ErrorCode::Conflict, "this id belongs to another link"))
        };
    }
    if expires_at.is_some_and(|at| !(now + 1..=MAX_SAFE_INTEGER).contains(&at)) {
        return Err(Error::refused(ErrorCode::InvalidPayload, "`expires_at` must be in the future"));
    }
    delete_old_links(tx.sql(), thread_id, now - KEPT_MS).await?;
    let all = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM share_links WHERE thread_id = $1").bind(thread_id);
    if all.fetch_one(tx.sql()).await? >= MAX_KEPT {
        let message = format!("{MAX_KEPT} links of the thread were created within a day; try again tomorrow");
        return Err(Error::refused(ErrorCode::QuotaExceeded, message));
    }
    if working_links(tx.sql(), thread_id, now).await?.len() >= MAX_SHARE_LINKS {
        let message = format!("a thread can have at most {MAX_SHARE_LINKS} links; withdraw one first");
        return Err(Error::refused(ErrorCode::QuotaExceeded, message));
    }
    let sql = "INSERT INTO share_links (id, thread_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
    sqlx::query(sql).bind(share_id).bind(thread_id).bind(now).bind(expires_at).execute(tx.sql()).await?;
    tx.commit().await
}

/// Withdraws a link: from now on it does not work. No effect if it was withdrawn before.
///
/// # Errors
/// `not_found`.
pub async fn withdraw_link(channels: &Channels, user: &User, command: &WithdrawLink) -> Result<()> {
    let WithdrawLink { share_id, thread_id } = *command;
    let mut tx = channels.begin().await?;
    lock_thread(&mut tx, user.id, thread_id, Access::Own).await?;
    let existing = find_any(tx.sql(), share_id).await?.filter(|link| link.thread_id == thread_id);
    existing.ok_or_else(|| Error::not_found("link"))?;
    let sql = "UPDATE share_links SET withdrawn_at = $2 WHERE id = $1 AND withdrawn_at IS NULL";
    sqlx::query(sql).bind(share_id).bind(now_ms()).execute(tx.sql()).await?;
    tx.commit().await
}

/// The links of a user's thread that work, oldest first.
///
/// # Errors
/// `not_found`.
pub async fn links(channels: &Channels, user: &User, thread: ThreadId) -> Result<Vec<StoredLink>> {
    authorise(channels, user.id, thread, Access::Own).await?;
    let mut connection = channels.store().reader().acquire().await?;
    working_links(&mut connection, thread, now_ms()).await
}

/// The thread that a link shows; `None` if the link does not work or the thread was deleted.
///
/// # Errors
/// If the store fails.
pub async fn shared_thread(channels: &Channels, share: ShareId) -> Result<Option<ThreadId>> {
    let sql = "SELECT share_links.thread_id FROM share_links JOIN threads ON threads.id = share_links.thread_id \
               WHERE share_links.id = $1 AND share_links.withdrawn_at IS NULL AND threads.deleted_at IS NULL \
               AND (share_links.expires_at IS NULL OR share_links.expires_at > $2)";
    let query = sqlx::query_scalar(sql).bind(share).bind(now_ms());
    Ok(query.fetch_optional(channels.store().reader()).await?)
}

async fn working_links(connection: &mut AnyConnection, thread: ThreadId, now: i64) -> Result<Vec<StoredLink>> {
    let sql = "SELECT id, created_at, expires_at FROM share_links WHERE thread_id = $1 AND withdrawn_at IS NULL \
               AND (expires_at IS NULL OR expires_at > $2) ORDER BY id";
    Ok(sqlx::query_as(sql).bind(thread).bind(now).fetch_all(connection).await?)
}

/// Deletes a thread's links that were withdrawn, or expired, before a time.
async fn delete_old_links(connection: &mut AnyConnection, thread: ThreadId, before: i64) -> Result<()> {
    let sql = "DELETE FROM share_links WHERE thread_id = $1 AND (withdrawn_at < $2 OR expires_at < $2)";
    sqlx::query(sql).bind(thread).bind(before).execute(connection).await?;
    Ok(())
}

async fn find_any(connection: &mut AnyConnection, share: ShareId) -> Result<Option<ExistingLink>> {
    let sql = "SELECT thread_id, expires_at FROM share_links WHERE id = $1";
    Ok(sqlx::query_as(sql).bind(share).fetch_optional(connection).await?)
}
