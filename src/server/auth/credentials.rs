//! Sessions, access tokens and tickets: authenticating by them, creating and ending them.

use std::sync::Arc;

use axum::http::{HeaderMap, header};

use super::{Auth, Identity, Refusal, Via, sessions, tickets, tokens::TokenIdentity};
use crate::{
    protocol::{OFFERED_PROTOCOLS, TICKET_PREFIX, UserId, http::User},
    server::{
        clock::now_ms,
        error::{Error, Result},
    },
};

/// The lifetime of a token for one call of the command line, in milliseconds.
const SHORT_TOKEN_TTL_MS: i64 = 60_000;

/// Where a session is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The store, so that a session which another process ended is refused at once.
    Store,
    /// What this node has cached, and else the store: for sockets, which are closed when their session ends.
    Cache,
}

impl Auth {
    /// The user of a session that has not ended, and when it expires.
    pub(super) async fn by_session(&self, key: &str, source: Source) -> Result<(User, i64), Refusal> {
        self.find_session(key, source).await?.ok_or(Refusal::Unauthorized("the session has ended"))
    }

    async fn find_session(&self, key: &str, source: Source) -> Result<Option<(User, i64)>> {
        if let (Source::Cache, Some(cached)) = (source, self.0.session_cache.get(key)) {
            return Ok(Some(cached));
        }
        let (store, begun, key) = (self.0.store.clone(), self.0.session_cache.begin_read(), Arc::<str>::from(key));
        let read = move |keys| sessions::live(store.clone(), keys);
        let found = self.0.session_lookups.get(key.clone(), read).await?;
        if let Some((user, expires_at)) = &found {
            self.0.session_cache.put(begun, key, user.clone(), *expires_at);
        }
        Ok(found)
    }

    pub(super) async fn by_cookie(&self, session: String, source: Source) -> Result<Identity, Refusal> {
        let (user, expires_at) = self.by_session(&session, source).await?;
        Ok(Identity { user, via: Via::Cookie { session }, expires_at })
    }

    pub(super) async fn by_token(&self, token: &str, source: Source) -> Result<Identity, Refusal> {
        let refused = Refusal::Unauthorized("the access token is not valid, has expired or was revoked; sign in again");
        let Some(TokenIdentity { user: id, session }) = self.0.tokens.read(token) else { return Err(refused) };
        match self.find_session(&session, source).await? {
            Some((user, expires_at)) if user.id == id => {
                Ok(Identity { user, via: Via::Bearer { session }, expires_at })
            }
            _ => Err(refused),
        }
    }

    pub(super) async fn by_ticket(&self, ticket: &str) -> Result<Identity, Refusal> {
        let session = tickets::redeem(&self.0.store, ticket).await?;
        let session = session
            .ok_or(Refusal::Unauthorized("the ticket is not valid, was used before or has expired; request another"))?;
        let (user, expires_at) = self.by_session(&session, Source::Cache).await?;
        Ok(Identity { user, via: Via::Ticket { session }, expires_at })
    }

    /// Creates an access token for a person whose password was just checked; returns it with its lifetime in seconds.
    ///
    /// # Errors
    /// If the store or signing fails.
    pub async fn mint_token(&self, user: UserId) -> Result<(String, u64)> {
        let now = now_ms();
        self.token(user, None, now, now + self.0.tokens.lifetime_ms()).await
    }

    /// Creates an access token for one call that the command line makes for a person.
    ///
    /// # Errors
    /// If the store or signing fails.
    pub async fn mint_short_token(&self, user: UserId) -> Result<String> {
        let now = now_ms();
        Ok(self.token(user, None, now, now + SHORT_TOKEN_TTL_MS).await?.0)
    }

    /// Creates an access token that ends with the session of a cookie; returns it with its lifetime in seconds. A token cannot request
    /// another one, or a leaked one could be renewed for ever.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] for the identity of a token or ticket; [`Refusal::Unauthorized`] if the session ended meanwhile.
    pub async fn mint_session_token(&self, identity: &Identity) -> Result<(String, u64), Refusal> {
        let Via::Cookie { session } = &identity.via else {
            return Err(Refusal::Forbidden(
                "an access token cannot request another; sign in with the password, or request it with the session's cookie",
            ));
        };
        let now = now_ms();
        let until = identity.expires_at.min(now + self.0.tokens.lifetime_ms());
        let minted = self.token(identity.user.id, Some(session), now, until).await;
        minted.map_err(|error| match error {
            Error::Store(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                Refusal::Unauthorized("the session has ended")
            }
            error => error.into(),
        })
    }

    async fn token(&self, user: UserId, parent: Option<&str>, now: i64, until: i64) -> Result<(String, u64)> {
        let session = sessions::begin_token(&self.0.store, &self.0.session_cache, user, parent, until).await?;
        self.0.tokens.mint(user, &session, now, until)
    }

    /// Creates a ticket for a caller; returns it with its lifetime in seconds.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn mint_ticket(&self, identity: &Identity) -> Result<(String, u64)> {
        let lifetime = self.0.ticket_lifetime;
        Ok((tickets::mint(&self.0.store, identity, lifetime).await?, lifetime.as_secs()))
    }

    /// The keys of a session and of its tokens: when it ends, the connections of all of them are closed.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn session_family(&self, key: &str) -> Result<Vec<String>> {
        sessions::family(&self.0.store, key).await
    }

    /// Ends a session with its tokens and tickets. The caller closes the connections.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_session(&self, key: &str) -> Result<()> {
        sessions::end(&self.0.store, &self.0.session_cache, key).await
    }

    /// Ends all sessions of a person with their tokens and tickets; returns how many. The caller closes the connections.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_sessions(&self, user: UserId) -> Result<u64> {
        let tx = self.0.store.begin().await?;
        sessions::end_all(tx, &self.0.session_cache, user, None).await
    }
}

/// The ticket among the offered subprotocols, if one of them is Netra's.
pub(super) fn ticket(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = || offered.iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    offered().find(|protocol| OFFERED_PROTOCOLS.contains(&protocol.trim()))?;
    offered().find_map(|protocol| protocol.trim().strip_prefix(TICKET_PREFIX))
}

pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Refusal::Unauthorized("the Authorization header is not a `Bearer` token")),
    }
}
