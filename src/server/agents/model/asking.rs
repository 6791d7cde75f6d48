//! Asking the model: again while its provider is busy or away, within bounds, and where people see it.

use std::{collections::HashSet, time::Duration};

use super::{
    Run,
    error::ModelError,
    provider::ModelRequest,
    turn::{Answer, Patience, Turn, Unfinished},
};
use crate::{
    protocol::agui::{StepFinished, StepStarted, Usage},
    server::agents::AgentError,
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
        let provider = &self.agent.provider;
        let stream =
            provider.stream(request.clone()).await.map_err(|error| Unfinished::Model { error, shown: false })?;
        let answer = Turn::new(self.out, taken).listen(stream, patience, &self.input.cancel).await?;
        let usage = answer.end.usage.clone().unwrap_or_else(|| Usage {
            provider: Some(provider.provider().into()),
            model: Some(provider.model().into()),
            ..Usage::default()
        });
        self.spent.add(usage, self.agent.price.as_ref());
        Ok(answer)
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
