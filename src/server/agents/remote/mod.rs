//! Remote agents: AG-UI 1.0 endpoints that are called over HTTP. Their events are passed on as they arrive.
//!
//! Events are checked against AG-UI's rules and passed on as they were sent, except for the bytes of restated files. A run whose
//! endpoint breaks a rule, disconnects, times out or refuses the request fails with its own code and message. A request is
//! repeated only before its first event. An endpoint that fails repeatedly is not called for a while. Stopping a run closes its
//! connection. Secrets appear in no log and no message.

pub(crate) mod custom_interrupts;
mod failure;
mod http;
mod input;
mod observations;
mod parse;
mod requests;
mod secrets;
mod shape;
mod stream;
mod stream_state;

use std::time::{Duration, Instant};

use async_trait::async_trait;

use self::{failure::Failure, http::Endpoint, observations::Observations, requests::RequestError};
use crate::{
    protocol::http::{AgentInfo, Finding, Health},
    server::{
        config::agents::AgUiConfig,
        outbound::breaker::Breaker,
        runs::{Agent, AgentError, Done, Emitter, RunInput},
    },
};

pub use crate::server::outbound::breaker::{BreakerConfig, Breakers};

/// How failures of a remote agent's endpoint are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteOptions {
    /// When its circuit breaker opens.
    pub breaker: BreakerConfig,
    /// The delay before the first retry. It doubles with each further retry.
    pub backoff: Duration,
}

impl Default for RemoteOptions {
    /// The default breaker, and 250 ms.
    fn default() -> Self {
        Self { breaker: BreakerConfig::default(), backoff: Duration::from_millis(250) }
    }
}

/// What is wrong with a remote agent's configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct RemoteError {
    /// The key, for example `headers.Authorization`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl RemoteError {
    fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

/// A remote agent.
#[derive(Debug)]
pub struct Remote {
    info: AgentInfo,
    endpoint: Endpoint,
    breaker: Breaker,
    backoff: Duration,
    config: AgUiConfig,
}

impl Remote {
    /// The agent at an endpoint; `variables` looks up the variables that headers refer to. Connects to nothing.
    ///
    /// # Errors
    /// Names the wrong key.
    pub fn new(
        info: AgentInfo,
        config: &AgUiConfig,
        variables: impl Fn(&str) -> Option<String>,
        options: RemoteOptions,
    ) -> Result<Self, RemoteError> {
        let endpoint = Endpoint::new(config, variables)?;
        let (breaker, backoff) = (Breaker::new(options.breaker), options.backoff);
        Ok(Self { info, endpoint, breaker, backoff, config: config.clone() })
    }

    /// The same agent, with the circuit breaker that all agents at its endpoint share.
    #[must_use]
    pub fn with_shared_breaker(self, breakers: &Breakers) -> Self {
        let breaker = breakers.shared(self.endpoint.origin_and_path(), self.breaker);
        Self { breaker, ..self }
    }
}

#[async_trait]
impl Agent for Remote {
    fn info(&self) -> AgentInfo {
        self.info.clone()
    }

    async fn run(&self, input: RunInput, out: Emitter) -> Result<Done, AgentError> {
        self.probe(input, out).await.0
    }

    async fn probe(&self, input: RunInput, out: Emitter) -> (Result<Done, AgentError>, Vec<Finding>) {
        let mut observations = Observations::default();
        let ended = input.cancel.run_until_cancelled(self.execute(&input, &out, &mut observations)).await;
        let done = match ended {
            Some(Ok(end)) => Ok(Done::from_event(end)),
            Some(Err(RequestError::Failed(Failure { run_error: Some(error), .. }))) => {
                Err(AgentError::from_event(*error))
            }
            Some(Err(RequestError::Failed(failure))) => Err(AgentError::failed(failure.code, failure.message)),
            Some(Err(RequestError::Stopped)) | None => Err(AgentError::Stopped),
        };
        let mut findings = observations.findings(&self.config);
        let secrets = self.endpoint.secrets();
        findings.iter_mut().for_each(|finding| finding.about = secrets.redact(&finding.about));
        (done, findings)
    }

    fn health(&self) -> Option<Health> {
        let snapshot = self.breaker.snapshot(Instant::now());
        Some(Health { ok: snapshot.is_usable(), about: snapshot.describe() })
    }
}
