//! The scroll box of a thread, and the button that returns to its end.

use leptos::prelude::*;

use super::{
    auto_scroll::AutoScroll,
    icons::{Glyph, icon},
};

/// A box that scrolls its content as [`AutoScroll`] decides.
#[component]
pub(crate) fn Scroller(
    auto_scroll: AutoScroll,
    /// The accessible name.
    label: &'static str,
    children: Children,
) -> impl IntoView {
    Effect::new(move |_| auto_scroll.observe());
    view! {
        <div
            class="scroller"
            node_ref=auto_scroll.area
            on:scroll=move |_| auto_scroll.on_scroll()
            on:wheel=move |event| auto_scroll.on_wheel(&event)
            on:keydown=move |event| auto_scroll.on_keydown(&event)
            on:pointerdown=move |_| auto_scroll.on_pointerdown()
            on:focusin=move |event| auto_scroll.on_focusin(&event)
            // In the capture phase: before the click's own handler changes the content.
            on:click:capture=move |event| auto_scroll.on_click(&event)
            tabindex="0"
            role="region"
            aria-label=label
        >
            <div class="page timeline" node_ref=auto_scroll.content>{children()}</div>
        </div>
    }
    .into_any()
}

/// The button that returns to the end; shown while the reader is away from it.
#[component]
pub(crate) fn JumpToEnd(auto_scroll: AutoScroll) -> impl IntoView {
    let jump = move |_| {
        auto_scroll.jump_to_end();
        // The button is removed: move the focus first.
        auto_scroll.focus();
    };
    view! {
        <Show when=move || auto_scroll.is_away()>
            <button type="button" class="jump-to-end" on:click=jump>{icon(Glyph::Down)} "Jump to latest"</button>
        </Show>
    }
    .into_any()
}
