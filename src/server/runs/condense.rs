//! Reduces restated state and messages to their changes: many agents send their whole state and conversation in each turn.
//!
//! The results are AG-UI events with which the reducer produces the same thread as with the original event; for conversations this is
//! verified with the reducer. A changed state becomes a delta if that is shorter. Content that is too long for one event is split
//! into several.

pub(super) mod marks;
mod results;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::guard::MAX_EVENT_BYTES;
use crate::{
    json_size::extent,
    protocol::{
        RunId, ThreadEntry,
        agui::{
            Base, Event, Message, MessagesSnapshot, StateDelta, StateSnapshot, TextMessageContent, TextMessageEnd,
            TextMessageStart, ToolCallArgs, ToolCallEnd, ToolCallResult, ToolCallStart, ToolContent,
        },
        extensions::{FIRST_PIECE, LAST_PIECE, LATER_PIECE, MORE_FOLLOW},
    },
    thread::{Item, MAX_PATCH_OPERATIONS, Node, RunView, ThreadView},
};

/// The most bytes of a state's change in one event, which leaves space for the event's other fields.
const MAX_PART_BYTES: usize = MAX_EVENT_BYTES - 16 * 1024;
/// The longest piece of a split text, in bytes. Escaped as JSON it may be six times as long.
const MAX_PIECE_BYTES: usize = 40 * 1024;
/// The most messages of a restated conversation.
const MAX_MESSAGES: usize = 20_000;
/// The most values of two states together that are compared; above that, the later state is stored whole.
const MAX_COMPARED_VALUES: usize = 100_000;
/// Metadata key of a `MESSAGES_SNAPSHOT` that omits the conversation before the message that its run answers.
pub(crate) const SINCE_MESSAGE: &str = "netraSinceQuestion";

/// Why an event cannot be reduced to changes that fit into events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CondenseError {
    /// A value is too long: what it is, and its bytes.
    #[error("{0} has {1} new bytes, and at most {MAX_PART_BYTES} can be stored")]
    TooLong(String, usize),
    /// A conversation has too many messages: their number.
    #[error("the restated conversation has {0} messages, and at most {MAX_MESSAGES} are accepted")]
    TooManyMessages(usize),
    /// The comparison failed; the event's type.
    #[error("a {0} could not be compared with the thread")]
    NotCompared(&'static str),
}

/// Whether an event may restate what the thread has.
pub(super) fn restates(event: &Event) -> bool {
    matches!(event, Event::StateSnapshot(_) | Event::MessagesSnapshot(_))
}

/// The changes that an event of a run makes to a thread; `at` in milliseconds since 1970.
///
/// # Errors
/// If they do not fit into events.
pub(super) fn condense(thread: &ThreadView, run_id: RunId, at: i64, event: Event) -> Result<Vec<Event>, CondenseError> {
    match event {
        Event::StateSnapshot(snapshot) => state(thread.state_of(run_id).as_deref(), snapshot),
        Event::MessagesSnapshot(snapshot) if snapshot.messages.len() > MAX_MESSAGES => {
            Err(CondenseError::TooManyMessages(snapshot.messages.len()))
        }
        Event::MessagesSnapshot(snapshot) => messages(thread, run_id, at, snapshot),
        other => Ok(pieces(other)),
    }
}

/// Checks that a state which a caller sends can be stored.
///
/// # Errors
/// If a part of it is too long.
pub(crate) fn check_state(state: &Value) -> Result<(), CondenseError> {
    if extent(state).bytes <= MAX_PART_BYTES {
        return Ok(());
    }
    self::state(None, StateSnapshot::new(state.clone())).map(drop)
}

/// Splits a delta or tool result whose text is too long for an event.
pub(super) fn pieces(mut event: Event) -> Vec<Event> {
    if let Event::ToolCallResult(result) = &event
        && matches!(&result.content, ToolContent::Text(text) if text.len() > MAX_PIECE_BYTES)
        && extent(&event).bytes > MAX_EVENT_BYTES
    {
        let Event::ToolCallResult(result) = event else { return vec![event] };
        return results::in_pieces(result);
    }
    let is_long = event.delta_mut().is_some_and(|text| text.len() > MAX_PIECE_BYTES);
    if !is_long || extent(&event).bytes <= MAX_EVENT_BYTES {
        return vec![event];
    }
    let text = event.delta_mut().map(std::mem::take).unwrap_or_default();
    let mut pieces = Vec::new();
    for piece in split_text(&text) {
        let mut next = event.clone();
        next.delta_mut().into_iter().for_each(|text| piece.clone_into(text));
        // Only the first piece keeps the other fields.
        *event.base_mut() = Base { timestamp: event.base().timestamp, ..Base::default() };
        pieces.push(next);
    }
    pieces
}

