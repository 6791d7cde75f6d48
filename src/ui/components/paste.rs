//! Pasting into a text field: files are attached, and text is cleaned of invisible characters.

use leptos::ev::ClipboardEvent;

use super::draft::Draft;
use crate::{text::normalize_input, ui::browser};

/// Handles a paste. Without a `draft`, files are ignored.
pub(crate) fn paste(event: &ClipboardEvent, draft: Option<Draft>) {
    let (text, files) = browser::pasted_content(event);
    // Office programs paste text together with a picture of it: use the text.
    if text.is_empty() {
        if let Some(draft) = draft.filter(|_| !files.is_empty()) {
            event.prevent_default();
            draft.attach(files);
        }
        return;
    }
    let plain = normalize_input(&text);
    if plain != text && browser::insert_text(&plain) {
        event.prevent_default();
    }
}
