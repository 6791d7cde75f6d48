//! The connection as the machine knows it, and how many commands wait.

use leptos::prelude::*;

use super::clock::use_clock;
use crate::socket::context::{Status, use_socket};

/// The connection indicator.
#[component]
pub(crate) fn Indicator() -> impl IntoView {
    let socket = use_socket();
    let clock = use_clock();
    let status = socket.status();
    let name = move || match status.get() {
        Status::SignedOut => "signed_out",
        Status::Connecting => "connecting",
        Status::Connected => "connected",
        Status::Reconnecting { .. } => "reconnecting",
        Status::Offline => "offline",
        Status::Closed { .. } => "closed",
    };
    let sentence = move || match status.get() {
        Status::SignedOut => "Signed out".to_owned(),
        Status::Connecting => "Connecting".into(),
        Status::Connected => "Connected".into(),
        Status::Reconnecting { attempt, .. } => format!("Reconnecting, attempt {attempt}"),
        Status::Offline => "Offline".into(),
        Status::Closed { reason, .. } => format!("Disconnected: {reason}"),
    };
    // Counts down beside the live region: nobody wants to hear every second of it.
    let countdown = move || match (status.get(), clock.now.get()) {
        (Status::Reconnecting { retry_at_ms, .. }, Some(now)) if retry_at_ms > now => {
            Some(format!("in {} s", (retry_at_ms - now + 999) / 1000))
        }
        _ => None,
    };
    let waiting = move || match socket.waiting().get() {
        0 => None,
        waiting => Some(format!("{waiting} waiting")),
    };
    let can_reconnect =
        move || matches!(status.get(), Status::Closed { can_reconnect: true, .. } | Status::Reconnecting { .. });
    view! {
        <div class="indicator">
            <span
                class="indicator-status"
                role="status"
                data-status=name
                data-connection=move || socket.connection().get().map(|id| id.to_string())
                title=sentence
            >
                <span class="dot" aria-hidden="true"></span>
                <span class="indicator-text">{sentence}</span>
            </span>
            {move || countdown().map(|text| view! { <span class="indicator-more" aria-hidden="true">{text}</span> })}
            {move || waiting().map(|text| view! { <span class="indicator-more" title="Commands that wait for the server">{text}</span> })}
            <Show when=can_reconnect>
                <button type="button" class="small-button" on:click=move |_| socket.reconnect()>"Reconnect"</button>
            </Show>
        </div>
    }
    .into_any()
}
