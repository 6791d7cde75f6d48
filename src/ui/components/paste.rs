//! Pasting into a text field: files are attached, text is cleaned of invisible characters, and a long text is attached as a file.

use leptos::{ev::ClipboardEvent, prelude::*};
use uuid::Uuid;

use super::draft::Draft;
use crate::{
    text::normalize_input,
    ui::{browser, uploads::AttachedFile},
};

/// A text with more characters than this is attached as a file.
const MAX_PASTED_CHARS: usize = 4_000;
/// A text with more lines than this is attached as a file.
const MAX_PASTED_LINES: usize = 100;
/// File types, as in a file input's `accept`, that include plain text.
const TEXT_TYPES: [&str; 3] = [".txt", "text/plain", "text/*"];

/// Where a paste goes that is not plain text of usual length.
#[derive(Clone, Copy)]
pub(crate) struct PasteTarget {
    pub(crate) draft: Draft,
    /// The file types that the addressed agent reads, as a file input's `accept`; empty for any.
    pub(crate) accept: Memo<String>,
}

/// A text that was attached as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastedText {
    /// The file's key.
    pub(crate) file: Uuid,
    pub(crate) text: String,
}

/// Handles a paste. Without a `target`, files are ignored, and texts of any length are inserted.
pub(crate) fn paste(event: &ClipboardEvent, target: Option<PasteTarget>) {
    let (text, files) = browser::pasted_content(event);
    // Office programs paste text together with a picture of it: use the text.
    if text.is_empty() {
        if let Some(PasteTarget { draft, .. }) = target.filter(|_| !files.is_empty()) {
            event.prevent_default();
            draft.attach(files);
        }
        return;
    }
    let plain = normalize_input(&text);
    let is_attached = target.is_some_and(|target| is_long(&plain) && target.attach(&plain));
    if is_attached || (plain != text && browser::insert_text(&plain)) {
        event.prevent_default();
    }
}

impl PasteTarget {
    /// Attaches a text as a file, if the agent reads such files. Returns whether it did.
    fn attach(self, text: &str) -> bool {
        if !self.accept.with_untracked(|accept| includes_text(accept)) {
            return false;
        }
        let names: Vec<String> =
            self.draft.files.with_untracked(|files| files.iter().map(|file| file.file.name()).collect());
        let Some(file) = browser::text_file(&file_name(&names), text) else { return false };
        let key = file.key();
        self.draft.attach(vec![file]);
        let is_attached = self.draft.files.with_untracked(|files| files.iter().any(|file| file.key() == key));
        if is_attached {
            self.draft.pasted.set(Some(PastedText { file: key, text: text.to_owned() }));
        }
        is_attached
    }
}

fn is_long(text: &str) -> bool {
    text.chars().nth(MAX_PASTED_CHARS).is_some() || text.lines().nth(MAX_PASTED_LINES).is_some()
}

fn includes_text(accept: &str) -> bool {
    accept.is_empty() || accept.split(',').any(|kind| TEXT_TYPES.contains(&kind.trim()))
}

/// A name that the draft's files do not have.
fn file_name(names: &[String]) -> String {
    let numbered = (2..).map(|number| format!("Pasted text {number}.txt"));
    let mut candidates = std::iter::once("Pasted text.txt".to_owned()).chain(numbered);
    // There are more candidates than files, so one is free.
    candidates.find(|name| !names.contains(name)).unwrap_or_default()
}

/// Says that a pasted text was attached as a file, and offers to insert it instead.
#[component]
pub(crate) fn PastedTextNotice(draft: Draft) -> impl IntoView {
    let Draft { files, pasted, .. } = draft;
    // The file may have been removed or sent.
    let shown = Memo::new(move |_| {
        pasted.with(|pasted| {
            let is_attached = |file: &AttachedFile| pasted.as_ref().is_some_and(|pasted| pasted.file == file.key());
            files.with(|files| files.iter().any(is_attached))
        })
    });
    let insert = move |_| {
        let Some(PastedText { file, text }) = pasted.try_update(Option::take).flatten() else { return };
        let file = files.with_untracked(|files| files.iter().find(|other| other.key() == file).cloned());
        if let Some(file) = file {
            draft.remove_file(&file);
        }
        draft.insert(&text);
    };
    view! {
        <div role="status">
            <Show when=move || shown.get()>
                <p class="pasted-text">
                    <span>"Pasted text attached as a file."</span>
                    <button type="button" class="text-button" on:click=insert>"Insert as text instead"</button>
                </p>
            </Show>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_those_with_many_characters_or_lines() {
        assert!(!is_long(&"a".repeat(4_000)) && is_long(&"a".repeat(4_001)));
        assert!(!is_long(&"a\n".repeat(100)) && is_long(&"a\n".repeat(101)));
    }

    #[test]
    fn text_is_attached_where_the_agent_reads_text_files() {
        assert!(includes_text("") && includes_text(".csv,.txt") && includes_text("image/png, text/*"));
        assert!(!includes_text("image/png,.pdf"));
    }

    #[test]
    fn pasted_texts_have_different_names() {
        let first = file_name(&[]);
        assert_eq!(first, "Pasted text.txt");
        assert_eq!(file_name(&[first]), "Pasted text 2.txt");
    }
}
