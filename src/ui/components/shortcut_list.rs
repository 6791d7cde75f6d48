//! The list of keyboard shortcuts, in a dialog.

use leptos::{html, prelude::*};

use super::{
    dialogs::Dialogs,
    focus::focus_when_shown,
    icons::{Glyph, icon},
};
use crate::ui::{
    browser,
    part::part,
    shortcuts::{BINDINGS, Binding, are_single_keys_on, turn_single_keys},
};

part!(
    /// The content of the dialog.
    pub(crate) SHORTCUT_LIST, shortcut_list, |(): ()| view! { <ShortcutList/> }.into_any()
);

/// The keys of a shortcut.
pub(super) fn keys(binding: &Binding) -> impl IntoView + use<> {
    let keys = binding.keys(browser::is_apple());
    view! { <span class="keys">{keys.into_iter().map(|key| view! { <kbd>{key}</kbd> }).collect_view()}</span> }
}

/// All shortcuts, and the setting that turns off those of a single character.
#[component]
fn ShortcutList() -> impl IntoView {
    let dialogs: Dialogs = expect_context();
    let single_keys = RwSignal::new(are_single_keys_on());
    let close = NodeRef::<html::Button>::new();
    focus_when_shown(close);
    let change = move |on: bool| {
        single_keys.set(on);
        turn_single_keys(on);
    };
    let row = move |binding: &'static Binding| {
        let is_off = move || binding.is_single_character() && !single_keys.get();
        view! {
            <div class="shortcut">
                <dt>{binding.label} <span class="quiet">{move || is_off().then_some(" (off)")}</span></dt>
                <dd>{keys(binding)}</dd>
            </div>
        }
    };
    view! {
        <div class="dialog-head">
            <h2>"Keyboard shortcuts"</h2>
            <button type="button" class="icon-button" aria-label="Close" node_ref=close on:click=move |_| dialogs.close()>
                {icon(Glyph::Close)}
            </button>
        </div>
        <dl class="shortcuts">{BINDINGS.iter().map(row).collect_view()}</dl>
        <label class="shortcuts-setting">
            <input
                type="checkbox"
                prop:checked=move || single_keys.get()
                on:change:target=move |event| change(event.target().checked())
            />
            <span>
                "Single-key shortcuts"
                <span class="hint" id="single-keys-hint">"Turn them off if you use speech input or keys of your own."</span>
            </span>
        </label>
    }
    .into_any()
}
