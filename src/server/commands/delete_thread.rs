//! `delete_thread`.

use std::io;

use super::Commands;
use crate::{
    protocol::{DeleteThread, RunId, ThreadId, http::User},
    server::{error::Result, threads},
};

impl Commands {
    /// Deletes a thread with its files, stops its runs and ends its subscriptions, on every node. Deleting it again changes nothing.
    ///
    /// # Errors
    /// As [`threads::delete`]; the files cannot be deleted.
    pub async fn delete_thread(&self, user: &User, command: &DeleteThread) -> Result<()> {
        let running = threads::delete(&self.channels, user, command).await?;
        self.after_deletion(command.thread_id, running).await
    }

    /// Ends the subscriptions and runs of a thread that was deleted from the store, and deletes its files.
    pub(super) async fn after_deletion(&self, thread: ThreadId, running: Vec<RunId>) -> Result<()> {
        self.nodes.thread_deleted(thread);
        running.into_iter().for_each(|run| self.nodes.stop_run(run));
        self.remove_files(thread).await
    }

    async fn remove_files(&self, thread: ThreadId) -> Result<()> {
        match tokio::fs::remove_dir_all(self.files.join(thread.to_string())).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
