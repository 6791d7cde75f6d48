//! The question that is being answered, pinned above a long answer while the question itself is above the window.

use leptos::prelude::*;

use super::{
    icons::{Glyph, icon},
    open_thread::OpenThread,
};
use crate::text::escape_invisible;

/// The most characters of the question that are shown. Its style shows as many of them as fit into a line.
const MAX_CHARS: usize = 200;

/// The pinned question. Pressing it shows the question itself.
#[component]
pub(crate) fn PinnedQuestion(open_thread: OpenThread) -> impl IntoView {
    let question = Memo::new(move |_| {
        let id = open_thread.auto_scroll.question_above()?;
        let message = open_thread.message(id)?;
        let text: String = message.content.split_whitespace().collect::<Vec<_>>().join(" ");
        let file = || message.attachments.first().map(|file| file.name.clone()).unwrap_or_default();
        let text = if text.is_empty() { file() } else { text };
        Some((id, escape_invisible(&text.chars().take(MAX_CHARS).collect::<String>())))
    });
    let pinned = move || {
        question.get().map(|(id, text)| {
            view! {
                <button
                    type="button"
                    class="pinned-question"
                    title="Go to this question"
                    on:click=move |_| open_thread.reveal(id)
                >
                    {icon(Glyph::Up)}
                    <span class="sr-only">"Go to the question: "</span>
                    <bdi class="pinned-text">{text}</bdi>
                </button>
            }
        })
    };
    view! { <div class="pinned">{pinned}</div> }.into_any()
}
