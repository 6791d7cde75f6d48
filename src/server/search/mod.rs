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

/// How many ids of a millisecond are tried before one of the next.
const TRIES_PER_MS: i64 = 8;

/// An id for a text of a time, in milliseconds since 1970. `tries`: how many such ids were taken. After some, the id is of a later time: a
/// millisecond has a limited number of ids, and the times of imported texts may all be the same.
fn new_id(at: i64, tries: i64) -> i64 {
    let latest = i64::MAX >> RANDOM_BITS;
    let at = at.clamp(0, latest).saturating_add(tries / TRIES_PER_MS);
    (at.min(latest) << RANDOM_BITS) | i64::from(rand::random_range(0..1u32 << RANDOM_BITS))
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
        assert!(new_id(at, 0) < new_id(at + 1, 0));
        assert_eq!([time_of(new_id(at, 0)), time_of(new_id(-1, 0))], [at, 0]);
    }

    #[test]
    fn if_the_ids_of_a_millisecond_are_taken_the_next_has_more() {
        assert_eq!([0, TRIES_PER_MS - 1, TRIES_PER_MS].map(|tries| time_of(new_id(7, tries))), [7, 7, 8]);
        assert!(new_id(i64::MAX, i64::MAX) > 0);
    }
}
