//! What the server finds for the query in the person's threads.

use leptos::prelude::*;

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
        latest::{Latest, latest},
    },
};

/// How many hits are requested.
const MAX_HITS: usize = 8;

/// Searches for each query.
pub(super) fn search(query: Memo<String>) -> RwSignal<Latest<SearchPage>> {
    latest(Signal::derive(move || {
        let query = query.get();
        (!query.is_empty()).then(|| format!("/api/search?q={}&limit={MAX_HITS}", browser::encode(&query)))
    }))
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
