//! The machine's transport outside of a page: the command line, tests and benchmarks.
//!
//! One task owns the socket. A follower that reads slowly stops the reading of the socket, never the memory: in the end
//! the server closes the connection as too slow, and the machine resumes from its cursors.

mod driver;

use tokio::sync::{mpsc, oneshot, watch};

use self::driver::{Driver, Said};
use super::machine::Status;
use crate::protocol::{
    ChannelName, Command, Cursor, Entry, ErrorBody, ErrorCode, Notice, Outcome, Request, Snapshot, Welcome,
};

/// How many updates may wait for a follower before the socket is read no further.
const FOLLOWER_BUFFER: usize = 1024;
/// How many requests may wait for the connection's task.
const REQUEST_BUFFER: usize = 64;

/// Who connects.
#[derive(Clone)]
pub enum Credentials {
    /// An access token (`Authorization: Bearer`).
    Bearer(String),
    /// A `Cookie` header.
    Cookie(String),
    /// Nobody.
    None,
}

/// Where to and as whom.
#[derive(Clone)]
pub struct ClientConfig {
    /// The socket's address, `ws:` or `wss:`; `GET /api/config` tells it.
    pub url: String,
    /// Who connects.
    pub credentials: Credentials,
    /// The `Origin` header, if any.
    pub origin: Option<String>,
}

impl ClientConfig {
    /// A connection to `url` with an access token.
    #[must_use]
    pub fn bearer(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self { url: url.into(), credentials: Credentials::Bearer(token.into()), origin: None }
    }
}

/// What a follower of a channel hears, in order, each once.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// The whole state, in place of what was known.
    Snapshot {
        /// The position it is the state at.
        cursor: Cursor,
        /// The state.
        snapshot: Snapshot,
    },
    /// The next entry.
    Entry {
        /// Its place; absent: it is not kept.
        seq: Option<u64>,
        /// When it was appended, in milliseconds since 1970.
        at: i64,
        /// The entry.
        entry: Entry,
    },
    /// The channel cannot be followed now.
    Refused(ErrorBody),
}

enum Ask {
    Send(Command, oneshot::Sender<Outcome>),
    Follow(ChannelName, Option<Cursor>, mpsc::Sender<Update>),
    Unfollow(ChannelName),
    Reconnect,
}

/// A connection that keeps itself alive. Cheap to clone; the last clone dropped closes it.
#[derive(Clone)]
pub struct Client {
    asks: mpsc::Sender<Ask>,
    status: watch::Receiver<Status>,
    welcome: watch::Receiver<Option<Welcome>>,
    notices: watch::Receiver<Option<Notice>>,
}

impl Client {
    /// Connects in the background, now and whenever the connection is lost. Needs a tokio runtime.
    #[must_use]
    pub fn connect(config: ClientConfig) -> Self {
        let (asks, inbox) = mpsc::channel(REQUEST_BUFFER);
        let (status, status_rx) = watch::channel(Status::Connecting);
        let (welcome, welcome_rx) = watch::channel(None);
        let (notice, notices) = watch::channel(None);
        tokio::spawn(Driver::new(config, Said { status, welcome, notice }).run(inbox));
        Self { asks, status: status_rx, welcome: welcome_rx, notices }
    }

    /// Sends a command, now or as soon as there is a connection; answers with its one reply.
    ///
    /// # Errors
    /// The server's, or `unavailable` when the connection is closed for good.
    pub async fn send<R: Request>(&self, request: R) -> Result<R::Ok, ErrorBody> {
        let gone = || ErrorBody::new(ErrorCode::Unavailable, "the connection is closed");
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Send(request.into(), reply)).await.map_err(|_| gone())?;
        let payload = answer.await.map_err(|_| gone())??;
        serde_json::from_value(payload)
            .map_err(|e| ErrorBody::new(ErrorCode::Internal, format!("the answer does not fit: {e}")))
    }

    /// Follows a channel, from a position or from nothing, until the receiver is dropped. A second follower of the same
    /// channel takes the place of the first.
    pub async fn follow(&self, channel: ChannelName, after: Option<Cursor>) -> mpsc::Receiver<Update> {
        let (updates, receiver) = mpsc::channel(FOLLOWER_BUFFER);
        // Without a task the receiver ends at once, which is what there is to say.
        let _ = self.asks.send(Ask::Follow(channel, after, updates)).await;
        receiver
    }

    /// Stops following a channel.
    pub async fn unfollow(&self, channel: ChannelName) {
        let _ = self.asks.send(Ask::Unfollow(channel)).await;
    }

    /// Tries again at once, whatever closed the connection.
    pub async fn reconnect(&self) {
        let _ = self.asks.send(Ask::Reconnect).await;
    }

    /// What is known about the connection, as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The latest connection's welcome.
    #[must_use]
    pub fn welcome(&self) -> watch::Receiver<Option<Welcome>> {
        self.welcome.clone()
    }

    /// The latest notice.
    #[must_use]
    pub fn notices(&self) -> watch::Receiver<Option<Notice>> {
        self.notices.clone()
    }
}
