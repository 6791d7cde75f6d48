//! The server: everything between a socket and the store.
//!
//! Floors, low to high: `config` and [`error`]; [`store`]; [`quotas`]; [`channel`] (the log and who follows it); [`bus`] (the other
//! nodes); `auth`; [`threads`]
//! and [`agents`] (what people and agents do to threads); `ws` and `http` (how they get in); `router` and `state`.

pub mod agents;
pub mod auth;
pub mod bus;
pub mod channel;
pub mod config;
pub mod error;
mod extent;
mod failure_page;
#[cfg(debug_assertions)]
mod fault_injection;
pub mod http;
mod json_schema;
pub mod leases;
pub mod metrics;
pub mod outage;
mod page;
pub mod quotas;
pub mod router;
pub mod site;
pub mod state;
pub mod store;
mod sweep;
pub mod telemetry;
pub mod threads;
pub mod usage;
pub mod ws;
