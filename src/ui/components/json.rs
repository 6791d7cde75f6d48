//! JSON as people read it, bounded until they ask for all of it.

use leptos::prelude::*;
use serde_json::Value;

use crate::text::escape_invisible;

/// How much of a long text is shown at first, in characters.
const SHOWN: usize = 2_000;

/// JSON indented, where it is JSON; else the text as it is. What would change how the rest reads stands as its escape.
pub(crate) fn pretty(text: &str) -> String {
    let indented = serde_json::from_str::<Value>(text)
        .ok()
        .filter(|value| value.is_object() || value.is_array())
        .and_then(|value| serde_json::to_string_pretty(&value).ok());
    escape_invisible(indented.as_deref().unwrap_or(text))
}

/// What is wrong with what should be JSON, in a sentence.
pub(crate) fn wrong(error: &serde_json::Error) -> String {
    match error.is_eof() {
        true => "This is no JSON: it ends too early.".into(),
        false => format!("This is no JSON: look at line {}, column {}.", error.line(), error.column()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_or_hides_text_is_shown_and_stays_what_it_is() {
        let to = "a\u{202e}gro.elpmaxe@b\u{e0041}";
        let shown = pretty(&serde_json::json!({ "to": to }).to_string());
        assert!(shown.contains(r"a\u202egro.elpmaxe@b\udb40\udc41"), "{shown}");
        let read: Value = serde_json::from_str(&shown).expect("JSON still");
        assert_eq!(read["to"], to);
        assert_eq!(pretty("two\nlines, \u{1f469}\u{200d}\u{1f680}"), "two\nlines, \u{1f469}\u{200d}\u{1f680}");
    }
}
