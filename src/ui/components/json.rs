//! JSON for people to read, and long text that is cut until they ask for all of it.

use leptos::prelude::*;
use serde_json::Value;

use crate::text::escape_invisible;

/// How many characters of a long text are shown at first.
const INITIAL_CHARS: usize = 2_000;

/// Indents text if it is a JSON object or array. Escapes invisible characters and those that change the reading order.
pub(crate) fn pretty(text: &str) -> String {
    let indented = serde_json::from_str::<Value>(text)
        .ok()
        .filter(|value| value.is_object() || value.is_array())
        .and_then(|value| serde_json::to_string_pretty(&value).ok());
    escape_invisible(indented.as_deref().unwrap_or(text))
}

/// The error message for invalid JSON, with its position.
pub(crate) fn json_error(error: &serde_json::Error) -> String {
    match error.is_eof() {
        true => "Invalid JSON: it ends too early.".into(),
        false => format!("Invalid JSON at line {}, column {}.", error.line(), error.column()),
    }
}

/// A text, cut after 2,000 characters until the reader asks for all of it.
#[component]
pub(crate) fn LongText(
    #[prop(into)] text: Signal<String>,
    /// The accessible name.
    label: &'static str,
) -> impl IntoView {
    let show_all = RwSignal::new(false);
    let cut_at = Memo::new(move |_| text.with(|text| text.char_indices().nth(INITIAL_CHARS).map(|(at, _)| at)));
    let shown = move || {
        text.with(|text| match cut_at.get().filter(|_| !show_all.get()) {
            Some(end) => format!("{}…", &text[..end]),
            None => text.clone(),
        })
    };
    view! {
        <pre class="long-text" tabindex="0" role="region" aria-label=label>{shown}</pre>
        <Show when=move || cut_at.get().is_some()>
            <button type="button" class="small-button" on:click=move |_| show_all.update(|all| *all = !*all)>
                {move || if show_all.get() { "Show less" } else { "Show all" }}
            </button>
        </Show>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_hide_or_reorder_text_are_escaped_and_the_json_stays_the_same() {
        let to = "a\u{202e}gro.elpmaxe@b\u{e0041}";
        let shown = pretty(&serde_json::json!({ "to": to }).to_string());
        assert!(shown.contains(r"a\u202egro.elpmaxe@b\udb40\udc41"), "{shown}");
        let read: Value = serde_json::from_str(&shown).expect("JSON still");
        assert_eq!(read["to"], to);
        assert_eq!(pretty("two\nlines, \u{1f469}\u{200d}\u{1f680}"), "two\nlines, \u{1f469}\u{200d}\u{1f680}");
    }
}
