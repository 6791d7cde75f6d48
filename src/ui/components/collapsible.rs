//! A `<details>` element that follows a default until the reader opens or closes it. Closed content is not in the document.

use leptos::{ev::MouseEvent, prelude::*};

/// A summary line that opens to `children`.
#[component]
pub(crate) fn Collapsible(
    /// Whether it is open by default.
    #[prop(into)]
    open: Signal<bool>,
    class: &'static str,
    #[prop(into)] summary: ViewFn,
    children: ChildrenFn,
) -> impl IntoView {
    let choice = RwSignal::new(None::<bool>);
    let is_open = Memo::new(move |_| choice.get().unwrap_or_else(|| open.get()));
    let toggle = move |event: MouseEvent| {
        event.prevent_default();
        choice.set(Some(!is_open.get_untracked()));
    };
    view! {
        <details class=class open=move || is_open.get()>
            <summary on:click=toggle>{summary.run()}</summary>
            <Show when=move || is_open.get()>{children()}</Show>
        </details>
    }
    .into_any()
}
