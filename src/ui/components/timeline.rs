//! A thread's items in order, those of the branch in view: what people said, what agents did.

use leptos::prelude::*;

use super::{question::Question, run::RunCard, tree::Shared};
use crate::{
    thread::{Item, RunState, RunView},
    ui::components::conversation::{Conversation, ItemKey, find_item, ready_thread},
};

/// A thread's items. Each is made once and follows its own changes, so that what grows renders nothing else anew.
#[component]
pub(crate) fn Timeline() -> impl IntoView {
    let conversation: Conversation = expect_context();
    let Conversation { view, keys, .. } = conversation;
    let item = move |(hint, key): (usize, ItemKey)| {
        let now = move || view.with(|view| ready_thread(view).and_then(|thread| find_item(thread, key, hint).cloned()));
        match untrack(now)? {
            Item::Message(said) => {
                let said = said.as_ref().clone();
                // Its run is the next item.
                let run = ItemKey::Run(said.message.run_id);
                let waits = Memo::new(move |_| {
                    view.with(|view| match ready_thread(view).and_then(|thread| find_item(thread, run, hint + 1)) {
                        Some(Item::Run(run)) => run.state == RunState::Waiting,
                        _ => false,
                    })
                });
                Some(view! { <Question said waits/> }.into_any())
            }
            Item::Run(first) => {
                let run = Memo::new(move |before: Option<&Shared<RunView>>| match now() {
                    Some(Item::Run(run)) => Shared(run),
                    _ => before.cloned().unwrap_or_else(|| Shared(first.clone())),
                });
                Some(view! { <RunCard run/> }.into_any())
            }
        }
    };
    view! { <For each=move || keys.get() key=|(_, key)| *key children=item/> }
}
