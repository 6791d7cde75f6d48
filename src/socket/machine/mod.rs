//! The connection machine: the client's side of the protocol, without I/O, clock, randomness or framework.
//!
//! A driver passes [`Input`]s with the time to [`Machine::handle`] and carries out the [`Output`]s of [`Machine::poll`];
//! [`Machine::next_deadline`] says when [`Input::Tick`] is due. Guarantees, in any order of inputs: the application is notified of
//! every entry of a followed channel exactly once and in order; every command gets exactly one reply, and commands reach the
//! server in the order in which they were sent; every wait ends and every queue is bounded.

mod backoff;
mod compact;
mod heartbeat;
mod idle;
mod io;
mod lifecycle;
mod outbox;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

pub use self::io::{Cause, CommandToken, Discovery, Event, Input, Output, Status};
use self::{
    backoff::Backoff,
    heartbeat::{Due, Heartbeat},
    idle::IdleCloses,
    outbox::Outbox,
    subscriptions::Subscriptions,
};
use crate::protocol::{
    ChannelName, CloseCode, Command, Cursor, ErrorBody, ErrorCode, Outcome, Ping, Push, ServerFrame, Subscribe,
    Unsubscribe, encode_command,
};

/// How long discovery may take, and a handshake up to its welcome, in milliseconds.
const CONNECT_TIMEOUT_MS: i64 = 10_000;
/// How many handshakes in a row must fail before [`Cause::UpgradeRefused`] is reported: a single one may be a restart.
const REPORTED_HANDSHAKE_FAILURES: u32 = 2;

#[derive(Debug)]
enum Phase {
    SignedOut,
    Discovering {
        since: i64,
    },
    Opening {
        since: i64,
    },
    Connected(Connection),
    /// Between two attempts. [`Machine::check_connection`] may shorten the wait to `earliest`, the earliest time that the
    /// server allows.
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
struct Connection {
    heartbeat: Heartbeat,
    max_frame_bytes: usize,
    /// When a frame was last sent or received.
    last_traffic: i64,
    /// The wait that a `draining` push asked for.
    reconnect_in_ms: Option<u64>,
}

/// The connection machine; see the [module](self).
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
    /// How many handshakes failed since the last open connection.
    failed_handshakes: u32,
    outbox: Outbox,
    subscriptions: Subscriptions,
    /// The maximum number of threads in a snapshot of the feed; `None` for all.
    max_feed_threads: Option<u32>,
    next_id: i64,
    /// The machine's time, in milliseconds. It never goes back, even if the driver's clock does.
    now: i64,
    /// The machine's time minus the driver's.
    skew: i64,
    out: VecDeque<Output>,
}

