//! A message that an agent read during its run, shown in the run where the agent read it.

use leptos::prelude::*;

use super::{clock::Timestamp, copy::CopyButton, user_message::initials};
use crate::{text::escape_invisible, thread::ReadMessage};

/// The message.
#[component]
pub(super) fn ReadMessageCard(read: ReadMessage) -> impl IntoView {
    let message = &read.item.message;
    let (id, author) = (message.id.to_string(), escape_invisible(&message.author.name));
    let (text, copied) = (message.content.clone(), message.content.clone());
    view! {
        <article class="question read-message" aria-label="Your message" tabindex="-1" data-message-id=id>
            <header class="byline">
                <span class="avatar" aria-hidden="true">{initials(&author)}</span>
                <bdi class="author">{author.clone()}</bdi>
                <Timestamp at=read.item.at/>
            </header>
            <p class="message-text">{text}</p>
            <footer class="question-actions">
                <CopyButton class="text-button" text=Callback::new(move |()| copied.clone())/>
                <span class="hint">"Read by the agent"</span>
            </footer>
        </article>
    }
    .into_any()
}
