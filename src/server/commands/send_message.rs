//! `send_message`.

use std::io;

use tokio::fs;

use super::{Commands, second_path::second_path};
use crate::{
    protocol::{FileId, MessageAccepted, SendMessage, http::User, limits},
    server::{
        access::Access,
        error::{Error, Result},
        quotas::unsent,
        runs::CallerInput,
        threads::{self, RunnerState},
    },
};

impl Commands {
    /// Appends a person's message and queues the run that answers it: by the agent that the message names, or the thread's. In the modes
    /// other than `queue` it may go ahead of waiting messages, stop the active run, or be read by it. Files that the person uploaded
    /// before become files of the thread.
    /// `caller_input` is what an AG-UI client passes to the agent. The future must not be dropped before its end, see
    /// [`run_detached`](super::run_detached).
    ///
    /// # Errors
    /// As [`threads::send`]; the agent is unknown or cannot be used; too many runs wait, or today's budget is used up.
    pub async fn send_message(
        &self,
        user: &User,
        command: &SendMessage,
        caller_input: Option<&CallerInput>,
    ) -> Result<MessageAccepted> {
        let caller_input = caller_input.map(serde_json::to_string).transpose()?;
        let budget = self.runner.admit_budget(user.id).await;
        let choose_agent = |of_thread: &str| {
            let agent = self.agents().resolve(Some(command.agent.as_deref().unwrap_or(of_thread)), user)?;
            self.runner.admit(user.id)?;
            budget.map(|()| agent)
        };
        let runner = RunnerState {
            started: self.runner.started(command.thread_id),
            reading_agents: if command.mode.is_queue() { Vec::new() } else { self.agents().that_read_messages() },
        };
        let unsent = self.put_unsent_files(user, command).await?;
        let requested = threads::send_with(&self.channels, user, command, caller_input, choose_agent, &runner).await?;
        for file in unsent {
            // If this fails, the next start of a server deletes the file.
            let _ = unsent::remove_from_disk(&self.files, user.id, file).await;
        }
        if requested.run.is_some() && !command.mode.is_queue() {
            self.nodes.queue_moved(command.thread_id);
        }
        let stops = requested.stops;
        let accepted = self.start(requested);
        stops.into_iter().for_each(|run| self.nodes.stop_run(run));
        Ok(accepted)
    }

    /// Puts the files of a message that were not sent yet into its thread's folder, before the store has them there; returns them. If the
    /// message is not accepted, they stay in both folders until it is sent again, or they expire.
    async fn put_unsent_files(&self, user: &User, command: &SendMessage) -> Result<Vec<FileId>> {
        let mut unsent = Vec::new();
        for file in command.attachments.iter().take(limits::MAX_ATTACHMENTS) {
            if unsent::exists(self.channels.store(), user.id, *file).await? {
                unsent.push(*file);
            }
        }
        if unsent.is_empty() {
            return Ok(unsent);
        }
        threads::authorise(&self.channels, user.id, command.thread_id, Access::Write).await?;
        let folder = self.files.join(command.thread_id.to_string());
        fs::create_dir_all(&folder).await?;
        for file in &unsent {
            let original = unsent::path(&self.files, user.id, *file);
            second_path(&original, &folder.join(file.to_string())).await.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Error::not_found("file"),
                _ => error.into(),
            })?;
        }
        Ok(unsent)
    }
}
