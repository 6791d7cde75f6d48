//! What the two databases say differently: everything else is one dialect.

use std::time::Duration;

use sqlx::{Any, AnyConnection, AnyPool, Connection, any::AnyPoolOptions};
use tokio::time::timeout;

/// How many connections read at once.
const READERS: u32 = 4;
/// How many write at once on PostgreSQL; SQLite has one writer, and a second would only wait.
const WRITERS: u32 = 4;
/// How long a statement waits for its turn before the store counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which database the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file of this machine, for one server.
    Sqlite,
    /// A server of its own, for as many as like.
    Postgres,
}

impl Engine {
    /// The engine that a URL names.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// How many transactions write at once.
    #[must_use]
    pub fn writers(self) -> u32 {
        match self {
            Self::Sqlite => 1,
            Self::Postgres => WRITERS,
        }
    }

    /// A place for the value that is bound next, the `number`th, in a statement of many. To SQLite `$1` is a name, which it
    /// looks for among all the others.
    pub(crate) fn place(self, number: usize) -> String {
        match self {
            Self::Sqlite => "?".to_owned(),
            Self::Postgres => format!("${number}"),
        }
    }

    /// Ends a `SELECT` whose rows nobody else may change until this transaction ends. SQLite has one writer at a time.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Ends a `SELECT` whose rows others may read so, too, and nobody may change until this transaction ends.
    pub(crate) fn for_share(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE",
        }
    }

    /// Ends a `SELECT` of a row by which transactions take turns; others may still refer to the row meanwhile.
    pub(crate) fn for_no_key_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR NO KEY UPDATE",
        }
    }

    /// The store's own clock, in milliseconds since 1970: what nodes whose clocks differ agree on.
    pub(crate) fn now(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS BIGINT)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(self) -> &'static str {
        match self {
            // At once: a transaction that reads first and then writes would fail if another process wrote between.
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Begins a transaction that sees one moment.
    pub(super) fn begin_reading(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Said first on every connection.
    fn greeting(self) -> &'static str {
        match self {
            Self::Sqlite => {
                // A cache of 32 MiB and a checkpoint every 64 MiB of log: with the defaults (2 and 4) half of an append's time
                // went into reading and writing the same pages over and over.
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000; \
                 PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 16384; \
                 PRAGMA temp_store = MEMORY;"
            }
            // Whatever hangs there ends, so that nothing here waits for ever.
            Self::Postgres => {
                "SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
                 SET idle_in_transaction_session_timeout = '30s'; SET client_min_messages = 'warning';"
            }
        }
    }

    pub(super) async fn readers(self, url: &str) -> sqlx::Result<AnyPool> {
        self.pool(READERS).connect(url).await
    }

    pub(super) async fn writer(self, url: &str) -> sqlx::Result<AnyPool> {
        self.pool(self.writers()).connect(url).await
    }

    fn pool(self, size: u32) -> sqlx::pool::PoolOptions<Any> {
        let greeting = self.greeting();
        AnyPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(PATIENCE)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(greeting).execute(connection).await?;
                    Ok(())
                })
            })
            .after_release(|connection, _| Box::pin(is_clean(connection)))
    }
}

/// Whether a connection may be used again: one that is still in a transaction is closed, and the pool opens another. However a
/// transaction ended (with an error, a cancelled future or a panic), its connection comes by here.
///
/// sqlx counts a transaction as open until its `COMMIT` or `ROLLBACK` succeeded. SQLite itself rolls back where the disk is full
/// or fails; the `ROLLBACK` that follows is an error then, and the count would stay for ever.
async fn is_clean(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    if connection.is_in_transaction() {
        // A rollback may be under way: whatever was begun before this is over when it answers.
        timeout(PATIENCE, connection.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    }
    Ok(!connection.is_in_transaction())
}
