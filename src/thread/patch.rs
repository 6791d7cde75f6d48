//! JSON Patch (RFC 6902) on what agents share: within bounds, so that no delta makes a document that nobody can hold.
//!
//! Promises: all or nothing, and the same for everyone who folds the same log. What does not fit the document, or would make
//! it larger or deeper than the bounds, leaves it as it was.

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use crate::protocol::{extensions, limits::MAX_DEPTH};

/// The most operations of one delta.
pub const MAX_PATCH_OPERATIONS: usize = 256;
/// The most operations of one delta that copy or move, which may grow a document beyond what they say.
pub const MAX_PATCH_MOVES: usize = 32;
/// The largest patched document: its keys and texts, in bytes, and [`VALUE_SIZE`] for each of its values. A state of 32 MiB has
/// room in it, and a change of it beside it.
const MAX_SIZE: usize = 96 * 1024 * 1024;
/// What a value takes in memory, in bytes.
const VALUE_SIZE: usize = 32;
/// The largest document that copy and move operations may make: what they add is in no event's bytes.
const MAX_COPIED_SIZE: usize = 4 * 1024 * 1024;

/// Changes a document as told; answers whether it could be.
pub(super) fn apply(document: &mut Value, operations: Vec<Value>) -> bool {
    apply_to(document, operations, &mut None)
}

/// Changes a document by several deltas in turn, as [`apply`] does. It is not measured anew for each.
pub(super) fn apply_all<'d>(document: &mut Value, deltas: impl Iterator<Item = &'d Vec<Value>>) {
    let mut most = None;
    for delta in deltas {
        apply_to(document, delta.clone(), &mut most);
    }
}

/// `most`: what the document is not larger than, where that is known.
fn apply_to(document: &mut Value, operations: Vec<Value>, most: &mut Option<usize>) -> bool {
    if let Some((path, more)) = extensions::continued_text(&operations) {
        let Some(Value::String(text)) = document.pointer_mut(path) else { return false };
        let is_within = text.len() + more.len() <= MAX_SIZE;
        *most = most.map(|most| most + more.len());
        text.push_str(if is_within { more } else { "" });
        return is_within;
    }
    let Ok(Patch(operations)) = serde_json::from_value(Value::Array(operations)) else { return false };
    let is_move = |operation: &PatchOperation| matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_));
    let moves = operations.iter().filter(|operation| is_move(operation)).count();
    if operations.len() > MAX_PATCH_OPERATIONS || moves > MAX_PATCH_MOVES {
        return false;
    }
    if moves == 0 {
        // Undone where one of them fails: a large document is not copied.
        return fits(document, &operations, most) && json_patch::patch(document, &operations).is_ok();
    }
    *most = None;
    match patched(document.clone(), operations) {
        Some(changed) => *document = changed,
        None => return false,
    }
    true
}

/// Whether a document is within bounds once these have added to it.
fn fits(document: &Value, operations: &[PatchOperation], most: &mut Option<usize>) -> bool {
    let Some(more) = operations.iter().try_fold(0, |sum, operation| Some(sum + added(operation)?)) else {
        return false;
    };
    let is_within = |size: &usize| size + more <= MAX_SIZE;
    let Some(size) = most.filter(is_within).or_else(|| size_of(document, 0)) else { return false };
    let fits = is_within(&size);
    *most = Some(if fits { size + more } else { size });
    fits
}

/// How large what an operation says is; nothing where it would lie too deep.
fn added(operation: &PatchOperation) -> Option<usize> {
    match operation {
        PatchOperation::Add(add) => size_of(&add.value, add.path.count()),
        PatchOperation::Replace(replace) => size_of(&replace.value, replace.path.count()),
        _ => Some(0),
    }
}

fn patched(mut document: Value, operations: Vec<PatchOperation>) -> Option<Value> {
    let mut size = size_of(&document, 0)?;
    // What was said, without what is copied.
    let mut said = size;
    for operation in operations {
        let more = added(&operation)?;
        (size, said) = (size + more, said + more + operation.path().len());
        if size > MAX_SIZE {
            return None;
        }
        let moved = matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_));
        json_patch::patch(&mut document, &[operation]).ok()?;
        if moved {
            size = size_of(&document, 0).filter(|size| *size <= MAX_COPIED_SIZE.max(said))?;
        }
    }
    Some(document)
}

/// Whether a value is larger than that.
pub(super) fn is_larger(value: &Value, size: usize) -> bool {
    size_of(value, 0).is_none_or(|larger| larger > size)
}

/// How large a value is that lies so deep; nothing where it is deeper than allowed.
fn size_of(value: &Value, depth: usize) -> Option<usize> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value {
        Value::Object(map) => {
            map.iter().try_fold(VALUE_SIZE, |sum, (key, value)| Some(sum + key.len() + size_of(value, depth + 1)?))
        }
        Value::Array(values) => values.iter().try_fold(VALUE_SIZE, |sum, value| Some(sum + size_of(value, depth + 1)?)),
        Value::String(text) => Some(VALUE_SIZE + text.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(VALUE_SIZE),
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
    fn several_deltas_make_what_each_by_itself_makes() {
        let fill = json!({"op": "add", "path": "/a", "value": "x".repeat(MAX_SIZE / 2)});
        let remove = json!({"op": "remove", "path": "/a"});
        let copies = json!({"op": "copy", "from": "/b", "path": "/c"});
        let too_much = json!({"op": "add", "path": "/d", "value": "y".repeat(MAX_SIZE / 2)});
        // What was removed makes room, and what is refused takes none.
        let deltas = [&fill, &remove, &fill, &too_much, &remove, &copies, &too_much].map(|one| vec![one.clone()]);
        let start = json!({"b": [1, 2]});
        let (mut one_by_one, mut together) = (start.clone(), start);
        for delta in deltas.clone() {
            apply(&mut one_by_one, delta);
        }
        apply_all(&mut together, deltas.iter());
        assert!(one_by_one == together, "all of them make the same");
        assert_eq!(together["c"], json!([1, 2]));
        assert!(together.get("a").is_none() && together.get("d").is_some());
    }

    #[test]
    fn a_large_document_takes_changes_and_a_move_and_does_not_grow_by_copies() {
        let text = "x".repeat(8 * 1024 * 1024);
        let large = json!({"a": text, "b": 1});
        let add = json!({"op": "add", "path": "/c", "value": [1, 2]});
        let moves = json!({"op": "move", "from": "/b", "path": "/d"});
        assert_eq!(after(large.clone(), vec![add, moves]), json!({"a": text, "c": [1, 2], "d": 1}));
        let copies = json!({"op": "copy", "from": "/a", "path": "/c"});
        assert_eq!(after(large.clone(), vec![copies]), large);
    }

    #[test]
    fn what_would_grow_without_bound_changes_nothing() {
        let doubles = vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 31];
        assert_eq!(after(json!({"a": [0]}), doubles), json!({"a": [0]}));
        let deepens = vec![json!({"op": "copy", "from": "/a", "path": "/a/b"}); 31];
        let document = after(json!({"a": {}}), deepens);
        assert!(size_of(&document, 0).is_some());
        let many = vec![json!({"op": "add", "path": "/a", "value": 1}); MAX_PATCH_OPERATIONS + 1];
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
