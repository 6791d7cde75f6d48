//! Signing out in one tab signs out all tabs of the browser, including those that are asleep, have no open socket, or return
//! from the back/forward cache. Each drops the user's data and goes to the sign-in page.

use leptos::{
    ev::{EventDescriptor as _, pageshow, visibilitychange},
    prelude::*,
    task::spawn_local,
};

use super::{
    browser::{self, RequestError},
    last_seen::remove_last_seen,
    outgoing::Outgoing,
    storage::Storage,
};
use crate::socket::context::Socket;

/// The key in local storage under which a tab records the last sign-out for the others.
const KEY: &str = "netra.signed-out";

/// Signs the user out. From context.
#[derive(Clone, Copy)]
pub(crate) struct SignOut {
    socket: Socket,
    outgoing: Outgoing,
    storage: Storage,
    started: RwSignal<bool>,
}

impl SignOut {
    /// Provides it as context. If a user is signed in, a sign-out in another tab applies here too.
    pub(crate) fn provide(socket: Socket, outgoing: Outgoing, storage: Storage) {
        let sign_out = Self { socket, outgoing, storage, started: RwSignal::new(false) };
        provide_context(sign_out);
        // Without a user the page has nothing to drop.
        if socket.user().with_untracked(Option::is_some) {
            sign_out.listen_to_other_tabs();
        }
    }

    /// Whether a sign-out is under way. It loads the sign-in page itself; a closed socket must not redirect too.
    pub(crate) fn has_started(self) -> bool {
        self.started.get()
    }

    /// Ends sessions by posting to `action`, then leaves the page, in this tab and the others.
    ///
    /// # Errors
    /// The request failed. The page then stays.
    pub(crate) async fn post(self, action: &'static str) -> Result<(), RequestError> {
        // Before the request: the server closes the socket before it responds.
        self.started.set(true);
        match browser::post::<_, ()>(action, &serde_json::json!({})).await {
            Ok(()) => {
                browser::write_local_storage(KEY, Some(&browser::now_ms().to_string()));
                self.leave();
                Ok(())
            }
            Err(error) => {
                self.started.try_set(false);
                Err(error)
            }
        }
    }

    /// Removes the user's data and loads the sign-in page, which also frees what is in memory.
    fn leave(self) {
        self.started.try_set(true);
        self.outgoing.clear();
        remove_last_seen();
        spawn_local(async move {
            self.storage.remove_all().await;
            self.socket.signed_out();
            browser::navigate_to("/sign-in");
        });
    }

    fn listen_to_other_tabs(self) {
        Effect::new(move |_| {
            let last_seen = StoredValue::new(browser::read_local_storage(KEY));
            let check = move || {
                // This page is being left. If the browser shows it again, the check runs again.
                if !browser::is_visible() && self.started.try_get_untracked().unwrap_or(true) {
                    return;
                }
                let now = browser::read_local_storage(KEY);
                if last_seen.try_with_value(|seen| *seen != now).unwrap_or(false) {
                    last_seen.set_value(now);
                    self.leave();
                }
            };
            // Active tabs get the `storage` event; the others check when they become visible or return from the cache.
            let listeners = ["storage".to_owned(), pageshow.name().into(), visibilitychange.name().into()]
                .map(|name| window_event_listener_untyped(&name, move |_| check()));
            on_cleanup(move || listeners.into_iter().for_each(|listener| listener.remove()));
        });
    }
}
