//! Removes the server's own marks from agents' events, which must not contain them.

use serde_json::{Map, Value};

use super::SINCE_MESSAGE;
use crate::protocol::{
    agui::Event,
    extensions::{CALLER_STATE, FIRST_PIECE, KNOWN_RESULT, LATER_PIECE},
};

/// Removes the server's marks from an agent's event.
pub(in super::super) fn remove(event: &mut Event) {
    if let Some(metadata) = &mut event.base_mut().metadata {
        let had = metadata.len();
        metadata.retain(|mark, _| ![FIRST_PIECE, LATER_PIECE, CALLER_STATE, SINCE_MESSAGE].contains(&mark.as_str()));
        if metadata.is_empty() && had > 0 {
            event.base_mut().metadata = None;
        }
    }
    let (values, marks): (_, &[&str]) = match event {
        Event::StateDelta(e) => (&mut e.delta, &[FIRST_PIECE, LATER_PIECE]),
        Event::MessagesSnapshot(e) => (&mut e.messages, &[KNOWN_RESULT]),
        _ => return,
    };
    let remove = |fields: &mut Map<String, Value>| marks.iter().for_each(|mark| drop(fields.remove(*mark)));
    values.iter_mut().filter_map(Value::as_object_mut).for_each(remove);
}
