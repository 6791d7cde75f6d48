//! The first administrator: whoever has the token that the server printed, once.

use sqlx::Row;

use super::accounts::{self, NewAccount};
use crate::{
    protocol::{ErrorCode, http::User},
    server::{
        error::{Error, Result},
        store::Store,
    },
};

const SETTING: &str = "setup_token";

pub(super) async fn is_needed(store: &Store) -> Result<bool> {
    Ok(sqlx::query("SELECT 1 FROM users LIMIT 1").fetch_optional(store.reader()).await?.is_none())
}

pub(super) async fn arm(store: &Store, preset: Option<String>) -> Result<Option<String>> {
    if !is_needed(store).await? {
        return Ok(None);
    }
    let token = preset.filter(|token| !token.is_empty()).unwrap_or_else(super::secret);
    store.set(SETTING, &super::digest(&token)).await?;
    Ok(Some(token))
}

/// Whether the token is the right one, and still of use.
pub(super) async fn check(store: &Store, token: &str) -> Result<()> {
    if !is_needed(store).await? {
        return Err(done());
    }
    // Digests are compared, so the time it takes tells nothing about the token.
    if store.setting(SETTING).await?.is_none_or(|kept| kept != super::digest(token)) {
        let message = "this setup token is not the one that the server printed at its last start";
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
