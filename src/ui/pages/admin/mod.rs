//! The administrators' page: agents, tools and usage.

mod agents;
mod check;
mod entry;
mod fetched;
mod form;
mod tools;
mod usage;

use leptos::prelude::*;
use leptos_meta::Title;

use super::not_found::respond_not_found;
use crate::{protocol::http::Role, socket::context::use_socket, ui::part::part};

part!(
    /// The administrators' page; not found for other users.
    pub(crate) ADMIN_PAGE, admin, |(): ()| view! { <AdminAgentsPage/> }.into_any()
);

#[component]
fn AdminAgentsPage() -> impl IntoView {
    let user = use_socket().user();
    let is_admin = Memo::new(move |_| user.with(|user| user.as_ref().is_some_and(|user| user.role == Role::Admin)));
    let nothing = || {
        respond_not_found();
        view! {
            <div class="page empty">
                <h1>"Page not found"</h1>
                <p class="quiet">"This page is for administrators."</p>
                <a class="button" href="/">"To your threads"</a>
            </div>
        }
    };
    view! {
        <Title text="Agents"/>
        <Show when=move || is_admin.get() fallback=nothing>
            <div class="scroller">
                <div class="page admin">
                    <agents::AgentsView/>
                    <tools::ToolsView/>
                    <usage::UsageView/>
                </div>
            </div>
        </Show>
    }
    .into_any()
}
