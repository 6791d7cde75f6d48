//! Sends a request to the model, and repeats it while its provider is busy or unavailable. The waits are bounded, and shown as steps of
//! the run.

use std::{collections::HashSet, time::Duration};

use super::{
    Run,
    answer::{Answer, AnswerEmitter, Incomplete, Timeouts},
    error::ModelError,
    provider::ModelRequest,
    usage::{Tokens, prompt_tokens},
};
use crate::{
    protocol::agui::{StepFinished, StepStarted},
    server::runs::AgentError,
};

/// The most times that a request is sent again.
const MAX_RETRIES: u32 = 5;

impl Run<'_> {
    /// Requests one answer. Repeats the request while the provider is busy or unavailable and no part of the answer was shown.
    pub(super) async fn ask(
        &mut self,
        request: &ModelRequest,
        used_ids: &mut HashSet<String>,
    ) -> Result<Answer, AgentError> {
        let config = &self.agent.config;
        let mut wait_left = Duration::from_millis(config.max_retry_wait_ms);
        for attempt in 0.. {
            let error = match self.ask_once(request, used_ids).await {
                Ok(answer) => {
                    *self.agent.last_error.lock() = None;
                    return Ok(answer);
                }
                Err(Incomplete::Run(error)) => return Err(*error),
                Err(Incomplete::Model { error, shown }) if shown || attempt == MAX_RETRIES => {
                    return Err(self.failed(error));
                }
                Err(Incomplete::Model { error, .. }) => error,
            };
            let Some(wait) = error.retry_in(attempt).filter(|wait| *wait <= wait_left) else {
                return Err(self.failed(error));
            };
            wait_left -= wait;
            self.wait(attempt, wait).await?;
        }
        unreachable!("the retries are bounded")
    }

    async fn ask_once(&mut self, request: &ModelRequest, used_ids: &mut HashSet<String>) -> Result<Answer, Incomplete> {
        let timeouts = Timeouts {
            first_event: Duration::from_millis(self.agent.config.first_token_timeout_ms),
            next_event: Duration::from_millis(self.agent.config.silence_timeout_ms),
        };
        let (provider, prompt) = (&*self.agent.provider, prompt_tokens(request));
        // The request counts while it is under way, for the budget checks of the person's other runs.
        self.report_usage(prompt);
        let mut emitter = AnswerEmitter::new(self.out, used_ids);
        let answer = match provider.stream(request.clone()).await {
            Ok(stream) => emitter.emit_answer(stream, timeouts, &self.input.cancel).await,
            Err(error) => Err(Incomplete::Model { error, shown: false }),
        };
        let usage = match &answer {
            Ok(answer) => Some(answer.end.usage.clone()),
            // A request whose run was stopped or that timed out counts; one that was refused does not.
            Err(Incomplete::Run(_) | Incomplete::Model { shown: true, .. }) => Some(None),
            Err(Incomplete::Model { error, .. }) => matches!(error, ModelError::Timeout { .. }).then_some(None),
        };
        if let Some(usage) = usage {
            self.spent.add(Tokens::new(provider, usage, prompt, emitter.bytes()), self.agent.price.as_ref());
        }
        self.report_usage(0);
        answer
    }

    /// Reports what the run used so far, with the tokens of the request under way.
    fn report_usage(&self, under_way: u64) {
        if let Some(allowance) = &self.agent.allowance {
            let tokens = self.spent.tokens().saturating_add(under_way);
            allowance.used(self.input.run_id, tokens, self.spent.cost_usd().unwrap_or(0.0));
        }
    }

    /// Waits as a step of the run.
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
        // A conversation that is too long is not a fault of the provider.
        if !matches!(error, ModelError::ContextTooLong | ModelError::TooLong { .. }) {
            *self.agent.last_error.lock() = Some(error);
        }
        failed
    }
}
