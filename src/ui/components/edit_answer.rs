//! Editing an answer: saving adds a version of its message, whose answer is the edited text.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
    task::spawn_local,
};

use super::{error_message::error_message, open_thread::OpenThread};
use crate::{
    protocol::{EditAnswer, MessageId, RunId, limits},
    ui::{
        format,
        keys::{KeyAction, Lines, key_action},
    },
};

/// A form with the text of an answer. `close` is called when it was saved or given up.
#[component]
pub(super) fn EditAnswerForm(
    open_thread: OpenThread,
    run_id: RunId,
    text: String,
    close: Callback<()>,
) -> impl IntoView {
    let (busy, refusal) = (RwSignal::new(false), RwSignal::new(None::<String>));
    let (before, text) = (StoredValue::new(text.clone()), RwSignal::new(text));
    // A retry names the same version, in case only the reply was lost.
    let message_id = MessageId::new();
    let error = Memo::new(move |_| text.with(|text| text_error(text)));
    let is_changed = Memo::new(move |_| text.with(|text| before.with_value(|before| before != text)));
    let cannot_save = move || busy.get() || error.get().is_some() || !is_changed.get();
    let save = move || {
        if untrack(cannot_save) {
            return;
        }
        busy.set(true);
        refusal.set(None);
        let text = text.get_untracked();
        spawn_local(async move {
            let command = EditAnswer { thread_id: open_thread.id, run_id, message_id, text };
            let outcome = open_thread.socket.send(command).await;
            busy.try_set(false);
            match outcome {
                Ok(_) => {
                    close.try_run(());
                    open_thread.reveal(message_id);
                }
                Err(error) => drop(refusal.try_set(Some(format::error_message(&error)))),
            }
        });
    };
    let on_submit = move |event: SubmitEvent| {
        event.prevent_default();
        save();
    };
    view! {
        <form class="edit-form edit-answer" on:submit=on_submit>
            <AnswerField text save=Callback::new(move |()| save()) close/>
            <div class="edit-form-row">
                <span class="hint" role="status">
                    {move || error.get().unwrap_or_else(|| "The agent’s answer is kept as the earlier version.".into())}
                </span>
                <button type="button" class="small-button" on:click=move |_| close.run(())>"Cancel"</button>
                <button type="submit" class="button" disabled=cannot_save>
                    {move || if busy.get() { "Saving" } else { "Save" }}
                </button>
            </div>
            {move || refusal.get().map(error_message)}
        </form>
    }
    .into_any()
}

/// The text field, focused. Ctrl+Return (Cmd on a Mac) saves, Escape gives up.
#[component]
fn AnswerField(text: RwSignal<String>, save: Callback<()>, close: Callback<()>) -> impl IntoView {
    let area = NodeRef::<html::Textarea>::new();
    Effect::new(move |_| {
        if let Some(area) = area.get() {
            area.set_value(&text.get_untracked());
            let _ = area.focus();
        }
    });
    let on_keydown = move |event: KeyboardEvent| {
        let Some(action) = key_action(&event, Lines::Many) else { return };
        let has_command = event.ctrl_key() || event.meta_key();
        match action {
            KeyAction::Submit if has_command => save.run(()),
            // An answer has many lines: without Ctrl or Cmd, Return starts a new one.
            KeyAction::Submit => return,
            KeyAction::Cancel => close.run(()),
        }
        event.prevent_default();
    };
    view! {
        <textarea
            aria-label="Edit the answer"
            node_ref=area
            rows=move || text.with(|text| text.lines().count().clamp(4, 24).to_string())
            enterkeyhint="enter"
            on:input:target=move |event| text.set(event.target().value())
            on:keydown=on_keydown
        ></textarea>
    }
    .into_any()
}

/// Why a text cannot be saved.
fn text_error(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return Some("Write an answer.".to_owned());
    }
    (text.len() > limits::MAX_MESSAGE_BYTES).then(|| {
        let [bytes, most] = [text.len(), limits::MAX_MESSAGE_BYTES].map(|bytes| format::size(bytes as u64));
        format!("The text has {bytes}, and {most} are allowed.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_that_the_server_takes_can_be_saved() {
        assert_eq!(text_error("Fine."), None);
        assert!(text_error(" \n").is_some());
        assert_eq!(text_error(&"x".repeat(limits::MAX_MESSAGE_BYTES)), None);
        assert!(text_error(&"x".repeat(limits::MAX_MESSAGE_BYTES + 1)).is_some());
    }
}
