//! What one connection asked: read strictly, bounded, and done one after the other.
//!
//! A command runs in a task of its own, so that neither its panic nor its slowness is the connection's, and so that what
//! it began is finished though the connection goes. `ping` is answered at once, whatever waits.

use std::{
    collections::VecDeque,
    future::pending,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    task::{AbortHandle, JoinHandle},
    time::{Timeout, timeout},
};
use tracing::{Instrument, Span};

use super::{
    gateway::{Gateway, Peer},
    limits::{BadFrames, SeenIds},
    subscribe::{Granted, subscribe},
};
use crate::{
    protocol::{
        Accepted, ClientFrame, CloseCode, Command, DecodeError, ErrorBody, ErrorCode, Pong, ThreadReply, UserId,
        decode_client, encode_reply, http::User,
    },
    server::{
        auth::Refusal,
        channel::Channel,
        clock::now_ms,
        connections::Close,
        error::{Error, Result},
        metrics, offload,
        rates::{Rate, Rates},
        threads,
    },
};

/// How many commands wait at most; then no more frames are read.
const MAX_WAITING: usize = 32;
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest reply: a thread's snapshot, say.
pub(super) const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// What became of a frame.
#[derive(Debug, PartialEq)]
pub(super) enum Received {
    /// It waits for its turn.
    Waits,
    /// It is a `ping`.
    Ping(i64),
    /// It is refused by reply.
    Refused(i64, ErrorBody),
    /// It is refused without one.
    BadFrame(ErrorBody),
    /// It was one too many.
    End(Close),
}

/// What became of a command.
#[derive(Debug)]
pub(super) enum Done {
    /// It was done; the reply is encoded.
    Reply(String),
    /// The subscription goes on after `seq`; the log ended at `head`.
    Granted { seq: u64, head: u64, reply: String },
    /// It was refused.
    Refused(ErrorBody),
    /// The credentials hold no longer.
    SignedOut,
}

impl Done {
    /// The code that it was refused with, if so.
    fn refused(&self) -> Option<ErrorCode> {
        match self {
            Self::Reply(_) | Self::Granted { .. } => None,
            Self::Refused(error) => Some(error.code),
            Self::SignedOut => Some(ErrorCode::Forbidden),
        }
    }
}

/// A command under way.
struct Job {
    id: i64,
    kind: &'static str,
    began: Instant,
    span: Span,
    /// The channel, of a subscription.
    channel: Option<Channel>,
    abort: AbortHandle,
    task: Pin<Box<Timeout<JoinHandle<Done>>>>,
}

/// The commands of a connection.
pub(super) struct Inbox {
    user: UserId,
    /// Of all connections of the person.
    rates: Arc<Rates>,
    bad_frames: BadFrames,
    seen: SeenIds,
    waiting: VecDeque<(i64, Command)>,
    job: Option<Job>,
}

impl Inbox {
    /// An empty one, of a person, which takes as many commands as the person's rate allows.
    pub(super) fn new(user: UserId, rates: Arc<Rates>) -> Self {
        Self {
            user,
            rates,
            bad_frames: BadFrames::default(),
            seen: SeenIds::default(),
            waiting: VecDeque::new(),
            job: None,
        }
    }

    /// Whether another frame may be read.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// A text frame came.
    pub(super) fn receive(&mut self, text: &str, now: Instant) -> Received {
        let (id, decoded) = match decode_client(text) {
            Ok(ClientFrame { id, command }) => (id, Ok(command)),
            Err(DecodeError::Command { id, error }) => (id, Err(error)),
            Err(DecodeError::Frame(error)) => return self.bad_frame(error, now),
        };
        if !self.seen.note(id) {
            let message = format!("`id` {id} was used before in this connection; count up");
            return self.bad_frame(ErrorBody::new(ErrorCode::BadFrame, message), now);
        }
        match self.rates.check(self.user) {
            Rate::Fine => {}
            Rate::Limited(wait) => {
                metrics::command(
                    decoded.ok().map(|command| command.kind()),
                    Some(ErrorCode::RateLimited),
                    Duration::ZERO,
                );
                return Received::Refused(id, self.rates.refusal(wait));
            }
            Rate::Flood(wait) => {
                let reason = json!({ "retry_after_ms": wait }).to_string().into();
                return Received::End(Close { code: CloseCode::Flooding, reason });
            }
        }
        match decoded {
            Ok(command @ Command::Ping(_)) => {
                metrics::command(Some(command.kind()), None, Duration::ZERO);
                Received::Ping(id)
            }
            Ok(command) => {
                self.waiting.push_back((id, command));
                Received::Waits
            }
            Err(error) => {
                metrics::command(None, Some(error.code), Duration::ZERO);
                Received::Refused(id, error)
            }
        }
    }

    /// A binary frame came.
    pub(super) fn binary(&mut self, now: Instant) -> Received {
        self.bad_frame(ErrorBody::new(ErrorCode::BadFrame, "binary frames are not understood; send text"), now)
    }

    fn bad_frame(&mut self, error: ErrorBody, now: Instant) -> Received {
        if self.bad_frames.strike(now) {
            return Received::End(Close::new(CloseCode::NotProtocol, "three bad frames within a minute"));
        }
        Received::BadFrame(error)
    }

    /// The command that waits longest, unless one is under way.
    pub(super) fn next(&mut self) -> Option<(i64, Command)> {
        if self.job.is_some() { None } else { self.waiting.pop_front() }
    }

