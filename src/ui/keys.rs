//! What a key does in a text field. One place for all fields, because two cases are easily forgotten: the key may belong to an
//! input method's composition, and on a touch screen Return is the only way to start a new line.

use leptos::ev::KeyboardEvent;

use super::layout::is_touch_only;

/// The `keyCode` of keys that an input method handles.
const INPUT_METHOD_KEY_CODE: u32 = 229;

/// How many lines a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    One,
    Many,
}

/// What a key in a field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyAction {
    /// Send or save the text.
    Submit,
    /// Leave the field without saving.
    Cancel,
}

/// The parts of a key event that matter here.
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
    /// Whether the key belongs to a composition. Safari ends the composition before the event of the key that ends it; only
    /// the key code then shows that the input method handled it.
    fn is_composing(self) -> bool {
        self.composing || self.code == INPUT_METHOD_KEY_CODE
    }

    /// What the key does. Touch keyboards have no Shift+Enter: there, Return starts a new line and a button sends.
    fn action(self, lines: Lines, touch_only: bool) -> Option<KeyAction> {
        match self.key {
            _ if self.is_composing() => None,
            "Escape" => Some(KeyAction::Cancel),
            "Enter" if self.command => Some(KeyAction::Submit),
            "Enter" if !self.shift && (lines == Lines::One || !touch_only) => Some(KeyAction::Submit),
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

/// Whether a key belongs to an input method's composition.
pub(crate) fn is_composing(event: &KeyboardEvent) -> bool {
    press(event, "").is_composing()
}

/// What a key does in a field.
pub(crate) fn key_action(event: &KeyboardEvent, lines: Lines) -> Option<KeyAction> {
    press(event, &event.key()).action(lines, is_touch_only())
}

/// Whether the key is Escape and no other handler has used it.
pub(crate) fn is_escape(event: &KeyboardEvent) -> bool {
    event.key() == "Escape" && !event.default_prevented() && !is_composing(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTER: Press<'static> = Press { key: "Enter", code: 13, composing: false, shift: false, command: false };
    const ESCAPE: Press<'static> = Press { key: "Escape", code: 27, ..ENTER };

    #[test]
    fn enter_submits_only_where_another_key_starts_a_new_line() {
        assert_eq!(ENTER.action(Lines::Many, false), Some(KeyAction::Submit));
        assert_eq!(ENTER.action(Lines::Many, true), None);
        assert_eq!(ENTER.action(Lines::One, true), Some(KeyAction::Submit));
        assert_eq!(Press { shift: true, ..ENTER }.action(Lines::Many, false), None);
        assert_eq!(Press { command: true, ..ENTER }.action(Lines::Many, true), Some(KeyAction::Submit));
        assert_eq!(ESCAPE.action(Lines::Many, true), Some(KeyAction::Cancel));
        assert_eq!(Press { key: "a", ..ENTER }.action(Lines::One, false), None);
    }

    #[test]
    fn keys_of_a_composition_neither_submit_nor_cancel() {
        for key in [ENTER, ESCAPE, Press { command: true, ..ENTER }] {
            for lines in [Lines::One, Lines::Many] {
                assert_eq!(Press { composing: true, ..key }.action(lines, false), None);
                assert_eq!(Press { code: 229, ..key }.action(lines, false), None, "the key code that Safari sends");
            }
        }
    }
}
