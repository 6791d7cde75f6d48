//! What a search found: threads by title, messages and answers, each a link to its place.

use leptos::{prelude::*, task::spawn_local};
use leptos_router::components::A;

use super::{
    super::{clock::Timestamp, error_message::error_message},
    display_title,
};
use crate::{
    protocol::{
        TagId,
        http::{SearchHit, SearchHitKind, SearchPage},
    },
    text::escape_invisible,
    ui::{browser, part::part},
};

/// How many hits are in the document at most; a longer query finds fewer.
const MAX_HITS: usize = 200;

part!(
    /// What a search for this query found.
    pub(super) SEARCH_RESULTS, search, |search: (RwSignal<String>, Memo<Option<TagId>>)| view! { <SearchResults search/> }.into_any()
);

/// The state of the current search.
#[derive(Clone, Copy)]
struct Results {
    query: RwSignal<String>,
    /// The tag of the threads that are searched.
    tag: Memo<Option<TagId>>,
    hits: RwSignal<Vec<SearchHit>>,
    /// The `after` of the next page.
    next: RwSignal<Option<String>>,
    loading: RwSignal<bool>,
    error: RwSignal<Option<String>>,
    /// The number of the newest request: responses to earlier ones are ignored.
    newest: StoredValue<u32>,
}

impl Results {
    /// Searches for the query, from the start or from the next page on.
    fn load(self, after: Option<String>) {
        let number = self.newest.try_update_value(|newest| {
            *newest += 1;
            *newest
        });
        let query = self.query.get_untracked();
        if query.is_empty() {
            return;
        }
        self.loading.set(true);
        self.error.set(None);
        let after_parameter = after.as_ref().map(|after| format!("&after={}", browser::encode(after)));
        let tag_parameter = self.tag.get_untracked().map(|tag| format!("&tag={tag}"));
        let parameters = format!(
            "q={}{}{}",
            browser::encode(&query),
            after_parameter.unwrap_or_default(),
            tag_parameter.unwrap_or_default()
        );
        spawn_local(async move {
            let page = browser::get::<SearchPage>(&format!("/api/search?{parameters}")).await;
            if self.newest.try_get_value() != number {
                return;
            }
            self.loading.try_set(false);
            match page {
                Ok(page) => {
                    self.hits.try_update(|hits| {
                        if after.is_none() {
                            hits.clear();
                        }
                        hits.extend(page.hits);
                        hits.truncate(MAX_HITS);
                    });
                    self.next.try_set(page.next);
                }
                Err(error) => drop(self.error.try_set(Some(error.message()))),
            }
        });
    }

    fn can_load_more(self) -> Option<String> {
        let is_full = self.hits.with(|hits| hits.len() >= MAX_HITS);
        self.next.get().filter(|_| !is_full && !self.loading.get() && self.error.with(Option::is_none))
    }

    /// What the live region says.
    fn status(self) -> Option<String> {
        if self.loading.get() || self.error.with(Option::is_some) {
            return None;
        }
        let (count, has_more) = (self.hits.with(Vec::len), self.next.with(Option::is_some));
        Some(match (count, has_more) {
            (0, _) => "Nothing found.".into(),
            (1, false) => "1 result".into(),
            (_, false) => format!("{count} results"),
            (_, true) => format!("The first {count} results"),
        })
    }
}

/// What was found.
#[component]
fn SearchResults(search: (RwSignal<String>, Memo<Option<TagId>>)) -> impl IntoView {
    let (query, tag) = search;
    let results = Results {
        query,
        tag,
        hits: RwSignal::new(Vec::new()),
        next: RwSignal::new(None),
        loading: RwSignal::new(true),
        error: RwSignal::new(None),
        newest: StoredValue::new(0),
    };
    Effect::new(move |_| {
        query.track();
        tag.track();
        results.load(None);
    });
    view! {
        <section class="search-results" aria-label="Search results">
            <div role="status">
                <Show when=move || results.loading.get()>
                    <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Searching"</p>
                </Show>
                {move || results.status().map(|text| view! { <p class="quiet">{text}</p> })}
            </div>
            {move || results.error.get().map(|error| view! {
                {error_message(error)}
                <button type="button" class="small-button" on:click=move |_| results.load(None)>"Try again"</button>
            })}
            <Show when=move || results.error.with(Option::is_none)>
                <ul>{move || results.hits.get().into_iter().map(hit).collect_view()}</ul>
            </Show>
            {move || results.can_load_more().map(|next| view! {
                <button type="button" class="small-button" on:click=move |_| results.load(Some(next.clone()))>"Show more results"</button>
            })}
        </section>
    }
    .into_any()
}

/// A link to what was found. The matched parts of its text are marked.
fn hit(hit: SearchHit) -> impl IntoView {
    let address = match hit.message_id {
        Some(message) => format!("/threads/{}?m={message}", hit.thread_id),
        None => format!("/threads/{}", hit.thread_id),
    };
    let kind = match hit.kind {
        SearchHitKind::Title => "Thread",
        SearchHitKind::Message => "Message",
        SearchHitKind::Answer => "Answer",
    };
    let parts = hit.excerpt.into_iter().map(|part| {
        let text = escape_invisible(&part.text);
        if part.matched { view! { <mark>{text}</mark> }.into_any() } else { text.into_any() }
    });
    let excerpt = parts.collect_view();
    let title = (hit.kind != SearchHitKind::Title)
        .then(|| view! { <span class="search-title" dir="auto">{display_title(&hit.title)}</span> });
    view! {
        <li>
            <A href=address attr:class="search-hit">
                {title}
                <span class="search-excerpt" dir="auto">{excerpt}</span>
                <span class="search-about">{kind} " · " <Timestamp at=hit.at/></span>
            </A>
        </li>
    }
}
