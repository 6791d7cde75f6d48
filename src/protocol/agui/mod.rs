//! AG-UI 1.0: the events of an agent's run, and the messages of a conversation.
//!
//! Written from the protocol's published schemas (`@ag-ui/core` 1.0.0). `type` is SCREAMING_SNAKE, fields are camelCase, and absent
//! optional fields are left out, never `null`. Ids inside events are arbitrary strings of the agent.

mod content;
mod delta;
mod event;
mod event_macro;
mod message;
mod parts;

pub use content::*;
pub use delta::DeltaKey;
pub use event::*;
pub use message::*;
pub use parts::*;

#[cfg(test)]
mod tests;
