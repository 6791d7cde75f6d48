//! The entries of agents that administrators added, in the store.
//!
//! The other nodes are notified of a change; each also reads the entries every ten seconds, in case it missed one.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::AgentRegistry;
use crate::server::{
    clock::now_ms,
    config::agents::AgentEntry,
    error::Result,
    store::{Store, row},
};

/// How often the store is read without a notification.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// All entries with their ids, in the order in which they were added.
///
/// # Errors
/// If the store fails.
pub async fn entries(store: &Store) -> Result<Vec<(String, AgentEntry)>> {
    row! { struct Row { id: String, entry: String } }
    let query = sqlx::query_as("SELECT id, entry FROM agents ORDER BY updated_at, id");
    let rows: Vec<Row> = query.fetch_all(store.reader()).await?;
    Ok(rows.into_iter().map(|Row { id, entry }| (id, decode(&entry))).collect())
}

/// The entry with this id, if there is one.
///
/// # Errors
/// If the store fails.
pub async fn entry(store: &Store, id: &str) -> Result<Option<AgentEntry>> {
    let query = sqlx::query_scalar::<_, String>("SELECT entry FROM agents WHERE id = $1").bind(id.to_owned());
    Ok(query.fetch_optional(store.reader()).await?.as_deref().map(decode))
}

/// Decodes an entry. One that cannot be parsed becomes an empty one, which is listed as disabled.
fn decode(entry: &str) -> AgentEntry {
    serde_json::from_str(entry).unwrap_or_default()
}

/// Adds an entry, or replaces the one with this id.
///
/// # Errors
/// If the store fails.
pub async fn put(store: &Store, id: &str, entry: &AgentEntry) -> Result<()> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "INSERT INTO agents (id, entry, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET entry = excluded.entry",
    )
    .bind(id.to_owned())
    .bind(serde_json::to_string(&entry.0)?)
    .bind(now_ms())
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Removes an entry; returns whether there was one.
///
/// # Errors
/// If the store fails.
pub async fn remove(store: &Store, id: &str) -> Result<bool> {
    let mut tx = store.begin().await?;
    let deleted = sqlx::query("DELETE FROM agents WHERE id = $1").bind(id.to_owned()).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(deleted.rows_affected() > 0)
}

/// Loads the entries into the registry.
///
/// # Errors
/// The store fails; the registry stays as it is.
pub async fn load(store: &Store, agents: &AgentRegistry) -> Result<()> {
    agents.set_stored(&entries(store).await?);
    Ok(())
}

/// Keeps the registry up to date with the store, until `stopping`.
pub async fn run(store: Store, registry: Arc<AgentRegistry>, stopping: CancellationToken) {
    loop {
        if let Err(error) = load(&store, &registry).await {
            tracing::warn!(%error, "the agents of administrators cannot be read");
        }
        let changed = tokio::time::timeout(RELOAD_INTERVAL, registry.agents().changed.notified());
        if stopping.run_until_cancelled(changed).await.is_none() {
            return;
        }
    }
}
