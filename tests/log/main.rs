//! The log on both databases: places without gaps whoever writes, one node to a run, and what may go.
#![cfg(feature = "ssr")]

mod commands;
mod failing;
mod house;
mod leases;
mod trimming;
mod writing;

#[path = "../support/mod.rs"]
mod support;
