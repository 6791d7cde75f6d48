//! Keyboard shortcuts: one table, by which keys are handled and from which the page lists them.
//!
//! Shortcuts of a single character apply only outside fields, and can be turned off: people who dictate, or whose assistive
//! technology has the same keys, would press them by accident (WCAG 2.1.4).

use leptos::{ev::KeyboardEvent, wasm_bindgen::JsCast, web_sys::Element};

use super::{browser, keys::is_composing};

/// The key in local storage of the setting for shortcuts of a single character. Without a value they are on.
const SINGLE_KEYS_STORAGE_KEY: &str = "netra.single-key-shortcuts";
/// Elements that use the keys themselves.
const FIELDS: &str = "input, textarea, select, [contenteditable]";

/// What a shortcut does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortcut {
    OpenPalette,
    NewThread,
    FocusMessage,
    EditLastMessage,
    Steer,
    StopAndAsk,
    StopRun,
    PreviousMessage,
    NextMessage,
    ListShortcuts,
}

/// The keys to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Modifiers {
    /// None, or those that the keyboard's layout needs for the character.
    None,
    Alt,
    /// Command on a Mac, where Control has other meanings in fields; Control elsewhere.
    Command,
    CommandShift,
}

/// A shortcut with its keys.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) shortcut: Shortcut,
    modifiers: Modifiers,
    /// The value of `KeyboardEvent.key`, letters in lower case.
    key: &'static str,
    /// What it does, for the list of shortcuts.
    pub(crate) label: &'static str,
}

/// All shortcuts, in the order of the list.
pub(crate) static BINDINGS: [Binding; 10] = [
    Binding::new(Shortcut::OpenPalette, Modifiers::Command, "k", "Search or jump to"),
    Binding::new(Shortcut::NewThread, Modifiers::CommandShift, "o", "Start a new thread"),
    Binding::new(Shortcut::FocusMessage, Modifiers::None, "/", "Write a message"),
    Binding::new(
        Shortcut::EditLastMessage,
        Modifiers::None,
        "ArrowUp",
        "Edit your last message, from an empty message",
    ),
    Binding::new(Shortcut::Steer, Modifiers::Command, "Enter", "Send now, to steer the answer"),
    Binding::new(Shortcut::StopAndAsk, Modifiers::CommandShift, "Enter", "Stop the answer and ask"),
    Binding::new(Shortcut::StopRun, Modifiers::None, "Escape", "Stop the answer"),
    Binding::new(Shortcut::PreviousMessage, Modifiers::Alt, "ArrowUp", "Go to the previous message"),
    Binding::new(Shortcut::NextMessage, Modifiers::Alt, "ArrowDown", "Go to the next message"),
    Binding::new(Shortcut::ListShortcuts, Modifiers::None, "?", "Show keyboard shortcuts"),
];

impl Binding {
    const fn new(shortcut: Shortcut, modifiers: Modifiers, key: &'static str, label: &'static str) -> Self {
        Self { shortcut, modifiers, key, label }
    }

    /// Whether it is a single character.
    pub(crate) fn is_single_character(&self) -> bool {
        self.modifiers == Modifiers::None && self.key.len() == 1
    }

    /// Whether it applies only outside fields: fields use its keys.
    fn is_outside_fields(&self) -> bool {
        self.is_single_character() || self.modifiers == Modifiers::Alt
    }

    fn matches(&self, press: &Press) -> bool {
        let Press { control, meta, alt, shift, is_apple, .. } = *press;
        let (command, other) = if is_apple { (meta, control) } else { (control, meta) };
        let holds = match self.modifiers {
            Modifiers::None => !command && !other && !alt,
            Modifiers::Alt => alt && !command && !other && !shift,
            Modifiers::Command => command && !other && !alt && !shift,
            Modifiers::CommandShift => command && !other && !alt && shift,
        };
        holds
            && press.key.to_lowercase() == self.key.to_lowercase()
            && !(self.is_outside_fields() && press.in_field)
            && (press.single_keys || !self.is_single_character())
    }

    /// The names of its keys, as printed on the keyboard.
    pub(crate) fn keys(&self, is_apple: bool) -> Vec<&'static str> {
        let command = if is_apple { "⌘" } else { "Ctrl" };
        let alt = if is_apple { "⌥" } else { "Alt" };
        let shift = if is_apple { "⇧" } else { "Shift" };
        let key = match self.key {
            "ArrowUp" => "↑",
            "ArrowDown" => "↓",
            "Escape" => "Esc",
            "k" => "K",
            "o" => "O",
            other => other,
        };
        match self.modifiers {
            Modifiers::None => vec![key],
            Modifiers::Alt => vec![alt, key],
            Modifiers::Command => vec![command, key],
            Modifiers::CommandShift => vec![command, shift, key],
        }
    }
}

