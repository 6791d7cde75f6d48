//! The page: shell, routes, pages and components. It knows threads as the reducer shows them and the socket as its context;
//! no frame and no protocol detail beyond that.

mod address;
pub mod app;
pub mod boot;
mod browser;
#[allow(unreachable_pub, reason = "the component macro makes its functions public")]
mod components;
mod context;
mod drafts;
mod format;
mod keys;
mod layout;
mod markdown;
mod outgoing;
#[allow(unreachable_pub, reason = "the component macro makes its functions public")]
mod pages;
mod scroll_state;
mod sign_out;
mod storage;
