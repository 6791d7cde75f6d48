//! Whether a scroll box follows its end or stays where its reader is: a state machine without a browser.
//!
//! It changes its mind only by what a person did: wheel, keys, touch, the scroll bar, the button that jumps to the end, a
//! message sent. A change of layout never does: content that grows or shrinks, a window that a keyboard makes smaller and
//! what the browser then does with the position are answered by going back to the end, or by keeping what is read in place.

/// Within how many pixels of the end a reader who scrolls down has arrived: about a line.
const NEAR: i32 = 24;
/// How far from the end is still at the end: browsers round positions and sizes, each for itself.
const ROUNDING: i32 = 2;

/// Where a scroll box stands, in CSS pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// How much of the content is above the window.
    pub(crate) top: i32,
    /// The height of the content.
    pub(crate) content: i32,
    /// The height of the window that shows it.
    pub(crate) window: i32,
}

impl Geometry {
    /// How much of the content is below the window.
    fn below(self) -> i32 {
        (self.content - self.window - self.top).max(0)
    }

    fn has_size_of(self, other: Self) -> bool {
        (self.content, self.window) == (other.content, other.window)
    }
}

/// What the box does when its content or its window changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The end stays in sight.
    #[default]
    Following,
    /// What is read stays in place.
    Reading,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScrollEvent {
    /// A wheel or a key asks for what is above.
    Up,
    /// A wheel or a key asks for what is below.
    Down,
    /// A finger, pen or button went down on the box or its scroll bar.
    Press,
    /// It was lifted, or the browser took it over for scrolling.
    Release,
    /// The position changed, by whatever cause.
    Scroll(Geometry),
    /// The content or the window got another size.
    Resize(Geometry),
    /// What the output asked for was done.
    ActionDone(Geometry),
    /// The person wants to be at the end: they sent a message, or pressed the button that leads there.
    JumpToEnd,
    /// The person went elsewhere in the content by other means than scrolling.
    StartReading,
    /// The person opened or closed a part of the content: it gets another size next.
    ToggleSection,
}

/// What to do with the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScrollAction {
    Nothing,
    /// Scroll to the end.
    ScrollToEnd,
    /// Remember what is at the top of the window.
    SaveAnchor,
    /// Scroll so that what was remembered is where it was.
    RestoreAnchor,
}

/// The state of a scroll box.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScrollState {
    mode: Mode,
    /// The box as it was last.
    known: Geometry,
    pressed: bool,
    /// A part of the content was just opened or closed.
    toggled: bool,
}

impl ScrollState {
    #[cfg(test)]
    fn mode(&self) -> Mode {
        self.mode
    }

    /// The box as it was last.
    pub(crate) fn geometry(&self) -> Geometry {
        self.known
    }

    /// Whether the reader is away from the end, so that a way back is worth a button.
    pub(crate) fn is_away(&self) -> bool {
        self.mode == Mode::Reading && self.known.below() > NEAR
    }

    /// Takes what happened.
    pub(crate) fn apply(&mut self, input: ScrollEvent) -> ScrollAction {
        match input {
            // Where nothing is above, nobody can leave.
            ScrollEvent::Up if self.known.top > ROUNDING => self.read(),
            ScrollEvent::Down if self.mode == Mode::Reading && self.known.below() <= NEAR => self.follow(),
            ScrollEvent::Up | ScrollEvent::Down => ScrollAction::Nothing,
            ScrollEvent::Press | ScrollEvent::Release => {
                self.pressed = input == ScrollEvent::Press;
                ScrollAction::Nothing
            }
            ScrollEvent::Scroll(now) => self.scroll(now),
            ScrollEvent::Resize(now) => self.resize(now),
            ScrollEvent::ActionDone(now) => {
                self.known = now;
                ScrollAction::Nothing
            }
            ScrollEvent::JumpToEnd => self.follow(),
            ScrollEvent::StartReading => self.read(),
            ScrollEvent::ToggleSection => {
                self.toggled = true;
                ScrollAction::SaveAnchor
            }
        }
    }

    fn follow(&mut self) -> ScrollAction {
        (self.mode, self.toggled) = (Mode::Following, false);
        ScrollAction::ScrollToEnd
    }

    fn read(&mut self) -> ScrollAction {
        self.mode = Mode::Reading;
        ScrollAction::SaveAnchor
    }

    fn scroll(&mut self, now: Geometry) -> ScrollAction {
        let before = std::mem::replace(&mut self.known, now);
        // A browser moves a box by itself only when sizes change. Who moves one of unchanged size is a person, by the
        // scroll bar, a swipe that goes on, a search in the page or a screen reader; or a script on their behalf.
        if !self.pressed && !now.has_size_of(before) {
            return match self.mode {
                Mode::Following if !self.toggled && now.below() > ROUNDING => ScrollAction::ScrollToEnd,
                _ => ScrollAction::Nothing,
            };
        }
        match self.mode {
            Mode::Following if now.below() > ROUNDING => self.read(),
            Mode::Following => ScrollAction::Nothing,
            Mode::Reading if now.top > before.top && now.below() <= NEAR => self.follow(),
            Mode::Reading => ScrollAction::SaveAnchor,
        }
    }

