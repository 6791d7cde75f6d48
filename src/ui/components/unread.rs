//! What is new in a thread since the user left it: a line above it, and a thread opens at it.

use leptos::{
    ev::{EventDescriptor as _, pagehide, visibilitychange},
    prelude::*,
};

use super::{open_thread::OpenThread, rendered_items::ready_thread};
use crate::{
    thread::{Item, RunState},
    ui::{
        browser,
        item_key::ItemKey,
        last_seen::{Seen, last_seen, set_last_seen, unread},
    },
};

/// Finds out which items are new when the thread is opened and when the user comes back to its tab, and stores the last item when the user
/// leaves. Returns the first new item.
pub(crate) fn watch_unread(open_thread: OpenThread) -> ReadSignal<Option<ItemKey>> {
    let (first_new, set_first_new) = signal(None);
    let mark = move || {
        let items =
            open_thread.with_shown(|items| items.map(|(key, item)| (key, is_complete(item))).collect::<Vec<_>>());
        let unread = items.and_then(|items| unread(&items, last_seen(open_thread.id)));
        set_first_new.try_set(unread.filter(|unread| unread.added).map(|unread| unread.item));
        unread
    };
    let store = move || {
        let last = open_thread.with_shown(|items| {
            let mut waiting = Vec::new();
            // A message that waits may still move to another place.
            let last = items.rev().find(|(_, item)| match item {
                Item::Run(run) if run.state == RunState::Waiting => {
                    waiting.push(run.run_id);
                    false
                }
                Item::Message(item) => !waiting.contains(&item.message.run_id),
                Item::Run(_) => true,
            });
            last.map(|(item, last)| Seen { item, complete: is_complete(last) })
        });
        if let Some(seen) = last.flatten() {
            set_last_seen(open_thread.id, seen);
        }
    };
    // Who has just asked here follows the answer.
    let is_asked_here = untrack(|| !open_thread.outgoing.for_thread(open_thread.id).is_empty());
    let is_loaded = Memo::new(move |_| open_thread.view.with(|view| ready_thread(view).is_some()));
    Effect::new(move |opened: Option<bool>| {
        if opened == Some(true) || !is_loaded.get() {
            return opened == Some(true);
        }
        if let Some(unread) = mark().filter(|_| !is_asked_here) {
            open_thread.auto_scroll.open_at(unread.item);
        }
        true
    });
    Effect::new(move |_| {
        let visible = window_event_listener_untyped(&visibilitychange.name(), move |_| {
            if browser::is_visible() {
                mark();
            } else {
                store();
            }
        });
        // What arrived while the tab was hidden was not seen.
        let leave = move || {
            if browser::is_visible() {
                store();
            }
        };
        let hide = window_event_listener(pagehide, move |_| leave());
        on_cleanup(move || {
            leave();
            visible.remove();
            hide.remove();
        });
    });
    first_new
}

fn is_complete(item: &Item) -> bool {
    match item {
        Item::Message(_) => true,
        Item::Run(run) => run.state.is_over(),
    }
}
