//! The one reducer: log entries in, what a thread (or a person's feed) looks like out.
//!
//! Browser, server and command line fold the same log with the same code. Pure and deterministic: no clock, no I/O. For
//! every prefix of every log, the state at the prefix plus the rest equals the state of the whole; the state serializes,
//! so the server sends it as a snapshot. Entries that break a rule (an end without a start, a delta for an unknown id)
//! never panic and never hide others: they are folded as far as they make sense.

mod branch;
mod close;
mod compact;
mod encrypted;
mod feed;
mod history;
mod patch;
mod reduce;
mod shared;
mod view;

#[cfg(test)]
mod tests;

pub use crate::protocol::{
    Encrypted, FeedPlace, Item, MessageItem, Node, NodeBody, NodeState, Resolution, RunState, RunView, ThreadSummary,
    ThreadView, UserFeed,
};
pub use close::{EndKind, RunEnd};
pub use compact::Compactor;
pub use encrypted::MAX_ENCRYPTED_BYTES;
pub use history::{MAYBE_CARRIED_OUT, NOT_CARRIED_OUT};
pub use patch::{MAX_PATCH_MOVES, MAX_PATCH_OPERATIONS};
