//! Tickets: each opens one socket, once, for a page of another origin. The store keeps digests only.

use std::time::Duration;

use sqlx::Row;

use super::Identity;
use crate::{
    protocol::UserId,
    server::{
        error::Result,
        store::{Store, now_ms},
    },
};

pub(super) async fn mint(store: &Store, identity: &Identity, lifetime: Duration) -> Result<String> {
    let ticket = super::secret();
    let mut tx = store.begin().await?;
    sqlx::query("INSERT INTO tickets (hash, user_id, session_id, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(super::digest(&ticket))
        .bind(identity.user.id.to_string())
        .bind(identity.session())
        .bind(now_ms() + i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(ticket)
}

/// Uses a ticket up: whose it is, and the session that asked for it. Deleting and reading are one statement, so two who
/// try at once cannot both have it.
pub(super) async fn redeem(store: &Store, ticket: &str) -> Result<Option<(UserId, Option<String>)>> {
    let mut tx = store.begin().await?;
    let row = sqlx::query("DELETE FROM tickets WHERE hash = $1 RETURNING user_id, session_id, expires_at")
        .bind(super::digest(ticket))
        .fetch_optional(&mut *tx)
        .await?;
    tx.commit().await?;
    let Some(row) = row.filter(|row| row.get::<i64, _>(2) > now_ms()) else { return Ok(None) };
    Ok(Some((row.try_get::<String, _>(0)?.parse()?, row.try_get(1)?)))
}

pub(super) async fn sweep(store: &Store) -> Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query("DELETE FROM tickets WHERE expires_at <= $1").bind(now_ms()).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}
