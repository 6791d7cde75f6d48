//! What a person can do with a message whose run waits: change it, or move it among the waiting messages.

use leptos::{prelude::*, task::spawn_local};

use super::{
    focus::focus_on,
    icons::{Glyph, icon},
    open_thread::OpenThread,
};
use crate::{
    protocol::{EditQueued, MessageId, MoveQueued},
    ui::{format::error_message, item_key::ItemKey},
};

/// The messages before which a waiting message goes when it is moved up and down: `None` if it cannot be moved so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Moves {
    up: Option<MessageId>,
    /// `Some(None)`: it becomes the last.
    down: Option<Option<MessageId>>,
}

fn moves(waiting: &[MessageId], message: MessageId) -> Moves {
    let Some(at) = waiting.iter().position(|id| *id == message) else { return Moves::default() };
    Moves {
        up: at.checked_sub(1).map(|before| waiting[before]),
        down: (at + 1 < waiting.len()).then(|| waiting.get(at + 2).copied()),
    }
}

/// Buttons that move a waiting message; none if it waits alone.
#[component]
pub(super) fn MoveButtons(id: MessageId) -> impl IntoView {
    let open_thread: OpenThread = expect_context();
    let busy = StoredValue::new(false);
    let moves = Memo::new(move |_| moves(&open_thread.waiting_messages(), id));
    // The pressed button loses the focus when its message moves in the document.
    let pressed = StoredValue::new(None::<&'static str>);
    Effect::new(move |_| {
        moves.track();
        if let Some(button) = pressed.try_update_value(Option::take).flatten() {
            let message = ItemKey::Message(id).selector();
            request_animation_frame(move || {
                if !focus_on(&format!("{message} .{button}:enabled")) {
                    focus_on(&format!("{message} .move-button:enabled"));
                }
            });
        }
    });
    let send = move |before: Option<MessageId>, button: &'static str| {
        if busy.get_value() {
            return;
        }
        pressed.set_value(Some(button));
        busy.set_value(true);
        spawn_local(async move {
            let command = MoveQueued { thread_id: open_thread.id, message_id: id, before };
            if let Err(error) = open_thread.socket.send(command).await {
                pressed.try_set_value(None);
                open_thread.draft.show_error(error_message(&error));
            }
            busy.try_set_value(false);
        });
    };
    let up =
        move |_| moves.with_untracked(|moves| moves.up.into_iter().for_each(|before| send(Some(before), "move-up")));
    let down =
        move |_| moves.with_untracked(|moves| moves.down.into_iter().for_each(|before| send(before, "move-down")));
    view! {
        <Show when=move || moves.get() != Moves::default()>
            <button
                type="button"
                class="text-button move-button move-up"
                disabled=move || moves.get().up.is_none()
                on:click=up
            >
                <span class="upwards">{icon(Glyph::Down)}</span> "Move up"
            </button>
            <button
                type="button"
                class="text-button move-button move-down"
                disabled=move || moves.get().down.is_none()
                on:click=down
            >
                {icon(Glyph::Down)} "Move down"
            </button>
        </Show>
    }
    .into_any()
}

/// Changes the text of a waiting message; then `on_done` gets the error, if the server refused it.
pub(super) fn edit_queued(
    open_thread: OpenThread,
    message_id: MessageId,
    text: String,
    on_done: Callback<Option<String>>,
) {
    let command = EditQueued { thread_id: open_thread.id, message_id, text, attachments: None };
    spawn_local(async move {
        let error = open_thread.socket.send(command).await.err();
        on_done.try_run(error.map(|error| error_message(&error)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_moves_by_one_place() {
        let waiting = [(); 3].map(|()| MessageId::new());
        let of = |index: usize| moves(&waiting, waiting[index]);
        assert_eq!(of(0), Moves { up: None, down: Some(Some(waiting[2])) });
        assert_eq!(of(1), Moves { up: Some(waiting[0]), down: Some(None) });
        assert_eq!(of(2), Moves { up: Some(waiting[1]), down: None });
        assert_eq!(moves(&waiting, MessageId::new()), Moves::default());
        assert_eq!(moves(&waiting[..1], waiting[0]), Moves::default());
    }
}
