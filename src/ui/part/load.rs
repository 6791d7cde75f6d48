//! Loading parts in the browser.

use std::{future::Future, pin::Pin, sync::OnceLock, time::Duration};

use leptos::{prelude::*, task::spawn_local};

use crate::ui::{
    browser,
    components::icons::{Glyph, icon},
};

pub(crate) use leptos::wasm_split::SplitLoaderError as LoadError;

type Loading<T> = Pin<Box<dyn Future<Output = Result<T, LoadError>>>>;
/// Loads a part and returns its view.
type Load<I> = fn() -> Loading<fn(I) -> AnyView>;

/// How long a part may take to load before a message says that it is slow.
const SLOW_LOAD_TIMEOUT: Duration = Duration::from_secs(15);

/// A part of the page. `I` is the input of its view.
pub(crate) struct Part<I: 'static> {
    name: &'static str,
    load: Load<I>,
    /// The part's view, once loaded.
    view: OnceLock<fn(I) -> AnyView>,
}

/// A [`Part`] of any input.
pub(crate) trait Loadable: Sync {
    /// The value of `data-part`.
    fn name(&self) -> &'static str;
    /// Loads the part unless it is loaded. After a failure, another call tries again.
    fn load(&'static self) -> Loading<()>;
}

impl<I> Loadable for Part<I> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn load(&'static self) -> Loading<()> {
        Box::pin(async {
            if self.view.get().is_none() {
                let view = (self.load)().await?;
                self.view.get_or_init(|| view);
            }
            Ok(())
        })
    }
}

impl<I: Clone + Send + 'static> Part<I> {
    pub(crate) const fn new(name: &'static str, load: Load<I>) -> Self {
        Self { name, load, view: OnceLock::new() }
    }

    /// The part's view, or while it is loading, a note that it is.
    pub(crate) fn show(&'static self, input: I) -> AnyView {
        let content = match self.view.get() {
            Some(view) => view(input),
            None => {
                let state = load_to_show(self);
                let view = move || self.view.get().filter(|_| state.get() == State::Loaded);
                (move || view().map_or_else(|| placeholder(self, state), |view| view(input.clone()))).into_any()
            }
        };
        view! { <div class="part" data-part=self.name>{content}</div> }.into_any()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Loading,
    /// Loading takes long. The part is shown when it is loaded after all.
    Slow,
    Failed,
    Loaded,
}

/// Starts loading a part. The state follows.
fn load_to_show(part: &'static dyn Loadable) -> RwSignal<State> {
    let state = RwSignal::new(State::Loading);
    start(part, state, false);
    state
}

/// Loads a part. If this fails `again` although the server answers, reloads the page: the server has another build.
fn start(part: &'static dyn Loadable, state: RwSignal<State>, again: bool) {
    state.set(State::Loading);
    let report_slow = move || {
        if state.try_get_untracked() == Some(State::Loading) {
            state.try_set(State::Slow);
        }
    };
    set_timeout(report_slow, SLOW_LOAD_TIMEOUT);
    spawn_local(async move {
        if part.load().await.is_ok() {
            state.try_set(State::Loaded);
        } else if again && browser::is_server_reachable().await {
            browser::reload();
        } else {
            state.try_set(State::Failed);
        }
    });
}

/// What is shown in place of a part that is not loaded.
fn placeholder(part: &'static dyn Loadable, state: RwSignal<State>) -> AnyView {
    match state.get() {
        State::Loading | State::Loaded => {
            view! { <p class="quiet centred" role="status"><span class="spinner" aria-hidden="true"></span> " Loading"</p> }
                .into_any()
        }
        State::Slow => view! { <p class="quiet centred" role="status">"Still loading. Check your connection."</p> }.into_any(),
        State::Failed => view! {
            <div class="failure" role="alert">
                {icon(Glyph::Warning)}
                <p><strong>"This part of the page could not be loaded. "</strong> "Check your connection."</p>
                <button type="button" class="small-button" on:click=move |_| start(part, state, true)>"Try again"</button>
            </div>
        }
        .into_any(),
    }
}

/// Loads the parts that are marked in the page's HTML, then calls `hydrate`. If one cannot be loaded, the page says so and is not
/// hydrated.
pub(crate) fn after_loading(parts: &[&'static dyn Loadable], hydrate: impl FnOnce() + 'static) {
    let is_shown = |part: &&'static dyn Loadable| {
        document().query_selector(&format!("[data-part={}]", part.name())).is_ok_and(|element| element.is_some())
    };
    let shown: Vec<_> = parts.iter().copied().filter(is_shown).map(Loadable::load).collect();
    if shown.is_empty() {
        return hydrate();
    }
    wasm_bindgen_futures::spawn_local(async move {
        for loading in shown {
            if loading.await.is_err() {
                return show_failure();
            }
        }
        hydrate();
    });
}

/// Says above the page that it cannot be used. Its buttons do not work before hydration, so a link reloads the page.
fn show_failure() {
    let message = document().create_element("p");
    let link = document().create_element("a");
    let (Some(body), Ok(message), Ok(link)) = (document().body(), message, link) else { return };
    message.set_class_name("failure");
    message.set_text_content(Some("A part of this page could not be loaded. Check your connection."));
    let _ = message.set_attribute("role", "alert");
    link.set_class_name("small-button");
    link.set_text_content(Some("Reload the page"));
    // Without the fragment, with which the browser would stay on the page.
    let location = window().location();
    let address = location.pathname().unwrap_or_default() + &location.search().unwrap_or_default();
    let _ = link.set_attribute("href", &address);
    let _ = message.append_child(&link);
    let _ = body.prepend_with_node_1(&message);
}
