//! Who is there: accounts, sessions, access tokens, tickets, and the one function that tells a caller's identity.
//!
//! [`Auth::authenticate`] takes credentials in the order of the protocol: a ticket (second subprotocol), a bearer token, the
//! session's cookie. One that is given and wrong is refused; the next is not tried. Promises: no password, token or ticket
//! is stored or logged in the clear; an identity is asked of the store each time, so what was taken away stays away.

mod accounts;
mod origin;
mod password;
mod sessions;
mod setup;
mod throttle;
mod tickets;
mod tokens;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use axum::http::{HeaderMap, header, request::Parts};
use tower_sessions::Session;

pub use accounts::NewAccount;
pub(crate) use accounts::{by_id, read as read_user};
pub use origin::Origins;
pub use sessions::{Sessions, cookie_name};
pub(crate) use sessions::{begin as begin_session, key_of as session_key_of};

use self::{password::Passwords, throttle::Throttle, tokens::Tokens};
use super::{
    config::Config,
    error::{Error, Result},
    store::{Store, now_ms},
};
use crate::protocol::{
    ErrorCode, PROTOCOL, TICKET_PREFIX, ThreadId, UserId,
    http::{Role, User},
};

/// Who calls, and by what right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The person, as the store had them just now.
    pub user: User,
    /// What was shown.
    pub via: Via,
    /// Until when it holds, in milliseconds since 1970.
    pub expires_at: i64,
}

/// What an identity was shown by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// The session's cookie.
    Cookie {
        /// The session's key: a digest of what the cookie holds, fit for logs.
        session: String,
    },
    /// An access token.
    Bearer,
    /// A ticket.
    Ticket {
        /// The key of the session that asked for it, where one did: its end ends this too.
        session: Option<String>,
    },
}

impl Identity {
    /// The key of the session behind it, where there is one.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        match &self.via {
            Via::Cookie { session } => Some(session),
            Via::Ticket { session } => session.as_deref(),
            Via::Bearer => None,
        }
    }
}

/// Why a caller is not let in. The sentence is for the log and, in general terms, for the caller.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No credentials, or none that are valid: 401.
    #[error("not signed in: {0}")]
    Unauthorized(&'static str),
    /// A cookie from a page of another origin: 403.
    #[error("the cookie came from another origin: {0}")]
    Origin(String),
    /// The store failed.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Accounts and credentials; clones share them.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    origins: Origins,
    tokens: Tokens,
    passwords: Passwords,
    failures: Throttle,
    ticket_lifetime: Duration,
}

