//! Netra: a durable, authenticated home for AI agents on one WebSocket.
//!
//! One crate, compiled twice: with `server` (`ssr` has all of its parts) for the server and the command line, with `hydrate` for the page. Floors, low to
//! high: [`protocol`] (the wire) and [`text`] (text from outside as people are shown it), [`thread`] (the one reducer), then [`socket`] (the client) and the server, then [`ui`],
//! then the command line. Imports point down only.

// The types of nested views are deep.
#![recursion_limit = "256"]

#[cfg(feature = "server")]
pub mod analyst;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
mod json_size;
pub mod protocol;
#[cfg(feature = "server")]
pub mod server;
pub mod socket;
pub mod text;
pub mod thread;
pub mod ui;

/// Brings the page to life: the browser calls it once, when the module is loaded.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(ui::app::App);
}
