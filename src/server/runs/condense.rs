//! What of an event is new to whoever has the thread as it is: agents restate their state and the whole conversation again and
//! again, and only what that changes is kept.
//!
//! Promises: what comes out are events of AG-UI that make of the thread what the event would have made of it; of a conversation
//! this is tried with the reducer before they are used. A state that changed is a delta where that is shorter; one that is longer than an
//! event may be comes in several.

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

/// The most bytes of a state's change in one event; what else is in the event has room beside it.
const MAX_PART_BYTES: usize = MAX_EVENT_BYTES - 16 * 1024;
/// The longest piece of a text that is cut, in bytes: as JSON it has at most six times as many.
const MAX_PIECE_BYTES: usize = 40 * 1024;
/// The most messages of a restated conversation.
const MAX_MESSAGES: usize = 20_000;
/// The most values of two states together that are compared; beyond, the later one is kept whole.
const MAX_COMPARED_VALUES: usize = 100_000;
/// In the metadata of a `MESSAGES_SNAPSHOT`: it leaves out what was said before the message that its run answers.
pub(crate) const SINCE_QUESTION: &str = "netraSinceQuestion";

/// Something that no event can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooLong {
    /// It has this many bytes.
    #[error("{0} has {1} bytes that were not said before, and at most {MAX_PART_BYTES} of it can be kept")]
    Bytes(String, usize),
    /// It has this many messages.
    #[error("the restated conversation has {0} messages, and at most {MAX_MESSAGES} are read")]
    Messages(usize),
    /// It could not be compared with what is known.
    #[error("a {0} could not be compared with what was said before")]
    Unknown(&'static str),
}

/// Whether an event may restate what is known.
pub(super) fn restates(event: &Event) -> bool {
    matches!(event, Event::StateSnapshot(_) | Event::MessagesSnapshot(_))
}

/// What is new in an event of a run, at a time in milliseconds since 1970.
///
/// # Errors
/// Where what is new is too long for an event.
pub(super) fn condense(thread: &ThreadView, run_id: RunId, at: i64, event: Event) -> Result<Vec<Event>, TooLong> {
    match event {
        Event::StateSnapshot(snapshot) => state(thread.state_of(run_id).as_deref(), snapshot),
        Event::MessagesSnapshot(snapshot) if snapshot.messages.len() > MAX_MESSAGES => {
            Err(TooLong::Messages(snapshot.messages.len()))
        }
        Event::MessagesSnapshot(snapshot) => messages(thread, run_id, at, snapshot),
        other => Ok(pieces(other)),
    }
}

/// Whether a state that a caller gives can be kept.
///
/// # Errors
/// What of it cannot.
pub(crate) fn check_state(state: &Value) -> Result<(), TooLong> {
    if extent(state).bytes <= MAX_PART_BYTES {
        return Ok(());
    }
    self::state(None, StateSnapshot::new(state.clone())).map(drop)
}

/// A delta whose text is too long for an event, as several.
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
    for piece in texts(&text) {
        let mut next = event.clone();
        next.delta_mut().into_iter().for_each(|text| piece.clone_into(text));
        // What else it carries, it carries once.
        *event.base_mut() = Base { timestamp: event.base().timestamp, ..Base::default() };
        pieces.push(next);
    }
    pieces
}

/// What a state changes in the one before.
///
/// # Errors
/// Where a text of it is too long for an event.
pub(super) fn state(before: Option<&Value>, event: StateSnapshot) -> Result<Vec<Event>, TooLong> {
    if before == Some(&event.snapshot) {
        return Ok(Vec::new());
    }
    let StateSnapshot { snapshot, subagent_run_id, base } = event;
    // Each value that differs is an operation, which takes hundreds of bytes.
    let is_compared = |before: &&Value| values(before) + values(&snapshot) <= MAX_COMPARED_VALUES;
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

/// How many values there are in one, itself among them.
fn values(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(values).sum::<usize>(),
        _ => 1,
    }
}

/// The operations (RFC 6902) that make one state of another.
fn operations(from: &Value, to: &Value) -> Vec<Value> {
    json_patch::diff(from, to).0.into_iter().map(|operation| json!(operation)).collect()
}

/// Operations in deltas that are each within the bounds of one.
fn parts(operations: Vec<Value>) -> Result<Vec<Vec<Value>>, TooLong> {
    let mut spread = Vec::with_capacity(operations.len());
    for operation in operations {
        spread_out(operation, &mut spread)?;
    }
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for operation in spread {
        let more = extent(&operation).bytes + 1;
        let is_full = bytes + more > MAX_PART_BYTES || part.len() == MAX_PATCH_OPERATIONS;
        if !part.is_empty() && (is_full || stands_alone(&operation) || part.last().is_some_and(stands_alone)) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += more;
        part.push(operation);
    }
    parts.extend(Some(part).filter(|part| !part.is_empty()));
    Ok(parts)
}

/// Whether an operation sets the whole state, or continues a text.
fn stands_alone(operation: &Value) -> bool {
    operation["path"] == "" || operation.get(LATER_PIECE).is_some()
}

