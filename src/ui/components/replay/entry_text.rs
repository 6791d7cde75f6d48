//! The text of a run's entries in a list: their kind, their first line, and whether they match a filter.

use serde_json::Value;

use crate::{
    protocol::{ThreadEntry, http::RunEntry},
    text::escape_invisible,
};

/// The most characters of a first line.
const MAX_LINE_CHARS: usize = 120;
/// The fields of an event of which the first one with a text is shown.
const SHOWN_FIELDS: [&str; 9] =
    ["delta", "toolCallName", "stepName", "name", "content", "message", "activityType", "toolCallId", "messageId"];

/// The kind: an AG-UI event's type, or what else it is.
pub(super) fn kind(entry: &ThreadEntry) -> &'static str {
    match entry {
        ThreadEntry::Message { .. } => "MESSAGE",
        ThreadEntry::Answer { .. } => "ANSWER",
        ThreadEntry::Edited { .. } => "MESSAGE_EDITED",
        ThreadEntry::Read { .. } => "MESSAGE_READ",
        ThreadEntry::Agent { event, .. } => event.kind(),
        _ => "OTHER",
    }
}

/// The kinds of these entries, in alphabetical order, with how many there are of each.
pub(super) fn kinds(entries: &[RunEntry]) -> Vec<(&'static str, usize)> {
    let mut kinds = std::collections::BTreeMap::new();
    for entry in entries {
        *kinds.entry(kind(&entry.entry)).or_default() += 1;
    }
    kinds.into_iter().collect()
}

/// One line of what an entry contains, shortened.
pub(super) fn first_line(entry: &ThreadEntry) -> String {
    let text = match entry {
        ThreadEntry::Message { message } => message.content.clone(),
        ThreadEntry::Answer { answer } => serde_json::to_string(&answer.answers).unwrap_or_default(),
        ThreadEntry::Agent { event, .. } => event_text(&serde_json::to_value(event).unwrap_or_default()),
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    let mut lines = text.trim().lines();
    let line = lines.next().unwrap_or_default();
    let is_cut = line.chars().nth(MAX_LINE_CHARS).is_some() || lines.next().is_some();
    let line: String = line.chars().take(MAX_LINE_CHARS).collect();
    escape_invisible(&line) + if is_cut { "…" } else { "" }
}

fn event_text(event: &Value) -> String {
    let field = |name: &&str| event.get(name).filter(|value| !value.is_null());
    match SHOWN_FIELDS.iter().find_map(field) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

/// An entry as a line of JSON Lines, as the thread's export has it.
pub(super) fn json_line(entry: &RunEntry) -> String {
    serde_json::to_string(entry).unwrap_or_default()
}

/// The indices of the entries of a kind (`None`: of all kinds) whose JSON contains a text, in upper or lower case.
pub(super) fn matching(entries: &[RunEntry], text: &str, of_kind: Option<&str>) -> Vec<usize> {
    let text = text.trim().to_lowercase();
    let is_match = |entry: &RunEntry| {
        of_kind.is_none_or(|wanted| kind(&entry.entry) == wanted)
            && (text.is_empty() || json_line(entry).to_lowercase().contains(&text))
    };
    (0..entries.len()).filter(|index| is_match(&entries[*index])).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::recording::tests::{events, recorded},
        *,
    };
    use crate::protocol::{
        RunId,
        agui::{Event, StateSnapshot, TextMessageContent, TextMessageEnd},
    };

    fn agent(event: impl Into<Event>) -> ThreadEntry {
        ThreadEntry::Agent { run_id: RunId::new(), event: Box::new(event.into()) }
    }

    #[test]
    fn the_first_line_shows_what_an_entry_is_about() {
        assert_eq!(first_line(&agent(TextMessageContent::new("m", " one\ntwo"))), "one…");
        assert_eq!(first_line(&agent(TextMessageContent::new("m", "a\u{202e}b"))), r"a\u202eb");
        assert_eq!(first_line(&agent(TextMessageEnd::new("m"))), "m");
        assert_eq!(first_line(&agent(StateSnapshot::new(serde_json::json!({"a": 1})))), "");
        let long = first_line(&agent(TextMessageContent::new("m", "é".repeat(500))));
        assert_eq!(long.chars().count(), MAX_LINE_CHARS + 1);
    }

    #[test]
    fn entries_are_found_by_text_and_kind() {
        let (_, recording) = recorded(|run| events(run, 3));
        let entries = &recording.entries;
        assert_eq!(matching(entries, "", None).len(), entries.len());
        assert_eq!(matching(entries, " LOOK_up ", None), [4]);
        assert_eq!(matching(entries, "", Some("TEXT_MESSAGE_CONTENT")), [9, 10, 11]);
        assert_eq!(matching(entries, "\"1 \"", Some("TEXT_MESSAGE_CONTENT")), [10]);
        assert!(matching(entries, "look_up", Some("MESSAGE")).is_empty());
        let kinds = kinds(entries);
        assert_eq!(kinds.iter().map(|(_, count)| count).sum::<usize>(), entries.len());
        assert!(kinds.contains(&("TEXT_MESSAGE_CONTENT", 3)) && kinds.is_sorted());
    }

    #[test]
    fn a_line_of_json_is_read_as_the_same_entry() {
        let (_, recording) = recorded(|run| events(run, 1));
        for entry in recording.entries.iter() {
            let line = json_line(entry);
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<RunEntry>(&line).expect("an entry"), *entry);
        }
    }
}
