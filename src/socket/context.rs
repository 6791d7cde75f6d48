//! The tab's one connection, as application state. It opens when the application loads and outlives every render.

use std::future::Future;

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "hydrate")]
use super::page::PageConnection;
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

/// A channel's state at a position in its log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateAt<T> {
    /// The position.
    pub cursor: Cursor,
    /// The state.
    pub state: T,
}

/// What the server already rendered. The socket subscribes from these positions, so that nothing is fetched twice.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seed {
    /// Who is signed in.
    pub user: Option<User>,
    /// Their feed.
    pub feed: Option<StateAt<UserFeed>>,
    /// The thread that the page shows.
    pub thread: Option<(ThreadId, StateAt<ThreadView>)>,
}

/// A thread's state in the page.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded<T> {
    /// Requested but not received yet.
    Loading,
    /// Received, and kept up to date.
    Ready(T),
    /// The server refused the subscription.
    Refused(ErrorBody),
    /// The thread was deleted.
    Deleted,
}

/// The application's handle on its one connection. Cheap to copy; [`use_socket`] takes it from context.
#[derive(Clone, Copy)]
pub struct Socket {
    pub(super) user: RwSignal<Option<User>>,
    pub(super) status: RwSignal<Status>,
    pub(super) queued_commands: RwSignal<usize>,
    pub(super) connection: RwSignal<Option<ConnectionId>>,
    pub(super) clock_offset: RwSignal<Option<i64>>,
    pub(super) notices: RwSignal<Vec<Notice>>,
    pub(super) feed: RwSignal<UserFeed>,
    /// Whether something happened in a thread that the feed lacks.
    pub(super) feed_behind: RwSignal<bool>,
    #[cfg(not(feature = "hydrate"))]
    thread: StoredValue<Option<(ThreadId, ThreadView)>>,
    #[cfg(feature = "hydrate")]
    page: StoredValue<Option<std::rc::Rc<PageConnection>>, LocalStorage>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// Puts the socket into context; call it once, at the root of the application. In the browser it opens as soon as a person is
/// signed in; on the server it only provides the seed's state.
pub fn provide_socket(seed: Seed) -> Socket {
    let feed = seed.feed.as_ref().map(|at| at.state.clone()).unwrap_or_default();
    let socket = Socket {
        status: RwSignal::new(if seed.user.is_some() { Status::Connecting } else { Status::SignedOut }),
        user: RwSignal::new(seed.user.clone()),
        queued_commands: RwSignal::new(0),
        connection: RwSignal::new(None),
        clock_offset: RwSignal::new(None),
        notices: RwSignal::new(Vec::new()),
        feed: RwSignal::new(feed),
        feed_behind: RwSignal::new(false),
        #[cfg(not(feature = "hydrate"))]
        thread: StoredValue::new(seed.thread.map(|(id, at)| (id, at.state))),
        #[cfg(feature = "hydrate")]
        page: StoredValue::new_local(None),
    };
    #[cfg(feature = "hydrate")]
    socket.page.set_value(Some(PageConnection::start(socket, seed)));
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

    /// The connection's status.
    pub fn status(self) -> Signal<Status> {
        self.status.into()
    }

    /// How many commands have no reply yet.
    pub fn queued_commands(self) -> Signal<usize> {
        self.queued_commands.into()
    }

    /// The connection's id, while there is one.
    pub fn connection(self) -> Signal<Option<ConnectionId>> {
        self.connection.into()
    }

    /// Whether the connection is open, so that the page shows the server's current state.
    pub fn is_connected(self) -> bool {
        self.status.with(|status| *status == Status::Connected)
    }

    /// As [`Self::is_connected`], but not reactive.
    pub fn is_connected_untracked(self) -> bool {
        self.status.with_untracked(|status| *status == Status::Connected)
    }

    /// Whether the page shows the current state, so that the user may act on it: the connection is open, or opens for the first
    /// time, and the server has just rendered the page.
    pub fn is_up_to_date(self) -> bool {
        self.status.with(|status| matches!(status, Status::Connected | Status::Connecting))
    }

    /// How many milliseconds the server's clock was ahead of the device's when the last connection opened.
    pub fn clock_offset(self) -> Signal<Option<i64>> {
        self.clock_offset.into()
    }

    /// Administrators' notices, oldest first; [`Self::dismiss`] removes one.
    pub fn notices(self) -> Signal<Vec<Notice>> {
        self.notices.into()
    }

    /// Removes a notice.
    pub fn dismiss(self, notice: &Notice) {
        self.notices.update(|notices| notices.retain(|known| known.id != notice.id));
    }

    /// The person's feed, kept up to date: their newest threads, and the older ones that [`Self::add_threads`] added.
    pub fn feed(self) -> Signal<UserFeed> {
        self.feed.into()
    }

    /// Whether something happened in a thread that the feed lacks. Pass the newest page to [`Self::add_threads`] then.
    pub fn is_feed_behind(self) -> Signal<bool> {
        self.feed_behind.into()
    }

    /// Adds a page of threads to the feed: the threads older than the place `older_than`, or the newest page.
    ///
    /// # Errors
    /// [`Stale`] if the page is too old to be brought up to date; fetch it again.
    pub fn add_threads(self, older_than: Option<FeedPlace>, page: ThreadPage) -> Result<(), Stale> {
        #[cfg(feature = "hydrate")]
        if let Some(connection) = self.page_connection() {
            return connection.add_to_feed(|tail, feed| tail.merge(feed, older_than, page)).unwrap_or(Ok(()));
        }
        drop((older_than, page));
        Ok(())
    }

    /// Adds threads to the feed that are some of the person's newest, such as those with a tag.
    ///
    /// # Errors
    /// [`Stale`] if the page cannot be brought up to date; fetch it again.
    pub fn add_further_threads(self, page: ThreadPage) -> Result<(), Stale> {
        #[cfg(feature = "hydrate")]
        if let Some(connection) = self.page_connection() {
            return connection.add_to_feed(|tail, feed| tail.merge_further(feed, page)).unwrap_or(Ok(()));
        }
        drop(page);
        Ok(())
    }

    /// Follows a thread until the current reactive owner (a component) is cleaned up.
    pub fn thread(self, id: ThreadId) -> Signal<Loaded<ThreadView>> {
        #[cfg(feature = "hydrate")]
        if let Some(page) = self.page_connection() {
            let view = page.acquire(id);
            on_cleanup(move || {
                if let Some(page) = self.page_connection() {
                    page.release(id);
                }
            });
            return RwSignal::from(view).into();
        }
        #[cfg(not(feature = "hydrate"))]
        if let Some(view) = self.thread.with_value(|seed| seed.clone().filter(|(seed_id, _)| *seed_id == id)) {
            return Signal::stored(Loaded::Ready(view.1));
        }
        Signal::stored(Loaded::Loading)
    }

    /// Whether the signed-in user is an administrator. Reactive.
    #[must_use]
    pub fn is_admin(self) -> bool {
        self.user().with(|user| user.as_ref().is_some_and(|user| user.role == crate::protocol::http::Role::Admin))
    }

    /// Who has a thread open, in this tab and elsewhere; empty if the thread is not followed, and until the server's first signal.
    pub fn present(self, id: ThreadId) -> Signal<Vec<Present>> {
        #[cfg(feature = "hydrate")]
        if let Some(present) = self.page_connection().and_then(|page| page.present(id)) {
            return RwSignal::from(present).into();
        }
        let _ = id;
        Signal::stored(Vec::new())
    }

    /// Which of a thread's runs wait, and for what; empty if the thread is not followed, and until the server's first signal.
    pub fn queue(self, id: ThreadId) -> Signal<Vec<Waiting>> {
        #[cfg(feature = "hydrate")]
        if let Some(queue) = self.page_connection().and_then(|page| page.queue(id)) {
            return RwSignal::from(queue).into();
        }
        let _ = id;
        Signal::stored(Vec::new())
    }

    /// Sends a command, now or as soon as there is a connection, and returns its reply. During server-side rendering nothing is sent,
    /// and the result is an error.
    pub fn send<R: Request>(self, request: R) -> impl Future<Output = Result<R::Ok, ErrorBody>> + 'static {
        #[cfg(feature = "hydrate")]
        let reply = self.page_connection().map(|page| page.send(request.into()));
        #[cfg(not(feature = "hydrate"))]
        let reply: Option<std::future::Ready<Result<Outcome, ()>>> = {
            drop(request);
            None
        };
        decode_reply::<R::Ok, _, _>(reply)
    }

