//! Follows what is new while the reader is at the bottom; lets go at the first sign that they want to read elsewhere.

use leptos::{html, prelude::*};

/// Within how many pixels of the bottom counts as there.
const NEAR: i32 = 8;

/// A scrolling box that follows its end.
#[derive(Clone, Copy)]
pub(crate) struct Follow {
    pub(crate) area: NodeRef<html::Div>,
    following: RwSignal<bool>,
    at_end: RwSignal<bool>,
    /// Where the box was last seen.
    seen: StoredValue<i32>,
}

impl Follow {
    pub(crate) fn new() -> Self {
        Self {
            area: NodeRef::new(),
            following: RwSignal::new(true),
            at_end: RwSignal::new(true),
            seen: StoredValue::new(0),
        }
    }

    /// Whether to offer a way back to the end.
    pub(crate) fn is_away(self) -> bool {
        !self.following.get() && !self.at_end.get()
    }

    /// The reader did something that means "not further down".
    pub(crate) fn release(self) {
        self.following.set(false);
    }

    /// The box scrolled, by whatever cause.
    pub(crate) fn scrolled(self) {
        let Some(area) = self.area.get_untracked() else { return };
        let (top, before) = (area.scroll_top(), self.seen.get_value());
        let at_end = area.scroll_height() - area.client_height() - top <= NEAR;
        // Upward by little still is upward: only a way down that arrives takes up following again.
        if at_end && top > before {
            self.following.set(true);
        } else if !at_end && top < before {
            self.following.set(false);
        }
        self.seen.set_value(top);
        if self.at_end.get_untracked() != at_end {
            self.at_end.set(at_end);
        }
    }

    /// What is in the box changed.
    pub(crate) fn changed(self) {
        request_animation_frame(move || {
            // The page may be gone by the next frame.
            if self.following.try_get_untracked() == Some(true) {
                self.end();
            } else if self.seen.try_get_value().is_some() {
                self.scrolled();
            }
        });
    }

    /// To the end, and from there on with it.
    pub(crate) fn jump(self) {
        self.following.set(true);
        self.end();
    }

    fn end(self) {
        if let Some(area) = self.area.try_get_untracked().flatten() {
            area.set_scroll_top(area.scroll_height());
            self.seen.set_value(area.scroll_top());
            self.at_end.set(true);
        }
    }
}
