//! The replay of a run that has ended: it plays the run's entries from the thread's log, with a strip of what happened when, and the raw
//! entries beside it.
//!
//! It is a dialog over the thread, open while the address names a run (`/threads/<id>?replay=<run_id>`). The run is rendered by the same
//! components as in the thread, but outside of the [`OpenThread`](super::open_thread::OpenThread): without it they have no actions, so
//! nothing can be sent from a replay.

mod content;
mod drawer;
mod entry_text;
mod pace;
mod player;
mod recording;
mod strip;
mod strip_view;

use leptos::{html, prelude::*};
use leptos_router::{
    NavigateOptions,
    hooks::{use_navigate, use_params_map, use_query_map},
};

use self::content::Replay;
use super::{
    answer_actions::ANSWER_MENU,
    focus::{focus_on, is_focus_lost},
};
use crate::{
    protocol::{RunId, ThreadId},
    ui::{browser, item_key::ItemKey, part::part},
};

part!(
    /// A replay: the thread, the run, and what closes the replay.
    REPLAY, replay, |(thread, run, close): (ThreadId, RunId, Callback<()>)| view! { <Replay thread run close/> }.into_any()
);

/// The dialog of the replay that the address names. Its content is rendered in the browser only.
#[component]
pub(crate) fn ReplayDialog() -> impl IntoView {
    let (params, query, navigate) = (use_params_map(), use_query_map(), use_navigate());
    let named = Memo::new(move |_| {
        let thread = params.with(|params| params.get("id")).and_then(|id| id.parse::<ThreadId>().ok());
        thread.zip(query.with(|query| query.get("replay")).and_then(|id| id.parse::<RunId>().ok()))
    });
    let dialog = NodeRef::<html::Dialog>::new();
    let shown = RwSignal::new(None::<(ThreadId, RunId)>);
    // Whether the browser's previous page is the thread without the replay.
    let was_opened_here = StoredValue::new(false);
    Effect::new(move |before: Option<Option<(ThreadId, RunId)>>| {
        let now = named.get();
        let Some(dialog) = dialog.get() else { return now };
        if now.is_some() && !dialog.open() {
            was_opened_here.set_value(before == Some(None));
            // It fails only for an element that is not in the document.
            let _ = dialog.show_modal();
        } else if now.is_none() && dialog.open() {
            // `on_close` does the rest.
            dialog.close();
            return now;
        }
        shown.set(now);
        now
    });
    let on_close = move |_| {
        let Some((thread, run)) = shown.get_untracked() else { return };
        shown.set(None);
        if named.get_untracked().is_some() {
            if was_opened_here.get_value() {
                browser::go_back();
            } else {
                let options = NavigateOptions { replace: true, scroll: false, ..NavigateOptions::default() };
                navigate(&format!("/threads/{thread}"), options);
            }
        }
        // The menu that had the link has closed.
        request_animation_frame(move || {
            let menu = format!("{} .{ANSWER_MENU} .menu-trigger", ItemKey::Run(run).selector());
            if is_focus_lost() && !focus_on(&menu) {
                focus_on("#main");
            }
        });
    };
    let close = Callback::new(move |()| {
        if let Some(dialog) = dialog.get_untracked() {
            dialog.close();
        }
    });
    view! {
        <dialog class="replay-dialog" aria-label="Replay" node_ref=dialog on:close=on_close>
            {move || shown.get().map(|(thread, run)| REPLAY.show((thread, run, close)))}
        </dialog>
    }
    .into_any()
}
