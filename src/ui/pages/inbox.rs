//! The inbox: the questions of all threads that wait for the user, answered in place. One that is answered, here or elsewhere, leaves
//! the list.

use leptos::{prelude::*, task::spawn_local};
use leptos_meta::Title;
use leptos_router::components::A;

use crate::{
    protocol::{
        RunId,
        http::{InboxItem, InboxPage},
    },
    socket::context::use_socket,
    ui::{
        browser,
        components::{
            clock::Timestamp,
            error_message::error_message,
            focus::{FocusKeeper, focus_on},
            interrupts::{INTERRUPTS, InterruptedRun},
            run_tree::PtrEq,
            sidebar::{Deletions, display_title},
        },
        context::AppContext,
        part::part,
    },
};

part!(
    /// The page of questions that wait for the user.
    pub(crate) INBOX_PAGE, inbox, |(): ()| view! { <Inbox/> }.into_any()
);

/// The questions that are loaded.
#[derive(Clone, Copy)]
struct Questions {
    items: RwSignal<Vec<InboxItem>>,
    /// The `before` of the next page.
    older: RwSignal<Option<String>>,
    loading: RwSignal<bool>,
    error: RwSignal<Option<String>>,
    /// The runs whose answers were accepted here. The feed may lack their threads.
    accepted: RwSignal<Vec<RunId>>,
    /// The number of the newest request: responses to earlier ones are ignored.
    newest: StoredValue<u32>,
}

impl Questions {
    fn new() -> Self {
        Self {
            items: RwSignal::new(Vec::new()),
            older: RwSignal::new(None),
            loading: RwSignal::new(true),
            error: RwSignal::new(None),
            accepted: RwSignal::new(Vec::new()),
            newest: StoredValue::new(0),
        }
    }

    /// Loads the first page, or the one after a place.
    fn load(self, before: Option<String>) {
        let number = self.newest.try_update_value(|newest| {
            *newest += 1;
            *newest
        });
        self.loading.set(true);
        self.error.set(None);
        let path = match &before {
            Some(place) => format!("/api/inbox?before={}", browser::encode(place)),
            None => "/api/inbox".to_owned(),
        };
        spawn_local(async move {
            let page = browser::get::<InboxPage>(&path).await;
            if self.newest.try_get_value() != number {
                return;
            }
            self.loading.try_set(false);
            match page {
                Ok(page) => self.add(page, before.is_none()),
                Err(error) => drop(self.error.try_set(Some(error.message()))),
            }
        });
    }

    /// Adds a page. The first page replaces what it covers; what was loaded beyond it stays.
    fn add(self, page: InboxPage, is_first: bool) {
        let InboxPage { items, older } = page;
        let has_more = self.items.try_update(|known| merge(known, items, is_first && older.is_none(), is_first));
        if has_more == Some(false) {
            self.older.try_set(older);
        }
    }
}

/// Adds a page to the known questions, latest first; returns whether some of them come after a first page. `is_whole`: there are no
/// others.
fn merge(known: &mut Vec<InboxItem>, page: Vec<InboxItem>, is_whole: bool, is_first: bool) -> bool {
    let place = |item: &InboxItem| (item.asked_at, item.run.run_id);
    let end = page.last().map(place);
    let is_known = |item: &InboxItem| page.iter().any(|other| other.run.run_id == item.run.run_id);
    known.retain(|item| !is_known(item) && !is_whole && (!is_first || end.is_none_or(|end| place(item) < end)));
    let has_more = is_first && !known.is_empty();
    known.extend(page);
    known.sort_by_key(|item| std::cmp::Reverse(place(item)));
    has_more
}

/// The page.
#[component]
fn Inbox() -> impl IntoView {
    let feed = use_socket().feed();
    let deletions: Deletions = expect_context();
    let questions = Questions::new();
    // The page is loaded again when a run begins to wait, or no longer does.
    let waiting = Memo::new(move |_| {
        feed.with(|feed| feed.threads.iter().flat_map(|thread| thread.asking.iter().copied()).collect::<Vec<_>>())
    });
    Effect::new(move |_| {
        // Reads the value, as a memo that is only tracked is never computed.
        waiting.with(|_| ());
        questions.load(None);
    });
    let listed = Memo::new(move |_| {
        let is_open = |item: &&InboxItem| {
            let (thread, run) = (item.thread.id, item.run.run_id);
            let is_asking = feed.with(|feed| feed.thread(thread).is_none_or(|thread| thread.asking.contains(&run)));
            is_asking && !deletions.is_hidden(thread) && questions.accepted.with(|accepted| !accepted.contains(&run))
        };
        questions.items.with(|items| items.iter().filter(is_open).map(|item| item.run.run_id).collect::<Vec<_>>())
    });
    let focus = FocusKeeper::new(".inbox");
    Effect::new(move |_| {
        listed.track();
        request_animation_frame(move || {
            focus.restore_if_lost(|| {
                focus_on("#inbox");
            });
        });
    });
    let row = move |run: RunId| {
        let find = |items: &Vec<InboxItem>| items.iter().find(|item| item.run.run_id == run).cloned();
        questions.items.with_untracked(find).map(|item| view! { <Question item questions/> })
    };
    view! {
        <Title text="Inbox"/>
        <div class="scroller">
            <div class="page inbox" on:focusin=move |event| focus.on_focus_in(&event)>
                <h1 id="inbox" tabindex="-1">"Inbox"</h1>
                <p class="quiet">"Questions from agents that wait for your answer."</p>
                <ul><For each=move || listed.get() key=|id| *id children=row/></ul>
                <Ending questions listed/>
            </div>
        </div>
    }
    .into_any()
}

