//! Asking the model: again while its provider is busy or away, within bounds, and where people see it.

use std::{collections::HashSet, time::Duration};

use super::{
    Run,
    error::ModelError,
    provider::ModelRequest,
    turn::{Answer, Patience, Turn, Unfinished},
    usage::{Tokens, prompt_tokens},
};
use crate::{
    protocol::agui::{StepFinished, StepStarted},
    server::runs::AgentError,
};

impl Run<'_> {
    /// One answer; asked for again while the provider is busy or away and nothing of it was shown.
    pub(super) async fn ask(
        &mut self,
        request: &ModelRequest,
        taken: &mut HashSet<String>,
    ) -> Result<Answer, AgentError> {
        let config = &self.agent.config;
        let mut patience = Duration::from_millis(config.max_retry_wait_ms);
        for attempt in 0.. {
            let error = match self.once(request, taken).await {
                Ok(answer) => {
                    *self.agent.fault.lock() = None;
                    return Ok(answer);
                }
                Err(Unfinished::Run(error)) => return Err(*error),
                Err(Unfinished::Model { error, shown }) if shown || attempt >= 5 => return Err(self.failed(error)),
                Err(Unfinished::Model { error, .. }) => error,
            };
            let Some(wait) = error.retry_in(attempt).filter(|wait| *wait <= patience) else {
                return Err(self.failed(error));
            };
            patience -= wait;
            self.wait(attempt, wait).await?;
        }
        unreachable!("the attempts are bounded")
    }

    async fn once(&mut self, request: &ModelRequest, taken: &mut HashSet<String>) -> Result<Answer, Unfinished> {
        let patience = Patience {
            first: Duration::from_millis(self.agent.config.first_token_timeout_ms),
            silence: Duration::from_millis(self.agent.config.silence_timeout_ms),
        };
        let (provider, prompt) = (&*self.agent.provider, prompt_tokens(request));
        // What is under way counts, so that other runs of the person know of it.
        self.note(prompt);
        let mut turn = Turn::new(self.out, taken);
        let told = match provider.stream(request.clone()).await {
            Ok(stream) => turn.listen(stream, patience, &self.input.cancel).await,
            Err(error) => Err(Unfinished::Model { error, shown: false }),
        };
        let usage = match &told {
            Ok(answer) => Some(answer.end.usage.clone()),
            // Who stops a run, or loses patience, has asked all the same; who was refused has not.
            Err(Unfinished::Run(_) | Unfinished::Model { shown: true, .. }) => Some(None),
            Err(Unfinished::Model { error, .. }) => matches!(error, ModelError::Timeout { .. }).then_some(None),
        };
        if let Some(usage) = usage {
            self.spent.add(Tokens::of(provider, usage, prompt, turn.bytes()), self.agent.price.as_ref());
        }
        self.note(0);
        told
    }

    /// Has others know what the run used so far, and the tokens of a question under way.
    fn note(&self, under_way: u64) {
        if let Some(allowance) = &self.agent.allowance {
            let tokens = self.spent.tokens().saturating_add(under_way);
            allowance.used(self.input.run_id, tokens, self.spent.cost_usd().unwrap_or(0.0));
        }
    }

    /// Waits where people see it.
    async fn wait(&self, attempt: u32, wait: Duration) -> Result<(), AgentError> {
        let step = format!("Wait {:.1} s for the model (try {} failed)", wait.as_secs_f64(), attempt + 1);
        self.out.emit(StepStarted::new(step.clone())).await?;
        tokio::select! {
            () = self.input.cancel.cancelled() => return Err(AgentError::Stopped),
            () = tokio::time::sleep(wait) => {}
        }
        self.out.emit(StepFinished::new(step)).await
    }

    fn failed(&self, error: ModelError) -> AgentError {
        let what = if let ModelError::Malformed { what } = &error { what.as_str() } else { "" };
        tracing::warn!(agent = self.agent.info.id, run = %self.input.run_id, code = error.code(), what, "a model failed");
        let failed = AgentError::failed(error.code(), error.to_string());
        // A conversation that is too long says nothing of the provider.
        if !matches!(error, ModelError::ContextTooLong | ModelError::TooLong { .. }) {
            *self.agent.fault.lock() = Some(error);
        }
        failed
    }
}
