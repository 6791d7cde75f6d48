//! The nodes that share a store, and their leases.
//!
//! A node renews its lease regularly. A node whose lease has expired counts as dead, even if it is not: [`Leases::claim`] makes another
//! node the owner of its runs, and it can no longer append to them, since each append checks the owner in its transaction. Leases
//! use the database's clock, so the clocks of nodes may differ.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::{
    channel::Channels,
    error::Result,
    outage::Outage,
    store::{Engine, Store, row},
    threads::RunOrder,
};
use crate::protocol::{RunId, ThreadId, UserId};

/// How long the row of a dead node is kept for inspection, in milliseconds.
const DEAD_NODE_TTL_MS: i64 = 24 * 3600 * 1000;

/// The columns of [`RunRow`].
const RUN_COLUMNS: &str = "id, thread_id, owner, requested_by, agent, turn, seq, started_at, stop_at";

/// This node's lease, and its view of the others.
#[derive(Debug, Clone)]
pub struct Leases {
    store: Store,
    id: String,
    name: String,
    /// The longest time until other nodes have taken over this one's runs after its death.
    takeover: Duration,
}

/// A run of this node that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// The owner of the thread.
    pub owner: UserId,
    /// Who requested it.
    pub requested_by: UserId,
    /// The agent that runs.
    pub agent: String,
    /// Its order among the runs of its thread.
    pub order: RunOrder,
    /// When it was requested, in milliseconds since 1970.
    pub started_at: i64,
    /// Whether it is to be stopped.
    pub stopped: bool,
}

impl Leases {
    /// The leases as this node sees them. `name` is for people. Other nodes take over this node's runs within `takeover` after its death.
    #[must_use]
    pub fn new(channels: &Channels, name: impl Into<String>, takeover: Duration) -> Self {
        Self { store: channels.store().clone(), id: channels.node().to_owned(), name: name.into(), takeover }
    }

    /// How often to call [`Self::renew`] and [`Self::claim`].
    #[must_use]
    pub fn renew_interval(&self) -> Duration {
        self.takeover / 5
    }

    /// Renews the lease, or creates it. It holds for three intervals; other nodes detect its expiry in the fourth, and have the fifth to
    /// end the runs.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn renew(&self) -> Result<()> {
        let renewed = self.write_lease().await;
        // The lease may fit on a disk that is full for everything else, so after an outage a larger write is tried as well.
        let written = match &renewed {
            Ok(()) if Outage::is_suspected() => self.store.try_write().await,
            _ => Ok(()),
        };
        if renewed.is_ok() && written.is_ok() {
            Outage::clear();
        }
        self.store.record_write(if renewed.is_err() { &renewed } else { &written });
        renewed
    }

    async fn write_lease(&self) -> Result<()> {
        let sql = format!(
            "INSERT INTO nodes (id, name, lease_until) VALUES ($1, $2, {now} + $3) \
             ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until",
            now = self.store.engine().now(),
        );
        let lease = i64::try_from((self.renew_interval() * 3).as_millis()).unwrap_or(i64::MAX);
        let mut tx = self.store.begin().await?;
        sqlx::query(AssertSqlSafe(sql)).bind(&self.id).bind(&self.name).bind(lease).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Releases the lease: other nodes may take over this node's runs at once.
    ///
    /// # Errors
    /// If the store fails; the lease then expires.
    pub async fn release(&self) -> Result<()> {
        let mut tx = self.store.begin().await?;
        sqlx::query("DELETE FROM nodes WHERE id = $1").bind(&self.id).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// On SQLite, ends the leases of all other nodes: a file has one server at a time. Call it at start-up, before the first lease.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end_others(&self) -> Result<()> {
        if self.store.engine() == Engine::Sqlite {
            let mut tx = self.store.begin().await?;
            sqlx::query("DELETE FROM nodes WHERE id <> $1").bind(&self.id).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Takes over the open runs of nodes whose lease has expired.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn claim(&self) -> Result<Vec<OpenRun>> {
        let now = self.store.engine().now();
        // Only rows that still have the dead node: if two nodes claim at once, the second finds the first in them.
        let claim = format!(
            "UPDATE runs SET node = $1 FROM (SELECT id AS run, node AS dead FROM runs WHERE ended_at IS NULL AND node <> $1 \
             AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = runs.node AND n.lease_until > {now})) AS left_over \
             WHERE id = run AND node = dead AND ended_at IS NULL RETURNING {RUN_COLUMNS}",
        );
        let delete_dead = format!("DELETE FROM nodes WHERE lease_until < {now} - $1");
        let mut tx = self.store.begin().await?;
        let runs: Vec<RunRow> = sqlx::query_as(AssertSqlSafe(claim)).bind(&self.id).fetch_all(&mut *tx).await?;
        sqlx::query(AssertSqlSafe(delete_dead)).bind(DEAD_NODE_TTL_MS).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(runs.into_iter().map(OpenRun::from).collect())
    }

    /// This node's open runs.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn open_runs(&self) -> Result<Vec<OpenRun>> {
        let sql = format!("SELECT {RUN_COLUMNS} FROM runs WHERE ended_at IS NULL AND node = $1 ORDER BY id");
        let runs: Vec<RunRow> =
            sqlx::query_as(AssertSqlSafe(sql)).bind(&self.id).fetch_all(self.store.reader()).await?;
        Ok(runs.into_iter().map(OpenRun::from).collect())
    }
}

row! {
    struct RunRow {
        id: RunId,
        thread_id: ThreadId,
        owner: UserId,
        requested_by: Option<UserId>,
        agent: String,
        turn: i64,
        seq: i64,
        started_at: i64,
        stop_at: Option<i64>,
    }
}

impl From<RunRow> for OpenRun {
    fn from(row: RunRow) -> Self {
        Self {
            run_id: row.id,
            thread_id: row.thread_id,
            owner: row.owner,
            requested_by: row.requested_by.unwrap_or(row.owner),
            agent: row.agent,
            order: RunOrder { turn: row.turn.cast_unsigned(), seq: row.seq.cast_unsigned() },
            started_at: row.started_at,
            stopped: row.stop_at.is_some(),
        }
    }
}
