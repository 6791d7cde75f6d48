//! `set_agent`.

use super::Commands;
use crate::{
    protocol::{SetAgent, ThreadInfo, http::User},
    server::{error::Result, threads},
};

impl Commands {
    /// Sets the agent that answers in a thread if a message names none.
    ///
    /// # Errors
    /// As [`threads::set_agent`]; the agent is unknown or cannot be used.
    pub async fn set_agent(&self, user: &User, command: &SetAgent) -> Result<ThreadInfo> {
        let agent = self.agents().resolve(Some(&command.agent), user)?;
        threads::set_agent(&self.channels, user, command.thread_id, &agent).await
    }
}
