//! The machine's transport in a page: the browser's WebSocket, timers and signs of sleep and network.
//!
//! It owns every callback it registers, so nothing outlives it, and it turns whatever the browser throws into an input of
//! the machine: it never panics.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
};

use gloo_net::http::Request;
use gloo_timers::callback::Timeout;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{CloseEvent, Event, EventTarget, MessageEvent, WebSocket};

use super::machine::{Discovery, Input, Machine, News, Output, Status};
use crate::protocol::{PROTOCOL, http::Config, limits::FEED_PAGE};

/// What a page hears from its connection.
pub(crate) trait Listen {
    /// Something arrived.
    fn news(&self, news: News);
    /// What is known about the connection, and how many commands wait, after every step.
    fn state(&self, status: Status, waiting: usize);
}

/// A connection of this page; dropping it closes the socket.
pub(crate) struct Browser(Rc<Inner>);

struct Inner {
    me: Weak<Inner>,
    machine: RefCell<Machine>,
    socket: RefCell<Option<Open>>,
    timer: RefCell<Option<(i64, Timeout)>>,
    signs: RefCell<Vec<Listener>>,
    /// An input is being handled: what it causes meanwhile waits here.
    inputs: RefCell<VecDeque<Input>>,
    busy: Cell<bool>,
    app: Box<dyn Listen>,
}

impl Browser {
    /// A connection that tells `app` everything, at rest until [`Input::SignedIn`].
    pub(crate) fn new(app: Box<dyn Listen>) -> Self {
        let seed = (js_sys::Math::random() * 9e15) as u64;
        let inner = Rc::new_cyclic(|me: &Weak<Inner>| Inner {
            me: me.clone(),
            machine: RefCell::new(Machine::new(seed).with_newest(FEED_PAGE)),
            socket: RefCell::default(),
            timer: RefCell::default(),
            signs: RefCell::default(),
            inputs: RefCell::default(),
            busy: Cell::new(false),
            app,
        });
        inner.watch();
        Self(inner)
    }

    /// Feeds the machine and does what it says.
    pub(crate) fn handle(&self, input: Input) {
        self.0.handle(input);
    }
}

impl Inner {
    /// Registers for every sign that the connection should be looked at.
    fn watch(&self) {
        let Some(window) = web_sys::window() else { return };
        let mut signs = Vec::new();
        let mut on = |target: &EventTarget, name: &'static str, input: fn() -> Option<Input>| {
            let me = self.me.clone();
            let act = move |_: Event| {
                if let (Some(me), Some(input)) = (me.upgrade(), input()) {
                    me.handle(input);
                }
            };
            signs.push(Listener::new(target, name, act));
        };
        on(&window, "online", || Some(Input::Online));
        on(&window, "offline", || Some(Input::Offline));
        on(&window, "pageshow", || Some(Input::Woke));
        on(&window, "pagehide", || Some(Input::Left));
        if let Some(document) = window.document() {
            on(&document, "visibilitychange", || (!is_hidden()).then_some(Input::Woke));
        }
        *self.signs.borrow_mut() = signs;
        if !window.navigator().on_line() {
            // At rest this changes nothing but what the machine knows.
            self.machine.borrow_mut().handle(now_ms(), Input::Offline);
        }
    }

    fn handle(&self, input: Input) {
        self.inputs.borrow_mut().push_back(input);
        if self.busy.replace(true) {
            return;
        }
        while let Some(input) = self.pending() {
            self.machine.borrow_mut().handle(now_ms(), input);
            while let Some(output) = self.next() {
                self.act(output);
            }
        }
        self.busy.set(false);
        let (status, waiting, deadline) = {
            let machine = self.machine.borrow();
            (machine.status(), machine.waiting(), machine.next_deadline())
        };
        self.arm(deadline);
        self.app.state(status, waiting);
    }

    // Both end their borrow before anything is done with what they answer.
    fn pending(&self) -> Option<Input> {
        self.inputs.borrow_mut().pop_front()
    }

    fn next(&self) -> Option<Output> {
        self.machine.borrow_mut().poll()
    }

    fn act(&self, output: Output) {
        match output {
            Output::Tell(news) => self.app.news(news),
            Output::Discover => self.discover(),
            Output::Open(url) => {
                *self.socket.borrow_mut() = None;
                match Open::new(&url, &self.me) {
                    Ok(open) => *self.socket.borrow_mut() = Some(open),
                    Err(why) => {
                        self.inputs.borrow_mut().push_back(Input::Closed { code: 1006, reason: format!("{why:?}") })
                    }
                }
            }
            Output::Send(text) => {
                // A socket that cannot send is closing, and says so itself.
                let _ = self.socket.borrow().as_ref().map(|open| open.socket.send_with_str(&text));
            }
            Output::Close(code) => {
                if let Some(open) = self.socket.borrow_mut().take() {
                    open.close(code.code());
                }
            }
        }
    }

    fn discover(&self) {
        let me = self.me.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let answer = discover().await;
            if let Some(me) = me.upgrade() {
                me.handle(Input::Discovered(answer));
            }
        });
    }

    /// Sees to it that the machine hears of its deadline; a timer that fires early only asks again.
    fn arm(&self, deadline: Option<i64>) {
        let mut timer = self.timer.borrow_mut();
        let Some(deadline) = deadline else {
            *timer = None;
            return;
        };
        if timer.as_ref().is_some_and(|(at, _)| *at <= deadline) {
            return;
        }
        let me = self.me.clone();
        let wait = u32::try_from((deadline - now_ms()).clamp(0, 600_000)).unwrap_or(0);
        let act = move || {
            if let Some(me) = me.upgrade() {
                me.timer.borrow_mut().take();
                me.handle(Input::Tick);
            }
        };
        *timer = Some((deadline, Timeout::new(wait, act)));
    }
}

