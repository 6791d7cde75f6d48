//! The commands of one connection: parsed strictly, limited in number and rate, and executed one after the other.
//!
//! Each command runs in a task of its own: its panic does not end the connection, a slow one does not hold up deliveries, and
//! it runs to its end even if the connection closes. `ping` is answered at once, whatever is queued.

use std::{
    collections::VecDeque,
    future::pending,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::{Timeout, timeout},
};
use tracing::{Instrument, Span};

use super::limits::{BadFrames, SeenIds};
use crate::{
    protocol::{ClientFrame, CloseCode, Command, DecodeError, ErrorBody, ErrorCode, UserId, decode_client},
    server::{
        channel::Channel,
        connections::Close,
        metrics,
        rates::{RateDecision, UserRateLimiter},
    },
};

/// The most queued commands; when there are so many, no more frames are read.
const MAX_QUEUED: usize = 32;
/// How long a command may take before it is answered `unavailable`.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// What the connection does about a received frame.
#[derive(Debug, PartialEq)]
pub(super) enum FrameAction {
    /// Nothing: its command is queued.
    Queued,
    /// Answer the `ping` of this id.
    Ping(i64),
    /// Reply with this error to the command of this id.
    Refused(i64, ErrorBody),
    /// Push this error: the frame has no id to reply to.
    BadFrame(ErrorBody),
    /// Close the connection.
    Close(Close),
}

/// The result of a command.
#[derive(Debug)]
pub(super) enum CommandOutcome {
    /// It was done; this is the encoded reply.
    Reply(String),
    /// The subscription begins after the entry `seq`; the log ended at `head`.
    Subscribed { seq: u64, head: u64, reply: String },
    /// It was refused.
    Refused(ErrorBody),
    /// The credentials are not valid any more.
    SignedOut,
}

impl CommandOutcome {
    /// The code of the error in the reply, if any.
    fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Reply(_) | Self::Subscribed { .. } => None,
            Self::Refused(error) => Some(error.code),
            Self::SignedOut => Some(ErrorCode::Forbidden),
        }
    }
}

/// The command that is being executed.
struct RunningCommand {
    id: i64,
    kind: &'static str,
    started: Instant,
    span: Span,
    /// The channel, if it is a subscription.
    channel: Option<Channel>,
    abort: AbortHandle,
    task: Pin<Box<Timeout<JoinHandle<CommandOutcome>>>>,
}

/// The commands of a connection.
pub(super) struct CommandQueue {
    user: UserId,
    /// Shared by all connections of the person.
    rates: Arc<UserRateLimiter>,
    bad_frames: BadFrames,
    seen: SeenIds,
    queued: VecDeque<(i64, Command)>,
    running: Option<RunningCommand>,
}

impl CommandQueue {
    /// An empty queue, limited to the person's rate.
    pub(super) fn new(user: UserId, rates: Arc<UserRateLimiter>) -> Self {
        Self {
            user,
            rates,
            bad_frames: BadFrames::default(),
            seen: SeenIds::default(),
            queued: VecDeque::new(),
            running: None,
        }
    }

    /// Whether another frame may be read.
    pub(super) fn has_room(&self) -> bool {
        self.queued.len() < MAX_QUEUED
    }

