//! What a tool's structured content says beyond its text.
//!
//! The protocol asks a server to repeat structured content as text, and libraries do so in their own ways: the same value as
//! JSON, the items of a list as a block each, a text within `{"result": …}`, long texts within a larger object. A model
//! reads each text once.

use std::collections::HashSet;

use rmcp::model::{ContentBlock, ResourceContents};
use serde_json::Value;

/// The key under which libraries put a result that is no object.
const WRAPPER: &str = "result";
/// The shortest text, in bytes, that is looked for within other text, and is replaced within an object of several keys.
const MIN_REPEATED: usize = 64;
/// Most comparisons of a text with the shown text.
const MAX_SEARCHES: usize = 1_000;
/// Most values of the structured content and of the blocks that are compared with each other; from then on all counts as new.
const MAX_COMPARISONS: usize = 1_000_000;
/// What stands for a text that was given already.
const GIVEN: &str = "(given above)";

/// What structured content says that `content` does not, as it is shown in `shown`; none where it repeats it.
pub(super) fn beyond(mut value: Value, content: &[ContentBlock], shown: &str) -> Option<Value> {
    let blocks: Vec<&str> = content.iter().filter_map(payload).map(str::trim).collect();
    let values = blocks.iter().filter_map(|text| json(text)).collect();
    let raw = content.iter().filter_map(|block| serde_json::to_value(block).ok()).collect();
    let mut given = Given {
        blocks: blocks.into_iter().collect(),
        values,
        raw,
        shown,
        searches: MAX_SEARCHES,
        comparisons: MAX_COMPARISONS,
    };
    (!given.repeats(&value) && !given.strip(&mut value)).then_some(value)
}

/// The text or the encoded bytes of a block.
fn payload(block: &ContentBlock) -> Option<&str> {
    match block {
        ContentBlock::Text(text) => Some(&text.text),
        ContentBlock::Image(image) => Some(&image.data),
        ContentBlock::Audio(audio) => Some(&audio.data),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => Some(text),
            ResourceContents::BlobResourceContents { blob, .. } => Some(blob),
            _ => None,
        },
        _ => None,
    }
}

/// The JSON value of a text, or the one that stands in it between other words.
fn json(text: &str) -> Option<Value> {
    let within = || {
        let (start, end) = (text.find(['{', '['])?, text.rfind(['}', ']'])?);
        serde_json::from_str(text.get(start..=end)?).ok()
    };
    serde_json::from_str(text).ok().or_else(within)
}

/// What `content` gives.
struct Given<'a> {
    /// The texts and encoded bytes of the blocks.
    blocks: HashSet<&'a str>,
    /// The blocks that are JSON, as values.
    values: Vec<Value>,
    /// The blocks themselves as JSON.
    raw: Vec<Value>,
    shown: &'a str,
    searches: usize,
    comparisons: usize,
}

impl Given<'_> {
    /// Whether all of a value stands in the content, so that it can be left out.
    fn repeats(&mut self, value: &Value) -> bool {
        if self.has(value) {
            return true;
        }
        match value {
            Value::Object(fields) if fields.len() == 1 => fields.iter().all(|(key, value)| match value {
                Value::Array(items) => {
                    self.has(value) || (!items.is_empty() && items.iter().all(|item| self.repeats(item)))
                }
                Value::String(_) | Value::Object(_) => self.repeats(value),
                _ => key == WRAPPER && self.has(value),
            }),
            _ => false,
        }
    }

    fn has(&mut self, value: &Value) -> bool {
        match value {
            Value::String(text) if self.blocks.contains(text.trim()) => true,
            Value::String(text) => self.shows(text),
            _ => {
                let left = &mut self.comparisons;
                *left > 0 && self.values.iter().chain(&self.raw).any(|known| same(known, value, left))
            }
        }
    }

    fn shows(&mut self, text: &str) -> bool {
        let text = text.trim();
        if text.len() < MIN_REPEATED || text.len() > self.shown.len() || self.searches == 0 {
            return false;
        }
        self.searches -= 1;
        self.shown.contains(text)
    }

    /// Replaces the long texts and the blocks that stand in the content; says whether nothing else is left.
    fn strip(&mut self, value: &mut Value) -> bool {
        let is_given = match &*value {
            Value::String(text) => text.trim().len() >= MIN_REPEATED && self.has(value),
            Value::Object(_) | Value::Array(_) => {
                let left = &mut self.comparisons;
                *left > 0 && self.raw.iter().any(|known| same(known, value, left))
            }
            _ => false,
        };
        if is_given {
            *value = GIVEN.into();
            return true;
        }
        let items: Vec<&mut Value> = match value {
            Value::Array(items) => items.iter_mut().collect(),
            Value::Object(fields) => fields.values_mut().collect(),
            _ => Vec::new(),
        };
        let count = items.len();
        // Every item is stripped, also after one that says more.
        let given = items.into_iter().filter_map(|item| self.strip(item).then_some(())).count();
        count > 0 && given == count
    }
}

