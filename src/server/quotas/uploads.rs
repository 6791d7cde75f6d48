//! Space for files that are being uploaded: reserved in the store before their bytes are written, until they are recorded.

use std::time::{Duration, Instant};

use sqlx::{Any, AnyConnection, AssertSqlSafe, Executor};

use super::{Limit, Quotas, lock_server, lock_user, size};
use crate::{
    protocol::{ErrorCode, FileId, ThreadId, UserId},
    server::{
        access::{self, Access},
        clock::now_ms,
        error::{Error, Result},
        store::{Engine, Store, row},
    },
};

/// How long a reservation is valid after it was made or renewed.
const RESERVATION_TTL: Duration = Duration::from_secs(5 * 60);
/// The time between two renewals of a reservation during its upload.
const RENEW_INTERVAL: Duration = Duration::from_secs(60);
/// How much is reserved at once for a file of unknown size, in bytes.
const RESERVATION_STEP: u64 = 1 << 20;

/// A file that is being uploaded.
#[derive(Debug, Clone, Copy)]
pub struct Upload {
    /// The file.
    pub file: FileId,
    /// Its thread; `None`: it has none until its message is sent.
    pub thread: Option<ThreadId>,
    /// Who uploads it: it counts for this user.
    pub owner: UserId,
}

/// Bytes that are reserved for an upload. Dropping it before [`Reservation::record`] frees them.
#[derive(Debug)]
pub struct Reservation {
    quotas: Quotas,
    store: Store,
    upload: Upload,
    bytes: u64,
    renewed: Instant,
    open: bool,
}

impl Quotas {
    /// Reserves space for a file: at least `least` bytes, and up to `wish` if available.
    ///
    /// # Errors
    /// `quota_exceeded`; `too_large` if its thread has no space, `not_found` if the thread was deleted, `unavailable` if the disk is
    /// almost full.
    pub async fn reserve(&self, store: &Store, upload: Upload, least: u64, wish: u64) -> Result<Reservation> {
        let (store, renewed) = (store.clone(), Instant::now());
        let mut reservation = Reservation { quotas: self.clone(), store, upload, bytes: 0, renewed, open: true };
        reservation.extend(least, wish.max(least)).await?;
        Ok(reservation)
    }

    /// Checks that there is space for a file and records it, in a transaction that also adds its thread.
    ///
    /// # Errors
    /// As [`Quotas::reserve`].
    pub async fn add_file(
        &self,
        tx: &mut AnyConnection,
        store: &Store,
        upload: Upload,
        name: &str,
        bytes: u64,
    ) -> Result<()> {
        self.space_for(tx, store, &upload, bytes).await?;
        insert_file(tx, upload, name, bytes).await
    }

    /// How many bytes a file can have in addition to all other files and reservations; an error if fewer than `least`.
    async fn space_for(&self, tx: &mut AnyConnection, store: &Store, upload: &Upload, least: u64) -> Result<u64> {
        let (limits, engine) = (&self.0.limits, store.engine());
        let Upload { file, thread, owner } = *upload;
        // Uploads of a person wait for each other on all nodes, so that together they stay within the limits.
        lock_user(engine, tx, owner).await?;
        if limits.max_files > 0 || limits.max_file_bytes > 0 {
            lock_server(engine, tx).await?;
        }
        if let Some(thread) = thread {
            let row = access::read_thread(&mut *tx, engine, thread, engine.for_update()).await?;
            row.access(owner).require(Access::Write)?;
        }
        let reserved = count("uploads", Scope::Server, tx, engine, file).await?;
        let mut space = self.0.disk.for_files(reserved.bytes).await?;
        if space < least {
            return Err(self.0.disk.almost_full(space));
        }
        if let Some(thread) = thread {
            space = space.min(self.space_in_thread(tx, engine, (thread, file), least).await?);
        }
        if limits.max_files_per_user > 0 || limits.max_file_bytes_per_user > 0 {
            let used = used(Scope::User(owner), tx, engine, file).await?;
            space = space.min(self.check_user_files(used, least)?);
        }
        if limits.max_files > 0 || limits.max_file_bytes > 0 {
            let used = used(Scope::Server, tx, engine, file).await?;
            space = space.min(self.check_server_files(used, least)?);
        }
        Ok(space)
    }

