//! The client outside of a page: for the command line, tests and benchmarks.
//!
//! One task owns the socket. While a follower's buffer is full, the task does not read the socket, so memory stays bounded; if
//! that goes on, the server closes the connection as too slow, and the machine resumes from its cursors.

mod driver;

use tokio::sync::{mpsc, oneshot, watch};

use self::driver::{Driver, Watches};
use super::machine::Status;
use crate::protocol::{
    ChannelName, Command, Cursor, Entry, ErrorBody, ErrorCode, Notice, Outcome, Request, Snapshot, Welcome,
};

/// How many updates a follower's buffer holds before reading from the socket stops.
const FOLLOWER_BUFFER: usize = 1024;
/// How many operations may wait for the connection's task.
const OPERATION_BUFFER: usize = 64;

/// How the client signs in.
#[derive(Clone)]
pub enum Credentials {
    /// An access token (`Authorization: Bearer`).
    Bearer(String),
    /// A `Cookie` header.
    Cookie(String),
    /// No credentials.
    None,
}

/// What to connect to, and with which credentials.
#[derive(Clone)]
pub struct ClientConfig {
    /// The socket's URL, `ws:` or `wss:`, as `GET /api/config` returns it.
    pub url: String,
    /// How the client signs in.
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

/// What a follower of a channel receives, in order, each exactly once.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// The whole state; it replaces the previous state.
    Snapshot {
        /// The log position of this state.
        cursor: Cursor,
        /// The state.
        snapshot: Snapshot,
    },
    /// The next entry.
    Entry {
        /// Its position in the log; absent for a signal.
        seq: Option<u64>,
        /// When it was appended, in milliseconds since 1970.
        at: i64,
        /// The entry.
        entry: Entry,
    },
    /// The channel cannot be followed now.
    Refused(ErrorBody),
}

enum Operation {
    Send(Command, oneshot::Sender<Outcome>),
    Follow(ChannelName, Option<Cursor>, mpsc::Sender<Update>),
    Unfollow(ChannelName),
    Reconnect,
}

/// A connection that reconnects by itself. Cheap to clone; dropping the last clone closes it.
#[derive(Clone)]
pub struct Client {
    operations: mpsc::Sender<Operation>,
    status: watch::Receiver<Status>,
    welcome: watch::Receiver<Option<Welcome>>,
    notices: watch::Receiver<Option<Notice>>,
}

impl Client {
    /// Connects in the background, now and whenever the connection is lost. Needs a tokio runtime.
    #[must_use]
    pub fn connect(config: ClientConfig) -> Self {
        let (operations, inbox) = mpsc::channel(OPERATION_BUFFER);
        let (status, status_rx) = watch::channel(Status::Connecting);
        let (welcome, welcome_rx) = watch::channel(None);
        let (notice, notices) = watch::channel(None);
        tokio::spawn(Driver::new(config, Watches { status, welcome, notice }).run(inbox));
        Self { operations, status: status_rx, welcome: welcome_rx, notices }
    }

    /// Sends a command, now or as soon as there is a connection, and returns its reply.
    ///
    /// # Errors
    /// The server's error, or `unavailable` if the connection is closed for good.
    pub async fn send<R: Request>(&self, request: R) -> Result<R::Ok, ErrorBody> {
        let gone = || ErrorBody::new(ErrorCode::Unavailable, "the connection is closed");
        let (sender, reply) = oneshot::channel();
        self.operations.send(Operation::Send(request.into(), sender)).await.map_err(|_| gone())?;
        let payload = reply.await.map_err(|_| gone())??;
        serde_json::from_value(payload)
            .map_err(|e| ErrorBody::new(ErrorCode::Internal, format!("the reply does not match the protocol: {e}")))
    }

    /// Follows a channel, from a position or from a snapshot, until the receiver is dropped. A second follower of the same
    /// channel replaces the first.
    pub async fn follow(&self, channel: ChannelName, after: Option<Cursor>) -> mpsc::Receiver<Update> {
        let (updates, receiver) = mpsc::channel(FOLLOWER_BUFFER);
        // If the task has ended, the receiver ends at once.
        let _ = self.operations.send(Operation::Follow(channel, after, updates)).await;
        receiver
    }

    /// Stops following a channel.
    pub async fn unfollow(&self, channel: ChannelName) {
        let _ = self.operations.send(Operation::Unfollow(channel)).await;
    }

    /// Connects again at once, whatever closed the connection.
    pub async fn reconnect(&self) {
        let _ = self.operations.send(Operation::Reconnect).await;
    }

    /// The connection's status, as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// The welcome of the latest connection.
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
