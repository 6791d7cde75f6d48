//! A scrolling box that keeps its end in sight while it is followed, and what is read in place while it is not.
//!
//! [`ScrollState`] decides; here is what it hears of, and what is done.

use leptos::{
    ev::{FocusEvent, KeyboardEvent, MouseEvent, WheelEvent, pointercancel, pointerup},
    html,
    prelude::*,
    wasm_bindgen::JsCast,
    web_sys,
};

use crate::ui::{
    layout::{Anchor, observe_resize, scroll_into_view},
    scroll_state::{Geometry, ScrollAction, ScrollEvent, ScrollState},
};

/// Where a person writes.
const WRITING: &str = "textarea, input:not([type=radio])";

/// A scrolling box, and whether it follows its end.
#[derive(Clone, Copy)]
pub(crate) struct Follow {
    area: NodeRef<html::Div>,
    content: NodeRef<html::Div>,
    state: StoredValue<ScrollState>,
    anchor: StoredValue<Option<Anchor>>,
    away: RwSignal<bool>,
}

impl Follow {
    pub(crate) fn new() -> Self {
        Self {
            area: NodeRef::new(),
            content: NodeRef::new(),
            state: StoredValue::new(ScrollState::default()),
            anchor: StoredValue::new(None),
            away: RwSignal::new(false),
        }
    }

    /// Whether to offer a way back to the end.
    pub(crate) fn is_away(self) -> bool {
        self.away.get()
    }

    /// To the end, and from there on with it.
    pub(crate) fn jump(self) {
        self.apply(ScrollEvent::JumpToEnd);
    }

    /// The reader went elsewhere, and stays there.
    pub(crate) fn stay(self) {
        self.apply(ScrollEvent::StartReading);
    }

    /// Gives the focus to the box: keys scroll it then.
    pub(crate) fn focus(self) {
        if let Some(area) = self.area.get_untracked() {
            let _ = area.focus();
        }
    }

    fn geometry(self) -> Option<Geometry> {
        let area = self.area.try_get_untracked().flatten()?;
        Some(Geometry { top: area.scroll_top(), content: area.scroll_height(), window: area.client_height() })
    }

    /// Tells the machine what happened, and does what it says.
    fn apply(self, input: ScrollEvent) {
        let Some(output) = self.state.try_update_value(|state| state.apply(input)) else { return };
        let boxes = (self.area.try_get_untracked().flatten(), self.content.try_get_untracked().flatten());
        let (Some(area), Some(content)) = boxes else { return };
        match output {
            ScrollAction::Nothing => {}
            ScrollAction::ScrollToEnd => area.set_scroll_top(area.scroll_height()),
            ScrollAction::SaveAnchor => self.anchor.set_value(Some(Anchor::capture(&area, &content))),
            ScrollAction::RestoreAnchor => self.anchor.with_value(|anchor| {
                if let Some(anchor) = anchor {
                    anchor.restore(&area);
                }
            }),
        }
        if matches!(output, ScrollAction::ScrollToEnd | ScrollAction::RestoreAnchor)
            && let Some(now) = self.geometry()
        {
            self.state.update_value(|state| {
                state.apply(ScrollEvent::ActionDone(now));
            });
        }
        let away = self.state.with_value(ScrollState::is_away);
        if self.away.get_untracked() != away {
            self.away.set(away);
        }
    }

    fn scrolled(self) {
        if let Some(now) = self.geometry() {
            self.apply(ScrollEvent::Scroll(now));
        }
    }

    fn resized(self) {
        let Some(now) = self.geometry() else { return };
        let before = self.state.try_with_value(ScrollState::geometry);
        self.apply(ScrollEvent::Resize(now));
        // A keyboard takes half of the window: where a person writes stays in sight.
        if before.is_some_and(|before| before.window != now.window)
            && let Some(writing) = document().active_element()
            && writing.matches(WRITING).is_ok_and(|is| is)
            && self.content.get_untracked().is_some_and(|content| content.contains(Some(&writing)))
        {
            scroll_into_view(&writing);
        }
    }

