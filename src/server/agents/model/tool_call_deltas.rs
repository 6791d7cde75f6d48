//! Assigns the pieces of tool calls in chat completions to their calls.
//!
//! Servers that offer "the same API" differ: pieces without an `index` or all under the same one (Gemini's endpoint), arguments as
//! an object, ids that change or are missing from piece to piece, names that are repeated.

use serde_json::Value;

use super::{apis::MAX_CALLS, provider::ModelEvent};

/// The calls of one answer so far.
#[derive(Debug, Default)]
pub(super) struct ToolCallDeltas {
    calls: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    id: Option<String>,
    /// The provider's `index`.
    index: Option<u64>,
    name: String,
    arguments: JsonEnd,
}

/// A piece that belongs to no call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadDelta {
    /// The first piece of a call has no name.
    NoName,
    /// It begins more calls than an answer may have.
    TooManyCalls,
}

impl ToolCallDeltas {
    /// What a piece adds; `None` where it has no function.
    ///
    /// # Errors
    /// If it belongs to no call.
    pub(super) fn read(&mut self, piece: &Value) -> Result<Option<ModelEvent>, BadDelta> {
        let Some(function) = piece["function"].as_object() else { return Ok(None) };
        let text =
            |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let (index, id, name) = (piece["index"].as_u64(), text(piece.get("id")), text(function.get("name")));
        let arguments = match function.get("arguments") {
            Some(Value::String(text)) => text.clone(),
            None | Some(Value::Null) => String::new(),
            Some(whole) => whole.to_string(),
        };
        if let Some(at) = self.find(index, id.as_deref(), name.as_deref()) {
            self.calls[at].arguments.read(&arguments);
            return Ok(Some(ModelEvent::Call { index: at, id: None, name: None, arguments }));
        }
        let name = name.ok_or(BadDelta::NoName)?;
        if self.calls.len() == MAX_CALLS {
            return Err(BadDelta::TooManyCalls);
        }
        let mut end = JsonEnd::default();
        end.read(&arguments);
        self.calls.push(Call { id: id.clone(), index, name: name.clone(), arguments: end });
        Ok(Some(ModelEvent::Call { index: self.calls.len() - 1, id, name: Some(name), arguments }))
    }

    /// The call that a piece continues; `None`: it begins one.
    fn find(&self, index: Option<u64>, id: Option<&str>, name: Option<&str>) -> Option<usize> {
        if id.is_some()
            && let Some(at) = self.calls.iter().position(|call| call.id.as_deref() == id)
        {
            return Some(at);
        }
        let last = self.calls.len().checked_sub(1);
        let at = match index {
            Some(index) => self.calls.iter().rposition(|call| call.index == Some(index)),
            None => last,
        };
        let Some(name) = name else {
            return at.or(last);
        };
        // A repeated name, maybe with a new id, continues the call as long as its arguments are incomplete. Before the first
        // argument, only the same index without an id identifies it as the same call.
        let continues = |call: &Call| match call.arguments.state() {
            JsonState::Complete => false,
            JsonState::Begun => true,
            JsonState::Empty => index.is_some() && id.is_none() && call.id.is_none(),
        };
        at.filter(|at| self.calls[*at].name == name && continues(&self.calls[*at]))
    }
}

/// Finds the end of a JSON object in a text that comes in pieces.
#[derive(Debug, Default)]
struct JsonEnd {
    depth: usize,
    in_string: bool,
    escaped: bool,
    has_begun: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum JsonState {
    Empty,
    Begun,
    Complete,
}

impl JsonEnd {
    fn read(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.has_begun |= !byte.is_ascii_whitespace();
        }
    }

