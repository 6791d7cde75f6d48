//! A message that is being sent, shown in its place in the thread until the server has it.

use leptos::prelude::*;

use super::{
    draft_items::upload_chip,
    icons::{Glyph, icon},
    user_message::Attachments,
};
use crate::{
    socket::context::use_socket,
    ui::{
        format,
        outgoing::{Outgoing, OutgoingMessage},
        uploads::UploadState,
    },
};

/// A message that is being sent.
#[component]
pub(crate) fn OutgoingMessageCard(message: OutgoingMessage) -> impl IntoView {
    let (outgoing, socket): (Outgoing, _) = (expect_context(), use_socket());
    let (shown_error, error) = (message.error.clone(), message.error.clone());
    let message_id = message.message_id;
    let (unsent, discarded, uploading) = (message.clone(), message.clone(), message.clone());
    let retry = move |_| outgoing.retry(unsent.clone());
    let failure = move || {
        let (retry, discarded) = (retry.clone(), discarded.clone());
        shown_error.get().map(|message| {
            view! {
                <div class="failure" role="alert">
                    {icon(Glyph::Warning)}
                    <p><strong>"Not sent. "</strong> {format::sentence(&message)}</p>
                    <button type="button" class="small-button" on:click=retry>"Try again"</button>
                    <button type="button" class="small-button" on:click=move |_| outgoing.discard(&discarded)>"Discard"</button>
                </div>
            }
        })
    };
    let files = message.files.iter().map(|file| upload_chip(file, ().into_any())).collect_view();
    let is_uploading =
        move || uploading.files.iter().any(|file| matches!(file.state(), UploadState::Waiting | UploadState::Running));
    view! {
        <article class="question pending" aria-label="Message being sent" data-message-id=message_id.to_string()>
            <p class="message-text">{message.text.clone()}</p>
            <Attachments attachments=message.uploaded.clone()/>
            <ul class="chips" aria-label="Files">{files}</ul>
            {move || error.with(Option::is_none).then(|| progress(socket.is_connected(), is_uploading()))}
            {failure}
        </article>
    }
    .into_any()
}

fn progress(is_connected: bool, is_uploading: bool) -> AnyView {
    match is_connected {
        true if is_uploading => {
            let text = " Uploading. The message is sent as soon as its files are uploaded.";
            view! { <p class="quiet"><span class="spinner" aria-hidden="true"></span> {text}</p> }.into_any()
        }
        true => view! { <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Sending"</p> }.into_any(),
        false => view! { <p class="quiet">"Not sent yet. It will be sent when the connection is back."</p> }.into_any(),
    }
}
