//! Deleting threads with a chance to undo it. The threads leave the list at once; the server deletes them [`UNDO_TIMEOUT`] later, or
//! when the next ones are deleted, or when the page is left, whichever comes first. If the command cannot be sent then, the
//! threads simply still exist.

use std::time::Duration;

use leptos::{
    ev::FocusEvent,
    html,
    leptos_dom::helpers::{TimeoutHandle, set_timeout_with_handle},
    prelude::*,
    task::spawn_local,
    wasm_bindgen::JsCast,
    web_sys,
};
use leptos_router::{NavigateOptions, hooks::use_navigate};

use super::{
    super::{
        focus::{focus_on, is_focus_lost},
        icons::{Glyph, icon},
    },
    link_selector,
};
use crate::{
    protocol::{DeleteThread, ThreadId},
    socket::context::Socket,
    ui::{browser, format::error_message},
};

/// How long a deletion can be undone. The time starts again when the notice loses the focus or the pointer.
const UNDO_TIMEOUT: Duration = Duration::from_secs(8);

/// Threads that were deleted on the page, but not on the server yet.
#[derive(Debug, Clone, PartialEq)]
struct Deletion {
    threads: Vec<ThreadId>,
    /// What was deleted, for the notice.
    label: String,
    /// The thread that was open, which undoing opens again.
    was_open: Option<ThreadId>,
}

/// The deletions of the page, from context.
#[derive(Clone, Copy)]
pub(crate) struct Deletions {
    socket: Socket,
    /// The threads that are deleted, or being deleted: the list leaves them out.
    pub(super) hidden: RwSignal<Vec<ThreadId>>,
    /// The deletion that can be undone.
    pending: RwSignal<Option<Deletion>>,
    timeout: StoredValue<Option<TimeoutHandle>>,
    /// Why a deletion failed.
    error: RwSignal<Option<String>>,
}

impl Deletions {
    pub(crate) fn provide(socket: Socket) {
        let (hidden, pending, error) = (RwSignal::new(Vec::new()), RwSignal::new(None), RwSignal::new(None));
        let deletions = Self { socket, hidden, pending, timeout: StoredValue::new(None), error };
        provide_context(deletions);
        Effect::new(move |_| browser::on_leave(move || deletions.commit_on_leave()));
        // After signing out nothing can be sent.
        Effect::new(move |_| {
            if socket.user().with(Option::is_none) && pending.with_untracked(Option::is_some) {
                deletions.stop_timeout();
                pending.set(None);
                hidden.set(Vec::new());
            }
        });
    }

    /// Whether a thread is deleted on this page. Tracked.
    pub(crate) fn is_hidden(self, id: ThreadId) -> bool {
        self.hidden.with(|hidden| hidden.contains(&id))
    }

    /// Deletes threads, which `label` describes. `was_open` is the one that was open.
    pub(crate) fn delete(self, threads: Vec<ThreadId>, label: String, was_open: Option<ThreadId>) {
        self.commit();
        self.error.set(None);
        self.hidden.update(|hidden| {
            // Those that the feed has no longer need not be hidden.
            self.socket.feed().with_untracked(|feed| hidden.retain(|id| feed.thread(*id).is_some()));
            hidden.extend(&threads);
        });
        self.pending.set(Some(Deletion { threads, label, was_open }));
        self.start_timeout();
    }

    /// Starts the time again.
    fn restart_timeout(self) {
        if self.pending.with_untracked(Option::is_some) {
            self.start_timeout();
        }
    }

    fn stop_timeout(self) {
        if let Some(timeout) = self.timeout.try_update_value(Option::take).flatten() {
            timeout.clear();
        }
    }

    fn start_timeout(self) {
        self.stop_timeout();
        self.timeout.set_value(set_timeout_with_handle(move || self.commit(), UNDO_TIMEOUT).ok());
    }

    /// Lists the threads again. Returns what was undone.
    fn undo(self) -> Option<Deletion> {
        self.stop_timeout();
        let undone = self.pending.try_update(Option::take).flatten()?;
        self.unhide(&undone.threads);
        Some(undone)
    }

    /// Deletes the threads on the server.
    fn commit(self) {
        self.stop_timeout();
        let Some(Deletion { threads, label, .. }) = self.pending.try_update(Option::take).flatten() else { return };
        let replies: Vec<_> =
            threads.into_iter().map(|thread_id| (thread_id, self.socket.send(DeleteThread { thread_id }))).collect();
        spawn_local(async move {
            for (id, reply) in replies {
                if let Err(refusal) = reply.await {
                    self.unhide(&[id]);
                    self.error.try_set(Some(format!("Deleting {label} failed. {}", error_message(&refusal))));
                }
            }
        });
    }

    /// Deletes the threads by requests that outlive the page: what a socket sends now would be lost.
    fn commit_on_leave(self) {
        self.stop_timeout();
        if let Some(deletion) = self.pending.try_update(Option::take).flatten() {
            deletion.threads.iter().for_each(|id| browser::delete_on_leave(&format!("/api/threads/{id}")));
        }
    }

    fn unhide(self, threads: &[ThreadId]) {
        self.hidden.try_update(|hidden| hidden.retain(|id| !threads.contains(id)));
    }
}

/// The notice that threads were deleted, with a button that undoes it; or why that failed.
#[component]
pub(crate) fn UndoNotice() -> impl IntoView {
    let deletions: Deletions = expect_context();
    let Deletions { pending, error, .. } = deletions;
    let navigate = StoredValue::new(use_navigate());
    let notice = NodeRef::<html::Div>::new();
    let undo = move |_| {
        let Some(undone) = deletions.undo() else { return };
        if let Some(id) = undone.was_open {
            navigate.with_value(|navigate| navigate(&format!("/threads/{id}"), NavigateOptions::default()));
        }
        request_animation_frame(move || {
            if is_focus_lost() && !undone.threads.first().is_some_and(|id| focus_on(&link_selector(*id))) {
                focus_on("#main");
            }
        });
    };
    let on_focus_out = move |event: FocusEvent| {
        let to = event.related_target().and_then(|to| to.dyn_into::<web_sys::Node>().ok());
        if !notice.get_untracked().is_some_and(|notice| notice.contains(to.as_ref())) {
            deletions.restart_timeout();
        }
    };
    view! {
        <div
            class="undo-notice"
            node_ref=notice
            role="status"
            on:mouseenter=move |_| deletions.stop_timeout()
            on:mouseleave=move |_| deletions.restart_timeout()
            on:focusin=move |_| deletions.stop_timeout()
            on:focusout=on_focus_out
        >
            {move || pending.with(|pending| pending.as_ref().map(|deletion| format!("Deleted {}.", deletion.label))).map(|text| view! {
                <p>{text}</p>
                <button type="button" class="small-button" on:click=undo>{icon(Glyph::Undo)} "Undo"</button>
            })}
            {move || error.get().map(|text| view! {
                <p>{text}</p>
                <button type="button" class="small-button" on:click=move |_| error.set(None)>"Dismiss"</button>
            })}
        </div>
    }
    .into_any()
}
