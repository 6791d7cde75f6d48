//! The row of a thread in the list: state, title and menu, or the form that renames it.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
    task::spawn_local,
};
use leptos_router::components::A;

use super::{
    super::{
        focus::focus_on,
        icons::{Glyph, icon},
        tags::{TagChips, tags_of, with_filter},
    },
    List, display_title, link_selector,
    row_menu::RowMenu,
};
use crate::{
    protocol::{RenameThread, ThreadId, limits},
    socket::context::use_socket,
    text::escape_invisible,
    thread::ThreadSummary,
    ui::{
        format::sentence,
        keys::{KeyAction, Lines, key_action},
    },
};

/// The row.
#[component]
pub(super) fn Row(
    id: ThreadId,
    thread: Memo<ThreadSummary>,
    list: List,
    tab_stop: Memo<Option<ThreadId>>,
) -> impl IntoView {
    let tabindex = move || if tab_stop.get() == Some(id) { "0" } else { "-1" };
    let renaming = RwSignal::new(false);
    let title = Memo::new(move |_| thread.with(|thread| display_title(&thread.info.title)));
    let feed = use_socket().feed();
    let tags = Memo::new(move |_| thread.with(|thread| feed.with(|feed| tags_of(feed, &thread.info.tags))));
    view! {
        <li
            class="thread-row"
            class:selected=move || list.selection.contains(id)
            data-thread-id=id.to_string()
            on:focusin=move |_| list.focused.set(Some(id))
            on:click=move |event| list.selection.on_click(&event, list, id)
        >
            <Show
                when=move || renaming.get()
                fallback=move || {
                    if list.selection.is_active() {
                        return view! { <SelectableTitle id thread title list tabindex=Signal::derive(tabindex)/> }.into_any();
                    }
                    view! {
                        <A
                            href=move || with_filter(&format!("/threads/{id}"), list.filter.get())
                            attr:class="thread-link"
                            attr:tabindex=tabindex
                        >
                            <span class="thread-text">
                                <span class="thread-title" dir="auto">{title}</span>
                                <TagChips tags/>
                            </span>
                            {move || thread.with(shared_mark)}
                            {move || thread.with(Mark::for_thread).map(Mark::view)}
                        </A>
                        <RowMenu id thread title renaming list/>
                    }
                    .into_any()
                }
            >
                <Rename id title renaming list/>
            </Show>
        </li>
    }
    .into_any()
}

/// The title of a thread with a box that selects the thread.
#[component]
fn SelectableTitle(
    id: ThreadId,
    thread: Memo<ThreadSummary>,
    title: Memo<String>,
    list: List,
    tabindex: Signal<&'static str>,
) -> impl IntoView {
    view! {
        <button
            type="button"
            role="checkbox"
            class="thread-link"
            aria-checked=move || list.selection.contains(id).to_string()
            tabindex=move || tabindex.get()
        >
            <span class="select-box" aria-hidden="true">{icon(Glyph::Check)}</span>
            <span class="thread-title" dir="auto">{title}</span>
            {move || thread.with(Mark::for_thread).map(Mark::view)}
        </button>
    }
    .into_any()
}

/// A mark of a thread that has members, with its owner's name in the lists of members.
fn shared_mark(thread: &ThreadSummary) -> Option<AnyView> {
    let shared = thread.info.shared.as_ref()?;
    let label = match shared.role {
        Some(_) => format!("Shared by {}", escape_invisible(&shared.owner.name)),
        None => "Shared with members".to_owned(),
    };
    Some(view! { <span class="shared-mark" role="img" aria-label=label.clone() title=label>{icon(Glyph::People)}</span> }.into_any())
}

/// What the mark of a row says. If several hold, the first is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Waiting,
    Running,
    Failed,
    Unread,
}

impl Mark {
    fn for_thread(thread: &ThreadSummary) -> Option<Self> {
        let marks = [
            (!thread.asking.is_empty(), Self::Waiting),
            (!thread.running.is_empty(), Self::Running),
            (thread.failed, Self::Failed),
            (thread.unread, Self::Unread),
        ];
        marks.into_iter().find_map(|(holds, mark)| holds.then_some(mark))
    }

    fn view(self) -> AnyView {
        let (class, label, glyph) = match self {
            Self::Waiting => ("needs-answer", "Waiting for you", Some(Glyph::Question)),
            Self::Running => ("spinner", "Running", None),
            Self::Failed => ("failed-mark", "Failed", Some(Glyph::Warning)),
            Self::Unread => ("unread", "Unread", None),
        };
        view! { <span class=class role="img" aria-label=label title=label>{glyph.map(icon)}</span> }.into_any()
    }
}

/// A form that renames a thread: Enter saves, Escape cancels.
#[component]
fn Rename(id: ThreadId, title: Memo<String>, renaming: RwSignal<bool>, list: List) -> impl IntoView {
    let socket = use_socket();
    let input = NodeRef::<html::Input>::new();
    Effect::new(move |_| {
        if let Some(input) = input.get() {
            let _ = input.focus();
            input.select();
        }
    });
    let save = move || {
        // Removing the form causes a blur event, which would save again.
        if !renaming.get_untracked() {
            return;
        }
        renaming.set(false);
        let new_title = input.get_untracked().map(|input| input.value().trim().to_owned()).unwrap_or_default();
        if !new_title.is_empty() && new_title != title.get_untracked() {
            spawn_local(async move {
                let refusal = socket.send(RenameThread { thread_id: id, title: new_title }).await.err();
                list.error.try_set(refusal.map(|refusal| sentence(&refusal.message)));
            });
        }
    };
    let on_keydown = move |event: KeyboardEvent| {
        let Some(action) = key_action(&event, Lines::One) else { return };
        event.prevent_default();
        match action {
            KeyAction::Submit => save(),
            KeyAction::Cancel => renaming.set(false),
        }
        // The field is removed: focus the thread's link.
        request_animation_frame(move || {
            focus_on(&link_selector(id));
        });
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        save();
    };
    view! {
        <form class="rename" on:submit=submit>
            <input
                type="text"
                aria-label="Title"
                node_ref=input
                maxlength=limits::MAX_TITLE_CHARS.to_string()
                value=title.get_untracked()
                on:keydown=on_keydown
                on:blur=move |_| save()
            />
        </form>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{RunId, ThreadInfo};

    #[test]
    fn a_row_has_the_most_important_mark() {
        let mut thread = ThreadSummary::new(ThreadInfo::new(ThreadId::new(), "t", "a", 1), 1);
        assert_eq!(Mark::for_thread(&thread), None);
        thread.unread = true;
        assert_eq!(Mark::for_thread(&thread), Some(Mark::Unread));
        thread.failed = true;
        assert_eq!(Mark::for_thread(&thread), Some(Mark::Failed));
        thread.running.push(RunId::new());
        assert_eq!(Mark::for_thread(&thread), Some(Mark::Running));
        thread.asking.push(RunId::new());
        assert_eq!(Mark::for_thread(&thread), Some(Mark::Waiting));
    }
}
