//! A scroll box that stays at its end while it follows, and otherwise keeps what the reader is reading in place.
//!
//! [`ScrollState`] decides; this module feeds it DOM events and carries out its actions.

use leptos::{
    ev::{FocusEvent, KeyboardEvent, MouseEvent, WheelEvent, pointercancel, pointerup},
    html,
    prelude::*,
    web_sys,
};

use super::{
    event_target::{is_in, target},
    rendered_items::RenderedItems,
};
use crate::{
    protocol::{MessageId, ThreadId},
    ui::{
        item_key::ItemKey,
        layout::{Anchor, articles_above, height_from, observe_resize, question_above, scroll_into_view},
        reading_positions::{Position, ReadingPositions},
        scroll_state::{Geometry, ScrollAction, ScrollEvent, ScrollState},
    },
};

/// A selector of the fields that text is typed into.
const TEXT_FIELDS: &str = "textarea, input:not([type=radio])";

/// Turns are added when less than this many windows of content are left in that direction.
const WINDOWS_AHEAD: i32 = 1;
/// Turns may be removed when they are farther from the window than this many windows.
const WINDOWS_KEPT: i32 = 3;

/// How far below the top edge an item is shown at which a thread opens, in pixels: below the pinned question.
const OPENED_BELOW_TOP: f64 = 72.0;

/// The elements of a scroll box and its state.
#[derive(Clone, Copy)]
pub(crate) struct AutoScroll {
    pub(crate) area: NodeRef<html::Div>,
    pub(crate) content: NodeRef<html::Div>,
    state: StoredValue<ScrollState>,
    anchor: StoredValue<Option<Anchor>>,
    away: RwSignal<bool>,
    question_above: RwSignal<Option<MessageId>>,
    /// Which turns are in the document.
    rendered: RenderedItems,
    thread: ThreadId,
    positions: ReadingPositions,
}

impl AutoScroll {
    pub(crate) fn new(thread: ThreadId, rendered: RenderedItems) -> Self {
        Self {
            rendered,
            thread,
            positions: expect_context(),
            area: NodeRef::new(),
            content: NodeRef::new(),
            state: StoredValue::new(ScrollState::default()),
            anchor: StoredValue::new(None),
            away: RwSignal::new(false),
            question_above: RwSignal::new(None),
        }
    }

    /// Whether the reader is far enough from the end to offer a button back to it.
    pub(crate) fn is_away(self) -> bool {
        self.away.get()
    }

    /// The question above the window whose answer is at the window's top edge.
    pub(crate) fn question_above(self) -> Option<MessageId> {
        self.question_above.get()
    }

