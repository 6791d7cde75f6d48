//! Chat completions in the shape that OpenAI gives them, whatever the server behind `base_url` makes of it.
//!
//! Servers that offer "the same API" differ: tool calls without an `index` or all under the same one (Gemini's endpoint),
//! arguments as an object, ids that change or are missing from piece to piece, a `message` in place of a `delta`, a
//! `refusal` beside the content, errors without the key `error`. [`ChatChunks`] rewrites each chunk, so that the reader behind it
//! meets one shape. What it does not know, it leaves as it is.

use serde_json::{Map, Value, json};

/// The most calls of one answer that are told apart; further ones are left as they came.
const MAX_CALLS: usize = 128;

/// Rewrites the chunks of one answer, in their order.
#[derive(Debug, Default)]
pub(super) struct ChatChunks {
    calls: Vec<Call>,
    choices: usize,
    has_finish_reason: bool,
}

/// A tool call of this answer.
#[derive(Debug)]
struct Call {
    id: Option<String>,
    /// The provider's `index`.
    index: Option<u64>,
    name: String,
    arguments: JsonEnd,
}

impl ChatChunks {
    /// How many chunks had a part of the answer.
    pub(super) fn choices(&self) -> usize {
        self.choices
    }

    /// Whether a chunk said why the answer ended: then it is whole, with or without `[DONE]`.
    pub(super) fn has_finish_reason(&self) -> bool {
        self.has_finish_reason
    }

    /// The next chunk, rewritten.
    pub(super) fn rewrite(&mut self, mut chunk: Value) -> Value {
        let Some(fields) = chunk.as_object_mut() else { return chunk };
        if fields.get("error").is_some_and(Value::is_null) {
            fields.remove("error");
        }
        let is_error = is_bare_error(fields);
        let choice = fields.get_mut("choices").and_then(|choices| choices.get_mut(0)).and_then(Value::as_object_mut);
        match choice {
            Some(choice) => {
                self.choice(choice);
                let error = choice.get("error").filter(|error| error.is_object() || error.is_string()).cloned();
                if let Some(error) = error
                    && !fields.contains_key("error")
                {
                    fields.insert("error".into(), error);
                }
                chunk
            }
            None if is_error => json!({"error": chunk}),
            None => chunk,
        }
    }

    fn choice(&mut self, choice: &mut Map<String, Value>) {
        self.choices += 1;
        // An answer that is not streamed has all of it in a message.
        if !choice.get("delta").is_some_and(Value::is_object)
            && let Some(message) = choice.remove("message")
        {
            choice.insert("delta".into(), message);
        }
        self.has_finish_reason |= has_finish_reason(choice);
        let Some(delta) = choice.get_mut("delta").and_then(Value::as_object_mut) else { return };
        refusal_as_content(delta);
        match delta.get_mut("tool_calls") {
            Some(Value::Array(calls)) => calls.iter_mut().for_each(|call| self.call(call)),
            Some(call @ Value::Object(_)) => {
                self.call(call);
                *call = json!([call.take()]);
            }
            _ => {}
        }
    }

    /// Gives a piece of a call the index of its call, and name and id where the reader needs them.
    fn call(&mut self, piece: &mut Value) {
        let Some(piece) = piece.as_object_mut() else { return };
        let index = piece.get("index").and_then(Value::as_u64);
        let id = piece.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
        let Some(function) = piece.get_mut("function").and_then(Value::as_object_mut) else { return };
        let name = function.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned);
        let arguments = match function.remove("arguments") {
            Some(Value::String(text)) => text,
            None | Some(Value::Null) => String::new(),
            Some(whole) => whole.to_string(),
        };
        let known = self.find(index, id.as_deref(), name.as_deref());
        let at = known.unwrap_or(self.calls.len());
        match (known, &name) {
            (Some(_), _) => {
                function.remove("name");
            }
            (None, Some(name)) if at < MAX_CALLS => {
                self.calls.push(Call { id, index, name: name.clone(), arguments: JsonEnd::default() });
            }
            // A piece of a call that nobody began: the reader says so.
            (None, _) => {
                function.insert("arguments".into(), arguments.into());
                return;
            }
        }
        let call = &mut self.calls[at];
        call.arguments.read(&arguments);
        function.insert("arguments".into(), arguments.into());
        piece.insert("index".into(), at.into());
        match &call.id {
            Some(id) => piece.insert("id".into(), id.clone().into()),
            None => piece.remove("id"),
        };
    }

    /// The call that a piece goes on with; `None`: it begins one.
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
        // Name, and maybe a new id, again: more of the same call as long as its arguments are not whole. Before the first of
        // them, only the same index without an id says that it is the same.
        let goes_on = |call: &Call| match call.arguments.state() {
            JsonState::Whole => false,
            JsonState::Begun => true,
            JsonState::Nothing => index.is_some() && id.is_none() && call.id.is_none(),
        };
        at.filter(|at| self.calls[*at].name == name && goes_on(&self.calls[*at]))
    }
}

