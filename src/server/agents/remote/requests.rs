//! The requests of a run: one, or two if questions of the agent are cancelled first.

use std::time::{Duration, Instant};

use super::{
    Remote,
    failure::Failure,
    input::{self, Prompt, Request},
    observations::Observations,
    stream::PreparedRequest,
    stream_state::{Rules, StreamState},
};
use crate::{
    protocol::{
        RunId, ThreadEntry,
        agui::{Event, RunFinished},
        extensions::AFTER_CANCELLATION,
    },
    server::{
        clock::now_ms,
        outbound::breaker::Permit,
        runs::{AgentError, Emitter, RunInput},
    },
    thread::ThreadView,
};

/// Why the endpoint did not finish a run.
pub(super) enum RequestError {
    /// The run was stopped.
    Stopped,
    /// The request failed.
    Failed(Failure),
}

impl From<Failure> for RequestError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<AgentError> for RequestError {
    fn from(_: AgentError) -> Self {
        Self::Stopped
    }
}

/// Where the events of a run go.
pub(super) struct Output<'a> {
    pub(super) emitter: &'a Emitter,
    /// The thread with the events so far, if a later request needs it.
    thread: Option<(RunId, ThreadView)>,
    /// Whether the next event is the first after a cancellation.
    after_cancellation: bool,
    observations: &'a mut Observations,
}

impl Output<'_> {
    pub(super) async fn emit(&mut self, mut event: Event) -> Result<(), AgentError> {
        if std::mem::take(&mut self.after_cancellation) {
            event.base_mut().metadata.get_or_insert_default().insert(AFTER_CANCELLATION.to_owned(), true.into());
        }
        if let Some((run_id, thread)) = &mut self.thread {
            thread.apply(now_ms(), ThreadEntry::Agent { run_id: *run_id, event: Box::new(event.clone()) });
        }
        self.emitter.emit(event).await
    }
}

impl Remote {
    /// Executes a run at the endpoint, and reports the result to the circuit breaker.
    pub(super) async fn execute(
        &self,
        input: &RunInput,
        emitter: &Emitter,
        observations: &mut Observations,
    ) -> Result<RunFinished, RequestError> {
        let mut permit = self.breaker.acquire(Instant::now()).map_err(|wait| self.circuit_open(wait))?;
        let out = Output { emitter, thread: None, after_cancellation: false, observations };
        let ended = self.send_all(input, out, &mut permit).await.map_err(|error| match error {
            RequestError::Failed(failure) => RequestError::Failed(failure.redacted(self.endpoint.secrets())),
            RequestError::Stopped => RequestError::Stopped,
        });
        match &ended {
            Ok(_) => permit.success(None),
            Err(RequestError::Stopped) => drop(permit),
            Err(RequestError::Failed(failure)) if failure.blames_endpoint => {
                permit.failure(Instant::now(), &failure.message);
            }
            Err(RequestError::Failed(failure)) => permit.success(Some(&failure.message)),
        }
        ended
    }

    fn circuit_open(&self, wait: Duration) -> Failure {
        let last =
            self.breaker.snapshot(Instant::now()).last_error.map(|error| format!(" ({error})")).unwrap_or_default();
        let seconds = wait.as_secs_f32().ceil();
        let message = format!("the remote agent failed several times in a row{last}; try again in {seconds} s");
        Failure::new("remote_unavailable", message)
    }

    /// Sends the run's requests. Unanswered interrupts are cancelled in a request of their own, because most frameworks accept
    /// either a cancellation or a message, and ignore the other.
    async fn send_all(
        &self,
        input: &RunInput,
        mut out: Output<'_>,
        permit: &mut Permit,
    ) -> Result<RunFinished, RequestError> {
        let Some(cancellation) = Prompt::cancellation(input) else {
            return self.send(Prompt::for_run(input), input, &mut out, permit).await;
        };
        out.thread = Some((input.run_id, input.thread.clone()));
        let cancelled = self.send(cancellation, input, &mut out, permit).await;
        let usage = match cancelled {
            Ok(end) => end.usage,
            // The endpoint may have lost the interrupts, sent nothing, or failed: it may still answer the message, unless it
            // cannot be reached.
            Err(RequestError::Failed(failure)) if !matches!(failure.code, "remote_unreachable" | "connect_timeout") => {
                let message = self.endpoint.secrets().redact(&failure.message);
                tracing::warn!(run = %input.run_id, code = failure.code, message, "a remote agent rejected a cancellation");
                failure.run_error.and_then(|error| error.usage)
            }
            Err(error) => return Err(error),
        };
        let thread = out.thread.take().map_or_else(|| input.thread.clone(), |(_, thread)| thread);
        out.after_cancellation = true;
        let mut end = self.send(Prompt::after_cancellation(input, &thread), input, &mut out, permit).await?;
        if let Some(used) = usage {
            end.usage.get_or_insert_default().extend(used);
        }
        Ok(end)
    }

    /// Sends one request and passes on the events of its response.
    async fn send(
        &self,
        prompt: Prompt,
        input: &RunInput,
        out: &mut Output<'_>,
        permit: &mut Permit,
    ) -> Result<RunFinished, RequestError> {
        let Request { input: sent, file_bytes } = input::request(prompt, input, &self.config).await;
        let body = serde_json::to_vec(&sent).map_err(|error| {
            Failure::new("unwritable_request", format!("the conversation cannot be encoded as JSON: {error}"))
        })?;
        let mut rules = Rules::from_config(&self.config);
        // Open calls of the calling program's tools wait for that program, not for a person.
        rules.confirm_pending_calls &= sent.tools.is_empty();
        let mut state = StreamState::new(sent.thread_id, sent.run_id, rules);
        let request = PreparedRequest { body: body.into(), max_event_bytes: self.config.max_event_bytes + file_bytes };
        let ended = self.read_response(&mut state, request, out, permit).await;
        out.observations.add(state.observations());
        ended?;
        Ok(state.end()?)
    }
}
