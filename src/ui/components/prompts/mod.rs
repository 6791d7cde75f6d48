//! The prompt library: suggestions while `/` and a name are typed, and a dialog in which prompts are found, written, and filled in.

mod edit;
mod fields;
mod fill;
mod list;
mod suggested;

use leptos::{prelude::*, task::spawn_local};

pub(crate) use suggested::suggested_prompts;

use super::{
    dialogs::{Dialogs, use_open_page},
    draft::Draft,
    icons::{Glyph, icon},
    suggestions::Choice,
};
use crate::{
    protocol::{Prompt, PromptId},
    socket::context::use_socket,
    text::normalize_input,
    ui::{browser, drafts::Drafts, part::part},
};
use edit::EditPrompt;
pub(crate) use edit::EditedPrompt;
use fill::FillPrompt;
use list::PromptLibrary;

part!(
    /// The content of the dialog.
    pub(crate) PROMPTS_DIALOG, prompts, |view: PromptView| view! { <PromptsDialog view/> }.into_any()
);

/// What the dialog shows.
#[derive(Debug, Clone)]
pub(crate) enum PromptView {
    /// The library.
    List,
    /// The form of a prompt.
    Edit(EditedPrompt),
    /// The fields of a prompt.
    Fill {
        prompt: Prompt,
        /// The text of the composer that the prompt is to replace; absent: it is inserted.
        replaces: Option<String>,
    },
}

impl PromptView {
    fn is_list(&self) -> bool {
        matches!(self, Self::List)
    }
}

/// Reads a prompt. Its text has no characters that cannot be seen: another user may have written it.
async fn read(id: PromptId) -> Result<Prompt, String> {
    let prompt = browser::get::<Prompt>(&format!("/api/prompts/{id}")).await.map_err(|error| error.message())?;
    Ok(Prompt { text: normalize_input(&prompt.text), ..prompt })
}

/// What happens when a suggestion of the composer with this draft is chosen, and whether a chosen prompt is being read: until it is
/// there, the text is the beginning of its name, and no message.
pub(crate) fn choice_handler(draft: Draft) -> (Callback<Choice>, Signal<bool>) {
    let (dialogs, socket): (Dialogs, _) = (expect_context(), use_socket());
    dialogs.set_composer(draft);
    let is_reading = RwSignal::new(false);
    let choose = Callback::new(move |choice| match choice {
        Choice::Text(text) => draft.fill(text),
        Choice::Library => {
            draft.fill(String::new());
            dialogs.open_prompts(PromptView::List);
        }
        Choice::Prompt(id) => {
            let typed = draft.text.get_untracked();
            is_reading.set(true);
            spawn_local(async move {
                let prompt = read(id).await;
                is_reading.try_set(false);
                // A composer that is gone, or was written in meanwhile, stays as it is.
                if draft.text.try_with_untracked(|text| *text == typed) != Some(true) {
                    return;
                }
                match prompt {
                    Err(error) => draft.show_error(error),
                    Ok(prompt) if fields::fields(&prompt.text).is_empty() => draft.replace(&typed, &prompt.text),
                    Ok(prompt) => dialogs.open_prompts(PromptView::Fill { prompt, replaces: Some(typed) }),
                }
            });
        }
    });
    // Without a connection, nothing comes.
    (choose, Signal::derive(move || is_reading.get() && socket.is_up_to_date()))
}

/// A function that closes the dialog and inserts a text into the composer of the page, or else into that of a new thread.
fn insert_handler() -> impl Fn(Option<&str>, String) + Copy + 'static {
    let (dialogs, drafts): (Dialogs, Drafts) = (expect_context(), expect_context());
    let open_page = StoredValue::new_local(use_open_page());
    move |replaces: Option<&str>, text: String| {
        let draft = dialogs.composer();
        dialogs.close();
        match draft {
            Some(draft) => {
                let replaces = replaces.unwrap_or_default().to_owned();
                // The composer can have the focus when the dialog is closed.
                request_animation_frame(move || draft.replace(&replaces, &text));
            }
            None => {
                drafts.restore(None, &text, Vec::new());
                open_page.with_value(|open| open("/"));
            }
        }
    }
}

#[component]
fn PromptsDialog(view: PromptView) -> impl IntoView {
    let dialogs: Dialogs = expect_context();
    // A form that was closed before it was saved is shown again.
    let view = RwSignal::new(match view {
        PromptView::List => dialogs.take_unsaved_prompt().map_or(PromptView::List, PromptView::Edit),
        view => view,
    });
    // What was searched for, while other views are shown.
    let query = RwSignal::new(String::new());
    let title = move || {
        view.with(|view| match view {
            PromptView::List => "Prompts",
            PromptView::Edit(edited) => edited.title(),
            PromptView::Fill { .. } => "Fill in the prompt",
        })
    };
    let content = move || match view.get() {
        PromptView::List => view! { <PromptLibrary view query/> }.into_any(),
        PromptView::Edit(edited) => view! { <EditPrompt view edited/> }.into_any(),
        PromptView::Fill { prompt, replaces } => view! { <FillPrompt view prompt replaces/> }.into_any(),
    };
    view! {
        <div class="dialog-head">
            <h2>{title}</h2>
            <button type="button" class="icon-button" aria-label="Close" on:click=move |_| dialogs.close()>{icon(Glyph::Close)}</button>
        </div>
        {content}
    }
    .into_any()
}
