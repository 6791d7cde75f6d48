//! Tool results that are too long for an event.

use serde::Deserialize;
use serde_json::Map;

use super::{MAX_PIECE_BYTES, pieces, split_text};
use crate::{
    protocol::{
        agui::{Base, Event, Message, MessagesSnapshot, ToolCallResult, ToolContent},
        extensions::{FIRST_PIECE, KNOWN_RESULT, LAST_PIECE, LATER_PIECE, MORE_FOLLOW},
    },
    thread::{NodeBody, ThreadView},
};

/// From this length on, in bytes, a result that the thread already has is left out of a restated conversation that is too long.
const MIN_LONG_BYTES: usize = 1024;

/// Splits a result into several events, each with a piece of its text.
pub(super) fn in_pieces(event: ToolCallResult) -> Vec<Event> {
    let ToolContent::Text(text) = &event.content else { return vec![event.into()] };
    let texts = split_text(text);
    let (last, timestamp) = (texts.len().saturating_sub(1), event.base.timestamp);
    let piece = |(index, text): (usize, &str)| {
        let mut piece = ToolCallResult { content: ToolContent::Text(text.to_owned()), ..event.clone() };
        if index == 0 {
            piece.base.metadata.get_or_insert_default().insert(FIRST_PIECE.into(), true.into());
        } else {
            let mark = if index == last { LAST_PIECE } else { MORE_FOLLOW };
            let metadata = Some(Map::from_iter([(LATER_PIECE.to_owned(), mark.into())]));
            // Only the first piece keeps the other fields.
            piece.base = Base { timestamp, metadata, ..Base::default() };
        }
        piece.into()
    };
    texts.into_iter().enumerate().map(piece).collect()
}

/// A restated conversation without its long results: those that the thread has are marked, the others follow as separate events.
pub(super) fn separate(thread: &ThreadView, mut conversation: MessagesSnapshot) -> Vec<Event> {
    let mut results = Vec::new();
    conversation.messages.retain_mut(|value| {
        let Ok(Message::Tool {
            id,
            content: ToolContent::Text(text),
            tool_call_id,
            error: None,
            encrypted_value: None,
            subagent_run_id,
        }) = Message::deserialize(&*value)
        else {
            return true;
        };
        if text.len() < MIN_LONG_BYTES {
            return true;
        }
        if thread.result_of(&tool_call_id) == Some(text.as_str()) {
            (value["content"], value[KNOWN_RESULT]) = ("".into(), true.into());
            return true;
        }
        if text.len() <= MAX_PIECE_BYTES {
            return true;
        }
        let result = Event::from(ToolCallResult::new(id, tool_call_id, ToolContent::Text(text)));
        results.extend(pieces(result.with_subagent(subagent_run_id.as_deref())));
        false
    });
    let mut events = vec![conversation.into()];
    events.extend(results);
    events
}

/// Whether the thread has this result of a call, by the result's id and content.
pub(super) fn is_answered(thread: &ThreadView, call: &str, (id, content): (&str, &ToolContent)) -> bool {
    thread.runs().flat_map(|run| &run.nodes).any(|node| match &node.body {
        NodeBody::Tool { result: Some(text), result_id, .. } => {
            node.id == call && result_id.as_deref() == Some(id) && *text == content.to_text()
        }
        _ => false,
    })
}
