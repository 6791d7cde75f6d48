//! The first administrator: whoever has the token that the server printed, once.
//!
//! The token is the store's, the same at each start and for all servers over it, until it is used. It is kept as it is, as the
//! key is that signs access tokens: whoever can read the store needs no token to make an account.

use sqlx::Row;

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

/// The store's token, made where there is none yet; nothing once the first administrator is there.
pub(super) async fn token(store: &Store) -> Result<Option<String>> {
    if !is_needed(store).await? {
        return Ok(None);
    }
    Ok(Some(store.setting_or(SETTING, &super::secret()).await?))
}

/// Whether the token is the store's or the one that this process was given, and still of use.
pub(super) async fn check(store: &Store, token: &str, preset: Option<&str>) -> Result<()> {
    if !is_needed(store).await? {
        return Err(done());
    }
    let kept = store.setting(SETTING).await?;
    // Digests are compared, so the time it takes tells nothing about the token.
    let shown = super::digest(token);
    if ![kept.as_deref(), preset].into_iter().flatten().any(|right| super::digest(right) == shown) {
        let message = "this setup token is not the one in the link that the server printed when it started";
        return Err(Error::refused(ErrorCode::Forbidden, message));
    }
    Ok(())
}

/// Makes the administrator, unless somebody was quicker.
pub(super) async fn complete(store: &Store, account: NewAccount, hash: String) -> Result<User> {
    let mut tx = store.begin().await?;
    // Of several, on whatever nodes, one deletes it.
    let mine = sqlx::query("DELETE FROM settings WHERE key = $1").bind(SETTING).execute(&mut *tx).await?;
    let people: i64 = sqlx::query("SELECT COUNT(*) FROM users").fetch_one(&mut *tx).await?.try_get(0)?;
    if mine.rows_affected() == 0 || people > 0 {
        return Err(done());
    }
    let user = accounts::insert_with(&mut *tx, account, hash).await?;
    tx.commit().await?;
    Ok(user)
}

fn done() -> Error {
    Error::refused(ErrorCode::Conflict, "this server has been set up already; sign in")
}
