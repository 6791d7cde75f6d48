//! JSON Patch (RFC 6902) with limits, for agents' shared state and activities.
//!
//! Guarantees: a delta is applied completely or not at all, with the same result on every side. A delta that does not apply to the
//! document, or would make it larger or deeper than the limits, has no effect.

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use crate::protocol::{extensions, limits::MAX_DEPTH};

/// The maximum number of operations in a delta.
pub const MAX_PATCH_OPERATIONS: usize = 256;
/// The maximum number of `copy` and `move` operations in a delta. They can make a document grow by more than the delta's size.
pub const MAX_PATCH_MOVES: usize = 32;
/// The maximum size of a patched document: the bytes of its keys and texts, and [`VALUE_SIZE`] for each value. Enough for a state of
/// 32 MiB and a change of the same size.
const MAX_SIZE: usize = 96 * 1024 * 1024;
/// The approximate size of a value in memory, in bytes.
const VALUE_SIZE: usize = 32;
/// The maximum size that a document may reach by `copy` and `move` operations, which add data that no event contains.
const MAX_COPIED_SIZE: usize = 4 * 1024 * 1024;

/// Applies a delta to a document; false if it had no effect.
pub(super) fn apply(document: &mut Value, operations: Vec<Value>) -> bool {
    apply_to(document, operations, &mut None)
}

/// Applies several deltas in turn, as [`apply`] does, without measuring the document again for each.
pub(super) fn apply_all<'d>(document: &mut Value, deltas: impl Iterator<Item = &'d Vec<Value>>) {
    let mut size_bound = None;
    for delta in deltas {
        apply_to(document, delta.clone(), &mut size_bound);
    }
}

/// Applies a delta. `size_bound`: an upper bound of the document's size, if known.
fn apply_to(document: &mut Value, operations: Vec<Value>, size_bound: &mut Option<usize>) -> bool {
    if let Some((path, piece)) = extensions::continued_text(&operations) {
        let Some(Value::String(text)) = document.pointer_mut(path) else { return false };
        let is_within = text.len() + piece.len() <= MAX_SIZE;
        *size_bound = size_bound.map(|bound| bound + piece.len());
        text.push_str(if is_within { piece } else { "" });
        return is_within;
    }
    let Ok(Patch(operations)) = serde_json::from_value(Value::Array(operations)) else { return false };
    let is_move = |operation: &PatchOperation| matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_));
    let moves = operations.iter().filter(|operation| is_move(operation)).count();
    if operations.len() > MAX_PATCH_OPERATIONS || moves > MAX_PATCH_MOVES {
        return false;
    }
    if moves == 0 {
        // `json_patch` undoes the delta if an operation fails, so the document need not be copied.
        return fits(document, &operations, size_bound) && json_patch::patch(document, &operations).is_ok();
    }
    *size_bound = None;
    match patched(document.clone(), operations) {
        Some(changed) => *document = changed,
        None => return false,
    }
    true
}

/// Whether the document stays within the limits when these operations are applied.
fn fits(document: &Value, operations: &[PatchOperation], size_bound: &mut Option<usize>) -> bool {
    let Some(more) = operations.iter().try_fold(0, |sum, operation| Some(sum + added_size(operation)?)) else {
        return false;
    };
    let is_within = |size: &usize| size + more <= MAX_SIZE;
    let Some(size) = size_bound.filter(is_within).or_else(|| size_of(document, 0)) else { return false };
    let fits = is_within(&size);
    *size_bound = Some(if fits { size + more } else { size });
    fits
}

/// The size that an operation adds; `None` if it would be too deep.
fn added_size(operation: &PatchOperation) -> Option<usize> {
    match operation {
        PatchOperation::Add(add) => size_of(&add.value, add.path.count()),
        PatchOperation::Replace(replace) => size_of(&replace.value, replace.path.count()),
        _ => Some(0),
    }
}

/// The document after operations with `copy` or `move`; `None` if one fails or exceeds a limit.
fn patched(mut document: Value, operations: Vec<PatchOperation>) -> Option<Value> {
    let mut size = size_of(&document, 0)?;
    // The size without copied data.
    let mut sent = size;
    for operation in operations {
        let added = added_size(&operation)?;
        (size, sent) = (size + added, sent + added + operation.path().len());
        if size > MAX_SIZE {
            return None;
        }
        let is_move = matches!(operation, PatchOperation::Copy(_) | PatchOperation::Move(_));
        json_patch::patch(&mut document, &[operation]).ok()?;
        if is_move {
            size = size_of(&document, 0).filter(|size| *size <= MAX_COPIED_SIZE.max(sent))?;
        }
    }
    Some(document)
}

/// Whether a value is larger than `size`.
pub(super) fn is_larger(value: &Value, size: usize) -> bool {
    size_of(value, 0).is_none_or(|actual| actual > size)
}

/// The size of a value at this depth; `None` if it is nested deeper than allowed.
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
    fn a_delta_is_applied_completely_or_not_at_all() {
        let add = json!({"op": "add", "path": "/b", "value": 2});
        assert_eq!(after(json!({"a": 1}), vec![add.clone()]), json!({"a": 1, "b": 2}));
        let wrong = json!({"op": "remove", "path": "/none"});
        assert_eq!(after(json!({"a": 1}), vec![add, wrong]), json!({"a": 1}));
    }

    #[test]
    fn several_deltas_at_once_have_the_same_result_as_one_by_one() {
        let fill = json!({"op": "add", "path": "/a", "value": "x".repeat(MAX_SIZE / 2)});
        let remove = json!({"op": "remove", "path": "/a"});
        let copies = json!({"op": "copy", "from": "/b", "path": "/c"});
        let too_much = json!({"op": "add", "path": "/d", "value": "y".repeat(MAX_SIZE / 2)});
        // A removed value frees its size, and a refused one counts for nothing.
        let deltas = [&fill, &remove, &fill, &too_much, &remove, &copies, &too_much].map(|one| vec![one.clone()]);
        let start = json!({"b": [1, 2]});
        let (mut one_by_one, mut together) = (start.clone(), start);
        for delta in deltas.clone() {
            apply(&mut one_by_one, delta);
        }
        apply_all(&mut together, deltas.iter());
        assert!(one_by_one == together, "both ways have the same result");
        assert_eq!(together["c"], json!([1, 2]));
        assert!(together.get("a").is_none() && together.get("d").is_some());
    }

    #[test]
    fn a_large_document_can_be_changed_but_not_grow_by_copies() {
        let text = "x".repeat(8 * 1024 * 1024);
        let large = json!({"a": text, "b": 1});
        let add = json!({"op": "add", "path": "/c", "value": [1, 2]});
        let moves = json!({"op": "move", "from": "/b", "path": "/d"});
        assert_eq!(after(large.clone(), vec![add, moves]), json!({"a": text, "c": [1, 2], "d": 1}));
        let copies = json!({"op": "copy", "from": "/a", "path": "/c"});
        assert_eq!(after(large.clone(), vec![copies]), large);
    }

    #[test]
    fn a_delta_beyond_the_limits_has_no_effect() {
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