    fn resize(&mut self, now: Geometry) -> ScrollAction {
        self.known = now;
        if std::mem::take(&mut self.toggled) {
            // What was opened stays where it was pressed; where the end is still in sight, it goes on being followed.
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

    /// A box whose window is 500 pixels high, and of whose content so much is above and below.
    fn at(above: i32, below: i32) -> Geometry {
        Geometry { top: above, content: above + 500 + below, window: 500 }
    }

    /// The same content and position, in a window of another height.
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

    /// Each row begins at the end of a long content, followed.
    #[rustfmt::skip]
    const TABLE: &[Row] = table! {
        // By layout nothing but the position changes.
        "growth is followed": Resize(at(1000, 60)) => ScrollToEnd, Following, false;
        "a smaller window keeps the end": Resize(in_window(at(1000, 0), 250)) => ScrollToEnd, Following, false;
        "a shrunken content clamps, and is followed when it grows": Scroll(at(300, 0)), Resize(at(300, 900)) => ScrollToEnd, Following, false;
        "a clamp that grew again before it was told is no reader": Scroll(at(300, 901)) => ScrollToEnd, Following, false;
        "a clamp while pressed is no reader": Press, Scroll(at(300, 0)) => Nothing, Following, false;
        "the echo of the own scrolling is no reader": Resize(at(1000, 60)), ActionDone(at(1060, 0)), Scroll(at(1060, 0)) => Nothing, Following, false;
        "a rounded end is the end": Scroll(at(998, 2)) => Nothing, Following, false;
        // Up leaves, at the first sign and by whatever means.
        "a wheel up leaves before the box moves": Up => SaveAnchor, Reading, false;
        "who left is not pulled back by growth": Up, Scroll(at(900, 100)), Resize(at(900, 400)) => RestoreAnchor, Reading, true;
        "by a little still is left": Up, Scroll(at(990, 10)), Resize(at(990, 70)) => RestoreAnchor, Reading, true;
        "a swipe leaves": Press, Release, Scroll(at(980, 20)) => SaveAnchor, Reading, false;
        "a scroll bar that is dragged leaves, also while content grows": Press, Scroll(at(700, 360)) => SaveAnchor, Reading, true;
        "a search in the page leaves": Scroll(at(0, 1000)) => SaveAnchor, Reading, true;
        "with nothing above there is nothing to leave": ActionDone(at(0, 0)), Up, Resize(at(0, 80)) => ScrollToEnd, Following, false;
        // Down comes back, if it arrives.
        "a way down that arrives follows": Up, Scroll(at(600, 400)), Scroll(at(990, 10)) => ScrollToEnd, Following, false;
        "a way down that does not arrive reads on": Up, Scroll(at(600, 400)), Scroll(at(900, 100)) => SaveAnchor, Reading, true;
        "a way up that ends near the end reads": Up, Scroll(at(600, 400)), Scroll(at(599, 20)), Scroll(at(595, 24)) => SaveAnchor, Reading, false;
        "a wheel down at the end follows": Up, Scroll(at(995, 5)), Down => ScrollToEnd, Following, false;
        "a wheel down elsewhere only scrolls": Up, Scroll(at(600, 400)), Down => Nothing, Reading, true;
        "the button follows": Up, Scroll(at(600, 400)), JumpToEnd => ScrollToEnd, Following, false;
        "what is sent is followed": Up, Scroll(at(600, 400)), JumpToEnd, Resize(at(600, 480)) => ScrollToEnd, Following, false;
        // While reading, layout moves nobody to the end.
        "content that shrinks to the end does not follow": Up, Scroll(at(600, 400)), Resize(at(600, 0)) => RestoreAnchor, Reading, false;
        "a clamp to the end does not follow": Up, Scroll(at(600, 400)), Scroll(at(400, 0)), Resize(at(400, 700)) => RestoreAnchor, Reading, true;
        "a taller window that shows the end does not follow": Up, Scroll(at(900, 100)), Resize(in_window(at(900, 100), 650)) => RestoreAnchor, Reading, false;
        "another version is read where it is": StartReading, Resize(at(1000, 300)) => RestoreAnchor, Reading, true;
        // What a person opens stays under their finger.
        "what is opened at the end is not pushed out of sight": ToggleSection, Resize(at(1000, 700)) => RestoreAnchor, Reading, true;
        "what is opened keeps its place though the focus scrolls": ToggleSection, Scroll(at(900, 400)), Resize(at(900, 400)) => RestoreAnchor, Reading, true;
        "what is closed in sight of the end goes on being followed": ToggleSection, Resize(at(700, 0)), Resize(at(700, 50)) => ScrollToEnd, Following, false;
    };

    #[test]
    fn only_a_person_changes_whether_the_end_is_followed() {
        for row in TABLE {
            let mut following = super::ScrollState::default();
            following.apply(ActionDone(at(1000, 0)));
            let outputs: Vec<ScrollAction> = row.inputs.iter().map(|input| following.apply(input())).collect();
            let got = (outputs.last().copied(), following.mode(), following.is_away());
            assert_eq!(got, (Some(row.last), row.mode, row.away), "{}: {outputs:?}", row.name);
        }
    }
}
