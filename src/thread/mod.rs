//! The reducer: folds log entries into the view of a thread or of a person's feed.
//!
//! The browser, the server and the command line fold the same log with this code. It is deterministic, without clock or I/O. A
//! state can be serialized at any entry, sent as a snapshot, and folded on from there with the same result. Invalid entries (an end
//! without a start, a delta for an unknown id) never panic; they are folded as far as possible and do not affect others.
//!
//! The views themselves are types of the wire, defined in [`crate::protocol`].

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
mod queued_tests;
#[cfg(test)]
mod tests;

pub use crate::protocol::{
    Encrypted, FeedPlace, Item, MessageItem, Node, NodeBody, NodeState, ReadMessage, Resolution, RunState, RunView,
    ThreadSummary, ThreadView, UserFeed,
};
pub use close::{EndKind, RunEnd};
pub use compact::Compactor;
pub use encrypted::MAX_ENCRYPTED_BYTES;
pub use history::{MAYBE_CARRIED_OUT, NOT_CARRIED_OUT};
pub use patch::{MAX_PATCH_MOVES, MAX_PATCH_OPERATIONS};
