//! Accounts, sessions, access tokens and tickets, and who a caller is.
//!
//! [`Auth::authenticate`] takes the first of these that a request has: a bearer token, a session's cookie; for a WebSocket
//! ([`Auth::authenticate_socket`]) a ticket (second subprotocol) comes before them. If it is invalid the request is refused, and the
//! others are not tried. Guarantees: no password, token or ticket is stored or logged in the clear; every credential belongs to a
//! session and ends with it; a credential that was ended is refused from then on, by sockets of other nodes within a second
//! (`session_cache.rs`).

mod accounts;
mod credentials;
mod origin;
mod password;
mod people;
mod session_cache;
mod sessions;
mod setup;
mod share_tokens;
mod strength;
mod throttle;
mod tickets;
mod tokens;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::http::{StatusCode, request::Parts};
use tokio_util::sync::CancellationToken;
use tower_sessions::Session;

pub use accounts::NewAccount;
pub(crate) use accounts::by_id as user_by_id;
pub use origin::Origins;
pub(crate) use session_cache::SessionCache;
pub use sessions::{Sessions, cookie_name};
pub(crate) use sessions::{begin as begin_session, key_of as session_key_of};

use self::{
    credentials::{Source, bearer, ticket},
    password::Passwords,
    share_tokens::ShareTokens,
    throttle::Throttle,
    tokens::Tokens,
};
use super::{
    clock::now_ms,
    config::Config,
    error::{Error, Result},
    problem::problem,
    store::{Lookups, Store},
};
use crate::protocol::{
    ShareId,
    http::{Problem, User},
};

/// How often expired sessions and tickets are deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The person, as in the store at that time.
    pub user: User,
    /// The credential.
    pub via: Via,
    /// When the credential expires, in milliseconds since 1970.
    pub expires_at: i64,
}

/// The kind of credential, with the key of the session behind it. The key may be logged: it is a digest, and gives no access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// The session's cookie.
    Cookie {
        /// The session's key: a digest of the cookie's value.
        session: String,
    },
    /// An access token.
    Bearer {
        /// The key of the token's own session.
        session: String,
    },
    /// A ticket.
    Ticket {
        /// The key of the cookie's or token's session that requested it, and ends with it.
        session: String,
    },
}

impl Identity {
    /// The key of the session behind the credential.
    #[must_use]
    pub fn session(&self) -> &str {
        let (Via::Cookie { session } | Via::Bearer { session } | Via::Ticket { session }) = &self.via;
        session
    }
}

/// Why a caller is refused. The text is for the log and for the caller.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No credentials, or invalid ones: 401.
    #[error("not signed in: {0}")]
    Unauthorized(&'static str),
    /// A cookie, sent by a page of another origin: 403.
    #[error(
        "the request comes from a page at {0}, which is not this server's address; open the server's own, or have its \
             operator set server.public_url or auth.allowed_origins"
    )]
    Origin(String),
    /// The credentials are valid, but not allowed for this: 403.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unauthorized(_) => problem(StatusCode::UNAUTHORIZED, "unauthorized", refusal.to_string()),
            Refusal::Origin(_) | Refusal::Forbidden(_) => {
                problem(StatusCode::FORBIDDEN, "forbidden", refusal.to_string())
            }
            Refusal::Failed(error) => error.into(),
        }
    }
}

/// Accounts and credentials; clones share them.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    session_cache: Arc<SessionCache>,
    session_lookups: Lookups<Arc<str>, (User, i64)>,
    origins: Origins,
    tokens: Tokens,
    share_tokens: ShareTokens,
    passwords: Passwords,
    failures: Throttle,
    ticket_lifetime: Duration,
    /// The setup token that this process was given, in place of the stored one.
    setup_preset: OnceLock<String>,
}

