//! Accounts in the store.

use serde::Serialize;
use sqlx::{Any, AssertSqlSafe, Executor, FromRow, Row, any::AnyRow};

use super::{session_cache::SessionCache, sessions};
use crate::{
    protocol::{
        ErrorCode, ThreadEntry, ThreadId, UserEntry, UserId,
        http::{Role, User},
    },
    server::{
        access,
        channel::Channel,
        clock::now_ms,
        error::{Error, Result},
        quotas::lock_user,
        store::{Engine, Store, row},
    },
};

/// The longest e-mail address, in bytes (RFC 5321).
const MAX_EMAIL_BYTES: usize = 254;
/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// An account to create.
#[derive(Clone)]
pub struct NewAccount {
    /// The e-mail address to sign in with.
    pub email: String,
    /// The name.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// The password.
    pub password: String,
}

impl NewAccount {
    /// Checks the address and the name, and normalises them: trimmed, the address in lower case. The password is not checked.
    pub(super) fn normalised(mut self) -> Result<Self> {
        let refuse = |message: &str| Err(Error::refused(ErrorCode::InvalidPayload, message));
        self.email = normalise(&self.email);
        self.name = self.name.split_whitespace().collect::<Vec<_>>().join(" ");
        if !is_email(&self.email) {
            return refuse("this is not an e-mail address, such as `name@example.com`");
        }
        if self.name.is_empty() || self.name.chars().count() > MAX_NAME_CHARS || self.name.contains(char::is_control) {
            return refuse("a name has 1 to 100 characters");
        }
        Ok(self)
    }
}

impl std::fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewAccount").field("email", &self.email).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Normalises an e-mail address, for comparison.
pub(super) fn normalise(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Whether a text has one `@` with something before it and a host after it. Nothing more can be checked without sending mail.
fn is_email(text: &str) -> bool {
    let fits = text.len() <= MAX_EMAIL_BYTES && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    fits && text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !host.contains('@') && !host.starts_with('.') && !host.ends_with('.')
    })
}

/// Reads the columns id, email, name and role; rows may have more.
impl FromRow<'_, AnyRow> for User {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let (id, email, name) = (row.try_get("id")?, row.try_get("email")?, row.try_get("name")?);
        Ok(Self { id, email, name, role: row.try_get("role")? })
    }
}

impl sqlx::Type<Any> for Role {
    fn type_info() -> sqlx::any::AnyTypeInfo {
        <str as sqlx::Type<Any>>::type_info()
    }
}

