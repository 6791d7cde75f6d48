//! Deletes what uploads left behind: files that were never whole because the server ended, and files of threads that were deleted
//! when the server ended.
//!
//! Promise: only what is surely nobody's is deleted. A file on its way has a reservation in the store, one that is whole a row; a
//! file without either is deleted only in the folder of a thread that this store knows: a store and a folder that do not belong
//! together lose nothing.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sqlx::AssertSqlSafe;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{
    error::{Error, Result},
    store::{Engine, Store},
};
use crate::protocol::{FileId, ThreadId};

/// How old a file must be that another node may be writing, or recording, at the moment.
const MIN_AGE: Duration = Duration::from_secs(15 * 60);
/// How often it is looked for what is left while the server runs.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How the name of a file ends that is not whole.
const PART: &str = ".part";

/// When it is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Before this server takes anything.
    Start,
    /// While it, and others over the same store, take files.
    Running,
}

/// Deletes abandoned files at intervals, until `stopping`.
pub(super) async fn run(store: Store, files: PathBuf, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = abandoned(&store, &files, When::Running).await {
            tracing::warn!(%error, "what was left of uploads could not be deleted");
        }
    }
}

/// Deletes what is nobody's, and reservations that ran out.
///
/// # Errors
/// Where the store or the disk fails.
pub(super) async fn abandoned(store: &Store, files: &Path, when: When) -> Result<()> {
    // One server alone writes to an SQLite file: at its start nothing is on its way.
    let alone = when == When::Start && store.engine() == Engine::Sqlite;
    forget_reservations(store, alone).await?;
    let min_age = if alone { Duration::ZERO } else { MIN_AGE };
    let (mut deleted, mut bytes) = (0u64, 0u64);
    for folder in listed(files.to_owned()).await? {
        let Some(thread) = folder.name.parse::<ThreadId>().ok() else { continue };
        // First what is there, then what is known: what is recorded meanwhile is found.
        let mut found = listed(folder.path.clone()).await?;
        // Files without a row are left by a server that ended: looking for them once is enough.
        found.retain(|file| file.is_old(min_age) && (when == When::Start || file.name.ends_with(PART)));
        if found.is_empty() {
            continue;
        }
        let known = Known::of(store, thread).await?;
        for file in found.iter().filter(|file| known.is_abandoned(&file.name)) {
            match tokio::fs::remove_file(&file.path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(file = %file.path.display(), %error, "what an upload left cannot be deleted");
                }
                _ => (deleted, bytes) = (deleted + 1, bytes + file.bytes),
            }
        }
    }
    if deleted > 0 {
        tracing::info!(files = deleted, bytes, "deleted what uploads had left");
    }
    Ok(())
}

async fn forget_reservations(store: &Store, all: bool) -> Result<()> {
    let over = if all { String::new() } else { format!(" WHERE expires_at <= {}", store.engine().now()) };
    let there = format!("SELECT COUNT(*) FROM uploads{over}");
    if sqlx::query_scalar::<_, i64>(AssertSqlSafe(there)).fetch_one(store.reader()).await? == 0 {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    sqlx::query(AssertSqlSafe(format!("DELETE FROM uploads{over}"))).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// What the store knows of a thread's files.
struct Known {
    /// Whether it knows the thread, also as one that was deleted.
    thread: bool,
    whole: HashSet<FileId>,
    on_their_way: HashSet<FileId>,
}

impl Known {
    async fn of(store: &Store, thread: ThreadId) -> Result<Self> {
        let id = thread.to_string();
        let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM threads WHERE id = $1")
            .bind(&id)
            .fetch_one(store.reader())
            .await?;
        // In this order: what becomes whole in between is found twice, not missed.
        let on_their_way = ids(store, "SELECT id FROM uploads WHERE thread_id = $1", &id).await?;
        let whole = ids(store, "SELECT id FROM files WHERE thread_id = $1", &id).await?;
        Ok(Self { thread: there > 0, whole, on_their_way })
    }

    /// Whether a file is nobody's. Names that are not ours are left alone.
    fn is_abandoned(&self, name: &str) -> bool {
        // `<id>`, `<id>.part`, or `<id>.<another id>.part`.
        let Some(id) = name.split('.').next().and_then(|id| id.parse::<FileId>().ok()) else { return false };
        if self.on_their_way.contains(&id) {
            return false;
        }
        name.ends_with(PART) || (name == id.to_string() && self.thread && !self.whole.contains(&id))
    }
}

async fn ids(store: &Store, sql: &'static str, thread: &str) -> Result<HashSet<FileId>> {
    let ids: Vec<String> = sqlx::query_scalar(sql).bind(thread).fetch_all(store.reader()).await?;
    ids.iter().map(|id| Ok(id.parse()?)).collect()
}

/// Something in a folder.
struct Found {
    path: PathBuf,
    name: String,
    bytes: u64,
    changed: SystemTime,
}

impl Found {
    fn is_old(&self, min_age: Duration) -> bool {
        min_age.is_zero() || SystemTime::now().duration_since(self.changed).is_ok_and(|age| age >= min_age)
    }
}

/// What is in a folder; nothing where it is gone or none.
async fn listed(folder: PathBuf) -> Result<Vec<Found>> {
    let listing = spawn_blocking(move || -> std::io::Result<Vec<Found>> {
        let entries = match fs::read_dir(&folder) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            entries => entries?,
        };
        let found = |entry: fs::DirEntry| {
            let (name, about) = (entry.file_name().into_string().ok()?, entry.metadata().ok()?);
            Some(Found { path: entry.path(), name, bytes: about.len(), changed: about.modified().ok()? })
        };
        Ok(entries.flatten().filter_map(found).collect())
    });
    Ok(listing.await.map_err(|error| Error::Io(std::io::Error::other(error)))??)
}
