//! `send_message`.

use super::Commands;
use crate::{
    protocol::{MessageAccepted, SendMessage, http::User},
    server::{
        error::Result,
        runs::CallerInput,
        threads::{self, RunnerState},
    },
};

impl Commands {
    /// Appends a person's message and queues the run that answers it: by the agent that the message names, or the thread's. In the modes
    /// other than `queue` it may go ahead of waiting messages, stop the active run, or be read by it.
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
        let requested = threads::send_with(&self.channels, user, command, caller_input, choose_agent, &runner).await?;
        if requested.run.is_some() && !command.mode.is_queue() {
            self.nodes.queue_moved(command.thread_id);
        }
        let stops = requested.stops;
        let accepted = self.start(requested);
        stops.into_iter().for_each(|run| self.nodes.stop_run(run));
        Ok(accepted)
    }
}
