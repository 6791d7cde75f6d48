//! The search field above the list of threads. While it has a text, what was found takes the place of the list; that view is a part of the
//! page that is loaded when it is first shown.

use std::time::Duration;

use leptos::{
    ev::KeyboardEvent,
    html,
    leptos_dom::helpers::{TimeoutHandle, set_timeout_with_handle},
    prelude::*,
};

use crate::{protocol::limits, ui::keys::is_escape};

/// How long typing has to pause before a search starts.
const TYPING_PAUSE: Duration = Duration::from_millis(200);

/// The state of the search field.
#[derive(Clone, Copy)]
pub(super) struct Search {
    field: NodeRef<html::Input>,
    /// What is searched for, trimmed: the text of the field, when typing has paused.
    pub(super) query: RwSignal<String>,
    timeout: StoredValue<Option<TimeoutHandle>>,
}

impl Search {
    pub(super) fn new() -> Self {
        Self { field: NodeRef::new(), query: RwSignal::new(String::new()), timeout: StoredValue::new(None) }
    }

    pub(super) fn is_active(self) -> bool {
        !self.query.with(String::is_empty)
    }

    /// Empties the field and focuses it.
    fn clear(self) {
        self.stop_timeout();
        self.query.set(String::new());
        if let Some(field) = self.field.get_untracked() {
            field.set_value("");
            let _ = field.focus();
        }
    }

    fn stop_timeout(self) {
        if let Some(timeout) = self.timeout.try_update_value(Option::take).flatten() {
            timeout.clear();
        }
    }

    fn on_input(self) {
        self.stop_timeout();
        let text = self.field.get_untracked().map(|field| field.value().trim().to_owned()).unwrap_or_default();
        if text.is_empty() {
            return self.query.set(text);
        }
        let search = move || drop(self.query.try_set(text.clone()));
        self.timeout.set_value(set_timeout_with_handle(search, TYPING_PAUSE).ok());
    }
}

/// The search field.
#[component]
pub(super) fn SearchField(search: Search) -> impl IntoView {
    let on_keydown = move |event: KeyboardEvent| {
        let has_text = search.field.get_untracked().is_some_and(|field| !field.value().is_empty());
        if is_escape(&event) && has_text {
            event.prevent_default();
            // On a phone, Escape would also close the sidebar.
            event.stop_propagation();
            search.clear();
        }
    };
    view! {
        <div class="search" role="search">
            <input
                type="search"
                id="search-threads"
                aria-label="Search threads"
                placeholder="Search threads"
                autocomplete="off"
                maxlength=limits::MAX_SEARCH_CHARS.to_string()
                node_ref=search.field
                on:input=move |_| search.on_input()
                on:keydown=on_keydown
            />
        </div>
    }
    .into_any()
}
