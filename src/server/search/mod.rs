//! Search over a person's threads: their titles, messages, and the texts of answers.
//!
//! What is searched is derived from the logs and never read for anything else. The table `search_texts` has the texts; an index over their words, different on
//! SQLite and PostgreSQL, finds them ([`find`]). Each node indexes the threads to which it appends, soon after the commit, and looks for others that were not
//! indexed, such as those of an older version ([`Indexer`]). `search_progress` has the `seq` up to which a thread's log is indexed; it moves in the
//! transaction that stores the texts, so no entry is indexed twice, whatever fails and however many nodes there are.
//!
//! Guarantees: nobody finds texts of other people. Deleting a thread, taking back a message and deleting old runs delete their texts
//! in the same transaction (`threads`, `channel/trim.rs`).

mod excerpt;
mod find;
mod index;
mod indexer;
mod query;
mod words;

pub use find::{SearchPlace, find, find_tagged};
pub use indexer::{ChangedThreads, IndexedHub, Indexer};
pub use query::Query;

/// How many lower bits of the id of a text distinguish texts of the same millisecond.
const RANDOM_BITS: u32 = 20;

/// A new id of a text of a time, in milliseconds since 1970.
fn new_id(at: i64) -> i64 {
    let latest = i64::MAX >> RANDOM_BITS;
    (at.clamp(0, latest) << RANDOM_BITS) | i64::from(rand::random_range(0..1u32 << RANDOM_BITS))
}

/// The time of a text with this id.
fn time_of(id: i64) -> i64 {
    id >> RANDOM_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_time() {
        let at = 1_767_225_600_000;
        assert!(new_id(at) < new_id(at + 1));
        assert_eq!([time_of(new_id(at)), time_of(new_id(-1))], [at, 0]);
    }
}
