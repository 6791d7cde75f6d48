//! The connection machine: everything a client of the socket decides, without I/O, clock, randomness or framework.
//!
//! A driver feeds it [`Input`]s with the time and carries out its [`Output`]s; between the two, [`Machine::next_deadline`]
//! says when to feed [`Input::Tick`]. Promises, whatever the order of inputs: every entry of a followed channel is told
//! exactly once and in order; every command is answered exactly once, and commands reach the server in the order they
//! were given; nothing waits forever and nothing grows without bound.

mod backoff;
mod follows;
mod heartbeat;
mod idle;
mod io;
mod lifecycle;
mod outbox;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use self::io::{Cause, Discovery, Input, News, Output, Status, Token};
use self::{
    backoff::Backoff,
    follows::Follows,
    heartbeat::{Due, Heartbeat},
    idle::IdleCloses,
    outbox::Outbox,
};
use crate::protocol::{
    ChannelName, CloseCode, Command, Cursor, ErrorBody, ErrorCode, Outcome, Ping, Push, ServerFrame, Subscribe,
    Unsubscribe, encode_command,
};

/// Milliseconds for discovery, and for a handshake up to its welcome.
const CONNECT_MS: i64 = 10_000;
/// Handshakes that fail in a row, each after an answered discovery, before that is told as the cause: one alone may be a restart.
const REFUSALS_UNTIL_TOLD: u32 = 2;

#[derive(Debug)]
enum Phase {
    Out,
    Discovering {
        since: i64,
    },
    Opening {
        since: i64,
    },
    Live(Live),
    /// Between two attempts. Waking up may shorten the wait, though not below what the server asked for.
    Waiting {
        until: i64,
        earliest: i64,
    },
    Closed {
        reason: String,
        can_reconnect: bool,
    },
}

#[derive(Debug)]
struct Live {
    heartbeat: Heartbeat,
    max_frame_bytes: usize,
    /// When something was last sent or received.
    last_traffic: i64,
    /// What `draining` told.
    reconnect_in_ms: Option<u64>,
}

/// The machine. See the [module](self).
#[derive(Debug)]
pub struct Machine {
    phase: Phase,
    signed_in: bool,
    offline: bool,
    discovery: Option<Discovery>,
    backoff: Backoff,
    idle_closes: IdleCloses,
    /// Whether the last discovery failed.
    unreachable: bool,
    /// Handshakes that failed since a connection last opened.
    failed_handshakes: u32,
    outbox: Outbox,
    follows: Follows,
    /// How many threads a snapshot of the feed is to have at most; none: all.
    newest: Option<u32>,
    next_id: i64,
    /// The machine's time: it never goes back, whatever the driver's clock does.
    now: i64,
    /// What turns the driver's clock into it.
    skew: i64,
    out: VecDeque<Output>,
}

