//! What the page knows through its connection: signals that the one reducer keeps up to date.
//!
//! They belong to the application, not to a component: a thread that leaves the screen stays followed for a while, so
//! going back shows it at once. Entries are folded into a signal at most once per animation frame (in a hidden tab, where
//! no frames come, a few times a second).

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
    browser::{Browser, Listen, Listener, is_hidden, now_ms},
    context::{Loaded, Seed, Socket},
    feed::{FeedTail, Stale},
    machine::{Input, News, Status, Token},
};
use crate::{
    protocol::{
        ChannelName, Command, Entry, Outcome, Present, Snapshot, ThreadEntry, ThreadId, ThreadSignal, UserEntry,
        UserId, Waiting, http::ThreadPage,
    },
    thread::{FeedPlace, ThreadView, UserFeed},
};

/// How many threads stay followed after the last component let go of them.
const WARM: usize = 4;
/// How many entries may wait for a frame.
const MOST_PENDING: usize = 2048;
/// How many notices are kept for reading.
const MOST_NOTICES: usize = 20;
/// Between two foldings in a hidden tab.
const HIDDEN: Duration = Duration::from_millis(250);

/// The page's one connection and what it feeds.
pub(super) struct Live {
    browser: Browser,
    state: Rc<State>,
    next_token: Cell<u64>,
    /// The last person signed in: their waiting commands are never sent as someone else.
    person: Cell<Option<UserId>>,
    _hidden: Option<Listener>,
}

struct State {
    me: Weak<State>,
    socket: Socket,
    replies: RefCell<HashMap<Token, oneshot::Sender<Outcome>>>,
    threads: RefCell<HashMap<ThreadId, Thread>>,
    /// Entries of the feed that wait for a frame, with their places.
    feed: RefCell<Vec<(u64, i64, UserEntry)>>,
    tail: RefCell<FeedTail>,
    pending: Cell<usize>,
    scheduled: Cell<bool>,
}

struct Thread {
    view: ArcRwSignal<Loaded<ThreadView>>,
    /// Who has it open, as far as that was said on this connection.
    present: ArcRwSignal<Vec<Present>>,
    /// Which of its runs wait, as far as that was said on this connection.
    queue: ArcRwSignal<Vec<Waiting>>,
    pending: Vec<(i64, ThreadEntry)>,
    holders: usize,
    /// Orders the threads that nobody holds.
    released: u64,
}

impl Thread {
    fn new(view: Loaded<ThreadView>) -> Self {
        let (present, queue) = Default::default();
        Self { view: ArcRwSignal::new(view), present, queue, pending: Vec::new(), holders: 0, released: 0 }
    }

    /// Takes what was said of it and is not kept: the newest word is all of it.
    fn hear(&self, signal: ThreadSignal) {
        match signal {
            ThreadSignal::Presence { present } => self.present.set(present),
            ThreadSignal::Queue { waiting } => self.queue.set(waiting),
        }
    }

    /// Forgets that: the next connection says it anew.
    fn unhear(&self) {
        self.present.set(Vec::new());
        self.queue.set(Vec::new());
    }
}

impl Live {
    pub(super) fn start(socket: Socket, seed: Seed) -> Rc<Self> {
        let state = Rc::new_cyclic(|me| State {
            me: me.clone(),
            socket,
            replies: RefCell::default(),
            threads: RefCell::default(),
            feed: RefCell::default(),
            tail: RefCell::default(),
            pending: Cell::new(0),
            scheduled: Cell::new(false),
        });
        let browser = Browser::new(Box::new(Rc::clone(&state)));
        let weak = Rc::downgrade(&state);
        let flush = move |_| {
            if let Some(state) = weak.upgrade().filter(|_| is_hidden()) {
                state.flush();
            }
        };
        let document = web_sys::window().and_then(|window| window.document());
        let hidden = document.map(|document| Listener::new(&document, "visibilitychange", flush));
        let live = Rc::new(Self { browser, state, next_token: Cell::new(0), person: Cell::new(None), _hidden: hidden });
        // Signed in first: until then the machine says that nobody is.
        if let Some(user) = seed.user {
            live.person.set(Some(user.id));
            live.browser.handle(Input::SignedIn);
            let begins = seed.feed.as_ref().map_or(0, |at| at.cursor.seq);
            live.state.tail.borrow_mut().restart(begins);
            live.browser.handle(Input::Follow(ChannelName::User, seed.feed.map(|at| at.cursor)));
        }
        if let Some((id, at)) = seed.thread {
            live.state.threads.borrow_mut().insert(id, Thread::new(Loaded::Ready(at.state)));
            live.browser.handle(Input::Follow(ChannelName::Thread(id), Some(at.cursor)));
        }
        live
    }

