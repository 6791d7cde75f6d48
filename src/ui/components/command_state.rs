//! Sending the commands of a dialog or notice: one at a time, and the refusal of the last one is shown.

use leptos::{prelude::*, task::spawn_local};

use crate::{protocol::Request, socket::context::Socket, ui::format};

/// Whether a command is being sent, and why the last one was refused.
#[derive(Clone, Copy)]
pub(crate) struct CommandState {
    socket: Socket,
    /// What is shown; set for failures of requests, too.
    pub(crate) error: RwSignal<Option<String>>,
    busy: RwSignal<bool>,
}

impl CommandState {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, error: RwSignal::new(None), busy: RwSignal::new(false) }
    }

    /// The value of `aria-disabled` for the buttons that send. Reactive.
    pub(crate) fn aria_disabled(self) -> &'static str {
        if self.busy.get() { "true" } else { "false" }
    }

    /// Sends a command, unless one is being sent. `then` is called if it succeeds.
    pub(crate) fn send(self, command: impl Request + 'static, then: impl FnOnce() + 'static) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.error.set(None);
        spawn_local(async move {
            let refusal = self.socket.send(command).await.err();
            self.busy.try_set(false);
            match refusal {
                Some(refusal) => drop(self.error.try_set(Some(format::error_message(&refusal)))),
                None => then(),
            }
        });
    }
}
