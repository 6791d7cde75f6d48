//! Room for files on their way: reserved in the store before their bytes are written, for as long as they take.

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::{Limit, Quotas, lock_all, lock_person, size};
use crate::{
    protocol::{ErrorCode, FileId, ThreadId, UserId},
    server::{
        clock::now_ms,
        error::{Error, Result},
        store::Store,
    },
};

/// How long a reservation holds that nobody renews.
const RESERVED_FOR: Duration = Duration::from_secs(5 * 60);
/// How often one is renewed while its file is on its way.
const RENEW_INTERVAL: Duration = Duration::from_secs(60);
/// How much is reserved at once for a file of which nobody knows how large it becomes, in bytes.
const STEP: u64 = 1 << 20;

/// A file on its way.
#[derive(Debug, Clone, Copy)]
pub struct Upload {
    /// The file.
    pub file: FileId,
    /// Its thread.
    pub thread: ThreadId,
    /// Whose thread it is.
    pub owner: UserId,
}

/// Bytes that are reserved for one. Dropped before [`Reservation::record`], they are given back.
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
    /// Reserves room for a file: for `least` bytes, and up to `wish` where there is as much.
    ///
    /// # Errors
    /// `quota_exceeded`, `too_large` where its thread has no room, `not_found` where that was deleted, `unavailable` where the disk
    /// has too little.
    pub async fn reserve(&self, store: &Store, upload: Upload, least: u64, wish: u64) -> Result<Reservation> {
        let (store, renewed) = (store.clone(), Instant::now());
        let mut reservation = Reservation { quotas: self.clone(), store, upload, bytes: 0, renewed, open: true };
        reservation.extend(least, wish.max(least)).await?;
        Ok(reservation)
    }

    /// How many bytes a file may have now, with what is there and on its way beside it; an error where that is less than `least`.
    async fn room_for(&self, tx: &mut AnyConnection, store: &Store, upload: &Upload, least: u64) -> Result<u64> {
        let (limits, engine) = (&self.0.limits, store.engine());
        let Upload { file, thread, owner } = upload;
        let lock = engine.for_update();
        // One upload of a person after the other, whatever the node: together they stay within the limits.
        lock_person(engine, tx, *owner).await?;
        if limits.max_files > 0 || limits.max_file_bytes > 0 {
            lock_all(engine, tx).await?;
        }
        let sql = format!("SELECT id FROM threads WHERE id = $1 AND deleted_at IS NULL{lock}");
        let there = sqlx::query(AssertSqlSafe(sql)).bind(thread.to_string()).fetch_optional(&mut *tx).await?;
        there.ok_or_else(|| Error::not_found("thread"))?;
        let reserved = kept(tx, store, "", None, *file, true).await?;
        let mut room = self.0.room.for_files(reserved.bytes).await?;
        if room < least {
            return Err(self.0.room.too_little(room));
        }
        if self.0.thread_bytes > 0 {
            let most = self.0.thread_bytes;
            let used = kept(tx, store, "thread_id", Some(thread.to_string()), *file, false).await?.bytes;
            room = room.min(most.saturating_sub(used));
            if room < least {
                let message = format!("the files of a thread have at most {most} bytes together; begin another thread");
                return Err(Error::refused(ErrorCode::TooLarge, message));
            }
        }
        if limits.max_files_per_user > 0 || limits.max_file_bytes_per_user > 0 {
            let used = kept(tx, store, "owner", Some(owner.to_string()), *file, false).await?;
            let (count, bytes) = (limits.max_files_per_user, limits.max_file_bytes_per_user);
            if count > 0 {
                Limit::of_one("files", count).check(used.files, 1, || {
                    format!("you have {} files, and one person has at most {count} here; delete threads that you no longer need", used.files)
                })?;
            }
            if bytes > 0 {
                room = room.min(bytes.saturating_sub(used.bytes));
                Limit::of_one("file_bytes", bytes).check(used.bytes, least, || {
                    let (used, most) = (size(used.bytes), size(bytes));
                    format!("your files have {used}, and one person keeps at most {most} here; delete threads that you no longer need")
                })?;
            }
        }
        if limits.max_files > 0 || limits.max_file_bytes > 0 {
            let used = kept(tx, store, "", None, *file, false).await?;
            let (count, bytes) = (limits.max_files, limits.max_file_bytes);
            let ask = "delete threads that are no longer needed, or ask whoever runs it";
            if count > 0 {
                let message = || format!("this server keeps at most {count} files, and there are as many; {ask}");
                Limit::of_all("files", count).check(used.files, 1, message)?;
            }
            if bytes > 0 {
                room = room.min(bytes.saturating_sub(used.bytes));
                let message =
                    || format!("this server keeps at most {} of files, and they are used up; {ask}", size(bytes));
                Limit::of_all("file_bytes", bytes).check(used.bytes, least, message)?;
            }
        }
        Ok(room)
    }
}

