//! Loading parts in the browser.

use std::{future::Future, pin::Pin, sync::OnceLock, time::Duration};

use gloo_timers::callback::Timeout;
use leptos::{
    prelude::*,
    task::spawn_local,
    wasm_bindgen::{JsCast, closure::Closure},
    web_sys::{Element, Event},
};

use crate::ui::{
    browser,
    components::{
        focus::focus_on,
        icons::{Glyph, icon},
    },
};

pub(crate) use leptos::wasm_split::SplitLoaderError as LoadError;

type LoadingFuture<T> = Pin<Box<dyn Future<Output = Result<T, LoadError>>>>;
/// A part's view as a function of its input.
type View<I> = fn(I) -> AnyView;
/// Loads the file of a part.
type LoadView<I> = fn() -> LoadingFuture<View<I>>;

/// How long a part may take to load before a message says that it is slow.
const SLOW_LOAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The id of the message above a page that is not hydrated.
const MESSAGE_ID: &str = "part-message";

/// A part of the page. `I` is the input of its view.
pub(crate) struct Part<I: 'static> {
    name: &'static str,
    load_view: LoadView<I>,
    /// The part's view, once loaded.
    view: OnceLock<View<I>>,
    /// For all places where the part is shown.
    state: OnceLock<ArcRwSignal<State>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    NotRequested,
    Loading,
    /// Loading takes long. The part is shown when it is loaded after all.
    Slow,
    Failed,
    Loaded,
}

/// A [`Part`] of any input.
pub(crate) trait Loadable: Sync {
    /// The value of `data-part`.
    fn name(&self) -> &'static str;
    /// Loads the part unless it is loaded. After a failure, another call tries again.
    fn load(&'static self) -> LoadingFuture<()>;
    /// The state of loading it to show it. Not updated by [`Loadable::load`].
    fn state(&'static self) -> ArcRwSignal<State>;
}

impl<I> Loadable for Part<I> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn load(&'static self) -> LoadingFuture<()> {
        Box::pin(async {
            if self.view.get().is_none() {
                let view = (self.load_view)().await?;
                self.view.get_or_init(|| view);
            }
            Ok(())
        })
    }

    fn state(&'static self) -> ArcRwSignal<State> {
        self.state.get_or_init(|| ArcRwSignal::new(State::NotRequested)).clone()
    }
}

impl<I: Clone + Send + 'static> Part<I> {
    pub(crate) const fn new(name: &'static str, load_view: LoadView<I>) -> Self {
        Self { name, load_view, view: OnceLock::new(), state: OnceLock::new() }
    }

    /// The part's view; until it is loaded, a note that it is being loaded, or why it is not.
    pub(crate) fn show(&'static self, input: I) -> AnyView {
        let content = match self.view.get() {
            Some(view) => view(input),
            None => {
                start_loading(self, false);
                let state = self.state();
                let view = move || match (state.get(), self.view.get()) {
                    (State::Loaded, Some(view)) => view(input.clone()),
                    (state, _) => placeholder(self, state),
                };
                view.into_any()
            }
        };
        view! { <div class="part" data-part=self.name>{content}</div> }.into_any()
    }
}

/// Loads a part to show it, unless it is being loaded. A retry that fails although the server can be reached reloads the page: then the
/// server probably has another build.
fn start_loading(part: &'static dyn Loadable, is_retry: bool) {
    let state = part.state();
    if matches!(state.get_untracked(), State::Loading | State::Slow | State::Loaded) {
        return;
    }
    state.set(State::Loading);
    spawn_local(async move {
        let slow = on_slow_load({
            let state = state.clone();
            move || state.set(State::Slow)
        });
        let is_loaded = part.load().await.is_ok();
        drop(slow);
        // Only a page that still shows the part is reloaded.
        if !is_loaded && is_retry && is_shown(part) && browser::is_server_reachable().await {
            browser::reload();
        }
        state.set(if is_loaded { State::Loaded } else { State::Failed });
    });
}

/// Calls `then` unless the result is dropped before.
fn on_slow_load(then: impl FnOnce() + 'static) -> Timeout {
    Timeout::new(u32::try_from(SLOW_LOAD_TIMEOUT.as_millis()).unwrap_or(u32::MAX), then)
}

/// Whether the document has the part or its placeholder.
fn is_shown(part: &'static dyn Loadable) -> bool {
    let place = document().query_selector(&format!("[data-part={}]", part.name()));
    place.is_ok_and(|element| element.is_some())
}

/// What is shown in place of a part that is not loaded.
fn placeholder(part: &'static dyn Loadable, state: State) -> AnyView {
    let retry = move |_| {
        start_loading(part, true);
        // The button is removed.
        focus_on("#main");
    };
    match state {
        State::NotRequested | State::Loading | State::Loaded => {
            view! { <p class="quiet centred" role="status"><span class="spinner" aria-hidden="true"></span> " Loading"</p> }
                .into_any()
        }
        State::Slow => view! { <p class="quiet centred" role="status">"Still loading. Check your connection."</p> }.into_any(),
        State::Failed => view! {
            <div class="failure" role="alert">
                {icon(Glyph::Warning)}
                <p><strong>"This part of the page could not be loaded. "</strong> "Check your connection."</p>
                <button type="button" class="small-button" on:click=retry>"Try again"</button>
            </div>
        }
        .into_any(),
    }
}

/// Loads the parts that are marked in the page's HTML, all at once, then calls `mount`. If one cannot be loaded, the page says so and is
/// not mounted; while one takes long, it says that.
pub(crate) fn after_loading(parts: &[&'static dyn Loadable], mount: impl FnOnce() + 'static) {
    let shown: Vec<_> = parts.iter().copied().filter(|part| is_shown(*part)).collect();
    if shown.is_empty() {
        return mount();
    }
    for part in &shown {
        let loading = part.load();
        wasm_bindgen_futures::spawn_local(async { drop(loading.await) });
    }
    wasm_bindgen_futures::spawn_local(async move {
        let slow = on_slow_load(|| show_message("A part of this page is still loading. Check your connection."));
        for part in shown {
            if part.load().await.is_err() {
                return show_message("A part of this page could not be loaded. Check your connection.");
            }
        }
        drop(slow);
        remove_message();
        mount();
    });
}

/// Says above the page that it cannot be used. Its buttons do not work before it is hydrated, so the message has a link to reload it.
fn show_message(text: &str) {
    remove_message();
    let message = document().create_element("p");
    let link = document().create_element("a");
    let (Some(body), Ok(message), Ok(link)) = (document().body(), message, link) else { return };
    message.set_id(MESSAGE_ID);
    message.set_class_name("failure");
    message.set_text_content(Some(text));
    let _ = message.set_attribute("role", "alert");
    link.set_class_name("small-button");
    link.set_text_content(Some("Reload the page"));
    let _ = link.set_attribute("href", "");
    // Not by following the link: the address may have a fragment, which the page needs and which keeps the browser from loading it again.
    let reload = Closure::once_into_js(|event: Event| {
        event.prevent_default();
        browser::reload();
    });
    let _ = link.add_event_listener_with_callback("click", reload.unchecked_ref());
    let _ = message.append_child(&link);
    let _ = body.prepend_with_node_1(&message);
}

fn remove_message() {
    document().get_element_by_id(MESSAGE_ID).iter().for_each(Element::remove);
}
