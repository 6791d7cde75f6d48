//! The scroll box of a conversation, and the button that returns to its end.

use leptos::prelude::*;

use super::{
    auto_scroll::AutoScroll,
    icons::{Glyph, icon},
};

/// A box that scrolls its content as [`AutoScroll`] decides.
#[component]
pub(crate) fn Scroller(
    follow: AutoScroll,
    /// The accessible name.
    label: &'static str,
    children: Children,
) -> impl IntoView {
    Effect::new(move |_| follow.observe());
    view! {
        <div
            class="scroller"
            node_ref=follow.area
            on:scroll=move |_| follow.on_scroll()
            on:wheel=move |event| follow.on_wheel(&event)
            on:keydown=move |event| follow.on_keydown(&event)
            on:pointerdown=move |_| follow.on_pointerdown()
            on:focusin=move |event| follow.on_focusin(&event)
            // In the capture phase: before the click's own handler changes the content.
            on:click:capture=move |event| follow.on_click(&event)
            tabindex="0"
            role="region"
            aria-label=label
        >
            <div class="page timeline" node_ref=follow.content>{children()}</div>
        </div>
    }
    .into_any()
}

/// The button that returns to the end; shown while the reader is away from it.
#[component]
pub(crate) fn JumpToEnd(follow: AutoScroll) -> impl IntoView {
    let jump = move |_| {
        follow.jump();
        // The button is removed: move the focus first.
        follow.focus();
    };
    view! {
        <Show when=move || follow.is_away()>
            <button type="button" class="jump-to-end" on:click=jump>{icon(Glyph::Down)} "Jump to latest"</button>
        </Show>
    }
    .into_any()
}
