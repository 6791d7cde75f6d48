//! A thread's conversation as a model gets it: what people wrote, its own answers, and each call with its result right after it.
//!
//! Providers refuse a call without a result, so a call that got none (its run was stopped, nobody answered) gets a result that says
//! so. The oldest turns are left out until the rest fits. The provider state of the newest turn goes back to the provider; no
//! provider needs older ones.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::{
    files::MessageFiles,
    provider::{MediaKind, ModelCall, ModelMessage},
};
use crate::{
    protocol::agui::{Message, ToolCall, ToolContent},
    thread::NOT_CARRIED_OUT,
};

/// The bytes of text that an image or a PDF counts for: a model reads its pixels or pages, however many bytes it has.
const IMAGE_WEIGHT: usize = 8 * 1024;
const PDF_WEIGHT: usize = 64 * 1024;

/// The results of calls, by the calls' ids.
pub(super) type Results = HashMap<String, String>;

/// The calls of the newest turn without a result, which a resumed run settles.
pub(super) fn open_calls(history: &[Message]) -> Vec<ModelCall> {
    let newest = &history[newest_turn(history)..];
    let done = results(newest);
    newest.iter().flat_map(calls).filter(|call| !done.contains_key(&call.id)).collect()
}

/// The call with that id.
pub(super) fn call(history: &[Message], id: &str) -> Option<ModelCall> {
    history.iter().flat_map(calls).find(|call| call.id == id)
}

/// Where the answers of the newest turn begin: after the last message of a person.
fn newest_turn(history: &[Message]) -> usize {
    history.iter().rposition(|message| matches!(message, Message::User { .. })).map_or(0, |at| at + 1)
}

/// The ids of all calls. No new call may have one of them.
pub(super) fn call_ids(history: &[Message]) -> impl Iterator<Item = String> {
    history.iter().flat_map(calls).map(|call| call.id)
}

/// The conversation within about `max_bytes`, and how many messages were left out. `settled` has results that this run found for
/// calls of earlier runs, `files` what is added to messages, by their ids. `read_state` reads an encrypted value if it is this
/// model's.
pub(super) fn conversation(
    history: &[Message],
    settled: &Results,
    mut files: HashMap<String, MessageFiles>,
    read_state: impl Fn(&str) -> Option<Value>,
    max_bytes: usize,
) -> (Vec<ModelMessage>, usize) {
    let mut done = results(history);
    done.extend(settled.clone());
    let has_several_people = history.iter().filter_map(author).collect::<BTreeSet<_>>().len() > 1;
    let newest = newest_turn(history);
    let mut messages: Vec<ModelMessage> = Vec::new();
    for (at, message) in history.iter().enumerate() {
        match message {
            Message::User { id, content, .. } => {
                let text = text_of(content);
                let name = author(message).filter(|_| has_several_people);
                let text = name.map_or(text.clone(), |name| format!("{name}: {text}"));
                let MessageFiles { texts, media } = files.remove(id).unwrap_or_default();
                let text = [vec![text], texts].concat().join("\n\n");
                messages.push(ModelMessage::User { text, media });
            }
            Message::System { content, .. } | Message::Developer { content, .. } => {
                messages.push(ModelMessage::user(content));
            }
            Message::Assistant { content, .. } => {
                let new_text = content.clone().unwrap_or_default();
                let calls: Vec<ModelCall> = calls(message).collect();
                if new_text.is_empty() && calls.is_empty() {
                    continue;
                }
                let results = calls.iter().map(|call| ModelMessage::Tool {
                    call_id: call.id.clone(),
                    name: call.name.clone(),
                    text: done.remove(&call.id).unwrap_or_else(|| NOT_CARRIED_OUT.into()),
                });
                let results: Vec<ModelMessage> = results.collect();
                let provider_state = encrypted_values(message).filter(|_| at >= newest).find_map(&read_state);
                match messages.last_mut() {
                    // Text and calls of one answer may be two messages.
                    Some(ModelMessage::Assistant { text, calls: known, provider_state: state }) if known.is_empty() => {
                        let gap = if text.is_empty() || new_text.is_empty() { "" } else { "\n\n" };
                        text.push_str(gap);
                        text.push_str(&new_text);
                        (*known, *state) = (calls, provider_state);
                    }
                    _ => messages.push(ModelMessage::Assistant { text: new_text, calls, provider_state }),
                }
                messages.extend(results);
            }
            Message::Tool { .. } | Message::Reasoning { .. } | Message::Activity { .. } => {}
        }
    }
    let left_out = messages_to_omit(&messages, max_bytes);
    (messages.split_off(left_out), left_out)
}

