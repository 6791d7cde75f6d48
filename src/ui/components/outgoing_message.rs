//! A message that is being sent, shown in its place in the thread until the server has it.

use leptos::prelude::*;

use super::{
    icons::{Glyph, icon},
    user_message::Attachments,
};
use crate::{
    socket::context::use_socket,
    text::escape_invisible,
    ui::{
        format,
        outgoing::{Outgoing, OutgoingFile, OutgoingMessage},
    },
};

/// A message that is being sent.
#[component]
pub(crate) fn OutgoingMessageCard(message: OutgoingMessage) -> impl IntoView {
    let (outgoing, socket): (Outgoing, _) = (expect_context(), use_socket());
    let (shown_error, error) = (message.error.clone(), message.error.clone());
    let message_id = message.message_id;
    let unsent = message.clone();
    let retry = move |_| outgoing.retry(unsent.clone());
    let failure = move || {
        let retry = retry.clone();
        shown_error.get().map(|message| {
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
    let files = message.files.iter().cloned().map(|file| view! { <Upload file/> }).collect_view();
    view! {
        <article class="question pending" aria-label="Message being sent" data-message-id=message_id.to_string()>
            <p class="message-text">{message.text.clone()}</p>
            <Attachments attachments=message.uploaded.clone()/>
            <ul class="chips" aria-label="Files">{files}</ul>
            {move || error.with(Option::is_none).then(|| progress(socket.is_connected()))}
            {failure}
        </article>
    }
    .into_any()
}

fn progress(is_connected: bool) -> AnyView {
    match is_connected {
        true => view! { <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Sending"</p> }.into_any(),
        false => view! { <p class="quiet">"Not sent yet. It will be sent when the connection is back."</p> }.into_any(),
    }
}

/// A file of the message, with its upload progress.
#[component]
fn Upload(file: OutgoingFile) -> impl IntoView {
    let name = escape_invisible(&file.file.name());
    let (bar, text) = (file.progress.clone(), file.progress.clone());
    view! {
        <li class="chip">
            {icon(Glyph::File)}
            <bdi class="chip-name">{name.clone()}</bdi>
            <span class="chip-size">{format::size(file.file.bytes())}</span>
            <progress max="1" value=move || bar.get() aria-label=format!("Uploading {name}")></progress>
            <span class="chip-size">{move || format!("{:.0} %", text.get() * 100.0)}</span>
        </li>
    }
    .into_any()
}
