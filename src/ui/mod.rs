//! The page: HTML shell, routes, pages and components. It renders the views that the reducer computes and sends commands
//! through the socket's context; it handles no frames.

mod address;
pub mod app;
pub mod boot;
mod browser;
#[allow(unreachable_pub, reason = "the component macro makes its functions public")]
mod components;
mod context;
#[cfg(not(feature = "hydrate"))]
pub mod document;
mod drafts;
mod format;
mod item_key;
mod keys;
mod last_seen;
mod latest;
mod layout;
mod markdown;
mod outgoing;
#[allow(unreachable_pub, reason = "the component macro makes its functions public")]
mod pages;
mod part;
mod reading_positions;
mod rendered_range;
mod scripts;
mod scroll_state;
#[cfg(not(feature = "hydrate"))]
mod server_stubs;
mod shortcuts;
mod sign_out;
mod storage;
mod uploads;
