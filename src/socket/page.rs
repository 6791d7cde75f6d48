//! The page's connection and the signals that it keeps up to date with the reducer.
//!
//! The signals belong to the application, not to a component: the [`MAX_UNUSED_THREADS`] threads that were shown last stay
//! followed, so that going back shows them at once. Entries are folded into a signal at most once per animation frame; a hidden
//! tab has no animation frames and uses a timer.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    mem,
    rc::{Rc, Weak},
    time::Duration,
};

use futures_channel::oneshot;
use leptos::{logging, prelude::*};

use super::{
    browser::{Driver, Handler, Listener, is_hidden, now_ms},
    context::{Loaded, Seed, Socket},
    feed::FeedTail,
    machine::{CommandToken, Event, Input, Status},
};
use crate::{
    protocol::{
        ChannelName, Command, Entry, Outcome, Present, Snapshot, ThreadEntry, ThreadId, ThreadSignal, UserEntry,
        UserId, Waiting,
    },
    thread::{ThreadView, UserFeed},
};

/// How many threads stay followed although no component uses them.
const MAX_UNUSED_THREADS: usize = 4;
/// How many entries may wait for an animation frame; more are folded at once.
const MAX_PENDING: usize = 2048;
/// How many notices the page keeps; older ones are dropped.
const MAX_NOTICES: usize = 20;
/// How long entries wait to be folded in a hidden tab.
const HIDDEN_FLUSH_INTERVAL: Duration = Duration::from_millis(250);

/// The page's one connection and its state.
pub(super) struct PageConnection {
    driver: Driver,
    state: Rc<State>,
    next_token: Cell<u64>,
    /// The user who signed in last; commands they queued are never sent as somebody else.
    user: Cell<Option<UserId>>,
    _visibility: Option<Listener>,
}

struct State {
    weak_self: Weak<State>,
    socket: Socket,
    reply_senders: RefCell<HashMap<CommandToken, oneshot::Sender<Outcome>>>,
    threads: RefCell<HashMap<ThreadId, Thread>>,
    /// Entries of the feed that wait to be folded: `seq`, time, entry.
    feed: RefCell<Vec<(u64, i64, UserEntry)>>,
    tail: RefCell<FeedTail>,
    /// How many entries wait to be folded, of the feed and all threads.
    pending: Cell<usize>,
    /// Whether a flush is scheduled.
    scheduled: Cell<bool>,
}

struct Thread {
    view: ArcRwSignal<Loaded<ThreadView>>,
    /// Who has it open, as of the last signal on this connection.
    present: ArcRwSignal<Vec<Present>>,
    /// Which of its runs wait, as of the last signal on this connection.
    queue: ArcRwSignal<Vec<Waiting>>,
    /// Entries that wait to be folded, with their time.
    pending: Vec<(i64, ThreadEntry)>,
    /// How many components use it.
    component_count: usize,
    /// Orders the unused threads by when they were released.
    release_number: u64,
}

impl Thread {
    fn new(view: Loaded<ThreadView>) -> Self {
        let (present, queue) = Default::default();
        Self {
            view: ArcRwSignal::new(view),
            present,
            queue,
            pending: Vec::new(),
            component_count: 0,
            release_number: 0,
        }
    }

    /// Applies a signal, which replaces the previous one of its kind.
    fn apply_signal(&self, signal: ThreadSignal) {
        match signal {
            ThreadSignal::Presence { present } => self.present.set(present),
            ThreadSignal::Queue { waiting } => self.queue.set(waiting),
        }
    }

    /// Clears what signals set; the server sends them again on the next connection.
    fn clear_signals(&self) {
        self.present.set(Vec::new());
        self.queue.set(Vec::new());
    }
}