    /// How many bytes a file can have beside the others of its thread, which is locked; an error if fewer than `least`.
    pub(super) async fn space_in_thread(
        &self,
        tx: &mut AnyConnection,
        engine: Engine,
        (thread, file): (ThreadId, FileId),
        least: u64,
    ) -> Result<u64> {
        let max = self.0.max_file_bytes_per_thread;
        if max == 0 {
            return Ok(u64::MAX);
        }
        let space = max.saturating_sub(used(Scope::Thread(thread), tx, engine, file).await?.bytes);
        if space < least {
            let message = format!("the files of a thread have at most {max} bytes together; begin another thread");
            return Err(Error::refused(ErrorCode::TooLarge, message));
        }
        Ok(space)
    }

    /// How many more bytes of files a person may have; an error if that is less than `least`, or there are too many files.
    fn check_user_files(&self, used: Used, least: u64) -> Result<u64> {
        let (files, bytes) = (self.0.limits.max_files_per_user, self.0.limits.max_file_bytes_per_user);
        if files > 0 {
            Limit::per_user("files", files).check(used.files, 1, || {
                format!("you have {} files, and one person has at most {files} here; delete threads that you no longer need", used.files)
            })?;
        }
        if bytes == 0 {
            return Ok(u64::MAX);
        }
        Limit::per_user("file_bytes", bytes).check(used.bytes, least, || {
            let (used, max) = (size(used.bytes), size(bytes));
            format!("your files have {used}, and one person keeps at most {max} here; delete threads that you no longer need")
        })?;
        Ok(bytes.saturating_sub(used.bytes))
    }

    /// How many more bytes of files all people together may have; an error as in [`Self::check_user_files`].
    fn check_server_files(&self, used: Used, least: u64) -> Result<u64> {
        let (files, bytes) = (self.0.limits.max_files, self.0.limits.max_file_bytes);
        let advice = "delete threads that are no longer needed, or ask its operator";
        if files > 0 {
            let message = || format!("this server keeps at most {files} files, and there are as many; {advice}");
            Limit::for_server("files", files).check(used.files, 1, message)?;
        }
        if bytes == 0 {
            return Ok(u64::MAX);
        }
        let message = || format!("this server keeps at most {} of files, and they are used up; {advice}", size(bytes));
        Limit::for_server("file_bytes", bytes).check(used.bytes, least, message)?;
        Ok(bytes.saturating_sub(used.bytes))
    }
}

impl Reservation {
    /// Ensures that so many bytes are reserved, and renews the reservation from time to time. Call it before writing them.
    ///
    /// # Errors
    /// As [`Quotas::reserve`].
    pub async fn hold(&mut self, bytes: u64) -> Result<()> {
        if bytes > self.bytes {
            return self.extend(bytes, bytes.saturating_add(RESERVATION_STEP)).await;
        }
        if self.renewed.elapsed() >= RENEW_INTERVAL {
            return self.extend(self.bytes, self.bytes).await;
        }
        Ok(())
    }

    async fn extend(&mut self, least: u64, wish: u64) -> Result<()> {
        let mut tx = self.store.begin().await?;
        let space = self.quotas.space_for(&mut tx, &self.store, &self.upload, least).await?;
        let granted = space.min(wish);
        let sql = format!(
            "INSERT INTO uploads (id, thread_id, owner, bytes, expires_at) VALUES ($1, $2, $3, $4, {} + $5) \
             ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes, expires_at = excluded.expires_at",
            self.store.engine().now(),
        );
        let ttl = i64::try_from(RESERVATION_TTL.as_millis()).unwrap_or(i64::MAX);
        sqlx::query(AssertSqlSafe(sql))
            .bind(self.upload.file)
            .bind(self.upload.thread)
            .bind(self.upload.owner)
            .bind(i64::try_from(granted).unwrap_or(i64::MAX))
            .bind(ttl)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        (self.bytes, self.renewed) = (granted, Instant::now());
        Ok(())
    }

