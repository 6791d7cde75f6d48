//! Limits on what people may keep: threads, bytes of conversations, uploaded files ([`uploads`]), also those that were not sent yet ([`unsent`]), and the space that must stay free on
//! the disks ([`disk`]).
//!
//! Guarantees: a refusal names the limit and says what to do; deleting and stopping are never refused. Threads and files are counted in
//! the transaction that adds them, so the limits hold for concurrent requests on any number of nodes. Bytes of conversations are
//! counted before a message is accepted, at most [`CACHE_TTL`] earlier; runs that have begun may exceed the limit.

mod disk;
mod thread_counts;
pub mod unsent;
mod uploads;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::json;
use sqlx::{AnyConnection, AssertSqlSafe};

pub(super) use uploads::file;
pub use uploads::{Reservation, Upload};

use self::{disk::DiskSpace, thread_counts::ThreadCounts};
use super::{
    config::{Config, QuotasConfig},
    error::{Error, Result},
    store::{Engine, Store},
};
use crate::protocol::{ErrorBody, ErrorCode, UserId};

/// How long the bytes of conversations are cached: adding them up takes longer than storing a message.
const CACHE_TTL: Duration = Duration::from_secs(2);
/// The most people whose bytes are cached.
const MAX_CACHED_USERS: usize = 10_000;

/// The bytes of a person's conversations: the feed and the threads.
const USER_LOG_BYTES: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM (SELECT bytes FROM channels WHERE id = $1 \
    UNION ALL SELECT c.bytes FROM threads t JOIN channels c ON c.id = 'thread/' || t.id \
    WHERE t.owner = $2 AND t.deleted_at IS NULL) AS kept";
const TOTAL_LOG_BYTES: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM channels";

/// The limits of a server, and a cache of what is used; clones share it.
#[derive(Debug, Clone)]
pub struct Quotas(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: QuotasConfig,
    /// Upper limit of the bytes of the files of one thread; 0: no limit.
    max_file_bytes_per_thread: u64,
    disk: DiskSpace,
    cache: Mutex<LogBytes>,
    /// Held while the bytes of conversations are read.
    reading: tokio::sync::Mutex<()>,
    thread_counts: ThreadCounts,
}

/// How many bytes conversations had, and when.
#[derive(Debug, Default)]
struct LogBytes {
    by_user: HashMap<UserId, (Instant, u64)>,
    total: Option<(Instant, u64)>,
}

impl Quotas {
    /// Applies these limits; `max_file_bytes_per_thread` is 0 for no limit. `store` is the folder of the store if that is on this machine,
    /// `files` the folder of the uploaded files.
    #[must_use]
    pub fn new(limits: &QuotasConfig, max_file_bytes_per_thread: u64, store: Option<PathBuf>, files: PathBuf) -> Self {
        let disk = DiskSpace::new(limits.min_free_bytes, store, files);
        Self(Arc::new(Inner {
            limits: limits.clone(),
            max_file_bytes_per_thread,
            disk,
            cache: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            thread_counts: ThreadCounts::default(),
        }))
    }

