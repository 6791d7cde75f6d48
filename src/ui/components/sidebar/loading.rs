//! Loads threads that the page lacks: older ones when the end of the list comes near, and the newest after a change of a thread that is
//! not loaded.

use leptos::{html, prelude::*, task::spawn_local};

use super::{super::error_message::error_message, List};
use crate::{
    protocol::{TagId, http::ThreadPage, limits},
    socket::context::{Socket, use_socket},
    thread::FeedPlace,
    ui::{browser, layout::Anchor},
};

/// The number of threads by which the visible part of the list moves.
const STEP: usize = limits::FEED_PAGE as usize;
/// How many times a page of threads is requested while each is outdated when it arrives.
const MAX_ATTEMPTS: usize = 3;
/// How near an end of the list has to be for more threads to be shown, in pixels.
const NEAR_END: i32 = 600;

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

/// Loads a page of threads with a tag into the feed; returns the place after which older ones begin.
async fn load_tagged(socket: Socket, tag: TagId, older_than: Option<FeedPlace>) -> Result<Option<FeedPlace>, String> {
    let before = older_than.map(|place| format!("&before={place}")).unwrap_or_default();
    for _ in 0..MAX_ATTEMPTS {
        let page = browser::get::<ThreadPage>(&format!("/api/threads?tag={tag}{before}")).await;
        let page = page.map_err(|error| error.message())?;
        let older = page.older;
        if socket.add_further_threads(page).is_ok() {
            return Ok(older);
        }
    }
    Err("Your threads changed while they were loading. Try again.".into())
}

/// Loads the newest threads whenever the feed lacks a thread that should be in the list.
pub(super) fn load_when_behind() {
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

/// Moves the visible part of the list, and loads older threads.
#[derive(Clone, Copy)]
pub(super) struct Older {
    socket: Socket,
    list: List,
    /// The place after which older threads with the tag of the filter begin; `None`: all are loaded.
    older_tagged: RwSignal<Option<FeedPlace>>,
    /// The index of the first row among the listed threads.
    first_row: RwSignal<usize>,
    area: NodeRef<html::Nav>,
    content: NodeRef<html::Ul>,
    loading: RwSignal<bool>,
    /// Why loading failed. Until the button is pressed, it is not tried again.
    error: RwSignal<Option<String>>,
}

impl Older {
    pub(super) fn new(
        list: List,
        first_row: RwSignal<usize>,
        area: NodeRef<html::Nav>,
        content: NodeRef<html::Ul>,
    ) -> Self {
        let (loading, error) = (RwSignal::new(false), RwSignal::new(None));
        let older_tagged = RwSignal::new(None);
        let older = Self { socket: use_socket(), list, older_tagged, first_row, area, content, loading, error };
        Effect::new(move |_| {
            let tag = list.filter.get();
            older_tagged.set(None);
            first_row.set(0);
            error.set(None);
            if let Some(tag) = tag {
                older.load_tagged(tag, None);
            }
        });
        // What was loaded may end near the visible part, too.
        Effect::new(move |_| {
            list.lines.track();
            request_animation_frame(move || older.on_scroll());
        });
        older
    }

    fn has_older(self) -> bool {
        let is_unloaded = match self.list.filter.get() {
            Some(_) => self.older_tagged.with(Option::is_some),
            None => self.socket.feed().with(|feed| feed.older.is_some()),
        };
        is_unloaded || self.list.lines.with(|lines| lines.after > 0)
    }

    /// Loads threads with a tag: the newest, or those after a place.
    fn load_tagged(self, tag: TagId, older_than: Option<FeedPlace>) {
        self.loading.set(true);
        self.error.set(None);
        spawn_local(async move {
            let result = load_tagged(self.socket, tag, older_than).await;
            // The person may have chosen another tag meanwhile.
            if self.list.filter.try_get_untracked() == Some(Some(tag)) {
                match result {
                    Ok(older) => drop(self.older_tagged.try_set(older)),
                    Err(error) => drop(self.error.try_set(Some(error))),
                }
            }
            self.loading.try_set(false);
        });
    }

    /// Shows more threads if an end of the list is near.
    pub(super) fn on_scroll(self) {
        let boxes = (self.area.try_get_untracked().flatten(), self.content.try_get_untracked().flatten());
        let (Some(area), Some(content)) = boxes else { return };
        // A list that is hidden has no end to be near to.
        if content.client_height() == 0 || self.loading.get_untracked() || self.error.with_untracked(Option::is_some) {
            return;
        }
        let below = area.scroll_height() - area.scroll_top() - area.client_height();
        // Nothing more is loaded before the person scrolls, unless the list is too short to scroll.
        let can_scroll = area.scroll_height() > area.client_height();
        if below < NEAR_END && (area.scroll_top() > 0 || !can_scroll) {
            self.show_older();
        } else if area.scroll_top() < NEAR_END && self.list.lines.with_untracked(|lines| lines.before > 0) {
            self.show_newer();
        }
    }

    /// Moves the visible part of the list by one step towards the newest thread.
    pub(super) fn show_newer(self) {
        let before = self.list.lines.with_untracked(|lines| lines.before);
        self.set_first_row(before.saturating_sub(STEP));
    }

    /// Shows older threads; loads them if necessary.
    fn show_older(self) {
        let (before, after) = self.list.lines.with_untracked(|lines| (lines.before, lines.after));
        if after > 0 {
            return self.set_first_row(before + STEP.min(after));
        }
        if let Some(tag) = self.list.filter.get_untracked() {
            let older = self.older_tagged.get_untracked();
            return if older.is_some() {
                self.load_tagged(tag, older)
            };
        }
        let Some(older) = self.socket.feed().with_untracked(|feed| feed.older) else { return };
        self.loading.set(true);
        self.error.set(None);
        spawn_local(async move {
            let result = load(self.socket, Some(older)).await;
            self.loading.try_set(false);
            self.error.try_set(result.err());
        });
    }

    /// Changes which rows are in the document; those that stay keep their place on the screen.
    fn set_first_row(self, first: usize) {
        let boxes = (self.area.try_get_untracked().flatten(), self.content.try_get_untracked().flatten());
        let (Some(area), Some(content)) = boxes else { return self.first_row.set(first) };
        let anchor = Anchor::capture(&area, &content);
        self.first_row.set(first);
        request_animation_frame(move || anchor.restore(&area));
    }
}

/// The end of the list: whether more threads are loading, or why they could not be loaded, and a button that loads them.
#[component]
pub(super) fn LoadMore(older: Older) -> impl IntoView {
    view! {
        {move || older.error.get().map(error_message)}
        <Show when=move || older.has_older()>
            <button type="button" class="small-button" aria-disabled=move || older.loading.get().to_string() on:click=move |_| {
                if !older.loading.get_untracked() {
                    older.show_older();
                }
            }>
                {move || if older.loading.get() { "Loading" } else { "Show older threads" }}
            </button>
        </Show>
    }
    .into_any()
}
