//! Where SQLite and PostgreSQL differ: settings of connections, and a few pieces of SQL.

use std::time::Duration;

use sqlx::{Any, AnyConnection, AnyPool, Connection, any::AnyPoolOptions};
use tokio::time::timeout;

/// Connections for reading.
const READERS: u32 = 4;
/// Connections for writing on PostgreSQL. SQLite allows one writer at a time, so it gets one.
const POSTGRES_WRITERS: u32 = 4;
/// How long to wait for a free connection before the store counts as out of reach.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Which database the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file on this machine, for one node.
    Sqlite,
    /// A database server, for any number of nodes.
    Postgres,
}

impl Engine {
    /// The engine of a URL's scheme.
    #[must_use]
    pub fn from_url(url: &str) -> Option<Self> {
        match url.split_once(':')?.0 {
            "sqlite" => Some(Self::Sqlite),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }

    /// How many transactions can write at once.
    #[must_use]
    pub fn writers(self) -> u32 {
        match self {
            Self::Sqlite => 1,
            Self::Postgres => POSTGRES_WRITERS,
        }
    }

    /// The placeholder of the `number`th value of a statement with many values. SQLite treats `$1` as a name and compares it with
    /// all other names of the statement, so it gets `?`.
    pub(crate) fn placeholder(self, number: usize) -> String {
        match self {
            Self::Sqlite => "?".to_owned(),
            Self::Postgres => format!("${number}"),
        }
    }

    /// Appended to a `SELECT`: locks its rows until the transaction ends. SQLite needs no locks, as it has one writer at a time.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// Appended to a `SELECT`: like [`Self::for_update`], but several transactions can hold this lock.
    pub(crate) fn for_share(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR SHARE",
        }
    }

    /// Appended to a `SELECT`: like [`Self::for_update`], but rows with foreign keys to these can still be inserted.
    pub(crate) fn for_no_key_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR NO KEY UPDATE",
        }
    }

    /// SQL for the database's clock, in milliseconds since 1970: the same for all nodes, whose own clocks may differ.
    pub(crate) fn now(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS BIGINT)",
            Self::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// Begins a transaction that writes.
    pub(super) fn begin_sql(self) -> &'static str {
        match self {
            // Without IMMEDIATE, a transaction that reads and then writes would fail if another process wrote in between.
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// Begins a transaction that reads from one consistent snapshot.
    pub(super) fn begin_read_sql(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Runs first on every connection.
    fn session_init_sql(self) -> &'static str {
        match self {
            Self::Sqlite => {
                // 32 MiB of cache, and a checkpoint every 64 MiB of log. With the defaults (2 and 4 MiB), half of an append's time
                // went into reading and writing the same pages again.
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000; \
                 PRAGMA foreign_keys = ON; PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 16384; \
                 PRAGMA temp_store = MEMORY;"
            }
            // Nothing may hang in the database, or a task here would wait for ever.
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
        let init = self.session_init_sql();
        AnyPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql(init).execute(connection).await?;
                    Ok(())
                })
            })
            .after_release(|connection, _| Box::pin(is_clean(connection)))
    }
}

/// Whether a connection that returns to the pool can be used again. However its transaction ended (with an error, a cancelled
/// future or a panic), one that is still in a transaction is closed, and the pool opens another.
///
/// sqlx counts a transaction as open until its `COMMIT` or `ROLLBACK` succeeds. SQLite rolls back by itself when the disk is full or
/// fails; then the `ROLLBACK` is an error, and sqlx's count would stay.
async fn is_clean(connection: &mut AnyConnection) -> sqlx::Result<bool> {
    if connection.is_in_transaction() {
        // A rollback may be under way: it is over when the ping is answered.
        timeout(ACQUIRE_TIMEOUT, connection.ping()).await.map_err(|_| sqlx::Error::PoolTimedOut)??;
    }
    Ok(!connection.is_in_transaction())
}