/// How many of the oldest messages to leave out so that the rest fits and begins with a message of a person. The newest turn always
/// stays.
fn messages_to_omit(messages: &[ModelMessage], max_bytes: usize) -> usize {
    let mut bytes: usize = messages.iter().map(size).sum();
    let (mut from, mut omitted) = (0, 0);
    let turns = messages.iter().enumerate().skip(1).filter(|(_, message)| matches!(message, ModelMessage::User { .. }));
    for (at, _) in turns {
        if bytes <= max_bytes {
            break;
        }
        omitted = at;
        bytes -= messages[from..at].iter().map(size).sum::<usize>();
        from = at;
    }
    omitted
}

fn size(message: &ModelMessage) -> usize {
    match message {
        ModelMessage::User { text, media } => {
            let weight = |kind| if kind == MediaKind::Image { IMAGE_WEIGHT } else { PDF_WEIGHT };
            text.len() + media.iter().map(|file| weight(file.kind)).sum::<usize>()
        }
        ModelMessage::Tool { text, .. } => text.len(),
        ModelMessage::Assistant { text, calls, .. } => {
            text.len() + calls.iter().map(|call| call.name.len() + call.arguments.len()).sum::<usize>()
        }
    }
}

fn calls(message: &Message) -> impl Iterator<Item = ModelCall> {
    tool_calls(message).iter().map(|call| ModelCall {
        id: call.id.clone(),
        name: call.function.name.clone(),
        arguments: call.function.arguments.clone(),
    })
}

/// The encrypted values of a message's calls.
fn encrypted_values(message: &Message) -> impl Iterator<Item = &str> {
    tool_calls(message).iter().filter_map(|call| call.encrypted_value.as_deref())
}

fn tool_calls(message: &Message) -> &[ToolCall] {
    match message {
        Message::Assistant { tool_calls, .. } => tool_calls.as_deref().unwrap_or_default(),
        _ => &[],
    }
}

fn results(history: &[Message]) -> Results {
    history
        .iter()
        .filter_map(|message| match message {
            Message::Tool { content, tool_call_id, error, .. } => {
                let text = content.to_text();
                let why = error.as_ref().filter(|error| !text.contains(error.as_str()));
                let text = why.map_or(text.clone(), |why| format!("{text}\n\nIt failed: {why}"));
                Some((tool_call_id.clone(), text))
            }
            _ => None,
        })
        .collect()
}

fn author(message: &Message) -> Option<&str> {
    match message {
        Message::User { name, .. } => name.as_deref(),
        _ => None,
    }
}

