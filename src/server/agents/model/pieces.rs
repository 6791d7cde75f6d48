//! Pieces of tool calls, as genai passes them on: told apart by index, whatever a provider does with ids.

use genai::chat::ToolCall;
use serde_json::Value;

use super::provider::ModelEvent;

/// The most calls of one answer whose pieces are told apart.
const MAX_CALLS: usize = 128;

/// The calls of one answer: their ids as the provider says them, and how much of their arguments was passed on.
pub(super) struct Calls {
    /// Whether arguments come in pieces; else each chunk restates them.
    pieces: bool,
    known: Vec<(String, usize)>,
}

impl Calls {
    /// No calls yet; `pieces`: whether arguments come in pieces.
    pub(super) const fn new(pieces: bool) -> Self {
        Self { pieces, known: Vec::new() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What one chunk says; nothing where there are more calls than can be told apart, or none to go on with.
    pub(super) fn piece(&mut self, call: ToolCall) -> Option<ModelEvent> {
        let known = self.known.iter().position(|(id, _)| *id == call.call_id && !id.is_empty());
        // A piece without an id arrives under `call_<index>`.
        let by_index = || call.call_id.strip_prefix("call_")?.parse().ok().filter(|index| *index < self.known.len());
        let index = match known.or_else(|| if call.fn_name.is_empty() { by_index() } else { None }) {
            Some(index) => index,
            None if call.fn_name.is_empty() => self.known.len().checked_sub(1)?,
            None => self.known.len(),
        };
        let first = index == self.known.len();
        if first {
            if index == MAX_CALLS {
                return None;
            }
            self.known.push((call.call_id.clone(), 0));
        }
        let said = match call.fn_arguments {
            Value::String(text) => text,
            Value::Null => String::new(),
            whole => whole.to_string(),
        };
        let passed_on = &mut self.known[index].1;
        let arguments = if self.pieces { said } else { said.get(*passed_on..).unwrap_or_default().to_owned() };
        *passed_on += arguments.len();
        let id = (first && !call.call_id.is_empty()).then_some(call.call_id);
        Some(ModelEvent::Call { index, id, name: first.then_some(call.fn_name), arguments })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn piece(calls: &mut Calls, id: &str, name: &str, arguments: impl Into<Value>) -> (usize, Option<String>, String) {
        let call = ToolCall {
            call_id: id.into(),
            fn_name: name.into(),
            fn_arguments: arguments.into(),
            thought_signatures: None,
        };
        match calls.piece(call) {
            Some(ModelEvent::Call { index, name, arguments, .. }) => (index, name, arguments),
            other => panic!("no piece: {other:?}"),
        }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.into())
    }

    #[test]
    fn pieces_without_an_id_belong_to_the_call_of_their_index() {
        let calls = &mut Calls::new(true);
        assert_eq!(piece(calls, "a1", "first", ""), (0, some("first"), String::new()));
        assert_eq!(piece(calls, "b2", "second", "{"), (1, some("second"), "{".into()));
        assert_eq!(piece(calls, "call_0", "", "{\"x\""), (0, None, "{\"x\"".into()));
        assert_eq!(piece(calls, "call_1", "", "}"), (1, None, "}".into()));
        assert_eq!(piece(calls, "a1", "first", ":1}"), (0, None, ":1}".into()), "a gateway that repeats id and name");
    }

    #[test]
    fn two_calls_with_empty_ids_stay_two() {
        let calls = &mut Calls::new(true);
        assert_eq!(piece(calls, "", "first", "{}").0, 0);
        assert_eq!(piece(calls, "", "second", "{}").0, 1);
    }

    #[test]
    fn restated_arguments_pass_on_what_is_new() {
        let calls = &mut Calls::new(false);
        assert_eq!(piece(calls, "a", "f", ""), (0, some("f"), String::new()));
        assert_eq!(piece(calls, "a", "f", "{\"x\""), (0, None, "{\"x\"".into()));
        assert_eq!(piece(calls, "a", "f", "{\"x\":1}"), (0, None, ":1}".into()));
        assert_eq!(piece(calls, "b", "g", json!({"y": 2})), (1, some("g"), "{\"y\":2}".into()));
    }
}
