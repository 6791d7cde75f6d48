//! A remote agent: any AG-UI 1.0 endpoint, asked over HTTP, its events taken into our run as they come.
//!
//! Promises: what arrives in the log was held to the rules of AG-UI's own verifier, and is as it was said but for the bytes of
//! files that it restates and for deltas that are put together; a run that breaks them, is cut, falls silent or is refused ends with a code and a sentence of its own; a request is
//! made again only while no event came; an endpoint that fails again and again is left alone for a while; a stopped run closes
//! its connection at once. Secrets stand in no log and no message.

mod conversation;
pub(crate) mod custom_interrupts;
mod failure;
mod http;
mod input;
mod parse;
mod remarks;
mod secrets;
mod shape;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use rand::RngExt;
use tokio::time::{sleep, timeout, timeout_at};

use self::{
    conversation::{Conversation, Rules, cut},
    failure::Failure,
    http::{Body, Endpoint},
    input::{Question, Request},
    remarks::Remarks,
};
use crate::{
    protocol::{
        RunId, ThreadEntry,
        agui::{Event, RunFinished},
        extensions::AFTER_CANCELLATION,
        http::{AgentInfo, Finding, Health},
    },
    server::{
        clock::now_ms,
        config::agents::AgUiConfig,
        offload,
        outbound::{
            breaker::{Breaker, Permit},
            memory,
            sse::{Sse, SseError, SseItem},
        },
        runs::{Agent, AgentError, Done, Emitter, RunInput},
    },
    thread::ThreadView,
};

pub use crate::server::outbound::breaker::{BreakerConfig, Breakers};

/// How long a finished stream is listened to for a late failure, or for another run.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How a remote agent's endpoint is spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteOptions {
    /// When its circuit breaker opens.
    pub breaker: BreakerConfig,
    /// The wait before the first new try; then twice as long each time.
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
    /// The key: `headers.Authorization`, say.
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

/// What the endpoint is sent, and how much it may say at once.
struct Asked {
    body: Bytes,
    /// Somewhat more than what is kept of an event: an agent may restate what it was sent, the bytes of files with it.
    max_event_bytes: usize,
}

/// Where events go, and the thread as they change it, where that is asked for.
struct Told<'a> {
    out: &'a Emitter,
    seen: Option<(RunId, ThreadView)>,
    /// Whether the next event is the first after a cancellation.
    after_cancellation: bool,
    remarks: &'a mut Remarks,
}

impl Told<'_> {
    async fn emit(&mut self, mut event: Event) -> Result<(), AgentError> {
        if std::mem::take(&mut self.after_cancellation) {
            event.base_mut().metadata.get_or_insert_default().insert(AFTER_CANCELLATION.to_owned(), true.into());
        }
        if let Some((run_id, thread)) = &mut self.seen {
            thread.apply(now_ms(), ThreadEntry::Agent { run_id: *run_id, event: Box::new(event.clone()) });
        }
        self.out.emit(event).await
    }
}

/// Why a run ends that the remote did not finish.
enum Ended {
    /// It was stopped.
    Stopped,
    /// It failed.
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<AgentError> for Ended {
    fn from(_: AgentError) -> Self {
        Self::Stopped
    }
}

impl Remote {
    /// An agent at an endpoint; `variables` answers what the headers refer to. Connects to nothing.
    ///
    /// # Errors
    /// The key that is wrong.
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

    /// The same agent, with the breaker that all agents at its endpoint share.
    #[must_use]
    pub fn sharing(self, breakers: &Breakers) -> Self {
        let breaker = breakers.shared(self.endpoint.place(), self.breaker);
        Self { breaker, ..self }
    }

    /// Asks, and passes on what is said; answers how the remote finished. The breaker learns of it.
    async fn ask(&self, input: &RunInput, out: &Emitter, remarks: &mut Remarks) -> Result<RunFinished, Ended> {
        let mut permit = self.breaker.acquire(Instant::now()).map_err(|wait| self.circuit_open(wait))?;
        let told = Told { out, seen: None, after_cancellation: false, remarks };
        let ended = self.requests(input, told, &mut permit).await.map_err(|ended| match ended {
            Ended::Failed(failure) => Ended::Failed(failure.redacted(self.endpoint.secrets())),
            Ended::Stopped => Ended::Stopped,
        });
        match &ended {
            Ok(_) => permit.success(None),
            Err(Ended::Stopped) => drop(permit),
            Err(Ended::Failed(failure)) if failure.blames_endpoint => permit.failure(Instant::now(), &failure.message),
            Err(Ended::Failed(failure)) => permit.success(Some(&failure.message)),
        }
        ended
    }

