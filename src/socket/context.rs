//! The one socket of a tab, in application state: it opens when the application loads and outlives every render.

use std::future::Future;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "hydrate")]
use super::state::Live;
pub use super::{
    feed::Stale,
    machine::{Cause, Status},
};
use crate::{
    protocol::{
        ConnectionId, Cursor, ErrorBody, ErrorCode, Notice, Outcome, Present, Request, ThreadId, Waiting,
        http::{ThreadPage, User},
    },
    thread::{FeedPlace, ThreadView, UserFeed},
};

/// A state and the position in the log that it is the state at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateAt<T> {
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
    pub feed: Option<StateAt<UserFeed>>,
    /// The thread of the page.
    pub thread: Option<(ThreadId, StateAt<ThreadView>)>,
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
    /// It was here, and was deleted meanwhile.
    Deleted,
}

/// The app-level handle of the one connection. Cheap to copy; taken from context with [`use_socket`].
#[derive(Clone, Copy)]
pub struct Socket {
    pub(super) user: RwSignal<Option<User>>,
    pub(super) status: RwSignal<Status>,
    pub(super) waiting: RwSignal<usize>,
    pub(super) connection: RwSignal<Option<ConnectionId>>,
    pub(super) clock_offset: RwSignal<Option<i64>>,
    pub(super) notices: RwSignal<Vec<Notice>>,
    pub(super) feed: RwSignal<UserFeed>,
    /// Told whenever something happens in a thread that the feed lacks.
    pub(super) feed_behind: RwSignal<bool>,
    #[cfg(not(feature = "hydrate"))]
    thread: StoredValue<Option<(ThreadId, ThreadView)>>,
    #[cfg(feature = "hydrate")]
    live: StoredValue<Option<std::rc::Rc<Live>>, LocalStorage>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// Puts the socket into context, once, at the root of the application. In the browser it opens as soon as somebody is
/// signed in; on the server it only shows the seed.
pub fn provide_socket(seed: Seed) -> Socket {
    let feed = seed.feed.as_ref().map(|at| at.state.clone()).unwrap_or_default();
    let socket = Socket {
        status: RwSignal::new(if seed.user.is_some() { Status::Connecting } else { Status::SignedOut }),
        user: RwSignal::new(seed.user.clone()),
        waiting: RwSignal::new(0),
        connection: RwSignal::new(None),
        clock_offset: RwSignal::new(None),
        notices: RwSignal::new(Vec::new()),
        feed: RwSignal::new(feed),
        feed_behind: RwSignal::new(false),
        #[cfg(not(feature = "hydrate"))]
        thread: StoredValue::new(seed.thread.map(|(id, at)| (id, at.state))),
        #[cfg(feature = "hydrate")]
        live: StoredValue::new_local(None),
    };
    #[cfg(feature = "hydrate")]
    socket.live.set_value(Some(Live::start(socket, seed)));
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

    /// Whether what the page shows is what the server has: only while connected.
    pub fn is_connected(self) -> bool {
        self.status.with(|status| *status == Status::Connected)
    }

    /// Whether what the page shows may be acted on: it is connected, or connects for the first time, from what the server rendered.
    pub fn is_up_to_date(self) -> bool {
        self.status.with(|status| matches!(status, Status::Connected | Status::Connecting))
    }

    /// How many milliseconds the server's clock is ahead of this device's, as the last connection's welcome told.
    pub fn clock_offset(self) -> Signal<Option<i64>> {
        self.clock_offset.into()
    }

    /// What administrators said to everyone, oldest first; [`Self::dismiss`] removes.
    pub fn notices(self) -> Signal<Vec<Notice>> {
        self.notices.into()
    }

    /// Removes a notice.
    pub fn dismiss(self, notice: &Notice) {
        self.notices.update(|notices| notices.retain(|known| known.id != notice.id));
    }

    /// The person's feed, kept up to date: their newest threads, and older ones as [`Self::add_threads`] adds them.
    pub fn feed(self) -> Signal<UserFeed> {
        self.feed.into()
    }

    /// Whether something happened in a thread that the feed lacks: [`Self::add_threads`] wants the newest.
    pub fn is_feed_behind(self) -> Signal<bool> {
        self.feed_behind.into()
    }

    /// Adds a page of threads to the feed: the one that was asked for `before` a place, or the newest.
    ///
    /// # Errors
    /// Where it is older than what was told meanwhile: ask for it again.
    pub fn add_threads(self, before: Option<FeedPlace>, page: ThreadPage) -> Result<(), Stale> {
        #[cfg(feature = "hydrate")]
        if let Some(live) = self.live() {
            return live.add_threads(before, page);
        }
        drop((before, page));
        Ok(())
    }

    /// Follows a thread for as long as the calling owner (a component) lives.
    pub fn thread(self, id: ThreadId) -> Signal<Loaded<ThreadView>> {
        #[cfg(feature = "hydrate")]
        if let Some(live) = self.live() {
            let view = live.hold(id);
            on_cleanup(move || {
                if let Some(live) = self.live() {
                    live.release(id);
                }
            });
            return RwSignal::from(view).into();
        }
        #[cfg(not(feature = "hydrate"))]
        if let Some(view) = self.thread.with_value(|seed| seed.clone().filter(|(seeded, _)| *seeded == id)) {
            return Signal::stored(Loaded::Ready(view.1));
        }
        Signal::stored(Loaded::Loading)
    }

    /// Who has a thread open, in this tab and everywhere else, while the caller follows it; nobody until that is said.
    pub fn present(self, id: ThreadId) -> Signal<Vec<Present>> {
        #[cfg(feature = "hydrate")]
        if let Some(present) = self.live().and_then(|live| live.present(id)) {
            return RwSignal::from(present).into();
        }
        let _ = id;
        Signal::stored(Vec::new())
    }

    /// Which of a thread's runs wait and for what, while the caller follows it; none until that is said.
    pub fn queue(self, id: ThreadId) -> Signal<Vec<Waiting>> {
        #[cfg(feature = "hydrate")]
        if let Some(queue) = self.live().and_then(|live| live.queue(id)) {
            return RwSignal::from(queue).into();
        }
        let _ = id;
        Signal::stored(Vec::new())
    }

    /// Sends a command, now or as soon as there is a connection; answers with its one reply. On the server nothing is
    /// sent, and the answer says so.
    pub fn send<R: Request>(self, request: R) -> impl Future<Output = Result<R::Ok, ErrorBody>> + 'static {
        #[cfg(feature = "hydrate")]
        let answer = self.live().map(|live| live.send(request.into()));
        #[cfg(not(feature = "hydrate"))]
        let answer: Option<std::future::Ready<Result<Outcome, ()>>> = {
            drop(request);
            None
        };
        answered::<R::Ok, _, _>(answer)
    }