    /// The limits of a server. The disk of its store is watched if that is an SQLite file.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let folder = config.sqlite_file().map(|file| match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        });
        Self::new(&config.quotas, config.analyst.max_thread_bytes, folder, config.files_dir())
    }

    /// No limits: for tools and tests that write to a store directly.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(&QuotasConfig::unlimited(), 0, None, PathBuf::new())
    }

    /// Reads what is used, unless that was done a moment ago. Call it before a transaction begins: it waits for a connection that reads.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read_log_bytes(&self, store: &Store, user: UserId) -> Result<LogAdmission> {
        let Inner { limits, disk, cache, reading, .. } = &*self.0;
        let disk_full = match disk.check_store(store).await {
            Err(Error::Refused(refusal)) => Some(refusal),
            checked => checked.map(|()| None)?,
        };
        let is_fresh = |(at, _): &(Instant, u64)| at.elapsed() < CACHE_TTL;
        let is_known = || {
            let cache = cache.lock();
            (limits.max_log_bytes_per_user == 0 || cache.by_user.get(&user).is_some_and(is_fresh))
                && (limits.max_log_bytes == 0 || cache.total.as_ref().is_some_and(is_fresh))
        };
        if is_known() {
            return Ok(LogAdmission { quotas: self.clone(), user, is_own: true, disk_full });
        }
        // One at a time: those that wait find what the one before them has read.
        let _reading = reading.lock().await;
        if limits.max_log_bytes_per_user > 0 && !cache.lock().by_user.get(&user).is_some_and(is_fresh) {
            let (at, query) = (Instant::now(), sqlx::query_scalar::<_, i64>(USER_LOG_BYTES));
            let used = query.bind(format!("user/{user}")).bind(user).fetch_one(store.reader()).await?.cast_unsigned();
            let mut cache = cache.lock();
            if cache.by_user.len() >= MAX_CACHED_USERS {
                cache.by_user.clear();
            }
            cache.by_user.insert(user, (at, used));
        }
        if limits.max_log_bytes > 0 && !cache.lock().total.as_ref().is_some_and(is_fresh) {
            let (at, query) = (Instant::now(), sqlx::query_scalar::<_, i64>(TOTAL_LOG_BYTES));
            let used = query.fetch_one(store.reader()).await?.cast_unsigned();
            cache.lock().total = Some((at, used));
        }
        Ok(LogAdmission { quotas: self.clone(), user, is_own: true, disk_full })
    }

    /// Checks the number of threads, after one was added in this transaction.
    ///
    /// # Errors
    /// `quota_exceeded`.
    pub async fn admit_thread(&self, engine: Engine, tx: &mut AnyConnection, user: UserId) -> Result<()> {
        let limits = &self.0.limits;
        if limits.max_threads_per_user > 0 {
            lock_user(engine, tx, user).await?;
            let (max, mut count) = (limits.max_threads_per_user, self.0.thread_counts.add_to_user(user));
            if count.is_none_or(|count| count > max) {
                let sql = "SELECT COUNT(*) FROM threads WHERE owner = $1 AND deleted_at IS NULL";
                let counted: i64 = sqlx::query_scalar(sql).bind(user).fetch_one(&mut *tx).await?;
                count = Some(counted.cast_unsigned());
                self.0.thread_counts.set_user(engine, user, counted.cast_unsigned());
            }
            Limit::per_user("threads", max).check(count.unwrap_or_default().saturating_sub(1), 1, || {
                format!("you have {max} threads, as many as one person has here; delete some that you no longer need")
            })?;
        }
        if limits.max_threads > 0 {
            lock_server(engine, tx).await?;
            let (max, mut count) = (limits.max_threads, self.0.thread_counts.add_to_total());
            if count.is_none_or(|count| count > max) {
                let sql = "SELECT COUNT(*) FROM threads WHERE deleted_at IS NULL";
                let counted: i64 = sqlx::query_scalar(sql).fetch_one(&mut *tx).await?;
                count = Some(counted.cast_unsigned());
                self.0.thread_counts.set_total(engine, counted.cast_unsigned());
            }
            Limit::for_server("threads", max).check(count.unwrap_or_default().saturating_sub(1), 1, || {
                format!("this server keeps at most {max} threads, and there are as many; delete some that are no longer needed, or ask its operator")
            })?;
        }
        Ok(())
    }
}

/// Decides whether a person may add to their conversations, by what [`Quotas::read_log_bytes`] has read.
#[derive(Debug)]
pub struct LogAdmission {
    quotas: Quotas,
    user: UserId,
    /// Whether the user adds to their own conversations, and not a member to those of a thread's owner.
    is_own: bool,
    /// Refuses everything: the store's disk is almost full.
    disk_full: Option<ErrorBody>,
}

impl LogAdmission {
    /// Sets who adds to the conversations.
    #[must_use]
    pub fn requested_by(self, user: UserId) -> Self {
        Self { is_own: self.user == user, ..self }
    }

