//! The items of a draft besides its text: attached files, and messages that were taken back.

use leptos::prelude::*;

use super::{
    draft::Draft,
    focus::{focus_on, is_focus_lost},
    icons::{Glyph, icon},
};
use crate::{
    protocol::Attachment,
    text::escape_invisible,
    ui::{browser::LocalFile, format, storage::record::TakenBackMessage},
};

/// Messages that were taken back while the composer was not empty.
#[component]
pub(super) fn TakenBackMessages(draft: Draft) -> impl IntoView {
    let row = move |(index, message): (usize, TakenBackMessage)| {
        view! {
            <li class="taken-back">
                <span class="taken-back-text">"Taken back: " {message.text}</span>
                <button type="button" class="small-button" on:click=move |_| draft.insert_taken_back(index)>"Add to message"</button>
                <button
                    type="button"
                    class="icon-button"
                    aria-label="Discard"
                    on:click=move |_| draft.discard_taken_back(index)
                >
                    {icon(Glyph::Close)}
                </button>
            </li>
        }
    };
    view! {
        <Show when=move || draft.taken_back.with(|messages| !messages.is_empty())>
            <ul class="taken-back-list" aria-label="Taken back">
                {move || draft.taken_back.get().into_iter().enumerate().map(row).collect_view()}
            </ul>
        </Show>
    }
    .into_any()
}

/// Focuses another button of the files, after one was removed with the focus.
fn keep_focus() {
    request_animation_frame(|| {
        if is_focus_lost() && !focus_on(".composer .chips button") {
            focus_on(".composer .attach-button");
        }
    });
}

/// A file with a button that removes it from the draft.
fn file_chip(name: String, bytes: u64, remove: impl Fn() + 'static) -> impl IntoView {
    let remove = move |_| {
        remove();
        keep_focus();
    };
    view! {
        <li class="chip">
            {icon(Glyph::File)}
            <bdi class="chip-name">{name.clone()}</bdi>
            <span class="chip-size">{format::size(bytes)}</span>
            <button type="button" class="icon-button" aria-label=format!("Remove {name}") on:click=remove>
                {icon(Glyph::Close)}
            </button>
        </li>
    }
}

/// The files of a draft.
#[component]
pub(super) fn AttachedFiles(draft: Draft) -> impl IntoView {
    let Draft { files, uploaded, .. } = draft;
    let uploaded_chip = move |file: Attachment| {
        file_chip(escape_invisible(&file.name), file.bytes, move || draft.remove_uploaded(file.file_id))
    };
    let new_chip = move |(index, file): (usize, LocalFile)| {
        let (name, bytes) = (escape_invisible(&file.name()), file.bytes());
        file_chip(name, bytes, move || draft.remove_file(index, &file))
    };
    view! {
        <Show when=move || { draft.file_count() > 0 }>
            <ul class="chips" aria-label="Attached files">
                {move || uploaded.get().into_iter().map(uploaded_chip).collect_view()}
                {move || files.get().into_iter().enumerate().map(new_chip).collect_view()}
            </ul>
        </Show>
    }
    .into_any()
}
