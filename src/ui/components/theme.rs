//! Light, dark, or as the system has it. The choice is kept in the browser; `public/theme.js` applies it before the first
//! paint.

use leptos::prelude::*;

use super::icons::{Glyph, icon};
use crate::ui::browser;

const KEY: &str = "netra.theme";

/// The button that goes from one theme to the next.
#[component]
pub(crate) fn ThemeToggle() -> impl IntoView {
    let theme = RwSignal::new(None::<&'static str>);
    Effect::new(move |_| {
        theme.set(match browser::read_local_storage(KEY).as_deref() {
            Some("light") => Some("light"),
            Some("dark") => Some("dark"),
            _ => None,
        });
    });
    let next = move |_| {
        let chosen = match theme.get_untracked() {
            None => Some("light"),
            Some("light") => Some("dark"),
            Some(_) => None,
        };
        theme.set(chosen);
        browser::write_local_storage(KEY, chosen);
        if let Some(root) = document().document_element() {
            let _ = match chosen {
                Some(chosen) => root.set_attribute("data-theme", chosen),
                None => root.remove_attribute("data-theme"),
            };
        }
    };
    let label = move || match theme.get() {
        None => "Theme: as the system",
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
