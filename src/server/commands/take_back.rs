//! `take_back`.

use super::Commands;
use crate::{
    protocol::{TakeBack, http::User},
    server::{error::Result, threads},
};

impl Commands {
    /// Takes back a message whose run has not begun.
    ///
    /// # Errors
    /// As [`threads::take_back`].
    pub async fn take_back(&self, user: &User, command: &TakeBack) -> Result<()> {
        if let Some(run) = threads::take_back(&self.channels, user, command).await? {
            self.nodes.stop_run(run);
        }
        Ok(())
    }
}
