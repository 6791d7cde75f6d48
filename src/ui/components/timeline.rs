//! The items of a thread on the branch in view: messages and runs, in order.

use leptos::prelude::*;

use super::{run::RunCard, run_tree::PtrEq, user_message::UserMessageCard};
use crate::{
    thread::{Item, RunState, RunView},
    ui::components::open_thread::{ItemKey, OpenThread, find_item, ready_thread},
};

/// A thread's items. Each item is created once and has its own signals, so a change renders only the item that changed.
#[component]
pub(crate) fn Timeline() -> impl IntoView {
    let open_thread: OpenThread = expect_context();
    let OpenThread { view, items: keys, .. } = open_thread;
    let item_view = move |(hint, key): (usize, ItemKey)| {
        let current =
            move || view.with(|view| ready_thread(view).and_then(|thread| find_item(thread, key, hint).cloned()));
        match untrack(current)? {
            Item::Message(item) => {
                let item = item.as_ref().clone();
                // The message's run is usually the next item.
                let run = ItemKey::Run(item.message.run_id);
                let is_waiting = Memo::new(move |_| {
                    view.with(|view| match ready_thread(view).and_then(|thread| find_item(thread, run, hint + 1)) {
                        Some(Item::Run(run)) => run.state == RunState::Waiting,
                        _ => false,
                    })
                });
                Some(view! { <UserMessageCard item is_waiting/> }.into_any())
            }
            Item::Run(initial) => {
                let run = Memo::new(move |before: Option<&PtrEq<RunView>>| match current() {
                    Some(Item::Run(run)) => PtrEq(run),
                    _ => before.cloned().unwrap_or_else(|| PtrEq(initial.clone())),
                });
                Some(view! { <RunCard run/> }.into_any())
            }
        }
    };
    view! { <For each=move || keys.get() key=|(_, key)| *key children=item_view/> }
}
