//! Whether a scroll box follows the end of its content or keeps the reader's position: a state machine without a browser.
//!
//! Only the reader switches between the two: by scrolling in any way, opening a section, showing another version, the button that jumps
//! to the end, or sending a message. Layout changes never do: when content grows or shrinks, or a keyboard makes the window smaller, the box
//! scrolls back to the end, or to the reader's position.

/// A reader who scrolls down within this many pixels of the end has arrived there: about a line.
const NEAR: i32 = 24;
/// Tolerance in pixels at the end and the top: browsers round positions and sizes separately.
const ROUNDING: i32 = 2;

/// The scroll position and the sizes of a box, in CSS pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// The height of the content above the window.
    pub(crate) top: i32,
    /// The height of the content.
    pub(crate) content: i32,
    /// The height of the window that shows it.
    pub(crate) window: i32,
    /// Whether more content follows that is not in the document.
    pub(crate) has_more_below: bool,
}

impl Geometry {
    /// The height of the content below the window; far more than a window if the content's end is not in the document.
    fn below(self) -> i32 {
        if self.has_more_below { i32::MAX } else { self.rendered_below() }
    }

    /// The height below the window of the content that is in the document.
    pub(crate) fn rendered_below(self) -> i32 {
        (self.content - self.window - self.top).max(0)
    }

    fn has_same_size(self, other: Self) -> bool {
        (self.content, self.window) == (other.content, other.window)
    }
}

/// How the box reacts when its content or its window changes size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Keep the end visible.
    #[default]
    Following,
    /// Keep the reader's position.
    Reading,
}

/// An event of the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScrollEvent {
    /// A wheel or a key scrolls up.
    Up,
    /// A wheel or a key scrolls down.
    Down,
    /// A finger, pen or mouse button went down on the box or its scroll bar.
    Press,
    /// It was lifted, or the browser took it over for scrolling.
    Release,
    /// The position changed, for whatever reason.
    Scroll(Geometry),
    /// The content or the window changed its size.
    Resize(Geometry),
    /// The last [`ScrollAction`] was carried out.
    ActionDone(Geometry),
    /// The user sent a message, or pressed the button that jumps to the end.
    JumpToEnd,
    /// The user moved to another place in the content without scrolling.
    StartReading,
    /// The user opened or closed a section of the content. A resize follows.
    ToggleSection,
}

/// What to do with the box next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScrollAction {
    Nothing,
    /// Scroll to the end.
    ScrollToEnd,
    /// Save the element at the top of the window.
    SaveAnchor,
    /// Scroll so that the saved element is where it was.
    RestoreAnchor,
}

/// The state of a scroll box.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScrollState {
    mode: Mode,
    last_geometry: Geometry,
    pressed: bool,
    /// Whether a section was just opened or closed.
    toggled: bool,
}

impl ScrollState {
    #[cfg(test)]
    fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the box follows the end of its content.
    pub(crate) fn is_following(&self) -> bool {
        self.mode == Mode::Following
    }

    /// The last known geometry.
    pub(crate) fn geometry(&self) -> Geometry {
        self.last_geometry
    }

    /// Whether the reader is so far from the end that the page offers a button to jump there.
    pub(crate) fn is_away(&self) -> bool {
        self.mode == Mode::Reading && self.last_geometry.below() > NEAR
    }

    /// Applies an event and returns what to do.
    pub(crate) fn apply(&mut self, event: ScrollEvent) -> ScrollAction {
        match event {
            // At the top, there is nothing to scroll up to.
            ScrollEvent::Up if self.last_geometry.top > ROUNDING => self.start_reading(),
            ScrollEvent::Down if self.mode == Mode::Reading && self.last_geometry.below() <= NEAR => {
                self.start_following()
            }
            ScrollEvent::Up | ScrollEvent::Down => ScrollAction::Nothing,
            ScrollEvent::Press | ScrollEvent::Release => {
                self.pressed = event == ScrollEvent::Press;
                ScrollAction::Nothing
            }
            ScrollEvent::Scroll(now) => self.on_scroll(now),
            ScrollEvent::Resize(now) => self.on_resize(now),
            ScrollEvent::ActionDone(now) => {
                self.last_geometry = now;
                ScrollAction::Nothing
            }
            ScrollEvent::JumpToEnd => self.start_following(),
            ScrollEvent::StartReading => self.start_reading(),
            ScrollEvent::ToggleSection => {
                self.toggled = true;
                ScrollAction::SaveAnchor
            }
        }
    }

