//! The commands that are not answered yet, in order, across connections.
//!
//! One is in flight at a time: a command that has to be sent again (the connection broke, the server asked to wait) can
//! then never be overtaken by a later one.

use std::collections::VecDeque;

use super::Token;
use crate::protocol::{Command, ErrorBody, ErrorCode, Outcome, ThreadId};

/// The most commands that wait.
pub(super) const MOST_WAITING: usize = 256;
/// The most times a command is sent before its sender is told that no answer comes.
const MOST_TRIES: u32 = 10;
/// Milliseconds for a reply on a connection that is otherwise alive.
const ANSWER_MS: i64 = 30_000;
/// The longest that the server may make commands wait, in milliseconds.
const MOST_PAUSE_MS: u64 = 5 * 60_000;

#[derive(Debug)]
struct Waiting {
    token: Token,
    command: Command,
    tries: u32,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    id: i64,
    answer_by: i64,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Waiting>,
    flight: Option<Flight>,
    paused_until: Option<i64>,
}

impl Outbox {
    /// Takes a command, or refuses it when too many wait already.
    pub(super) fn push(&mut self, token: Token, command: Command) -> Result<(), ErrorBody> {
        if self.queue.len() >= MOST_WAITING {
            let full = format!("{MOST_WAITING} commands wait already; wait until the connection is back");
            return Err(ErrorBody::new(ErrorCode::Unavailable, full));
        }
        self.queue.push_back(Waiting { token, command, tries: 0 });
        Ok(())
    }

    /// The command to send now, if one may be.
    pub(super) fn ready(&self, now: i64) -> Option<&Command> {
        let paused = self.paused_until.is_some_and(|until| now < until);
        if paused || self.flight.is_some() { None } else { self.queue.front().map(|first| &first.command) }
    }

    /// It was sent under this id.
    pub(super) fn sent(&mut self, now: i64, id: i64) {
        if let Some(first) = self.queue.front_mut() {
            first.tries += 1;
            self.flight = Some(Flight { id, answer_by: now + ANSWER_MS });
            self.paused_until = None;
        }
    }

    /// The reply to `id`: whose it was and what to tell them; nothing when it was no command's, or is to be sent again.
    pub(super) fn answered(&mut self, now: i64, id: i64, outcome: Outcome) -> Option<(Token, Command, Outcome)> {
        self.flight.take_if(|flight| flight.id == id)?;
        let retry_after = outcome.as_ref().err().and_then(retry_after);
        if let (Some(ms), Some(first)) = (retry_after, self.queue.front())
            && first.tries < MOST_TRIES
        {
            self.paused_until = Some(now + ms.min(MOST_PAUSE_MS) as i64);
            return None;
        }
        self.take(outcome)
    }

    /// The first command will not be sent (again): its sender is told this.
    pub(super) fn take(&mut self, outcome: Outcome) -> Option<(Token, Command, Outcome)> {
        self.flight = None;
        self.queue.pop_front().map(|first| (first.token, first.command, outcome))
    }

    /// The connection is gone. Answers the command that was in flight too often, if that is so.
    pub(super) fn lost(&mut self) -> Option<(Token, Command, Outcome)> {
        self.flight.take()?;
        let tries = self.queue.front()?.tries;
        let silent = "the server did not answer; look whether it was done before you try again";
        (tries >= MOST_TRIES).then(|| self.take(Err(ErrorBody::new(ErrorCode::Unavailable, silent)))).flatten()
    }

    /// Gives up on all of them, in order.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Token> {
        self.flight = None;
        self.paused_until = None;
        std::mem::take(&mut self.queue).into_iter().map(|waiting| waiting.token)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether a thread is still to be made by a command here.
    pub(super) fn creates(&self, id: ThreadId) -> bool {
        self.queue.iter().any(|waiting| matches!(&waiting.command, Command::CreateThread(new) if new.thread_id == id))
    }

    /// The id of the command whose reply is awaited.
    pub(super) fn in_flight(&self) -> Option<i64> {
        self.flight.map(|flight| flight.id)
    }

    /// Whether the reply is overdue.
    pub(super) fn is_overdue(&self, now: i64) -> bool {
        self.flight.is_some_and(|flight| now >= flight.answer_by)
    }

    pub(super) fn deadline(&self) -> Option<i64> {
        self.flight.map(|flight| flight.answer_by).or(self.paused_until.filter(|_| !self.queue.is_empty()))
    }
}

/// The wait that an error asks for, where waiting helps.
fn retry_after(error: &ErrorBody) -> Option<u64> {
    error.retry_after_ms.filter(|_| matches!(error.code, ErrorCode::RateLimited | ErrorCode::Unavailable))
}
