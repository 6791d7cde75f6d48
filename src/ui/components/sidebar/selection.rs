//! Selecting several threads, to archive or delete them together. A thread's menu starts it, and so do clicks with Ctrl, Cmd or Shift; Escape ends it.

use std::collections::BTreeSet;

use leptos::{
    ev::{KeyboardEvent, MouseEvent},
    prelude::*,
    task::spawn_local,
};

use super::{
    super::{
        dialogs::Dialogs,
        event_target,
        focus::{focus_on, is_focus_lost},
        icons::{Glyph, icon},
    },
    Deletions, List,
    lines::Lines,
    link_selector,
    row_menu::use_leave_list,
};
use crate::{
    protocol::{ArchiveThread, ThreadId},
    socket::context::use_socket,
    ui::{format::sentence, keys::is_escape},
};

/// How many threads can be selected at once: as many commands are sent.
const MAX_SELECTED: usize = 100;

/// Which threads are selected.
#[derive(Clone, Copy)]
pub(super) struct Selection {
    /// `None` while nobody selects.
    chosen: RwSignal<Option<BTreeSet<ThreadId>>>,
    active: Memo<bool>,
    /// The thread from which a click with Shift selects a range.
    start: StoredValue<Option<ThreadId>>,
}

impl Selection {
    pub(super) fn new() -> Self {
        let chosen = RwSignal::new(None);
        Self { chosen, active: Memo::new(move |_| chosen.with(Option::is_some)), start: StoredValue::new(None) }
    }

    pub(super) fn is_active(self) -> bool {
        self.active.get()
    }

    pub(super) fn contains(self, id: ThreadId) -> bool {
        self.chosen.with(|chosen| chosen.as_ref().is_some_and(|chosen| chosen.contains(&id)))
    }

    fn count(self) -> usize {
        self.chosen.with(|chosen| chosen.as_ref().map_or(0, BTreeSet::len))
    }

    /// Selects a thread, or no longer; starts selecting if nobody does.
    pub(super) fn toggle(self, id: ThreadId) {
        self.start.set_value(Some(id));
        self.chosen.update(|chosen| {
            let chosen = chosen.get_or_insert_default();
            if !chosen.remove(&id) && chosen.len() < MAX_SELECTED {
                chosen.insert(id);
            }
        });
    }

    /// Selects the threads from the one that was clicked last to this one.
    pub(super) fn extend(self, lines: &Lines, id: ThreadId) {
        let start = self.start.get_value().unwrap_or(id);
        self.start.set_value(Some(start));
        self.chosen.update(|chosen| {
            let chosen = chosen.get_or_insert_default();
            for thread in range(lines, start, id) {
                if chosen.len() < MAX_SELECTED {
                    chosen.insert(thread);
                }
            }
        });
    }

    /// Handles a click on a row.
    pub(super) fn on_click(self, event: &MouseEvent, list: List, id: ThreadId) {
        if !event_target::is_in(event, ".thread-link") || event.default_prevented() {
            return;
        }
        let (shift, active) = (event.shift_key(), self.chosen.with_untracked(Option::is_some));
        if shift || event.ctrl_key() || event.meta_key() || active {
            event.prevent_default();
            match shift {
                true => list.lines.with_untracked(|lines| self.extend(lines, id)),
                false => self.toggle(id),
            }
            if !active {
                focus_row(id);
            }
        }
    }

    /// Ends selecting. The row that had the focus keeps it.
    pub(super) fn end(self, list: List) {
        self.chosen.set(None);
        self.start.set_value(None);
        if let Some(id) = list.focused.get_untracked() {
            focus_row(id);
        }
    }

    /// Handles Escape within the list.
    pub(super) fn on_keydown(self, event: &KeyboardEvent, list: List) {
        if is_escape(event) && !event.default_prevented() && self.chosen.with_untracked(Option::is_some) {
            event.prevent_default();
            // On a phone, Escape would also close the sidebar.
            event.stop_propagation();
            self.end(list);
        }
    }
}

