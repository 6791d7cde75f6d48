//! The room that is left on the disks of the store and of the uploaded files.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::size;
use crate::{
    protocol::{ErrorBody, ErrorCode},
    server::{
        error::{Error, Result},
        store::Store,
    },
};

/// How long it is believed how much room there is.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// After how many milliseconds to try again.
const RETRY_AFTER_MS: u64 = 10_000;

/// What is watched: a store elsewhere is watched by whoever runs it.
#[derive(Debug)]
pub(super) struct Room {
    min_free: u64,
    store: Option<PathBuf>,
    files: PathBuf,
    known: Mutex<Option<(Instant, u64)>>,
}

impl Room {
    pub(super) fn new(min_free: u64, store: Option<PathBuf>, files: PathBuf) -> Self {
        Self { min_free, store, files, known: Mutex::default() }
    }

    /// Whether the store's disk has room for more than what has to stay free. What was deleted in the store counts as room: its file
    /// does not shrink, and what comes next goes there.
    pub(super) async fn admit_log(&self, store: &Store) -> Result<()> {
        let Some(folder) = self.store.as_deref().filter(|_| self.min_free > 0) else { return Ok(()) };
        let known = self.known.lock().filter(|(at, _)| at.elapsed() < KNOWN_FOR);
        let left = match known {
            Some((_, left)) => left,
            None => {
                let left = available(folder).await?.saturating_add(store.reusable_bytes().await?);
                *self.known.lock() = Some((Instant::now(), left));
                left
            }
        };
        if left < self.min_free { Err(self.too_little(left)) } else { Ok(()) }
    }

    /// How many bytes of files may still be written, where so many are reserved already.
    pub(super) async fn for_files(&self, reserved: u64) -> Result<u64> {
        if self.min_free == 0 {
            return Ok(u64::MAX);
        }
        let left = available(&self.files).await?;
        left.checked_sub(self.min_free.saturating_add(reserved)).ok_or_else(|| self.too_little(left))
    }

    pub(super) fn too_little(&self, left: u64) -> Error {
        let (left, least) = (size(left), size(self.min_free));
        let message = format!(
            "the server's disk is almost full ({left} are free, {least} have to stay so); delete what is no longer needed, or \
             have whoever runs the server make room"
        );
        ErrorBody::new(ErrorCode::Unavailable, message).retry_after(RETRY_AFTER_MS).into()
    }
}

/// Bytes that this process may still write where a folder is.
async fn available(folder: &Path) -> Result<u64> {
    let folder = folder.to_owned();
    let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&folder)).await;
    let found = asked.map_err(std::io::Error::other)?.map_err(std::io::Error::from)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
