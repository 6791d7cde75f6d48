//! The connection machine: everything a client of the socket decides, without I/O, clock, randomness or framework.
//!
//! A driver feeds it [`Input`]s with the time and carries out its [`Output`]s; between the two, [`Machine::next_deadline`]
//! says when to feed [`Input::Tick`]. Promises, whatever the order of inputs: every entry of a followed channel is told
//! exactly once and in order; every command is answered exactly once, and commands reach the server in the order they
//! were given; nothing waits forever and nothing grows without bound.

mod backoff;
mod follows;
mod heartbeat;
mod outbox;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use serde::Deserialize;

use self::{
    backoff::Backoff,
    follows::Follows,
    heartbeat::{Due, Heartbeat},
    outbox::Outbox,
};
use crate::protocol::{
    ChannelName, CloseCode, Command, Cursor, Entry, ErrorBody, ErrorCode, Notice, Outcome, PROTOCOL, Ping, Push,
    ServerFrame, Snapshot, Subscribe, Unsubscribe, Welcome, encode_command, http::Config,
};

/// Milliseconds for discovery, and for a handshake up to its welcome.
const CONNECT_MS: i64 = 10_000;
/// The longest wait that a server may ask for before the next attempt, in milliseconds.
const MOST_WAIT_MS: u64 = 5 * 60_000;

/// What the machine knows about the connection: what the indicator shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nobody is signed in: there is no connection and none is tried.
    SignedOut,
    /// The first attempt is under way.
    Connecting,
    /// Open and proved alive.
    Connected,
    /// Lost; attempt `attempt` begins at `retry_at_ms` (milliseconds since 1970; in the past: it is under way).
    Reconnecting {
        /// Which attempt, from 1.
        attempt: u32,
        /// When it begins.
        retry_at_ms: i64,
    },
    /// The browser says there is no network.
    Offline,
    /// Closed for good; the sentence says why. `can_reconnect`: offer to open it again.
    Closed {
        /// For a person.
        reason: String,
        /// Whether to offer a button.
        can_reconnect: bool,
    },
}

/// A command's sender, as the driver names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Where the socket is and whether its person is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Absolute, `ws:` or `wss:`.
    pub url: String,
    /// The subprotocol the server speaks.
    pub protocol: String,
    /// Whether the credentials are good.
    pub signed_in: bool,
}

impl From<Config> for Discovery {
    fn from(config: Config) -> Self {
        Self { url: config.socket.url, protocol: config.socket.protocol, signed_in: config.auth.signed_in }
    }
}

/// What happens to a connection.
#[derive(Debug, Clone)]
pub enum Input {
    /// Somebody is signed in: connect. Again while connected: nothing changes.
    SignedIn,
    /// They signed out: close, and forget everything of theirs.
    SignedOut,
    /// [`Output::Discover`] came back; with why not, where it did not.
    Discovered(Result<Discovery, String>),
    /// A text frame arrived.
    Frame(String),
    /// The socket closed, or could not be opened; 1006 where there was no code.
    Closed {
        /// The close code.
        code: u16,
        /// The close reason.
        reason: String,
    },
    /// The browser says there is no network.
    Offline,
    /// The browser says there is one again.
    Online,
    /// The page is visible again, or the machine it runs on woke up.
    Woke,
    /// The page is put away (and may come back: [`Self::Woke`]).
    Left,
    /// Follow a channel, from a position or from nothing.
    Follow(ChannelName, Option<Cursor>),
    /// Stop following a channel.
    Unfollow(ChannelName),
    /// Send a command, now or as soon as there is a connection.
    Send(Token, Command),
    /// The person asks to try at once.
    Reconnect,
    /// Nothing but that time went by.
    Tick,
}

/// What the driver has to do. After [`Self::Close`] and after an [`Self::Open`] it reports nothing of the former socket.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Ask where the socket is: [`Input::Discovered`].
    Discover,
    /// Open a socket at this address, with the subprotocol [`PROTOCOL`].
    Open(String),
    /// Send a text frame.
    Send(String),
    /// Close the socket and forget it.
    Close(CloseCode),
    /// Tell the application.
    Tell(News),
}