impl PageConnection {
    /// Opens the connection if the seed has a signed-in user, and follows what the seed shows.
    pub(super) fn start(socket: Socket, seed: Seed) -> Rc<Self> {
        let state = Rc::new_cyclic(|weak_self| State {
            weak_self: weak_self.clone(),
            socket,
            reply_senders: RefCell::default(),
            threads: RefCell::default(),
            feed: RefCell::default(),
            tail: RefCell::default(),
            pending: Cell::new(0),
            scheduled: Cell::new(false),
        });
        let driver = Driver::new(Box::new(Rc::clone(&state)));
        let weak = Rc::downgrade(&state);
        let flush = move |_| {
            if let Some(state) = weak.upgrade().filter(|_| is_hidden()) {
                state.flush();
            }
        };
        let document = web_sys::window().and_then(|window| window.document());
        let visibility = document.map(|document| Listener::new(&document, "visibilitychange", flush));
        let (next_token, user) = (Cell::new(0), Cell::new(None));
        let connection = Rc::new(Self { driver, state, next_token, user, _visibility: visibility });
        // Sign in before anything else: until then the machine reports `SignedOut`, which clears the user.
        if let Some(user) = seed.user {
            connection.user.set(Some(user.id));
            connection.driver.handle(Input::SignedIn);
            let seq = seed.feed.as_ref().map_or(0, |at| at.cursor.seq);
            connection.state.tail.borrow_mut().restart(seq);
            connection.driver.handle(Input::Follow(ChannelName::User, seed.feed.map(|at| at.cursor)));
        }
        if let Some((id, at)) = seed.thread {
            connection.state.threads.borrow_mut().insert(id, Thread::new(Loaded::Ready(at.state)));
            connection.driver.handle(Input::Follow(ChannelName::Thread(id), Some(at.cursor)));
        }
        connection
    }

    /// Follows a thread for a component; each call needs one [`Self::release`].
    pub(super) fn acquire(&self, id: ThreadId) -> ArcRwSignal<Loaded<ThreadView>> {
        let channel = ChannelName::Thread(id);
        let (view, is_unavailable) = {
            let mut threads = self.state.threads.borrow_mut();
            let thread = threads.entry(id).or_insert_with(|| Thread::new(Loaded::Loading));
            thread.component_count += 1;
            let is_unavailable =
                thread.view.with_untracked(|view| matches!(view, Loaded::Refused(_) | Loaded::Deleted));
            (thread.view.clone(), is_unavailable)
        };
        if is_unavailable {
            view.set(Loaded::Loading);
            self.driver.handle(Input::Unfollow(channel));
        }
        self.driver.handle(Input::Follow(channel, None));
        view
    }

    /// Who has a thread open; `None` unless it is followed.
    pub(super) fn present(&self, id: ThreadId) -> Option<ArcRwSignal<Vec<Present>>> {
        self.state.threads.borrow().get(&id).map(|thread| thread.present.clone())
    }

    /// Which of a thread's runs wait; `None` unless it is followed.
    pub(super) fn queue(&self, id: ThreadId) -> Option<ArcRwSignal<Vec<Waiting>>> {
        self.state.threads.borrow().get(&id).map(|thread| thread.queue.clone())
    }

    /// A component no longer uses the thread. Unfollows the unused threads beyond [`MAX_UNUSED_THREADS`], oldest first.
    pub(super) fn release(&self, id: ThreadId) {
        let surplus: Vec<ThreadId> = {
            let mut threads = self.state.threads.borrow_mut();
            let newest = threads.values().map(|thread| thread.release_number).max().unwrap_or(0);
            if let Some(thread) = threads.get_mut(&id) {
                thread.component_count = thread.component_count.saturating_sub(1);
                thread.release_number = newest + 1;
            }
            let mut unused: Vec<(u64, ThreadId)> =
                threads.iter().filter(|(_, t)| t.component_count == 0).map(|(id, t)| (t.release_number, *id)).collect();
            unused.sort_unstable();
            let surplus = unused.len().saturating_sub(MAX_UNUSED_THREADS);
            unused.into_iter().take(surplus).map(|(_, id)| id).collect()
        };
        for id in surplus {
            self.state.threads.borrow_mut().remove(&id);
            self.driver.handle(Input::Unfollow(ChannelName::Thread(id)));
        }
    }