/// What is below the questions: that they are being loaded, that there are none, why loading failed, or a button that loads more.
#[component]
fn Ending(questions: Questions, listed: Memo<Vec<RunId>>) -> impl IntoView {
    let Questions { older, loading, error, .. } = questions;
    let is_empty = move || {
        !loading.get() && error.with(Option::is_none) && older.with(Option::is_none) && listed.with(Vec::is_empty)
    };
    view! {
        <div role="status">
            <Show when=move || loading.get() && listed.with(Vec::is_empty)>
                <p class="quiet"><span class="spinner" aria-hidden="true"></span> " Loading"</p>
            </Show>
            <Show when=is_empty><p>"Nothing is waiting for you."</p></Show>
        </div>
        {move || error.get().map(|error| view! {
            {error_message(error)}
            <button type="button" class="small-button" on:click=move |_| questions.load(None)>"Try again"</button>
        })}
        {move || older.get().filter(|_| !loading.get()).map(|place| view! {
            <button type="button" class="small-button" on:click=move |_| questions.load(Some(place.clone()))>"Show older questions"</button>
        })}
    }
    .into_any()
}

/// A run's questions, below the title of its thread.
#[component]
fn Question(item: InboxItem, questions: Questions) -> impl IntoView {
    let (app, feed): (AppContext, _) = (expect_context(), use_socket().feed());
    let InboxItem { thread, asked_at, run } = item;
    let (thread_id, run_id) = (thread.id, run.run_id);
    let agent = app.agent_name(&run.agent);
    let href = match run.message_id {
        Some(message) => format!("/threads/{thread_id}?m={message}"),
        None => format!("/threads/{thread_id}"),
    };
    let title = Memo::new(move |_| {
        feed.with(|feed| display_title(feed.thread(thread_id).map_or(&thread.title, |known| &known.info.title)))
    });
    let interrupts = run.interrupts().to_vec();
    let run = PtrEq(std::sync::Arc::new(run));
    let asking = InterruptedRun {
        thread_id: Some(thread_id),
        run: Memo::new(move |_| run.clone()),
        interrupts,
        on_send: Callback::new(|()| {}),
        on_accepted: Callback::new(move |()| questions.accepted.update(|accepted| accepted.push(run_id))),
    };
    view! {
        <li data-inbox-run=run_id.to_string()>
            <h2><A href=href><span dir="auto">{title}</span></A></h2>
            <p class="quiet">{agent} " · " <Timestamp at=asked_at/> {thread.archived.then_some(" · Archived")}</p>
            {INTERRUPTS.show(asking)}
        </li>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::{ThreadId, ThreadInfo},
        thread::RunView,
    };

    fn item(asked_at: i64) -> InboxItem {
        let thread = ThreadInfo::new(ThreadId::new(), "t", "a", 0);
        InboxItem { thread, asked_at, run: RunView::new(RunId::new(), "a", asked_at) }
    }

    fn times(items: &[InboxItem]) -> Vec<i64> {
        items.iter().map(|item| item.asked_at).collect()
    }

    #[test]
    fn the_first_page_replaces_what_it_covers_and_keeps_what_comes_after_it() {
        let [five, four, three, two] = [5, 4, 3, 2].map(item);
        let mut known = Vec::new();
        assert!(!merge(&mut known, vec![five.clone(), four.clone()], false, true));
        assert!(!merge(&mut known, vec![three.clone(), two.clone()], false, false));
        assert_eq!(times(&known), [5, 4, 3, 2]);
        let six = item(6);
        assert!(merge(&mut known, vec![six.clone(), four], false, true), "two are beyond the page");
        assert_eq!(times(&known), [6, 4, 3, 2], "5 was answered");
        assert!(!merge(&mut known, vec![six], true, true));
        assert_eq!(times(&known), [6], "the page is the whole inbox");
    }
}
