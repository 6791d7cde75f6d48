//! What the server finds for the query in the person's threads.

use leptos::{prelude::*, task::spawn_local};

use super::{
    entries::{Entry, Target, thread_address},
    matching::Piece,
};
use crate::{
    protocol::http::{SearchHit, SearchHitKind, SearchPage},
    text::escape_invisible,
    ui::{
        browser,
        components::{icons::Glyph, sidebar::display_title},
    },
};

/// How many hits are requested.
const MAX_HITS: usize = 8;

/// The result of the last request that ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Found {
    pub(super) hits: Vec<SearchHit>,
    /// Whether the request failed.
    pub(super) is_failed: bool,
    /// Whether a request is under way.
    pub(super) is_searching: bool,
}

/// Searches for each query. One request is made at a time, and the next is for the newest query; the hits of the last one stay until then,
/// so that the list does not flicker.
pub(super) fn search(query: Memo<String>) -> RwSignal<Found> {
    let found = RwSignal::new(Found::default());
    let is_busy = StoredValue::new(false);
    Effect::new(move |_| {
        if query.with(String::is_empty) {
            found.set(Found::default());
        } else if !is_busy.get_value() {
            is_busy.set_value(true);
            found.update(|found| found.is_searching = true);
            spawn_local(async move {
                while let Some(current) = query.try_get_untracked().filter(|query| !query.is_empty()) {
                    let path = format!("/api/search?q={}&limit={MAX_HITS}", escaped(&current));
                    let result = browser::get::<SearchPage>(&path).await;
                    if query.try_get_untracked() == Some(current) {
                        let is_failed = result.is_err();
                        let hits = result.map(|page| page.hits).unwrap_or_default();
                        found.try_set(Found { hits, is_failed, is_searching: false });
                        break;
                    }
                }
                is_busy.try_set_value(false);
            });
        }
    });
    found
}

/// The entry of a hit. Titles are left out where the list has the thread itself.
pub(super) fn entry(hit: &SearchHit) -> Entry {
    let mut address = thread_address(hit.thread_id);
    if let Some(message) = hit.message_id {
        address.push_str(&format!("?m={message}"));
    }
    let glyph = match hit.kind {
        SearchHitKind::Title => Glyph::Thread,
        SearchHitKind::Message => Glyph::Edit,
        SearchHitKind::Answer => Glyph::Spark,
    };
    let excerpt: Vec<Piece> = hit.excerpt.iter().map(|part| (escape_invisible(&part.text), part.matched)).collect();
    Entry::found(glyph, display_title(&hit.title), excerpt, Target::Open(address))
}

/// Percent-encodes a text for a query string.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(escaped("a&b ü?"), "a%26b%20%C3%BC%3F");
    }
}
