//! JSON as people read it, bounded until they ask for all of it.

use leptos::prelude::*;
use serde_json::Value;

/// How much of a long text is shown at first, in characters.
const SHOWN: usize = 2_000;

/// JSON indented, where it is JSON; else the text as it is.
pub(crate) fn pretty(text: &str) -> String {
    serde_json::from_str::<Value>(text)
        .ok()
        .filter(|value| value.is_object() || value.is_array())
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| text.to_owned())
}

/// A long text, its beginning at first.
#[component]
pub(crate) fn Bounded(
    #[prop(into)] text: Signal<String>,
    /// What it is, for who cannot see it.
    label: &'static str,
) -> impl IntoView {
    let all = RwSignal::new(false);
    let cut = Memo::new(move |_| text.with(|text| text.char_indices().nth(SHOWN).map(|(at, _)| at)));
    let shown = move || {
        text.with(|text| match cut.get().filter(|_| !all.get()) {
            Some(cut) => format!("{}…", &text[..cut]),
            None => text.clone(),
        })
    };
    view! {
        <pre class="bounded" tabindex="0" role="region" aria-label=label>{shown}</pre>
        <Show when=move || cut.get().is_some()>
            <button type="button" class="small-button" on:click=move |_| all.update(|all| *all = !*all)>
                {move || if all.get() { "Show less" } else { "Show all" }}
            </button>
        </Show>
    }
    .into_any()
}
