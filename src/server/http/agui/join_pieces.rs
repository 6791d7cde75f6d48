//! Joins long texts that are stored as several entries of the log, for clients of AG-UI over HTTP: a tool's result is sent once, whole; of a
//! text in the state the first piece is sent, then the whole text.

use std::collections::HashMap;

use serde_json::Value;

use crate::protocol::extensions::{FIRST_PIECE, LAST_PIECE, LATER_PIECE};

/// The pieces so far; at most as many bytes as a run may keep.
#[derive(Debug, Default)]
pub(super) struct PieceJoiner {
    /// Texts of the shared state, by path.
    texts: HashMap<String, String>,
    /// Results of tools, by call.
    results: HashMap<String, Value>,
}

impl PieceJoiner {
    /// Returns the event to send, without the marks of pieces; nothing for a piece that is held back.
    pub(super) fn join(&mut self, event: Value) -> Option<Value> {
        match event["type"].as_str() {
            Some("STATE_DELTA") => self.join_state(event),
            Some("TOOL_CALL_RESULT") => self.join_result(event),
            _ => Some(event),
        }
    }

    /// The first piece is sent at once, so that later operations find its path; the whole text replaces it.
    fn join_state(&mut self, mut event: Value) -> Option<Value> {
        for operation in event["delta"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            let path = operation.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
            let more = operation.get("value").and_then(Value::as_str).unwrap_or_default();
            if operation.contains_key(FIRST_PIECE) {
                self.texts.insert(path, more.to_owned());
                operation.remove(FIRST_PIECE);
            } else if operation.contains_key(LATER_PIECE) {
                let mark = operation.remove(LATER_PIECE);
                let more = operation.get("value").and_then(Value::as_str).unwrap_or_default();
                self.texts.entry(path.clone()).or_default().push_str(more);
                if mark != Some(LAST_PIECE.into()) {
                    return None;
                }
                operation.insert("value".into(), self.texts.remove(&path).into());
            }
        }
        Some(event)
    }

    fn join_result(&mut self, mut event: Value) -> Option<Value> {
        let call = event["toolCallId"].as_str().unwrap_or_default().to_owned();
        let mark = |event: &Value, field: &str| event.get("metadata").and_then(|metadata| metadata.get(field)).cloned();
        if mark(&event, FIRST_PIECE).is_some() {
            event["metadata"].as_object_mut().map(|metadata| metadata.remove(FIRST_PIECE));
            if event["metadata"].as_object().is_some_and(serde_json::Map::is_empty) {
                event.as_object_mut().map(|event| event.remove("metadata"));
            }
            self.results.insert(call, event);
            return None;
        }
        let Some(mark) = mark(&event, LATER_PIECE) else { return Some(event) };
        if let (Some(Value::String(text)), Some(more)) =
            (self.results.get_mut(&call).and_then(|whole| whole.get_mut("content")), event["content"].as_str())
        {
            text.push_str(more);
        }
        if mark == LAST_PIECE { self.results.remove(&call) } else { None }
    }
}
