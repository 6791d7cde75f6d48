//! `fork_thread`.

use std::{io, path::Path};

use tokio::fs;

use super::{Commands, second_path::second_path};
use crate::{
    protocol::{ForkThread, ThreadInfo, http::User},
    server::{
        error::{Error, Result},
        threads::{self, CopiedFile, PreparedFork},
    },
};

impl Commands {
    /// Creates a thread with a copy of a branch of another one and its files. The future must not be dropped before its end, see
    /// [`run_detached`](super::run_detached).
    ///
    /// # Errors
    /// As [`threads::prepare_fork`] and [`threads::store_fork`]; the files cannot be copied.
    pub async fn fork_thread(&self, user: &User, command: &ForkThread) -> Result<ThreadInfo> {
        let fork = match threads::prepare_fork(&self.channels, user, command).await? {
            PreparedFork::Stored(thread) => return Ok(thread),
            PreparedFork::New(fork) => *fork,
        };
        let [from, to] = [command.from, command.thread_id].map(|thread| self.files.join(thread.to_string()));
        let files = fork.files().to_vec();
        let stored = match copy_files(&files, &from, &to).await {
            Ok(()) => threads::store_fork(&self.channels, user, fork).await,
            Err(error) => Err(error),
        };
        // If the store failed, the fork may be stored all the same, so its files stay. If it is not, they stay until the command is repeated.
        if let Err(Error::Refused(_) | Error::Io(_)) = &stored {
            for file in &files {
                let _ = fs::remove_file(to.join(file.id.to_string())).await;
            }
            let _ = fs::remove_dir(&to).await;
        }
        stored
    }
}

/// Puts copies of files into the folder `to`.
async fn copy_files(files: &[CopiedFile], from: &Path, to: &Path) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(to).await?;
    for file in files {
        let (original, copy) = (from.join(file.from.to_string()), to.join(file.id.to_string()));
        second_path(&original, &copy).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::not_found("file"),
            _ => error.into(),
        })?;
    }
    Ok(())
}