impl Machine {
    /// A machine with nobody signed in. `seed` seeds its random waits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            phase: Phase::SignedOut,
            signed_in: false,
            offline: false,
            discovery: None,
            backoff: Backoff::new(seed),
            idle_closes: IdleCloses::default(),
            unreachable: false,
            failed_handshakes: 0,
            outbox: Outbox::default(),
            subscriptions: Subscriptions::default(),
            max_feed_threads: None,
            next_id: 1,
            now: i64::MIN,
            skew: 0,
            out: VecDeque::new(),
        }
    }

    /// Limits snapshots of the feed to the newest `threads`.
    #[must_use]
    pub fn with_max_feed_threads(mut self, threads: u32) -> Self {
        self.max_feed_threads = Some(threads);
        self
    }

    /// Handles an input at `now_ms`, in milliseconds since 1970. [`Self::poll`] returns the resulting outputs.
    pub fn handle(&mut self, now_ms: i64, input: Input) {
        if now_ms + self.skew < self.now {
            self.skew = self.now - now_ms;
        }
        self.now = now_ms + self.skew;
        match input {
            Input::SignedIn => {
                self.signed_in = true;
                if matches!(self.phase, Phase::SignedOut) {
                    self.connect();
                }
            }
            Input::SignedOut => self.sign_out(),
            Input::Discovered(result) => self.on_discovered(result),
            Input::Frame(text) => self.on_frame(&text),
            Input::Closed { code, reason } => self.on_closed(code.into(), &reason),
            Input::Offline => {
                self.offline = true;
                self.abandon(CloseCode::HeartbeatMissed);
            }
            Input::Online => {
                self.offline = false;
                self.check_connection();
            }
            Input::PageResumed => self.check_connection(),
            Input::PageHidden => {
                self.abandon(CloseCode::Normal);
                if let Phase::Waiting { until, .. } = &mut self.phase {
                    *until = i64::MAX;
                }
            }
            Input::Follow(channel, after) => {
                if let Err(error) = self.subscriptions.add(channel, after) {
                    self.notify(Event::Refused { channel, error });
                }
            }
            Input::Unfollow(channel) => self.subscriptions.remove(channel),
            Input::Send(token, command) => self.enqueue(token, command),
            Input::Reconnect => match self.phase {
                Phase::SignedOut if !self.signed_in => {}
                Phase::SignedOut | Phase::Waiting { .. } | Phase::Closed { .. } => self.connect(),
                Phase::Connected(_) => self.check_connection(),
                Phase::Discovering { .. } | Phase::Opening { .. } => {}
            },
            Input::Tick => {}
        }
        self.on_tick();
        self.send_due();
    }

    /// The next output; call it until it returns `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Input::Tick`] is due, in the driver's time.
    #[must_use]
    pub fn next_deadline(&self) -> Option<i64> {
        let deadline = match &self.phase {
            Phase::SignedOut | Phase::Closed { .. } => return None,
            Phase::Discovering { since } | Phase::Opening { since } => since + CONNECT_TIMEOUT_MS,
            Phase::Waiting { until: i64::MAX, .. } => return None,
            Phase::Waiting { until, .. } => *until,
            Phase::Connected(connection) => {
                // What is due already has been sent, or waits for a reply, which arrives as a frame.
                let later = |at: &i64| *at > self.now;
                let waits = [self.outbox.deadline(), self.subscriptions.deadline(self.now)];
                waits.into_iter().flatten().filter(later).fold(connection.heartbeat.deadline(), i64::min)
            }
        };
        Some(deadline - self.skew)
    }

    /// The state of the connection.
    #[must_use]
    pub fn status(&self) -> Status {
        let attempt = self.backoff.failures();
        match &self.phase {
            Phase::SignedOut => Status::SignedOut,
            Phase::Connected(_) => Status::Connected,
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
            REPORTED_HANDSHAKE_FAILURES.. => Some(Cause::UpgradeRefused),
            _ => None,
        }
    }

    /// How many commands have no reply yet.
    #[must_use]
    pub fn queued_commands(&self) -> usize {
        self.outbox.len()
    }

    /// The position that a followed channel has reached.
    #[must_use]
    pub fn cursor(&self, channel: ChannelName) -> Option<&Cursor> {
        self.subscriptions.cursor(channel)
    }

    fn notify(&mut self, event: Event) {
        self.out.push_back(Output::Notify(event));
    }

    fn send(&mut self, command: &Command) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.transmit(encode_command(id, command));
        id
    }

    fn transmit(&mut self, text: String) {
        if let Phase::Connected(connection) = &mut self.phase {
            connection.last_traffic = self.now;
        }
        self.out.push_back(Output::Send(text));
    }

    fn on_frame(&mut self, text: &str) {
        if let Phase::Connected(connection) = &mut self.phase {
            connection.last_traffic = self.now;
            if connection.heartbeat.on_receive(self.now) {
                self.backoff.reset();
            }
        }
        match (ServerFrame::decode(text), &mut self.phase) {
            (Ok(ServerFrame::Push(Push::Welcome(welcome))), Phase::Opening { .. }) => {
                (self.unreachable, self.failed_handshakes) = (false, 0);
                let interval = self.idle_closes.heartbeat_ms(welcome.heartbeat_ms);
                self.phase = Phase::Connected(Connection {
                    heartbeat: Heartbeat::new(self.now, interval),
                    max_frame_bytes: welcome.max_frame_bytes,
                    last_traffic: self.now,
                    reconnect_in_ms: None,
                });
                self.notify(Event::Welcome(welcome));
            }
            (Ok(ServerFrame::Push(Push::Draining(draining))), Phase::Connected(connection)) => {
                connection.reconnect_in_ms = Some(draining.reconnect_in_ms);
            }
            (Ok(ServerFrame::Push(Push::Event(push))), Phase::Connected(_)) => {
                if let Some(event) = self.subscriptions.on_event(self.now, push, &mut self.backoff) {
                    self.notify(event);
                }
            }
            (Ok(ServerFrame::Entry(entry)), Phase::Connected(_)) => {
                match self.subscriptions.on_compact_entry(self.now, entry, &mut self.backoff) {
                    Ok(event) => event.into_iter().for_each(|event| self.notify(event)),
                    Err(error) => self.notify(Event::Fault(error)),
                }
            }
            (Ok(ServerFrame::Reply { id, outcome }), Phase::Connected(_)) => self.on_reply(id, outcome),
            (Ok(ServerFrame::Push(Push::Notice(notice))), Phase::Connected(_)) => self.notify(Event::Notice(notice)),
            (Ok(ServerFrame::Push(Push::Error(error))), _) => self.notify(Event::Fault(error.message)),
            (Ok(_), _) => {}
            (Err(error), _) => {
                self.notify(Event::Fault(error));
                // An entry without a readable place: those that follow it could be counted wrongly.
                if text.starts_with('[') {
                    self.abandon(CloseCode::HeartbeatMissed);
                }
            }
        }
    }

    fn on_reply(&mut self, id: i64, outcome: Outcome) {
        if self.outbox.in_flight() == Some(id) {
            let finished = self.outbox.on_reply(self.now, id, outcome);
            self.finish_command(finished);
        } else if let Some(event) = self.subscriptions.on_reply(self.now, id, outcome, &mut self.backoff) {
            self.notify(event);
        }
    }

    /// Notifies the application of a finished command's outcome, if there is one.
    fn finish_command(&mut self, finished: Option<(CommandToken, Command, Outcome)>) {
        let Some((token, command, outcome)) = finished else { return };
        if let Command::CreateThread(new) = command {
            self.subscriptions.retry_now(ChannelName::Thread(new.thread_id));
        }
        self.notify(Event::Reply { token, outcome });
    }

    fn enqueue(&mut self, token: CommandToken, command: Command) {
        let result = match &self.phase {
            Phase::SignedOut if !self.signed_in => Err(ErrorBody::new(ErrorCode::Forbidden, "sign in first")),
            Phase::Closed { reason, can_reconnect: false } => Err(ErrorBody::new(ErrorCode::Unavailable, reason)),
            _ => self.outbox.push(token, command),
        };
        if let Err(error) = result {
            self.notify(Event::Reply { token, outcome: Err(error) });
        }
    }

    /// Fails all queued commands with this error.
    fn fail_commands(&mut self, error: &ErrorBody) {
        let tokens: Vec<CommandToken> = self.outbox.clear().collect();
        for token in tokens {
            self.notify(Event::Reply { token, outcome: Err(error.clone()) });
        }
    }

    /// Handles timeouts: of waits, handshakes, the heartbeat and replies.
    fn on_tick(&mut self) {
        let overdue = self.outbox.is_overdue(self.now);
        match &mut self.phase {
            Phase::Waiting { until, .. } if self.now >= *until => self.connect(),
            Phase::Discovering { since } | Phase::Opening { since } if self.now >= *since + CONNECT_TIMEOUT_MS => {
                self.abandon(CloseCode::HeartbeatMissed);
            }
            Phase::Connected(connection) => match connection.heartbeat.due(self.now) {
                Due::Ping => {
                    self.send(&Ping {}.into());
                }
                Due::Nothing if !overdue => {}
                Due::Nothing | Due::TimedOut => self.abandon(CloseCode::HeartbeatMissed),
            },
            _ => {}
        }
    }

    /// Sends what is due: first `unsubscribe`, which frees slots, then `subscribe`, then the next command.
    fn send_due(&mut self) {
        let Phase::Connected(Connection { max_frame_bytes, .. }) = self.phase else { return };
        while let Some(channel) = self.subscriptions.next_unsubscribe(self.now) {
            let id = self.send(&Unsubscribe { channel }.into());
            self.subscriptions.on_unsubscribe_sent(channel, id);
        }
        loop {
            let outbox = &self.outbox;
            // A thread whose `create_thread` is still queued cannot be followed yet.
            let is_held = |channel| matches!(channel, ChannelName::Thread(id) if outbox.creates(id));
            let Some((channel, after)) = self.subscriptions.next_subscribe(self.now, is_held) else { break };
            let newest = self.max_feed_threads.filter(|_| channel == ChannelName::User);
            let id = self.send(&Subscribe { channel, after, newest }.into());
            self.subscriptions.on_subscribe_sent(channel, id);
        }
        while let Some(command) = self.outbox.ready(self.now) {
            let text = encode_command(self.next_id, command);
            if text.len() <= max_frame_bytes {
                self.outbox.on_sent(self.now, self.next_id);
                self.next_id += 1;
                self.transmit(text);
            } else {
                let too_large = format!("the command has {} bytes; at most {max_frame_bytes} are allowed", text.len());
                let finished = self.outbox.finish_first(Err(ErrorBody::new(ErrorCode::TooLarge, too_large)));
                self.finish_command(finished);
            }
        }
    }
}