/// Focuses a row in the next frame, when its link or its box is in the document.
pub(super) fn focus_row(id: ThreadId) {
    request_animation_frame(move || {
        if is_focus_lost() {
            focus_on(&link_selector(id));
        }
    });
}

/// The threads from one to another, in either order.
fn range(lines: &Lines, one: ThreadId, other: ThreadId) -> Vec<ThreadId> {
    let threads: Vec<ThreadId> = lines.threads().collect();
    let position = |id| threads.iter().position(|thread| *thread == id);
    match (position(one), position(other)) {
        (Some(one), Some(other)) => threads[one.min(other)..=one.max(other)].to_vec(),
        _ => vec![other],
    }
}

/// The bar above the list: how many threads are selected, and what can be done with them.
#[component]
pub(super) fn SelectionBar(list: List) -> impl IntoView {
    let socket = use_socket();
    let selection = list.selection;
    let deletions: Deletions = expect_context();
    let leave_list = use_leave_list(list);
    // Ends selecting; returns the selected threads that still exist.
    let take = move || {
        let chosen = selection.chosen.get_untracked().unwrap_or_default();
        let exists = |id: &ThreadId| socket.feed().with_untracked(|feed| feed.thread(*id).is_some());
        selection.chosen.set(None);
        let threads: Vec<ThreadId> = chosen.into_iter().filter(exists).collect();
        request_animation_frame(|| {
            if is_focus_lost() && !focus_on(".thread-link[tabindex=\"0\"]") {
                focus_on(".new-thread");
            }
        });
        (leave_list.open_thread().filter(|id| threads.contains(id)), threads)
    };
    let archive = move |_| {
        let (open, threads) = take();
        open.into_iter().for_each(|id| leave_list.leave(id));
        let replies: Vec<_> =
            threads.into_iter().map(|thread_id| socket.send(ArchiveThread { thread_id, archived: true })).collect();
        spawn_local(async move {
            let mut refused = None;
            for reply in replies {
                refused = reply.await.err().or(refused);
            }
            list.error.try_set(refused.map(|refusal| sentence(&refusal.message)));
        });
    };
    let delete = move |_| {
        let (open, threads) = take();
        open.into_iter().for_each(|id| leave_list.leave(id));
        let label = if threads.len() == 1 { "1 thread".to_owned() } else { format!("{} threads", threads.len()) };
        deletions.delete(threads, label, open);
    };
    let dialogs: Dialogs = expect_context();
    let tag = move |_| {
        let (_, threads) = take();
        dialogs.tag(threads);
    };
    let is_empty = Memo::new(move |_| selection.count() == 0);
    view! {
        <div class="selection-bar" role="group" aria-label="Selected threads">
            <p role="status">{move || format!("{} selected", selection.count())}</p>
            <button type="button" class="small-button" disabled=move || is_empty.get() on:click=archive>{icon(Glyph::Archive)} "Archive"</button>
            <button type="button" class="small-button" disabled=move || is_empty.get() on:click=tag>{icon(Glyph::Tag)} "Tags"</button>
            <button type="button" class="small-button" disabled=move || is_empty.get() on:click=delete>{icon(Glyph::Trash)} "Delete"</button>
            <button type="button" class="small-button" on:click=move |_| selection.end(list)>"Cancel"</button>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::components::sidebar::lines::Line;

    #[test]
    fn a_range_has_both_ends_in_either_order() {
        let threads: Vec<ThreadId> = (0..5).map(|_| ThreadId::new()).collect();
        let lines = Lines { lines: threads.iter().map(|id| Line::Thread(*id)).collect(), before: 0, after: 0 };
        assert_eq!(range(&lines, threads[1], threads[3]), threads[1..4]);
        assert_eq!(range(&lines, threads[3], threads[1]), threads[1..4]);
        assert_eq!(range(&lines, ThreadId::new(), threads[2]), [threads[2]], "the start has left the list");
    }
}
