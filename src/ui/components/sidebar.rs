//! The threads, the one with the newest activity first; each can be renamed and deleted. The page begins with the newest, and
//! asks for older ones when the person does; however many there are, only [`MAX_ROWS`] are in the document at once.

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
    failure::failure,
    focus::{WritesNext, focus_on},
    icons::{Glyph, icon, mark},
    menu::Menu,
    roving::move_focus,
};
use crate::{
    protocol::{DeleteThread, RenameThread, ThreadId, http::ThreadPage, limits},
    socket::context::{Socket, use_socket},
    text::visible,
    thread::{FeedPlace, ThreadSummary, UserFeed},
    ui::{
        browser,
        format::sentence,
        keys::{KeyAction, Lines, key_action},
    },
};

/// How many threads are in the document at most.
const MAX_ROWS: usize = 200;
/// How many more are shown at once.
const STEP: usize = limits::FEED_PAGE as usize;
/// How often a page of threads is asked for that more happened since than the browser remembers.
const MAX_ATTEMPTS: usize = 3;

/// What a thread without a title is called.
pub(crate) const UNTITLED: &str = "New thread";

/// A thread's title, as lists and headings show it.
pub(crate) fn title_of(title: &str) -> String {
    if title.trim().is_empty() { UNTITLED.into() } else { visible(title) }
}

/// The sidebar.
#[component]
pub(crate) fn Sidebar() -> impl IntoView {
    let socket = use_socket();
    let feed = socket.feed();
    // The place in the feed of the first row.
    let first = RwSignal::new(0_usize);
    let ids = Memo::new(move |_| {
        let rows = |feed: &UserFeed| {
            // Threads may have been deleted meanwhile: the last rows are shown then.
            let from = first.get().min(feed.threads.len().saturating_sub(MAX_ROWS));
            feed.threads.iter().skip(from).take(MAX_ROWS).map(|thread| thread.info.id).collect::<Vec<_>>()
        };
        feed.with(rows)
    });
    let has_older = Memo::new(move |_| {
        feed.with(|feed| feed.older.is_some() || feed.threads.len() > first.get().saturating_add(MAX_ROWS))
    });
    let error = RwSignal::new(None::<String>);
    catch_up(socket);
    // The row that the Tab key stops at: the one that had the focus last, else the open thread, else the first.
    let focused = RwSignal::new(None::<ThreadId>);
    let path = use_location().pathname;
    let stop = Memo::new(move |_| {
        let open = || path.with(|path| path.strip_prefix("/threads/").and_then(|id| id.parse::<ThreadId>().ok()));
        ids.with(|ids| {
            let known = |id: &ThreadId| ids.contains(id);
            focused.get().filter(known).or_else(|| open().filter(known)).or_else(|| ids.first().copied())
        })
    });
    let row = move |id: ThreadId| {
        let first = feed.with_untracked(|feed| feed.thread(id).cloned())?;
        let thread = Memo::new(move |before: Option<&ThreadSummary>| {
            feed.with(|feed| feed.thread(id).cloned()).unwrap_or_else(|| before.unwrap_or(&first).clone())
        });
        Some(view! { <Row id thread error stop focused/> })
    };
    view! {
        <div class="sidebar-head">
            <A href="/" exact=true attr:class="brand">{mark()} <span>"Netra"</span></A>
            <A href="/" exact=true attr:class="button new-thread">{icon(Glyph::Plus)} "New thread"</A>
        </div>
        <nav class="threads" aria-label="Threads">
            <p id="threads-keys" hidden>"Arrow keys move through the threads; to the right is what can be done with one."</p>
            {move || error.get().map(failure)}
            <Show
                when=move || !ids.with(Vec::is_empty)
                fallback=|| view! { <p class="quiet">"Your threads will be listed here."</p> }
            >
                <Show when=move || { first.get() > 0 }>
                    <button type="button" class="small-button" on:click=move |_| first.update(|first| *first = first.saturating_sub(STEP))>
                        "Show newer threads"
                    </button>
                </Show>
                <ul aria-describedby="threads-keys" on:keydown=|event| move_focus(&event, ".thread-row", [".thread-link", ".menu-trigger"])>
                    <For each=move || ids.get() key=|id| *id children=row/>
                </ul>
                <Show when=move || has_older.get()>
                    <Older first error/>
                </Show>
            </Show>
        </nav>
    }
    .into_any()
}

/// Asks for threads: the newest, or those after a place. The browser has them in its feed then.
async fn load(socket: Socket, after: Option<FeedPlace>) -> Result<(), String> {
    let path = after.map_or_else(|| "/api/threads".to_owned(), |after| format!("/api/threads?before={after}"));
    for _ in 0..MAX_ATTEMPTS {
        let page = browser::get::<ThreadPage>(&path).await.map_err(|error| error.message())?;
        if socket.add_threads(after, page).is_ok() {
            return Ok(());
        }
    }
    Err("Your threads change faster than they can be loaded. Try again.".into())
}

