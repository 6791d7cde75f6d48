//! Members of threads: users with whom an owner shares a thread. Adding and removing them, and what they may do.
//!
//! A removal takes effect at once: commands check in their transactions, and the caller of [`remove_member`] and [`leave`] ends the user's
//! subscriptions on every node. If a node misses that message, it finds the removal with [`last_removal`] and [`revoked`].

use std::collections::HashSet;

use sqlx::AnyConnection;

use super::{authorise, lock_thread};
use crate::{
    protocol::{
        AddMember, ErrorCode, LeaveThread, Person, RemoveMember, RunId, RunPhase, SetMemberRole, ThreadEntry, ThreadId,
        ThreadMembers, UserEntry, UserId,
        http::User,
        limits::{MAX_MEMBERS, MAX_PEOPLE},
    },
    server::{
        access::{self, Access, ThreadRow, role_column},
        channel::{Channels, CommandTransaction, FeedEntries},
        clock::now_ms,
        error::{Error, Result},
        store::{LIKE_ESCAPE, Store, containing, row},
    },
};

/// The setting that changes with each removal of a member.
const LAST_REMOVAL: &str = "member_removed";

/// A user and a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadUser {
    /// The thread.
    pub thread_id: ThreadId,
    /// Who.
    pub user_id: UserId,
}

fn conflict<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::refused(ErrorCode::Conflict, message))
}

/// Makes a user a member of a thread. With the same role again, it changes nothing.
///
/// # Errors
/// `not_found`, `forbidden`; `conflict` for a temporary thread, its owner, and a member with another role; `quota_exceeded` if the thread has
/// [`MAX_MEMBERS`].
pub async fn add_member(channels: &Channels, user: &User, command: &AddMember) -> Result<()> {
    let AddMember { thread_id, user_id, role } = *command;
    let admission = super::admission(channels, user.id, thread_id).await?;
    let mut tx = channels.begin().await?;
    let thread = lock_thread(&mut tx, user.id, thread_id, Access::Own).await?;
    if thread.info.temporary.is_some() {
        return conflict("a temporary thread cannot be shared; keep it first");
    }
    if user_id == thread.owner.id {
        return conflict("this is the thread's owner");
    }
    match thread.members().role(user_id) {
        Some(known) if known == role => return Ok(()),
        Some(_) => return conflict("this user is a member already; change their role"),
        None => {}
    }
    if thread.members.len() >= MAX_MEMBERS {
        let message = format!("a thread has at most {MAX_MEMBERS} members; remove one first");
        return Err(Error::refused(ErrorCode::QuotaExceeded, message));
    }
    let known = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM users WHERE id = $1").bind(user_id);
    if known.fetch_one(tx.sql()).await? == 0 {
        return Err(Error::not_found("user"));
    }
    admission.admit(0)?;
    let sql = "INSERT INTO thread_members (thread_id, user_id, role, added_at) VALUES ($1, $2, $3, $4)";
    let query = sqlx::query(sql).bind(thread_id).bind(user_id).bind(role_column(role)).bind(now_ms());
    query.execute(tx.sql()).await?;
    store_change(tx, &thread, user_id).await
}

/// Changes what a member may do.
///
/// # Errors
/// `not_found`, `forbidden`.
pub async fn set_member_role(channels: &Channels, user: &User, command: &SetMemberRole) -> Result<()> {
    let SetMemberRole { thread_id, user_id, role } = *command;
    let mut tx = channels.begin().await?;
    let thread = lock_thread(&mut tx, user.id, thread_id, Access::Own).await?;
    match thread.members().role(user_id) {
        Some(known) if known == role => return Ok(()),
        Some(_) => {}
        None => return Err(Error::not_found("member of this thread")),
    }
    let sql = "UPDATE thread_members SET role = $3 WHERE thread_id = $1 AND user_id = $2";
    sqlx::query(sql).bind(thread_id).bind(user_id).bind(role_column(role)).execute(tx.sql()).await?;
    store_change(tx, &thread, user_id).await
}