/// The changes from the state before to a new one.
///
/// # Errors
/// If a part of it does not fit into an event.
pub(super) fn state(before: Option<&Value>, event: StateSnapshot) -> Result<Vec<Event>, CondenseError> {
    if before == Some(&event.snapshot) {
        return Ok(Vec::new());
    }
    let StateSnapshot { snapshot, subagent_run_id, base } = event;
    // Bounded: each difference becomes an operation of hundreds of bytes.
    let is_compared = |before: &&Value| count_values(before) + count_values(&snapshot) <= MAX_COMPARED_VALUES;
    let changes = before.filter(is_compared).map(|before| operations(before, &snapshot));
    let whole = extent(&snapshot).bytes;
    let parts = match changes.filter(|changes| extent(changes).bytes < whole) {
        Some(changes) => parts(changes)?,
        None if whole <= MAX_PART_BYTES => {
            return Ok(vec![StateSnapshot { subagent_run_id, base, ..StateSnapshot::new(snapshot) }.into()]);
        }
        None => parts(vec![json!({"op": "replace", "path": "", "value": snapshot})])?,
    };
    let mut events = Vec::with_capacity(parts.len());
    for delta in parts {
        let whole = match delta.as_slice() {
            [only] if only["path"] == "" => Some(only["value"].clone()),
            _ => None,
        };
        let event: Event = match whole {
            Some(snapshot) => StateSnapshot::new(snapshot).into(),
            None => StateDelta::new(delta).into(),
        };
        events.push(event.with_subagent(subagent_run_id.as_deref()));
    }
    if let Some(first) = events.first_mut() {
        *first.base_mut() = base;
    }
    Ok(events)
}

/// The number of values in a value, including itself.
fn count_values(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count_values).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(count_values).sum::<usize>(),
        _ => 1,
    }
}

/// The operations (RFC 6902) that turn one state into another.
fn operations(from: &Value, to: &Value) -> Vec<Value> {
    json_patch::diff(from, to).0.into_iter().map(|operation| json!(operation)).collect()
}

/// Groups operations into deltas within the limits of an event.
fn parts(operations: Vec<Value>) -> Result<Vec<Vec<Value>>, CondenseError> {
    let mut split = Vec::with_capacity(operations.len());
    for operation in operations {
        split_operation(operation, &mut split)?;
    }
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for operation in split {
        let more = extent(&operation).bytes + 1;
        let is_full = bytes + more > MAX_PART_BYTES || part.len() == MAX_PATCH_OPERATIONS;
        if !part.is_empty() && (is_full || needs_own_delta(&operation) || part.last().is_some_and(needs_own_delta)) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += more;
        part.push(operation);
    }
    parts.extend(Some(part).filter(|part| !part.is_empty()));
    Ok(parts)
}

/// Whether an operation needs a delta of its own: it sets the whole state, or is a later piece of a text.
fn needs_own_delta(operation: &Value) -> bool {
    operation["path"] == "" || operation.get(LATER_PIECE).is_some()
}