    /// The requests of a run: what nobody answered is cancelled before something else is asked. Most frameworks take either a
    /// cancellation or a message, and would answer the one and forget the other.
    async fn requests(&self, input: &RunInput, mut told: Told<'_>, permit: &mut Permit) -> Result<RunFinished, Ended> {
        let Some(cancellation) = Question::cancellation(input) else {
            return self.request(Question::of(input), input, &mut told, permit).await;
        };
        told.seen = Some((input.run_id, input.thread.clone()));
        let cancelled = self.request(cancellation, input, &mut told, permit).await;
        let usage = match cancelled {
            Ok(end) => end.usage,
            // It does not know what was to be cancelled, had nothing to say, or failed at it: what is asked now can still be
            // answered. Where nobody listens, it cannot.
            Err(Ended::Failed(failure)) if !matches!(failure.code, "remote_unreachable" | "connect_timeout") => {
                let message = self.endpoint.secrets().redact(&failure.message);
                tracing::warn!(run = %input.run_id, code = failure.code, message, "a cancellation was not taken");
                failure.told.and_then(|error| error.usage)
            }
            Err(ended) => return Err(ended),
        };
        let thread = told.seen.take().map_or_else(|| input.thread.clone(), |(_, thread)| thread);
        told.after_cancellation = true;
        let mut end = self.request(Question::after_cancellation(input, &thread), input, &mut told, permit).await?;
        if let Some(used) = usage {
            end.usage.get_or_insert_default().extend(used);
        }
        Ok(end)
    }

    async fn request(
        &self,
        question: Question,
        input: &RunInput,
        out: &mut Told<'_>,
        permit: &mut Permit,
    ) -> Result<RunFinished, Ended> {
        let Request { input: asks, inline } = input::request(question, input, &self.config).await;
        let body = serde_json::to_vec(&asks)
            .map_err(|error| Failure::new("unwritable_request", format!("the conversation cannot be sent: {error}")))?;
        let mut rules = Rules::of(&self.config);
        // A call of a tool that the calling program brought waits for that program, not for a person.
        rules.confirm_pending_calls &= asks.tools.is_empty();
        let mut conversation = Conversation::new(asks.thread_id, asks.run_id, rules);
        let asked = Asked { body: body.into(), max_event_bytes: self.config.max_event_bytes + inline };
        let ended = self.converse(&mut conversation, asked, out, permit).await;
        out.remarks.add(conversation.remarks());
        ended?;
        Ok(conversation.end()?)
    }