/// An operation whose value is too long as several: what holds much is added with as much as fits, and the rest after it.
fn spread_out(mut operation: Value, out: &mut Vec<Value>) -> Result<(), TooLong> {
    let bytes = extent(&operation).bytes;
    if bytes <= MAX_PART_BYTES {
        out.push(operation);
        return Ok(());
    }
    let path = operation["path"].as_str().unwrap_or_default().to_owned();
    let room = MAX_PART_BYTES.saturating_sub(path.len() + 64);
    let mut taken = 0;
    let mut fits = |bytes: usize| {
        taken = if taken + bytes <= room { taken + bytes } else { usize::MAX / 2 };
        taken <= room
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
            cut(operation, out);
            return Ok(());
        }
        _ => return Err(TooLong::Bytes(format!("the shared state at `{}`", shortened(&path)), bytes)),
    }
    out.push(operation);
    for (key, value) in rest {
        spread_out(json!({"op": "add", "path": format!("{path}/{key}"), "value": value}), out)?;
    }
    Ok(())
}

/// An operation that sets a long text, as one that begins it and others that continue it.
fn cut(mut operation: Value, out: &mut Vec<Value>) {
    let Value::String(text) = operation["value"].take() else { return };
    let texts = texts(&text);
    let (path, last) = (operation["path"].clone(), texts.len().saturating_sub(1));
    for (index, text) in texts.into_iter().enumerate() {
        out.push(if index == 0 {
            let mut begins = operation.clone();
            (begins["value"], begins[FIRST_PIECE]) = (text.into(), true.into());
            begins
        } else {
            json!({"op": "replace", "path": path, "value": text, LATER_PIECE: if index == last { LAST_PIECE } else { MORE_FOLLOW }})
        });
    }
}

/// A text in pieces that each fit into an event.
fn texts(mut text: &str) -> Vec<&str> {
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

/// What a restated conversation changes in the thread.
fn messages(thread: &ThreadView, run_id: RunId, at: i64, event: MessagesSnapshot) -> Result<Vec<Event>, TooLong> {
    let after = |events: &[Event]| {
        let mut view = thread.clone();
        for event in events {
            view.apply(at, ThreadEntry::Agent { run_id, event: Box::new(event.clone()) });
        }
        view
    };
    let whole: Event = event.clone().into();
    let wanted = after(std::slice::from_ref(&whole));
    let turn = since_question(thread, run_id, &event);
    let news = turn.as_ref().map_or(&event.messages, |turn| &turn.messages);
    // What the thread does not show, a front end may.
    let is_shown = news.iter().all(is_shown);
    if is_shown && is_same(thread, &wanted) {
        return Ok(Vec::new());
    }
    let is_enough = |events: &[Event]| is_same(&after(events), &wanted);
    let added = if is_shown { added(thread, run_id, news) } else { None };
    if let Some(added) = added.filter(|added| fit(added) && is_enough(added)) {
        return Ok(added);
    }
    let turn = turn.filter(|turn| is_enough(&[turn.clone().into()]));
    let kept = turn.unwrap_or(event);
    let bytes = extent(&kept).bytes;
    if bytes <= MAX_EVENT_BYTES {
        return Ok(vec![kept.into()]);
    }
    let parts = results::apart(thread, kept);
    if fit(&parts) && is_enough(&parts) {
        return Ok(parts);
    }
    Err(TooLong::Bytes("the restated conversation".into(), bytes))
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
fn since_question(thread: &ThreadView, run_id: RunId, event: &MessagesSnapshot) -> Option<MessagesSnapshot> {
    let asked = thread.run(run_id)?.message_id?.to_string();
    let is_asked = |message: &Value| message["role"] == "user" && message["id"] == asked.as_str();
    let from = event.messages.iter().rposition(is_asked).filter(|from| *from > 0)?;
    let mut since = MessagesSnapshot { messages: event.messages[from..].to_vec(), base: event.base.clone() };
    since.base.metadata.get_or_insert_default().insert(SINCE_QUESTION.into(), true.into());
    Some(since)
}

/// The messages that a run has not said, as it would have said them; nothing where one of them cannot be said so.
fn added(thread: &ThreadView, run_id: RunId, messages: &[Value]) -> Option<Vec<Event>> {
    let run = thread.run(run_id)?;
    let is_of_another = |id: &str| {
        thread.runs().filter(|run| run.run_id != run_id).any(|run| run.nodes.iter().any(|node| node.id == id))
    };
    let from = messages.iter().rposition(|message| message["role"] == "user").map_or(0, |asked| asked + 1);
    let knows = |id: &str| run.nodes.iter().any(|node| node.id == id);
    let mut events: Vec<Event> = Vec::new();
    for message in &messages[from..] {
        match Message::deserialize(message).ok()? {
            Message::Assistant { id, content, tool_calls, encrypted_value: None, subagent_run_id, .. } => {
                let tag = subagent_run_id.as_deref();
                if let Some(text) = content.filter(|text| !text.is_empty() && !knows(&id)) {
                    // Whoever has the earlier one would take this for more of it.
                    if is_of_another(&id) {
                        return None;
                    }
                    let mut said = vec![TextMessageStart::new(&*id).into()];
                    said.extend(pieces(TextMessageContent::new(&*id, text).into()));
                    said.push(TextMessageEnd::new(&*id).into());
                    events.extend(said.into_iter().map(|event: Event| event.with_subagent(tag)));
                }
                for call in tool_calls.into_iter().flatten().filter(|call| !knows(&call.id)) {
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
                // Whoever has the one before would take this for another.
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

/// Whether two threads look the same but for when something ended: a restated conversation says nothing of that.
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
    // All else of a run is not a conversation's to change.
    one.nodes.len() == other.nodes.len()
        && one.encrypted == other.encrypted
        && one.nodes.iter().zip(&other.nodes).all(is_same_node)
}

#[cfg(test)]
#[path = "condense_tests.rs"]
mod tests;
