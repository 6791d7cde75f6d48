//! Sessions in the store, also as the store of tower-sessions.
//!
//! Each browser's cookie and each access token has a row. A token that was requested with a cookie has the cookie's session as its
//! parent and ends with it; one that was requested with a password has none. So ending a session ends its tokens, on every node.
//!
//! The cookie holds the id, the store only a digest of it ([`key`]): nobody can sign in with what is in the database, and the digest
//! may be logged.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use sqlx::{Any, AssertSqlSafe, FromRow, Row, Transaction};
use time::OffsetDateTime;
use tower_sessions::{
    Expiry, SessionManagerLayer, SessionStore,
    cookie::SameSite,
    session::{Id, Record},
    session_store::{Error as SessionError, Result as SessionResult},
};

use super::session_cache::SessionCache;
use crate::{
    protocol::{ErrorBody, ErrorCode, UserId, http::User},
    server::{
        clock::now_ms,
        config::Config,
        error::{Error, Result},
        store::{Store, chunks, placeholders, row},
    },
};

/// The cookie's name over plain HTTP, where browsers refuse the prefix `__Host-`.
const PLAIN_COOKIE: &str = "netra_session";
/// The cookie's name over HTTPS: browsers accept a cookie of this name only from this host, over HTTPS and for all paths.
const HOST_COOKIE: &str = "__Host-netra_session";
/// The key of the person's id in a session's data.
const USER_KEY: &str = "user_id";

/// The most access tokens of a person.
const MAX_TOKENS: i64 = 1_000;
/// The setting that changes whenever a session ends before it expires.
const LAST_ENDED_SETTING: &str = "sessions_ended";

/// The name of the cookie.
#[must_use]
pub fn cookie_name(config: &Config) -> &'static str {
    if config.is_https() { HOST_COOKIE } else { PLAIN_COOKIE }
}

/// The key of a session: the digest of the id in its cookie.
fn key(id: &Id) -> String {
    super::digest(&id.to_string())
}

/// The key of a request's session, if it has one.
pub(crate) fn key_of(session: &tower_sessions::Session) -> Option<String> {
    session.id().map(|id| key(&id))
}

/// The session store.
#[derive(Debug, Clone)]
pub struct Sessions {
    store: Store,
    cache: Arc<SessionCache>,
}

impl Sessions {
    pub(super) fn new(store: Store, cache: Arc<SessionCache>) -> Self {
        Self { store, cache }
    }

    /// The layer that reads and writes the cookie.
    #[must_use]
    pub fn layer(self, config: &Config) -> SessionManagerLayer<Self> {
        let lifetime = time::Duration::try_from(config.session_lifetime()).unwrap_or(time::Duration::MAX);
        SessionManagerLayer::new(self)
            .with_name(cookie_name(config))
            .with_path("/")
            .with_same_site(SameSite::Lax)
            .with_secure(config.is_https())
            .with_expiry(Expiry::OnInactivity(lifetime))
    }

    async fn write(&self, record: &Record, sql: &'static str) -> Result<bool> {
        let person = record.data.get(USER_KEY).and_then(serde_json::Value::as_str);
        let mut tx = self.store.begin().await?;
        let done = sqlx::query(sql)
            .bind(key(&record.id))
            .bind(person)
            .bind(serde_json::to_string(&record.data)?)
            .bind(milliseconds(record.expiry_date))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    async fn read(&self, id: &Id) -> Result<Option<Record>> {
        row! { struct Row { data: String, expires_at: i64 } }
        let row = sqlx::query_as("SELECT data, expires_at FROM sessions WHERE id = $1 AND expires_at > $2")
            .bind(key(id))
            .bind(now_ms())
            .fetch_optional(self.store.reader())
            .await?;
        let Some(Row { data, expires_at }) = row else { return Ok(None) };
        let expiry_date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(expires_at) * 1_000_000)
            .map_err(|error| Error::Corrupt(format!("a session's end: {error}")))?;
        Ok(Some(Record { id: *id, data: serde_json::from_str(&data)?, expiry_date }))
    }
}

#[async_trait]
impl SessionStore for Sessions {
    async fn create(&self, record: &mut Record) -> SessionResult<()> {
        let sql =
            "INSERT INTO sessions (id, user_id, data, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING";
        while !self.write(record, sql).await.map_err(backend)? {
            record.id = Id::default();
        }
        Ok(())
    }

    /// Updates a session. One that ended meanwhile is not created again.
    async fn save(&self, record: &Record) -> SessionResult<()> {
        let sql = "UPDATE sessions SET user_id = $2, data = $3, expires_at = $4 WHERE id = $1";
        self.write(record, sql).await.map_err(backend)?;
        Ok(())
    }

    async fn load(&self, id: &Id) -> SessionResult<Option<Record>> {
        self.read(id).await.map_err(backend)
    }

    async fn delete(&self, id: &Id) -> SessionResult<()> {
        end(&self.store, &self.cache, &key(id)).await.map_err(backend)
    }
}

/// Keeps only the message for the caller, because errors of tower-sessions have nothing but a text.
fn backend(error: Error) -> SessionError {
    SessionError::Backend(error.into_body().message)
}

