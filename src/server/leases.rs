//! The nodes that share a store, and the leases by which they know of each other's death.
//!
//! A node renews its lease five times before it would be over. One whose lease ran out counts as dead, whether it is or
//! not: [`Leases::claim`] takes its runs over in the store, and from then on nothing of them is its to append (each append
//! checks that in its own transaction). Leases are reckoned by the store's clock, so the nodes' own may differ.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Row};

use super::{
    channel::Channels,
    error::Result,
    outage::Outage,
    store::{Engine, Store},
    threads::Place,
};
use crate::protocol::{RunId, ThreadId, UserId};

/// How long a node that is gone stays in the books, in milliseconds: for whoever looks at them.
const KEEP_MS: i64 = 24 * 3600 * 1000;

/// What is read of an open run.
const COLUMNS: &str = "id, thread_id, owner, agent, turn, seq, started_at, stop_at";

/// This node among the others.
#[derive(Debug, Clone)]
pub struct Leases {
    store: Store,
    id: String,
    name: String,
    within: Duration,
}

/// A run of this node without an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRun {
    /// The run.
    pub run_id: RunId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Whose thread it is.
    pub owner: UserId,
    /// The agent that runs.
    pub agent: String,
    /// Where it stands among the runs of its thread.
    pub place: Place,
    /// When it was asked for, in milliseconds since 1970.
    pub started_at: i64,
    /// Somebody wants it stopped.
    pub stopped: bool,
}

impl Leases {
    /// This node, named for people, whose death the others notice `within` a time.
    #[must_use]
    pub fn new(channels: &Channels, name: impl Into<String>, within: Duration) -> Self {
        Self { store: channels.store().clone(), id: channels.node().to_owned(), name: name.into(), within }
    }

    /// How often to renew and to look after the others.
    #[must_use]
    pub fn turn(&self) -> Duration {
        self.within / 5
    }

    /// Renews the lease, or takes one. It holds for three turns: a death is noticed one turn after, and the fifth is for
    /// ending what was left.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn renew(&self) -> Result<()> {
        let renewed = self.write_lease().await;
        // The lease may fit where nothing else does: what somebody was refused for is tried until it works.
        let written = match &renewed {
            Ok(()) if Outage::is_suspected() => self.store.try_write().await,
            _ => Ok(()),
        };
        if renewed.is_ok() && written.is_ok() {
            Outage::clear();
        }
        self.store.note_write(if renewed.is_err() { &renewed } else { &written });
        renewed
    }

    async fn write_lease(&self) -> Result<()> {
        let sql = format!(
            "INSERT INTO nodes (id, name, lease_until) VALUES ($1, $2, {now} + $3) \
             ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until",
            now = self.store.engine().now(),
        );
        let lease = i64::try_from((self.turn() * 3).as_millis()).unwrap_or(i64::MAX);
        let mut tx = self.store.begin().await?;
        sqlx::query(AssertSqlSafe(sql)).bind(&self.id).bind(&self.name).bind(lease).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Gives the lease back: whatever is still this node's, others may take at once.
    ///
    /// # Errors
    /// Where the store fails; the lease then runs out.
    pub async fn leave(&self) -> Result<()> {
        let mut tx = self.store.begin().await?;
        sqlx::query("DELETE FROM nodes WHERE id = $1").bind(&self.id).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// For start-up, before the first lease: a file has one server at a time, so whoever was there before is dead.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn inherit(&self) -> Result<()> {
        if self.store.engine() == Engine::Sqlite {
            let mut tx = self.store.begin().await?;
            sqlx::query("DELETE FROM nodes WHERE id <> $1").bind(&self.id).execute(&mut *tx).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Takes over the open runs of nodes whose lease ran out.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn claim(&self) -> Result<Vec<OpenRun>> {
        let now = self.store.engine().now();
        // By the node that was found dead: where two claim at once, the second finds the first one's name there.
        let claim = format!(
            "UPDATE runs SET node = $1 FROM (SELECT id AS run, node AS dead FROM runs WHERE ended_at IS NULL AND node <> $1 \
             AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = runs.node AND n.lease_until > {now})) AS left_over \
             WHERE id = run AND node = dead AND ended_at IS NULL RETURNING {COLUMNS}",
        );
        let forget = format!("DELETE FROM nodes WHERE lease_until < {now} - $1");
        let mut tx = self.store.begin().await?;
        let rows = sqlx::query(AssertSqlSafe(claim)).bind(&self.id).fetch_all(&mut *tx).await?;
        sqlx::query(AssertSqlSafe(forget)).bind(KEEP_MS).execute(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(open_run).collect()
    }

    /// This node's open runs.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn open_runs(&self) -> Result<Vec<OpenRun>> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE ended_at IS NULL AND node = $1 ORDER BY id");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&self.id);
        query.fetch_all(self.store.reader()).await?.iter().map(open_run).collect()
    }
}

fn open_run(row: &sqlx::any::AnyRow) -> Result<OpenRun> {
    let text = |index| -> Result<String> { Ok(row.try_get(index)?) };
    let number = |index| -> Result<u64> { Ok(row.try_get::<i64, _>(index)?.cast_unsigned()) };
    Ok(OpenRun {
        run_id: text(0)?.parse()?,
        thread_id: text(1)?.parse()?,
        owner: text(2)?.parse()?,
        agent: text(3)?,
        place: Place { turn: number(4)?, seq: number(5)? },
        started_at: row.try_get(6)?,
        stopped: row.try_get::<Option<i64>, _>(7)?.is_some(),
    })
}