/// Removes a member. Returns them, unless they were none.
///
/// # Errors
/// `not_found`, `forbidden`.
pub async fn remove_member(channels: &Channels, user: &User, command: &RemoveMember) -> Result<Option<ThreadUser>> {
    let RemoveMember { thread_id, user_id } = *command;
    let mut tx = channels.begin().await?;
    let thread = lock_thread(&mut tx, user.id, thread_id, Access::Own).await?;
    remove(tx, &thread, user_id).await
}

/// Removes the user from the members of a thread. Returns them, unless they were none.
///
/// # Errors
/// `conflict` for the thread's owner.
pub async fn leave(channels: &Channels, user: &User, command: &LeaveThread) -> Result<Option<ThreadUser>> {
    let mut tx = channels.begin().await?;
    match lock_thread(&mut tx, user.id, command.thread_id, Access::Read).await {
        Ok(thread) if thread.owner.id == user.id => conflict("this thread is yours; delete it, or remove its members"),
        Ok(thread) => remove(tx, &thread, user.id).await,
        // Left before, or never a member: the answer does not say which.
        Err(Error::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn remove(mut tx: CommandTransaction, thread: &ThreadRow, user_id: UserId) -> Result<Option<ThreadUser>> {
    let thread_id = thread.info.id;
    if thread.members().role(user_id).is_none() {
        return Ok(None);
    }
    let sql = "DELETE FROM thread_members WHERE thread_id = $1 AND user_id = $2";
    sqlx::query(sql).bind(thread_id).bind(user_id).execute(tx.sql()).await?;
    let sql =
        "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    sqlx::query(sql).bind(LAST_REMOVAL).bind(uuid::Uuid::now_v7().to_string()).execute(tx.sql()).await?;
    // Nobody would see the answers.
    let sql = "UPDATE runs SET stop_at = $3 WHERE thread_id = $1 AND requested_by = $2 AND ended_at IS NULL AND stop_at IS NULL";
    sqlx::query(sql).bind(thread_id).bind(user_id).bind(now_ms()).execute(tx.sql()).await?;
    store_change(tx, thread, user_id).await?;
    Ok(Some(ThreadUser { thread_id, user_id }))
}

/// Counts the members anew after those of a locked thread changed, appends the change to its log and to the lists that have the thread,
/// and commits.
async fn store_change(mut tx: CommandTransaction, before: &ThreadRow, user: UserId) -> Result<()> {
    let mut after = before.clone();
    access::read_members(tx.sql(), &mut after).await?;
    let thread_id = before.info.id;
    let count = i64::try_from(after.members.len()).unwrap_or(i64::MAX);
    sqlx::query("UPDATE threads SET members = $2 WHERE id = $1").bind(thread_id).bind(count).execute(tx.sql()).await?;
    tx.append_to_thread(thread_id, &[ThreadEntry::Members { members: after.members() }]).await?;
    let mut feeds = FeedEntries::default();
    let owner = after.owner.id;
    if before.info_for(owner) != after.info_for(owner) {
        feeds.add(owner, UserEntry::Thread { thread: after.info_for(owner) });
    }
    let (had, has) = (before.access(user), after.access(user));
    if has == Access::None {
        feeds.add(user, UserEntry::ThreadRemoved { thread_id });
    } else {
        feeds.add(user, UserEntry::Shared { thread: after.info_for(user) });
        for (run_id, phase) in run_phases(tx.sql(), thread_id, (had, has)).await? {
            feeds.add(user, UserEntry::Run { thread_id, run_id, phase });
        }
    }
    tx.append_to_feeds(feeds).await?;
    tx.commit().await
}

/// What the list of a user must be told of a thread's runs whose access changed.
async fn run_phases(
    connection: &mut AnyConnection,
    thread: ThreadId,
    (had, has): (Access, Access),
) -> Result<Vec<(RunId, RunPhase)>> {
    row! { struct Row { id: RunId, asks: i64 } }
    let sql = "SELECT id, CAST(CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END AS BIGINT) AS asks FROM runs WHERE thread_id = $1 \
               AND (ended_at IS NULL OR (asks_until > $2 AND answered_at IS NULL)) ORDER BY id";
    let rows: Vec<Row> = sqlx::query_as(sql).bind(thread).bind(now_ms()).fetch_all(connection).await?;
    let phase = |row: Row| {
        let phase = match (row.asks != 0, has >= Access::Write) {
            (false, _) if had == Access::None => RunPhase::Running,
            (true, true) => RunPhase::Interrupted,
            (true, false) if had >= Access::Write => RunPhase::Answered,
            _ => return None,
        };
        Some((row.id, phase))
    };
    Ok(rows.into_iter().filter_map(phase).collect())
}

/// The owner and the members of a thread, for whoever may read it.
///
/// # Errors
/// `not_found`.
pub async fn members(channels: &Channels, user: &User, thread: ThreadId) -> Result<ThreadMembers> {
    authorise(channels, user.id, thread, Access::Read).await?;
    let mut reader = channels.store().reader().acquire().await?;
    let mut row = access::read_thread(&mut reader, channels.store().engine(), thread, "").await?;
    // The owner's name, too, if there are no members.
    access::read_members(&mut reader, &mut row).await?;
    Ok(row.members())
}

/// Users whose names contain a text, without the caller: at most [`MAX_PEOPLE`], by name. Upper and lower case count as the same; on SQLite
/// only those of ASCII letters.
///
/// # Errors
/// If the store fails.
pub async fn find_people(channels: &Channels, user: &User, text: &str) -> Result<Vec<Person>> {
    row! { struct Row { id: UserId, name: String } }
    let sql = format!(
        "SELECT id, name FROM users WHERE (name LIKE $1 {LIKE_ESCAPE} OR LOWER(name) LIKE $2 {LIKE_ESCAPE}) AND id <> $3 \
         ORDER BY name, id LIMIT $4"
    );
    let text = text.trim();
    let [exact, lower] = [containing(text), containing(&text.to_lowercase())];
    let limit = i64::try_from(MAX_PEOPLE).unwrap_or(i64::MAX);
    let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(exact).bind(lower).bind(user.id).bind(limit);
    let rows: Vec<Row> = query.fetch_all(channels.store().reader()).await?;
    Ok(rows.into_iter().map(|Row { id, name }| Person { id, name }).collect())
}

/// A value that changes with each removal of a member, on any node.
///
/// # Errors
/// If the store fails.
pub async fn last_removal(store: &Store) -> Result<Option<String>> {
    store.setting(LAST_REMOVAL).await
}

/// Those of these users who may not read the thread that they follow. Threads that do not exist are left out.
///
/// # Errors
/// If the store fails.
pub async fn revoked(store: &Store, following: &HashSet<ThreadUser>) -> Result<Vec<ThreadUser>> {
    let threads: HashSet<ThreadId> = following.iter().map(|one| one.thread_id).collect();
    let mut reader = store.reader().acquire().await?;
    let rows = access::read_threads(&mut reader, store.engine(), &Vec::from_iter(threads), "").await?;
    let is_revoked =
        |one: &&ThreadUser| rows.get(&one.thread_id).is_some_and(|row| row.access(one.user_id) == Access::None);
    Ok(following.iter().filter(is_revoked).copied().collect())
}

/// Checks that users may share threads with each other on this server.
///
/// # Errors
/// `forbidden`.
pub fn check_enabled(enabled: bool) -> Result<()> {
    if enabled {
        return Ok(());
    }
    let message =
        "threads cannot be shared with other users on this server; its operator turned this off (`server.members`)";
    Err(Error::refused(ErrorCode::Forbidden, message))
}
