//! The records in local storage: those that the database does not have yet.

use super::record::RecordKey;

/// The prefix of the keys in local storage.
const PREFIX: &str = "netra.written/";

fn storage() -> Option<web_sys::Storage> {
    web_sys::window().and_then(|window| window.local_storage().ok().flatten())
}

/// The name of the record under a key of local storage; `None` if the key is not one of a record.
pub(super) fn record_name(key: &str) -> Option<&str> {
    key.strip_prefix(PREFIX)
}

/// The value of a record. An empty text marks a removed record.
pub(super) fn get(name: &str) -> Option<String> {
    storage()?.get_item(&format!("{PREFIX}{name}")).ok().flatten()
}

/// Writes a record, or marks it as removed. Does nothing if local storage refuses it.
pub(super) fn set(name: &str, value: Option<&str>) {
    if let Some(storage) = storage() {
        let _ = storage.set_item(&format!("{PREFIX}{name}"), value.unwrap_or_default());
    }
}

/// Removes a record, or its mark as removed.
pub(super) fn remove(name: &str) {
    if let Some(storage) = storage() {
        let _ = storage.remove_item(&format!("{PREFIX}{name}"));
    }
}

/// All records; `None` marks a removed one.
pub(super) fn all() -> Vec<(String, Option<String>)> {
    let Some(storage) = storage() else { return Vec::new() };
    let keys = (0..storage.length().unwrap_or(0)).filter_map(|index| storage.key(index).ok().flatten());
    let names: Vec<String> = keys.filter_map(|key| record_name(&key).map(str::to_owned)).collect();
    let value = |name: String| get(&name).map(|value| (name, Some(value).filter(|value| !value.is_empty())));
    names.into_iter().filter_map(value).collect()
}

/// The records that are marked as removed, and that the database may still have.
pub(super) fn removed() -> Vec<(String, RecordKey)> {
    let removed = all().into_iter().filter(|(_, value)| value.is_none());
    removed.filter_map(|(name, _)| name.parse().ok().map(|key| (name, key))).collect()
}
