//! Files that were uploaded and not sent yet. They belong to a person and to no thread, and count toward the person's limits. A message
//! that names one makes it a file of its thread.
//!
//! Guarantee: the store alone decides whether a file was sent. So a file is either part of one message's thread, or its owner can remove
//! it, or it expires, whichever comes first.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::AnyConnection;

use super::Quotas;
use crate::{
    protocol::{FileId, ThreadId, UserId},
    server::{
        clock::now_ms,
        error::Result,
        store::{Engine, Store, row},
    },
};

/// The folder of these files, below the folder of all files. It has a folder for each person.
pub const FOLDER: &str = "unsent";
/// The most files that are deleted at once because they expired.
const MAX_EXPIRED: i64 = 1_000;

/// The folder of a person's files that were not sent yet. `files`: the folder of all files.
#[must_use]
pub fn folder(files: &Path, owner: UserId) -> PathBuf {
    files.join(FOLDER).join(owner.to_string())
}

/// The path of a person's file that was not sent yet. `files`: the folder of all files.
#[must_use]
pub fn path(files: &Path, owner: UserId, file: FileId) -> PathBuf {
    folder(files, owner).join(file.to_string())
}

/// Whether a person has uploaded a file and not sent it.
///
/// # Errors
/// If the store fails.
pub async fn exists(store: &Store, owner: UserId, file: FileId) -> Result<bool> {
    let sql = "SELECT COUNT(*) FROM files WHERE id = $1 AND owner = $2 AND thread_id IS NULL";
    let count: i64 = sqlx::query_scalar(sql).bind(file).bind(owner).fetch_one(store.reader()).await?;
    Ok(count > 0)
}

/// Makes a file that was not sent yet a file of a thread, which is locked. Does nothing if it is no such file.
///
/// # Errors
/// `too_large` if the thread has no space; the store fails.
pub async fn move_to_thread(
    quotas: &Quotas,
    tx: &mut AnyConnection,
    engine: Engine,
    (owner, file): (UserId, FileId),
    thread: ThreadId,
) -> Result<()> {
    let sql = "UPDATE files SET thread_id = $3 WHERE id = $1 AND owner = $2 AND thread_id IS NULL";
    let moved = sqlx::query(sql).bind(file).bind(owner).bind(thread).execute(&mut *tx).await?;
    if moved.rows_affected() > 0 {
        let bytes: i64 =
            sqlx::query_scalar("SELECT bytes FROM files WHERE id = $1").bind(file).fetch_one(&mut *tx).await?;
        quotas.space_in_thread(tx, engine, (thread, file), bytes.cast_unsigned()).await?;
    }
    Ok(())
}

/// Removes a file that was not sent. Returns whether there was one.
///
/// # Errors
/// If the store or the disk fails.
pub async fn remove(store: &Store, files: &Path, owner: UserId, file: FileId) -> Result<bool> {
    let mut tx = store.begin().await?;
    let sql = "DELETE FROM files WHERE id = $1 AND owner = $2 AND thread_id IS NULL";
    let removed = sqlx::query(sql).bind(file).bind(owner).execute(&mut *tx).await?.rows_affected() > 0;
    tx.commit().await?;
    if removed {
        remove_from_disk(files, owner, file).await?;
    }
    Ok(removed)
}

/// Deletes the bytes of a file that was sent or removed. If they are gone already, nothing happens.
///
/// # Errors
/// If the disk fails.
pub async fn remove_from_disk(files: &Path, owner: UserId, file: FileId) -> io::Result<()> {
    match tokio::fs::remove_file(path(files, owner, file)).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Deletes the oldest files that were uploaded longer than `ttl` ago and not sent; returns how many.
///
/// # Errors
/// If the store or the disk fails.
pub async fn delete_expired(store: &Store, files: &Path, ttl: Duration) -> Result<u64> {
    row! { struct Row { id: FileId, owner: UserId } }
    let since = now_ms().saturating_sub(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
    let sql = "SELECT id, owner FROM files WHERE thread_id IS NULL AND created_at < $1 ORDER BY created_at LIMIT $2";
    let query = sqlx::query_as(sql).bind(since).bind(MAX_EXPIRED);
    let expired: Vec<Row> = query.fetch_all(store.reader()).await?;
    let mut deleted = 0;
    for Row { id, owner } in expired {
        deleted += u64::from(remove(store, files, owner, id).await?);
    }
    Ok(deleted)
}