    /// Somebody signed in: the socket opens.
    pub fn signed_in(self, user: User) {
        #[cfg(feature = "hydrate")]
        if let Some(live) = self.live() {
            live.signed_in(user.id);
        }
        self.user.set(Some(user));
    }

    /// They signed out: the socket closes, and what it showed is forgotten.
    pub fn signed_out(self) {
        self.user.set(None);
        #[cfg(feature = "hydrate")]
        if let Some(live) = self.live() {
            live.signed_out();
        }
    }

    /// Tries again at once, whatever closed it.
    pub fn reconnect(self) {
        #[cfg(feature = "hydrate")]
        if let Some(live) = self.live() {
            live.reconnect();
        }
    }

    /// The connection behind it, as long as the application lives.
    #[cfg(feature = "hydrate")]
    fn live(self) -> Option<std::rc::Rc<Live>> {
        self.live.try_get_value().flatten()
    }
}

/// Waits for a reply and reads it as what the command answers.
async fn answered<T, F, E>(answer: Option<F>) -> Result<T, ErrorBody>
where
    T: serde::de::DeserializeOwned,
    F: Future<Output = Result<Outcome, E>>,
{
    let gone = || ErrorBody::new(ErrorCode::Unavailable, "there is no connection here");
    let outcome = answer.ok_or_else(gone)?.await.map_err(|_| gone())??;
    serde_json::from_value(outcome).map_err(|e| ErrorBody::new(ErrorCode::Internal, format!("not understood: {e}")))
}
