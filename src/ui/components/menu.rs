//! A button that opens a list of further buttons and links. Arrow keys move in it, Escape and a click elsewhere close it.

use leptos::{
    ev::{KeyboardEvent, click},
    html,
    prelude::*,
    wasm_bindgen::JsCast,
    web_sys,
};

use super::focus::is_lost;

/// A menu; the buttons among its `children` close it by the signal.
#[component]
pub(crate) fn Menu(
    /// What the button opens, for who cannot see it.
    #[prop(into)]
    label: Signal<String>,
    #[prop(into)] button: ViewFn,
    class: &'static str,
    open: RwSignal<bool>,
    /// Whether the Tab key stops at the button.
    #[prop(optional, into)]
    tabindex: Option<&'static str>,
    children: ChildrenFn,
) -> impl IntoView {
    let root = NodeRef::<html::Div>::new();
    let trigger = NodeRef::<html::Button>::new();
    let items = move || -> Vec<web_sys::HtmlElement> {
        let list = root.try_get_untracked().flatten().and_then(|root| root.query_selector(".menu-list").ok().flatten());
        let children = list.map(|list| list.children());
        let children = children.into_iter().flat_map(|all| (0..all.length()).filter_map(move |index| all.item(index)));
        let items = children.filter(|child| matches!(child.tag_name().as_str(), "BUTTON" | "A"));
        items.filter_map(|item| item.dyn_into().ok()).collect()
    };
    Effect::new(move |was_open: Option<bool>| {
        if !open.get() {
            // What was chosen is gone, and the focus with it, unless that led elsewhere.
            if was_open == Some(true) {
                request_animation_frame(move || {
                    if let (true, Some(trigger)) = (is_lost(), trigger.try_get_untracked().flatten()) {
                        let _ = trigger.focus();
                    }
                });
            }
            return false;
        }
        request_animation_frame(move || {
            if let Some(first) = items().first() {
                let _ = first.focus();
            }
        });
        let outside = window_event_listener(click, move |event| {
            let target = event.target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
            let within = root.get_untracked().is_some_and(|root| root.contains(target.as_ref()));
            // A click may have replaced what was clicked: only what is still in the document can be outside.
            if !within && target.is_some_and(|target| target.is_connected()) {
                open.set(false);
            }
        });
        on_cleanup(move || outside.remove());
        true
    });
    let keys = move |event: KeyboardEvent| {
        // The keys of a menu that is closed are for what is around it.
        if !open.get_untracked() {
            return;
        }
        let items = items();
        let focused = document().active_element();
        let at = items.iter().position(|item| Some(item.as_ref()) == focused.as_ref());
        let to = match (event.key().as_str(), at) {
            ("Escape", _) => {
                open.set(false);
                if let Some(trigger) = trigger.get_untracked() {
                    let _ = trigger.focus();
                }
                event.prevent_default();
                return;
            }
            ("ArrowDown", at) => at.map_or(0, |at| at + 1),
            ("ArrowUp", at) => at.unwrap_or(0) + items.len().max(1) - 1,
            ("Home", _) => 0,
            ("End", _) => items.len().saturating_sub(1),
            ("Tab", _) => {
                open.set(false);
                return;
            }
            _ => return,
        };
        if !items.is_empty() {
            event.prevent_default();
            let _ = items[to % items.len()].focus();
        }
    };
    let children = StoredValue::new(children);
    view! {
        <div class=format!("menu {class}") node_ref=root on:keydown=keys>
            <button
                type="button"
                class="icon-button menu-trigger"
                node_ref=trigger
                tabindex=tabindex
                aria-expanded=move || if open.get() { "true" } else { "false" }
                aria-label=move || label.get()
                title=move || label.get()
                on:click=move |_| open.update(|open| *open = !*open)
            >
                {button.run()}
            </button>
            <Show when=move || open.get()>
                <div class="menu-list" role="group" aria-label=move || label.get()>
                    {children.with_value(|children| children())}
                </div>
            </Show>
        </div>
    }
    .into_any()
}