impl Machine {
    /// A machine at rest: nobody is signed in. `seed` is its source of randomness.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            phase: Phase::Out,
            signed_in: false,
            offline: false,
            discovery: None,
            backoff: Backoff::new(seed),
            idle_closes: IdleCloses::default(),
            unreachable: false,
            failed_handshakes: 0,
            outbox: Outbox::default(),
            follows: Follows::default(),
            newest: None,
            next_id: 1,
            now: i64::MIN,
            skew: 0,
            out: VecDeque::new(),
        }
    }

    /// Asks for no more than so many threads, the newest, where the feed comes as a snapshot.
    #[must_use]
    pub fn with_newest(mut self, threads: u32) -> Self {
        self.newest = Some(threads);
        self
    }

    /// Takes an input at a time in milliseconds since 1970. [`Self::poll`] has what follows from it.
    pub fn handle(&mut self, now_ms: i64, input: Input) {
        if now_ms + self.skew < self.now {
            self.skew = self.now - now_ms;
        }
        self.now = now_ms + self.skew;
        match input {
            Input::SignedIn => {
                self.signed_in = true;
                if matches!(self.phase, Phase::Out) {
                    self.connect();
                }
            }
            Input::SignedOut => self.sign_out(),
            Input::Discovered(answer) => self.discovered(answer),
            Input::Frame(text) => self.frame(&text),
            Input::Closed { code, reason } => self.closed(code.into(), &reason),
            Input::Offline => {
                self.offline = true;
                self.abandon(CloseCode::HeartbeatMissed);
            }
            Input::Online => {
                self.offline = false;
                self.woke();
            }
            Input::Woke => self.woke(),
            Input::Left => {
                self.abandon(CloseCode::Normal);
                if let Phase::Waiting { until, .. } = &mut self.phase {
                    *until = i64::MAX;
                }
            }
            Input::Follow(channel, after) => {
                if let Err(error) = self.follows.add(channel, after) {
                    self.tell(News::Refused { channel, error });
                }
            }
            Input::Unfollow(channel) => self.follows.remove(channel),
            Input::Send(token, command) => self.enqueue(token, command),
            Input::Reconnect => match self.phase {
                Phase::Out if !self.signed_in => {}
                Phase::Out | Phase::Waiting { .. } | Phase::Closed { .. } => self.connect(),
                Phase::Live(_) => self.woke(),
                Phase::Discovering { .. } | Phase::Opening { .. } => {}
            },
            Input::Tick => {}
        }
        self.tick();
        self.pump();
    }

    /// What to do next; call it until there is nothing more.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to feed [`Input::Tick`] at the latest, in the driver's time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        let deadline = match &self.phase {
            Phase::Out | Phase::Closed { .. } => return None,
            Phase::Discovering { since } | Phase::Opening { since } => since + CONNECT_MS,
            Phase::Waiting { until: i64::MAX, .. } => return None,
            Phase::Waiting { until, .. } => *until,
            Phase::Live(live) => {
                // What is due already was sent, or waits for an answer that comes as a frame.
                let later = |at: &i64| *at > self.now;
                let waits = [self.outbox.deadline(), self.follows.deadline(self.now)];
                waits.into_iter().flatten().filter(later).fold(live.heartbeat.deadline(), i64::min)
            }
        };
        Some(deadline - self.skew)
    }

    /// What is known about the connection.
    #[must_use]
    pub fn status(&self) -> Status {
        let attempt = self.backoff.failures();
        match &self.phase {
            Phase::Out => Status::SignedOut,
            Phase::Live(_) => Status::Connected,
            Phase::Closed { reason, can_reconnect } => {
                Status::Closed { reason: reason.clone(), can_reconnect: *can_reconnect }
            }
            _ if self.offline => Status::Offline,
            Phase::Discovering { .. } | Phase::Opening { .. } if attempt == 0 => Status::Connecting,
            Phase::Discovering { since } | Phase::Opening { since } => {
                Status::Reconnecting { attempt, retry_at_ms: since - self.skew, cause: self.cause() }
            }
            Phase::Waiting { until, .. } => {
                Status::Reconnecting { attempt, retry_at_ms: until - self.skew, cause: self.cause() }
            }
        }
    }

    fn cause(&self) -> Option<Cause> {
        match self.failed_handshakes {
            _ if self.unreachable => Some(Cause::ServerUnreachable),
            REFUSALS_UNTIL_TOLD.. => Some(Cause::UpgradeRefused),
            _ => None,
        }
    }

    /// How many commands are not answered yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// How far a followed channel has come.
    #[must_use]
    pub fn cursor(&self, channel: ChannelName) -> Option<&Cursor> {
        self.follows.cursor(channel)
    }

    fn tell(&mut self, news: News) {
        self.out.push_back(Output::Tell(news));
    }

    fn send(&mut self, command: &Command) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.transmit(encode_command(id, command));
        id
    }

    fn transmit(&mut self, text: String) {
        if let Phase::Live(live) = &mut self.phase {
            live.last_traffic = self.now;
        }
        self.out.push_back(Output::Send(text));
    }

    fn frame(&mut self, text: &str) {
        if let Phase::Live(live) = &mut self.phase {
            live.last_traffic = self.now;
            if live.heartbeat.heard(self.now) {
                self.backoff.proved();
            }
        }
        match (ServerFrame::decode(text), &mut self.phase) {
            (Ok(ServerFrame::Push(Push::Welcome(welcome))), Phase::Opening { .. }) => {
                (self.unreachable, self.failed_handshakes) = (false, 0);
                let interval = self.idle_closes.heartbeat_ms(welcome.heartbeat_ms);
                self.phase = Phase::Live(Live {
                    heartbeat: Heartbeat::new(self.now, interval),
                    max_frame_bytes: welcome.max_frame_bytes,
                    last_traffic: self.now,
                    reconnect_in_ms: None,
                });
                self.tell(News::Welcome(welcome));
            }
            (Ok(ServerFrame::Push(Push::Draining(draining))), Phase::Live(live)) => {
                live.reconnect_in_ms = Some(draining.reconnect_in_ms);
            }
            (Ok(ServerFrame::Push(Push::Event(event))), Phase::Live(_)) => {
                if let Some(news) = self.follows.event(self.now, event, &mut self.backoff) {
                    self.tell(news);
                }
            }
            (Ok(ServerFrame::Reply { id, outcome }), Phase::Live(_)) => self.replied(id, outcome),
            (Ok(ServerFrame::Push(Push::Notice(notice))), Phase::Live(_)) => self.tell(News::Notice(notice)),
            (Ok(ServerFrame::Push(Push::Error(error))), _) => self.tell(News::Fault(error.message)),
            (Ok(_), _) => {}
            (Err(why), _) => self.tell(News::Fault(why)),
        }
    }

    fn replied(&mut self, id: i64, outcome: Outcome) {
        if self.outbox.in_flight() == Some(id) {
            let answered = self.outbox.answered(self.now, id, outcome);
            self.answer(answered);
        } else if let Some(news) = self.follows.answered(self.now, id, outcome, &mut self.backoff) {
            self.tell(news);
        }
    }

    fn answer(&mut self, answered: Option<(Token, Command, Outcome)>) {
        let Some((token, command, outcome)) = answered else { return };
        if let Command::CreateThread(new) = command {
            self.follows.nudge(ChannelName::Thread(new.thread_id));
        }
        self.tell(News::Reply { token, outcome });
    }

    fn enqueue(&mut self, token: Token, command: Command) {
        let refused = match &self.phase {
            Phase::Out if !self.signed_in => Err(ErrorBody::new(ErrorCode::Forbidden, "sign in first")),
            Phase::Closed { reason, can_reconnect: false } => Err(ErrorBody::new(ErrorCode::Unavailable, reason)),
            _ => self.outbox.push(token, command),
        };
        if let Err(error) = refused {
            self.tell(News::Reply { token, outcome: Err(error) });
        }
    }

    fn give_up(&mut self, error: &ErrorBody) {
        let tokens: Vec<Token> = self.outbox.clear().collect();
        for token in tokens {
            self.tell(News::Reply { token, outcome: Err(error.clone()) });
        }
    }

    fn tick(&mut self) {
        let overdue = self.outbox.is_overdue(self.now);
        match &mut self.phase {
            Phase::Waiting { until, .. } if self.now >= *until => self.connect(),
            Phase::Discovering { since } | Phase::Opening { since } if self.now >= *since + CONNECT_MS => {
                self.abandon(CloseCode::HeartbeatMissed);
            }
            Phase::Live(live) => match live.heartbeat.due(self.now) {
                Due::Ping => {
                    self.send(&Ping {}.into());
                }
                Due::Nothing if !overdue => {}
                Due::Nothing | Due::Dead => self.abandon(CloseCode::HeartbeatMissed),
            },
            _ => {}
        }
    }

    /// Sends what may be sent: what is left first, which frees places, then what is followed, then the next command.
    fn pump(&mut self) {
        let Phase::Live(Live { max_frame_bytes, .. }) = self.phase else { return };
        while let Some(channel) = self.follows.due_to_leave(self.now) {
            let id = self.send(&Unsubscribe { channel }.into());
            self.follows.asked_to_leave(channel, id);
        }
        loop {
            let outbox = &self.outbox;
            // A thread that is still to be made is asked for once it is.
            let held = |channel| matches!(channel, ChannelName::Thread(id) if outbox.creates(id));
            let Some((channel, after)) = self.follows.due(self.now, held) else { break };
            let newest = self.newest.filter(|_| channel == ChannelName::User);
            let id = self.send(&Subscribe { channel, after, newest }.into());
            self.follows.asked(channel, id);
        }
        while let Some(command) = self.outbox.ready(self.now) {
            let text = encode_command(self.next_id, command);
            if text.len() <= max_frame_bytes {
                self.outbox.sent(self.now, self.next_id);
                self.next_id += 1;
                self.transmit(text);
            } else {
                let large = format!("{} bytes; the server takes {max_frame_bytes} in one command", text.len());
                let refused = self.outbox.take(Err(ErrorBody::new(ErrorCode::TooLarge, large)));
                self.answer(refused);
            }
        }
    }
}
