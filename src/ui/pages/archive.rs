//! The page of archived threads, which can be opened, taken out of the archive and deleted.

use leptos::{prelude::*, task::spawn_local};
use leptos_meta::Title;
use leptos_router::components::A;

use crate::{
    protocol::{ArchiveThread, TagId, ThreadId, http::ThreadPage},
    socket::context::use_socket,
    thread::{FeedPlace, ThreadSummary},
    ui::{
        browser,
        components::{
            clock::Timestamp,
            error_message::error_message,
            focus::{focus_on, is_focus_lost},
            icons::{Glyph, icon},
            sidebar::{Deletions, display_title},
            tags::use_tag_filter,
        },
        format,
        part::part,
    },
};

part!(
    /// The page of archived threads.
    pub(crate) ARCHIVE_PAGE, archive, |(): ()| view! { <ArchivePage/> }.into_any()
);

/// The threads that are loaded.
#[derive(Clone, Copy)]
struct Archive {
    threads: RwSignal<Vec<ThreadSummary>>,
    /// The place after which further threads begin.
    older: RwSignal<Option<FeedPlace>>,
    loading: RwSignal<bool>,
    error: RwSignal<Option<String>>,
    /// The tag of the listed threads; `None`: any or none.
    filter: Memo<Option<TagId>>,
}

impl Archive {
    fn new() -> Self {
        let (threads, older, filter) = (RwSignal::new(Vec::new()), RwSignal::new(None), use_tag_filter());
        Self { threads, older, filter, loading: RwSignal::new(true), error: RwSignal::new(None) }
    }

    /// Loads the first page, or the one after a place.
    fn load(self, after: Option<FeedPlace>) {
        self.loading.set(true);
        self.error.set(None);
        let before = after.map(|place| format!("&before={place}")).unwrap_or_default();
        let filter = self.filter.get_untracked();
        let tag = filter.map(|tag| format!("&tag={tag}")).unwrap_or_default();
        let path = format!("/api/threads?archived=true{before}{tag}");
        spawn_local(async move {
            let page = browser::get::<ThreadPage>(&path).await;
            if self.filter.try_get_untracked() != Some(filter) {
                // Another tag was chosen meanwhile.
                return;
            }
            self.loading.try_set(false);
            match page {
                Ok(page) => {
                    self.older.try_set(page.older);
                    self.threads.try_update(|threads| {
                        if after.is_none() {
                            threads.clear();
                        }
                        threads.extend(page.threads);
                    });
                }
                Err(error) => drop(self.error.try_set(Some(error.message()))),
            }
        });
    }

    fn remove(self, id: ThreadId) {
        self.threads.try_update(|threads| threads.retain(|thread| thread.info.id != id));
        request_animation_frame(|| {
            if is_focus_lost() {
                focus_on("#archive");
            }
        });
    }
}

/// The page.
#[component]
fn ArchivePage() -> impl IntoView {
    let feed = use_socket().feed();
    let deletions: Deletions = expect_context();
    let archive = Archive::new();
    // The threads of the feed that were archived while the page was open.
    let archived = Memo::new(move |_| {
        feed.with(|feed| {
            let archived = feed.threads.iter().filter(|thread| thread.info.archived);
            archived.map(|thread| thread.info.id).collect::<Vec<_>>()
        })
    });
    Effect::new(move |_| {
        // Reads the value, as a memo that is only tracked is never computed.
        archived.with(|_| ());
        archive.filter.track();
        archive.load(None);
    });
    let listed = Memo::new(move |_| {
        let is_listed = |id: &ThreadId| {
            !deletions.is_hidden(*id) && feed.with(|feed| feed.thread(*id).is_none_or(|thread| thread.info.archived))
        };
        archive
            .threads
            .with(|threads| threads.iter().map(|thread| thread.info.id).filter(is_listed).collect::<Vec<_>>())
    });
    let row = move |id: ThreadId| {
        let thread =
            archive.threads.with_untracked(|threads| threads.iter().find(|thread| thread.info.id == id).cloned());
        thread.map(|thread| view! { <ArchivedThread thread archive/> })
    };
    view! {
        <Title text="Archived threads"/>
        <div class="scroller">
            <div class="page archive">
                <h1 id="archive" tabindex="-1">"Archived threads"</h1>
                <ul><For each=move || listed.get() key=|id| *id children=row/></ul>
                <div role="status">
                    <Show when=move || archive.loading.get()>
                        <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Loading"</p>
                    </Show>
                    <Show when=move || !archive.loading.get() && archive.error.with(Option::is_none) && listed.with(Vec::is_empty)>
                        <p class="quiet">"No archived threads."</p>
                    </Show>
                </div>
                {move || archive.error.get().map(|error| view! {
                    {error_message(error)}
                    <button type="button" class="small-button" on:click=move |_| archive.load(None)>"Try again"</button>
                })}
                {move || archive.older.get().filter(|_| !archive.loading.get()).map(|older| view! {
                    <button type="button" class="small-button" on:click=move |_| archive.load(Some(older))>"Show older threads"</button>
                })}
            </div>
        </div>
    }
    .into_any()
}

/// An archived thread.
#[component]
fn ArchivedThread(thread: ThreadSummary, archive: Archive) -> impl IntoView {
    let socket = use_socket();
    let deletions: Deletions = expect_context();
    let (id, title) = (thread.info.id, display_title(&thread.info.title));
    let (unarchive_label, delete_label) = (format!("Unarchive {title}"), format!("Delete {title}"));
    let busy = RwSignal::new(false);
    let unarchive = move |_| {
        if busy.get_untracked() {
            return;
        }
        busy.set(true);
        spawn_local(async move {
            match socket.send(ArchiveThread { thread_id: id, archived: false }).await {
                Ok(_) => archive.remove(id),
                Err(refusal) => drop(archive.error.try_set(Some(format::error_message(&refusal)))),
            }
            busy.try_set(false);
        });
    };
    let label = format!("“{title}”");
    let delete = move |_| {
        deletions.delete(vec![id], label.clone(), None);
        focus_on("#archive");
    };
    view! {
        <li>
            <A href=format!("/threads/{id}")><span class="thread-title" dir="auto">{title.clone()}</span></A>
            <span class="quiet"><Timestamp at=thread.active_at/></span>
            <button type="button" class="small-button" aria-label=unarchive_label aria-disabled=move || busy.get().to_string() on:click=unarchive>
                "Unarchive"
            </button>
            <button type="button" class="icon-button" aria-label=delete_label title="Delete" on:click=delete>{icon(Glyph::Trash)}</button>
        </li>
    }
    .into_any()
}
