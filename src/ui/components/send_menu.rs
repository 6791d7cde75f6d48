//! The menu beside the send button while a run is active: queue, steer, or stop and ask.

use leptos::prelude::*;

use super::{
    icons::{Glyph, icon},
    menu::Menu,
};
use crate::{
    protocol::SendMode,
    ui::{
        browser,
        shortcuts::{Shortcut, binding},
    },
};

/// Each way, with what it does.
const WAYS: [(SendMode, &str, &str); 3] = [
    (SendMode::Queue, "Queue", "Answered after the current answer."),
    (SendMode::Steer, "Steer", "The agent reads it while it works. If it cannot, it is stopped and asked again."),
    (SendMode::Stop, "Stop and ask", "Stops the current answer and asks this instead."),
];

/// The keys that send a message this way.
fn keys(mode: SendMode, is_apple: bool) -> Vec<&'static str> {
    let of = |shortcut| binding(shortcut).map(|binding| binding.keys(is_apple)).unwrap_or_default();
    match mode {
        SendMode::Queue => vec!["Enter"],
        SendMode::Steer => of(Shortcut::Steer),
        SendMode::Stop => of(Shortcut::StopAndAsk),
    }
}

fn explain(reason: String) -> String {
    if reason.is_empty() { "Write a message first.".to_owned() } else { reason }
}

/// The menu.
#[component]
pub(super) fn SendMenu(
    send: Callback<SendMode>,
    /// Why the message cannot be sent, if it cannot; empty if no explanation is needed beside the field.
    send_error: Memo<Option<String>>,
) -> impl IntoView {
    let open = RwSignal::new(false);
    let way = move |(mode, name, about): (SendMode, &'static str, &'static str)| {
        let choose = move |_| {
            open.set(false);
            send.run(mode);
        };
        view! {
            <button type="button" class="send-way" disabled=move || send_error.get().is_some() on:click=choose>
                <span class="send-way-name">{name}</span>
                <kbd aria-hidden="true">{move || keys(mode, browser::is_apple()).join(" ")}</kbd>
                <span class="send-way-about">{about}</span>
            </button>
        }
    };
    view! {
        <Menu label="Message options" button=|| icon(Glyph::More) class="send-menu" open>
            {WAYS.map(way).collect_view()}
            {move || send_error.get().map(|reason| view! { <p class="menu-about">{explain(reason)}</p> })}
        </Menu>
    }
    .into_any()
}
