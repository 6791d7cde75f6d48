//! Deletes files that are left over because a server ended: incomplete uploads, and files of deleted threads. And files that were
//! uploaded but not sent within [`UNSENT_FILE_TTL`].
//!
//! Guarantee: no file in use is deleted. An upload has a reservation in the store, and a complete file has a row. A
//! complete file without a row is deleted only in the folder of a thread that the store has or had, or of a person in the store. So if a server is started by
//! mistake with the files of another store, it deletes none of the complete ones.

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
    quotas::unsent,
    store::{Engine, Store},
};
use crate::protocol::{FileId, ThreadId, UserId};

/// The minimum age of a file to delete while other nodes may be writing or recording files.
const MIN_AGE: Duration = Duration::from_secs(15 * 60);
/// How long a file is kept that was uploaded and not sent. Pages that still show it in a draft upload it again.
pub(super) const UNSENT_FILE_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How often left-over files are deleted while the server runs.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The suffix of the name of an incomplete file.
const PART: &str = ".part";

/// When left-over files are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Before this server accepts requests.
    Start,
    /// While this server and others of the store accept files.
    Running,
}

/// Deletes left-over files at intervals, until `stopping`.
pub(super) async fn run(store: Store, files: PathBuf, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = delete_left_over(&store, &files, When::Running).await {
            tracing::warn!(%error, "left-over files of uploads could not be deleted");
        }
        match unsent::delete_expired(&store, &files, UNSENT_FILE_TTL).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(files = deleted, "deleted files that were uploaded but not sent in time"),
            Err(error) => tracing::warn!(%error, "files that were not sent in time could not be deleted"),
        }
    }
}

/// Deletes left-over files, and expired reservations.
///
/// # Errors
/// If the store or the disk fails.
pub(super) async fn delete_left_over(store: &Store, files: &Path, when: When) -> Result<()> {
    // An SQLite file has one server, so at its start there are no uploads.
    let alone = when == When::Start && store.engine() == Engine::Sqlite;
    delete_reservations(store, alone).await?;
    let min_age = if alone { Duration::ZERO } else { MIN_AGE };
    let (mut deleted, mut bytes) = (0u64, 0u64);
    for (owner, folder) in folders(files).await? {
        // List the folder before asking the store, so that files recorded in between are not taken for left over.
        let mut found = list(folder).await?;
        // Complete files without a row are left only by a server that ended, so the start looks for them.
        found.retain(|file| file.is_old(min_age) && (when == When::Start || file.name.ends_with(PART)));
        if found.is_empty() {
            continue;
        }
        let known = KnownFiles::read(store, owner).await?;
        for file in found.iter().filter(|file| known.is_left_over(&file.name)) {
            match tokio::fs::remove_file(&file.path).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(file = %file.path.display(), %error, "a left-over file cannot be deleted");
                }
                _ => (deleted, bytes) = (deleted + 1, bytes + file.bytes),
            }
        }
    }
    if deleted > 0 {
        tracing::info!(files = deleted, bytes, "deleted left-over files of uploads");
    }
    Ok(())
}

/// Whose files a folder has.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Thread(ThreadId),
    /// Files of this person that were not sent yet.
    Unsent(UserId),
}

/// All folders of files.
async fn folders(files: &Path) -> Result<Vec<(Owner, PathBuf)>> {
    let mut folders = Vec::new();
    for folder in list(files.to_owned()).await? {
        if let Ok(thread) = folder.name.parse() {
            folders.push((Owner::Thread(thread), folder.path));
        }
    }
    for folder in list(files.join(unsent::FOLDER)).await? {
        if let Ok(user) = folder.name.parse() {
            folders.push((Owner::Unsent(user), folder.path));
        }
    }
    Ok(folders)
}

async fn delete_reservations(store: &Store, all: bool) -> Result<()> {
    let filter = if all { String::new() } else { format!(" WHERE expires_at <= {}", store.engine().now()) };
    let count = format!("SELECT COUNT(*) FROM uploads{filter}");
    if sqlx::query_scalar::<_, i64>(AssertSqlSafe(count)).fetch_one(store.reader()).await? == 0 {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    sqlx::query(AssertSqlSafe(format!("DELETE FROM uploads{filter}"))).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

/// The files of a thread, or of a person, in the store.
struct KnownFiles {
    /// Whether the store has or had the thread, or has the person.
    owner: bool,
    complete: HashSet<FileId>,
    uploading: HashSet<FileId>,
}

impl KnownFiles {
    async fn read(store: &Store, owner: Owner) -> Result<Self> {
        let (id, [owners, uploads, files]) = match owner {
            Owner::Thread(thread) => (
                thread.to_string(),
                [
                    "SELECT COUNT(*) FROM threads WHERE id = $1",
                    "SELECT id FROM uploads WHERE thread_id = $1",
                    // A file is put into the thread's folder before the store has it there: see `commands/send_message.rs`.
                    "SELECT id FROM files WHERE thread_id = $1 OR thread_id IS NULL",
                ],
            ),
            Owner::Unsent(user) => (
                user.to_string(),
                [
                    "SELECT COUNT(*) FROM users WHERE id = $1",
                    "SELECT id FROM uploads WHERE owner = $1",
                    "SELECT id FROM files WHERE owner = $1 AND thread_id IS NULL",
                ],
            ),
        };
        let owners = sqlx::query_scalar::<_, i64>(owners).bind(&id).fetch_one(store.reader()).await?;
        // In this order, so that an upload that completes in between is found twice and not missed.
        let uploading = ids(store, uploads, &id).await?;
        let complete = ids(store, files, &id).await?;
        Ok(Self { owner: owners > 0, complete, uploading })
    }

    /// Whether a file is left over. Files with names of another form are not.
    fn is_left_over(&self, name: &str) -> bool {
        // `<id>`, `<id>.part`, or `<id>.<another id>.part`.
        let Some(id) = name.split('.').next().and_then(|id| id.parse::<FileId>().ok()) else { return false };
        if self.uploading.contains(&id) {
            return false;
        }
        name.ends_with(PART) || (name == id.to_string() && self.owner && !self.complete.contains(&id))
    }
}

async fn ids(store: &Store, sql: &'static str, owner: &str) -> Result<HashSet<FileId>> {
    let ids: Vec<FileId> = sqlx::query_scalar(sql).bind(owner).fetch_all(store.reader()).await?;
    Ok(ids.into_iter().collect())
}

/// A file or folder on the disk.
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

/// Lists a folder; returns an empty list if it does not exist or is not a folder.
async fn list(folder: PathBuf) -> Result<Vec<Found>> {
    let listing = spawn_blocking(move || -> std::io::Result<Vec<Found>> {
        let entries = match fs::read_dir(&folder) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            entries => entries?,
        };
        let found = |entry: fs::DirEntry| {
            let (name, metadata) = (entry.file_name().into_string().ok()?, entry.metadata().ok()?);
            Some(Found { path: entry.path(), name, bytes: metadata.len(), changed: metadata.modified().ok()? })
        };
        Ok(entries.flatten().filter_map(found).collect())
    });
    Ok(listing.await.map_err(|error| Error::Io(std::io::Error::other(error)))??)
}
