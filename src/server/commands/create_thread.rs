//! `create_thread`.

use super::Commands;
use crate::{
    protocol::{CreateThread, ThreadInfo, http::User},
    server::{error::Result, threads},
};

impl Commands {
    /// Creates a thread with the agent that is named, or the first one that the person may use.
    ///
    /// # Errors
    /// As [`threads::create`]; the agent is unknown or cannot be used.
    pub async fn create_thread(&self, user: &User, command: &CreateThread) -> Result<ThreadInfo> {
        let agent = self.agents().resolve(command.agent.as_deref(), user)?;
        threads::create(&self.channels, user, command, &agent).await
    }
}
