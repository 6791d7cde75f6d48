//! Where the user was reading in each thread of this tab: kept while other threads are shown, and over reloads.
//!
//! A thread that is followed at its end has no position: it opens at its end.

use std::collections::HashMap;

use leptos::{ev::pagehide, prelude::*};
use serde::{Deserialize, Serialize};

use super::{browser, item_key::ItemKey};
use crate::protocol::ThreadId;

/// The key in the tab's session storage.
const KEY: &str = "netra.reading";
/// The most threads whose positions are kept.
const MAX_THREADS: usize = 100;

/// A position in a thread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The item at the top edge of the window.
    pub(crate) item: ItemKey,
    /// The item's distance below the edge in pixels; negative if it begins above.
    pub(crate) offset: f64,
}

/// The positions, from context.
#[derive(Clone, Copy)]
pub(crate) struct ReadingPositions(StoredValue<HashMap<ThreadId, Position>>);

impl ReadingPositions {
    /// Provides them as context.
    pub(crate) fn provide() {
        // A value of another version of the page is ignored.
        let stored = browser::read_session_storage(KEY).and_then(|text| serde_json::from_str(&text).ok());
        let positions = Self(StoredValue::new(stored.unwrap_or_default()));
        provide_context(positions);
        Effect::new(move |_| {
            let hide = window_event_listener(pagehide, move |_| positions.store());
            on_cleanup(move || hide.remove());
        });
    }

    /// The position in a thread.
    pub(crate) fn get(self, thread: ThreadId) -> Option<Position> {
        self.0.with_value(|positions| positions.get(&thread).copied())
    }

    /// Keeps a position. `None`: the thread is followed at its end.
    pub(crate) fn set(self, thread: ThreadId, position: Option<Position>) {
        self.0.try_update_value(|positions| match position {
            Some(position) => {
                if positions.len() >= MAX_THREADS
                    && !positions.contains_key(&thread)
                    && let Some(oldest) = positions.keys().min().copied()
                {
                    positions.remove(&oldest);
                }
                positions.insert(thread, position);
            }
            None => drop(positions.remove(&thread)),
        });
    }

    fn store(self) {
        let text = self.0.try_with_value(|positions| serde_json::to_string(positions).ok()).flatten();
        if let Some(text) = text {
            browser::write_session_storage(KEY, &text);
        }
    }
}
