//! The colour theme: light, dark, or the system's. The choice is kept in local storage; `public/theme.js` applies it before the
//! first paint.

use leptos::prelude::*;

use super::icons::{Glyph, icon};
use crate::ui::browser;

const STORAGE_KEY: &str = "netra.theme";

/// The theme that a person chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThemeChoice {
    System,
    Light,
    Dark,
}

impl ThemeChoice {
    /// Its name in local storage and in `data-theme`; none for the system's.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Light => Some("light"),
            Self::Dark => Some("dark"),
        }
    }
}

/// The chosen theme, from context.
#[derive(Clone, Copy)]
pub(crate) struct Theme(RwSignal<ThemeChoice>);

impl Theme {
    /// Provides it as context, with the choice in local storage once the page is hydrated.
    pub(crate) fn provide() {
        let choice = RwSignal::new(ThemeChoice::System);
        Effect::new(move |_| {
            let stored = browser::read_local_storage(STORAGE_KEY);
            let is_stored = |choice: &ThemeChoice| choice.name() == stored.as_deref();
            choice.set(
                [ThemeChoice::Light, ThemeChoice::Dark].into_iter().find(is_stored).unwrap_or(ThemeChoice::System),
            );
        });
        provide_context(Self(choice));
    }

    /// The choice. Reactive.
    pub(crate) fn choice(self) -> ThemeChoice {
        self.0.get()
    }

    /// Applies a choice and stores it.
    pub(crate) fn choose(self, choice: ThemeChoice) {
        self.0.set(choice);
        browser::write_local_storage(STORAGE_KEY, choice.name());
        if let Some(root) = document().document_element() {
            let _ = match choice.name() {
                Some(name) => root.set_attribute("data-theme", name),
                None => root.remove_attribute("data-theme"),
            };
        }
    }
}

/// A button that switches to the next theme.
#[component]
pub(crate) fn ThemeToggle() -> impl IntoView {
    let theme: Theme = expect_context();
    let next = move |_| {
        theme.choose(match untrack(|| theme.choice()) {
            ThemeChoice::System => ThemeChoice::Light,
            ThemeChoice::Light => ThemeChoice::Dark,
            ThemeChoice::Dark => ThemeChoice::System,
        });
    };
    let label = move || match theme.choice() {
        ThemeChoice::System => "Theme: system",
        ThemeChoice::Light => "Theme: light",
        ThemeChoice::Dark => "Theme: dark",
    };
    let glyph = move || match theme.choice() {
        ThemeChoice::System => icon(Glyph::System).into_any(),
        ThemeChoice::Light => icon(Glyph::Sun).into_any(),
        ThemeChoice::Dark => icon(Glyph::Moon).into_any(),
    };
    view! { <button type="button" class="icon-button" aria-label=label title=label on:click=next>{glyph}</button> }
}