/// Splits an operation whose value is too long: an object or array is first added with the fields or items that fit, then the rest is
/// added to it.
fn split_operation(mut operation: Value, out: &mut Vec<Value>) -> Result<(), CondenseError> {
    let bytes = extent(&operation).bytes;
    if bytes <= MAX_PART_BYTES {
        out.push(operation);
        return Ok(());
    }
    let path = operation["path"].as_str().unwrap_or_default().to_owned();
    let available = MAX_PART_BYTES.saturating_sub(path.len() + 64);
    let mut taken = 0;
    let mut fits = |bytes: usize| {
        taken = if taken + bytes <= available { taken + bytes } else { usize::MAX / 2 };
        taken <= available
    };
    let mut rest = Vec::new();
    match &mut operation["value"] {
        Value::Object(fields) => {
            for (key, value) in std::mem::take(fields) {
                if fits(extent(&value).bytes + extent(&key).bytes + 2) {
                    fields.insert(key, value);
                } else {
                    rest.push((key.replace('~', "~0").replace('/', "~1"), value));
                }
            }
        }
        Value::Array(values) => {
            for (index, value) in std::mem::take(values).into_iter().enumerate() {
                if fits(extent(&value).bytes + 1) {
                    values.push(value);
                } else {
                    rest.push((index.to_string(), value));
                }
            }
        }
        Value::String(_) if !path.is_empty() && path.len() < MAX_PIECE_BYTES => {
            split_text_operation(operation, out);
            return Ok(());
        }
        _ => return Err(CondenseError::TooLong(format!("the shared state at `{}`", shortened(&path)), bytes)),
    }
    out.push(operation);
    for (key, value) in rest {
        split_operation(json!({"op": "add", "path": format!("{path}/{key}"), "value": value}), out)?;
    }
    Ok(())
}

/// Splits an operation that sets a long text into one that sets the first piece and others that append.
fn split_text_operation(mut operation: Value, out: &mut Vec<Value>) {
    let Value::String(text) = operation["value"].take() else { return };
    let texts = split_text(&text);
    let (path, last) = (operation["path"].clone(), texts.len().saturating_sub(1));
    for (index, text) in texts.into_iter().enumerate() {
        out.push(if index == 0 {
            let mut first = operation.clone();
            (first["value"], first[FIRST_PIECE]) = (text.into(), true.into());
            first
        } else {
            json!({"op": "replace", "path": path, "value": text, LATER_PIECE: if index == last { LAST_PIECE } else { MORE_FOLLOW }})
        });
    }
}

/// Splits a text into pieces that fit into an event.
fn split_text(mut text: &str) -> Vec<&str> {
    let mut texts = Vec::new();
    while !text.is_empty() {
        let (piece, rest) = text.split_at(text.floor_char_boundary(MAX_PIECE_BYTES));
        texts.push(piece);
        text = rest;
    }
    texts
}

fn shortened(path: &str) -> String {
    path.chars().take(100).collect()
}

/// The changes that a restated conversation makes to a thread.
fn messages(thread: &ThreadView, run_id: RunId, at: i64, event: MessagesSnapshot) -> Result<Vec<Event>, CondenseError> {
    let after = |events: &[Event]| {
        let mut view = thread.clone();
        for event in events {
            view.apply(at, ThreadEntry::Agent { run_id, event: Box::new(event.clone()) });
        }
        view
    };
    let whole: Event = event.clone().into();
    let expected = after(std::slice::from_ref(&whole));
    let turn = since_message(thread, run_id, &event);
    let new_messages = turn.as_ref().map_or(&event.messages, |turn| &turn.messages);
    // Messages that the thread does not show are stored for front ends that do.
    let is_shown = new_messages.iter().all(is_shown);
    if is_shown && is_same(thread, &expected) {
        return Ok(Vec::new());
    }
    let is_equivalent = |events: &[Event]| is_same(&after(events), &expected);
    let added = if is_shown { added(thread, run_id, new_messages) } else { None };
    if let Some(added) = added.filter(|added| fit(added) && is_equivalent(added)) {
        return Ok(added);
    }
    let turn = turn.filter(|turn| is_equivalent(&[turn.clone().into()]));
    let snapshot = turn.unwrap_or(event);
    let bytes = extent(&snapshot).bytes;
    if bytes <= MAX_EVENT_BYTES {
        return Ok(vec![snapshot.into()]);
    }
    let parts = results::separate(thread, snapshot);
    if fit(&parts) && is_equivalent(&parts) {
        return Ok(parts);
    }
    Err(CondenseError::TooLong("the restated conversation".into(), bytes))
}

/// Whether a message is of a kind that a thread shows.
fn is_shown(message: &Value) -> bool {
    matches!(message["role"].as_str(), Some("user" | "assistant" | "tool" | "reasoning"))
        && Message::deserialize(message).is_ok()
}

fn fit(events: &[Event]) -> bool {
    events.iter().all(|event| extent(event).bytes <= MAX_EVENT_BYTES)
}

