//! How much people may keep: threads, bytes of conversations, uploaded files ([`uploads`]), and the room that stays free on the
//! disks ([`room`]).
//!
//! Promises: what is refused says which limit it is and what to do; what frees room (to delete, to stop) is never refused;
//! threads and files are counted in the transaction that adds them, so that many at once, on however many nodes, stay within the
//! limit. Bytes of conversations are counted before something new is said, up to [`KNOWN_FOR`] before: runs that go on may
//! exceed them by what they still say.

mod room;
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

pub use uploads::{Reservation, Upload};

use self::room::Room;
use super::{
    config::{Config, QuotasConfig},
    error::{Error, Result},
    store::{Engine, Store},
};
use crate::protocol::{ErrorBody, ErrorCode, UserId};

/// How long it is believed how many bytes conversations have: to add them up takes longer than to say something.
const KNOWN_FOR: Duration = Duration::from_secs(2);
/// Of how many people this is kept at most.
const MAX_KNOWN: usize = 10_000;

/// What a person keeps of conversations: the feed and the threads.
const LOG_OF_ONE: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM (SELECT bytes FROM channels WHERE id = $1 \
    UNION ALL SELECT c.bytes FROM threads t JOIN channels c ON c.id = 'thread/' || t.id \
    WHERE t.owner = $2 AND t.deleted_at IS NULL) AS kept";
const LOG_OF_ALL: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM channels";

/// The limits of a server, and what is known of how much is kept; clones share it.
#[derive(Debug, Clone)]
pub struct Quotas(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: QuotasConfig,
    /// Bytes of the files of one thread.
    thread_bytes: u64,
    room: Room,
    known: Mutex<Known>,
}

/// How many bytes conversations had, and when.
#[derive(Debug, Default)]
struct Known {
    of: HashMap<UserId, (Instant, u64)>,
    all: Option<(Instant, u64)>,
}

impl Quotas {
    /// Limits: `thread_bytes` those of the files of one thread. `store` is the folder of the store where that is on this machine,
    /// `files` the one of the uploaded files.
    #[must_use]
    pub fn new(limits: &QuotasConfig, thread_bytes: u64, store: Option<PathBuf>, files: PathBuf) -> Self {
        let room = Room::new(limits.min_free_bytes, store, files);
        Self(Arc::new(Inner { limits: limits.clone(), thread_bytes, room, known: Mutex::default() }))
    }

