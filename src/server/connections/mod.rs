//! Who is connected to this node, who follows which channel, and what is done on every node.
//!
//! [`manager`] has the connections and their subscriptions (over [`registry`], its indexes); [`send_queue`] is what waits to be
//! sent on one of them; [`rejection`] says why a connection is not accepted; [`channel_reader`] follows a channel without a socket;
//! [`log_page`] reads a channel's log for either.
//! [`nodes`] sends to the other nodes and applies what they send, with [`presence`], [`catch_up`] and [`session_check`] as its loops.

mod catch_up;
mod channel_reader;
mod log_page;
mod manager;
mod member_check;
mod nodes;
mod presence;
mod registry;
mod rejection;
mod send_queue;
mod session_check;

pub(crate) use channel_reader::{ChannelReader, StreamEnd};
pub(crate) use log_page::PageRequest;
pub(crate) use manager::{ConnectionGuard, Follower};
pub use manager::{ConnectionManager, Counts};
pub use nodes::Nodes;
pub(crate) use send_queue::{Close, Item, SendQueue};