    /// A person signed in: opens the socket.
    pub fn signed_in(self, user: User) {
        #[cfg(feature = "hydrate")]
        if let Some(page) = self.page_connection() {
            page.signed_in(user.id);
        }
        self.user.set(Some(user));
    }

    /// The person signed out: closes the socket and drops their state.
    pub fn signed_out(self) {
        self.user.set(None);
        #[cfg(feature = "hydrate")]
        if let Some(page) = self.page_connection() {
            page.signed_out();
        }
    }

    /// Connects again at once, whatever closed the socket.
    pub fn reconnect(self) {
        #[cfg(feature = "hydrate")]
        if let Some(page) = self.page_connection() {
            page.reconnect();
        }
    }

    /// The page's connection; `None` once the application's owner is gone.
    #[cfg(feature = "hydrate")]
    fn page_connection(self) -> Option<std::rc::Rc<PageConnection>> {
        self.page.try_get_value().flatten()
    }
}

/// Waits for a reply and decodes its payload.
async fn decode_reply<T, F, E>(reply: Option<F>) -> Result<T, ErrorBody>
where
    T: serde::de::DeserializeOwned,
    F: Future<Output = Result<Outcome, E>>,
{
    let gone = || ErrorBody::new(ErrorCode::Unavailable, "this page has no connection; reload it");
    let outcome = reply.ok_or_else(gone)?.await.map_err(|_| gone())??;
    serde_json::from_value(outcome)
        .map_err(|e| ErrorBody::new(ErrorCode::Internal, format!("the reply does not match the protocol: {e}")))
}
