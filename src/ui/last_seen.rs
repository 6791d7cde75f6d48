//! What the user last saw of each thread in this browser. What comes after it is new to them.
//!
//! All tabs share it, in the browser's local storage. It holds only ids, and is removed when the user signs out.

use serde::{Deserialize, Serialize};

use super::{browser, item_key::ItemKey};
use crate::protocol::ThreadId;

/// The key in local storage.
const KEY: &str = "netra.seen";
/// The most threads that are kept.
const MAX_THREADS: usize = 200;

/// The end of a thread when the user left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The last item.
    pub(crate) item: ItemKey,
    /// Whether it was complete: a message, or a run that had ended.
    pub(crate) complete: bool,
}

/// What to show first when a thread is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unread {
    /// The first item that the user has not read.
    pub(crate) item: ItemKey,
    /// Whether it was added since the user left, and not only completed.
    pub(crate) added: bool,
}

/// What is unread in a thread's branch. `items`: its items, each with whether it is complete. `None`: nothing, or the last item is still
/// growing, so that its end is more interesting.
pub(crate) fn unread(items: &[(ItemKey, bool)], seen: Option<Seen>) -> Option<Unread> {
    let (last, is_complete) = *items.last()?;
    let at = seen.and_then(|seen| items.iter().position(|(item, _)| *item == seen.item));
    match (seen, at) {
        _ if !is_complete => None,
        (None, _) => matches!(last, ItemKey::Run(_)).then_some(Unread { item: last, added: false }),
        // It is on another branch.
        (Some(_), None) => None,
        (Some(seen), Some(at)) if seen.item == last => {
            (!seen.complete).then_some(Unread { item: items[at].0, added: false })
        }
        (Some(_), Some(at)) => items.get(at + 1).map(|(item, _)| Unread { item: *item, added: true }),
    }
}

/// What the user last saw of a thread.
pub(crate) fn last_seen(thread: ThreadId) -> Option<Seen> {
    stored().into_iter().find_map(|(id, seen)| (id == thread).then_some(seen))
}

/// Stores what the user sees of a thread.
pub(crate) fn set_last_seen(thread: ThreadId, seen: Seen) {
    let mut threads = stored();
    threads.retain(|(id, _)| *id != thread);
    threads.push((thread, seen));
    let surplus = threads.len().saturating_sub(MAX_THREADS);
    if let Ok(text) = serde_json::to_string(&threads[surplus..]) {
        browser::write_local_storage(KEY, Some(&text));
    }
}

/// Removes what is stored.
pub(crate) fn remove_last_seen() {
    browser::write_local_storage(KEY, None);
}

/// The threads, those that were left last at the end.
fn stored() -> Vec<(ThreadId, Seen)> {
    // A value of another version of the page is ignored.
    browser::read_local_storage(KEY).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{MessageId, RunId};

    #[test]
    fn the_first_item_after_the_one_last_seen_is_unread() {
        let (question, answer) = (ItemKey::Message(MessageId::new()), ItemKey::Run(RunId::new()));
        let (second, running) = (ItemKey::Message(MessageId::new()), ItemKey::Run(RunId::new()));
        let seen = |item, complete| Some(Seen { item, complete });
        let first_turn = [(question, true), (answer, true)];
        let new_turn = [(question, true), (answer, true), (second, true), (running, true)];
        for (items, last_seen, expected) in [
            (&[][..], None, None),
            (&first_turn, None, Some((answer, false))),
            (&first_turn, seen(answer, true), None),
            (&first_turn, seen(answer, false), Some((answer, false))),
            (&first_turn, seen(question, true), Some((answer, true))),
            (&new_turn, seen(answer, true), Some((second, true))),
            // The item is on another branch.
            (&first_turn, seen(second, true), None),
            (&[(question, true), (answer, false)], seen(question, true), None),
            // A message without a run is not an answer to read from its beginning.
            (&[(question, true)], None, None),
        ] {
            let expected = expected.map(|(item, added)| Unread { item, added });
            assert_eq!(unread(items, last_seen), expected, "{items:?}, {last_seen:?}");
        }
    }
}
