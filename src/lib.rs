//! Netra: a server and web page for conversations with AI agents, over one WebSocket.
//!
//! One crate, compiled twice: with the feature `shipped` for the server and the command line (`ssr` in development, with the generator of
//! the schema; `server` without NATS, OTLP and MCP), and with `hydrate` for the page (`split` in `make build`). The layers, low to high; each imports only from lower ones:
//!
//! - [`protocol`]: the types of the wire; [`text`]: sanitizing text.
//! - [`thread`]: the reducer.
//! - `analyst`: the analysis of usage logs; [`socket`]: the client.
//! - [`ui`]: the page.
//! - `server`: everything behind the socket and the HTTP API.
//! - `cli`: the commands.

// The types of nested Leptos views are deep.
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

/// Hydrates the page. The browser calls it once, when the WebAssembly module is loaded.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    ui::app::hydrate();
}
