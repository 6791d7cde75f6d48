//! A button that opens a list of buttons and links. Arrow keys move within the list; Escape and a click outside close it.

use leptos::{
    ev::{KeyboardEvent, click},
    html,
    prelude::*,
    wasm_bindgen::JsCast,
    web_sys,
};

use super::focus::is_focus_lost;

/// A menu. Its items close it by setting `open`.
#[component]
pub(crate) fn Menu(
    /// The accessible name of the button and the list.
    #[prop(into)]
    label: Signal<String>,
    #[prop(into)] button: ViewFn,
    class: &'static str,
    open: RwSignal<bool>,
    /// The button's tabindex.
    #[prop(optional, into)]
    tabindex: Option<&'static str>,
    children: ChildrenFn,
) -> impl IntoView {
    let menu = MenuState { open, root: NodeRef::new(), trigger: NodeRef::new() };
    Effect::new(move |was_open: Option<bool>| {
        if open.get() {
            menu.on_open();
        } else if was_open == Some(true) {
            menu.on_close();
        }
        open.get_untracked()
    });
    let children = StoredValue::new(children);
    view! {
        <div class=format!("menu {class}") node_ref=menu.root on:keydown=move |event| menu.on_keydown(&event)>
            <button
                type="button"
                class="icon-button menu-trigger"
                node_ref=menu.trigger
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

#[derive(Clone, Copy)]
struct MenuState {
    open: RwSignal<bool>,
    root: NodeRef<html::Div>,
    trigger: NodeRef<html::Button>,
}

impl MenuState {
    /// The buttons and links in the open list.
    fn items(self) -> Vec<web_sys::HtmlElement> {
        let root = self.root.try_get_untracked().flatten();
        let list = root.and_then(|root| root.query_selector(".menu-list").ok().flatten());
        let children = list.map(|list| list.children());
        let children = children.into_iter().flat_map(|all| (0..all.length()).filter_map(move |index| all.item(index)));
        let items = children.filter(|child| matches!(child.tag_name().as_str(), "BUTTON" | "A"));
        items.filter_map(|item| item.dyn_into().ok()).collect()
    }

    /// Focuses the first item, and closes the menu on a click outside. Call it in an effect.
    fn on_open(self) {
        request_animation_frame(move || {
            if let Some(first) = self.items().first() {
                let _ = first.focus();
            }
        });
        let listener = window_event_listener(click, move |event| {
            let target = event.target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
            let is_inside = self.root.get_untracked().is_some_and(|root| root.contains(target.as_ref()));
            // A handler inside the menu may have removed the target from the document.
            if !is_inside && target.is_some_and(|target| target.is_connected()) {
                self.open.set(false);
            }
        });
        on_cleanup(move || listener.remove());
    }

    /// Focuses the trigger, unless the chosen item moved the focus elsewhere.
    fn on_close(self) {
        request_animation_frame(move || {
            if let (true, Some(trigger)) = (is_focus_lost(), self.trigger.try_get_untracked().flatten()) {
                let _ = trigger.focus();
            }
        });
    }

    fn on_keydown(self, event: &KeyboardEvent) {
        // While the menu is closed, the elements around it handle the keys.
        if !self.open.get_untracked() {
            return;
        }
        let items = self.items();
        let focused = document().active_element();
        let index = items.iter().position(|item| Some(item.as_ref()) == focused.as_ref());
        let next = match event.key().as_str() {
            "Escape" => {
                self.open.set(false);
                if let Some(trigger) = self.trigger.get_untracked() {
                    let _ = trigger.focus();
                }
                event.prevent_default();
                return;
            }
            "Tab" => return self.open.set(false),
            "ArrowDown" => index.map_or(0, |index| index + 1),
            "ArrowUp" => index.unwrap_or(0) + items.len().max(1) - 1,
            "Home" => 0,
            "End" => items.len().saturating_sub(1),
            _ => return,
        };
        if !items.is_empty() {
            event.prevent_default();
            let _ = items[next % items.len()].focus();
        }
    }
}
