//! The store: one SQL database behind sqlx, with its migrations.
//!
//! SQL with `$1` placeholders, in the dialect that SQLite and PostgreSQL share; [`Engine`] has the differences. Reads and writes have
//! a pool each, so reads never wait for writes.
//!
//! Guarantees: what a transaction of [`Store::begin`] committed survives a crash of this process or of the database. However a
//! transaction ends, the next one gets a connection that is in no transaction.

mod columns;
mod engine;
mod lookups;
mod migrations;
mod values;

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Transaction, any::install_default_drivers};

pub(crate) use columns::{row, text_columns};
pub use engine::Engine;
pub(crate) use lookups::Lookups;
pub(crate) use values::{LIKE_ESCAPE, chunks, containing, placeholders, row_placeholders};

use super::{error::Result, outage::Outage};

/// How many bytes [`Store::try_write`] writes.
const TRIAL_BYTES: usize = 256 * 1024;

/// A handle on the database; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
    readers: AnyPool,
    writer: AnyPool,
    /// Why the last write passed to [`Store::record_write`] failed.
    outage: Arc<Mutex<Option<Outage>>>,
}

/// Begins a transaction. In a task of its own, so that `BEGIN` completes even if the caller is cancelled: else sqlx returns the
/// connection to the pool while PostgreSQL still begins a transaction, and the next read there would see old data.
async fn begin(pool: &AnyPool, statement: &'static str) -> Result<Transaction<'static, Any>> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    Ok(begun.await.map_err(|panicked| sqlx::Error::Io(std::io::Error::other(panicked)))??)
}

impl Store {
    /// Opens `netra.db` in a folder; creates it if there is none, and migrates it.
    ///
    /// # Errors
    /// If the file cannot be opened or a migration fails.
    pub async fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("netra.db");
        Self::open_url(&format!("sqlite:{}?mode=rwc", path.display())).await
    }

    /// Opens a database by URL: `sqlite:PATH?mode=rwc` or `postgres://USER:PASSWORD@HOST/DATABASE`. Migrates it; nodes that start at
    /// the same time wait for each other.
    ///
    /// # Errors
    /// If it cannot be opened or a migration fails.
    pub async fn open_url(url: &str) -> Result<Self> {
        install_default_drivers();
        let unknown = || sqlx::Error::Configuration("neither `sqlite:` nor `postgres:`".into());
        let engine = Engine::from_url(url).ok_or_else(unknown)?;
        // One connection without a pool first: its error names the cause, while a pool only times out.
        let mut first = AnyConnection::connect(url).await?;
        migrations::migrator(engine).run(&mut first).await.map_err(|e| sqlx::Error::Migrate(Box::new(e)))?;
        first.close().await?;
        let writer = engine.writer(url).await?;
        let readers = engine.readers(url).await?;
        Ok(Self { engine, readers, writer, outage: Arc::default() })
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The pool for reading.
    #[must_use]
    pub fn reader(&self) -> &AnyPool {
        &self.readers
    }

    /// Begins a transaction that writes; there are at most [`Engine::writers`] at a time. It is rolled back when dropped.
    ///
    /// # Errors
    /// If no connection was free in time, or the store fails.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>> {
        begin(&self.writer, self.engine.begin_sql()).await
    }

    /// Begins a transaction that only reads, and sees the store as it is at its first statement.
    ///
    /// # Errors
    /// If no connection was free in time, or the store fails.
    pub async fn begin_read(&self) -> Result<Transaction<'static, Any>> {
        begin(&self.readers, self.engine.begin_read_sql()).await
    }

    /// Writes as much as a long message has, and rolls it back. The error says why the store accepts no writes.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn try_write(&self) -> Result<()> {
        // Random text, which a database cannot compress.
        let text: String = (0..TRIAL_BYTES).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO settings (key, value) VALUES ('trial', $1)").bind(text).execute(&mut *tx).await?;
        Ok(tx.rollback().await?)
    }

    /// Records the outcome of a write that is made every few seconds: the renewal of the node's lease.
    pub fn record_write(&self, outcome: &Result<()>) {
        let now = outcome.as_ref().err().map(|error| error.outage().unwrap_or(Outage::OutOfReach));
        let before = std::mem::replace(&mut *self.outage.lock(), now);
        match (before, now) {
            (None, Some(outage)) => tracing::error!("the store accepts no writes: {outage}"),
            (Some(_), None) => tracing::info!("the store accepts writes again"),
            _ => {}
        }
    }

    /// Why the store accepts no writes, as of the last [`Store::record_write`].
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        *self.outage.lock()
    }

    /// Bytes of the SQLite file that deletions freed and new data will use; 0 on PostgreSQL.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn reusable_bytes(&self) -> Result<u64> {
        if self.engine == Engine::Postgres {
            return Ok(0);
        }
        let sql =
            "SELECT CAST(f.freelist_count * p.page_size AS BIGINT) FROM pragma_freelist_count f, pragma_page_size p";
        let bytes: i64 = sqlx::query_scalar(sql).fetch_one(&self.readers).await?;
        Ok(bytes.cast_unsigned())
    }

    /// A setting.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn setting(&self, key: &str) -> Result<Option<String>> {
        let query = sqlx::query_scalar("SELECT value FROM settings WHERE key = $1").bind(key);
        Ok(query.fetch_optional(&self.readers).await?)
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn set(&self, key: &str, value: &str) -> Result<()> {
        let sql =
            "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let mut tx = self.begin().await?;
        sqlx::query(sql).bind(key).bind(value).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// A setting; sets it to `value` first if there is none. Callers at the same time all get the value of the first.
    ///
    /// # Errors
    /// If the store fails.
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

    /// Closes all connections once their current work is done.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