impl Reservation {
    /// Sees that so many bytes are reserved, and renews the reservation from time to time: called before they are written.
    ///
    /// # Errors
    /// As [`Quotas::reserve`].
    pub async fn hold(&mut self, bytes: u64) -> Result<()> {
        if bytes > self.bytes {
            return self.extend(bytes, bytes.saturating_add(STEP)).await;
        }
        if self.renewed.elapsed() >= RENEW_INTERVAL {
            return self.extend(self.bytes, self.bytes).await;
        }
        Ok(())
    }

    async fn extend(&mut self, least: u64, wish: u64) -> Result<()> {
        let mut tx = self.store.begin().await?;
        let room = self.quotas.room_for(&mut tx, &self.store, &self.upload, least).await?;
        let granted = room.min(wish);
        let sql = format!(
            "INSERT INTO uploads (id, thread_id, owner, bytes, expires_at) VALUES ($1, $2, $3, $4, {} + $5) \
             ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes, expires_at = excluded.expires_at",
            self.store.engine().now(),
        );
        let reserved_for = i64::try_from(RESERVED_FOR.as_millis()).unwrap_or(i64::MAX);
        sqlx::query(AssertSqlSafe(sql))
            .bind(self.upload.file.to_string())
            .bind(self.upload.thread.to_string())
            .bind(self.upload.owner.to_string())
            .bind(i64::try_from(granted).unwrap_or(i64::MAX))
            .bind(reserved_for)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        (self.bytes, self.renewed) = (granted, Instant::now());
        Ok(())
    }

    /// Makes it a file of its thread, with its name and as many bytes as were written.
    ///
    /// # Errors
    /// As [`Quotas::reserve`].
    pub async fn record(mut self, name: &str, bytes: u64) -> Result<()> {
        let Upload { file, thread, owner } = self.upload;
        let mut tx = self.store.begin().await?;
        self.quotas.room_for(&mut tx, &self.store, &self.upload, bytes).await?;
        let sql = "INSERT INTO files (id, thread_id, owner, name, bytes, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (id) DO NOTHING";
        sqlx::query(sql)
            .bind(file.to_string())
            .bind(thread.to_string())
            .bind(owner.to_string())
            .bind(name)
            .bind(bytes.cast_signed())
            .bind(now_ms())
            .execute(&mut *tx)
            .await?;
        release(&mut tx, file).await?;
        tx.commit().await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (store, file) = (self.store.clone(), self.upload.file);
        // Where this fails, the reservation runs out.
        tokio::spawn(async move {
            let given_back = async {
                let mut tx = store.begin().await?;
                release(&mut tx, file).await?;
                Ok::<_, Error>(tx.commit().await?)
            };
            if let Err(error) = given_back.await {
                tracing::debug!(%file, %error, "a reservation could not be given back; it runs out");
            }
        });
    }
}

async fn release(tx: &mut AnyConnection, file: FileId) -> Result<()> {
    sqlx::query("DELETE FROM uploads WHERE id = $1").bind(file.to_string()).execute(tx).await?;
    Ok(())
}

/// How many files, and bytes of them.
#[derive(Debug, Default, Clone, Copy)]
struct Kept {
    files: u64,
    bytes: u64,
}

/// What there is and what is on its way, but for one file: all of it, or where a column has a value; or only what is on its way.
async fn kept(
    tx: &mut AnyConnection,
    store: &Store,
    column: &str,
    value: Option<String>,
    but: FileId,
    on_its_way: bool,
) -> Result<Kept> {
    let only = if value.is_some() { format!(" AND {column} = $2") } else { String::new() };
    let mut used = Kept::default();
    let tables = if on_its_way { &["uploads"][..] } else { &["files", "uploads"] };
    for table in tables {
        let live =
            if *table == "uploads" { format!(" AND expires_at > {}", store.engine().now()) } else { String::new() };
        let sql =
            format!("SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM {table} WHERE id <> $1{only}{live}");
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(but.to_string());
        if let Some(value) = &value {
            query = query.bind(value.clone());
        }
        let row = query.fetch_one(&mut *tx).await?;
        used.files += row.try_get::<i64, _>(0)?.cast_unsigned();
        used.bytes += row.try_get::<i64, _>(1)?.cast_unsigned();
    }
    Ok(used)
}