/// The part of a restated conversation that begins with the message that a run answers.
fn since_message(thread: &ThreadView, run_id: RunId, event: &MessagesSnapshot) -> Option<MessagesSnapshot> {
    let answered = thread.run(run_id)?.message_id?.to_string();
    let is_answered = |message: &Value| message["role"] == "user" && message["id"] == answered.as_str();
    let from = event.messages.iter().rposition(is_answered).filter(|from| *from > 0)?;
    let mut since = MessagesSnapshot { messages: event.messages[from..].to_vec(), base: event.base.clone() };
    since.base.metadata.get_or_insert_default().insert(SINCE_MESSAGE.into(), true.into());
    Some(since)
}

/// The messages that a run has not sent yet, as the events with which it would have sent them; `None` if a message cannot be expressed so.
fn added(thread: &ThreadView, run_id: RunId, messages: &[Value]) -> Option<Vec<Event>> {
    let run = thread.run(run_id)?;
    let is_of_another = |id: &str| {
        thread.runs().filter(|run| run.run_id != run_id).any(|run| run.nodes.iter().any(|node| node.id == id))
    };
    let from = messages.iter().rposition(|message| message["role"] == "user").map_or(0, |user| user + 1);
    let has_node = |id: &str| run.nodes.iter().any(|node| node.id == id);
    let mut events: Vec<Event> = Vec::new();
    for message in &messages[from..] {
        match Message::deserialize(message).ok()? {
            Message::Assistant { id, content, tool_calls, encrypted_value: None, subagent_run_id, .. } => {
                let tag = subagent_run_id.as_deref();
                if let Some(text) = content.filter(|text| !text.is_empty() && !has_node(&id)) {
                    // Clients would append it to the earlier message with this id.
                    if is_of_another(&id) {
                        return None;
                    }
                    let mut message = vec![TextMessageStart::new(&*id).into()];
                    message.extend(pieces(TextMessageContent::new(&*id, text).into()));
                    message.push(TextMessageEnd::new(&*id).into());
                    events.extend(message.into_iter().map(|event: Event| event.with_subagent(tag)));
                }
                for call in tool_calls.into_iter().flatten().filter(|call| !has_node(&call.id)) {
                    if is_of_another(&call.id) {
                        return None;
                    }
                    let parent_message_id = Some(id.clone());
                    let start = ToolCallStart::new(&*call.id, call.function.name);
                    let mut called = vec![ToolCallStart { parent_message_id, ..start }.into()];
                    called.extend(pieces(ToolCallArgs::new(&*call.id, call.function.arguments).into()));
                    called.push(ToolCallEnd::new(&*call.id).into());
                    events.extend(called.into_iter().map(|event: Event| event.with_subagent(tag)));
                }
            }
            Message::Tool { id, content, tool_call_id, error: None, encrypted_value: None, subagent_run_id } => {
                if results::is_answered(thread, &tool_call_id, (&id, &content)) {
                    continue;
                }
                // Clients would treat it as a second result.
                if thread.result_of(&tool_call_id).is_some() {
                    return None;
                }
                let result = Event::from(ToolCallResult::new(id, tool_call_id, content));
                events.extend(pieces(result.with_subagent(subagent_run_id.as_deref())));
            }
            _ => return None,
        }
    }
    Some(events)
}

/// Whether two threads are the same except for end times, which a restated conversation does not contain.
fn is_same(one: &ThreadView, other: &ThreadView) -> bool {
    let is_same_item = |(one, other): (&Item, &Item)| match (one, other) {
        (Item::Run(one), Item::Run(other)) => Arc::ptr_eq(one, other) || is_same_run(one, other),
        (one, other) => one == other,
    };
    one.items.len() == other.items.len() && one.items.iter().zip(&other.items).all(is_same_item)
}

fn is_same_run(one: &RunView, other: &RunView) -> bool {
    let is_same_node = |(one, other): (&Arc<Node>, &Arc<Node>)| {
        Arc::ptr_eq(one, other)
            || (&one.id, &one.within, one.state, one.chunked, &one.body)
                == (&other.id, &other.within, other.state, other.chunked, &other.body)
    };
    // A conversation cannot change the other fields of a run.
    one.nodes.len() == other.nodes.len()
        && one.encrypted == other.encrypted
        && one.nodes.iter().zip(&other.nodes).all(is_same_node)
}

#[cfg(test)]
#[path = "condense_tests.rs"]
mod tests;