    /// Parses a text frame and queues its command, if it has one.
    pub(super) fn receive(&mut self, text: &str, now: Instant) -> FrameAction {
        let (id, decoded) = match decode_client(text) {
            Ok(ClientFrame { id, command }) => (id, Ok(command)),
            Err(DecodeError::Command { id, error }) => (id, Err(error)),
            Err(DecodeError::Frame(error)) => return self.bad_frame(error, now),
        };
        if !self.seen.insert(id) {
            let message = format!("`id` {id} was used before in this connection; increment it with each command");
            return self.bad_frame(ErrorBody::new(ErrorCode::BadFrame, message), now);
        }
        match self.rates.check(self.user) {
            RateDecision::Allowed => {}
            RateDecision::Limited(wait) => {
                let kind = decoded.ok().map(|command| command.kind());
                metrics::command(kind, Some(ErrorCode::RateLimited), Duration::ZERO);
                return FrameAction::Refused(id, self.rates.refusal(wait));
            }
            RateDecision::Flooding(wait) => {
                let reason = json!({ "retry_after_ms": wait }).to_string().into();
                return FrameAction::Close(Close { code: CloseCode::Flooding, reason });
            }
        }
        match decoded {
            Ok(command @ Command::Ping(_)) => {
                metrics::command(Some(command.kind()), None, Duration::ZERO);
                FrameAction::Ping(id)
            }
            Ok(command) => {
                self.queued.push_back((id, command));
                FrameAction::Queued
            }
            Err(error) => {
                metrics::command(None, Some(error.code), Duration::ZERO);
                FrameAction::Refused(id, error)
            }
        }
    }

    /// Refuses a binary frame.
    pub(super) fn receive_binary(&mut self, now: Instant) -> FrameAction {
        self.bad_frame(ErrorBody::new(ErrorCode::BadFrame, "binary frames are not supported; send text"), now)
    }

    fn bad_frame(&mut self, error: ErrorBody, now: Instant) -> FrameAction {
        if self.bad_frames.record(now) {
            return FrameAction::Close(Close::new(CloseCode::NotProtocol, "three bad frames within a minute"));
        }
        FrameAction::BadFrame(error)
    }

    /// The oldest queued command, unless one is being executed.
    pub(super) fn next(&mut self) -> Option<(i64, Command)> {
        if self.running.is_some() { None } else { self.queued.pop_front() }
    }

    /// Starts to execute a command, in its span. `channel` is that of a subscription.
    pub(super) fn start(
        &mut self,
        id: i64,
        kind: &'static str,
        channel: Option<Channel>,
        span: Span,
        execution: impl Future<Output = CommandOutcome> + Send + 'static,
    ) {
        let task = tokio::spawn(execution.instrument(span.clone()));
        let (started, abort) = (Instant::now(), task.abort_handle());
        let task = Box::pin(timeout(COMMAND_TIMEOUT, task));
        self.running = Some(RunningCommand { id, kind, started, span, channel, abort, task });
    }

    /// Waits for the command that is being executed, for ever if there is none. Returns its id, the channel of a subscription, and its
    /// outcome.
    pub(super) async fn finished(&mut self) -> (i64, Option<Channel>, CommandOutcome) {
        let Some(command) = &mut self.running else { return pending().await };
        let outcome = match command.task.as_mut().await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                tracing::error!(parent: &command.span, %error, "a command panicked");
                CommandOutcome::Refused(ErrorBody::new(ErrorCode::Internal, "the server failed; its log has the cause"))
            }
            Err(_) => {
                tracing::error!(parent: &command.span, "a command took too long");
                // A subscription changes nothing in the store. Every other command runs to its end.
                if command.channel.is_some() {
                    command.abort.abort();
                }
                let message = "the command took too long; send it again in a moment, with the same content";
                CommandOutcome::Refused(ErrorBody::new(ErrorCode::Unavailable, message).retry_after(1_000))
            }
        };
        metrics::command(Some(command.kind), outcome.error_code(), command.started.elapsed());
        let finished = (command.id, command.channel, outcome);
        self.running = None;
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_panics_is_an_internal_error_and_the_next_one_is_executed() {
        let mut queue = CommandQueue::new(UserId::new(), Arc::new(UserRateLimiter::new(60)));
        queue.start(1, "create_thread", None, Span::none(), async { panic!("of the test") });
        let (id, _, outcome) = queue.finished().await;
        assert_eq!((id, outcome.error_code()), (1, Some(ErrorCode::Internal)));
        queue.start(2, "create_thread", None, Span::none(), async { CommandOutcome::Reply("done".into()) });
        let (id, _, outcome) = queue.finished().await;
        assert!(id == 2 && matches!(outcome, CommandOutcome::Reply(reply) if reply == "done"));
    }
}