/// The text of a person's message; of a part that is not text, its type.
fn text_of(content: &ToolContent) -> String {
    let part = |part: &Value| match part["text"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("[{}]", part["type"].as_str().unwrap_or("attachment")),
    };
    match content {
        ToolContent::Text(text) => text.clone(),
        ToolContent::Parts(parts) => parts.iter().map(part).collect::<Vec<_>>().join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::provider::Media, *};

    fn history(messages: Value) -> Vec<Message> {
        serde_json::from_value(messages).expect("messages")
    }

    fn call(id: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}})
    }

    fn lines(history: &[Message], max_bytes: usize) -> Vec<String> {
        conversation(history, &Results::new(), HashMap::new(), |_| None, max_bytes)
            .0
            .into_iter()
            .map(|message| match message {
                ModelMessage::User { text, .. } => format!("user {text}"),
                ModelMessage::Assistant { text, calls, .. } => {
                    format!("model {text}{}", calls.iter().map(|call| format!(" <{}>", call.id)).collect::<String>())
                }
                ModelMessage::Tool { call_id, text, .. } => format!("tool {call_id} {text}"),
            })
            .collect()
    }

    #[test]
    fn every_call_has_its_result_right_after_it() {
        let history = history(json!([
            {"role": "user", "id": "1", "content": "hello"},
            {"role": "reasoning", "id": "2", "content": "hm"},
            {"role": "assistant", "id": "3", "content": "let me see"},
            {"role": "assistant", "id": "4", "toolCalls": [call("a"), call("b")]},
            {"role": "tool", "id": "5", "toolCallId": "b", "content": "B"},
            {"role": "tool", "id": "6", "toolCallId": "a", "content": "A"},
            {"role": "assistant", "id": "7", "content": "done"},
        ]));
        let expected = ["user hello", "model let me see <a> <b>", "tool a A", "tool b B", "model done"];
        assert_eq!(lines(&history, 9999), expected);
        assert!(open_calls(&history).is_empty());
    }

    #[test]
    fn a_call_that_waits_is_open_and_one_of_an_older_turn_is_not() {
        let mut all = history(json!([
            {"role": "user", "id": "1", "content": "one"},
            {"role": "assistant", "id": "2", "toolCalls": [call("old")]},
            {"role": "user", "id": "3", "content": "two"},
            {"role": "assistant", "id": "4", "toolCalls": [call("new"), call("ran")]},
            {"role": "tool", "id": "5", "toolCallId": "ran", "content": "fine"},
        ]));
        assert_eq!(open_calls(&all).iter().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["new"]);
        assert_eq!(call_ids(&all).collect::<Vec<_>>(), ["old", "new", "ran"]);
        let (messages, _) =
            conversation(&all, &Results::from([("new".into(), "yes".into())]), HashMap::new(), |_| None, 9999);
        let texts: Vec<_> = messages
            .iter()
            .filter_map(|m| if let ModelMessage::Tool { text, .. } = m { Some(text.as_str()) } else { None })
            .collect();
        assert_eq!(texts, [NOT_CARRIED_OUT, "yes", "fine"]);
        all.truncate(3);
        assert!(open_calls(&all).is_empty(), "a new message continues without it");
    }

    #[test]
    fn a_late_result_follows_its_call_and_the_newest_message_stays_last() {
        let all = history(json!([
            {"role": "user", "id": "1", "content": "one"},
            {"role": "assistant", "id": "2", "toolCalls": [call("task")]},
            {"role": "tool", "id": "3", "toolCallId": "task", "content": "not known"},
            {"role": "user", "id": "4", "content": "two"},
        ]));
        assert_eq!(super::call(&all, "task").map(|call| call.name), Some("look".into()));
        assert!(super::call(&all, "none").is_none());
        let settled = Results::from([("task".into(), "done".into())]);
        let (messages, _) = conversation(&all, &settled, HashMap::new(), |_| None, 9999);
        assert!(matches!(&messages[2], ModelMessage::Tool { text, .. } if text == "done"), "{messages:?}");
        assert!(matches!(messages.last(), Some(ModelMessage::User { text, .. }) if text == "two"), "{messages:?}");
    }

    #[test]
    fn whole_turns_are_left_out_until_the_rest_fits_and_the_newest_stays() {
        let history = history(json!([
            {"role": "user", "id": "1", "content": "x".repeat(100)},
            {"role": "assistant", "id": "2", "content": "y".repeat(100)},
            {"role": "user", "id": "3", "content": "z".repeat(50)},
            {"role": "assistant", "id": "4", "content": "w".repeat(50)},
            {"role": "user", "id": "5", "content": "v".repeat(500)},
        ]));
        for (max, left_out) in [(9999, 0), (799, 2), (600, 2), (599, 4), (10, 4)] {
            assert_eq!(conversation(&history, &Results::new(), HashMap::new(), |_| None, max).1, left_out, "{max}");
        }
    }

    #[test]
    fn files_count_as_what_a_model_reads_of_them() {
        let history = history(json!([
            {"role": "user", "id": "1", "content": "look"},
            {"role": "user", "id": "2", "content": "well?"},
        ]));
        let media =
            |kind| Media { kind, mime_type: String::new(), name: String::new(), data: "x".repeat(1 << 20).into() };
        for (kind, weight) in [(MediaKind::Image, IMAGE_WEIGHT), (MediaKind::Pdf, PDF_WEIGHT)] {
            let texts = vec!["a file".to_owned()];
            let files = HashMap::from([("1".to_owned(), MessageFiles { texts, media: vec![media(kind)] })]);
            let all = weight + "look\n\na file".len() + "well?".len();
            let (messages, left_out) = conversation(&history, &Results::new(), files.clone(), |_| None, all);
            assert_eq!((messages.len(), left_out), (2, 0));
            assert!(
                matches!(&messages[0], ModelMessage::User { text, media } if text == "look\n\na file" && media.len() == 1)
            );
            assert_eq!(conversation(&history, &Results::new(), files, |_| None, all - 1).1, 1);
        }
    }

    #[test]
    fn messages_of_several_people_have_their_names() {
        let two = history(json!([
            {"role": "user", "id": "1", "content": "a", "name": "Ada"},
            {"role": "user", "id": "2", "content": [{"type": "text", "text": "b"}, {"type": "image"}], "name": "Bo"},
        ]));
        assert_eq!(lines(&two, 9999), ["user Ada: a", "user Bo: b\n[image]"]);
        assert_eq!(lines(&two[..1], 9999), ["user a"]);
    }
}
