//! What administrators say to everyone, and what this browser could not store, until it is dismissed.

use leptos::prelude::*;

use super::icons::{Glyph, icon};
use crate::{socket::context::use_socket, ui::storage::Storage};

/// The banner of notices.
#[component]
pub(crate) fn Notices() -> impl IntoView {
    let socket = use_socket();
    let notices = socket.notices();
    let trouble = expect_context::<Storage>().trouble();
    view! {
        <div class="notices" role="region" aria-label="Notices" aria-live="polite">
            {move || trouble.get().map(|text| view! {
                <div class="notice">
                    <p>{text}</p>
                    <button type="button" class="icon-button" aria-label="Dismiss notice" on:click=move |_| trouble.set(None)>
                        {icon(Glyph::Close)}
                    </button>
                </div>
            })}
            <For
                each=move || notices.get()
                key=|notice| notice.id
                children=move |notice| {
                    let text = notice.text.clone();
                    view! {
                        <div class="notice">
                            <p>{text}</p>
                            <button
                                type="button"
                                class="icon-button"
                                aria-label="Dismiss notice"
                                on:click=move |_| socket.dismiss(&notice)
                            >
                                {icon(Glyph::Close)}
                            </button>
                        </div>
                    }
                }
            />
        </div>
    }
    .into_any()
}