impl<'r> sqlx::Decode<'r, Any> for Role {
    fn decode(value: <Any as sqlx::Database>::ValueRef<'r>) -> std::result::Result<Self, sqlx::error::BoxDynError> {
        match <&str as sqlx::Decode<Any>>::decode(value)? {
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            other => Err(format!("`{other}` is not a role").into()),
        }
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

pub(crate) async fn by_id(store: &Store, id: UserId) -> Result<Option<User>> {
    let query = sqlx::query_as("SELECT id, email, name, role FROM users WHERE id = $1").bind(id);
    Ok(query.fetch_optional(store.reader()).await?)
}

/// The person with an e-mail address.
pub(super) async fn by_email(store: &Store, email: &str) -> Result<User> {
    let email = normalise(email);
    let found = with_hash(store, &email).await?.map(|(user, _)| user);
    found.ok_or_else(|| Error::refused(ErrorCode::NotFound, format!("{email} has no account here")))
}

/// Changes a person's role, and ends their sessions and tokens, so that they sign in again with the new one.
pub(super) async fn set_role(store: &Store, cache: &SessionCache, email: &str, role: Role) -> Result<User> {
    let user = by_email(store, email).await?;
    if user.role == role {
        return Ok(user);
    }
    let mut tx = store.begin().await?;
    let sql = "UPDATE users SET role = $2 WHERE id = $1";
    sqlx::query(sql).bind(user.id).bind(role_name(role)).execute(&mut *tx).await?;
    check_administrator_left(&mut tx).await?;
    sessions::end_all(tx, cache, user.id, None).await?;
    Ok(User { role, ..user })
}

/// Deletes a person and everything of theirs; returns them and their threads. The caller deletes the files of the threads, and those
/// that were not sent ([`unsent`](crate::server::quotas::unsent)).
pub(super) async fn remove(store: &Store, cache: &SessionCache, email: &str) -> Result<(User, Vec<ThreadId>)> {
    let user = by_email(store, email).await?;
    let (engine, mut tx) = (store.engine(), store.begin().await?);
    // The user, then threads, then channels, in the order of ids: all transactions lock in this order.
    lock_user(engine, &mut tx, user.id).await?;
    let sql = format!(
        "SELECT id, owner FROM threads WHERE owner = $1 OR id IN (SELECT thread_id FROM thread_members WHERE user_id = $1) \
         ORDER BY id{}",
        engine.for_update(),
    );
    let locked: Vec<LockedThread> = sqlx::query_as(AssertSqlSafe(sql)).bind(user.id).fetch_all(&mut *tx).await?;
    let (own, left): (Vec<_>, Vec<_>) = locked.into_iter().partition(|thread| thread.owner == user.id);
    let [threads, left] = [own, left].map(|threads| threads.into_iter().map(|thread| thread.id).collect::<Vec<_>>());
    leave_threads(&mut tx, user.id).await?;
    let members = members_of(&mut tx, user.id).await?;
    let mut feeds = tell_left(&mut tx, engine, &left).await?;
    feeds.extend(
        members
            .into_iter()
            .map(|ThreadMember { user_id, thread_id }| (user_id, UserEntry::ThreadRemoved { thread_id })),
    );
    feeds.sort_by_key(|(user, _)| *user);
    // Logs do not reference the account's row; everything else is deleted with it.
    for sql in [
        "DELETE FROM entries WHERE channel IN (SELECT 'thread/' || id FROM threads WHERE owner = $1) OR channel = $2",
        "DELETE FROM snapshots WHERE channel IN (SELECT 'thread/' || id FROM threads WHERE owner = $1) OR channel = $2",
        "DELETE FROM channels WHERE id IN (SELECT 'thread/' || id FROM threads WHERE owner = $1) OR id = $2",
    ] {
        sqlx::query(sql).bind(user.id).bind(Channel::User(user.id)).execute(&mut *tx).await?;
    }
    for (user, entry) in feeds {
        append(&mut tx, Channel::User(user), &entry).await?;
    }
    // Files that were sent are deleted with their threads.
    let sql = "DELETE FROM files WHERE owner = $1 AND thread_id IS NULL";
    sqlx::query(sql).bind(user.id).execute(&mut *tx).await?;
    sqlx::query("DELETE FROM users WHERE id = $1").bind(user.id).execute(&mut *tx).await?;
    check_administrator_left(&mut tx).await?;
    sessions::commit_ended(tx, cache).await?;
    Ok((user, threads))
}

row! {
    struct LockedThread {
        id: ThreadId,
        owner: UserId,
    }
}

row! {
    struct ThreadMember {
        user_id: UserId,
        thread_id: ThreadId,
    }
}

/// The members of a user's threads, in the order in which feeds are locked.
async fn members_of(tx: &mut sqlx::AnyConnection, owner: UserId) -> Result<Vec<ThreadMember>> {
    let sql = "SELECT m.user_id, m.thread_id FROM thread_members m JOIN threads t ON t.id = m.thread_id \
               WHERE t.owner = $1 AND t.deleted_at IS NULL ORDER BY m.user_id, m.thread_id";
    Ok(sqlx::query_as(sql).bind(owner).fetch_all(tx).await?)
}

/// Appends to the logs of threads, which are locked, which members they have now. Returns what the feeds of their owners and members get.
async fn tell_left(
    tx: &mut sqlx::AnyConnection,
    engine: Engine,
    threads: &[ThreadId],
) -> Result<Vec<(UserId, UserEntry)>> {
    let (rows, mut feeds) = (access::read_threads(tx, engine, threads, "").await?, Vec::new());
    for mut row in threads.iter().filter_map(|thread| rows.get(thread)).cloned() {
        // The owner's name, too, if there are no members any more.
        access::read_members(tx, &mut row).await?;
        append(tx, Channel::Thread(row.info.id), &ThreadEntry::Members { members: row.members() }).await?;
        feeds.push((row.owner.id, UserEntry::Thread { thread: row.info_for(row.owner.id) }));
    }
    Ok(feeds)
}

/// Appends to a log. This may be another process than the server, which reads it from the store.
async fn append(tx: &mut sqlx::AnyConnection, channel: Channel, entry: &impl Serialize) -> Result<()> {
    let entry = serde_json::to_string(entry)?;
    let bytes = i64::try_from(entry.len()).unwrap_or(i64::MAX);
    let sql = "UPDATE channels SET head = head + 1, bytes = bytes + $2 WHERE id = $1";
    sqlx::query(sql).bind(channel).bind(bytes).execute(&mut *tx).await?;
    let sql = "INSERT INTO entries (channel, seq, at, entry) SELECT id, head, $2, $3 FROM channels WHERE id = $1";
    sqlx::query(sql).bind(channel).bind(now_ms()).bind(entry).execute(tx).await?;
    Ok(())
}

/// Removes a user from the members of all threads, which are locked, and makes what the user did in threads of others their owners', so that
/// it is not deleted with the account.
/// Its runs in them are stopped: they would go on for the owners.
async fn leave_threads(tx: &mut sqlx::AnyConnection, user: UserId) -> Result<()> {
    let sql = "UPDATE runs SET stop_at = $2 WHERE requested_by = $1 AND ended_at IS NULL AND stop_at IS NULL";
    sqlx::query(sql).bind(user).bind(now_ms()).execute(&mut *tx).await?;
    for sql in [
        "UPDATE threads SET members = members - 1 WHERE id IN (SELECT thread_id FROM thread_members WHERE user_id = $1)",
        "DELETE FROM thread_members WHERE user_id = $1",
        "UPDATE runs SET requested_by = NULL WHERE requested_by = $1",
        // An id that the owner has used as well stays the user's, and is deleted: nobody can refer to two messages by one id.
        "UPDATE messages SET author = (SELECT t.owner FROM threads t WHERE t.id = messages.thread_id) WHERE author = $1 \
         AND NOT EXISTS (SELECT 1 FROM threads t JOIN messages o ON o.author = t.owner AND o.id = messages.id \
         WHERE t.id = messages.thread_id)",
    ] {
        sqlx::query(sql).bind(user).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Fails if no administrator is left.
async fn check_administrator_left(tx: &mut sqlx::AnyConnection) -> Result<()> {
    let admins = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM users WHERE role = 'admin'").fetch_one(tx).await?;
    if admins == 0 {
        return Err(Error::refused(ErrorCode::Conflict, "this is the last administrator; add another one first"));
    }
    Ok(())
}

/// The person with a normalised e-mail address, and the hash of their password.
pub(super) async fn with_hash(store: &Store, email: &str) -> Result<Option<(User, String)>> {
    let query = sqlx::query("SELECT id, email, name, role, password_hash FROM users WHERE email = $1").bind(email);
    let Some(row) = query.fetch_optional(store.reader()).await? else { return Ok(None) };
    Ok(Some((User::from_row(&row)?, row.try_get("password_hash")?)))
}

pub(super) async fn all(store: &Store) -> Result<Vec<User>> {
    let query = sqlx::query_as("SELECT id, email, name, role FROM users ORDER BY created_at, id");
    Ok(query.fetch_all(store.reader()).await?)
}

pub(super) async fn insert(store: &Store, account: NewAccount, hash: String) -> Result<User> {
    let mut tx = store.begin().await?;
    let user = insert_with(&mut *tx, account, hash).await?;
    tx.commit().await?;
    Ok(user)
}

/// Inserts a checked account, within the caller's transaction.
pub(super) async fn insert_with<'c>(
    executor: impl Executor<'c, Database = Any>,
    account: NewAccount,
    hash: String,
) -> Result<User> {
    let user = User { id: UserId::new(), email: account.email, name: account.name, role: account.role };
    let done = sqlx::query(
        "INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (email) DO NOTHING",
    )
    .bind(user.id)
    .bind(&user.email)
    .bind(&user.name)
    .bind(role_name(user.role))
    .bind(hash)
    .bind(now_ms())
    .execute(executor)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::refused(ErrorCode::Conflict, format!("{} has an account already", user.email)));
    }
    Ok(user)
}
