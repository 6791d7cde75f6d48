//! `answer`.

use super::Commands;
use crate::{
    protocol::{Answer, MessageAccepted, http::User},
    server::{error::Result, runs::CallerInput, threads},
};

impl Commands {
    /// Answers the interrupts of a run and queues the run that continues it. `caller_input` is what an AG-UI client passes to the agent. The
    /// future must not be dropped before its end, see [`run_detached`](super::run_detached).
    ///
    /// # Errors
    /// As [`threads::answer`]; the agent is unknown or cannot be used; too many runs wait, or today's budget is used up.
    pub async fn answer(
        &self,
        user: &User,
        command: &Answer,
        caller_input: Option<&CallerInput>,
    ) -> Result<MessageAccepted> {
        let caller_input = caller_input.map(serde_json::to_string).transpose()?;
        // A refusal makes the agent do nothing new, so it needs no budget.
        let budget = if threads::is_refusal(command) { Ok(()) } else { self.runner.admit_budget(user.id).await };
        let check_agent = |agent: &str| {
            self.agents().resolve(Some(agent), user)?;
            self.runner.admit(user.id)?;
            budget
        };
        Ok(self.start(threads::answer(&self.channels, user, command, caller_input, check_agent).await?))
    }
}
