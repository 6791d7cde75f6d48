//! The thread that the page shows, for what is outside it: shortcuts and the command palette.

use leptos::{prelude::*, web_sys};

use super::{
    focus::{focus_element, focus_on},
    open_thread::OpenThread,
};
use crate::{
    protocol::RunId,
    ui::layout::{first_in_view, scroll_into_view},
};

/// A selector of the messages and answers of a thread.
const MESSAGES: &str = "[data-message-id], [data-run-id]";

/// The thread that is shown, from context.
#[derive(Clone, Copy)]
pub(crate) struct ShownThread(RwSignal<Option<OpenThread>>);

impl ShownThread {
    pub(crate) fn provide() {
        provide_context(Self(RwSignal::new(None)));
    }

    /// Records that a thread is shown, until the current owner is cleaned up.
    pub(crate) fn show(self, thread: OpenThread) {
        self.0.set(Some(thread));
        on_cleanup(move || {
            self.0.try_update(|shown| {
                if shown.is_some_and(|shown| shown.id == thread.id) {
                    *shown = None;
                }
            });
        });
    }

    /// The thread. Reactive.
    pub(crate) fn get(self) -> Option<OpenThread> {
        self.0.get()
    }

    /// Its run in progress. Reactive.
    pub(crate) fn running(self) -> Option<RunId> {
        self.get().and_then(OpenThread::running_now)
    }

    /// Stops its run in progress. Returns whether there is one.
    pub(crate) fn stop_run(self) -> bool {
        let run = untrack(|| self.get().zip(self.running()));
        if let Some((thread, run)) = run {
            thread.draft.stop_run(thread.socket, run);
        }
        run.is_some()
    }

    /// Starts editing the last message on the branch in view. Returns whether there is one that can be edited.
    pub(crate) fn edit_last_message(self) -> bool {
        let Some(message) = untrack(|| self.get()).and_then(OpenThread::edit_last_message) else { return false };
        request_animation_frame(move || {
            focus_on(&format!("[data-message-id=\"{message}\"] textarea"));
        });
        true
    }

    /// Focuses the message or answer before or after the one that has the focus, or else the first that is in view. Returns whether
    /// there is one.
    pub(crate) fn focus_neighbour(self, back: bool) -> bool {
        let Some(thread) = untrack(|| self.get()) else { return false };
        let Some(content) = thread.auto_scroll.content.get_untracked() else { return false };
        let articles = content.get_elements_by_tag_name("article");
        let articles = (0..articles.length()).filter_map(|index| articles.item(index));
        let messages: Vec<web_sys::Element> =
            articles.filter(|article| article.matches(MESSAGES).unwrap_or(false)).collect();
        let focused = document().active_element();
        let current = messages.iter().position(|message| message.contains(focused.as_deref()));
        let in_view = || {
            let area = thread.auto_scroll.area.get_untracked()?;
            first_in_view(&area, &messages)
        };
        let next = match (current, back) {
            (Some(current), true) => current.checked_sub(1),
            (Some(current), false) => Some(current + 1),
            (None, _) => in_view(),
        };
        let Some(message) = next.and_then(|next| messages.get(next)) else { return false };
        thread.auto_scroll.stop_following();
        let _ = message.set_attribute("tabindex", "-1");
        scroll_into_view(message);
        focus_element(message);
        true
    }
}