    /// Follows a thread, counted: each call is answered by one [`Self::release`].
    pub(super) fn hold(&self, id: ThreadId) -> ArcRwSignal<Loaded<ThreadView>> {
        let channel = ChannelName::Thread(id);
        let (view, refused) = {
            let mut threads = self.state.threads.borrow_mut();
            let thread = threads.entry(id).or_insert_with(|| Thread::new(Loaded::Loading));
            thread.holders += 1;
            let refused = thread.view.with_untracked(|view| matches!(view, Loaded::Refused(_) | Loaded::Deleted));
            (thread.view.clone(), refused)
        };
        if refused {
            view.set(Loaded::Loading);
            self.browser.handle(Input::Unfollow(channel));
        }
        self.browser.handle(Input::Follow(channel, None));
        view
    }

    /// Who has a thread open, while it is followed.
    pub(super) fn present(&self, id: ThreadId) -> Option<ArcRwSignal<Vec<Present>>> {
        self.state.threads.borrow().get(&id).map(|thread| thread.present.clone())
    }

    /// Which of a thread's runs wait, while it is followed.
    pub(super) fn queue(&self, id: ThreadId) -> Option<ArcRwSignal<Vec<Waiting>>> {
        self.state.threads.borrow().get(&id).map(|thread| thread.queue.clone())
    }

    pub(super) fn release(&self, id: ThreadId) {
        let stale: Vec<ThreadId> = {
            let mut threads = self.state.threads.borrow_mut();
            let newest = threads.values().map(|thread| thread.released).max().unwrap_or(0);
            if let Some(thread) = threads.get_mut(&id) {
                thread.holders = thread.holders.saturating_sub(1);
                thread.released = newest + 1;
            }
            let mut idle: Vec<(u64, ThreadId)> =
                threads.iter().filter(|(_, t)| t.holders == 0).map(|(id, t)| (t.released, *id)).collect();
            idle.sort_unstable();
            let stale = idle.len().saturating_sub(WARM);
            idle.into_iter().take(stale).map(|(_, id)| id).collect()
        };
        for id in stale {
            self.state.threads.borrow_mut().remove(&id);
            self.browser.handle(Input::Unfollow(ChannelName::Thread(id)));
        }
    }

    pub(super) fn send(&self, command: Command) -> oneshot::Receiver<Outcome> {
        let token = Token(self.next_token.get());
        self.next_token.set(token.0 + 1);
        let (reply, answer) = oneshot::channel();
        self.state.replies.borrow_mut().insert(token, reply);
        self.browser.handle(Input::Send(token, command));
        answer
    }

    pub(super) fn signed_in(&self, person: UserId) {
        if self.person.replace(Some(person)).is_some_and(|before| before != person) {
            self.forget();
        }
        self.browser.handle(Input::Follow(ChannelName::User, None));
        let held: Vec<ThreadId> = self.state.threads.borrow().keys().copied().collect();
        for id in held {
            self.browser.handle(Input::Follow(ChannelName::Thread(id), None));
        }
        self.browser.handle(Input::SignedIn);
    }

    pub(super) fn signed_out(&self) {
        self.person.set(None);
        self.forget();
    }

    /// Adds a page of threads to the feed.
    pub(super) fn add_threads(&self, before: Option<FeedPlace>, page: ThreadPage) -> Result<(), Stale> {
        // What waits for a frame comes before it.
        self.state.flush();
        let socket = self.state.socket;
        let mut tail = self.state.tail.borrow_mut();
        let added = socket.feed.try_update_untracked(|feed| tail.merge(feed, before, page)).unwrap_or(Ok(()));
        let is_behind = tail.is_behind();
        drop(tail);
        socket.feed.notify();
        if socket.feed_behind.get_untracked() != is_behind {
            socket.feed_behind.set(is_behind);
        }
        added
    }

    pub(super) fn reconnect(&self) {
        self.browser.handle(Input::Reconnect);
    }

    /// Closes, and forgets everything of the person.
    fn forget(&self) {
        self.browser.handle(Input::SignedOut);
        self.state.feed.borrow_mut().clear();
        self.state.tail.borrow_mut().restart(0);
        self.state.threads.borrow_mut().retain(|_, thread| {
            thread.pending.clear();
            thread.view.set(Loaded::Loading);
            thread.holders > 0
        });
        self.state.socket.feed.set(Default::default());
        self.state.socket.notices.set(Vec::new());
    }
}

