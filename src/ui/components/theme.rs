//! The colour theme: light, dark, or the system's. The choice is kept in local storage; `public/theme.js` applies it before the
//! first paint.

use leptos::prelude::*;

use super::icons::{Glyph, icon};
use crate::ui::browser;

const STORAGE_KEY: &str = "netra.theme";

/// A button that switches to the next theme.
#[component]
pub(crate) fn ThemeToggle() -> impl IntoView {
    let theme = RwSignal::new(None::<&'static str>);
    Effect::new(move |_| {
        theme.set(match browser::read_local_storage(STORAGE_KEY).as_deref() {
            Some("light") => Some("light"),
            Some("dark") => Some("dark"),
            _ => None,
        });
    });
    let next = move |_| {
        let next_theme = match theme.get_untracked() {
            None => Some("light"),
            Some("light") => Some("dark"),
            Some(_) => None,
        };
        theme.set(next_theme);
        browser::write_local_storage(STORAGE_KEY, next_theme);
        if let Some(root) = document().document_element() {
            let _ = match next_theme {
                Some(name) => root.set_attribute("data-theme", name),
                None => root.remove_attribute("data-theme"),
            };
        }
    };
    let label = move || match theme.get() {
        None => "Theme: system",
        Some("light") => "Theme: light",
        Some(_) => "Theme: dark",
    };
    let glyph = move || match theme.get() {
        None => icon(Glyph::System).into_any(),
        Some("light") => icon(Glyph::Sun).into_any(),
        Some(_) => icon(Glyph::Moon).into_any(),
    };
    view! { <button type="button" class="icon-button" aria-label=label title=label on:click=next>{glyph}</button> }
}
