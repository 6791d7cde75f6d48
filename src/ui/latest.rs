//! Requests for what changes while somebody types: only the newest counts.

use leptos::{prelude::*, task::spawn_local};
use serde::de::DeserializeOwned;

use super::browser;

/// The state of the newest request, with the last response.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Latest<T> {
    /// The response; `None` before the first, after a failure, and while there is nothing to request.
    pub(crate) response: Option<T>,
    pub(crate) is_failed: bool,
    /// Whether a request is under way.
    pub(crate) is_loading: bool,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { response: None, is_failed: false, is_loading: false }
    }
}

/// Sends a GET request whenever the signal `path` is notified, even if its value is the same. One request is made at a time, and the next is
/// for the newest path; the last response stays until then, so that what is shown does not flicker.
pub(crate) fn latest<T>(path: Signal<Option<String>>) -> RwSignal<Latest<T>>
where
    T: DeserializeOwned + Send + Sync + 'static,
{
    let latest = RwSignal::new(Latest::default());
    let (is_busy, changes) = (StoredValue::new(false), StoredValue::new(0_u64));
    Effect::new(move |_| {
        changes.update_value(|changes| *changes += 1);
        if path.with(Option::is_none) {
            latest.set(Latest::default());
            return;
        }
        latest.update(|latest| latest.is_loading = true);
        if !is_busy.get_value() {
            is_busy.set_value(true);
            spawn_local(async move {
                while let Some(current) = path.try_get_untracked().flatten() {
                    let change = changes.try_get_value();
                    let response = browser::get::<T>(&current).await.ok();
                    if changes.try_get_value() == change {
                        let is_failed = response.is_none();
                        latest.try_set(Latest { response, is_failed, is_loading: false });
                        break;
                    }
                }
                is_busy.try_set_value(false);
            });
        }
    });
    latest
}
