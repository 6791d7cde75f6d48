//! The items of a draft besides its text: attached files, and messages that were taken back.

use leptos::prelude::*;

use super::{
    draft::Draft,
    icons::{Glyph, icon},
};
use crate::{
    protocol::Attachment,
    text::escape_invisible,
    ui::{browser::LocalFile, format, storage::record::TakenBackMessage},
};

/// Messages that were taken back while the composer was not empty.
#[component]
pub(super) fn ReturnedMessages(draft: Draft) -> impl IntoView {
    let row = move |(index, returned): (usize, TakenBackMessage)| {
        view! {
            <li class="returned">
                <span class="returned-text">"Taken back: " {returned.text}</span>
                <button type="button" class="small-button" on:click=move |_| draft.insert_returned(index)>"Add to message"</button>
                <button
                    type="button"
                    class="icon-button"
                    aria-label="Discard"
                    on:click=move |_| draft.discard_returned(index)
                >
                    {icon(Glyph::Close)}
                </button>
            </li>
        }
    };
    view! {
        <Show when=move || draft.returned.with(|returned| !returned.is_empty())>
            <ul class="returned-list" aria-label="Taken back">
                {move || draft.returned.get().into_iter().enumerate().map(row).collect_view()}
            </ul>
        </Show>
    }
    .into_any()
}

/// A file with a button that removes it from the draft.
fn file_chip(name: String, bytes: u64, remove: impl Fn() + 'static) -> impl IntoView {
    view! {
        <li class="chip">
            {icon(Glyph::File)}
            <bdi class="chip-name">{name.clone()}</bdi>
            <span class="chip-size">{format::size(bytes)}</span>
            <button type="button" class="icon-button" aria-label=format!("Remove {name}") on:click=move |_| remove()>
                {icon(Glyph::Close)}
            </button>
        </li>
    }
}

/// The files of a draft.
#[component]
pub(super) fn AttachedFiles(draft: Draft) -> impl IntoView {
    let Draft { files, attached, .. } = draft;
    let uploaded = move |file: Attachment| {
        file_chip(escape_invisible(&file.name), file.bytes, move || draft.remove_attached(file.file_id))
    };
    let new = move |(index, file): (usize, LocalFile)| {
        let (name, bytes) = (escape_invisible(&file.name()), file.bytes());
        file_chip(name, bytes, move || draft.remove_file(index, &file))
    };
    view! {
        <Show when=move || { draft.file_count() > 0 }>
            <ul class="chips" aria-label="Attached files">
                {move || attached.get().into_iter().map(uploaded).collect_view()}
                {move || files.get().into_iter().enumerate().map(new).collect_view()}
            </ul>
        </Show>
    }
    .into_any()
}