fn milliseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// Creates the session of an access token; returns its key. `parent` is the session that requested it, if one did. If the person has
/// [`MAX_TOKENS`] already, the one that expires first ends.
pub(super) async fn begin_token(
    store: &Store,
    cache: &SessionCache,
    user: UserId,
    parent: Option<&str>,
    expires_at: i64,
) -> Result<String> {
    let key = super::secret();
    let mut tx = store.begin().await?;
    sqlx::query("INSERT INTO sessions (id, user_id, data, expires_at, parent) VALUES ($1, $2, '{}', $3, $4)")
        .bind(&key)
        .bind(user)
        .bind(expires_at)
        .bind(parent)
        .execute(&mut *tx)
        .await?;
    // Only the sessions of tokens have no data.
    let surplus = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE user_id = $1 AND data = '{}' AND id <> $2 \
                   ORDER BY expires_at DESC, id LIMIT 1000000 OFFSET $3)";
    let ended = sqlx::query(surplus).bind(user).bind(&key).bind(MAX_TOKENS - 1).execute(&mut *tx).await?;
    if ended.rows_affected() > 0 {
        commit_ended(tx, cache).await?;
    } else {
        tx.commit().await?;
    }
    Ok(key)
}

/// The keys of a session and of its tokens.
pub(super) async fn family(store: &Store, key: &str) -> Result<Vec<String>> {
    let query = sqlx::query_scalar("SELECT id FROM sessions WHERE id = $1 OR parent = $1").bind(key);
    Ok(query.fetch_all(store.reader()).await?)
}

/// Ends a session with its tokens and tickets.
pub(super) async fn end(store: &Store, cache: &SessionCache, key: &str) -> Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query("DELETE FROM sessions WHERE id = $1").bind(key).execute(&mut *tx).await?;
    commit_ended(tx, cache).await
}

/// Commits a transaction that ends sessions before they expire: records that, and forgets what this node has cached. The session check
/// of open connections polls the record, and reads all sessions only if it changed.
pub(super) async fn commit_ended(mut tx: Transaction<'_, Any>, cache: &SessionCache) -> Result<()> {
    let sql =
        "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    sqlx::query(sql).bind(LAST_ENDED_SETTING).bind(uuid::Uuid::now_v7().to_string()).execute(&mut *tx).await?;
    let committed = tx.commit().await;
    // After an error, too: the commit may have happened.
    cache.clear();
    Ok(committed?)
}

/// The value that the last [`commit_ended`] recorded.
pub(super) async fn last_ended(store: &Store) -> Result<Option<String>> {
    store.setting(LAST_ENDED_SETTING).await
}

/// Ends all sessions of a person except `keep`, and commits the transaction; returns how many.
pub(super) async fn end_all(
    mut tx: Transaction<'_, Any>,
    cache: &SessionCache,
    user: UserId,
    keep: Option<&str>,
) -> Result<u64> {
    let sql = "DELETE FROM sessions WHERE user_id = $1 AND id <> $2";
    let done = sqlx::query(sql).bind(user).bind(keep.unwrap_or_default()).execute(&mut *tx).await?;
    commit_ended(tx, cache).await?;
    Ok(done.rows_affected())
}

/// For each of these sessions that has not ended: its user, and when it expires.
pub(super) async fn live(store: Store, keys: Vec<Arc<str>>) -> Result<HashMap<Arc<str>, (User, i64)>> {
    let mut live = HashMap::with_capacity(keys.len());
    for chunk in chunks(&keys) {
        let engine = store.engine();
        let sql = format!(
            "SELECT s.id AS session_id, s.expires_at, u.id, u.email, u.name, u.role FROM sessions s \
             JOIN users u ON u.id = s.user_id WHERE s.expires_at > {} AND s.id IN ({})",
            engine.placeholder(1),
            placeholders(engine, 2, chunk.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(now_ms());
        for key in chunk {
            query = query.bind(key.to_string());
        }
        for row in query.fetch_all(store.reader()).await? {
            let (key, expires_at): (&str, i64) = (row.try_get("session_id")?, row.try_get("expires_at")?);
            live.insert(key.into(), (User::from_row(&row)?, expires_at));
        }
    }
    Ok(live)
}

/// Deletes expired sessions; returns how many.
pub(super) async fn sweep(store: &Store) -> Result<u64> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("DELETE FROM sessions WHERE expires_at <= $1").bind(now_ms()).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// Signs a person in: gives the session a new id, so that one known before gives no access, and saves it. tower-sessions would save it
/// after the handler, when a failure could not be answered any more.
///
/// # Errors
/// `unavailable` if the store fails.
pub(crate) async fn begin(session: &tower_sessions::Session, user: UserId) -> Result<()> {
    use tower_sessions::session::Error as Failed;
    let failed = |error: Failed| match error {
        Failed::Store(SessionError::Backend(message)) => {
            ErrorBody::new(ErrorCode::Unavailable, message).retry_after(1_000).into()
        }
        error => Error::Corrupt(format!("the session: {error}")),
    };
    session.cycle_id().await.map_err(failed)?;
    session.insert(USER_KEY, user).await.map_err(failed)?;
    session.save().await.map_err(failed)
}
