//! Notices that administrators send to everyone, and warnings that this browser cannot store data. Each stays until dismissed.

use leptos::prelude::*;

use super::icons::{Glyph, icon};
use crate::{protocol::Notice, socket::context::use_socket, ui::storage::Storage};

/// The list of notices.
#[component]
pub(crate) fn Notices() -> impl IntoView {
    let socket = use_socket();
    let notices = socket.notices();
    let warning = expect_context::<Storage>().warning();
    let dismiss_button = |dismiss: Callback<()>| {
        view! {
            <button type="button" class="icon-button" aria-label="Dismiss notice" on:click=move |_| dismiss.run(())>
                {icon(Glyph::Close)}
            </button>
        }
    };
    let storage_notice = move |text: String| {
        view! { <div class="notice"><p>{text}</p> {dismiss_button(Callback::new(move |()| warning.set(None)))}</div> }
    };
    let notice = move |notice: Notice| {
        let text = notice.text.clone();
        view! { <div class="notice"><p>{text}</p> {dismiss_button(Callback::new(move |()| socket.dismiss(&notice)))}</div> }
    };
    view! {
        <div class="notices" role="region" aria-label="Notices" aria-live="polite">
            {move || warning.get().map(storage_notice)}
            <For each=move || notices.get() key=|notice| notice.id children=notice/>
        </div>
    }
    .into_any()
}