    async fn converse(
        &self,
        conversation: &mut Conversation,
        asked: Asked,
        out: &mut Told<'_>,
        permit: &mut Permit,
    ) -> Result<(), Ended> {
        let (mut stream, first) = self.begin(&asked).await?;
        permit.answered();
        let mut next = Some(first);
        let silence = Duration::from_millis(self.config.silence_timeout_ms);
        let mut last_words: Option<tokio::time::Instant> = None;
        loop {
            last_words =
                conversation.finished().then(|| last_words.unwrap_or_else(|| tokio::time::Instant::now() + LAST_WORDS));
            let heard = match (next.take(), last_words) {
                (Some(heard), _) => heard,
                (None, Some(until)) => match timeout_at(until, stream.next()).await {
                    Ok(Ok(heard)) => heard,
                    // It has said all it had to: how its connection ends matters no more.
                    Ok(Err(_)) | Err(_) => break,
                },
                (None, None) => match timeout(silence, stream.next()).await {
                    Ok(heard) => heard.map_err(broken)?,
                    Err(_) => return Err(silent(silence).into()),
                },
            };
            match heard {
                SseItem::KeepAlive => stream.release(),
                SseItem::Data(text) => {
                    let is_large = text.len() > memory::SMALL_EVENT_BYTES;
                    if let Some(event) = read(conversation, text).await? {
                        out.emit(event).await?;
                    }
                    if is_large {
                        out.out.flush().await?;
                        stream.release();
                    }
                }
                SseItem::End(rest) => {
                    // Half an event is a cut, a whole one counts though no blank line follows it.
                    let whole = rest.filter(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
                    if let Some(text) = whole
                        && let Some(event) = read(conversation, text).await?
                    {
                        out.emit(event).await?;
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// The stream with its first event: asked again where that may help, and never once an event came.
    async fn begin(&self, asked: &Asked) -> Result<(Sse<Body>, SseItem), Failure> {
        let (mut wait, mut left) = (self.backoff, self.config.retries);
        loop {
            let ended = self.first(asked).await;
            let Err(Failure { retry: Some(after), message, .. }) = &ended else { return ended };
            if left == 0 {
                return ended;
            }
            let message = self.endpoint.secrets().redact(message);
            let pause = (*after).max(wait.mul_f64(rand::rng().random_range(0.5..1.0)));
            tracing::info!(agent = self.info.id, message, ?pause, "a remote agent is asked again");
            sleep(pause).await;
            (wait, left) = (wait * 2, left - 1);
        }
    }

    async fn first(&self, asked: &Asked) -> Result<(Sse<Body>, SseItem), Failure> {
        let limit = Duration::from_millis(self.config.first_event_timeout_ms);
        let first = async {
            let body = self.endpoint.post(asked.body.clone()).await?;
            let mut stream = Sse::new(body, asked.max_event_bytes).with_budget(&memory::BUDGET);
            loop {
                match stream.next().await.map_err(broken)? {
                    SseItem::KeepAlive => {}
                    heard => return Ok((stream, heard)),
                }
            }
        };
        timeout(limit, first).await.unwrap_or_else(|_| {
            let message = format!("the remote agent began to answer in none of {limit:?}; ask again later");
            Err(Failure::of_endpoint("first_event_timeout", message))
        })
    }

    fn circuit_open(&self, wait: Duration) -> Failure {
        let last =
            self.breaker.snapshot(Instant::now()).last_error.map(|error| format!(" ({error})")).unwrap_or_default();
        let seconds = wait.as_secs_f32().ceil();
        let message =
            format!("the remote agent failed several times in a row{last}; it is asked again in {seconds} s, try then");
        Failure::new("remote_unavailable", message)
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
        let mut remarks = Remarks::default();
        let ended = input.cancel.run_until_cancelled(self.ask(&input, &out, &mut remarks)).await;
        let done = match ended {
            Some(Ok(end)) => Ok(Done::from_event(end)),
            Some(Err(Ended::Failed(Failure { told: Some(error), .. }))) => Err(AgentError::from_event(*error)),
            Some(Err(Ended::Failed(failure))) => Err(AgentError::failed(failure.code, failure.message)),
            Some(Err(Ended::Stopped)) | None => Err(AgentError::Stopped),
        };
        let mut findings = remarks.findings(&self.config);
        let secrets = self.endpoint.secrets();
        findings.iter_mut().for_each(|finding| finding.about = secrets.redact(&finding.about));
        (done, findings)
    }

    fn health(&self) -> Option<Health> {
        let snapshot = self.breaker.snapshot(Instant::now());
        Some(Health { ok: snapshot.is_usable(), about: snapshot.describe() })
    }
}

/// What the next event says. A large one is read on a thread that serves no socket.
async fn read(conversation: &mut Conversation, text: String) -> Result<Option<Event>, Failure> {
    if text.len() <= memory::SMALL_EVENT_BYTES {
        return conversation.hear(&text);
    }
    let mut lent = conversation.lend();
    let hear = move || {
        let event = lent.hear(&text);
        (lent, event)
    };
    let panicked = |_| Failure::new("malformed_event", "the remote agent sent an event that cannot be read");
    let event;
    (*conversation, event) = offload::run(hear).await.map_err(panicked)?;
    event
}

fn silent(limit: Duration) -> Failure {
    let message = format!("the remote agent fell silent for {limit:?}; what it said so far is kept, ask again");
    Failure::of_endpoint("silence_timeout", message)
}

fn broken(broken: SseError) -> Failure {
    match broken {
        SseError::TooLarge(_) => {
            Failure::new("event_too_large", format!("the remote agent said too much at once: {broken}"))
        }
        SseError::Memory(error) => {
            Failure::new("server_busy", format!("the remote agent's answer was not read on: {error}"))
        }
        SseError::NotText => {
            Failure::new("malformed_event", format!("the remote agent sent an event that cannot be read: {broken}"))
        }
        SseError::Disconnected(error) => {
            tracing::info!(%error, "a remote agent's connection died");
            cut("the connection to the remote agent died before the run ended; what it said so far is kept, ask again")
        }
    }
}
