//! Creates the first administrator, once, for the person who has the setup token that the server prints.
//!
//! The token is stored, the same at each start and for all nodes until it is used. It is stored in the clear, like the key that
//! signs access tokens: hashing it would not protect against somebody who can read the store.

use super::accounts::{self, NewAccount};
use crate::{
    protocol::{ErrorCode, http::User},
    server::{
        error::{Error, Result},
        store::Store,
    },
};

const SETTING: &str = "setup_secret";

pub(super) async fn is_needed(store: &Store) -> Result<bool> {
    Ok(sqlx::query("SELECT 1 FROM users LIMIT 1").fetch_optional(store.reader()).await?.is_none())
}

/// The stored token, created if there is none; nothing once there is an account.
pub(super) async fn token(store: &Store) -> Result<Option<String>> {
    if !is_needed(store).await? {
        return Ok(None);
    }
    Ok(Some(store.setting_or(SETTING, &super::secret()).await?))
}

/// Checks that a token is the stored one or `preset`, and that there is no account yet.
pub(super) async fn check(store: &Store, token: &str, preset: Option<&str>) -> Result<()> {
    if !is_needed(store).await? {
        return Err(already_set_up());
    }
    let stored = store.setting(SETTING).await?;
    // Digests are compared, so that the time this takes reveals nothing about the token.
    let shown = super::digest(token);
    if ![stored.as_deref(), preset].into_iter().flatten().any(|right| super::digest(right) == shown) {
        let message = "this setup token is not the one in the link that the server printed when it started";
        return Err(Error::refused(ErrorCode::Forbidden, message));
    }
    Ok(())
}

/// Creates the administrator, unless another request did meanwhile.
pub(super) async fn complete(store: &Store, account: NewAccount, hash: String) -> Result<User> {
    let mut tx = store.begin().await?;
    // Of several requests, on any nodes, only one deletes the token.
    let deleted = sqlx::query("DELETE FROM settings WHERE key = $1").bind(SETTING).execute(&mut *tx).await?;
    let people: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users").fetch_one(&mut *tx).await?;
    if deleted.rows_affected() == 0 || people > 0 {
        return Err(already_set_up());
    }
    let user = accounts::insert_with(&mut *tx, account, hash).await?;
    tx.commit().await?;
    Ok(user)
}

fn already_set_up() -> Error {
    Error::refused(ErrorCode::Conflict, "this server has been set up already; sign in")
}
