//! `move_queued`.

use super::Commands;
use crate::{
    protocol::{MoveQueued, http::User},
    server::{error::Result, threads},
};

impl Commands {
    /// Changes when a message is answered whose run has not begun.
    ///
    /// # Errors
    /// As [`threads::move_queued`].
    pub async fn move_queued(&self, user: &User, command: &MoveQueued) -> Result<()> {
        if threads::move_queued(&self.channels, user, command).await? {
            self.nodes.queue_moved(command.thread_id);
        }
        Ok(())
    }
}