    /// The limits of a server. The folder of its store is watched where that is an SQLite file.
    #[must_use]
    pub fn from_config(config: &Config) -> Self {
        let folder = config.sqlite_file().map(|file| match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        });
        Self::new(&config.quotas, config.analyst.max_thread_bytes, folder, config.files_dir())
    }

    /// No limits: for tools and tests that write a store themselves.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(&QuotasConfig::unlimited(), 0, None, PathBuf::new())
    }

    /// Whether a person may add so many bytes to their conversations.
    ///
    /// # Errors
    /// `quota_exceeded`; `unavailable` where too little room is left on the store's disk.
    pub async fn admit_log(&self, store: &Store, tx: &mut AnyConnection, user: UserId, bytes: usize) -> Result<()> {
        self.0.room.admit_log(store).await?;
        let (limits, bytes) = (&self.0.limits, bytes as u64);
        if limits.max_log_bytes_per_user > 0 {
            let known = self.0.known.lock().of.get(&user).copied().filter(|(at, _)| at.elapsed() < KNOWN_FOR);
            let (at, used) = match known {
                Some(known) => known,
                None => {
                    let query = sqlx::query_scalar::<_, i64>(LOG_OF_ONE).bind(format!("user/{user}"));
                    (Instant::now(), query.bind(user.to_string()).fetch_one(&mut *tx).await?.cast_unsigned())
                }
            };
            let limit = Limit::of_one("log_bytes", limits.max_log_bytes_per_user);
            limit.check(used, bytes, || {
                let most = size(limits.max_log_bytes_per_user);
                format!("your conversations have {}, and one person keeps at most {most} here; delete threads that you no longer need", size(used))
            })?;
            let mut known = self.0.known.lock();
            if known.of.len() >= MAX_KNOWN {
                known.of.clear();
            }
            known.of.insert(user, (at, used + bytes));
        }
        if limits.max_log_bytes > 0 {
            let known = self.0.known.lock().all.filter(|(at, _)| at.elapsed() < KNOWN_FOR);
            let (at, used) = match known {
                Some(known) => known,
                None => (Instant::now(), sqlx::query_scalar::<_, i64>(LOG_OF_ALL).fetch_one(tx).await?.cast_unsigned()),
            };
            Limit::of_all("log_bytes", limits.max_log_bytes).check(used, bytes, || {
                let most = size(limits.max_log_bytes);
                format!("this server keeps at most {most} of conversations, and they are used up; delete threads that are no longer needed, or ask whoever runs it")
            })?;
            self.0.known.lock().all = Some((at, used + bytes));
        }
        Ok(())
    }

    /// Whether a person may have as many threads as there are with the one that was just added in this transaction.
    ///
    /// # Errors
    /// `quota_exceeded`.
    pub async fn admit_thread(&self, engine: Engine, tx: &mut AnyConnection, user: UserId) -> Result<()> {
        let limits = &self.0.limits;
        if limits.max_threads_per_user > 0 {
            lock_person(engine, tx, user).await?;
            let sql = "SELECT COUNT(*) FROM threads WHERE owner = $1 AND deleted_at IS NULL";
            let there: i64 = sqlx::query_scalar(sql).bind(user.to_string()).fetch_one(&mut *tx).await?;
            let most = limits.max_threads_per_user;
            Limit::of_one("threads", most).check(there.cast_unsigned().saturating_sub(1), 1, || {
                format!("you have {most} threads, as many as one person has here; delete some that you no longer need")
            })?;
        }
        if limits.max_threads > 0 {
            lock_all(engine, tx).await?;
            let sql = "SELECT COUNT(*) FROM threads WHERE deleted_at IS NULL";
            let there: i64 = sqlx::query_scalar(sql).fetch_one(&mut *tx).await?;
            let most = limits.max_threads;
            Limit::of_all("threads", most).check(there.cast_unsigned().saturating_sub(1), 1, || {
                format!("this server keeps at most {most} threads, and there are as many; delete some that are no longer needed, or ask whoever runs it")
            })?;
        }
        Ok(())
    }
}

/// Has what one person keeps change by one transaction at a time.
async fn lock_person(engine: Engine, tx: &mut AnyConnection, user: UserId) -> Result<()> {
    let sql = format!("SELECT id FROM users WHERE id = $1{}", engine.for_no_key_update());
    sqlx::query(AssertSqlSafe(sql)).bind(user.to_string()).fetch_optional(tx).await?;
    Ok(())
}

/// Has what all people keep change by one transaction at a time; whoever locks a person, too, does that first.
async fn lock_all(engine: Engine, tx: &mut AnyConnection) -> Result<()> {
    let sql = format!("SELECT value FROM settings WHERE key = 'epoch'{}", engine.for_no_key_update());
    sqlx::query(AssertSqlSafe(sql)).fetch_optional(tx).await?;
    Ok(())
}

/// One limit, as programs are told of it.
struct Limit {
    name: &'static str,
    of: &'static str,
    most: u64,
}

impl Limit {
    fn of_one(name: &'static str, most: u64) -> Self {
        Self { name, of: "user", most }
    }

    fn of_all(name: &'static str, most: u64) -> Self {
        Self { name, of: "server", most }
    }

    /// Refuses where what is there and what comes are more than the limit.
    fn check(&self, used: u64, more: u64, message: impl FnOnce() -> String) -> Result<()> {
        if used.saturating_add(more) <= self.most { Ok(()) } else { Err(self.exceeded(used, message())) }
    }

    fn exceeded(&self, used: u64, message: String) -> Error {
        let details = json!({"limit": self.name, "of": self.of, "max": self.most, "used": used});
        ErrorBody { details: Some(details), ..ErrorBody::new(ErrorCode::QuotaExceeded, message) }.into()
    }
}

/// Bytes for people: `1.5 GiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut unit = 0;
    // In tenths, so that no float is needed.
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
    fn bytes_are_said_in_the_largest_unit_that_fits() {
        let cases = [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (1 << 30, "1 GiB"), (3 << 29, "1.5 GiB")];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
    }
}