    /// Records the uploaded file with its name and size in bytes.
    ///
    /// # Errors
    /// As [`Quotas::reserve`].
    pub async fn record(mut self, name: &str, bytes: u64) -> Result<()> {
        let mut tx = self.store.begin().await?;
        self.quotas.space_for(&mut tx, &self.store, &self.upload, bytes).await?;
        insert_file(&mut tx, self.upload, name, bytes).await?;
        release(&mut tx, self.upload.file).await?;
        tx.commit().await?;
        self.open = false;
        Ok(())
    }
}

/// Records a file, unless it is recorded.
async fn insert_file(tx: &mut AnyConnection, upload: Upload, name: &str, bytes: u64) -> Result<()> {
    let Upload { file, thread, owner } = upload;
    let sql = "INSERT INTO files (id, thread_id, owner, name, bytes, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
               ON CONFLICT (id) DO NOTHING";
    let query = sqlx::query(sql).bind(file).bind(thread).bind(owner).bind(name);
    query.bind(bytes.cast_signed()).bind(now_ms()).execute(tx).await?;
    Ok(())
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (store, file) = (self.store.clone(), self.upload.file);
        // If this fails, the reservation expires.
        tokio::spawn(async move {
            let released = async {
                let mut tx = store.begin().await?;
                release(&mut tx, file).await?;
                Ok::<_, Error>(tx.commit().await?)
            };
            if let Err(error) = released.await {
                tracing::debug!(%file, %error, "a reservation could not be released; it expires");
            }
        });
    }
}

async fn release(tx: &mut AnyConnection, file: FileId) -> Result<()> {
    sqlx::query("DELETE FROM uploads WHERE id = $1").bind(file).execute(tx).await?;
    Ok(())
}

/// The name and bytes of a thread's file.
pub(in crate::server) async fn file<'c>(
    executor: impl Executor<'c, Database = Any>,
    thread: ThreadId,
    file: FileId,
) -> Result<Option<(String, u64)>> {
    row! { struct Row { name: String, bytes: i64 } }
    let query =
        sqlx::query_as("SELECT name, bytes FROM files WHERE id = $1 AND thread_id = $2").bind(file).bind(thread);
    let row: Option<Row> = query.fetch_optional(executor).await?;
    Ok(row.map(|Row { name, bytes }| (name, bytes.cast_unsigned())))
}

/// Files, and the sum of their bytes.
#[derive(Debug, Default, Clone, Copy)]
struct Used {
    files: u64,
    bytes: u64,
}

/// Whose files are counted.
#[derive(Debug, Clone, Copy)]
enum Scope {
    Thread(ThreadId),
    User(UserId),
    Server,
}

/// Counts files and reservations, all but the file `except`.
async fn used(scope: Scope, tx: &mut AnyConnection, engine: Engine, except: FileId) -> Result<Used> {
    let files = count("files", scope, tx, engine, except).await?;
    let uploads = count("uploads", scope, tx, engine, except).await?;
    Ok(Used { files: files.files + uploads.files, bytes: files.bytes + uploads.bytes })
}

/// Counts the rows of `files`, or the reservations of `uploads` that have not expired, all but the file `except`.
async fn count(
    table: &'static str,
    scope: Scope,
    tx: &mut AnyConnection,
    engine: Engine,
    except: FileId,
) -> Result<Used> {
    row! { struct Row { files: i64, bytes: i64 } }
    let filter = match scope {
        Scope::Thread(_) => " AND thread_id = $2",
        Scope::User(_) => " AND owner = $2",
        Scope::Server => "",
    };
    let live = if table == "uploads" { format!(" AND expires_at > {}", engine.now()) } else { String::new() };
    let sql = format!(
        "SELECT COUNT(*) AS files, CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM {table} WHERE id <> $1{filter}{live}"
    );
    let query = sqlx::query_as(AssertSqlSafe(sql)).bind(except);
    let query = match scope {
        Scope::Thread(thread) => query.bind(thread),
        Scope::User(user) => query.bind(user),
        Scope::Server => query,
    };
    let Row { files, bytes } = query.fetch_one(tx).await?;
    Ok(Used { files: files.cast_unsigned(), bytes: bytes.cast_unsigned() })
}
