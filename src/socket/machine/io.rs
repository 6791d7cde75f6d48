//! The inputs, outputs and status of the connection's state machine.

use crate::protocol::{
    ChannelName, CloseCode, Command, Cursor, Entry, ErrorBody, Notice, Outcome, Snapshot, Welcome, http::Config,
};

/// The state of the connection, as the page's indicator shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nobody is signed in: there is no connection, and none is attempted.
    SignedOut,
    /// The first attempt is under way.
    Connecting,
    /// Open: the server's welcome has arrived.
    Connected,
    /// Lost; the next attempt is waiting or under way.
    Reconnecting {
        /// The number of the attempt, from 1.
        attempt: u32,
        /// When it begins, in milliseconds since 1970; in the past if it is under way.
        retry_at_ms: i64,
        /// Why attempts fail, if known.
        cause: Option<Cause>,
    },
    /// The browser reports no network.
    Offline,
    /// Closed; the machine does not reconnect on its own.
    Closed {
        /// Why, for a person.
        reason: String,
        /// Whether the page offers a button that reconnects.
        can_reconnect: bool,
    },
}

/// Why a client cannot connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Discovery got no valid answer.
    ServerUnreachable,
    /// Discovery succeeds, but the WebSocket handshake failed several times in a row: a proxy does not support the upgrade, or
    /// the server refuses it.
    UpgradeRefused,
}

/// The driver's number for a command, by which it recognises the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandToken(pub u64);

/// The response to `GET /api/config`, as far as the machine needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The socket's absolute URL, `ws:` or `wss:`.
    pub url: String,
    /// The subprotocol that the server speaks.
    pub protocol: String,
    /// Whether the caller's credentials are valid.
    pub signed_in: bool,
}

impl From<Config> for Discovery {
    fn from(config: Config) -> Self {
        Self { url: config.socket.url, protocol: config.socket.protocol, signed_in: config.auth.signed_in }
    }
}

/// An event that the driver reports to the machine.
#[derive(Debug, Clone)]
pub enum Input {
    /// A person is signed in: connect. No effect if there is a connection or an attempt already.
    SignedIn,
    /// The person signed out: close the connection, drop their subscriptions and fail their commands.
    SignedOut,
    /// The result of [`Output::Discover`], or why it failed.
    Discovered(Result<Discovery, String>),
    /// A text frame arrived.
    Frame(String),
    /// The socket closed, or could not be opened; code 1006 if there was no close frame.
    Closed {
        /// The close code.
        code: u16,
        /// The close reason.
        reason: String,
    },
    /// The browser reports that the network is gone.
    Offline,
    /// The browser reports that the network is back.
    Online,
    /// The page became visible again, or the device woke up.
    PageResumed,
    /// The page went into the browser's back/forward cache; [`Self::PageResumed`] follows if it returns.
    PageHidden,
    /// Follow a channel, from a position or from a snapshot.
    Follow(ChannelName, Option<Cursor>),
    /// Stop following a channel.
    Unfollow(ChannelName),
    /// Send a command, now or as soon as there is a connection.
    Send(CommandToken, Command),
    /// The person asked to reconnect now.
    Reconnect,
    /// A deadline passed: see [`super::Machine::next_deadline`].
    Tick,
}

/// What the driver has to do. After [`Self::Close`] or [`Self::Open`] the driver reports nothing more about the former socket.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Call `GET /api/config` and report [`Input::Discovered`].
    Discover,
    /// Open a socket at this URL, with the subprotocols [`crate::protocol::OFFERED_PROTOCOLS`].
    Open(String),
    /// Send a text frame.
    Send(String),
    /// Close the socket.
    Close(CloseCode),
    /// Pass an event on to the application.
    Notify(Event),
}

/// What the application is notified of.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The connection is open.
    Welcome(Welcome),
    /// A channel's whole state; it replaces the previous state.
    Snapshot {
        /// The channel.
        channel: ChannelName,
        /// The log position of this state.
        cursor: Cursor,
        /// The state.
        snapshot: Snapshot,
    },
    /// A channel's next entry.
    Entry {
        /// The channel.
        channel: ChannelName,
        /// Its position in the log; absent for a signal.
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
    /// The reply to a command; each gets exactly one.
    Reply {
        /// The command.
        token: CommandToken,
        /// The reply.
        outcome: Outcome,
    },
    /// An administrator's message to everyone.
    Notice(Notice),
    /// An error that belongs to no command or channel; the application only logs it.
    Fault(String),
}
