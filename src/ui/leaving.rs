//! Signing out in one tab signs every tab of the browser out, also one whose socket is closed, that sleeps, or that comes back
//! from the browser's cache of pages: each forgets what it shows and goes to the sign-in page.

use leptos::{
    ev::{EventDescriptor as _, pageshow, visibilitychange},
    prelude::*,
    task::spawn_local,
};

use super::{browser, outgoing::Outgoing, storage::Storage};
use crate::socket::context::Socket;

/// Where the tabs of a browser leave word of the last sign-out.
const KEY: &str = "netra.signed-out";

/// Forgets everything of a person who signed out, and loads the sign-in page from the start: nothing stays in memory.
pub(crate) fn leave(socket: Socket, outgoing: Outgoing, storage: Storage) {
    outgoing.clear();
    spawn_local(async move {
        storage.forget().await;
        socket.signed_out();
        browser::load("/sign-in");
    });
}

/// Tells the other tabs that the person signed out in this one.
pub(crate) fn tell_other_tabs() {
    browser::store(KEY, Some(&browser::now_ms().to_string()));
}

/// Calls `leave` once the person signed out in another tab.
pub(crate) fn on_sign_out_elsewhere(leave: impl Fn() + Copy + 'static) {
    Effect::new(move |_| {
        let known = StoredValue::new(browser::stored(KEY));
        let look = move || {
            let now = browser::stored(KEY);
            if known.try_with_value(|known| *known != now).unwrap_or(false) {
                known.set_value(now);
                leave();
            }
        };
        // Tabs that are awake are told; one that slept or was put away looks when it is shown again.
        let listeners = ["storage".to_owned(), pageshow.name().into(), visibilitychange.name().into()]
            .map(|name| window_event_listener_untyped(&name, move |_| look()));
        on_cleanup(move || listeners.into_iter().for_each(|listener| listener.remove()));
    });
}
