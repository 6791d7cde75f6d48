//! Removes from a tool's structured content what its text content already contains, so that a model reads it once.
//!
//! The protocol asks a server to repeat structured content as text, and libraries do so in different ways: the same
//! value as JSON, one block for each item of a list, a text within `{"result": …}`, long texts within a larger object.

use std::collections::HashSet;

use rmcp::model::{ContentBlock, ResourceContents};
use serde_json::Value;

/// The key under which libraries wrap a result that is not an object.
const WRAPPER_KEY: &str = "result";
/// The shortest text, in bytes, that is searched for within other text, and that is replaced within an object.
const MIN_REPEATED_BYTES: usize = 64;
/// The most searches in the shown text.
const MAX_SEARCHES: usize = 1_000;
/// The most comparisons of values; after that, values count as not repeated.
const MAX_COMPARISONS: usize = 1_000_000;
/// Replaces a repeated text or block.
const REPEATED: &str = "(given above)";

/// Structured content without what `content` already contains; `None` if nothing is left. `shown` is the text of
/// `content` for the model.
pub(super) fn without_repeated(mut value: Value, content: &[ContentBlock], shown: &str) -> Option<Value> {
    let blocks: Vec<&str> = content.iter().filter_map(payload).map(str::trim).collect();
    let values = blocks.iter().filter_map(|text| parse_json(text)).collect();
    let raw = content.iter().filter_map(|block| serde_json::to_value(block).ok()).collect();
    let mut matcher = ContentMatcher {
        blocks: blocks.into_iter().collect(),
        values,
        raw,
        shown,
        searches: MAX_SEARCHES,
        comparisons: MAX_COMPARISONS,
    };
    (!matcher.is_repeated(&value) && !matcher.strip(&mut value)).then_some(value)
}

/// The text or the Base64 data of a block.
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

/// The JSON value of a text, or the JSON array or object within the text.
fn parse_json(text: &str) -> Option<Value> {
    let within = || {
        let (start, end) = (text.find(['{', '['])?, text.rfind(['}', ']'])?);
        serde_json::from_str(text.get(start..=end)?).ok()
    };
    serde_json::from_str(text).ok().or_else(within)
}

/// Finds values of the structured content in the content.
struct ContentMatcher<'a> {
    /// The texts and Base64 data of the blocks.
    blocks: HashSet<&'a str>,
    /// The JSON values in the blocks' texts.
    values: Vec<Value>,
    /// The blocks themselves as JSON.
    raw: Vec<Value>,
    /// The text for the model.
    shown: &'a str,
    /// Remaining searches.
    searches: usize,
    /// Remaining comparisons.
    comparisons: usize,
}

impl ContentMatcher<'_> {
    /// Whether the content contains the whole value.
    fn is_repeated(&mut self, value: &Value) -> bool {
        if self.contains(value) {
            return true;
        }
        match value {
            Value::Object(fields) if fields.len() == 1 => fields.iter().all(|(key, value)| match value {
                Value::Array(items) => {
                    self.contains(value) || (!items.is_empty() && items.iter().all(|item| self.is_repeated(item)))
                }
                Value::String(_) | Value::Object(_) => self.is_repeated(value),
                _ => key == WRAPPER_KEY && self.contains(value),
            }),
            _ => false,
        }
    }

    /// Whether a block is equal to the value or, for a text, contains it.
    fn contains(&mut self, value: &Value) -> bool {
        match value {
            Value::String(text) if self.blocks.contains(text.trim()) => true,
            Value::String(text) => self.is_shown(text),
            _ => {
                let left = &mut self.comparisons;
                *left > 0 && self.values.iter().chain(&self.raw).any(|known| is_equal(known, value, left))
            }
        }
    }

    /// Whether the shown text contains this text, which must be long.
    fn is_shown(&mut self, text: &str) -> bool {
        let text = text.trim();
        if text.len() < MIN_REPEATED_BYTES || text.len() > self.shown.len() || self.searches == 0 {
            return false;
        }
        self.searches -= 1;
        self.shown.contains(text)
    }

    /// Replaces repeated long texts and blocks within a value. Returns whether nothing else is left.
    fn strip(&mut self, value: &mut Value) -> bool {
        let is_repeated = match &*value {
            Value::String(text) => text.trim().len() >= MIN_REPEATED_BYTES && self.contains(value),
            Value::Object(_) | Value::Array(_) => {
                let left = &mut self.comparisons;
                *left > 0 && self.raw.iter().any(|known| is_equal(known, value, left))
            }
            _ => false,
        };
        if is_repeated {
            *value = REPEATED.into();
            return true;
        }
        let items: Vec<&mut Value> = match value {
            Value::Array(items) => items.iter_mut().collect(),
            Value::Object(fields) => fields.values_mut().collect(),
            _ => Vec::new(),
        };
        let count = items.len();
        // Not `all`, which would stop at the first item that is not repeated.
        let repeated = items.into_iter().filter_map(|item| self.strip(item).then_some(())).count();
        count > 0 && repeated == count
    }
}

