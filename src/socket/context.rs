//! The one socket of a tab, in application state: it opens when the application loads and outlives every render.

use std::future::Future;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    protocol::{ConnectionId, Cursor, ErrorBody, Notice, Request, ThreadId, http::User},
    thread::{ThreadView, UserFeed},
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

/// A state and the position in the log that it is the state at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct At<T> {
    /// The position.
    pub cursor: Cursor,
    /// The state.
    pub state: T,
}

/// What the server already rendered: the socket goes on from there instead of asking again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seed {
    /// Who is signed in.
    pub user: Option<User>,
    /// Their feed.
    pub feed: Option<At<UserFeed>>,
    /// The thread of the page.
    pub thread: Option<(ThreadId, At<ThreadView>)>,
}

/// A channel's state, as far as it is here.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded<T> {
    /// Asked for.
    Loading,
    /// Here, and kept up to date.
    Ready(T),
    /// Refused: why.
    Refused(ErrorBody),
}

/// The app-level handle of the one connection. Cheap to copy; taken from context with [`use_socket`].
#[derive(Debug, Clone, Copy)]
pub struct Socket {
    user: RwSignal<Option<User>>,
    status: RwSignal<Status>,
    waiting: RwSignal<usize>,
    connection: RwSignal<Option<ConnectionId>>,
    notices: RwSignal<Vec<Notice>>,
    feed: RwSignal<UserFeed>,
}

/// Puts the socket into context, once, at the root of the application. In the browser it opens as soon as somebody is
/// signed in; on the server it only shows the seed.
pub fn provide_socket(seed: Seed) -> Socket {
    let socket = Socket {
        status: RwSignal::new(if seed.user.is_some() { Status::Connecting } else { Status::SignedOut }),
        user: RwSignal::new(seed.user),
        waiting: RwSignal::new(0),
        connection: RwSignal::new(None),
        notices: RwSignal::new(Vec::new()),
        feed: RwSignal::new(seed.feed.map(|at| at.state).unwrap_or_default()),
    };
    provide_context(socket);
    socket
}

/// The application's socket.
///
/// # Panics
/// Outside of a component below [`provide_socket`].
#[must_use]
pub fn use_socket() -> Socket {
    expect_context()
}

impl Socket {
    /// Who is signed in.
    pub fn user(self) -> Signal<Option<User>> {
        self.user.into()
    }

    /// What is known about the connection.
    pub fn status(self) -> Signal<Status> {
        self.status.into()
    }

    /// How many commands wait to be sent or answered.
    pub fn waiting(self) -> Signal<usize> {
        self.waiting.into()
    }

    /// The connection's id, while there is one.
    pub fn connection(self) -> Signal<Option<ConnectionId>> {
        self.connection.into()
    }

    /// What administrators said to everyone, oldest first; [`Self::dismiss`] removes.
    pub fn notices(self) -> Signal<Vec<Notice>> {
        self.notices.into()
    }

    /// Removes a notice.
    pub fn dismiss(self, notice: &Notice) {
        self.notices.update(|notices| notices.retain(|known| known.id != notice.id));
    }

    /// The person's feed: their threads, kept up to date.
    pub fn feed(self) -> Signal<UserFeed> {
        self.feed.into()
    }

    /// Follows a thread for as long as the calling owner (a component) lives.
    pub fn thread(self, _id: ThreadId) -> Signal<Loaded<ThreadView>> {
        Signal::derive(|| Loaded::Loading)
    }

    /// Sends a command, now or as soon as there is a connection; answers with its one reply.
    pub fn send<R: Request>(self, _request: R) -> impl Future<Output = Result<R::Ok, ErrorBody>> + 'static {
        std::future::pending()
    }

    /// Somebody signed in: the socket opens.
    pub fn signed_in(self, user: User) {
        self.user.set(Some(user));
    }

    /// They signed out: the socket closes, and what it showed is forgotten.
    pub fn signed_out(self) {
        self.user.set(None);
    }

    /// Tries again at once, whatever closed it.
    pub fn reconnect(self) {}
}