    /// Checks whether the person may add so many bytes, which count as used from now on.
    ///
    /// # Errors
    /// `quota_exceeded`; `unavailable` if the store's disk is almost full.
    pub fn admit(&self, bytes: usize) -> Result<()> {
        if let Some(refusal) = &self.disk_full {
            return Err(refusal.clone().into());
        }
        let Inner { limits, cache, .. } = &*self.quotas.0;
        let (mut cache, bytes) = (cache.lock(), bytes as u64);
        let LogBytes { by_user, total } = &mut *cache;
        let (mut unknown_user, mut unknown_total) = ((Instant::now(), 0), (Instant::now(), 0));
        // Unknown if there is no such limit; a user's also if so many others were counted since that the cache was cleared.
        let of_user = by_user.get_mut(&self.user).unwrap_or(&mut unknown_user);
        let total = total.as_mut().unwrap_or(&mut unknown_total);
        if limits.max_log_bytes_per_user > 0 {
            Limit::per_user("log_bytes", limits.max_log_bytes_per_user).check(of_user.1, bytes, || {
                let (used, max) = (size(of_user.1), size(limits.max_log_bytes_per_user));
                if !self.is_own {
                    return format!("this thread's owner keeps {used} of conversations, and one person keeps at most {max} here; ask them to delete some");
                }
                format!("your conversations have {used}, and one person keeps at most {max} here; delete threads that you no longer need")
            })?;
        }
        if limits.max_log_bytes > 0 {
            Limit::for_server("log_bytes", limits.max_log_bytes).check(total.1, bytes, || {
                let max = size(limits.max_log_bytes);
                format!("this server keeps at most {max} of conversations, and they are used up; delete threads that are no longer needed, or ask its operator")
            })?;
        }
        of_user.1 += bytes;
        total.1 += bytes;
        Ok(())
    }
}

/// Makes transactions that add to what a person keeps wait for each other; on SQLite all that write do.
pub(super) async fn lock_user(engine: Engine, tx: &mut AnyConnection, user: UserId) -> Result<()> {
    if engine == Engine::Sqlite {
        return Ok(());
    }
    let sql = format!("SELECT id FROM users WHERE id = $1{}", engine.for_no_key_update());
    sqlx::query(AssertSqlSafe(sql)).bind(user).fetch_optional(tx).await?;
    Ok(())
}

/// Makes transactions that add to what all people keep wait for each other. Call it after [`lock_user`].
async fn lock_server(engine: Engine, tx: &mut AnyConnection) -> Result<()> {
    if engine == Engine::Sqlite {
        return Ok(());
    }
    let sql = format!("SELECT value FROM settings WHERE key = 'epoch'{}", engine.for_no_key_update());
    sqlx::query(AssertSqlSafe(sql)).fetch_optional(tx).await?;
    Ok(())
}

/// A limit.
struct Limit {
    name: &'static str,
    /// `user` or `server`.
    scope: &'static str,
    max: u64,
}

impl Limit {
    fn per_user(name: &'static str, max: u64) -> Self {
        Self { name, scope: "user", max }
    }

    fn for_server(name: &'static str, max: u64) -> Self {
        Self { name, scope: "server", max }
    }

    /// Refuses if `used` and `more` together exceed the limit.
    fn check(&self, used: u64, more: u64, message: impl FnOnce() -> String) -> Result<()> {
        if used.saturating_add(more) <= self.max { Ok(()) } else { Err(self.exceeded(used, message())) }
    }

    fn exceeded(&self, used: u64, message: String) -> Error {
        let details = json!({"limit": self.name, "of": self.scope, "max": self.max, "used": used});
        ErrorBody { details: Some(details), ..ErrorBody::new(ErrorCode::QuotaExceeded, message) }.into()
    }
}

/// Formats bytes for people: `1.5 GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut unit = 0;
    // In tenths, without floats.
    let mut tenths = bytes.saturating_mul(10) / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if tenth == 0 { format!("{whole} {}", UNITS[unit]) } else { format!("{whole}.{tenth} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_formatted_in_the_largest_unit_that_fits() {
        let cases = [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (1 << 30, "1 GiB"), (3 << 29, "1.5 GiB")];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
    }
}