    /// Begins a command, in its span.
    pub(super) fn begin(
        &mut self,
        id: i64,
        kind: &'static str,
        channel: Option<Channel>,
        span: Span,
        work: impl Future<Output = Done> + Send + 'static,
    ) {
        let task = tokio::spawn(work.instrument(span.clone()));
        let (began, abort) = (Instant::now(), task.abort_handle());
        self.job = Some(Job { id, kind, began, span, channel, abort, task: Box::pin(timeout(PATIENCE, task)) });
    }

    /// Waits for what is under way. Answers the command's id, the channel of a subscription, and what became of it.
    pub(super) async fn done(&mut self) -> (i64, Option<Channel>, Done) {
        let Some(job) = &mut self.job else { return pending().await };
        let done = match job.task.as_mut().await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                tracing::error!(parent: &job.span, %error, "a command panicked");
                Done::Refused(ErrorBody::new(ErrorCode::Internal, "the server failed; its log has the cause"))
            }
            Err(_) => {
                tracing::error!(parent: &job.span, "a command took too long");
                // A subscription changes nothing in the store; everything else is left to finish what it began.
                if job.channel.is_some() {
                    job.abort.abort();
                }
                let message = "this takes too long; send it again in a moment, with the same content";
                Done::Refused(ErrorBody::new(ErrorCode::Unavailable, message).retry_after(1_000))
            }
        };
        metrics::command(Some(job.kind), done.refused(), job.began.elapsed());
        let answer = (job.id, job.channel, done);
        self.job = None;
        answer
    }
}

/// Does a command, as whoever the connection's person is by now.
pub(super) async fn work(peer: Arc<Peer>, id: i64, command: Command) -> Done {
    let gateway = &peer.gateway;
    let user = match gateway.auth.still(&peer.identity).await {
        Ok(user) => user,
        Err(Refusal::Failed(error)) => return Done::Refused(error.into_body()),
        Err(Refusal::Unauthorized(_) | Refusal::Origin(_) | Refusal::Forbidden(_)) => return Done::SignedOut,
    };
    let Command::Subscribe(command) = command else {
        return match execute(gateway, &user, command).await {
            Ok(payload) => Done::Reply(encode_reply(id, &Ok(payload))),
            Err(error) => Done::Refused(error.into_body()),
        };
    };
    let limit = gateway.config.replay_limit;
    match subscribe(&gateway.channels, &peer.follower, limit, &user, &command).await {
        Ok(Granted { reply, head }) => {
            let seq = reply.seq;
            // A snapshot may be long.
            let encoded = match reply.snapshot {
                None => Ok(encode_reply(id, &Ok(json!(reply)))),
                Some(_) => offload::run(move || encode_reply(id, &Ok(json!(reply)))).await,
            };
            let reply = match encoded {
                Ok(reply) => reply,
                Err(panicked) => return Done::Refused(Error::from(panicked).into_body()),
            };
            if reply.len() > MAX_REPLY_BYTES {
                let message =
                    format!("the channel's state has more than {MAX_REPLY_BYTES} bytes; begin another thread");
                return Done::Refused(ErrorBody::new(ErrorCode::TooLarge, message));
            }
            Done::Granted { seq, head, reply }
        }
        Err(error) => Done::Refused(error.into_body()),
    }
}

/// Does a command that is not about subscriptions, for a person as they are now; answers the payload of its reply.
async fn execute(gateway: &Gateway, user: &User, command: Command) -> Result<Value> {
    let Gateway { channels, commands, .. } = gateway;
    Ok(match command {
        Command::CreateThread(command) => {
            let thread = commands.create_thread(user, &command).await?;
            json!(ThreadReply { thread })
        }
        Command::RenameThread(command) => {
            let thread = threads::rename(channels, user, &command).await?;
            json!(ThreadReply { thread })
        }
        Command::SetAgent(command) => {
            let thread = commands.set_agent(user, &command).await?;
            json!(ThreadReply { thread })
        }
        Command::DeleteThread(command) => {
            commands.delete_thread(user, &command).await?;
            json!(Accepted {})
        }
        Command::SendMessage(command) => json!(commands.send_message(user, &command, None).await?),
        Command::Answer(command) => json!(commands.answer(user, &command, None).await?),
        Command::TakeBack(command) => {
            commands.take_back(user, &command).await?;
            json!(Accepted {})
        }
        Command::StopRun(command) => {
            commands.stop_run(user.id, command.run_id).await?;
            json!(Accepted {})
        }
        Command::MarkRead(command) => {
            threads::mark_read(channels, user, &command).await?;
            json!(Accepted {})
        }
        Command::Ping(_) => pong(),
        Command::Subscribe(_) | Command::Unsubscribe(_) => {
            return Err(Error::Corrupt("subscriptions are the connection's".into()));
        }
    })
}

/// The reply to `ping`.
pub(super) fn pong() -> Value {
    json!(Pong { server_time: now_ms() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_panics_is_an_internal_error_and_the_next_one_is_done() {
        let mut inbox = Inbox::new(UserId::new(), Arc::new(Rates::new(60)));
        inbox.begin(1, "create_thread", None, Span::none(), async { panic!("of the test") });
        let (id, _, done) = inbox.done().await;
        assert_eq!((id, done.refused()), (1, Some(ErrorCode::Internal)));
        inbox.begin(2, "create_thread", None, Span::none(), async { Done::Reply("done".into()) });
        let (id, _, done) = inbox.done().await;
        assert!(id == 2 && matches!(done, Done::Reply(reply) if reply == "done"));
    }
}
