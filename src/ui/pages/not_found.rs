//! The page for unknown addresses.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::ui::components::icons::logo;

/// Sets the status of the document to 404.
pub(super) fn respond_not_found() {
    #[cfg(feature = "server")]
    if let Some(response) = use_context::<leptos_axum::ResponseOptions>() {
        response.set_status(axum::http::StatusCode::NOT_FOUND);
    }
}

/// The page for unknown addresses.
#[component]
pub(crate) fn NotFound() -> impl IntoView {
    respond_not_found();
    view! {
        <Title text="Not found"/>
        <main class="standalone" id="main">
            <div class="standalone-card">
                {logo()}
                <h1>"Page not found"</h1>
                <p class="quiet">"There is no page at this address. The thread may have been deleted, or the link may be incomplete."</p>
                <a class="button" href="/">"To your threads"</a>
            </div>
        </main>
    }
    .into_any()
}
