//! Signing out in one tab signs every tab of the browser out, also one whose socket is closed, that sleeps, or that comes back
//! from the browser's cache of pages: each forgets what it shows and goes to the sign-in page.

use leptos::{
    ev::{EventDescriptor as _, pageshow, visibilitychange},
    prelude::*,
    task::spawn_local,
};

use super::{
    browser::{self, RequestError},
    outgoing::Outgoing,
    storage::Storage,
};
use crate::socket::context::Socket;

/// Where the tabs of a browser leave word of the last sign-out.
const KEY: &str = "netra.signed-out";

/// The person's sign-out, from context.
#[derive(Clone, Copy)]
pub(crate) struct SignOut {
    socket: Socket,
    outgoing: Outgoing,
    storage: Storage,
    begun: RwSignal<bool>,
}

impl SignOut {
    /// Provides it as context. Where somebody is signed in, a sign-out in another tab signs this page out, too.
    pub(crate) fn provide(socket: Socket, outgoing: Outgoing, storage: Storage) {
        let sign_out = Self { socket, outgoing, storage, begun: RwSignal::new(false) };
        provide_context(sign_out);
        // A page that shows nobody's data has nothing to forget.
        if socket.user().with_untracked(Option::is_some) {
            sign_out.follow_other_tabs();
        }
    }

    /// Whether the person signs out: the page that ends in goes to the sign-in page by itself, however its socket closes.
    pub(crate) fn has_begun(self) -> bool {
        self.begun.get()
    }

    /// Ends sessions by posting to `action`, then leaves the page, here and in the other tabs.
    ///
    /// # Errors
    /// Where the server does not end them; the page then stays.
    pub(crate) async fn post(self, action: &'static str) -> Result<(), RequestError> {
        // Before the request: the server closes the socket before it answers.
        self.begun.set(true);
        match browser::post::<_, ()>(action, &serde_json::json!({})).await {
            Ok(()) => {
                browser::write_local_storage(KEY, Some(&browser::now_ms().to_string()));
                self.leave();
                Ok(())
            }
            Err(refused) => {
                self.begun.try_set(false);
                Err(refused)
            }
        }
    }

    /// Forgets everything of the person, and loads the sign-in page from the start: nothing stays in memory.
    fn leave(self) {
        self.begun.try_set(true);
        self.outgoing.clear();
        spawn_local(async move {
            self.storage.forget().await;
            self.socket.signed_out();
            browser::navigate_to("/sign-in");
        });
    }

    fn follow_other_tabs(self) {
        Effect::new(move |_| {
            let known = StoredValue::new(browser::read_local_storage(KEY));
            let look = move || {
                // This page is being left; should the browser show it again, it looks again.
                if !browser::is_visible() && self.begun.try_get_untracked().unwrap_or(true) {
                    return;
                }
                let now = browser::read_local_storage(KEY);
                if known.try_with_value(|known| *known != now).unwrap_or(false) {
                    known.set_value(now);
                    self.leave();
                }
            };
            // Tabs that are awake are told; one that slept or was put away looks when it is shown again.
            let listeners = ["storage".to_owned(), pageshow.name().into(), visibilitychange.name().into()]
                .map(|name| window_event_listener_untyped(&name, move |_| look()));
            on_cleanup(move || listeners.into_iter().for_each(|listener| listener.remove()));
        });
    }
}