    pub(super) fn send(&self, command: Command) -> oneshot::Receiver<Outcome> {
        let token = CommandToken(self.next_token.get());
        self.next_token.set(token.0 + 1);
        let (sender, receiver) = oneshot::channel();
        self.state.reply_senders.borrow_mut().insert(token, sender);
        self.driver.handle(Input::Send(token, command));
        receiver
    }

    pub(super) fn signed_in(&self, user: UserId) {
        if self.user.replace(Some(user)).is_some_and(|before| before != user) {
            self.clear();
        }
        self.driver.handle(Input::Follow(ChannelName::User, None));
        let followed: Vec<ThreadId> = self.state.threads.borrow().keys().copied().collect();
        for id in followed {
            self.driver.handle(Input::Follow(ChannelName::Thread(id), None));
        }
        self.driver.handle(Input::SignedIn);
    }

    pub(super) fn signed_out(&self) {
        self.user.set(None);
        self.clear();
    }

    /// Adds threads of a page to the feed; returns the result of `add`.
    pub(super) fn add_to_feed<R>(&self, add: impl FnOnce(&mut FeedTail, &mut UserFeed) -> R) -> Option<R> {
        // Entries that wait to be folded come before the page.
        self.state.flush();
        let socket = self.state.socket;
        let mut tail = self.state.tail.borrow_mut();
        let added = socket.feed.try_update_untracked(|feed| add(&mut tail, feed));
        let is_behind = tail.is_behind();
        drop(tail);
        socket.feed.notify();
        if socket.feed_behind.get_untracked() != is_behind {
            socket.feed_behind.set(is_behind);
        }
        added
    }

    pub(super) fn reconnect(&self) {
        self.driver.handle(Input::Reconnect);
    }

    /// Closes the connection and drops everything that belongs to the user.
    fn clear(&self) {
        self.driver.handle(Input::SignedOut);
        self.state.feed.borrow_mut().clear();
        self.state.tail.borrow_mut().restart(0);
        self.state.threads.borrow_mut().retain(|_, thread| {
            thread.pending.clear();
            thread.view.set(Loaded::Loading);
            thread.component_count > 0
        });
        self.state.socket.feed.set(Default::default());
        self.state.socket.notices.set(Vec::new());
    }
}

impl Handler for Rc<State> {
    fn on_event(&self, event: Event) {
        let socket = self.socket;
        match event {
            Event::Welcome(welcome) => {
                socket.clock_offset.set(Some(welcome.server_time - now_ms()));
                socket.connection.set(Some(welcome.connection_id));
            }
            Event::Snapshot { snapshot: Snapshot::User(feed), cursor, .. } => {
                self.feed.borrow_mut().clear();
                self.tail.borrow_mut().restart(cursor.seq);
                socket.feed_behind.set(false);
                socket.feed.set(feed);
            }
            Event::Snapshot { channel, snapshot: Snapshot::Thread(view), .. } => {
                self.set_view(channel, Loaded::Ready(view))
            }
            Event::Refused { channel, error } => self.set_view(channel, Loaded::Refused(error)),
            Event::Entry { channel, seq, at, entry } => self.on_entry(channel, seq, at, entry),
            Event::Reply { token, outcome } => {
                // The caller may have dropped its receiver.
                let reply = self.reply_senders.borrow_mut().remove(&token);
                let _ = reply.map(|reply| reply.send(outcome));
            }
            Event::Notice(notice) => socket.notices.update(|notices| {
                notices.retain(|known| known.id != notice.id);
                notices.push(notice);
                let surplus = notices.len().saturating_sub(MAX_NOTICES);
                notices.drain(..surplus);
            }),
            Event::Fault(error) => logging::warn!("socket: {error}"),
        }
    }