impl Auth {
    /// Authentication over a store. Creates the secrets that the store does not have yet.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn new(store: Store, config: &Config) -> Result<Self> {
        let tokens =
            Tokens::open(&store, Duration::from_secs(u64::from(config.auth.access_token_minutes) * 60)).await?;
        Ok(Self(Arc::new(Inner {
            origins: Origins::new(config.server.public_url.clone(), config.auth.allowed_origins.clone()),
            tokens,
            share_tokens: ShareTokens::open(&store).await?,
            passwords: Passwords::new().await?,
            failures: Throttle::new(config.auth.sign_in_failures_per_minute),
            ticket_lifetime: Duration::from_secs(u64::from(config.auth.ticket_seconds)),
            setup_preset: OnceLock::new(),
            session_cache: Arc::default(),
            session_lookups: Lookups::default(),
            store,
        })))
    }

    /// The token in the address of a link with which anybody can read a thread.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn share_token(&self, share: ShareId) -> Result<String> {
        self.0.share_tokens.write(share)
    }

    /// The link whose token this is; it may have expired, or been withdrawn.
    #[must_use]
    pub fn read_share_token(&self, token: &str) -> Option<ShareId> {
        self.0.share_tokens.read(token)
    }

    /// The origins whose pages may use cookies.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        &self.0.origins
    }

    /// Authenticates the caller of an HTTP request.
    ///
    /// # Errors
    /// [`Refusal`], with the reason.
    pub async fn authenticate(&self, parts: &Parts) -> Result<Identity, Refusal> {
        self.authenticate_by(parts, Source::Store).await
    }

    async fn authenticate_by(&self, parts: &Parts, source: Source) -> Result<Identity, Refusal> {
        if ticket(&parts.headers).is_some() {
            return Err(Refusal::Unauthorized("a ticket opens a socket and nothing else"));
        }
        if let Some(token) = bearer(&parts.headers)? {
            return self.by_token(token, source).await;
        }
        let Some(key) = session_key(parts) else { return Err(Refusal::Unauthorized("no credentials were given")) };
        self.origins().check(&parts.headers)?;
        self.by_cookie(key, source).await
    }

    /// Authenticates the client of a WebSocket handshake: as [`Self::authenticate`], and by a ticket.
    ///
    /// # Errors
    /// [`Refusal`], with the reason.
    pub async fn authenticate_socket(&self, parts: &Parts) -> Result<Identity, Refusal> {
        match ticket(&parts.headers) {
            Some(ticket) => self.by_ticket(ticket).await,
            None => self.authenticate_by(parts, Source::Cache).await,
        }
    }

    /// The person of the session's cookie, if there is one, from a page of any origin: for requests that only render a page.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn visitor(&self, parts: &Parts) -> Result<Option<Identity>> {
        let Some(key) = session_key(parts) else { return Ok(None) };
        match self.by_cookie(key, Source::Store).await {
            Ok(identity) => Ok(Some(identity)),
            Err(Refusal::Failed(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Checks that an identity is still valid; returns the person with their current role.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] if the session ended, the account was removed or the credential expired.
    pub async fn revalidate(&self, identity: &Identity) -> Result<User, Refusal> {
        if identity.expires_at <= now_ms() {
            return Err(Refusal::Unauthorized("the credentials have expired"));
        }
        Ok(self.by_session(identity.session(), Source::Cache).await?.0)
    }

    /// A value that changes whenever a session ends before it expires, on any node. Cached sessions are used only while this is called at
    /// short intervals.
    pub(crate) async fn last_ended(&self) -> Result<Option<String>> {
        let at = Instant::now();
        let last_ended = sessions::last_ended(&self.0.store).await?;
        self.0.session_cache.confirm(last_ended.as_deref(), at);
        Ok(last_ended)
    }

    /// For each of these sessions that has not ended: its user, and when it expires.
    pub(crate) async fn live_sessions(&self, keys: Vec<Arc<str>>) -> Result<HashMap<Arc<str>, (User, i64)>> {
        sessions::live(self.0.store.clone(), keys).await
    }

    /// The store of the cookies' sessions.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions::new(self.0.store.clone(), self.0.session_cache.clone())
    }

    /// The sessions that this node has cached.
    pub(crate) fn session_cache(&self) -> &Arc<SessionCache> {
        &self.0.session_cache
    }

    /// Deletes expired sessions and tickets; returns how many sessions.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sweep(&self) -> Result<u64> {
        tickets::sweep(&self.0.store).await?;
        sessions::sweep(&self.0.store).await
    }

    /// Deletes expired sessions and tickets at intervals, until `stopping`.
    pub async fn run_sweep(self, stopping: CancellationToken) {
        let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.sweep().await {
                Ok(0) => {}
                Ok(sessions) => tracing::info!(sessions, "deleted expired sessions"),
                Err(error) => tracing::warn!(%error, "expired sessions could not be deleted"),
            }
        }
    }
}

/// The key of the session whose cookie came with the request.
fn session_key(parts: &Parts) -> Option<String> {
    parts.extensions.get::<Session>().and_then(session_key_of)
}

/// 256 random bits, in hexadecimal.
fn secret() -> String {
    hex(&rand::random::<[u8; 32]>())
}

/// The SHA-256 digest of a secret, in hexadecimal: what is stored of it.
fn digest(text: &str) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
