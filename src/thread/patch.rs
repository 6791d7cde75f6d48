//! JSON Patch (RFC 6902) on what agents share: within bounds, so that no delta makes a document that nobody can hold.
//!
//! Promises: all or nothing, and the same for everyone who folds the same log. What does not fit the document, or would make
//! it larger or deeper than the bounds, leaves it as it was.

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use crate::protocol::limits::MAX_DEPTH;

/// The most operations of one delta.
pub const MAX_OPERATIONS: usize = 256;
/// The most operations of one delta that copy or move, which may grow a document beyond what they say.
pub const MAX_MOVES: usize = 32;
/// The most values, keys and bytes of text that a patched document has together.
const MAX_SIZE: usize = 512 * 1024;

/// Changes a document as told.
pub(super) fn apply(document: &mut Value, operations: Vec<Value>) {
    let Ok(Patch(operations)) = serde_json::from_value(Value::Array(operations)) else { return };
    if let Some(changed) = patched(document.clone(), operations) {
        *document = changed;
    }
}

fn patched(mut document: Value, operations: Vec<PatchOperation>) -> Option<Value> {
    if operations.len() > MAX_OPERATIONS {
        return None;
    }
    let mut moves = 0;
    let mut size = size_of(&document, 0)?;
    for operation in operations {
        let moved = match &operation {
            PatchOperation::Add(add) => {
                size += size_of(&add.value, add.path.count())?;
                false
            }
            PatchOperation::Replace(replace) => {
                size += size_of(&replace.value, replace.path.count())?;
                false
            }
            PatchOperation::Copy(_) | PatchOperation::Move(_) => true,
            PatchOperation::Remove(_) | PatchOperation::Test(_) => false,
        };
        moves += usize::from(moved);
        if moves > MAX_MOVES || size > MAX_SIZE {
            return None;
        }
        json_patch::patch(&mut document, &[operation]).ok()?;
        if moved {
            size = size_of(&document, 0).filter(|size| *size <= MAX_SIZE)?;
        }
    }
    Some(document)
}

/// How large a value is that lies so deep; nothing where it is deeper than allowed.
fn size_of(value: &Value, depth: usize) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Value::Object(map) => {
            map.iter().try_fold(1, |sum, (key, value)| Some(sum + key.len() + size_of(value, depth + 1)?))
        }
        Value::Array(values) => values.iter().try_fold(1, |sum, value| Some(sum + size_of(value, depth + 1)?)),
        Value::String(text) => Some(1 + text.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(mut document: Value, operations: Vec<Value>) -> Value {
        apply(&mut document, operations);
        document
    }

    #[test]
    fn operations_apply_all_or_none() {
        let add = json!({"op": "add", "path": "/b", "value": 2});
        assert_eq!(after(json!({"a": 1}), vec![add.clone()]), json!({"a": 1, "b": 2}));
        let wrong = json!({"op": "remove", "path": "/none"});
        assert_eq!(after(json!({"a": 1}), vec![add, wrong]), json!({"a": 1}));
    }

    #[test]
    fn what_would_grow_without_bound_changes_nothing() {
        let doubles = vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 31];
        assert_eq!(after(json!({"a": [0]}), doubles), json!({"a": [0]}));
        let deepens = vec![json!({"op": "copy", "from": "/a", "path": "/a/b"}); 31];
        let document = after(json!({"a": {}}), deepens);
        assert!(size_of(&document, 0).is_some());
        let many = vec![json!({"op": "add", "path": "/a", "value": 1}); MAX_OPERATIONS + 1];
        assert_eq!(after(json!({}), many), json!({}));
        let deep = (0..MAX_DEPTH).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(
            after(json!({"a": {}}), vec![json!({"op": "add", "path": "/a/b", "value": deep})]),
            json!({"a": {}})
        );
        let large = json!({"op": "add", "path": "/b", "value": "x".repeat(MAX_SIZE)});
        assert_eq!(after(json!({}), vec![large]), json!({}));
    }
}
