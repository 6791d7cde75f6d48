//! AG-UI 1.0: the 31 events that an agent's run consists of.
//!
//! Followed from the protocol's published schemas (`@ag-ui/core` 1.0.0). `type` is SCREAMING_SNAKE, fields are camelCase,
//! absent optionals are left out and never `null`. Ids inside events are the agent's own and any string.

mod content;
mod delta;
mod event;
mod message;
mod parts;

pub use content::*;
pub use delta::DeltaKey;
pub use event::*;
pub use message::*;
pub use parts::*;

#[cfg(test)]
mod tests;
