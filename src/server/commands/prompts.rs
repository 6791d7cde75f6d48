//! `save_prompt`.

use super::Commands;
use crate::{
    protocol::{
        ErrorCode, SavePrompt,
        http::{Role, User},
    },
    server::{
        error::{Error, Result},
        prompts,
    },
};

impl Commands {
    /// Creates a prompt, or replaces it. On a server that is configured without members, only administrators share prompts.
    ///
    /// # Errors
    /// As [`prompts::save`]; `forbidden` if the user cannot share it.
    pub async fn save_prompt(&self, user: &User, command: &SavePrompt) -> Result<()> {
        if command.shared && !self.has_members && user.role != Role::Admin {
            let message = "on this server only administrators share prompts (`server.members`); save it for yourself";
            return Err(Error::refused(ErrorCode::Forbidden, message));
        }
        prompts::save(&self.channels, user, command).await
    }
}
