//! The library: a list of prompts that is searched by name, and what can be done with each.

use leptos::{html, prelude::*, task::spawn_local};

use super::{PromptView, edit::EditedPrompt, fields::fields, insert_handler, read};
use crate::{
    protocol::{
        DeletePrompt, Prompt, PromptInfo, PromptList,
        limits::{MAX_PROMPT_NAME_CHARS, MAX_PROMPTS_PAGE},
    },
    socket::context::{Socket, use_socket},
    text::escape_invisible,
    ui::{
        browser,
        components::{
            command_state::CommandState,
            dialogs::Dialogs,
            error_message::error_message,
            focus::{focus_on, focus_when_shown, is_focus_lost},
            icons::{Glyph, icon},
        },
        latest::{Latest, latest},
    },
};

/// What the rows use.
#[derive(Clone, Copy)]
struct Library {
    socket: Socket,
    view: RwSignal<PromptView>,
    command: CommandState,
    /// Counts deletions, after each of which the list is loaded again.
    version: RwSignal<u32>,
    insert: Callback<String>,
}

impl Library {
    /// Reads a prompt and calls `then` with it, if the library is still shown; shows the error otherwise.
    fn read(self, prompt: &PromptInfo, then: impl FnOnce(Prompt) + 'static) {
        let id = prompt.id;
        self.command.error.set(None);
        spawn_local(async move {
            match read(id).await {
                Ok(prompt) if self.view.try_with_untracked(PromptView::is_list) == Some(true) => then(prompt),
                Ok(_) => {}
                Err(error) => drop(self.command.error.try_set(Some(error))),
            }
        });
    }

    /// Inserts a prompt, after its fields have been filled in.
    fn use_prompt(self, prompt: &PromptInfo) {
        self.read(prompt, move |prompt| match fields(&prompt.text).is_empty() {
            true => drop(self.insert.try_run(prompt.text)),
            false => self.view.set(PromptView::Fill { prompt, replaces: None }),
        });
    }

    fn edit(self, prompt: &PromptInfo) {
        let is_own = prompt.owner.is_none();
        self.read(prompt, move |prompt| {
            let edited = if is_own { EditedPrompt::existing(prompt) } else { EditedPrompt::copy(&prompt) };
            self.view.set(PromptView::Edit(edited));
        });
    }

    fn delete(self, prompt: &PromptInfo) {
        self.command.send(DeletePrompt { prompt_id: prompt.id }, move || {
            self.version.try_update(|version| *version += 1);
        });
    }
}

/// The library.
#[component]
pub(super) fn PromptLibrary(view: RwSignal<PromptView>, query: RwSignal<String>) -> impl IntoView {
    let (socket, dialogs) = (use_socket(), expect_context::<Dialogs>());
    let insert = insert_handler();
    let (command, version) = (CommandState::new(socket), RwSignal::new(0));
    let insert = Callback::new(move |text: String| insert(None, text));
    let library = Library { socket, view, command, version, insert };
    let found = latest::<PromptList>(Signal::derive(move || {
        version.track();
        let name = query.with(|query| browser::encode(query.trim()));
        Some(format!("/api/prompts?limit={MAX_PROMPTS_PAGE}&q={name}"))
    }));
    let field = NodeRef::<html::Input>::new();
    focus_when_shown(field);
    // The row whose button was pressed may be gone.
    Effect::new(move |_| {
        found.track();
        request_animation_frame(|| {
            if is_focus_lost() {
                focus_on(".prompt-search input");
            }
        });
    });
    // A new prompt begins with what is in the composer.
    let create = move |_| {
        let text = dialogs.composer().map(|draft| draft.text.get_untracked()).unwrap_or_default();
        view.set(PromptView::Edit(EditedPrompt::new(text)));
    };
    let prompts =
        move || found.with(|found| found.response.as_ref().map(|list| list.prompts.clone()).unwrap_or_default());
    let note = move || found.with(|found| note(found, query.with(|query| query.trim().is_empty())));
    view! {
        <p class="quiet">"Texts that you use again. In the composer, type / and a part of the name."</p>
        <div class="prompt-search">
            <input
                type="search"
                aria-label="Search prompts by name"
                placeholder="Search by name"
                autocomplete="off"
                maxlength=MAX_PROMPT_NAME_CHARS.to_string()
                prop:value=move || query.get()
                on:input:target=move |event| query.set(event.target().value())
                node_ref=field
            />
            <button type="button" class="button" on:click=create>{icon(Glyph::Plus)} "New prompt"</button>
        </div>
        {move || command.error.get().map(error_message)}
        <ul class="prompt-list" aria-label="Prompts">
            <For each=prompts key=|prompt| (prompt.id, prompt.updated_at) children=move |prompt| view! { <PromptRow prompt library/> }/>
        </ul>
        <p class="quiet" role="status">{note}</p>
        <Show when=move || found.with(|found| found.is_failed)>
            <button type="button" class="small-button" on:click=move |_| version.update(|version| *version += 1)>"Try again"</button>
        </Show>
    }
    .into_any()
}