/// The keys of a shortcut.
pub(crate) fn binding(shortcut: Shortcut) -> Option<&'static Binding> {
    BINDINGS.iter().find(|binding| binding.shortcut == shortcut)
}

/// The parts of a key event that matter here.
#[derive(Debug, Clone, Default)]
struct Press {
    key: String,
    control: bool,
    meta: bool,
    alt: bool,
    shift: bool,
    in_field: bool,
    is_apple: bool,
    single_keys: bool,
}

/// The shortcut that was pressed, unless another handler has used the key.
pub(crate) fn pressed(event: &KeyboardEvent) -> Option<Shortcut> {
    if event.default_prevented() || is_composing(event) {
        return None;
    }
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    let press = Press {
        key: event.key(),
        control: event.ctrl_key(),
        meta: event.meta_key(),
        alt: event.alt_key(),
        shift: event.shift_key(),
        in_field: target.is_some_and(|target| target.matches(FIELDS).unwrap_or(false)),
        is_apple: browser::is_apple(),
        single_keys: are_single_keys_on(),
    };
    BINDINGS.iter().find(|binding| binding.matches(&press)).map(|binding| binding.shortcut)
}

/// Whether shortcuts of a single character are on.
pub(crate) fn are_single_keys_on() -> bool {
    browser::read_local_storage(SINGLE_KEYS_STORAGE_KEY).as_deref() != Some("off")
}

/// Turns shortcuts of a single character on or off, in this browser.
pub(crate) fn turn_single_keys(on: bool) {
    browser::write_local_storage(SINGLE_KEYS_STORAGE_KEY, (!on).then_some("off"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(key: &str) -> Press {
        Press { key: key.to_owned(), single_keys: true, ..Press::default() }
    }

    fn found(press: &Press) -> Option<Shortcut> {
        BINDINGS.iter().find(|binding| binding.matches(press)).map(|binding| binding.shortcut)
    }

    #[test]
    fn the_command_key_is_command_on_a_mac_and_control_elsewhere() {
        let control = Press { control: true, in_field: true, ..press("k") };
        let meta = Press { meta: true, in_field: true, ..press("k") };
        assert_eq!(found(&control), Some(Shortcut::OpenPalette));
        assert_eq!(found(&meta), None);
        assert_eq!(found(&Press { is_apple: true, ..meta }), Some(Shortcut::OpenPalette));
        assert_eq!(found(&Press { is_apple: true, ..control }), None, "it deletes to the end of the line");
        let new_thread = Press { control: true, shift: true, ..press("O") };
        assert_eq!(found(&new_thread), Some(Shortcut::NewThread));
        assert_eq!(found(&Press { alt: true, ..new_thread }), None);
    }

    #[test]
    fn single_characters_apply_outside_fields_and_can_be_turned_off() {
        for (key, shortcut) in [("?", Shortcut::ListShortcuts), ("/", Shortcut::FocusMessage)] {
            assert_eq!(found(&Press { shift: true, ..press(key) }), Some(shortcut), "some layouts need Shift");
            assert_eq!(found(&Press { in_field: true, ..press(key) }), None);
            assert_eq!(found(&Press { single_keys: false, ..press(key) }), None);
            assert_eq!(found(&Press { control: true, ..press(key) }), None);
        }
        assert_eq!(found(&Press { single_keys: false, ..press("Escape") }), Some(Shortcut::StopRun));
    }

    #[test]
    fn arrow_keys_edit_in_a_field_and_go_between_messages_outside() {
        assert_eq!(found(&Press { in_field: true, ..press("ArrowUp") }), Some(Shortcut::EditLastMessage));
        assert_eq!(found(&Press { alt: true, ..press("ArrowUp") }), Some(Shortcut::PreviousMessage));
        assert_eq!(found(&Press { alt: true, in_field: true, ..press("ArrowUp") }), None);
        assert_eq!(found(&Press { alt: true, ..press("ArrowDown") }), Some(Shortcut::NextMessage));
    }

    #[test]
    fn each_shortcut_has_one_binding() {
        for (index, binding) in BINDINGS.iter().enumerate() {
            let same = |other: &&Binding| {
                other.shortcut == binding.shortcut || (other.key, other.modifiers) == (binding.key, binding.modifiers)
            };
            assert_eq!(BINDINGS.iter().position(|other| same(&other)), Some(index), "{binding:?}");
        }
        assert_eq!(super::binding(Shortcut::NewThread).map(|new| new.keys(false)), Some(vec!["Ctrl", "Shift", "O"]));
    }
}
