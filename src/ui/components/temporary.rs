//! Temporary threads: the switch for a new one, and the notice in one that is open.

use leptos::prelude::*;

use super::{
    clock::Timestamp,
    command_state::CommandState,
    error_message::error_message,
    icons::{Glyph, icon},
    open_thread::OpenThread,
    rendered_items::ready_thread,
};
use crate::protocol::{KeepThread, Temporary};

/// A switch that makes the new thread a temporary one.
#[component]
pub(crate) fn TemporarySwitch(is_on: RwSignal<bool>) -> impl IntoView {
    view! {
        <div class="temporary-switch">
            <label>
                <input type="checkbox" prop:checked=move || is_on.get() on:change:target=move |event| is_on.set(event.target().checked())/>
                "Temporary"
            </label>
            <Show when=move || is_on.get()>
                <span class="hint">"Not listed or searchable, and deleted soon after you leave it."</span>
            </Show>
        </div>
    }
    .into_any()
}

/// In a temporary thread: when it is deleted, and a button that keeps it.
#[component]
pub(crate) fn TemporaryNotice() -> impl IntoView {
    let OpenThread { id, view, socket, .. } = expect_context();
    let temporary =
        Memo::new(move |_| view.with(|view| ready_thread(view).and_then(|thread| thread.info.as_ref()?.temporary)));
    let command = CommandState::new(socket);
    // The entry in the thread's log removes this notice.
    let keep = move |_| command.send(KeepThread { thread_id: id }, || ());
    let notice = move |Temporary { delete_at, idle_minutes }| {
        let minutes = if idle_minutes == 1 { "1 minute".into() } else { format!("{idle_minutes} minutes") };
        view! {
            <div class="temporary-notice" role="note">
                {icon(Glyph::Warning)}
                <p>
                    <strong>"Temporary. "</strong>
                    {format!("This thread and its files are deleted {minutes} after you leave, or by ")} <Timestamp at=delete_at/> " at the latest."
                </p>
                <button type="button" class="small-button" aria-disabled=move || command.aria_disabled() on:click=keep>"Keep this thread"</button>
                {move || command.error.get().map(error_message)}
            </div>
        }
    };
    move || temporary.get().map(notice)
}
