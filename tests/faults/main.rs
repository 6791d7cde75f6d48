//! Nothing lost, nothing repeated: real servers, clients and databases under faults, and an audit of all that was
//! stored, applied and acknowledged.
#![cfg(feature = "ssr")]

mod audit;
mod chaos;
mod people;
mod plan;
mod proxy;
#[path = "../support/mod.rs"]
mod support;
mod witness;
