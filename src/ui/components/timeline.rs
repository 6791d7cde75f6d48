//! The items of a thread that are in the document: messages and runs of the shown branch, in order.

use leptos::prelude::*;

use super::{run::RunCard, run_tree::PtrEq, unread::watch_unread, user_message::UserMessageCard};
use crate::{
    thread::{Item, MessageItem, RunState, RunView},
    ui::{
        components::{
            open_thread::{OpenThread, find_item},
            rendered_items::ready_thread,
        },
        item_key::ItemKey,
    },
};

/// A thread's items. Each item is created once and has its own signals, so a change renders only the item that changed.
#[component]
pub(crate) fn Timeline() -> impl IntoView {
    let open_thread: OpenThread = expect_context();
    let first_new = watch_unread(open_thread);
    let OpenThread { view, rendered, auto_scroll, .. } = open_thread;
    let item_view = move |(hint, key): (usize, ItemKey)| {
        let current =
            move || view.with(|view| ready_thread(view).and_then(|thread| find_item(thread, key, hint).cloned()));
        let new_mark = move || {
            let is_first = first_new.get() == Some(key);
            is_first.then(|| view! { <p class="new-mark" role="separator"><span>"New since you left"</span></p> })
        };
        let item = match untrack(current)? {
            Item::Message(initial) => {
                let run = ItemKey::Run(initial.message.run_id);
                let item = Memo::new(move |before: Option<&PtrEq<MessageItem>>| match current() {
                    Some(Item::Message(item)) => PtrEq(item),
                    _ => before.cloned().unwrap_or_else(|| PtrEq(initial.clone())),
                });
                // The message's run is usually the next item.
                let is_waiting = Memo::new(move |_| {
                    view.with(|view| match ready_thread(view).and_then(|thread| find_item(thread, run, hint + 1)) {
                        Some(Item::Run(run)) => run.state == RunState::Waiting,
                        _ => false,
                    })
                });
                view! { <UserMessageCard item is_waiting/> }.into_any()
            }
            Item::Run(initial) => {
                let run = Memo::new(move |before: Option<&PtrEq<RunView>>| match current() {
                    Some(Item::Run(run)) => PtrEq(run),
                    _ => before.cloned().unwrap_or_else(|| PtrEq(initial.clone())),
                });
                view! { <RunCard run/> }.into_any()
            }
        };
        Some(view! { {new_mark} {item} })
    };
    // Turns are added while the reader scrolls; the buttons are for those who read without scrolling.
    view! {
        <Show when=move || rendered.has_earlier()>
            <button type="button" class="small-button more-turns" on:click=move |_| auto_scroll.show_earlier()>
                "Show earlier messages"
            </button>
        </Show>
        <For each=move || rendered.items.get() key=|(_, key)| *key children=item_view/>
        <Show when=move || rendered.has_later()>
            <button type="button" class="small-button more-turns" on:click=move |_| auto_scroll.show_later()>
                "Show later messages"
            </button>
        </Show>
    }
    .into_any()
}