/// Whether two values are the same; a whole number may be written with a fraction of zero. Not, once no comparisons are left.
fn same(one: &Value, other: &Value, left: &mut usize) -> bool {
    if *left == 0 {
        return false;
    }
    *left -= 1;
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other, left))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| same(value, other, left)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LONG: &str = "A text of more than sixty-four bytes, which a model should read one time and not twice.";

    fn left(content: Value, structured: Value) -> Option<Value> {
        let content: Vec<ContentBlock> = serde_json::from_value(content).expect("content");
        let shown: Vec<&str> = content.iter().filter_map(payload).collect();
        beyond(structured, &content, &shown.join("\n\n"))
    }

    fn text(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    #[test]
    fn what_libraries_repeat_in_their_own_ways_is_given_once() {
        let image = json!({"type": "image", "data": "QUJDRA==", "mimeType": "image/png"});
        let repeated = [
            (json!([text("{\n  \"a\": 1\n}")]), json!({"a": 1})),
            (json!([text("{\"a\": 1.0}")]), json!({"a": 1})),
            (json!([text("Found:\n```json\n{\"a\": [1, 2]}\n```")]), json!({"a": [1, 2]})),
            // A text, a number, or nothing but yes, as FastMCP returns it.
            (json!([text("short")]), json!({"result": "short"})),
            (json!([text("42")]), json!({"result": 42})),
            (json!([text("true")]), json!({"result": true})),
            // A list, as one block or as a block for each item.
            (json!([text("[\"a\", \"b\"]")]), json!({"result": ["a", "b"]})),
            (json!([text("a"), text("b")]), json!({"result": ["a", "b"]})),
            (json!([text("{\"a\": 1}"), text("{\"a\": 2}")]), json!({"result": [{"a": 1}, {"a": 2}]})),
            // A file's text, as the reference server of files returns it.
            (json!([text(&format!("{LONG}\n"))]), json!({"content": LONG})),
            (json!([image.clone()]), json!({"content": [image]})),
            (json!([text(&format!("# One\n{LONG}\n"))]), json!({"pages": [{"body": LONG}]})),
        ];
        for (content, structured) in repeated {
            assert_eq!(left(content.clone(), structured.clone()), None, "{content} and {structured}");
        }
    }

    #[test]
    fn what_only_the_structured_content_says_is_kept() {
        let kept = [
            (json!([text("see")]), json!({"a": 1})),
            (json!([]), json!({"result": []})),
            (json!([text("a")]), json!({"result": ["a", "b"]})),
            (json!([text("true")]), json!({"open": true})),
            (json!([text("x")]), json!({"from": "x", "to": "x"})),
        ];
        for (content, structured) in kept {
            assert_eq!(left(content.clone(), structured.clone()), Some(structured), "{content}");
        }
    }

    #[test]
    fn a_long_text_within_a_larger_object_is_replaced_there() {
        let structured = json!({"title": "One", "body": LONG, "lines": [1, 2], "more": [{"body": LONG, "n": 1}]});
        let expected = json!({"title": "One", "body": GIVEN, "lines": [1, 2], "more": [{"body": GIVEN, "n": 1}]});
        assert_eq!(left(json!([text(LONG)]), structured), Some(expected));
        let data = "QUJD".repeat(50);
        let image = json!({"type": "image", "data": data, "mimeType": "image/png"});
        let structured = json!({"width": 5, "image": {"bytes": data}});
        assert_eq!(left(json!([image]), structured), Some(json!({"width": 5, "image": {"bytes": GIVEN}})));
    }

    #[test]
    fn a_result_of_very_many_values_is_compared_within_a_bound() {
        let blocks: Vec<Value> = (0..20_000).map(|_| text("")).collect();
        let values: Vec<Value> = (0..200_000).map(|_| json!([])).collect();
        let structured = json!({"a": values, "b": 1});
        assert_eq!(left(blocks.into(), structured.clone()), Some(structured), "four billion comparisons would not end");
    }
}
