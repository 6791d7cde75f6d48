//! The state of the connection, what keeps it from opening, and how many commands wait to be sent.

use leptos::prelude::*;

use super::clock::use_clock;
use crate::{
    socket::context::{Cause, Socket, Status, use_socket},
    ui::address::use_address_problem,
};

/// Why the page cannot connect, and what to do about it.
fn explain(cause: Cause) -> &'static str {
    match cause {
        Cause::ServerUnreachable => "The server is not responding.",
        Cause::UpgradeRefused => {
            "The server responds, but no WebSocket opens. A proxy in front of the server must pass WebSocket upgrades on /ws."
        }
    }
}

/// The value of `data-status`, which tests and scripts read.
fn status_attribute(status: &Status) -> &'static str {
    match status {
        Status::SignedOut => "signed_out",
        Status::Connecting => "connecting",
        Status::Connected => "connected",
        Status::Reconnecting { .. } => "reconnecting",
        Status::Offline => "offline",
        Status::Closed { .. } => "closed",
    }
}

fn status_label(status: &Status) -> String {
    match status {
        Status::SignedOut => "Signed out".to_owned(),
        Status::Connecting => "Connecting".into(),
        Status::Connected => "Connected".into(),
        Status::Reconnecting { attempt, .. } => format!("Reconnecting, attempt {attempt}"),
        Status::Offline => "Offline".into(),
        Status::Closed { reason, .. } => format!("Disconnected: {reason}"),
    }
}

/// Why the page cannot connect. If its address is not the one the server expects, that explains a refused upgrade best.
fn explanation(socket: Socket) -> Memo<Option<String>> {
    let (status, address_problem) = (socket.status(), use_address_problem());
    Memo::new(move |_| match status.get() {
        Status::Connected | Status::SignedOut | Status::Offline => None,
        Status::Reconnecting { cause: Some(Cause::ServerUnreachable), .. } => {
            Some(explain(Cause::ServerUnreachable).to_owned())
        }
        Status::Reconnecting { cause: Some(cause), .. } => {
            Some(address_problem.get().unwrap_or_else(|| explain(cause).to_owned()))
        }
        Status::Reconnecting { .. } | Status::Connecting | Status::Closed { .. } => address_problem.get(),
    })
}

/// The connection status in the header.
#[component]
pub(crate) fn ConnectionStatus() -> impl IntoView {
    let socket = use_socket();
    let clock = use_clock();
    let status = socket.status();
    let label = move || status.with(status_label);
    // Outside the live region, so that screen readers do not read every second.
    let countdown = move || match (status.get(), clock.now.get()) {
        (Status::Reconnecting { retry_at_ms, .. }, Some(now)) if retry_at_ms > now => {
            Some(format!("in {} s", (retry_at_ms - now + 999) / 1000))
        }
        _ => None,
    };
    let explanation = explanation(socket);
    let queued = move || match socket.queued_commands().get() {
        0 => None,
        count => Some(format!("{count} waiting")),
    };
    let can_reconnect =
        move || matches!(status.get(), Status::Closed { can_reconnect: true, .. } | Status::Reconnecting { .. });
    view! {
        <div class="indicator">
            <span
                class="indicator-status"
                role="status"
                data-status=move || status.with(status_attribute)
                data-connection=move || socket.connection().get().map(|id| id.to_string())
                title=label
            >
                <span class="dot" aria-hidden="true"></span>
                <span class="indicator-text">{label}</span>
            </span>
            {move || countdown().map(|text| view! { <span class="indicator-more" aria-hidden="true">{text}</span> })}
            {move || queued().map(|text| view! { <span class="indicator-more" title="Changes that the server has not confirmed yet">{text}</span> })}
            {move || explanation.get().map(|text| view! { <p class="indicator-cause" role="status">{text}</p> })}
            <Show when=can_reconnect>
                <button type="button" class="small-button" on:click=move |_| socket.reconnect()>"Reconnect"</button>
            </Show>
        </div>
    }
    .into_any()
}
