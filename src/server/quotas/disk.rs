//! The free space on the disks of the store and of the uploaded files.

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

/// How long the free space of the store's disk is cached.
const CACHE_TTL: Duration = Duration::from_secs(1);
/// After how many milliseconds a client should try again.
const RETRY_AFTER_MS: u64 = 10_000;

/// The disks, and how much of them must stay free.
#[derive(Debug)]
pub(super) struct DiskSpace {
    min_free: u64,
    /// The folder of the store; nothing for a store on another machine.
    store: Option<PathBuf>,
    files: PathBuf,
    /// The free bytes of the store's disk, and when they were read.
    cached: Mutex<Option<(Instant, u64)>>,
}

impl DiskSpace {
    pub(super) fn new(min_free: u64, store: Option<PathBuf>, files: PathBuf) -> Self {
        Self { min_free, store, files, cached: Mutex::default() }
    }

    /// Checks whether the store's disk has more space than must stay free. The space of deleted data inside the store's file counts as
    /// free: the file does not shrink, and new data goes there.
    pub(super) async fn check_store(&self, store: &Store) -> Result<()> {
        let Some(folder) = self.store.as_deref().filter(|_| self.min_free > 0) else { return Ok(()) };
        let cached = self.cached.lock().filter(|(at, _)| at.elapsed() < CACHE_TTL);
        let free = match cached {
            Some((_, free)) => free,
            None => {
                let free = free_bytes(folder).await?.saturating_add(store.reusable_bytes().await?);
                *self.cached.lock() = Some((Instant::now(), free));
                free
            }
        };
        if free < self.min_free { Err(self.almost_full(free)) } else { Ok(()) }
    }

    /// How many bytes of files can still be written beside `reserved` ones.
    pub(super) async fn for_files(&self, reserved: u64) -> Result<u64> {
        if self.min_free == 0 {
            return Ok(u64::MAX);
        }
        let free = free_bytes(&self.files).await?;
        free.checked_sub(self.min_free.saturating_add(reserved)).ok_or_else(|| self.almost_full(free))
    }

    pub(super) fn almost_full(&self, free: u64) -> Error {
        let (free, min_free) = (size(free), size(self.min_free));
        let message = format!(
            "the server's disk is almost full ({free} are free, {min_free} have to stay so); delete what is no longer needed, or \
             ask the server's operator to free space"
        );
        ErrorBody::new(ErrorCode::Unavailable, message).retry_after(RETRY_AFTER_MS).into()
    }
}

/// Bytes that this process can write to the disk of a folder.
async fn free_bytes(folder: &Path) -> Result<u64> {
    let folder = folder.to_owned();
    let read = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&folder)).await;
    let stats = read.map_err(std::io::Error::other)?.map_err(std::io::Error::from)?;
    Ok(stats.f_bavail.saturating_mul(stats.f_frsize))
}
