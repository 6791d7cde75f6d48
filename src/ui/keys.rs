//! What a key means to a field that a person writes in. All such fields ask here, for it depends on two things that are easily
//! forgotten: a text may be half typed, and a device may have no other way to break a line.

use leptos::ev::KeyboardEvent;

use super::layout::is_touch_only;

/// The code of every key that an input method takes for itself.
const TAKEN_BY_INPUT_METHOD: u32 = 229;

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    One,
    Many,
}

/// What a person asks for by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyAction {
    /// To send or keep what they wrote.
    Send,
    /// To leave without that.
    Cancel,
}

/// What a key event says.
#[derive(Debug, Clone, Copy, Default)]
struct Press<'a> {
    key: &'a str,
    code: u32,
    composing: bool,
    shift: bool,
    /// Control, or Command on a Mac.
    command: bool,
}

impl Press<'_> {
    /// Safari ends a composition before the key that ends it: the key says only by its code that it was part of it.
    fn is_composing(self) -> bool {
        self.composing || self.code == TAKEN_BY_INPUT_METHOD
    }

    /// With nothing but a touch screen a keyboard has no Shift and Enter: Return breaks the line there, and a button sends.
    fn asks(self, lines: Lines, touch_only: bool) -> Option<KeyAction> {
        match self.key {
            _ if self.is_composing() => None,
            "Escape" => Some(KeyAction::Cancel),
            "Enter" if self.command => Some(KeyAction::Send),
            "Enter" if !self.shift && (lines == Lines::One || !touch_only) => Some(KeyAction::Send),
            _ => None,
        }
    }
}

fn press<'a>(event: &KeyboardEvent, key: &'a str) -> Press<'a> {
    Press {
        key,
        code: event.key_code(),
        composing: event.is_composing(),
        shift: event.shift_key(),
        command: event.ctrl_key() || event.meta_key(),
    }
}

/// Whether a key belongs to a composition: the input method's, and nobody else's.
pub(crate) fn is_composing(event: &KeyboardEvent) -> bool {
    press(event, "").is_composing()
}

/// What a person asks for by a key in a field.
pub(crate) fn key_action(event: &KeyboardEvent, lines: Lines) -> Option<KeyAction> {
    press(event, &event.key()).asks(lines, is_touch_only())
}

/// Whether a key asks to leave or to stop, and nobody has taken it for that yet.
pub(crate) fn is_escape(event: &KeyboardEvent) -> bool {
    event.key() == "Escape" && !event.default_prevented() && !is_composing(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTER: Press<'static> = Press { key: "Enter", code: 13, composing: false, shift: false, command: false };
    const ESCAPE: Press<'static> = Press { key: "Escape", code: 27, ..ENTER };

    #[test]
    fn enter_sends_where_a_line_can_be_broken_otherwise() {
        assert_eq!(ENTER.asks(Lines::Many, false), Some(KeyAction::Send));
        assert_eq!(ENTER.asks(Lines::Many, true), None);
        assert_eq!(ENTER.asks(Lines::One, true), Some(KeyAction::Send));
        assert_eq!(Press { shift: true, ..ENTER }.asks(Lines::Many, false), None);
        assert_eq!(Press { command: true, ..ENTER }.asks(Lines::Many, true), Some(KeyAction::Send));
        assert_eq!(ESCAPE.asks(Lines::Many, true), Some(KeyAction::Cancel));
        assert_eq!(Press { key: "a", ..ENTER }.asks(Lines::One, false), None);
    }

    #[test]
    fn no_key_of_a_composition_sends_or_leaves() {
        for key in [ENTER, ESCAPE, Press { command: true, ..ENTER }] {
            for lines in [Lines::One, Lines::Many] {
                assert_eq!(Press { composing: true, ..key }.asks(lines, false), None);
                assert_eq!(Press { code: 229, ..key }.asks(lines, false), None, "as Safari tells it");
            }
        }
    }
}
