//! Where nothing is.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::ui::components::icons::logo;

/// Tells whoever asked for the document that nothing is here.
pub(super) fn answer_not_found() {
    #[cfg(feature = "server")]
    if let Some(response) = use_context::<leptos_axum::ResponseOptions>() {
        response.set_status(axum::http::StatusCode::NOT_FOUND);
    }
}

/// The page for addresses that lead nowhere.
#[component]
pub(crate) fn NotFound() -> impl IntoView {
    answer_not_found();
    view! {
        <Title text="Not found"/>
        <main class="standalone" id="main">
            <div class="standalone-card">
                {logo()}
                <h1>"Nothing here"</h1>
                <p class="quiet">"This address leads nowhere. The thread may have been deleted, or the link may be incomplete."</p>
                <a class="button" href="/">"To your threads"</a>
            </div>
        </main>
    }
    .into_any()
}
