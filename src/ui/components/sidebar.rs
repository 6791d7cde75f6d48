//! The sidebar: threads by latest activity, which can be renamed and deleted. Older threads are loaded on demand; at most
//! [`MAX_ROWS`] are in the document at once.

use leptos::{
    ev::{KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
    task::spawn_local,
};
use leptos_router::{
    NavigateOptions,
    components::A,
    hooks::{use_location, use_navigate},
};

use super::{
    error_message::error_message,
    focus::{ComposerFocus, focus_on},
    icons::{Glyph, icon, logo},
    menu::Menu,
    roving::move_focus,
};
use crate::{
    protocol::{DeleteThread, RenameThread, ThreadId, http::ThreadPage, limits},
    socket::context::{Socket, use_socket},
    text::escape_invisible,
    thread::{FeedPlace, ThreadSummary, UserFeed},
    ui::{
        browser,
        format::sentence,
        keys::{KeyAction, Lines, key_action},
    },
};

/// How many threads are in the document at most.
const MAX_ROWS: usize = 200;
/// The number of threads by which a button moves the visible part of the list.
const STEP: usize = limits::FEED_PAGE as usize;
/// How many times a page of threads is requested while each is outdated when it arrives.
const MAX_ATTEMPTS: usize = 3;

/// The title of a thread without one.
const UNTITLED: &str = "New thread";

/// A thread's title for display.
pub(crate) fn display_title(title: &str) -> String {
    if title.trim().is_empty() { UNTITLED.into() } else { escape_invisible(title) }
}

/// The sidebar.
#[component]
pub(crate) fn Sidebar() -> impl IntoView {
    let feed = use_socket().feed();
    // The index of the first row in the feed.
    let first_row = RwSignal::new(0_usize);
    let ids = Memo::new(move |_| feed.with(|feed| row_ids(feed, first_row.get())));
    let has_older = Memo::new(move |_| {
        feed.with(|feed| feed.older.is_some() || feed.threads.len() > first_row.get().saturating_add(MAX_ROWS))
    });
    let error = RwSignal::new(None::<String>);
    load_when_behind();
    let focused = RwSignal::new(None::<ThreadId>);
    let tab_stop = tab_stop(ids, focused);
    let row = move |id: ThreadId| {
        let initial = feed.with_untracked(|feed| feed.thread(id).cloned())?;
        let thread = Memo::new(move |before: Option<&ThreadSummary>| {
            feed.with(|feed| feed.thread(id).cloned()).unwrap_or_else(|| before.unwrap_or(&initial).clone())
        });
        Some(view! { <Row id thread error tab_stop focused/> })
    };
    view! {
        <div class="sidebar-head">
            <A href="/" exact=true attr:class="brand">{logo()} <span>"Netra"</span></A>
            <A href="/" exact=true attr:class="button new-thread">{icon(Glyph::Plus)} "New thread"</A>
        </div>
        <nav class="threads" aria-label="Threads">
            <p id="threads-keys" hidden>"Use the up and down arrow keys to move between threads, and the right arrow key for a thread's actions."</p>
            {move || error.get().map(error_message)}
            <Show
                when=move || !ids.with(Vec::is_empty)
                fallback=|| view! { <p class="quiet">"Your threads will be listed here."</p> }
            >
                <Show when=move || { first_row.get() > 0 }>
                    <button type="button" class="small-button" on:click=move |_| first_row.update(|first| *first = first.saturating_sub(STEP))>
                        "Show newer threads"
                    </button>
                </Show>
                <ul aria-describedby="threads-keys" on:keydown=|event| move_focus(&event, ".thread-row", [".thread-link", ".menu-trigger"])>
                    <For each=move || ids.get() key=|id| *id children=row/>
                </ul>
                <Show when=move || has_older.get()>
                    <ShowOlderButton first_row error/>
                </Show>
            </Show>
        </nav>
    }
    .into_any()
}

/// The threads whose rows are in the document, from the index `first` on; the last ones if the feed became shorter than that.
fn row_ids(feed: &UserFeed, first: usize) -> Vec<ThreadId> {
    let first = first.min(feed.threads.len().saturating_sub(MAX_ROWS));
    feed.threads.iter().skip(first).take(MAX_ROWS).map(|thread| thread.info.id).collect()
}

/// The row in the tab order: the one focused last, else the open thread's, else the first.
fn tab_stop(ids: Memo<Vec<ThreadId>>, focused: RwSignal<Option<ThreadId>>) -> Memo<Option<ThreadId>> {
    let path = use_location().pathname;
    Memo::new(move |_| {
        let open = || path.with(|path| path.strip_prefix("/threads/").and_then(|id| id.parse::<ThreadId>().ok()));
        ids.with(|ids| {
            let has_row = |id: &ThreadId| ids.contains(id);
            focused.get().filter(has_row).or_else(|| open().filter(has_row)).or_else(|| ids.first().copied())
        })
    })
}

/// Loads a page of threads into the feed: the newest, or those older than a place.
async fn load(socket: Socket, older_than: Option<FeedPlace>) -> Result<(), String> {
    let path = older_than.map_or_else(|| "/api/threads".to_owned(), |place| format!("/api/threads?before={place}"));
    for _ in 0..MAX_ATTEMPTS {
        let page = browser::get::<ThreadPage>(&path).await.map_err(|error| error.message())?;
        if socket.add_threads(older_than, page).is_ok() {
            return Ok(());
        }
    }
    Err("Your threads changed while they were loading. Try again.".into())
}

/// Loads the newest threads whenever an entry arrives for a thread that is not loaded.
fn load_when_behind() {
    let socket = use_socket();
    let behind = socket.is_feed_behind();
    let loading = StoredValue::new(false);
    Effect::new(move |_| {
        if behind.get() && !loading.get_value() {
            loading.set_value(true);
            spawn_local(async move {
                // The page may be older than the entry that caused the request. A failure is not shown: the next entry causes
                // another request.
                for _ in 0..MAX_ATTEMPTS {
                    if load(socket, None).await.is_err() || behind.try_get_untracked() != Some(true) {
                        break;
                    }
                }
                loading.try_set_value(false);
            });
        }
    });
}

/// The button that shows older threads.
#[component]
fn ShowOlderButton(first_row: RwSignal<usize>, error: RwSignal<Option<String>>) -> impl IntoView {
    let socket = use_socket();
    let loading = RwSignal::new(false);
    let show_next = move || {
        let loaded = socket.feed().with_untracked(|feed| feed.threads.len());
        first_row.try_update(|first| *first = (*first + STEP).min(loaded.saturating_sub(MAX_ROWS)));
    };
    let show_older = move |_| {
        let (loaded, older) = socket.feed().with_untracked(|feed| (feed.threads.len(), feed.older));
        let Some(older) = older.filter(|_| loaded <= first_row.get_untracked() + MAX_ROWS) else { return show_next() };
        loading.set(true);
        spawn_local(async move {
            let result = load(socket, Some(older)).await;
            loading.try_set(false);
            match result {
                Ok(()) => show_next(),
                Err(message) => drop(error.try_set(Some(message))),
            }
        });
    };
    view! {
        <button type="button" class="small-button" disabled=move || loading.get() on:click=show_older>
            {move || if loading.get() { "Loading" } else { "Show older threads" }}
        </button>
    }
    .into_any()
}

/// A thread in the list: state, title and menu.
#[component]
fn Row(
    id: ThreadId,
    thread: Memo<ThreadSummary>,
    error: RwSignal<Option<String>>,
    tab_stop: Memo<Option<ThreadId>>,
    focused: RwSignal<Option<ThreadId>>,
) -> impl IntoView {
    let tabindex = move || if tab_stop.get() == Some(id) { "0" } else { "-1" };
    let renaming = RwSignal::new(false);
    let title = Memo::new(move |_| thread.with(|thread| display_title(&thread.info.title)));
    view! {
        <li class="thread-row" data-thread-id=id.to_string() on:focusin=move |_| focused.set(Some(id))>
            <Show
                when=move || renaming.get()
                fallback=move || {
                    view! {
                        <A
                            href=format!("/threads/{id}")
                            attr:class="thread-link"
                            attr:tabindex=tabindex
                        >
                            <span class="thread-title" dir="auto">{title}</span>
                            {move || thread.with(state_mark)}
                        </A>
                        <RowMenu id title renaming error/>
                    }
                }
            >
                <Rename id title renaming error/>
            </Show>
        </li>
    }
    .into_any()
}

/// A mark that a thread waits for an answer, runs, or has unread entries.
fn state_mark(thread: &ThreadSummary) -> Option<AnyView> {
    if !thread.asking.is_empty() {
        let label = "Waiting for you";
        return Some(
            view! { <span class="needs-answer" role="img" aria-label=label title=label>{icon(Glyph::Question)}</span> }
                .into_any(),
        );
    }
    match (!thread.running.is_empty(), thread.unread) {
        (true, _) => Some(view! { <span class="spinner" role="img" aria-label="Running"></span> }.into_any()),
        (false, true) => Some(view! { <span class="unread" role="img" aria-label="Unread"></span> }.into_any()),
        (false, false) => None,
    }
}

/// A selector of the link in a thread's row.
fn link_selector(id: ThreadId) -> String {
    format!("[data-thread-id=\"{id}\"] .thread-link")
}

/// The thread after this one in the feed, or before it if this is the last.
fn neighbour(feed: &UserFeed, id: ThreadId) -> Option<ThreadId> {
    let index = feed.threads.iter().position(|thread| thread.info.id == id)?;
    let neighbour = feed.threads.get(index + 1).or_else(|| feed.threads.get(index.checked_sub(1)?))?;
    Some(neighbour.info.id)
}

/// The menu of a thread: rename and delete.
#[component]
fn RowMenu(
    id: ThreadId,
    title: Memo<String>,
    renaming: RwSignal<bool>,
    error: RwSignal<Option<String>>,
) -> impl IntoView {
    let socket = use_socket();
    let composer_focus: ComposerFocus = expect_context();
    let navigate = StoredValue::new(use_navigate());
    let path = use_location().pathname;
    let open = RwSignal::new(false);
    let confirming = RwSignal::new(false);
    Effect::new(move |_| {
        if !open.get() {
            confirming.set(false);
        }
    });
    let delete = move |_| {
        if !confirming.get_untracked() {
            confirming.set(true);
            return;
        }
        open.set(false);
        if path.get_untracked() == format!("/threads/{id}") {
            composer_focus.request("/");
            navigate.with_value(|navigate| navigate("/", NavigateOptions::default()));
        } else if !socket
            .feed()
            .with_untracked(|feed| neighbour(feed, id))
            .is_some_and(|id| focus_on(&link_selector(id)))
        {
            focus_on(".new-thread");
        }
        spawn_local(async move {
            let refusal = socket.send(DeleteThread { thread_id: id }).await.err();
            error.try_set(refusal.map(|refusal| sentence(&refusal.message)));
        });
    };
    let rename = move |_| {
        open.set(false);
        renaming.set(true);
    };
    view! {
        <Menu
            label=Signal::derive(move || format!("Actions for {}", title.get()))
            button=|| icon(Glyph::More)
            class="row-menu"
            open
            tabindex="-1"
        >
            <button type="button" on:click=rename>"Rename"</button>
            <button type="button" class="danger" on:click=delete>
                {icon(Glyph::Trash)}
                {move || if confirming.get() { "Delete permanently?" } else { "Delete" }}
            </button>
        </Menu>
    }
    .into_any()
}

/// A form that renames a thread: Enter saves, Escape cancels.
#[component]
fn Rename(
    id: ThreadId,
    title: Memo<String>,
    renaming: RwSignal<bool>,
    error: RwSignal<Option<String>>,
) -> impl IntoView {
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
                error.try_set(refusal.map(|refusal| sentence(&refusal.message)));
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
