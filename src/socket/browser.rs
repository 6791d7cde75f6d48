//! The machine's driver in a page: WebSocket, timers, and the browser's events for network and visibility.
//!
//! It owns every callback that it registers, so dropping it removes them all. It never panics: an exception of the browser
//! becomes an input of the machine.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
};

use gloo_net::http::Request;
use gloo_timers::callback::Timeout;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{CloseEvent, EventTarget, MessageEvent, WebSocket};

use super::machine::{Discovery, Event, Input, Machine, Output, Status};
use crate::protocol::{OFFERED_PROTOCOLS, http::Config, json, limits::FEED_PAGE};

/// The application's side of the connection.
pub(crate) trait Handler {
    /// The machine notified the application.
    fn on_event(&self, event: Event);
    /// Called after every input: the connection's status, and how many commands have no reply yet.
    fn on_status(&self, status: Status, queued_commands: usize);
}

/// The page's connection; dropping it closes the socket.
pub(crate) struct Driver(Rc<Inner>);

struct Inner {
    weak_self: Weak<Inner>,
    machine: RefCell<Machine>,
    socket: RefCell<Option<OpenSocket>>,
    timer: RefCell<Option<(i64, Timeout)>>,
    listeners: RefCell<Vec<Listener>>,
    /// Inputs that arrive while one is being handled.
    inputs: RefCell<VecDeque<Input>>,
    busy: Cell<bool>,
    app: Box<dyn Handler>,
}

impl Driver {
    /// A driver that notifies `app` and does nothing before [`Input::SignedIn`].
    pub(crate) fn new(app: Box<dyn Handler>) -> Self {
        let seed = (js_sys::Math::random() * 9e15) as u64;
        let inner = Rc::new_cyclic(|weak_self: &Weak<Inner>| Inner {
            weak_self: weak_self.clone(),
            machine: RefCell::new(Machine::new(seed).with_max_feed_threads(FEED_PAGE)),
            socket: RefCell::default(),
            timer: RefCell::default(),
            listeners: RefCell::default(),
            inputs: RefCell::default(),
            busy: Cell::new(false),
            app,
        });
        inner.listen();
        Self(inner)
    }

    /// Passes an input to the machine and carries out its outputs.
    pub(crate) fn handle(&self, input: Input) {
        self.0.handle(input);
    }
}

impl Inner {
    /// Listens to the browser's events for network and visibility.
    fn listen(&self) {
        let Some(window) = web_sys::window() else { return };
        let mut listeners = Vec::new();
        let mut on = |target: &EventTarget, name: &'static str, input: fn() -> Option<Input>| {
            let weak = self.weak_self.clone();
            let callback = move |_: web_sys::Event| {
                if let (Some(inner), Some(input)) = (weak.upgrade(), input()) {
                    inner.handle(input);
                }
            };
            listeners.push(Listener::new(target, name, callback));
        };
        on(&window, "online", || Some(Input::Online));
        on(&window, "offline", || Some(Input::Offline));
        on(&window, "pageshow", || Some(Input::PageResumed));
        on(&window, "pagehide", || Some(Input::PageHidden));
        if let Some(document) = window.document() {
            on(&document, "visibilitychange", || (!is_hidden()).then_some(Input::PageResumed));
        }
        *self.listeners.borrow_mut() = listeners;
        if !window.navigator().on_line() {
            // There is no connection yet, so this has no outputs to carry out.
            self.machine.borrow_mut().handle(now_ms(), Input::Offline);
        }
    }

    fn handle(&self, input: Input) {
        self.inputs.borrow_mut().push_back(input);
        if self.busy.replace(true) {
            return;
        }
        while let Some(input) = self.next_input() {
            self.machine.borrow_mut().handle(now_ms(), input);
            while let Some(output) = self.next_output() {
                self.carry_out(output);
            }
        }
        self.busy.set(false);
        let (status, queued_commands, deadline) = {
            let machine = self.machine.borrow();
            (machine.status(), machine.queued_commands(), machine.next_deadline())
        };
        self.set_timer(deadline);
        self.app.on_status(status, queued_commands);
    }

    // In these two the `RefCell` borrow ends before the caller handles the result and borrows again.
    fn next_input(&self) -> Option<Input> {
        self.inputs.borrow_mut().pop_front()
    }

    fn next_output(&self) -> Option<Output> {
        self.machine.borrow_mut().poll()
    }

    fn carry_out(&self, output: Output) {
        match output {
            Output::Notify(event) => self.app.on_event(event),
            Output::Discover => self.discover(),
            Output::Open(url) => {
                *self.socket.borrow_mut() = None;
                match OpenSocket::new(&url, &self.weak_self) {
                    Ok(socket) => *self.socket.borrow_mut() = Some(socket),
                    Err(error) => {
                        let reason = format!("{error:?}");
                        self.inputs.borrow_mut().push_back(Input::Closed { code: 1006, reason });
                    }
                }
            }
            Output::Send(text) => {
                // If sending fails, the socket is closing and its close event follows.
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
        let weak = self.weak_self.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let result = discover().await;
            if let Some(inner) = weak.upgrade() {
                inner.handle(Input::Discovered(result));
            }
        });
    }

    /// Sets a timer for the machine's deadline. An earlier timer stays: it sets the next one when it fires.
    fn set_timer(&self, deadline: Option<i64>) {
        let mut timer = self.timer.borrow_mut();
        let Some(deadline) = deadline else {
            *timer = None;
            return;
        };
        if timer.as_ref().is_some_and(|(at, _)| *at <= deadline) {
            return;
        }
        let weak = self.weak_self.clone();
        let wait = u32::try_from((deadline - now_ms()).clamp(0, 600_000)).unwrap_or(0);
        let callback = move || {
            if let Some(inner) = weak.upgrade() {
                inner.timer.borrow_mut().take();
                inner.handle(Input::Tick);
            }
        };
        *timer = Some((deadline, Timeout::new(wait, callback)));
    }
}