impl Listen for Rc<State> {
    fn news(&self, news: News) {
        let socket = self.socket;
        match news {
            News::Welcome(welcome) => {
                socket.clock_offset.set(Some(welcome.server_time - now_ms()));
                socket.connection.set(Some(welcome.connection_id));
            }
            News::Snapshot { snapshot: Snapshot::User(feed), cursor, .. } => {
                self.feed.borrow_mut().clear();
                self.tail.borrow_mut().restart(cursor.seq);
                socket.feed_behind.set(false);
                socket.feed.set(feed);
            }
            News::Snapshot { channel, snapshot: Snapshot::Thread(view), .. } => self.show(channel, Loaded::Ready(view)),
            News::Refused { channel, error } => self.show(channel, Loaded::Refused(error)),
            News::Entry { channel, seq, at, entry } => self.entry(channel, seq, at, entry),
            News::Reply { token, outcome } => {
                // Whoever asked may be gone.
                let reply = self.replies.borrow_mut().remove(&token);
                let _ = reply.map(|reply| reply.send(outcome));
            }
            News::Notice(notice) => socket.notices.update(|notices| {
                notices.retain(|known| known.id != notice.id);
                notices.push(notice);
                let surplus = notices.len().saturating_sub(MOST_NOTICES);
                notices.drain(..surplus);
            }),
            News::Fault(why) => logging::warn!("socket: {why}"),
        }
    }

    fn state(&self, status: Status, waiting: usize) {
        let socket = self.socket;
        if status != Status::Connected && socket.connection.with_untracked(Option::is_some) {
            socket.connection.set(None);
            self.threads.borrow().values().for_each(Thread::unhear);
        }
        if socket.status.with_untracked(|known| *known != status) {
            if status == Status::SignedOut {
                socket.user.set(None);
            }
            socket.status.set(status);
        }
        if socket.waiting.get_untracked() != waiting {
            socket.waiting.set(waiting);
        }
    }
}

impl State {
    fn show(&self, channel: ChannelName, view: Loaded<ThreadView>) {
        let ChannelName::Thread(id) = channel else { return };
        if let Some(thread) = self.threads.borrow_mut().get_mut(&id) {
            thread.pending.clear();
            thread.view.set(view);
        }
    }

    /// A thread was deleted, here or elsewhere: nothing of it is told any more.
    fn deleted(&self, id: ThreadId) {
        self.show(ChannelName::Thread(id), Loaded::Deleted);
        if let Some(thread) = self.threads.borrow().get(&id) {
            thread.unhear();
        }
    }

    fn entry(&self, channel: ChannelName, seq: Option<u64>, at: i64, entry: Entry) {
        match (channel, entry) {
            (ChannelName::Thread(id), Entry::Thread(entry)) => {
                if let Some(thread) = self.threads.borrow_mut().get_mut(&id) {
                    thread.pending.push((at, entry));
                }
            }
            (ChannelName::User, Entry::User(entry)) => {
                if let UserEntry::ThreadRemoved { thread_id } = entry {
                    self.deleted(thread_id);
                }
                // Every entry of the feed is stored, and so has a sequence number.
                let Some(seq) = seq else { return };
                self.feed.borrow_mut().push((seq, at, entry));
            }
            (ChannelName::Thread(id), Entry::Signal(signal)) => {
                if let Some(thread) = self.threads.borrow().get(&id) {
                    thread.hear(signal);
                }
                return;
            }
            _ => return,
        }
        self.pending.set(self.pending.get() + 1);
        if self.pending.get() >= MOST_PENDING {
            self.flush();
        } else if !self.scheduled.replace(true) {
            let me = self.me.clone();
            let flush = move || {
                if let Some(me) = me.upgrade() {
                    me.flush();
                }
            };
            if is_hidden() {
                set_timeout(flush, HIDDEN);
            } else {
                request_animation_frame(flush);
            }
        }
    }

    /// Folds what waits into the signals.
    fn flush(&self) {
        self.scheduled.set(false);
        self.pending.set(0);
        let feed = mem::take(&mut *self.feed.borrow_mut());
        if !feed.is_empty() {
            let mut tail = self.tail.borrow_mut();
            let told =
                |state: &mut UserFeed| feed.into_iter().for_each(|(seq, at, entry)| tail.apply(state, seq, at, entry));
            self.socket.feed.update_untracked(told);
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