/// What is said below the list.
fn note(found: &Latest<PromptList>, is_all: bool) -> Option<String> {
    match &found.response {
        _ if found.is_failed => Some("The prompts could not be loaded. Check the network and try again.".to_owned()),
        Some(list) if list.more => Some("There are more. Search by name to find them.".to_owned()),
        Some(list) if list.prompts.is_empty() && is_all => Some("No prompts yet.".to_owned()),
        Some(list) if list.prompts.is_empty() => Some("No prompt has this in its name.".to_owned()),
        Some(list) if list.prompts.len() == 1 => Some("1 prompt".to_owned()),
        Some(list) => Some(format!("{} prompts", list.prompts.len())),
        None => None,
    }
}

/// A prompt: a button that uses it, and buttons for the rest.
#[component]
fn PromptRow(prompt: PromptInfo, library: Library) -> impl IntoView {
    let is_admin = untrack(|| library.socket.is_admin());
    let name = escape_invisible(&prompt.name);
    let about = match (&prompt.owner, prompt.shared) {
        (Some(owner), _) => Some(format!("Of {}", escape_invisible(&owner.name))),
        (None, true) => Some("Shared".to_owned()),
        (None, false) => None,
    };
    let excerpt = escape_invisible(&prompt.excerpt.split_whitespace().collect::<Vec<_>>().join(" "));
    let (is_own, can_delete) = (prompt.owner.is_none(), prompt.owner.is_none() || is_admin);
    let is_deleting = RwSignal::new(false);
    // The button that was pressed is removed.
    let id = prompt.id;
    let ask = move |asks: bool, focused: &'static str| {
        is_deleting.set(asks);
        request_animation_frame(move || {
            focus_on(&format!("[data-prompt-id='{id}'] {focused}"));
        });
    };
    let prompt = StoredValue::new(prompt);
    let (edit_label, edit_glyph) = if is_own { ("Edit", Glyph::Edit) } else { ("Make a copy of", Glyph::Plus) };
    let (edit_name, delete_name) = (format!("{edit_label} {name}"), format!("Delete {name}"));
    let question = format!("Delete {name}?");
    view! {
        <li class="prompt-row" data-prompt-id=id.to_string()>
            <button type="button" class="prompt-use" title="Insert into the composer" on:click=move |_| prompt.with_value(|prompt| library.use_prompt(prompt))>
                <span class="prompt-name"><bdi>{name}</bdi> {about.map(|about| view! { <span class="tag-chip">{about}</span> })}</span>
                <span class="prompt-excerpt" dir="auto">{excerpt}</span>
            </button>
            <Show
                when=move || is_deleting.get()
                fallback=move || view! {
                    <button type="button" class="icon-button" aria-label=edit_name.clone() title=if is_own { "Edit" } else { "Make a copy" } on:click=move |_| prompt.with_value(|prompt| library.edit(prompt))>
                        {icon(edit_glyph)}
                    </button>
                    {can_delete.then(|| view! {
                        <button type="button" class="icon-button" aria-label=delete_name.clone() title="Delete" on:click=move |_| ask(true, ".prompt-delete button")>
                            {icon(Glyph::Trash)}
                        </button>
                    })}
                }
            >
                <span class="prompt-delete" role="group" aria-label=question.clone()>
                    <button type="button" class="small-button" on:click=move |_| prompt.with_value(|prompt| library.delete(prompt))>"Delete"</button>
                    <button type="button" class="small-button" on:click=move |_| ask(false, ".prompt-use")>"Keep"</button>
                </span>
            </Show>
        </li>
    }
    .into_any()
}
