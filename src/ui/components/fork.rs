//! Forking a thread at an answer, and the line that says where a fork comes from.

use leptos::{prelude::*, task::spawn_local};
use leptos_router::{NavigateOptions, components::A, hooks::use_navigate};

use super::{
    error_message::error_message,
    focus::ComposerFocus,
    icons::{Glyph, icon},
    open_thread::OpenThread,
    rendered_items::ready_thread,
    sidebar::display_title,
};
use crate::{
    protocol::{ForkOrigin, ForkThread, MessageId, ThreadId},
    ui::format,
};

/// A button in a menu that creates a thread with a copy of the open one up to the answer to a message, and opens it.
#[component]
pub(crate) fn ForkButton(open_thread: OpenThread, message_id: MessageId) -> impl IntoView {
    let composer_focus: ComposerFocus = expect_context();
    let navigate = StoredValue::new(use_navigate());
    let (busy, error) = (RwSignal::new(false), RwSignal::new(None::<String>));
    // A retry names the same thread, in case only the reply was lost.
    let new_thread = StoredValue::new(None::<ThreadId>);
    let fork = move |_| {
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        error.set(None);
        let thread_id = new_thread.get_value().unwrap_or_else(ThreadId::new);
        new_thread.set_value(Some(thread_id));
        spawn_local(async move {
            let outcome = open_thread.socket.send(ForkThread { thread_id, from: open_thread.id, message_id }).await;
            busy.try_set(false);
            match outcome {
                Ok(_) => {
                    new_thread.try_set_value(None);
                    let path = format!("/threads/{thread_id}");
                    composer_focus.request(&path);
                    // Not if the person has left the thread meanwhile.
                    navigate.try_with_value(|navigate| navigate(&path, NavigateOptions::default()));
                }
                Err(refusal) => drop(error.try_set(Some(format::error_message(&refusal)))),
            }
        });
    };
    view! {
        <button
            type="button"
            title="Continue in a new thread with a copy of this one up to here"
            aria-disabled=move || busy.get().to_string()
            on:click=fork
        >
            {icon(Glyph::Fork)} {move || if busy.get() { "Forking" } else { "Fork from here" }}
        </button>
        {move || error.get().map(error_message)}
    }
    .into_any()
}

/// Where the thread comes from, if it is a fork: a link to the message at which it was forked.
#[component]
pub(crate) fn ForkedFrom() -> impl IntoView {
    let open_thread: OpenThread = expect_context();
    let OpenThread { id, view, socket, .. } = open_thread;
    // Members cannot open the thread that the owner forked.
    let origin = Memo::new(move |_| {
        let me = open_thread.user_id();
        view.with(|view| {
            let thread = ready_thread(view)?;
            let is_owner = thread.members.as_ref().is_none_or(|members| Some(members.owner.id) == me);
            thread.info.as_ref()?.forked_from.clone().filter(|_| is_owner)
        })
    });
    let link = move |ForkOrigin { thread_id, message_id, .. }| {
        let title = Memo::new(move |_| {
            socket.feed().with(|feed| {
                let now = feed.thread(thread_id).map(|known| &known.info.title);
                let then = || Some(&feed.thread(id)?.info.forked_from.as_ref()?.title);
                now.or_else(then).map_or_else(|| "another thread".to_owned(), |title| display_title(title))
            })
        });
        view! {
            <p class="forked-from">
                {icon(Glyph::Fork)}
                <span>"Forked from " <A href=format!("/threads/{thread_id}?m={message_id}")><span dir="auto">{title}</span></A></span>
            </p>
        }
    };
    move || origin.get().map(link)
}
