//! The server: everything between a socket and the store.
//!
//! Layers, low to high: `config`, [`error`] and [`problem`]; [`store`]; [`quotas`]; [`channel`] (the log); [`bus`] (the other nodes);
//! `auth`; [`threads`], [`runs`] and [`agents`] (what changes threads); [`search`]; [`connections`] (who is connected); [`commands`]; `ws` and `http` (the
//! entry points); `router` and `state`; [`tcp`].

pub mod access;
mod admission;
pub mod agents;
pub mod auth;
mod backoff;
mod bounded_cache;
pub mod bus;
pub mod channel;
pub mod clock;
pub mod commands;
pub mod config;
pub mod connections;
pub mod error;
#[cfg(debug_assertions)]
mod fault_injection;
pub mod file_modes;
mod graphemes;
mod headers;
pub mod http;
mod json_schema;
pub mod leases;
pub mod metrics;
pub mod offload;
mod one_line;
pub mod outage;
mod outbound;
mod page;
pub mod problem;
pub mod prompts;
pub mod quotas;
pub mod rates;
pub mod raw_events;
pub mod router;
pub mod runs;
pub mod search;
pub mod site;
pub mod state;
pub mod store;
mod sweep;
pub mod tcp;
pub mod telemetry;
pub mod threads;
pub mod usage;
pub mod ws;