    fn start_following(&mut self) -> ScrollAction {
        (self.mode, self.toggled) = (Mode::Following, false);
        ScrollAction::ScrollToEnd
    }

    fn start_reading(&mut self) -> ScrollAction {
        self.mode = Mode::Reading;
        ScrollAction::SaveAnchor
    }

    fn on_scroll(&mut self, now: Geometry) -> ScrollAction {
        let before = std::mem::replace(&mut self.last_geometry, now);
        // A browser scrolls a box by itself only when sizes change. With unchanged sizes, it was a person: with the scroll
        // bar, the momentum of a swipe, a search in the page, or a screen reader.
        if !self.pressed && !now.has_same_size(before) {
            return match self.mode {
                Mode::Following if !self.toggled && now.below() > ROUNDING => ScrollAction::ScrollToEnd,
                _ => ScrollAction::Nothing,
            };
        }
        match self.mode {
            Mode::Following if now.below() > ROUNDING => self.start_reading(),
            Mode::Following => ScrollAction::Nothing,
            Mode::Reading if now.top > before.top && now.below() <= NEAR => self.start_following(),
            Mode::Reading => ScrollAction::SaveAnchor,
        }
    }

    fn on_resize(&mut self, now: Geometry) -> ScrollAction {
        self.last_geometry = now;
        if std::mem::take(&mut self.toggled) {
            // The pressed section keeps its place. If the end is still visible, keep following it.
            if self.mode == Mode::Following && now.below() > NEAR {
                self.mode = Mode::Reading;
            }
            return ScrollAction::RestoreAnchor;
        }
        match self.mode {
            Mode::Following => ScrollAction::ScrollToEnd,
            Mode::Reading => ScrollAction::RestoreAnchor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Geometry, Mode, Mode::*, ScrollAction, ScrollAction::*, ScrollEvent, ScrollEvent::*};

    /// A box with a window of 500 pixels and this much content above and below it.
    fn at(above: i32, below: i32) -> Geometry {
        Geometry { top: above, content: above + 500 + below, window: 500, has_more_below: false }
    }

    /// The same position, but the content continues after its end.
    fn more_below(geometry: Geometry) -> Geometry {
        Geometry { has_more_below: true, ..geometry }
    }

    /// The same content and position with another window height.
    fn in_window(geometry: Geometry, window: i32) -> Geometry {
        Geometry { window, ..geometry }
    }

    struct Row {
        name: &'static str,
        inputs: &'static [fn() -> ScrollEvent],
        last: ScrollAction,
        mode: Mode,
        away: bool,
    }

    macro_rules! table {
        ($($name:literal: $($input:expr),+ => $last:expr, $mode:expr, $away:expr;)+) => {
            &[$(Row { name: $name, inputs: &[$(|| $input),+], last: $last, mode: $mode, away: $away }),+]
        };
    }

    /// Each row begins at the end of long content, in the mode `Following`.
    #[rustfmt::skip]
    const TABLE: &[Row] = table! {
        // Layout changes do not change the mode.
        "following continues when content grows": Resize(at(1000, 60)) => ScrollToEnd, Following, false;
        "a smaller window keeps the end visible": Resize(in_window(at(1000, 0), 250)) => ScrollToEnd, Following, false;
        "following survives content that shrinks and grows again": Scroll(at(300, 0)), Resize(at(300, 900)) => ScrollToEnd, Following, false;
        "a late scroll event of the browser's own clamping does not stop following": Scroll(at(300, 901)) => ScrollToEnd, Following, false;
        "clamping while the pointer is pressed does not stop following": Press, Scroll(at(300, 0)) => Nothing, Following, false;
        "the scroll event of our own scrolling does not stop following": Resize(at(1000, 60)), ActionDone(at(1060, 0)), Scroll(at(1060, 0)) => Nothing, Following, false;
        "two pixels from the end count as the end": Scroll(at(998, 2)) => Nothing, Following, false;
        // Any scrolling up by a person stops following.
        "a wheel up stops following before the box moves": Up => SaveAnchor, Reading, false;
        "growth does not pull a reader back to the end": Up, Scroll(at(900, 100)), Resize(at(900, 400)) => RestoreAnchor, Reading, true;
        "scrolling up a little is enough": Up, Scroll(at(990, 10)), Resize(at(990, 70)) => RestoreAnchor, Reading, true;
        "a swipe up stops following": Press, Release, Scroll(at(980, 20)) => SaveAnchor, Reading, false;
        "dragging the scroll bar stops following, also while content grows": Press, Scroll(at(700, 360)) => SaveAnchor, Reading, true;
        "a search in the page stops following": Scroll(at(0, 1000)) => SaveAnchor, Reading, true;
        "a wheel up at the top does not stop following": ActionDone(at(0, 0)), Up, Resize(at(0, 80)) => ScrollToEnd, Following, false;
        // Scrolling down to the end resumes following.
        "scrolling down to the end follows again": Up, Scroll(at(600, 400)), Scroll(at(990, 10)) => ScrollToEnd, Following, false;
        "scrolling down without reaching the end keeps reading": Up, Scroll(at(600, 400)), Scroll(at(900, 100)) => SaveAnchor, Reading, true;
        "scrolling up near the end keeps reading": Up, Scroll(at(600, 400)), Scroll(at(599, 20)), Scroll(at(595, 24)) => SaveAnchor, Reading, false;
        "a wheel down at the end follows again": Up, Scroll(at(995, 5)), Down => ScrollToEnd, Following, false;
        "a wheel down elsewhere only scrolls": Up, Scroll(at(600, 400)), Down => Nothing, Reading, true;
        "the button to the end follows again": Up, Scroll(at(600, 400)), JumpToEnd => ScrollToEnd, Following, false;
        "a sent message is followed": Up, Scroll(at(600, 400)), JumpToEnd, Resize(at(600, 480)) => ScrollToEnd, Following, false;
        "the end of what is in the document is not the end of the content": Up, Scroll(more_below(at(600, 400))), Scroll(more_below(at(1000, 0))), Down => Nothing, Reading, true;
        // While reading, layout changes do not go to the end.
        "content that shrinks to the end does not resume following": Up, Scroll(at(600, 400)), Resize(at(600, 0)) => RestoreAnchor, Reading, false;
        "clamping to the end does not resume following": Up, Scroll(at(600, 400)), Scroll(at(400, 0)), Resize(at(400, 700)) => RestoreAnchor, Reading, true;
        "a taller window that shows the end does not resume following": Up, Scroll(at(900, 100)), Resize(in_window(at(900, 100), 650)) => RestoreAnchor, Reading, false;
        "another version of a message is read in place": StartReading, Resize(at(1000, 300)) => RestoreAnchor, Reading, true;
        // A section that is opened or closed keeps its place.
        "a section opened at the end stays visible": ToggleSection, Resize(at(1000, 700)) => RestoreAnchor, Reading, true;
        "an opened section keeps its place although focus scrolls the box": ToggleSection, Scroll(at(900, 400)), Resize(at(900, 400)) => RestoreAnchor, Reading, true;
        "closing a section near the end keeps following": ToggleSection, Resize(at(700, 0)), Resize(at(700, 50)) => ScrollToEnd, Following, false;
    };

    #[test]
    fn only_a_person_switches_between_following_and_reading() {
        for row in TABLE {
            let mut state = super::ScrollState::default();
            state.apply(ActionDone(at(1000, 0)));
            let outputs: Vec<ScrollAction> = row.inputs.iter().map(|input| state.apply(input())).collect();
            let got = (outputs.last().copied(), state.mode(), state.is_away());
            assert_eq!(got, (Some(row.last), row.mode, row.away), "{}: {outputs:?}", row.name);
        }
    }
}
