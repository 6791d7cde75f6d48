//! The outbox: commands that have no reply yet, in order, across connections.
//!
//! Only one command is in flight at a time, so that a command that is sent again (the connection was lost, or the server asked to
//! wait) is never overtaken by a later one.

use std::collections::VecDeque;

use super::CommandToken;
use crate::protocol::{Command, ErrorBody, ErrorCode, Outcome, ThreadId};

/// The maximum number of queued commands.
pub(super) const MAX_QUEUED: usize = 256;
/// How many times a command is sent before it fails.
const MAX_ATTEMPTS: u32 = 10;
/// How long a reply may take on a live connection, in milliseconds.
const REPLY_TIMEOUT_MS: i64 = 30_000;
/// The longest pause that the server may ask for with `retry_after_ms`, in milliseconds.
const MAX_PAUSE_MS: u64 = 5 * 60_000;

#[derive(Debug)]
struct Queued {
    token: CommandToken,
    command: Command,
    attempts: u32,
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    id: i64,
    reply_by: i64,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Queued>,
    in_flight: Option<InFlight>,
    paused_until: Option<i64>,
}

impl Outbox {
    /// Queues a command.
    ///
    /// # Errors
    /// `unavailable` if [`MAX_QUEUED`] commands are queued already.
    pub(super) fn push(&mut self, token: CommandToken, command: Command) -> Result<(), ErrorBody> {
        if self.queue.len() >= MAX_QUEUED {
            let message = format!("{MAX_QUEUED} commands are waiting already; try again once the connection is back");
            return Err(ErrorBody::new(ErrorCode::Unavailable, message));
        }
        self.queue.push_back(Queued { token, command, attempts: 0 });
        Ok(())
    }

    /// The command to send now, if any.
    pub(super) fn ready(&self, now: i64) -> Option<&Command> {
        let paused = self.paused_until.is_some_and(|until| now < until);
        if paused || self.in_flight.is_some() { None } else { self.queue.front().map(|first| &first.command) }
    }

    /// The first command was sent with this id.
    pub(super) fn on_sent(&mut self, now: i64, id: i64) {
        if let Some(first) = self.queue.front_mut() {
            first.attempts += 1;
            self.in_flight = Some(InFlight { id, reply_by: now + REPLY_TIMEOUT_MS });
            self.paused_until = None;
        }
    }

    /// A reply arrived. Returns the finished command with its outcome; `None` if `id` is not in flight, or if the command will be
    /// sent again.
    pub(super) fn on_reply(&mut self, now: i64, id: i64, outcome: Outcome) -> Option<(CommandToken, Command, Outcome)> {
        self.in_flight.take_if(|sent| sent.id == id)?;
        let retry_after = outcome.as_ref().err().and_then(retry_after);
        if let (Some(ms), Some(first)) = (retry_after, self.queue.front())
            && first.attempts < MAX_ATTEMPTS
        {
            self.paused_until = Some(now + ms.min(MAX_PAUSE_MS) as i64);
            return None;
        }
        self.finish_first(outcome)
    }

    /// Removes the first command, which is not sent (again), and returns it with its outcome.
    pub(super) fn finish_first(&mut self, outcome: Outcome) -> Option<(CommandToken, Command, Outcome)> {
        self.in_flight = None;
        self.queue.pop_front().map(|first| (first.token, first.command, outcome))
    }

    /// The connection was lost. Returns the command in flight if it was sent [`MAX_ATTEMPTS`] times; otherwise it stays queued.
    pub(super) fn on_connection_lost(&mut self) -> Option<(CommandToken, Command, Outcome)> {
        self.in_flight.take()?;
        let attempts = self.queue.front()?.attempts;
        let no_reply = "the server did not reply; check whether the command took effect before you try again";
        let error = ErrorBody::new(ErrorCode::Unavailable, no_reply);
        if attempts >= MAX_ATTEMPTS { self.finish_first(Err(error)) } else { None }
    }

    /// Removes all commands, in order.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = CommandToken> {
        self.in_flight = None;
        self.paused_until = None;
        std::mem::take(&mut self.queue).into_iter().map(|queued| queued.token)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether a queued command creates this thread.
    pub(super) fn creates(&self, id: ThreadId) -> bool {
        self.queue.iter().any(|queued| matches!(&queued.command, Command::CreateThread(new) if new.thread_id == id))
    }

    /// The id of the command in flight.
    pub(super) fn in_flight(&self) -> Option<i64> {
        self.in_flight.map(|sent| sent.id)
    }

    /// Whether the reply to the command in flight is overdue.
    pub(super) fn is_overdue(&self, now: i64) -> bool {
        self.in_flight.is_some_and(|sent| now >= sent.reply_by)
    }

    pub(super) fn deadline(&self) -> Option<i64> {
        self.in_flight.map(|sent| sent.reply_by).or(self.paused_until.filter(|_| !self.queue.is_empty()))
    }
}

/// The wait that an error asks for, in milliseconds, if sending the command again may succeed.
fn retry_after(error: &ErrorBody) -> Option<u64> {
    error.retry_after_ms.filter(|_| matches!(error.code, ErrorCode::RateLimited | ErrorCode::Unavailable))
}
