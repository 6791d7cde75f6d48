//! What goes into the machine, and what comes out.

use crate::protocol::{
    ChannelName, CloseCode, Command, Cursor, Entry, ErrorBody, Notice, Outcome, Snapshot, Welcome, http::Config,
};

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
        /// What keeps it from connecting, as far as the attempts so far tell.
        cause: Option<Cause>,
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

/// What keeps a client from connecting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Discovery got no answer, or none that could be read.
    ServerUnreachable,
    /// Discovery is answered, and yet no WebSocket opened several times in a row: something between client and server does
    /// not pass the upgrade, or the server refuses it.
    UpgradeRefused,
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
    /// Open a socket at this address, with the subprotocol [`crate::protocol::PROTOCOL`].
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
