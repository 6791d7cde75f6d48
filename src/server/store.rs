//! The store: one SQL database behind sqlx, with its migrations.
//!
//! Text SQL with `$1` placeholders, in the dialect that SQLite and PostgreSQL share. Two pools: many readers, and one
//! writer, because SQLite has one and a second would only wait. Promise: what [`Store::begin`] committed survives the
//! death of the process (WAL).

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{
    Any, AnyPool, Transaction,
    any::{AnyPoolOptions, install_default_drivers},
};

use super::error::Result;

/// How many connections read at once.
const READERS: u32 = 4;
/// How long a statement waits for its turn before the store counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(5);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// A handle on the database; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    readers: AnyPool,
    writer: AnyPool,
}

impl Store {
    /// Opens `netra.db` in a folder, made and migrated where it is new.
    ///
    /// # Errors
    /// Where the file cannot be opened or a migration fails.
    pub async fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("netra.db");
        Self::open_url(&format!("sqlite:{}?mode=rwc", path.display())).await
    }

    /// Opens a database by URL: `sqlite:PATH?mode=rwc`.
    ///
    /// # Errors
    /// Where it cannot be opened or a migration fails.
    pub async fn open_url(url: &str) -> Result<Self> {
        install_default_drivers();
        let writer = pool(1).connect(url).await?;
        MIGRATIONS.run(&writer).await.map_err(|e| sqlx::Error::Migrate(Box::new(e)))?;
        let readers = pool(READERS).connect(url).await?;
        Ok(Self { readers, writer })
    }

    /// Where reads go.
    #[must_use]
    pub fn reader(&self) -> &AnyPool {
        &self.readers
    }

    /// Begins a transaction that writes. There is one at a time; it is rolled back when dropped.
    ///
    /// # Errors
    /// Where no turn came in time.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>> {
        // Taken at once: a transaction that reads first and then writes would fail if another process wrote between.
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// A setting.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn setting(&self, key: &str) -> Result<Option<String>> {
        let query = sqlx::query_scalar("SELECT value FROM settings WHERE key = $1").bind(key);
        Ok(query.fetch_optional(&self.readers).await?)
    }

    /// A setting, `value` where there was none. Whoever asks first decides; all get the same.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn setting_or(&self, key: &str, value: &str) -> Result<String> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING")
            .bind(key)
            .bind(value)
            .execute(&mut *tx)
            .await?;
        let query = sqlx::query_scalar("SELECT value FROM settings WHERE key = $1").bind(key);
        let value = query.fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(value)
    }

    /// Closes all connections, after what they do now.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn pool(size: u32) -> AnyPoolOptions {
    let pragmas =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";
    AnyPoolOptions::new().max_connections(size).acquire_timeout(PATIENCE).after_connect(move |connection, _| {
        Box::pin(async move {
            sqlx::raw_sql(pragmas).execute(connection).await?;
            Ok(())
        })
    })
}

/// The server's clock: milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