    /// Whether something inside the box, which the event is for, can itself scroll up.
    fn is_for_inner(self, event: &web_sys::Event) -> bool {
        let area = self.area.get_untracked();
        let mut at = target(event);
        while let Some(element) = at {
            if area.as_ref().is_some_and(|area| element.is_same_node(Some(area))) {
                return false;
            }
            if element.scroll_top() > 0 {
                return true;
            }
            at = element.parent_element();
        }
        false
    }

    fn wheel(self, event: &WheelEvent) {
        // With these keys a wheel zooms or goes sideways.
        if event.ctrl_key() || event.shift_key() || event.default_prevented() {
            return;
        }
        if event.delta_y() > 0.0 {
            self.apply(ScrollEvent::Down);
        } else if event.delta_y() < 0.0 && !self.is_for_inner(event) {
            self.apply(ScrollEvent::Up);
        }
    }

    fn key(self, event: &KeyboardEvent) {
        let is_in = |what: &str| is_in(event, what);
        if event.default_prevented() || is_in("input, textarea, select") {
            return;
        }
        let space = event.key() == " " && !is_in("button, summary, a");
        match event.key().as_str() {
            "ArrowUp" | "PageUp" | "Home" if !self.is_for_inner(event) => self.apply(ScrollEvent::Up),
            "ArrowDown" | "PageDown" | "End" => self.apply(ScrollEvent::Down),
            _ if space && event.shift_key() => self.apply(ScrollEvent::Up),
            _ if space => self.apply(ScrollEvent::Down),
            _ => {}
        }
    }

    fn click(self, event: &MouseEvent) {
        if is_in(event, "summary") {
            self.apply(ScrollEvent::ToggleSection);
        }
    }

    /// Who writes in the content is there, and not at its end.
    fn focused(self, event: &FocusEvent) {
        if let Some(field) = target(event).filter(|target| target.matches(WRITING).is_ok_and(|is| is)) {
            scroll_into_view(&field);
            self.apply(ScrollEvent::StartReading);
        }
    }

    /// Begins to watch, once both boxes are in the document.
    fn watch(self) {
        let (Some(area), Some(content)) = (self.area.get(), self.content.get()) else { return };
        // Who scrolled before the page came alive reads there.
        if area.scroll_top() > 0 {
            self.apply(ScrollEvent::StartReading);
        }
        observe_resize(&[&area, &content], move || self.resized());
        let up = window_event_listener(pointerup, move |_| self.apply(ScrollEvent::Release));
        let cancel = window_event_listener(pointercancel, move |_| self.apply(ScrollEvent::Release));
        on_cleanup(move || {
            up.remove();
            cancel.remove();
        });
    }
}

fn target(event: &web_sys::Event) -> Option<web_sys::Element> {
    event.target().and_then(|target| target.dyn_into().ok())
}

/// Whether an event is for an element that a selector names, or for something within one.
fn is_in(event: &web_sys::Event, selector: &str) -> bool {
    target(event).is_some_and(|target| target.closest(selector).is_ok_and(|found| found.is_some()))
}

/// The box. `children` is the content.
#[component]
pub(crate) fn Scroller(
    follow: Follow,
    /// What it is, for who cannot see it.
    label: &'static str,
    children: Children,
) -> impl IntoView {
    Effect::new(move |_| follow.watch());
    view! {
        <div
            class="scroller"
            node_ref=follow.area
            on:scroll=move |_| follow.scrolled()
            on:wheel=move |event| follow.wheel(&event)
            on:keydown=move |event| follow.key(&event)
            on:pointerdown=move |_| follow.apply(ScrollEvent::Press)
            on:focusin=move |event| follow.focused(&event)
            // Before what was clicked changes.
            on:click:capture=move |event| follow.click(&event)
            tabindex="0"
            role="region"
            aria-label=label
        >
            <div class="page timeline" node_ref=follow.content>{children()}</div>
        </div>
    }
    .into_any()
}

/// The way back to the end, while the reader is away from it.
#[component]
pub(crate) fn JumpToEnd(follow: Follow) -> impl IntoView {
    use super::icons::{Glyph, icon};
    let jump = move |_| {
        follow.jump();
        // The button goes away, and would leave the focus nowhere.
        follow.focus();
    };
    view! {
        <Show when=move || follow.is_away()>
            <button type="button" class="jump" on:click=jump>{icon(Glyph::Down)} "Jump to latest"</button>
        </Show>
    }
    .into_any()
}
