//! Accounts in the store.

use sqlx::{Any, Executor, Row, any::AnyRow};

use crate::{
    protocol::{
        ErrorCode, UserId,
        http::{Role, User},
    },
    server::{
        error::{Error, Result},
        store::{Store, now_ms},
    },
};

/// The shortest and the longest password, in bytes.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;
/// The longest address, in bytes (RFC 5321).
const MAX_EMAIL_BYTES: usize = 254;
/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// An account to be made.
#[derive(Clone)]
pub struct NewAccount {
    /// The address that signs in.
    pub email: String,
    /// The name.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// The password, 8 to 1024 bytes.
    pub password: String,
}

impl NewAccount {
    /// The account as it will be kept: trimmed, the address in lower case.
    pub(super) fn checked(mut self) -> Result<Self> {
        let refuse = |message: &str| Err(Error::refused(ErrorCode::InvalidPayload, message));
        self.email = normal(&self.email);
        self.name = self.name.split_whitespace().collect::<Vec<_>>().join(" ");
        if !is_email(&self.email) {
            return refuse("this is no e-mail address; it looks like `name@example.com`");
        }
        if self.name.is_empty() || self.name.chars().count() > MAX_NAME_CHARS || self.name.contains(char::is_control) {
            return refuse("a name has 1 to 100 characters");
        }
        if !PASSWORD_BYTES.contains(&self.password.len()) {
            return refuse("a password has 8 to 1024 bytes");
        }
        Ok(self)
    }
}

impl std::fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewAccount").field("email", &self.email).field("role", &self.role).finish_non_exhaustive()
    }
}

/// An address as it is compared.
pub(super) fn normal(email: &str) -> String {
    email.trim().to_lowercase()
}

/// One `@` with something before it and a host after it. Whether mail arrives there, only mail can tell.
fn is_email(text: &str) -> bool {
    let fits = text.len() <= MAX_EMAIL_BYTES && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    fits && text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !host.contains('@') && !host.starts_with('.') && !host.ends_with('.')
    })
}

/// A person from a row that begins with id, email, name and role.
pub(super) fn read(row: &AnyRow) -> Result<User> {
    let (id, role): (String, String) = (row.try_get(0)?, row.try_get(3)?);
    let role = match role.as_str() {
        "admin" => Role::Admin,
        "member" => Role::Member,
        other => return Err(Error::Corrupt(format!("`{other}` is no role"))),
    };
    Ok(User { id: id.parse()?, email: row.try_get(1)?, name: row.try_get(2)?, role })
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

pub(super) async fn by_id(store: &Store, id: UserId) -> Result<Option<User>> {
    let query = sqlx::query("SELECT id, email, name, role FROM users WHERE id = $1").bind(id.to_string());
    query.fetch_optional(store.reader()).await?.as_ref().map(read).transpose()
}

/// A person by address, with the hash of their password.
pub(super) async fn with_hash(store: &Store, email: &str) -> Result<Option<(User, String)>> {
    let query = sqlx::query("SELECT id, email, name, role, password_hash FROM users WHERE email = $1").bind(email);
    let Some(row) = query.fetch_optional(store.reader()).await? else { return Ok(None) };
    Ok(Some((read(&row)?, row.try_get(4)?)))
}

pub(super) async fn all(store: &Store) -> Result<Vec<User>> {
    let query = sqlx::query("SELECT id, email, name, role FROM users ORDER BY created_at, id");
    query.fetch_all(store.reader()).await?.iter().map(read).collect()
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
    .bind(user.id.to_string())
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