    fn on_status(&self, status: Status, queued_commands: usize) {
        let socket = self.socket;
        if status != Status::Connected && socket.connection.with_untracked(Option::is_some) {
            socket.connection.set(None);
            self.threads.borrow().values().for_each(Thread::clear_signals);
        }
        if socket.status.with_untracked(|known| *known != status) {
            if status == Status::SignedOut {
                socket.user.set(None);
            }
            socket.status.set(status);
        }
        if socket.queued_commands.get_untracked() != queued_commands {
            socket.queued_commands.set(queued_commands);
        }
    }
}

impl State {
    fn set_view(&self, channel: ChannelName, view: Loaded<ThreadView>) {
        let ChannelName::Thread(id) = channel else { return };
        if let Some(thread) = self.threads.borrow_mut().get_mut(&id) {
            thread.pending.clear();
            thread.view.set(view);
        }
    }

    /// A thread was deleted, in this page or elsewhere.
    fn on_deleted(&self, id: ThreadId) {
        self.set_view(ChannelName::Thread(id), Loaded::Deleted);
        if let Some(thread) = self.threads.borrow().get(&id) {
            thread.clear_signals();
        }
    }

    fn on_entry(&self, channel: ChannelName, seq: Option<u64>, at: i64, entry: Entry) {
        match (channel, entry) {
            (ChannelName::Thread(id), Entry::Thread(entry)) => {
                if let Some(thread) = self.threads.borrow_mut().get_mut(&id) {
                    thread.pending.push((at, entry));
                }
            }
            (ChannelName::User, Entry::User(entry)) => {
                if let UserEntry::ThreadRemoved { thread_id } = entry {
                    self.on_deleted(thread_id);
                }
                // Every entry of the feed is stored and has a `seq`.
                let Some(seq) = seq else { return };
                self.feed.borrow_mut().push((seq, at, entry));
            }
            (ChannelName::Thread(id), Entry::Signal(signal)) => {
                if let Some(thread) = self.threads.borrow().get(&id) {
                    thread.apply_signal(signal);
                }
                return;
            }
            _ => return,
        }
        self.pending.set(self.pending.get() + 1);
        if self.pending.get() >= MAX_PENDING {
            self.flush();
        } else if !self.scheduled.replace(true) {
            let weak = self.weak_self.clone();
            let flush = move || {
                if let Some(state) = weak.upgrade() {
                    state.flush();
                }
            };
            if is_hidden() {
                set_timeout(flush, HIDDEN_FLUSH_INTERVAL);
            } else {
                request_animation_frame(flush);
            }
        }
    }

    /// Folds the waiting entries into the signals.
    fn flush(&self) {
        self.scheduled.set(false);
        self.pending.set(0);
        let feed = mem::take(&mut *self.feed.borrow_mut());
        if !feed.is_empty() {
            let mut tail = self.tail.borrow_mut();
            let fold =
                |state: &mut UserFeed| feed.into_iter().for_each(|(seq, at, entry)| tail.apply(state, seq, at, entry));
            self.socket.feed.update_untracked(fold);
            let is_behind = tail.is_behind();
            drop(tail);
            self.socket.feed.notify();
            if is_behind {
                self.socket.feed_behind.set(true);
            }
        }
        let views: Vec<_> = {
            let mut threads = self.threads.borrow_mut();
            let waiting = threads.values_mut().filter(|thread| !thread.pending.is_empty());
            waiting.map(|thread| (thread.view.clone(), mem::take(&mut thread.pending))).collect()
        };
        for (view, entries) in views {
            view.update(|loaded| {
                if let Loaded::Ready(state) = loaded {
                    entries.into_iter().for_each(|(at, entry)| state.apply(at, entry));
                }
            });
        }
    }
}
