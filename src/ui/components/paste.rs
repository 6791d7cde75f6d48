//! What is pasted into a field: pictures and files are attached, and text comes as somebody would have typed it.

use leptos::ev::ClipboardEvent;

use super::draft::Draft;
use crate::{text::typed, ui::browser};

/// Takes what is pasted into a field; without a `draft` there is nowhere to attach files.
pub(crate) fn paste(event: &ClipboardEvent, draft: Option<Draft>) {
    let (text, files) = browser::pasted_content(event);
    // Office programs give a picture of what they give as text too: the text is meant.
    if text.is_empty() {
        if let Some(draft) = draft.filter(|_| !files.is_empty()) {
            event.prevent_default();
            draft.attach(files);
        }
        return;
    }
    let plain = typed(&text);
    if plain != text && browser::insert_text(&plain) {
        event.prevent_default();
    }
}
