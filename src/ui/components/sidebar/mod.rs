//! The sidebar: pinned threads, then all others by the date of their latest activity. Older threads are loaded when the end of the list
//! comes near; at most [`MAX_ROWS`](lines::MAX_ROWS) are in the document at once.

mod deletion;
mod lines;
mod loading;
mod row;
mod row_menu;
mod search;
mod search_results;
mod selection;

use leptos::{html, prelude::*};
use leptos_router::{components::A, hooks::use_location};

pub(crate) use deletion::{Deletions, UndoNotice};

use super::{
    clock::use_clock,
    error_message::error_message,
    focus::{FocusKeeper, focus_on, is_focus_lost},
    icons::{Glyph, icon, logo},
    roving::move_focus,
    tags::{TagFilter, use_tag_filter, with_filter},
};
use crate::{
    protocol::{TagId, ThreadId},
    socket::context::use_socket,
    text::escape_invisible,
    thread::ThreadSummary,
};
use lines::{Line, Lines};
use loading::{LoadMore, Older, load_when_behind};
use row::Row;
use search::{Search, SearchField};
use search_results::SEARCH_RESULTS;
use selection::{Selection, SelectionBar};

/// The title of a thread without one.
const UNTITLED: &str = "New thread";

/// The largest number that the link to the inbox shows.
const MAX_COUNT: usize = 50;

/// A thread's title for display.
pub(crate) fn display_title(title: &str) -> String {
    if title.trim().is_empty() { UNTITLED.into() } else { escape_invisible(title) }
}

/// What the rows of the list share.
#[derive(Clone, Copy)]
struct List {
    lines: Memo<Lines>,
    /// The tag of the listed threads; `None`: any or none.
    filter: Memo<Option<TagId>>,
    /// Why an action on a thread failed.
    error: RwSignal<Option<String>>,
    /// The thread whose row had the focus last.
    focused: RwSignal<Option<ThreadId>>,
    /// The thread whose row is about to move in the list: the row is focused again at its new place.
    moving: StoredValue<Option<ThreadId>>,
    selection: Selection,
}

impl List {
    /// Before a thread leaves the list: focuses its neighbour, or the link for a new thread.
    fn focus_neighbour(self, id: ThreadId) {
        let neighbour = self.lines.with_untracked(|lines| lines.neighbour(id)).filter(|neighbour| *neighbour != id);
        if !neighbour.is_some_and(|id| focus_on(&link_selector(id))) {
            focus_on(".new-thread");
        }
    }
}

/// A selector of the link in a thread's row.
fn link_selector(id: ThreadId) -> String {
    format!("[data-thread-id=\"{id}\"] .thread-link")
}

/// The sidebar.
#[component]
pub(crate) fn Sidebar() -> impl IntoView {
    let search = Search::new();
    view! {
        <div class="sidebar-head">
            <A href="/" exact=true attr:class="brand">{logo()} <span>"Netra"</span></A>
            <A href="/" exact=true attr:class="button new-thread">{icon(Glyph::Plus)} "New thread"</A>
            <SearchField search/>
        </div>
        <ThreadList search/>
    }
    .into_any()
}

