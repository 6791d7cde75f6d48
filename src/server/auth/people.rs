//! What is done with accounts: signing in, making and changing them, the first administrator.

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
    /// Checks an address and a password; `peer` is where they came from. Answers the same, in the same time, whether the
    /// account or the password is wrong.
    ///
    /// # Errors
    /// `Ok(None)` where they are wrong; `rate_limited`, with the time to wait, after too many of those.
    pub async fn sign_in(&self, email: &str, password: &str, peer: IpAddr) -> Result<Option<User>> {
        let email = accounts::normal(email);
        let attempt = self.0.failures.begin(peer, &email).map_err(too_many)?;
        attempt.slow_down().await.map_err(too_many)?;
        match self.verified(&email, password).await {
            Ok(Some(user)) => {
                attempt.succeeded();
                Ok(Some(user))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                attempt.take_back();
                Err(error)
            }
        }
    }

    /// Whose address and password it is.
    async fn verified(&self, email: &str, password: &str) -> Result<Option<User>> {
        let found = accounts::with_hash(&self.0.store, email).await?;
        let hash = found.as_ref().map(|(_, hash)| hash.as_str());
        let right = self.0.passwords.verify(password, hash).await?;
        Ok(found.filter(|_| right).map(|(user, _)| user))
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

    /// Gives a person another role and ends their sessions and tokens.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the last administrator.
    pub async fn set_role(&self, email: &str, role: Role) -> Result<User> {
        accounts::set_role(&self.0.store, email, role).await
    }

    /// Gives a person who shows their password another one. Ends their other sessions and all tokens; of a session's cookie
    /// that session goes on. Answers whether the password they showed is theirs. Closing the sockets is the caller's.
    ///
    /// # Errors
    /// `invalid_payload` for a password that is not taken; `rate_limited` after too many wrong ones.
    pub async fn change_password(&self, identity: &Identity, shown: &str, new: &str, peer: IpAddr) -> Result<bool> {
        let user = &identity.user;
        strength::check(new, &[&user.email, &user.name]).await?;
        if shown == new {
            return Err(Error::refused(ErrorCode::InvalidPayload, "this is the password that you have; take another"));
        }
        if self.sign_in(&user.email, shown, peer).await?.is_none() {
            return Ok(false);
        }
        let keep = match &identity.via {
            Via::Cookie { session } => Some(session.as_str()),
            Via::Bearer { .. } | Via::Ticket { .. } => None,
        };
        self.keep_password(user.id, new, keep).await?;
        Ok(true)
    }

    /// Gives a person another password and ends all their sessions and tokens.
    ///
    /// # Errors
    /// `not_found`; `invalid_payload` for a password that is not taken.
    pub async fn set_password(&self, email: &str, new: &str) -> Result<User> {
        let user = accounts::by_email(&self.0.store, email).await?;
        strength::check(new, &[&user.email, &user.name]).await?;
        self.keep_password(user.id, new, None).await?;
        Ok(user)
    }

    async fn keep_password(&self, user: UserId, new: &str, keep: Option<&str>) -> Result<()> {
        let hash = self.0.passwords.hash(new).await?;
        let mut tx = self.0.store.begin().await?;
        let sql = "UPDATE users SET password_hash = $2 WHERE id = $1";
        sqlx::query(sql).bind(user.to_string()).bind(hash).execute(&mut *tx).await?;
        sessions::end_all(&mut tx, user, keep).await?;
        Ok(tx.commit().await?)
    }

    /// Deletes a person with everything of theirs in the store. Answers their threads, whose files the caller deletes.
    ///
    /// # Errors
    /// `not_found`; `conflict` for the last administrator.
    pub async fn remove(&self, email: &str) -> Result<(User, Vec<ThreadId>)> {
        accounts::remove(&self.0.store, email).await
    }

    /// Whether the first administrator is still to be made.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn needs_setup(&self) -> Result<bool> {
        setup::is_needed(&self.0.store).await
    }

    /// The token that makes the first administrator, while there is none: the one that this process was given, else the
    /// store's, which is the same for all servers over it until it is used.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn setup_token(&self, preset: Option<String>) -> Result<Option<String>> {
        let Some(kept) = setup::token(&self.0.store).await? else { return Ok(None) };
        let preset = preset.filter(|token| !token.is_empty());
        Ok(Some(preset.map_or(kept, |preset| self.0.setup_preset.get_or_init(|| preset).clone())))
    }

    /// Makes the first administrator, once.
    ///
    /// # Errors
    /// `conflict` once there is an account, `forbidden` for a wrong token, `invalid_payload`, `rate_limited`.
    pub async fn setup(&self, token: &str, account: NewAccount, peer: IpAddr) -> Result<User> {
        let attempt = self.0.failures.begin(peer, "").map_err(too_many)?;
        setup::check(&self.0.store, token, self.0.setup_preset.get().map(String::as_str)).await?;
        attempt.succeeded();
        let (account, hash) = self.prepared(account).await?;
        setup::complete(&self.0.store, account, hash).await
    }

    async fn prepared(&self, account: NewAccount) -> Result<(NewAccount, String)> {
        let account = account.checked()?;
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