/// Requests the socket's URL, and whether the session is signed in.
async fn discover() -> Result<Discovery, String> {
    let response = Request::get("/api/config").send().await.map_err(|e| e.to_string())?;
    if !response.ok() {
        return Err(format!("GET /api/config returned status {}", response.status()));
    }
    let text = response.text().await.map_err(|e| e.to_string())?;
    json::from_str::<Config>(&text).map(Discovery::from).map_err(|e| e.to_string())
}

/// An open (or opening) socket with its callbacks. Dropping it closes the socket and removes them.
struct OpenSocket {
    socket: WebSocket,
    listeners: Vec<Listener>,
}

impl OpenSocket {
    fn new(url: &str, driver: &Weak<Inner>) -> Result<Self, JsValue> {
        let offered: js_sys::Array = OFFERED_PROTOCOLS.into_iter().map(JsValue::from_str).collect();
        let socket = WebSocket::new_with_str_sequence(url, &offered)?;
        let weak = driver.clone();
        let on_message = move |event: web_sys::Event| {
            let text = event.dyn_ref::<MessageEvent>().and_then(|event| event.data().as_string());
            if let (Some(inner), Some(text)) = (weak.upgrade(), text) {
                inner.handle(Input::Frame(text));
            }
        };
        let weak = driver.clone();
        let on_close = move |event: web_sys::Event| {
            let close = event.dyn_ref::<CloseEvent>();
            let (code, reason) = close.map_or((1006, String::new()), |close| (close.code(), close.reason()));
            if let Some(inner) = weak.upgrade() {
                // The socket is kept until the next one replaces it, since its own callback is running.
                inner.handle(Input::Closed { code, reason });
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

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.listeners.clear();
        let _ = self.socket.close();
    }
}

/// A DOM event listener that is removed when dropped.
pub(crate) struct Listener {
    target: EventTarget,
    name: &'static str,
    callback: Closure<dyn FnMut(web_sys::Event)>,
}

impl Listener {
    pub(crate) fn new(
        target: &EventTarget,
        name: &'static str,
        callback: impl FnMut(web_sys::Event) + 'static,
    ) -> Self {
        let callback = Closure::<dyn FnMut(web_sys::Event)>::new(callback);
        // Only an options object that throws could make this fail, and none is passed.
        let _ = target.add_event_listener_with_callback(name, callback.as_ref().unchecked_ref());
        Self { target: target.clone(), name, callback }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.target.remove_event_listener_with_callback(self.name, self.callback.as_ref().unchecked_ref());
    }
}

/// Whether the page is hidden: the browser then runs no animation frames.
pub(crate) fn is_hidden() -> bool {
    web_sys::window().and_then(|window| window.document()).is_some_and(|document| document.hidden())
}

/// The device's clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    js_sys::Date::now() as i64
}