/// The list of threads.
#[component]
fn ThreadList(search: Search) -> impl IntoView {
    let feed = use_socket().feed();
    let clock = use_clock();
    let deletions: Deletions = expect_context();
    let first_row = RwSignal::new(0_usize);
    let today = Memo::new(move |_| clock.today());
    let filter = use_tag_filter();
    let lines = Memo::new(move |_| {
        let tag = filter.get();
        feed.with(|feed| deletions.hidden.with(|hidden| Lines::new(feed, (hidden, tag), first_row.get(), today.get())))
    });
    let list = List {
        lines,
        filter,
        error: RwSignal::new(None),
        focused: RwSignal::new(None),
        moving: StoredValue::new(None),
        selection: Selection::new(),
    };
    let area = NodeRef::<html::Nav>::new();
    let content = NodeRef::<html::Ul>::new();
    let older = Older::new(list, first_row, area, content);
    load_when_behind();
    let tab_stop = tab_stop(list);
    let focus = keep_focus(list);
    view! {
        <nav
            class="threads"
            aria-label="Threads"
            node_ref=area
            on:scroll=move |_| older.on_scroll()
            on:focusin=move |event| focus.on_focus_in(&event)
            on:keydown=move |event| list.selection.on_keydown(&event, list)
        >
            <TagFilter filter/>
            <Show when=move || search.is_active()>{SEARCH_RESULTS.show((search.query, filter))}</Show>
            <div class="thread-list" hidden=move || search.is_active()>
                <InboxLink/>
                <p id="threads-keys" hidden>"Use the up and down arrow keys to move between threads, and the right arrow key for a thread's actions."</p>
                {move || list.error.get().map(error_message)}
                <Show when=move || list.selection.is_active()><SelectionBar list/></Show>
                <Show
                    when=move || !lines.with(|lines| lines.lines.is_empty())
                    fallback=move || {
                        let text = if filter.get().is_some() { "No threads with this tag." } else { "Your threads will be listed here." };
                        view! { <p class="quiet">{text}</p> }
                    }
                >
                    <Show when=move || lines.with(|lines| lines.before > 0)>
                        <button type="button" class="small-button" on:click=move |_| older.show_newer()>"Show newer threads"</button>
                    </Show>
                    <ul node_ref=content aria-describedby="threads-keys" on:keydown=|event| move_focus(&event, ".thread-row", [".thread-link", ".menu-trigger"])>
                        <For
                            each=move || lines.with(|lines| lines.lines.clone())
                            key=Clone::clone
                            children=move |line| line_view(line, list, tab_stop)
                        />
                    </ul>
                    <LoadMore older/>
                </Show>
                <A href=move || with_filter("/archive", filter.get()) attr:class="page-link archive-link">{icon(Glyph::Archive)} "Archived"</A>
            </div>
        </nav>
    }
    .into_any()
}

/// The link to the inbox, with the number of runs that wait for the user.
#[component]
fn InboxLink() -> impl IntoView {
    let feed = use_socket().feed();
    let deletions: Deletions = expect_context();
    let waiting = Memo::new(move |_| {
        feed.with(|feed| {
            let listed = feed.threads.iter().filter(|thread| !deletions.is_hidden(thread.info.id));
            listed.map(|thread| thread.asking.len()).sum::<usize>()
        })
    });
    let count = move || {
        let waiting = waiting.get();
        // The page may lack further threads that wait.
        let shown = if waiting > MAX_COUNT { format!("{MAX_COUNT}+") } else { waiting.to_string() };
        (waiting > 0).then(|| view! { <span class="count">{shown} <span class="sr-only">" waiting"</span></span> })
    };
    view! { <A href="/inbox" attr:class="page-link">{icon(Glyph::Inbox)} "Inbox" {count}</A> }
}

/// The heading of a group, or the row of a thread.
fn line_view(line: Line, list: List, tab_stop: Memo<Option<ThreadId>>) -> AnyView {
    let feed = use_socket().feed();
    match line {
        Line::Heading(group) => view! { <li class="thread-group"><h2>{group.heading()}</h2></li> }.into_any(),
        Line::Thread(id) => {
            let initial = feed.with_untracked(|feed| feed.thread(id).cloned());
            let thread = initial.map(|initial| {
                Memo::new(move |before: Option<&ThreadSummary>| {
                    feed.with(|feed| feed.thread(id).cloned()).unwrap_or_else(|| before.unwrap_or(&initial).clone())
                })
            });
            thread.map(|thread| view! { <Row id thread list tab_stop/> }).into_any()
        }
    }
}

/// The row in the tab order: the one focused last, else the open thread's, else the first.
fn tab_stop(list: List) -> Memo<Option<ThreadId>> {
    let path = use_location().pathname;
    Memo::new(move |_| {
        let open = || path.with(|path| path.strip_prefix("/threads/").and_then(|id| id.parse::<ThreadId>().ok()));
        list.lines.with(|lines| {
            let has_row = |id: &ThreadId| lines.threads().any(|listed| listed == *id);
            list.focused.get().filter(has_row).or_else(|| open().filter(has_row)).or_else(|| lines.threads().next())
        })
    })
}

/// When the row with the focus moves or leaves the list: focuses it in its new place, or the row in the tab order.
fn keep_focus(list: List) -> FocusKeeper {
    let focus = FocusKeeper::new(".threads");
    Effect::new(move |_| {
        list.lines.track();
        request_animation_frame(move || {
            let moved = list.moving.try_update_value(Option::take).flatten().filter(|_| is_focus_lost());
            if moved.is_none_or(|id| !focus_on(&link_selector(id))) {
                focus.restore_if_lost(|| {
                    if !focus_on(".thread-link[tabindex=\"0\"]") {
                        focus_on(".new-thread");
                    }
                });
            }
        });
    });
    focus
}