/// What the application learns.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The connection is open.
    Welcome(Welcome),
    /// A channel's whole state, in place of what was known.
    Snapshot {
        /// The channel.
        channel: ChannelName,
        /// The position it is the state at.
        cursor: Cursor,
        /// The state.
        snapshot: Snapshot,
    },
    /// A channel's next entry.
    Entry {
        /// The channel.
        channel: ChannelName,
        /// Its place; absent: it is not kept.
        seq: Option<u64>,
        /// When it was appended, in milliseconds since 1970.
        at: i64,
        /// The entry.
        entry: Entry,
    },
    /// A channel cannot be followed.
    Refused {
        /// The channel.
        channel: ChannelName,
        /// Why.
        error: ErrorBody,
    },
    /// A command's one answer.
    Reply {
        /// Whose.
        token: Token,
        /// The answer.
        outcome: Outcome,
    },
    /// Words of an administrator.
    Notice(Notice),
    /// The server said something unexpected: for the log.
    Fault(String),
}

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
    outbox: Outbox,
    follows: Follows,
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
            outbox: Outbox::default(),
            follows: Follows::default(),
            next_id: 1,
            now: i64::MIN,
            skew: 0,
            out: VecDeque::new(),
        }
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
            Input::Unfollow(channel) => {
                if self.follows.remove(channel) && matches!(self.phase, Phase::Live(_)) {
                    self.send(&Unsubscribe { channel }.into());
                }
            }
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
                Status::Reconnecting { attempt, retry_at_ms: since - self.skew }
            }
            Phase::Waiting { until, .. } => Status::Reconnecting { attempt, retry_at_ms: until - self.skew },
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
        self.out.push_back(Output::Send(encode_command(id, command)));
        id
    }

    fn connect(&mut self) {
        let since = self.now;
        match &self.discovery {
            None => {
                self.phase = Phase::Discovering { since };
                self.out.push_back(Output::Discover);
            }
            Some(discovery) => {
                self.out.push_back(Output::Open(discovery.url.clone()));
                self.phase = Phase::Opening { since };
            }
        }
    }

    fn discovered(&mut self, answer: Result<Discovery, String>) {
        if !matches!(self.phase, Phase::Discovering { .. }) {
            return;
        }
        match answer {
            Ok(found) if !found.signed_in => self.phase = Phase::Out,
            Ok(found) if found.protocol != PROTOCOL => self.stop("The server speaks a newer version; reload.", false),
            Ok(found) => {
                self.discovery = Some(found);
                self.connect();
            }
            Err(why) => {
                self.tell(News::Fault(why));
                self.retry(None, None);
            }
        }
    }

    fn frame(&mut self, text: &str) {
        if let Phase::Live(live) = &mut self.phase
            && live.heartbeat.heard(self.now)
        {
            self.backoff.proved();
        }
        match (ServerFrame::decode(text), &mut self.phase) {
            (Ok(ServerFrame::Push(Push::Welcome(welcome))), Phase::Opening { .. }) => {
                self.phase = Phase::Live(Live {
                    heartbeat: Heartbeat::new(self.now, welcome.heartbeat_ms),
                    max_frame_bytes: welcome.max_frame_bytes,
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

    fn sign_out(&mut self) {
        if matches!(self.phase, Phase::Live(_) | Phase::Opening { .. }) {
            self.out.push_back(Output::Close(CloseCode::Normal));
        }
        self.phase = Phase::Out;
        self.signed_in = false;
        self.discovery = None;
        self.backoff.proved();
        self.follows.clear();
        self.give_up(&ErrorBody::new(ErrorCode::Unavailable, "signed out before it was answered"));
    }

    fn woke(&mut self) {
        match &mut self.phase {
            Phase::Live(live) => {
                let unasked = live.heartbeat.doubt(self.now);
                if unasked {
                    self.send(&Ping {}.into());
                }
            }
            Phase::Waiting { until, earliest } => *until = (*earliest).min(*until).max(self.now),
            _ => {}
        }
    }

    /// Gives the present attempt or connection up and waits for the next.
    fn abandon(&mut self, code: CloseCode) {
        match self.phase {
            Phase::Live(_) | Phase::Opening { .. } => {
                self.out.push_back(Output::Close(code));
                self.closed(CloseCode::HeartbeatMissed, "");
            }
            Phase::Discovering { .. } => self.retry(None, None),
            _ => {}
        }
    }

    fn closed(&mut self, code: CloseCode, reason: &str) {
        let advertised = match &self.phase {
            Phase::Live(live) => live.reconnect_in_ms,
            Phase::Opening { .. } => {
                // Look whether the session is over before trying again.
                self.discovery = None;
                None
            }
            _ => return,
        };
        let sent = self.outbox.in_flight().is_some();
        let unanswered = self.outbox.lost();
        self.answer(unanswered);
        self.follows.lost();
        match code {
            code if code.reconnects() => self.retry(advertised, retry_after_ms(reason)),
            CloseCode::SessionEnded => {
                self.discovery = None;
                self.phase = Phase::Out;
            }
            CloseCode::TooLarge => {
                let large = ErrorBody::new(ErrorCode::TooLarge, "the server found it too large");
                let refused = sent.then(|| self.outbox.take(Err(large))).flatten();
                self.answer(refused);
                self.stop("Something sent was too large.", true);
            }
            CloseCode::Disconnected => self.stop("An administrator closed this connection.", false),
            CloseCode::TooManyConnections => self.stop("This page was open in too many places.", true),
            CloseCode::NotProtocol => self.stop("This page does not fit the server; reload it.", false),
            _ => self.stop("The server closed the connection.", true),
        }
    }

    fn stop(&mut self, reason: &str, can_reconnect: bool) {
        self.discovery = None;
        self.phase = Phase::Closed { reason: reason.to_owned(), can_reconnect };
        if !can_reconnect {
            self.give_up(&ErrorBody::new(ErrorCode::Unavailable, reason));
        }
    }

    /// Waits for the next attempt: as long as advertised, else at random; never less than the server asked for.
    fn retry(&mut self, advertised: Option<u64>, at_least: Option<u64>) {
        let jitter = self.backoff.failed();
        let floor = at_least.or(advertised).unwrap_or(0).min(MOST_WAIT_MS);
        let wait = if advertised.is_some() && at_least.is_none() { floor } else { floor + jitter };
        let at = |wait| self.now.saturating_add_unsigned(wait);
        self.phase = Phase::Waiting { until: at(wait), earliest: at(floor) };
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

    /// Sends what may be sent: subscriptions first, then the next command.
    fn pump(&mut self) {
        let Phase::Live(Live { max_frame_bytes, .. }) = self.phase else { return };
        loop {
            let outbox = &self.outbox;
            // A thread that is still to be made is asked for once it is.
            let held = |channel| matches!(channel, ChannelName::Thread(id) if outbox.creates(id));
            let Some((channel, after)) = self.follows.due(self.now, held) else { break };
            let id = self.send(&Subscribe { channel, after }.into());
            self.follows.asked(channel, id);
        }
        while let Some(command) = self.outbox.ready(self.now) {
            let text = encode_command(self.next_id, command);
            if text.len() <= max_frame_bytes {
                self.outbox.sent(self.now, self.next_id);
                self.next_id += 1;
                self.out.push_back(Output::Send(text));
            } else {
                let large = format!("{} bytes; the server takes {max_frame_bytes} in one command", text.len());
                let refused = self.outbox.take(Err(ErrorBody::new(ErrorCode::TooLarge, large)));
                self.answer(refused);
            }
        }
    }
}

/// The wait that a close reason asks for: `{"retry_after_ms": n}`.
fn retry_after_ms(reason: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Reason {
        retry_after_ms: u64,
    }
    serde_json::from_str::<Reason>(reason).ok().map(|reason| reason.retry_after_ms)
}
