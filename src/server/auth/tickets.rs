//! Tickets: each opens one WebSocket, also for a page of another origin, and ends with the session that requested it. Only digests
//! are stored.

use std::time::Duration;

use super::Identity;
use crate::server::{
    clock::now_ms,
    error::Result,
    store::{Store, row},
};

/// The most unused tickets of a person; one more replaces the one that expires first.
const MAX_TICKETS: i64 = 100;

pub(super) async fn mint(store: &Store, identity: &Identity, lifetime: Duration) -> Result<String> {
    let ticket = super::secret();
    let mut tx = store.begin().await?;
    sqlx::query("INSERT INTO tickets (hash, user_id, session_id, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(super::digest(&ticket))
        .bind(identity.user.id)
        .bind(identity.session())
        .bind(now_ms() + i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX))
        .execute(&mut *tx)
        .await?;
    let surplus = "DELETE FROM tickets WHERE hash IN (SELECT hash FROM tickets WHERE user_id = $1 \
                   ORDER BY expires_at DESC, hash LIMIT 1000000 OFFSET $2)";
    sqlx::query(surplus).bind(identity.user.id).bind(MAX_TICKETS).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(ticket)
}

/// Uses a ticket; returns the key of the session that requested it. One statement reads and deletes it, so it cannot be used twice.
pub(super) async fn redeem(store: &Store, ticket: &str) -> Result<Option<String>> {
    row! { struct Row { session_id: Option<String>, expires_at: i64 } }
    let mut tx = store.begin().await?;
    let row: Option<Row> = sqlx::query_as("DELETE FROM tickets WHERE hash = $1 RETURNING session_id, expires_at")
        .bind(super::digest(ticket))
        .fetch_optional(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(row.filter(|row| row.expires_at > now_ms()).and_then(|row| row.session_id))
}

pub(super) async fn sweep(store: &Store) -> Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query("DELETE FROM tickets WHERE expires_at <= $1").bind(now_ms()).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}
