//! The page: shell, routes, pages and components. It knows threads as the reducer shows them and the socket as its context;
//! no frame and no protocol detail beyond that.

pub mod app;
pub mod boot;
mod browser;
mod components;
mod format;
mod markdown;
mod outgoing;
mod pages;