/// Whether two values are equal, where `1` equals `1.0`; `false` once no comparisons are left.
fn is_equal(one: &Value, other: &Value, left: &mut usize) -> bool {
    if *left == 0 {
        return false;
    }
    *left -= 1;
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_equal(one, other, left))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| is_equal(value, other, left)))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LONG: &str = "A text of more than sixty-four bytes, which a model should read only once.";

    fn remaining(content: Value, structured: Value) -> Option<Value> {
        let content: Vec<ContentBlock> = serde_json::from_value(content).expect("content");
        let shown: Vec<&str> = content.iter().filter_map(payload).collect();
        without_repeated(structured, &content, &shown.join("\n\n"))
    }

    fn text(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    #[test]
    fn content_repeated_as_libraries_do_it_is_removed() {
        let image = json!({"type": "image", "data": "QUJDRA==", "mimeType": "image/png"});
        let repeated = [
            (json!([text("{\n  \"a\": 1\n}")]), json!({"a": 1})),
            (json!([text("{\"a\": 1.0}")]), json!({"a": 1})),
            (json!([text("Found:\n```json\n{\"a\": [1, 2]}\n```")]), json!({"a": [1, 2]})),
            // A text, a number or a boolean, as FastMCP returns it.
            (json!([text("short")]), json!({"result": "short"})),
            (json!([text("42")]), json!({"result": 42})),
            (json!([text("true")]), json!({"result": true})),
            // A list, as one block or as one block for each item.
            (json!([text("[\"a\", \"b\"]")]), json!({"result": ["a", "b"]})),
            (json!([text("a"), text("b")]), json!({"result": ["a", "b"]})),
            (json!([text("{\"a\": 1}"), text("{\"a\": 2}")]), json!({"result": [{"a": 1}, {"a": 2}]})),
            // A file's text, as the reference file server returns it.
            (json!([text(&format!("{LONG}\n"))]), json!({"content": LONG})),
            (json!([image.clone()]), json!({"content": [image]})),
            (json!([text(&format!("# One\n{LONG}\n"))]), json!({"pages": [{"body": LONG}]})),
        ];
        for (content, structured) in repeated {
            assert_eq!(remaining(content.clone(), structured.clone()), None, "{content} and {structured}");
        }
    }

    #[test]
    fn what_only_the_structured_content_contains_is_kept() {
        let kept = [
            (json!([text("see")]), json!({"a": 1})),
            (json!([]), json!({"result": []})),
            (json!([text("a")]), json!({"result": ["a", "b"]})),
            (json!([text("true")]), json!({"open": true})),
            (json!([text("x")]), json!({"from": "x", "to": "x"})),
        ];
        for (content, structured) in kept {
            assert_eq!(remaining(content.clone(), structured.clone()), Some(structured), "{content}");
        }
    }

    #[test]
    fn a_repeated_long_text_within_a_larger_object_is_replaced() {
        let structured = json!({"title": "One", "body": LONG, "lines": [1, 2], "more": [{"body": LONG, "n": 1}]});
        let expected = json!({"title": "One", "body": REPEATED, "lines": [1, 2], "more": [{"body": REPEATED, "n": 1}]});
        assert_eq!(remaining(json!([text(LONG)]), structured), Some(expected));
        let data = "QUJD".repeat(50);
        let image = json!({"type": "image", "data": data, "mimeType": "image/png"});
        let structured = json!({"width": 5, "image": {"bytes": data}});
        assert_eq!(remaining(json!([image]), structured), Some(json!({"width": 5, "image": {"bytes": REPEATED}})));
    }

    #[test]
    fn comparisons_are_bounded() {
        let blocks: Vec<Value> = (0..20_000).map(|_| text("")).collect();
        let values: Vec<Value> = (0..200_000).map(|_| json!([])).collect();
        let structured = json!({"a": values, "b": 1});
        assert_eq!(
            remaining(blocks.into(), structured.clone()),
            Some(structured),
            "four billion comparisons would not end"
        );
    }
}