impl Auth {
    /// Over a store. Mints the secrets that the store does not have yet.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn new(store: Store, config: &Config) -> Result<Self> {
        let tokens =
            Tokens::open(&store, Duration::from_secs(u64::from(config.auth.access_token_minutes) * 60)).await?;
        Ok(Self(Arc::new(Inner {
            origins: Origins::new(config.server.public_url.clone(), config.auth.allowed_origins.clone()),
            tokens,
            passwords: Passwords::new().await?,
            failures: Throttle::new(config.auth.sign_in_failures_per_minute, Duration::from_secs(60)),
            ticket_lifetime: Duration::from_secs(u64::from(config.auth.ticket_seconds)),
            store,
        })))
    }

    /// The origins whose pages may use cookies.
    #[must_use]
    pub fn origins(&self) -> &Origins {
        &self.0.origins
    }

    /// Who calls.
    ///
    /// # Errors
    /// [`Refusal`], with the reason.
    pub async fn authenticate(&self, parts: &Parts) -> Result<Identity, Refusal> {
        if let Some(ticket) = ticket(&parts.headers) {
            return self.by_ticket(ticket).await;
        }
        if let Some(token) = bearer(&parts.headers)? {
            return self.by_token(token).await;
        }
        let Some(key) = session_key(parts) else { return Err(Refusal::Unauthorized("no credentials were given")) };
        self.origins().check(&parts.headers)?;
        self.by_session(key).await
    }

    /// Whose session's cookie it is, whatever page led here: for what only reads and answers with a page.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn visitor(&self, parts: &Parts) -> Result<Option<Identity>> {
        let Some(key) = session_key(parts) else { return Ok(None) };
        match self.by_session(key).await {
            Ok(identity) => Ok(Some(identity)),
            Err(Refusal::Failed(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The person as they are now: an identity given earlier still holds, with the rights of this moment.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] once the session ended, the account went or the time ran out.
    pub async fn still(&self, identity: &Identity) -> Result<User, Refusal> {
        if identity.expires_at <= now_ms() {
            return Err(Refusal::Unauthorized("the credentials have run out"));
        }
        match identity.session() {
            Some(key) => Ok(self.by_session(key.to_owned()).await?.user),
            None => self.known(identity.user.id).await,
        }
    }

    /// Checks an address and a password; `peer` is where they came from. Answers the same, in the same time, whether the
    /// account or the password is wrong.
    ///
    /// # Errors
    /// `Ok(None)` where they are wrong; `rate_limited` after too many of those.
    pub async fn sign_in(&self, email: &str, password: &str, peer: IpAddr) -> Result<Option<User>> {
        let email = accounts::normal(email);
        let attempt = self.0.failures.begin(peer, &email).map_err(too_many)?;
        let found = accounts::with_hash(&self.0.store, &email).await?;
        let hash = found.as_ref().map(|(_, hash)| hash.as_str());
        let right = self.0.passwords.verify(password, hash).await?;
        Ok(found.filter(|_| right).map(|(user, _)| {
            attempt.succeeded();
            user
        }))
    }

    /// A person by id.
    async fn known(&self, id: UserId) -> Result<User, Refusal> {
        accounts::by_id(&self.0.store, id).await?.ok_or(Refusal::Unauthorized("the account no longer exists"))
    }

    async fn by_session(&self, key: String) -> Result<Identity, Refusal> {
        let found = sessions::user(&self.0.store, &key).await?;
        let (user, expires_at) = found.ok_or(Refusal::Unauthorized("the session has ended"))?;
        Ok(Identity { user, via: Via::Cookie { session: key }, expires_at })
    }

    async fn by_token(&self, token: &str) -> Result<Identity, Refusal> {
        let (id, expires_at) =
            self.0.tokens.read(token).ok_or(Refusal::Unauthorized("the access token is not valid or has run out"))?;
        Ok(Identity { user: self.known(id).await?, via: Via::Bearer, expires_at })
    }

    async fn by_ticket(&self, ticket: &str) -> Result<Identity, Refusal> {
        let used = tickets::redeem(&self.0.store, ticket).await?;
        let (id, session) = used.ok_or(Refusal::Unauthorized("the ticket is not valid, was used or has run out"))?;
        match session {
            Some(key) => {
                let identity = self.by_session(key.clone()).await?;
                Ok(Identity { via: Via::Ticket { session: Some(key) }, ..identity })
            }
            None => {
                let expires_at = now_ms() + self.0.tokens.lifetime_ms();
                Ok(Identity { user: self.known(id).await?, via: Via::Ticket { session: None }, expires_at })
            }
        }
    }

    /// An access token and the seconds it holds.
    ///
    /// # Errors
    /// Where signing fails.
    pub fn mint_token(&self, user: UserId) -> Result<(String, u64)> {
        self.0.tokens.mint(user)
    }

    /// A ticket for whoever this is, and the seconds it holds.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn mint_ticket(&self, identity: &Identity) -> Result<(String, u64)> {
        let lifetime = self.0.ticket_lifetime;
        Ok((tickets::mint(&self.0.store, identity, lifetime).await?, lifetime.as_secs()))
    }

    /// Makes an account.
    ///
    /// # Errors
    /// `invalid_payload` for what is not allowed, `conflict` where the address has an account.
    pub async fn add(&self, account: NewAccount) -> Result<User> {
        let (account, hash) = self.prepared(account).await?;
        accounts::insert(&self.0.store, account, hash).await
    }

    /// Every account, the oldest first.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn users(&self) -> Result<Vec<User>> {
        accounts::all(&self.0.store).await
    }

    /// The person of this id or this address.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn find(&self, id_or_email: &str) -> Result<Option<UserId>> {
        let found = match id_or_email.parse() {
            Ok(id) => accounts::by_id(&self.0.store, id).await?,
            Err(_) => accounts::with_hash(&self.0.store, &accounts::normal(id_or_email)).await?.map(|(user, _)| user),
        };
        Ok(found.map(|user| user.id))
    }

    /// Gives a person another role and ends their sessions.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the last administrator.
    pub async fn set_role(&self, email: &str, role: Role) -> Result<User> {
        accounts::set_role(&self.0.store, email, role).await
    }

    /// Deletes a person with everything of theirs in the store. Answers their threads, whose files the caller deletes.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the last administrator.
    pub async fn remove(&self, email: &str) -> Result<(User, Vec<ThreadId>)> {
        accounts::remove(&self.0.store, email).await
    }

    /// Those of these sessions that are live, with their people and those people's roles.
    pub(crate) async fn sessions_held(&self, keys: &[Arc<str>]) -> Result<HashMap<String, (UserId, Role)>> {
        sessions::held(&self.0.store, keys).await
    }

    /// Those of these people who have an account, with their roles.
    pub(crate) async fn users_held(&self, users: &[UserId]) -> Result<HashMap<UserId, Role>> {
        accounts::held(&self.0.store, users).await
    }

    /// Whether the first administrator is still to be made.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn needs_setup(&self) -> Result<bool> {
        setup::is_needed(&self.0.store).await
    }

    /// The token that makes the first administrator, while there is none: the given one, else a new one. Only its digest is
    /// kept, so each start replaces the one before.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn setup_token(&self, preset: Option<String>) -> Result<Option<String>> {
        setup::arm(&self.0.store, preset).await
    }

    /// Makes the first administrator, once.
    ///
    /// # Errors
    /// `conflict` once there is an account, `forbidden` for a wrong token, `invalid_payload`, `rate_limited`.
    pub async fn setup(&self, token: &str, account: NewAccount, peer: IpAddr) -> Result<User> {
        let attempt = self.0.failures.begin(peer, "").map_err(too_many)?;
        setup::check(&self.0.store, token).await?;
        attempt.succeeded();
        let (account, hash) = self.prepared(account).await?;
        setup::complete(&self.0.store, account, hash).await
    }

    async fn prepared(&self, account: NewAccount) -> Result<(NewAccount, String)> {
        let account = account.checked()?;
        let hash = self.0.passwords.hash(&account.password).await?;
        Ok((account, hash))
    }

    /// Forgets sessions and tickets that have run out; answers how many sessions.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn sweep(&self) -> Result<u64> {
        tickets::sweep(&self.0.store).await?;
        sessions::sweep(&self.0.store).await
    }
}

/// The key of the session whose cookie came with the request.
fn session_key(parts: &Parts) -> Option<String> {
    parts.extensions.get::<Session>().and_then(session_key_of)
}

fn too_many(wait: Duration) -> Error {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let body = crate::protocol::ErrorBody::new(
        ErrorCode::RateLimited,
        format!("too many failed attempts; wait {} seconds", ms.div_ceil(1000)),
    );
    body.retry_after(ms).into()
}

/// The ticket among the subprotocols, where the first is ours.
fn ticket(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    offered.next().filter(|first| first.trim() == PROTOCOL)?;
    offered.find_map(|protocol| protocol.trim().strip_prefix(TICKET_PREFIX))
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Refusal::Unauthorized("the Authorization header is no `Bearer` token")),
    }
}

/// 256 random bits, in hexadecimal.
fn secret() -> String {
    hex(&rand::random::<[u8; 32]>())
}

/// What of a secret is kept.
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
