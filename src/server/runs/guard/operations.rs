//! Limits and syntax of the JSON Patch operations in deltas.

use serde_json::Value;

use crate::thread::{MAX_PATCH_MOVES, MAX_PATCH_OPERATIONS};

/// Checks RFC 6902 operations: their number, their kinds and their JSON pointers.
pub(super) fn check_operations(operations: &[Value]) -> Result<(), String> {
    let pointer = |text: &str| {
        (text.is_empty() || text.starts_with('/')) && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
    };
    if operations.len() > MAX_PATCH_OPERATIONS {
        return Err(format!(
            "a delta may have at most {MAX_PATCH_OPERATIONS} operations, this one has {}",
            operations.len()
        ));
    }
    let moves = operations.iter().filter(|operation| matches!(operation["op"].as_str(), Some("move" | "copy"))).count();
    if moves > MAX_PATCH_MOVES {
        return Err(format!(
            "a delta may have at most {MAX_PATCH_MOVES} operations that move or copy, this one has {moves}"
        ));
    }
    for operation in operations {
        let text = |key| operation.get(key).and_then(Value::as_str);
        let is_valid = match text("op") {
            Some("add" | "replace" | "test") => operation.get("value").is_some(),
            Some("move" | "copy") => text("from").is_some_and(pointer),
            Some("remove") => true,
            _ => false,
        };
        if !is_valid || !text("path").is_some_and(pointer) {
            return Err("a delta must consist of RFC 6902 operations with JSON pointers".into());
        }
    }
    Ok(())
}
