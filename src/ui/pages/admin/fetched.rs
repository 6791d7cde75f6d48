//! Data that a part of the page fetches: its states of loading, loaded and failed.

use leptos::{prelude::*, task::spawn_local};
use serde::de::DeserializeOwned;

use crate::ui::{
    browser,
    components::icons::{Glyph, icon},
};

/// Data fetched from a URL. If the URL changes, responses from the old one are ignored.
pub(super) struct Fetched<T: Send + Sync + 'static> {
    path: Signal<String>,
    result: RwSignal<Option<Result<T, String>>>,
}

impl<T: Send + Sync + 'static> Clone for Fetched<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Fetched<T> {}

impl<T: DeserializeOwned + Clone + Send + Sync + 'static> Fetched<T> {
    pub(super) fn new(path: impl Fn() -> String + Send + Sync + 'static) -> Self {
        let fetched = Self { path: Signal::derive(path), result: RwSignal::new(None) };
        Effect::new(move |_| {
            fetched.path.track();
            fetched.reload();
        });
        fetched
    }

    /// Fetches the data again; the old data stays until it arrives.
    pub(super) fn reload(self) {
        let path = self.path.get_untracked();
        spawn_local(async move {
            let result = browser::get::<T>(&path).await;
            if self.path.try_get_untracked() == Some(path) {
                self.result.try_set(Some(result.map_err(|error| error.message())));
            }
        });
    }

    /// Fetches the next page and joins it to the data.
    pub(super) fn load_more(self, url: String, join: impl FnOnce(&mut T, T) + Send + 'static) {
        let path = self.path.get_untracked();
        spawn_local(async move {
            let result = browser::get::<T>(&url).await;
            if self.path.try_get_untracked() == Some(path) {
                self.result.try_update(|known| match (known, result) {
                    (Some(Ok(known)), Ok(more)) => join(known, more),
                    (known, result) => *known = Some(result.map_err(|error| error.message())),
                });
            }
        });
    }

    pub(super) fn view(self, ready: impl Fn(T) -> AnyView + Send + 'static) -> impl IntoView {
        move || match self.result.get() {
            None => {
                view! { <p class="quiet" role="status"><span class="spinner" aria-hidden="true"></span> " Loading"</p> }
                    .into_any()
            }
            Some(Err(error)) => view! {
                <div class="failure" role="alert">
                    {icon(Glyph::Warning)}
                    <p>{error}</p>
                    <button type="button" class="small-button" on:click=move |_| self.reload()>"Try again"</button>
                </div>
            }
            .into_any(),
            Some(Ok(data)) => ready(data),
        }
    }
}
