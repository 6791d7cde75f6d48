//! The store: one SQL database behind sqlx, with its migrations.
//!
//! Text SQL with `$1` placeholders, in the dialect that SQLite and PostgreSQL share; [`Engine`] has what they do not.
//! Two pools, so that reads never wait for writes. Promises: what a transaction of [`Store::begin`] committed survives the
//! death of this process, and of the database's; however a transaction ends, the next one finds a connection that is in none.

mod engine;
mod many;
mod migrations;

use std::{path::Path, sync::Arc};

use parking_lot::Mutex;
use sqlx::{Any, AnyConnection, AnyPool, Connection, Transaction, any::install_default_drivers};

pub use engine::Engine;
pub(crate) use many::{chunks, places, rows};

use super::{error::Result, outage::Outage};

/// How much [`Store::try_write`] writes, in bytes.
const TRIAL_BYTES: usize = 256 * 1024;

/// A handle on the database; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
    readers: AnyPool,
    writer: AnyPool,
    /// Why the last write that was tried to find out failed; see [`Store::note_write`].
    broken: Arc<Mutex<Option<Outage>>>,
}

/// Begins a transaction, to the end of its beginning also where nobody waits for it any more: sqlx gives a connection back to
/// the pool without a word where `BEGIN` is under way (PostgreSQL), and whoever read there next would read an old moment.
async fn begin(pool: &AnyPool, statement: &'static str) -> Result<Transaction<'static, Any>> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    Ok(begun.await.map_err(|gone| sqlx::Error::Io(std::io::Error::other(gone)))??)
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

    /// Opens a database by URL: `sqlite:PATH?mode=rwc` or `postgres://USER:PASSWORD@HOST/DATABASE`. Migrates it; servers that
    /// start at the same time wait for each other.
    ///
    /// # Errors
    /// Where it cannot be opened or a migration fails.
    pub async fn open_url(url: &str) -> Result<Self> {
        install_default_drivers();
        let unknown = || sqlx::Error::Configuration("neither `sqlite:` nor `postgres:`".into());
        let engine = Engine::of(url).ok_or_else(unknown)?;
        // One connection first: its error says why, a pool's only that the time was up.
        let mut first = AnyConnection::connect(url).await?;
        migrations::migrator().run(&mut first).await.map_err(|e| sqlx::Error::Migrate(Box::new(e)))?;
        first.close().await?;
        let writer = engine.writer(url).await?;
        let readers = engine.readers(url).await?;
        Ok(Self { engine, readers, writer, broken: Arc::default() })
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Where reads go.
    #[must_use]
    pub fn reader(&self) -> &AnyPool {
        &self.readers
    }

    /// Begins a transaction that writes; there are at most [`Engine::writers`] at a time. It is rolled back when dropped.
    ///
    /// # Errors
    /// Where no turn came in time.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>> {
        begin(&self.writer, self.engine.begin()).await
    }

    /// Begins a transaction that only reads, all of it as the store is at its first statement.
    ///
    /// # Errors
    /// Where no turn came in time.
    pub async fn look(&self) -> Result<Transaction<'static, Any>> {
        begin(&self.readers, self.engine.begin_reading()).await
    }

    /// Writes as much as a long message has, and takes it back: an error says why the store takes no writes.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn try_write(&self) -> Result<()> {
        // Nothing that a database could make small.
        let text: String = (0..TRIAL_BYTES).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO settings (key, value) VALUES ('trial', $1)").bind(text).execute(&mut *tx).await?;
        Ok(tx.rollback().await?)
    }

    /// Notes what came of a write that is made every few seconds whatever people do: the renewal of the node's lease.
    pub fn note_write(&self, outcome: &Result<()>) {
        let now = outcome.as_ref().err().map(|error| error.outage().unwrap_or(Outage::OutOfReach));
        let before = std::mem::replace(&mut *self.broken.lock(), now);
        match (before, now) {
            (None, Some(outage)) => tracing::error!("the store takes no writes: {outage}"),
            (Some(_), None) => tracing::info!("the store takes writes again"),
            _ => {}
        }
    }

    /// Why the store takes no writes at the moment, as far as is known; nothing where it does.
    #[must_use]
    pub fn broken(&self) -> Option<Outage> {
        *self.broken.lock()
    }

    /// Bytes that the store's file has for what comes next because something was deleted; a database of its own is not asked.
    ///
    /// # Errors
    /// Where the store fails.
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
    /// Where the store fails.
    pub async fn setting(&self, key: &str) -> Result<Option<String>> {
        let query = sqlx::query_scalar("SELECT value FROM settings WHERE key = $1").bind(key);
        Ok(query.fetch_optional(&self.readers).await?)
    }

    /// Sets a setting.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn set(&self, key: &str, value: &str) -> Result<()> {
        let sql =
            "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let mut tx = self.begin().await?;
        sqlx::query(sql).bind(key).bind(value).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
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
