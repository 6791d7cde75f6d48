//! The form in which a prompt is written.

use leptos::{ev::SubmitEvent, html, prelude::*};

use super::PromptView;
use crate::{
    protocol::{
        Prompt, PromptId, SavePrompt,
        limits::{MAX_PROMPT_BYTES, MAX_PROMPT_NAME_CHARS},
    },
    socket::context::use_socket,
    ui::{
        components::{
            command_state::CommandState, dialogs::Dialogs, error_message::error_message, focus::focus_when_shown,
        },
        context::AppContext,
        format,
    },
};

/// The prompt that the form changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EditedPrompt {
    id: PromptId,
    is_new: bool,
    name: String,
    text: String,
    shared: bool,
}

impl EditedPrompt {
    /// A new one with this text.
    pub(super) fn new(text: String) -> Self {
        Self { id: PromptId::new(), is_new: true, name: String::new(), text, shared: false }
    }

    pub(super) fn existing(Prompt { info, text }: Prompt) -> Self {
        Self { id: info.id, is_new: false, name: info.name, text, shared: info.shared }
    }

    /// A new one with the name and text of another.
    pub(super) fn copy(prompt: &Prompt) -> Self {
        Self { name: prompt.info.name.clone(), ..Self::new(prompt.text.clone()) }
    }

    pub(super) fn title(&self) -> &'static str {
        if self.is_new { "New prompt" } else { "Edit the prompt" }
    }
}

/// What is written in the form.
#[derive(Clone, Copy)]
struct Form {
    id: PromptId,
    is_new: bool,
    name: RwSignal<String>,
    text: RwSignal<String>,
    shared: RwSignal<bool>,
}

impl Form {
    fn new(EditedPrompt { id, is_new, name, text, shared }: EditedPrompt) -> Self {
        Self { id, is_new, name: RwSignal::new(name), text: RwSignal::new(text), shared: RwSignal::new(shared) }
    }

    /// `None` if the form is gone.
    fn content(self) -> Option<EditedPrompt> {
        let (name, text) = (self.name.try_get_untracked()?, self.text.try_get_untracked()?);
        let shared = self.shared.try_get_untracked()?;
        Some(EditedPrompt { id: self.id, is_new: self.is_new, name, text, shared })
    }
}

/// The form.
#[component]
pub(super) fn EditPrompt(view: RwSignal<PromptView>, edited: EditedPrompt) -> impl IntoView {
    let (dialogs, command) = (expect_context::<Dialogs>(), CommandState::new(use_socket()));
    let (id, form) = (edited.id, Form::new(edited.clone()));
    // Saved, or given up.
    let is_done = StoredValue::new(false);
    on_cleanup(move || {
        let unsaved = form.content().filter(|content| *content != edited);
        if let (Some(unsaved), Some(false)) = (unsaved, is_done.try_get_value()) {
            dialogs.keep_unsaved_prompt(unsaved);
        }
    });
    let close = move || {
        is_done.set_value(true);
        view.set(PromptView::List);
    };
    let save = move |event: SubmitEvent| {
        event.prevent_default();
        let Some(EditedPrompt { name, text, shared, .. }) = form.content() else { return };
        match error(&name, &text) {
            Some(error) => command.error.set(Some(error)),
            None => command.send(SavePrompt { prompt_id: id, name, text, shared }, move || {
                let is_shown = |view: &PromptView| matches!(view, PromptView::Edit(edited) if edited.id == id);
                if view.try_with_untracked(is_shown) == Some(true) {
                    close();
                }
            }),
        }
    };
    view! {
        <form class="prompt-form" on:submit=save>
            <PromptFields form/>
            {move || command.error.get().map(error_message)}
            <div class="prompt-buttons">
                <button type="button" class="small-button" on:click=move |_| close()>"Cancel"</button>
                <button type="submit" class="button" aria-disabled=move || command.aria_disabled()>"Save"</button>
            </div>
        </form>
    }
    .into_any()
}

/// The fields of the form; the first one gets the focus.
#[component]
fn PromptFields(form: Form) -> impl IntoView {
    let Form { name, text, shared, .. } = form;
    let (socket, app) = (use_socket(), expect_context::<AppContext>());
    let is_admin = untrack(|| socket.is_admin());
    // One that is shared already can be unshared.
    let can_share = is_admin || app.has_members() || shared.get_untracked();
    let field = NodeRef::<html::Input>::new();
    focus_when_shown(field);
    view! {
        <label>
            "Name"
            <input
                type="text"
                autocomplete="off"
                maxlength=MAX_PROMPT_NAME_CHARS.to_string()
                prop:value=move || name.get()
                on:input:target=move |event| name.set(event.target().value())
                node_ref=field
            />
        </label>
        <label>
            "Text"
            <textarea
                rows="8"
                aria-describedby="prompt-help"
                prop:value=move || text.get()
                on:input:target=move |event| text.set(event.target().value())
            ></textarea>
        </label>
        <p class="quiet" id="prompt-help">
            "Write " <code>"{{name}}"</code> " where something is to be filled in each time."
        </p>
        {can_share.then(|| view! {
            <label class="prompt-shared">
                <input type="checkbox" prop:checked=move || shared.get() on:change:target=move |event| shared.set(event.target().checked())/>
                "All users of this server may use it, and see that it is yours."
            </label>
        })}
    }
    .into_any()
}

/// Why a prompt cannot be saved.
fn error(name: &str, text: &str) -> Option<String> {
    if name.trim().is_empty() {
        return Some("Give it a name.".to_owned());
    }
    if text.trim().is_empty() {
        return Some("Write its text.".to_owned());
    }
    (text.len() > MAX_PROMPT_BYTES).then(|| {
        let [bytes, most] = [text.len(), MAX_PROMPT_BYTES].map(|bytes| format::size(bytes as u64));
        format!("The text has {bytes}, and {most} are allowed.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_has_a_name_and_a_text() {
        assert_eq!(error("Report", "Write it."), None);
        assert!(error(" ", "Write it.").is_some() && error("Report", "\n").is_some());
        assert!(error("Report", &"x".repeat(MAX_PROMPT_BYTES + 1)).is_some());
    }
}
