//! The dialog that imports conversations from a file: it says what the file has, then imports it step by step.

use leptos::{html, prelude::*, task::spawn_local};

use super::{
    dialogs::Dialogs,
    error_message::error_message,
    icons::{Glyph, icon},
};
use crate::{
    protocol::{http::ImportReport, limits::MAX_IMPORT_BYTES},
    ui::{
        browser::{self, LocalFile},
        format,
        part::part,
    },
};

part!(
    /// The content of the dialog.
    pub(crate) IMPORT_DIALOG, import, |(): ()| view! { <ImportDialog/> }.into_any()
);

/// What the dialog does.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// It waits for a file.
    Choose,
    /// The file is being read.
    Checking,
    /// The file was read.
    Checked(ImportReport),
    /// Conversations are being imported; so many are done.
    Importing(usize, ImportReport),
    /// All are imported.
    Done(ImportReport),
}

/// The state of the dialog.
#[derive(Clone, Copy)]
struct Import {
    file: StoredValue<Option<LocalFile>, LocalStorage>,
    step: RwSignal<Step>,
    error: RwSignal<Option<String>>,
}

impl Import {
    fn fail(self, message: String) {
        self.error.try_set(Some(message));
        self.step.try_set(Step::Choose);
    }

    /// Reads what a file has.
    fn check(self, file: LocalFile) {
        self.error.set(None);
        if file.bytes() > MAX_IMPORT_BYTES as u64 {
            let most = format::size(MAX_IMPORT_BYTES as u64);
            return self.fail(format!(
                "{} has more than {most}. Split it, or remove the images from the archive.",
                file.name()
            ));
        }
        self.file.set_value(Some(file.clone()));
        self.step.set(Step::Checking);
        spawn_local(async move {
            match browser::post_file::<ImportReport>("/api/import?check=true", &file).await {
                Ok(report) => drop(self.step.try_set(Step::Checked(report))),
                Err(error) => self.fail(error.message()),
            }
        });
    }

    /// Imports the file's conversations.
    fn import(self, found: ImportReport) {
        let Some(file) = self.file.get_value() else { return };
        self.error.set(None);
        self.step.set(Step::Importing(0, found.clone()));
        spawn_local(async move {
            let (mut skip, mut sum) = (0, found);
            loop {
                match browser::post_file::<ImportReport>(&format!("/api/import?skip={skip}"), &file).await {
                    Ok(report) => {
                        sum.imported += report.imported;
                        sum.known += report.known;
                        let Some(next) = report.next else { break };
                        skip = next;
                    }
                    Err(error) => {
                        let message = error.message();
                        return self.fail(format!(
                            "{message} {} conversations were imported; importing the file again continues.",
                            sum.imported
                        ));
                    }
                }
                // The dialog was closed: what was imported stays.
                if self.step.try_set(Step::Importing(skip, sum.clone())).is_some() {
                    return;
                }
            }
            self.step.try_set(Step::Done(sum));
        });
    }
}

#[component]
fn ImportDialog() -> impl IntoView {
    let dialogs: Dialogs = expect_context();
    let import =
        Import { file: StoredValue::new_local(None), step: RwSignal::new(Step::Choose), error: RwSignal::new(None) };
    let field = NodeRef::<html::Input>::new();
    let on_change = move |_| {
        let chosen = field.get_untracked().map(|field| browser::take_chosen_files(&field)).unwrap_or_default();
        if let Some(file) = chosen.into_iter().next() {
            import.check(file);
        }
    };
    let is_busy = move || import.step.with(|step| matches!(step, Step::Checking | Step::Importing(..)));
    let content = move || match import.step.get() {
        Step::Choose => ().into_any(),
        Step::Checking => {
            view! { <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Reading the file"</p> }
                .into_any()
        }
        Step::Checked(found) => view! { <p>{found_text(&found)}</p> }.into_any(),
        Step::Importing(done, found) => {
            let text = format!(" {done} of {} conversations", found.conversations);
            view! { <p class="quiet"><span class="spinner" aria-hidden="true"></span> {text}</p> }.into_any()
        }
        Step::Done(sum) => view! { <p>{done_text(&sum)}</p> }.into_any(),
    };
    let button =
        move || {
            match import.step.get() {
        Step::Checked(found) if found.conversations > 0 => Some(view! {
            <button type="button" class="button" on:click=move |_| import.import(found.clone())>"Import"</button>
        }.into_any()),
        Step::Done(_) => Some(view! {
            <button type="button" class="button" on:click=move |_| dialogs.close()>"Close"</button>
        }.into_any()),
        _ => None,
    }
        };
    view! {
        <div class="dialog-head">
            <h2>"Import conversations"</h2>
            <button type="button" class="icon-button" aria-label="Close" on:click=move |_| dialogs.close()>{icon(Glyph::Close)}</button>
        </div>
        <p class="quiet">
            "From ChatGPT (the ZIP file, or its conversations.json), Open WebUI or LibreChat (JSON), or Netra (JSON Lines). Importing a file again adds nothing twice."
        </p>
        <label class="import-field">
            "File"
            <input type="file" accept=".json,.jsonl,.zip" node_ref=field disabled=is_busy on:change=on_change/>
        </label>
        {move || import.error.get().map(error_message)}
        <div role="status">{content}</div>
        {button}
    }
    .into_any()
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What a file has, in sentences.
fn found_text(found: &ImportReport) -> String {
    let mut text =
        format!("{}: {}.", found.format.name(), counted(found.conversations, "conversation", "conversations"));
    if found.empty > 0 {
        text +=
            &format!(" {} without messages will be left out.", counted(found.empty, "conversation", "conversations"));
    }
    if found.omitted > 0 {
        text += &format!(
            " {} of messages cannot be kept: files, images, tool calls, or texts that are too long.",
            counted(found.omitted, "part", "parts")
        );
    }
    text
}

/// What was imported, in sentences.
fn done_text(sum: &ImportReport) -> String {
    let mut text = format!("Imported {}.", counted(sum.imported, "conversation", "conversations"));
    if sum.known > 0 {
        text += &format!(" {} imported before.", counted(sum.known, "was", "were"));
    }
    text
}