    /// Scrolls to the end and follows it.
    pub(crate) fn jump_to_end(self) {
        self.rendered.show_end();
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

    /// The scroll box and its content, if they are in the document.
    fn boxes(self) -> Option<(web_sys::HtmlDivElement, web_sys::HtmlDivElement)> {
        self.area.try_get_untracked().flatten().zip(self.content.try_get_untracked().flatten())
    }

    fn geometry(self) -> Option<Geometry> {
        let area = self.area.try_get_untracked().flatten()?;
        Some(Geometry {
            top: area.scroll_top(),
            content: area.scroll_height(),
            window: area.client_height(),
            has_more_below: self.rendered.has_later(),
        })
    }

    /// Scrolls to the beginning of the thread.
    fn jump_to_start(self) {
        self.apply(ScrollEvent::StartReading);
        self.rendered.show_start();
        self.anchor.set_value(None);
        if let Some(area) = self.area.get_untracked() {
            area.set_scroll_top(0);
        }
        self.save_when_laid_out();
    }

    /// Saves the position after the next frame, unless the user has jumped to the end by then. Replacing turns by others that are as high
    /// causes no resize event, so the sizes that were measured in between would stay.
    fn save_when_laid_out(self) {
        request_animation_frame(move || {
            request_animation_frame(move || {
                if self.state.try_with_value(|state| !state.is_following()) == Some(true) {
                    // Turns may just have been added above.
                    self.on_resize();
                    self.apply(ScrollEvent::StartReading);
                }
            });
        });
    }

    /// Shows an item at a distance in pixels below the top edge of the window, and keeps it there. No effect if the branch lacks it.
    pub(crate) fn show_item(self, item: ItemKey, offset: f64) {
        if !self.rendered.show(item) {
            return;
        }
        self.apply(ScrollEvent::StartReading);
        self.positions.set(self.thread, Some(Position { item, offset }));
        // The item is in the document by the next frame.
        request_animation_frame(move || {
            let Some(area) = self.area.try_get_untracked().flatten() else { return };
            if let Ok(Some(article)) = area.query_selector(&item.selector()) {
                let anchor = Anchor::at(article, offset);
                anchor.restore(&area);
                self.anchor.set_value(Some(anchor));
                self.on_scroll();
            }
        });
        self.save_when_laid_out();
    }

    /// Opens the thread at an item instead of its end, unless the user's reading position is kept or all that follows fits into the window.
    /// A thread whose beginning is not in the document opens at its end: adding earlier turns would move the item away.
    pub(crate) fn open_at(self, item: ItemKey) {
        if self.positions.get(self.thread).is_some() || untrack(|| self.rendered.has_earlier()) {
            return;
        }
        // The items are in the document by the next frame.
        request_animation_frame(move || {
            let Some((area, content)) = self.boxes() else { return };
            let article = area.query_selector(&item.selector()).ok().flatten();
            let window = f64::from(area.client_height()) - OPENED_BELOW_TOP;
            let fits = article.is_some_and(|article| height_from(&article, &content) <= window);
            if !fits {
                self.show_item(item, OPENED_BELOW_TOP);
            }
        });
    }

    /// Finds out which question is above the window.
    fn find_question_above(self) {
        let Some((area, content)) = self.boxes() else { return };
        let question = question_above(&area, &content);
        let question = question.and_then(|article| article.get_attribute("data-message-id")?.parse().ok());
        if self.question_above.get_untracked() != question {
            self.question_above.set(question);
        }
    }

    /// Shows the position where the user was reading, as soon as the thread is loaded.
    fn return_to_position(self) {
        Effect::new(move |returned: Option<bool>| {
            if returned == Some(true) || self.rendered.items.with(Vec::is_empty) {
                return returned == Some(true);
            }
            if let Some(Position { item, offset }) = self.positions.get(self.thread) {
                self.show_item(item, offset);
            }
            true
        });
    }

    /// Adds earlier turns to the document, in place.
    pub(crate) fn show_earlier(self) {
        self.apply(ScrollEvent::StartReading);
        self.add_earlier();
    }

    /// Adds later turns to the document, in place.
    pub(crate) fn show_later(self) {
        self.apply(ScrollEvent::StartReading);
        self.add_later();
    }

    fn add_earlier(self) {
        if self.rendered.add_earlier(self.articles_above(WINDOWS_KEPT + 1)) {
            self.restore_next_frame();
        }
    }

    fn add_later(self) {
        if self.rendered.add_later(self.articles_above(-WINDOWS_KEPT)) {
            self.restore_next_frame();
        }
    }

    /// Restores the position before the next frame is painted. If as much is added as is removed, there is no resize to do it.
    fn restore_next_frame(self) {
        request_animation_frame(move || self.on_resize());
    }

    /// The number of articles that begin less than this many windows below the top of the window.
    fn articles_above(self, windows: i32) -> usize {
        let Some((area, content)) = self.boxes() else { return 0 };
        articles_above(&area, &content, f64::from(area.client_height() * windows))
    }

    /// Adds turns to the document if the reader comes near the first or the last one that is there.
    fn add_turns_near_reader(self) {
        let Some(now) = self.geometry() else { return };
        let ahead = now.window * WINDOWS_AHEAD;
        if now.top < ahead && self.rendered.has_earlier() {
            self.add_earlier();
        } else if now.has_more_below && now.rendered_below() < ahead {
            self.add_later();
        }
    }

    /// Passes an event to the state machine and carries out its action.
    fn apply(self, event: ScrollEvent) {
        let applied = self.state.try_update_value(|state| {
            let was_following = state.is_following();
            (state.apply(event), was_following, state.is_following())
        });
        let Some((action, was_following, is_following)) = applied else { return };
        if was_following != is_following {
            self.rendered.set_follows_end(is_following);
            if is_following {
                self.positions.set(self.thread, None);
            }
        }
        let Some((area, content)) = self.boxes() else { return };
        match action {
            ScrollAction::Nothing => {}
            ScrollAction::ScrollToEnd => area.set_scroll_top(area.scroll_height()),
            ScrollAction::SaveAnchor => {
                let anchor = Anchor::capture(&area, &content);
                let item = anchor.article().and_then(|(article, offset)| Some((item_key(article)?, offset)));
                self.positions.set(self.thread, item.map(|(item, offset)| Position { item, offset }));
                self.anchor.set_value(Some(anchor));
            }
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
            self.add_turns_near_reader();
            self.find_question_above();
        }
    }

    fn on_resize(self) {
        let Some(now) = self.geometry() else { return };
        let before = self.state.try_with_value(ScrollState::geometry);
        self.apply(ScrollEvent::Resize(now));
        self.add_turns_near_reader();
        self.find_question_above();
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
            "Home" if self.rendered.has_earlier() => {
                event.prevent_default();
                self.jump_to_start();
            }
            "End" if self.rendered.has_later() => {
                event.prevent_default();
                self.jump_to_end();
            }
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
        self.return_to_position();
        let up = window_event_listener(pointerup, move |_| self.apply(ScrollEvent::Release));
        let cancel = window_event_listener(pointercancel, move |_| self.apply(ScrollEvent::Release));
        on_cleanup(move || {
            up.remove();
            cancel.remove();
        });
    }
}

/// The item whose article an element is.
fn item_key(article: &web_sys::Element) -> Option<ItemKey> {
    let id = |name| article.get_attribute(name);
    let run = || id("data-run-id")?.parse().ok().map(ItemKey::Run);
    id("data-message-id").and_then(|id| id.parse().ok()).map(ItemKey::Message).or_else(run)
}