/// Asks for the newest threads whenever something happened in one that is not here.
fn catch_up(socket: Socket) {
    let behind = socket.is_feed_behind();
    let loading = StoredValue::new(false);
    Effect::new(move |_| {
        if behind.get() && !loading.get_value() {
            loading.set_value(true);
            spawn_local(async move {
                // A failure changes nothing that is shown: the next entry of such a thread asks again. So does a page that
                // was made before what it was asked for.
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
fn Older(first: RwSignal<usize>, error: RwSignal<Option<String>>) -> impl IntoView {
    let socket = use_socket();
    let loading = RwSignal::new(false);
    // The last rows that are here, where they are more than the document holds.
    let show_last = move || {
        let here = socket.feed().with_untracked(|feed| feed.threads.len());
        first.try_update(|first| *first = (*first + STEP).min(here.saturating_sub(MAX_ROWS)));
    };
    let older = move |_| {
        let (here, after) = socket.feed().with_untracked(|feed| (feed.threads.len(), feed.older));
        let Some(after) = after.filter(|_| here <= first.get_untracked() + MAX_ROWS) else { return show_last() };
        loading.set(true);
        spawn_local(async move {
            let loaded = load(socket, Some(after)).await;
            loading.try_set(false);
            match loaded {
                Ok(()) => show_last(),
                Err(why) => drop(error.try_set(Some(why))),
            }
        });
    };
    view! {
        <button type="button" class="small-button" disabled=move || loading.get() on:click=older>
            {move || if loading.get() { "Loading" } else { "Show older threads" }}
        </button>
    }
    .into_any()
}

/// A thread in the list.
#[component]
fn Row(
    id: ThreadId,
    thread: Memo<ThreadSummary>,
    error: RwSignal<Option<String>>,
    stop: Memo<Option<ThreadId>>,
    focused: RwSignal<Option<ThreadId>>,
) -> impl IntoView {
    let tabindex = move || if stop.get() == Some(id) { "0" } else { "-1" };
    let renaming = RwSignal::new(false);
    let title = Memo::new(move |_| thread.with(|thread| title_of(&thread.info.title)));
    let mark = move || {
        let (asking, running, unread) =
            thread.with(|thread| (!thread.asking.is_empty(), !thread.running.is_empty(), thread.unread));
        match (running, unread) {
            _ if asking => {
                let label = "Waits for you";
                Some(view! { <span class="asking" role="img" aria-label=label title=label>{icon(Glyph::Question)}</span> }.into_any())
            }
            (true, _) => Some(view! { <span class="spinner" role="img" aria-label="Running"></span> }.into_any()),
            (false, true) => Some(view! { <span class="unread" role="img" aria-label="Unread"></span> }.into_any()),
            _ => None,
        }
    };
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
                            {mark}
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

/// A selector of the link to a thread.
fn link(id: ThreadId) -> String {
    format!("[data-thread-id=\"{id}\"] .thread-link")
}

/// The thread below one in the list, or the one above the last.
fn beside(feed: &UserFeed, id: ThreadId) -> Option<ThreadId> {
    let at = feed.threads.iter().position(|thread| thread.info.id == id)?;
    let beside = feed.threads.get(at + 1).or_else(|| feed.threads.get(at.checked_sub(1)?))?;
    Some(beside.info.id)
}

/// What can be done with a thread.
#[component]
fn RowMenu(
    id: ThreadId,
    title: Memo<String>,
    renaming: RwSignal<bool>,
    error: RwSignal<Option<String>>,
) -> impl IntoView {
    let socket = use_socket();
    let next: WritesNext = expect_context();
    let navigate = StoredValue::new(use_navigate());
    let here = use_location().pathname;
    let open = RwSignal::new(false);
    let sure = RwSignal::new(false);
    Effect::new(move |_| {
        if !open.get() {
            sure.set(false);
        }
    });
    let delete = move |_| {
        if !sure.get_untracked() {
            sure.set(true);
            return;
        }
        open.set(false);
        if here.get_untracked() == format!("/threads/{id}") {
            next.at("/");
            navigate.with_value(|navigate| navigate("/", NavigateOptions::default()));
        } else if !socket.feed().with_untracked(|feed| beside(feed, id)).is_some_and(|row| focus_on(&link(row))) {
            focus_on(".new-thread");
        }
        spawn_local(async move {
            let refused = socket.send(DeleteThread { thread_id: id }).await.err();
            error.try_set(refused.map(|refused| sentence(&refused.message)));
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
                {move || if sure.get() { "Delete for good?" } else { "Delete" }}
            </button>
        </Menu>
    }
    .into_any()
}

/// A thread's title, being changed: Enter keeps it, Escape does not.
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
    let keep = move || {
        // A blur follows the end of the form: once is enough.
        if !renaming.get_untracked() {
            return;
        }
        renaming.set(false);
        let new = input.get_untracked().map(|input| input.value().trim().to_owned()).unwrap_or_default();
        if !new.is_empty() && new != title.get_untracked() {
            spawn_local(async move {
                let refused = socket.send(RenameThread { thread_id: id, title: new }).await.err();
                error.try_set(refused.map(|refused| sentence(&refused.message)));
            });
        }
    };
    let key = move |event: KeyboardEvent| {
        let Some(asked) = key_action(&event, Lines::One) else { return };
        event.prevent_default();
        match asked {
            KeyAction::Send => keep(),
            KeyAction::Cancel => renaming.set(false),
        }
        // The field goes; who ended by key is at the thread again.
        request_animation_frame(move || {
            focus_on(&link(id));
        });
    };
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        keep();
    };
    view! {
        <form class="rename" on:submit=submit>
            <input
                type="text"
                aria-label="Title"
                node_ref=input
                maxlength=limits::MAX_TITLE_CHARS.to_string()
                value=title.get_untracked()
                on:keydown=key
                on:blur=move |_| keep()
            />
        </form>
    }
    .into_any()
}