/// Asks the server where its socket is and whether the session is good.
async fn discover() -> Result<Discovery, String> {
    let answer = Request::get("/api/config").send().await.map_err(|e| e.to_string())?;
    if !answer.ok() {
        return Err(format!("GET /api/config answered {}", answer.status()));
    }
    answer.json::<Config>().await.map(Discovery::from).map_err(|e| e.to_string())
}

/// An open (or opening) socket with its callbacks. Dropped, it closes and reports nothing more.
struct Open {
    socket: WebSocket,
    listeners: Vec<Listener>,
}

impl Open {
    fn new(url: &str, driver: &Weak<Inner>) -> Result<Self, JsValue> {
        let socket = WebSocket::new_with_str(url, PROTOCOL)?;
        let me = driver.clone();
        let on_message = move |event: Event| {
            let text = event.dyn_ref::<MessageEvent>().and_then(|event| event.data().as_string());
            if let (Some(me), Some(text)) = (me.upgrade(), text) {
                me.handle(Input::Frame(text));
            }
        };
        let me = driver.clone();
        let on_close = move |event: Event| {
            let close = event.dyn_ref::<CloseEvent>();
            let (code, reason) = close.map_or((1006, String::new()), |close| (close.code(), close.reason()));
            if let Some(me) = me.upgrade() {
                // Its own callback runs: the socket is forgotten with the next one.
                me.handle(Input::Closed { code, reason });
            }
        };
        let listeners = vec![Listener::new(&socket, "message", on_message), Listener::new(&socket, "close", on_close)];
        Ok(Self { socket, listeners })
    }

    fn close(mut self, code: u16) {
        self.listeners.clear();
        let _ = self.socket.close_with_code(code);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.listeners.clear();
        let _ = self.socket.close();
    }
}

/// An event listener that is removed when dropped.
pub(crate) struct Listener {
    target: EventTarget,
    name: &'static str,
    act: Closure<dyn FnMut(Event)>,
}

impl Listener {
    pub(crate) fn new(target: &EventTarget, name: &'static str, act: impl FnMut(Event) + 'static) -> Self {
        let act = Closure::<dyn FnMut(Event)>::new(act);
        // The only failure is an options object that throws; there is none.
        let _ = target.add_event_listener_with_callback(name, act.as_ref().unchecked_ref());
        Self { target: target.clone(), name, act }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.target.remove_event_listener_with_callback(self.name, self.act.as_ref().unchecked_ref());
    }
}

/// Whether nobody can see the page: then no animation frame comes.
pub(crate) fn is_hidden() -> bool {
    web_sys::window().and_then(|window| window.document()).is_some_and(|document| document.hidden())
}

/// This device's clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    js_sys::Date::now() as i64
}
