//! The list above the composer that suggests how what is typed may go on: agents after `@`, prompts after `/`.

use leptos::{ev::KeyboardEvent, prelude::*};

use super::icons::{Glyph, icon};
use crate::{protocol::PromptId, ui::keys::is_composing};

/// What choosing a suggestion does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Choice {
    /// Makes this the text.
    Text(String),
    /// Inserts a prompt.
    Prompt(PromptId),
    /// Opens the prompt library.
    Library,
}

/// A suggestion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Suggestion {
    pub(crate) glyph: Glyph,
    pub(crate) name: String,
    /// How it can be typed.
    pub(crate) code: Option<String>,
    pub(crate) about: String,
    /// Whether it can be chosen.
    pub(crate) is_usable: bool,
    pub(crate) choice: Choice,
}

/// The state of the list.
#[derive(Clone, Copy)]
pub(crate) struct Suggestions {
    text: RwSignal<String>,
    shown: Memo<Vec<Suggestion>>,
    /// Whether suggestions for the text are being loaded.
    is_loading: Signal<bool>,
    selected: RwSignal<usize>,
    /// The text at which the list was closed. It stays closed until the text changes.
    dismissed: RwSignal<Option<String>>,
    on_choose: Callback<Choice>,
}

impl Suggestions {
    /// `suggestions` are those for the text.
    pub(crate) fn new(
        text: RwSignal<String>,
        suggestions: Memo<Vec<Suggestion>>,
        is_loading: Signal<bool>,
        on_choose: Callback<Choice>,
    ) -> Self {
        let dismissed = RwSignal::new(None::<String>);
        let shown = Memo::new(move |_| {
            let is_dismissed = text.with(|text| dismissed.with(|dismissed| dismissed.as_ref() == Some(text)));
            if is_dismissed { Vec::new() } else { suggestions.get() }
        });
        // If the same text is typed again, the list opens again.
        Effect::new(move |_| {
            let is_other =
                |text: &String| dismissed.with_untracked(|dismissed| dismissed.as_ref().is_some_and(|one| one != text));
            if text.with(is_other) {
                dismissed.set(None);
            }
        });
        Self { text, shown, is_loading, selected: RwSignal::new(0), dismissed, on_choose }
    }

    /// Whether the list is open.
    pub(crate) fn is_open(self) -> bool {
        self.shown.with(|shown| !shown.is_empty())
    }

    /// The element id of the selected option, for `aria-activedescendant`.
    pub(crate) fn selected_id(self) -> Option<String> {
        self.is_open().then(|| format!("suggestion-{}", self.index()))
    }

    fn index(self) -> usize {
        self.shown.with(|shown| self.selected.get().min(shown.len().saturating_sub(1)))
    }

    fn choose(self, index: usize) {
        let chosen = self.shown.with_untracked(|shown| shown.get(index).cloned());
        if let Some(chosen) = chosen.filter(|chosen| chosen.is_usable) {
            self.selected.set(0);
            self.dismiss();
            self.on_choose.run(chosen.choice);
        }
    }

    fn dismiss(self) {
        self.dismissed.set(Some(self.text.get_untracked()));
    }

    /// Handles a key if the list is open. Returns whether it did.
    pub(crate) fn on_keydown(self, event: &KeyboardEvent) -> bool {
        if is_composing(event) || event.shift_key() {
            return false;
        }
        let count = self.shown.with_untracked(Vec::len);
        let index = untrack(|| self.index());
        match event.key().as_str() {
            // What was typed is the beginning of a name whose suggestions come in a moment: it is no message.
            "Enter" if count == 0 && self.is_loading.get_untracked() => {}
            _ if count == 0 => return false,
            "ArrowDown" => self.selected.set((index + 1) % count),
            "ArrowUp" => self.selected.set((index + count - 1) % count),
            "Enter" | "Tab" => self.choose(index),
            "Escape" => self.dismiss(),
            _ => return false,
        }
        event.prevent_default();
        true
    }

    /// How many there are, for screen readers.
    fn status(self) -> Option<String> {
        self.shown.with(|shown| {
            let kind = match shown.first()?.choice {
                Choice::Text(_) => "agents",
                Choice::Prompt(_) | Choice::Library => "suggestions",
            };
            Some(format!("{} {kind}. Choose with the arrow keys and Enter.", shown.len()))
        })
    }
}

/// The list above the composer.
#[component]
pub(crate) fn SuggestionList(suggestions: Suggestions) -> impl IntoView {
    let option = move |(index, suggestion): (usize, Suggestion)| {
        let Suggestion { glyph, name, code, about, is_usable, .. } = suggestion;
        view! {
            <li
                id=format!("suggestion-{index}")
                role="option"
                class="suggestion"
                aria-selected=move || if suggestions.index() == index { "true" } else { "false" }
                aria-disabled=(!is_usable).then_some("true")
                // Keeps the focus in the text field.
                on:mousedown=move |event| event.prevent_default()
                on:click=move |_| suggestions.choose(index)
            >
                {icon(glyph)}
                <span class="suggestion-name" dir="auto">{name} " " {code.map(|code| view! { <code>{code}</code> })}</span>
                <span class="suggestion-about" dir="auto">{about}</span>
            </li>
        }
    };
    view! {
        <Show when=move || suggestions.is_open()>
            <ul class="suggestions" id="suggestions" role="listbox" aria-label="Suggestions">
                {move || suggestions.shown.get().into_iter().enumerate().map(option).collect_view()}
            </ul>
        </Show>
        <p class="sr-only" role="status">{move || suggestions.status()}</p>
    }
    .into_any()
}
