//! `stop_run`.

use super::Commands;
use crate::{
    protocol::{RunId, UserId},
    server::{error::Result, threads},
};

impl Commands {
    /// Stops a run, whichever node has it. One that has ended stays as it is.
    ///
    /// # Errors
    /// As [`threads::request_stop`].
    pub async fn stop_run(&self, user: UserId, run: RunId) -> Result<()> {
        if threads::request_stop(&self.channels, user, run).await? {
            self.nodes.stop_run(run);
        }
        Ok(())
    }
}
