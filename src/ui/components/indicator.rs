//! The connection as the machine knows it, what keeps it from opening, and how many commands wait.

use leptos::prelude::*;

use super::clock::use_clock;
use crate::{
    socket::context::{Cause, Status, use_socket},
    ui::address::use_address_problem,
};

/// What keeps the page from connecting, and what to do about it.
fn explain(cause: Cause) -> &'static str {
    match cause {
        Cause::ServerUnreachable => "The server does not answer.",
        Cause::UpgradeRefused => {
            "The server answers requests, but no WebSocket opens. A proxy in front of the server has to pass WebSocket upgrades on /ws."
        }
    }
}

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
    let address_problem = use_address_problem();
    // A wrong address explains a refused upgrade better than anything else.
    let explanation = Memo::new(move |_| match status.get() {
        Status::Connected | Status::SignedOut | Status::Offline => None,
        Status::Reconnecting { cause: Some(Cause::ServerUnreachable), .. } => {
            Some(explain(Cause::ServerUnreachable).to_owned())
        }
        Status::Reconnecting { cause: Some(cause), .. } => {
            Some(address_problem.get().unwrap_or_else(|| explain(cause).to_owned()))
        }
        Status::Reconnecting { .. } | Status::Connecting | Status::Closed { .. } => address_problem.get(),
    });
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
            {move || explanation.get().map(|text| view! { <p class="indicator-cause" role="status">{text}</p> })}
            <Show when=can_reconnect>
                <button type="button" class="small-button" on:click=move |_| socket.reconnect()>"Reconnect"</button>
            </Show>
        </div>
    }
    .into_any()
}
