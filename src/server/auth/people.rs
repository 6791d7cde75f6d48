//! Actions on accounts: signing in, creating and changing them, and the first administrator.

use std::{net::IpAddr, time::Duration};

use super::{Auth, Identity, NewAccount, Via, accounts, sessions, setup, strength};
use crate::{
    protocol::{
        ErrorBody, ErrorCode, ThreadId, UserId,
        http::{Role, User},
    },
    server::error::{Error, Result},
};

impl Auth {
    /// Checks an e-mail address and a password; `peer` is the address of the caller. Returns nothing if one of them is wrong; which one
    /// cannot be told from the answer or its time.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait, after too many failures.
    pub async fn sign_in(&self, email: &str, password: &str, peer: IpAddr) -> Result<Option<User>> {
        let email = accounts::normalise(email);
        let attempt = self.0.failures.begin(peer, &email).map_err(too_many)?;
        attempt.wait().await.map_err(too_many)?;
        match self.verify(&email, password).await {
            Ok(Some(user)) => {
                attempt.succeeded();
                Ok(Some(user))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                attempt.uncount();
                Err(error)
            }
        }
    }

    /// The person with this address and password.
    async fn verify(&self, email: &str, password: &str) -> Result<Option<User>> {
        let found = accounts::with_hash(&self.0.store, email).await?;
        let hash = found.as_ref().map(|(_, hash)| hash.as_str());
        let right = self.0.passwords.verify(password, hash).await?;
        Ok(found.filter(|_| right).map(|(user, _)| user))
    }

    /// Creates an account.
    ///
    /// # Errors
    /// `invalid_payload` for an invalid address, name or password; `conflict` if the address has an account.
    pub async fn add(&self, account: NewAccount) -> Result<User> {
        let (account, hash) = self.prepare(account).await?;
        accounts::insert(&self.0.store, account, hash).await
    }

    /// All accounts, oldest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn users(&self) -> Result<Vec<User>> {
        accounts::all(&self.0.store).await
    }

    /// The person with this id or e-mail address.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find(&self, id_or_email: &str) -> Result<Option<UserId>> {
        let found = match id_or_email.parse() {
            Ok(id) => accounts::by_id(&self.0.store, id).await?,
            Err(_) => {
                accounts::with_hash(&self.0.store, &accounts::normalise(id_or_email)).await?.map(|(user, _)| user)
            }
        };
        Ok(found.map(|user| user.id))
    }

    /// Changes a person's role, and ends their sessions and tokens.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the last administrator.
    pub async fn set_role(&self, email: &str, role: Role) -> Result<User> {
        accounts::set_role(&self.0.store, &self.0.session_cache, email, role).await
    }

    /// Changes the caller's password; returns false if `current` is not their password. Ends their tokens and sessions, except the one
    /// that the caller's cookie is of. The caller closes the connections.
    ///
    /// # Errors
    /// `invalid_payload` if the new password is too weak or equals the current one; `rate_limited` after too many failures.
    pub async fn change_password(&self, identity: &Identity, current: &str, new: &str, peer: IpAddr) -> Result<bool> {
        let user = &identity.user;
        strength::check(new, &[&user.email, &user.name]).await?;
        if current == new {
            return Err(Error::refused(ErrorCode::InvalidPayload, "this is your current password; choose another"));
        }
        if self.sign_in(&user.email, current, peer).await?.is_none() {
            return Ok(false);
        }
        let keep = match &identity.via {
            Via::Cookie { session } => Some(session.as_str()),
            Via::Bearer { .. } | Via::Ticket { .. } => None,
        };
        self.store_password(user.id, new, keep).await?;
        Ok(true)
    }

    /// Sets a person's password, and ends all their sessions and tokens.
    ///
    /// # Errors
    /// `not_found`; `invalid_payload` if the password is too weak.
    pub async fn set_password(&self, email: &str, new: &str) -> Result<User> {
        let user = accounts::by_email(&self.0.store, email).await?;
        strength::check(new, &[&user.email, &user.name]).await?;
        self.store_password(user.id, new, None).await?;
        Ok(user)
    }

    async fn store_password(&self, user: UserId, new: &str, keep: Option<&str>) -> Result<()> {
        let hash = self.0.passwords.hash(new).await?;
        let mut tx = self.0.store.begin().await?;
        let sql = "UPDATE users SET password_hash = $2 WHERE id = $1";
        sqlx::query(sql).bind(user).bind(hash).execute(&mut *tx).await?;
        sessions::end_all(tx, &self.0.session_cache, user, keep).await?;
        Ok(())
    }

    /// Deletes a person and everything of theirs in the store; returns their threads, whose files the caller deletes.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the last administrator.
    pub async fn remove(&self, email: &str) -> Result<(User, Vec<ThreadId>)> {
        accounts::remove(&self.0.store, &self.0.session_cache, email).await
    }

    /// Whether there is no account yet, so that the first administrator can be created.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn needs_setup(&self) -> Result<bool> {
        setup::is_needed(&self.0.store).await
    }

    /// The token to create the first administrator with, if there is no account: `preset`, or else the store's, which is the same for
    /// all nodes until it is used.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn setup_token(&self, preset: Option<String>) -> Result<Option<String>> {
        let Some(stored) = setup::token(&self.0.store).await? else { return Ok(None) };
        let preset = preset.filter(|token| !token.is_empty());
        Ok(Some(preset.map_or(stored, |preset| self.0.setup_preset.get_or_init(|| preset).clone())))
    }

    /// Creates the first administrator.
    ///
    /// # Errors
    /// `conflict` if there is an account, `forbidden` for a wrong token, `invalid_payload`, `rate_limited`.
    pub async fn setup(&self, token: &str, account: NewAccount, peer: IpAddr) -> Result<User> {
        let attempt = self.0.failures.begin(peer, "").map_err(too_many)?;
        setup::check(&self.0.store, token, self.0.setup_preset.get().map(String::as_str)).await?;
        attempt.succeeded();
        let (account, hash) = self.prepare(account).await?;
        setup::complete(&self.0.store, account, hash).await
    }

    /// Checks a new account; returns it normalised, with the hash of its password.
    async fn prepare(&self, account: NewAccount) -> Result<(NewAccount, String)> {
        let account = account.normalised()?;
        strength::check(&account.password, &[&account.email, &account.name]).await?;
        let hash = self.0.passwords.hash(&account.password).await?;
        Ok((account, hash))
    }
}

fn too_many(wait: Duration) -> Error {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    let body =
        ErrorBody::new(ErrorCode::RateLimited, format!("too many failed attempts; wait {} seconds", ms.div_ceil(1000)));
    body.retry_after(ms).into()
}
