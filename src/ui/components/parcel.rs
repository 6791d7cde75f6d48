//! A message on its way: shown where it will be, with what it waits for.

use leptos::prelude::*;

use super::{
    icons::{Glyph, icon},
    question::Attachments,
};
use crate::{
    socket::context::use_socket,
    text::visible,
    ui::{
        format,
        outgoing::{Outgoing, OutgoingFile, OutgoingMessage},
    },
};

/// A message on its way.
#[component]
pub(crate) fn ParcelCard(parcel: OutgoingMessage) -> impl IntoView {
    let (outgoing, socket): (Outgoing, _) = (expect_context(), use_socket());
    let (failed, error) = (parcel.error.clone(), parcel.error.clone());
    let message_id = parcel.message_id;
    let again = parcel.clone();
    let retry = move |_| outgoing.retry(again.clone());
    let problem = move || {
        let retry = retry.clone();
        error.get().map(|message| {
            view! {
                <div class="failure" role="alert">
                    {icon(Glyph::Warning)}
                    <p><strong>"Not sent. "</strong> {format::sentence(&message)}</p>
                    <button type="button" class="small-button" on:click=retry>"Try again"</button>
                    <button type="button" class="small-button" on:click=move |_| outgoing.remove(message_id)>"Discard"</button>
                </div>
            }
        })
    };
    let files = parcel.files.iter().cloned().map(|file| view! { <Upload file/> }).collect_view();
    view! {
        <article class="question pending" aria-label="Question on its way" data-message-id=message_id.to_string()>
            <p class="said">{parcel.text.clone()}</p>
            <Attachments attachments=parcel.attached.clone()/>
            <ul class="chips" aria-label="Files">{files}</ul>
            {move || failed.with(Option::is_none).then(|| on_its_way(socket.is_connected()))}
            {problem}
        </article>
    }
    .into_any()
}

/// What becomes of a message that is not refused: it is sent now, or as soon as there is a connection.
fn on_its_way(connected: bool) -> AnyView {
    match connected {
        true => view! { <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Sending"</p> }.into_any(),
        false => view! { <p class="quiet">"Not sent yet: it is sent when the connection is back."</p> }.into_any(),
    }
}

/// A file on its way.
#[component]
fn Upload(file: OutgoingFile) -> impl IntoView {
    let name = visible(&file.file.name());
    let (bar, text) = (file.progress.clone(), file.progress.clone());
    view! {
        <li class="chip">
            {icon(Glyph::File)}
            <bdi class="chip-name">{name.clone()}</bdi>
            <span class="chip-size">{format::size(file.file.bytes())}</span>
            <progress max="1" value=move || bar.get() aria-label=format!("Upload of {name}")></progress>
            <span class="chip-size">{move || format!("{:.0} %", text.get() * 100.0)}</span>
        </li>
    }
    .into_any()
}