    fn state(&self) -> JsonState {
        match (self.has_begun, self.depth == 0 && !self.in_string) {
            (false, _) => JsonState::Empty,
            (true, false) => JsonState::Begun,
            (true, true) => JsonState::Complete,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A call: id, name and all arguments.
    type Whole = (Option<String>, String, String);

    /// The calls that come of pieces.
    fn calls(chunks: &[Value]) -> Vec<Whole> {
        let mut deltas = ToolCallDeltas::default();
        let mut calls: Vec<Whole> = Vec::new();
        for piece in chunks.iter().flat_map(|chunk| chunk.as_array().expect("a list")) {
            let event = deltas.read(piece).expect("a piece of a call").expect("a function");
            let ModelEvent::Call { index, id, name, arguments } = event else { panic!("{event:?}") };
            match calls.get_mut(index) {
                Some(known) => {
                    assert_eq!((id, name), (None, None), "only in the first piece");
                    known.2.push_str(&arguments);
                }
                None => calls.push((id, name.expect("a name"), arguments)),
            }
        }
        calls
    }

    fn call(id: Option<&str>, name: &str, arguments: &str) -> Whole {
        (id.map(str::to_owned), name.into(), arguments.into())
    }

    #[test]
    fn calls_without_an_index_are_distinguished() {
        let whole = json!([
            {"id": "a", "function": {"name": "look", "arguments": "{\"at\":1}"}},
            {"id": "b", "function": {"name": "look", "arguments": "{\"at\":2}"}},
        ]);
        let both = [call(Some("a"), "look", "{\"at\":1}"), call(Some("b"), "look", "{\"at\":2}")];
        assert_eq!(calls(&[whole]), both);
        let one_by_one = [
            json!([{"id": "a", "function": {"name": "look", "arguments": ""}}]),
            json!([{"function": {"arguments": "{\"at\":"}}]),
            json!([{"function": {"arguments": "1}"}}]),
            json!([{"id": "b", "function": {"name": "look", "arguments": "{\"at\":2}"}}]),
        ];
        assert_eq!(calls(&one_by_one), both);
        let without_ids = [
            json!([{"function": {"name": "look", "arguments": "{\"at\":1}"}}]),
            json!([{"function": {"name": "look", "arguments": "{\"at\":2}"}}]),
        ];
        assert_eq!(calls(&without_ids), [call(None, "look", "{\"at\":1}"), call(None, "look", "{\"at\":2}")]);
    }

    #[test]
    fn calls_that_all_have_the_index_0_are_distinguished() {
        for ids in [["a", "b"], ["", ""]] {
            let piece = |id: &str, arguments: &str| json!([{"index": 0, "id": id, "function": {"name": "look", "arguments": arguments}}]);
            let id = |at: usize| Some(ids[at]).filter(|id| !id.is_empty());
            assert_eq!(
                calls(&[piece(ids[0], "{}"), piece(ids[1], "{\"at\":2}")]),
                [call(id(0), "look", "{}"), call(id(1), "look", "{\"at\":2}")]
            );
        }
    }

    #[test]
    fn pieces_that_repeat_names_or_change_ids_stay_one_call() {
        let piece = |id: Value, name: Value, arguments: &str| json!([{"index": 0, "id": id, "function": {"name": name, "arguments": arguments}}]);
        let one = [call(Some("a"), "look", "{\"at\":\"}\"}")];
        let (look, none) = (json!("look"), Value::Null);
        for (ids, name) in [
            ([json!("a"), json!("a"), json!("a")], &look),
            ([json!("a"), none.clone(), none.clone()], &none),
            ([json!("a"), json!(""), json!("")], &none),
            ([json!("a"), json!("b"), json!("c")], &none),
            ([json!("a"), json!("b"), json!("c")], &look),
        ] {
            let [first, second, third] = ids;
            let pieces = [
                piece(first, look.clone(), "{\"at\""),
                piece(second, name.clone(), ":\"}"),
                piece(third, name.clone(), "\"}"),
            ];
            assert_eq!(calls(&pieces), one);
        }
    }

    #[test]
    fn pieces_without_an_id_belong_to_the_call_of_their_index() {
        let piece = |index: u64, arguments: &str| json!([{"index": index, "function": {"arguments": arguments}}]);
        let first =
            |index: u64, id: &str| json!([{"index": index, "id": id, "function": {"name": "look", "arguments": ""}}]);
        let pieces = [first(0, "a"), first(1, "b"), piece(0, "{\"x\""), piece(1, "{}"), piece(0, ":1}")];
        assert_eq!(calls(&pieces), [call(Some("a"), "look", "{\"x\":1}"), call(Some("b"), "look", "{}")]);
    }

    #[test]
    fn arguments_become_text() {
        let piece = |arguments: Value| json!([{"id": "a", "function": {"name": "look", "arguments": arguments}}]);
        assert_eq!(calls(&[piece(json!({"at": "it"}))]), [call(Some("a"), "look", "{\"at\":\"it\"}")]);
        assert_eq!(calls(&[piece(Value::Null)]), [call(Some("a"), "look", "")]);
    }

    #[test]
    fn a_piece_that_belongs_to_no_call_is_an_error() {
        let mut deltas = ToolCallDeltas::default();
        let nameless = json!({"index": 0, "function": {"arguments": "{}"}});
        assert_eq!(deltas.read(&nameless), Err(BadDelta::NoName));
        for at in 0..=MAX_CALLS {
            let first = json!({"id": format!("c{at}"), "function": {"name": "look", "arguments": "{}"}});
            let event = deltas.read(&first);
            assert_eq!(event.is_err(), at == MAX_CALLS, "{event:?}");
        }
    }
}