/// Whether this says why the answer ended. Servers that write a text in every chunk write `""` or `"null"` until then.
pub(super) fn has_finish_reason(choice: &Map<String, Value>) -> bool {
    let reason = choice.get("finish_reason").and_then(Value::as_str);
    reason.is_some_and(|reason| !matches!(reason, "" | "null"))
}

/// What a model says in refusing is its answer.
fn refusal_as_content(delta: &mut Map<String, Value>) {
    let refusal = delta.remove("refusal").and_then(|refusal| refusal.as_str().map(str::to_owned)).unwrap_or_default();
    match delta.get_mut("content") {
        Some(Value::Array(parts)) => {
            parts.extend((!refusal.is_empty()).then(|| json!({"type": "text", "text": refusal})));
            for part in parts.iter_mut().filter(|part| part["type"] == "refusal") {
                *part = json!({"type": "text", "text": part["refusal"]});
            }
        }
        Some(Value::String(text)) if !text.is_empty() && !refusal.is_empty() => {
            *text = format!("{text}\n\n{refusal}");
        }
        _ if !refusal.is_empty() => {
            delta.insert("content".into(), refusal.into());
        }
        _ => {}
    }
}

/// An error that stands where a chunk should: `{"object": "error", "message": …}`, `{"detail": …}`.
fn is_bare_error(fields: &Map<String, Value>) -> bool {
    let says = |key: &str| fields.get(key).is_some_and(|value| value.is_string() || value.is_array());
    let is_chunk = ["error", "choices", "usage"].iter().any(|key| fields.contains_key(*key));
    !is_chunk && (fields.get("object").is_some_and(|object| object == "error") || says("message") || says("detail"))
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
    Nothing,
    Begun,
    Whole,
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
            (false, _) => JsonState::Nothing,
            (true, false) => JsonState::Begun,
            (true, true) => JsonState::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls that come of pieces: index, id, name and all arguments.
    fn calls(pieces: &[Value]) -> Vec<(u64, Option<String>, String, String)> {
        let mut chunks = ChatChunks::default();
        let mut calls: Vec<(u64, Option<String>, String, String)> = Vec::new();
        for piece in pieces {
            let chunk = chunks.rewrite(json!({"choices": [{"delta": {"tool_calls": piece}}]}));
            for call in chunk["choices"][0]["delta"]["tool_calls"].as_array().expect("a list") {
                let index = call["index"].as_u64().expect("an index");
                let arguments = call["function"]["arguments"].as_str().expect("text");
                match calls.iter_mut().find(|(known, ..)| *known == index) {
                    Some(known) => {
                        assert!(call["function"].get("name").is_none(), "a name is said once");
                        known.3.push_str(arguments);
                    }
                    None => {
                        let name = call["function"]["name"].as_str().expect("a name").to_owned();
                        calls.push((index, call["id"].as_str().map(str::to_owned), name, arguments.to_owned()));
                    }
                }
            }
        }
        calls
    }

    fn call(index: u64, id: Option<&str>, name: &str, arguments: &str) -> (u64, Option<String>, String, String) {
        (index, id.map(str::to_owned), name.into(), arguments.into())
    }

    #[test]
    fn calls_without_an_index_are_told_apart() {
        let whole = json!([
            {"id": "a", "function": {"name": "look", "arguments": "{\"at\":1}"}},
            {"id": "b", "function": {"name": "look", "arguments": "{\"at\":2}"}},
        ]);
        let both = [call(0, Some("a"), "look", "{\"at\":1}"), call(1, Some("b"), "look", "{\"at\":2}")];
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
        assert_eq!(calls(&without_ids), [call(0, None, "look", "{\"at\":1}"), call(1, None, "look", "{\"at\":2}")]);
    }

    #[test]
    fn calls_that_all_have_the_index_0_are_told_apart() {
        for ids in [["a", "b"], ["", ""]] {
            let piece = |id: &str, arguments: &str| json!([{"index": 0, "id": id, "function": {"name": "look", "arguments": arguments}}]);
            let id = |at: usize| Some(ids[at]).filter(|id| !id.is_empty());
            assert_eq!(
                calls(&[piece(ids[0], "{}"), piece(ids[1], "{\"at\":2}")]),
                [call(0, id(0), "look", "{}"), call(1, id(1), "look", "{\"at\":2}")]
            );
        }
    }

    #[test]
    fn pieces_that_repeat_names_or_change_ids_stay_one_call() {
        let piece = |id: Value, name: Value, arguments: &str| json!([{"index": 0, "id": id, "function": {"name": name, "arguments": arguments}}]);
        let one = [call(0, Some("a"), "look", "{\"at\":\"}\"}")];
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
    fn arguments_become_text() {
        let piece = |arguments: Value| json!({"id": "a", "function": {"name": "look", "arguments": arguments}});
        assert_eq!(calls(&[json!([piece(json!({"at": "it"}))])]), [call(0, Some("a"), "look", "{\"at\":\"it\"}")]);
        assert_eq!(calls(&[piece(Value::Null)]), [call(0, Some("a"), "look", "")], "one call that is in no list");
    }

    #[test]
    fn a_refusal_is_content() {
        let content = |delta: Value| {
            let chunk = ChatChunks::default().rewrite(json!({"choices": [{"delta": delta}]}));
            chunk["choices"][0]["delta"]["content"].clone()
        };
        assert_eq!(content(json!({"refusal": "I cannot."})), "I cannot.");
        assert_eq!(content(json!({"content": null, "refusal": "I cannot."})), "I cannot.");
        assert_eq!(content(json!({"content": "Well.", "refusal": "I cannot."})), "Well.\n\nI cannot.");
        assert_eq!(content(json!({"content": "Fine.", "refusal": null})), "Fine.");
        let parts = content(json!({"content": [{"type": "refusal", "refusal": "I cannot."}]}));
        assert_eq!(parts, json!([{"type": "text", "text": "I cannot."}]));
    }

    #[test]
    fn only_a_reason_ends_an_answer() {
        for (reason, is_end) in [
            (json!("stop"), true),
            (json!("length"), true),
            (json!(""), false),
            (json!("null"), false),
            (json!(null), false),
        ] {
            let mut chunks = ChatChunks::default();
            chunks.rewrite(json!({"choices": [{"delta": {"content": "x"}, "finish_reason": reason}]}));
            assert_eq!(chunks.has_finish_reason(), is_end, "{reason}");
        }
    }

    #[test]
    fn errors_stand_under_their_key_and_nothing_else_does() {
        for (chunk, error) in [
            (json!({"object": "error", "message": "Overloaded", "code": 503}), json!("Overloaded")),
            (json!({"detail": "Not Found"}), Value::Null),
            (json!({"choices": [{"delta": {}, "error": {"message": "Overloaded"}}]}), json!("Overloaded")),
        ] {
            let chunk = ChatChunks::default().rewrite(chunk);
            assert!(chunk["error"].is_object() && chunk["error"]["message"] == error, "{chunk}");
        }
        for chunk in [
            json!({"choices": [{"delta": {"content": "x"}}], "error": null}),
            json!({"choices": [], "usage": {"prompt_tokens": 1}}),
        ] {
            assert!(ChatChunks::default().rewrite(chunk).get("error").is_none());
        }
    }
}
