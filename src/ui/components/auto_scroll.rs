//! A scroll box that stays at its end while it follows, and otherwise keeps what the reader is reading in place.
//!
//! [`ScrollState`] decides; this module feeds it DOM events and carries out its actions.

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

/// A selector of the fields that text is typed into.
const TEXT_FIELDS: &str = "textarea, input:not([type=radio])";

/// The elements of a scroll box and its state.
#[derive(Clone, Copy)]
pub(crate) struct AutoScroll {
    pub(crate) area: NodeRef<html::Div>,
    pub(crate) content: NodeRef<html::Div>,
    state: StoredValue<ScrollState>,
    anchor: StoredValue<Option<Anchor>>,
    away: RwSignal<bool>,
}

impl AutoScroll {
    pub(crate) fn new() -> Self {
        Self {
            area: NodeRef::new(),
            content: NodeRef::new(),
            state: StoredValue::new(ScrollState::default()),
            anchor: StoredValue::new(None),
            away: RwSignal::new(false),
        }
    }

    /// Whether the reader is far enough from the end to offer a button back to it.
    pub(crate) fn is_away(self) -> bool {
        self.away.get()
    }

    /// Scrolls to the end and follows it.
    pub(crate) fn jump_to_end(self) {
        self.apply(ScrollEvent::JumpToEnd);
    }

    /// Stops following the end.
    pub(crate) fn stop_following(self) {
        self.apply(ScrollEvent::StartReading);
    }

    /// Focuses the box, so that keys scroll it.
    pub(crate) fn focus(self) {
        if let Some(area) = self.area.get_untracked() {
            let _ = area.focus();
        }
    }

    fn geometry(self) -> Option<Geometry> {
        let area = self.area.try_get_untracked().flatten()?;
        Some(Geometry { top: area.scroll_top(), content: area.scroll_height(), window: area.client_height() })
    }

    /// Passes an event to the state machine and carries out its action.
    fn apply(self, event: ScrollEvent) {
        let Some(action) = self.state.try_update_value(|state| state.apply(event)) else { return };
        let boxes = (self.area.try_get_untracked().flatten(), self.content.try_get_untracked().flatten());
        let (Some(area), Some(content)) = boxes else { return };
        match action {
            ScrollAction::Nothing => {}
            ScrollAction::ScrollToEnd => area.set_scroll_top(area.scroll_height()),
            ScrollAction::SaveAnchor => self.anchor.set_value(Some(Anchor::capture(&area, &content))),
            ScrollAction::RestoreAnchor => self.anchor.with_value(|anchor| {
                if let Some(anchor) = anchor {
                    anchor.restore(&area);
                }
            }),
        }
        if matches!(action, ScrollAction::ScrollToEnd | ScrollAction::RestoreAnchor)
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

    pub(crate) fn on_scroll(self) {
        if let Some(now) = self.geometry() {
            self.apply(ScrollEvent::Scroll(now));
        }
    }

    fn on_resize(self) {
        let Some(now) = self.geometry() else { return };
        let before = self.state.try_with_value(ScrollState::geometry);
        self.apply(ScrollEvent::Resize(now));
        // An on-screen keyboard takes half of the window: keep the field that is being typed into visible.
        if before.is_some_and(|before| before.window != now.window)
            && let Some(field) = document().active_element()
            && field.matches(TEXT_FIELDS).is_ok_and(|is| is)
            && self.content.get_untracked().is_some_and(|content| content.contains(Some(&field)))
        {
            scroll_into_view(&field);
        }
    }

    /// Whether an element inside the box that contains the event's target can itself scroll up.
    fn inner_can_scroll_up(self, event: &web_sys::Event) -> bool {
        let area = self.area.get_untracked();
        let mut ancestor = target(event);
        while let Some(element) = ancestor {
            if area.as_ref().is_some_and(|area| element.is_same_node(Some(area))) {
                return false;
            }
            if element.scroll_top() > 0 {
                return true;
            }
            ancestor = element.parent_element();
        }
        false
    }

    pub(crate) fn on_wheel(self, event: &WheelEvent) {
        // With Control the wheel zooms, with Shift it scrolls sideways.
        if event.ctrl_key() || event.shift_key() || event.default_prevented() {
            return;
        }
        if event.delta_y() > 0.0 {
            self.apply(ScrollEvent::Down);
        } else if event.delta_y() < 0.0 && !self.inner_can_scroll_up(event) {
            self.apply(ScrollEvent::Up);
        }
    }

    pub(crate) fn on_keydown(self, event: &KeyboardEvent) {
        let is_in = |selector: &str| is_in(event, selector);
        if event.default_prevented() || is_in("input, textarea, select") {
            return;
        }
        let space = event.key() == " " && !is_in("button, summary, a");
        match event.key().as_str() {
            "ArrowUp" | "PageUp" | "Home" if !self.inner_can_scroll_up(event) => self.apply(ScrollEvent::Up),
            "ArrowDown" | "PageDown" | "End" => self.apply(ScrollEvent::Down),
            _ if space && event.shift_key() => self.apply(ScrollEvent::Up),
            _ if space => self.apply(ScrollEvent::Down),
            _ => {}
        }
    }

    pub(crate) fn on_pointerdown(self) {
        self.apply(ScrollEvent::Press);
    }

    pub(crate) fn on_click(self, event: &MouseEvent) {
        if is_in(event, "summary") {
            self.apply(ScrollEvent::ToggleSection);
        }
    }

    /// Stops following when a text field in the content takes the focus.
    pub(crate) fn on_focusin(self, event: &FocusEvent) {
        if let Some(field) = target(event).filter(|target| target.matches(TEXT_FIELDS).is_ok_and(|is| is)) {
            scroll_into_view(&field);
            self.apply(ScrollEvent::StartReading);
        }
    }

    /// Starts to observe sizes and pointers, once both elements are in the document. Call it in an effect.
    pub(crate) fn observe(self) {
        let (Some(area), Some(content)) = (self.area.get(), self.content.get()) else { return };
        // The person scrolled before hydration.
        if area.scroll_top() > 0 {
            self.apply(ScrollEvent::StartReading);
        }
        observe_resize(&[&area, &content], move || self.on_resize());
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

/// Whether an event's target matches a selector or is inside an element that does.
fn is_in(event: &web_sys::Event, selector: &str) -> bool {
    target(event).is_some_and(|target| target.closest(selector).is_ok_and(|found| found.is_some()))
}
