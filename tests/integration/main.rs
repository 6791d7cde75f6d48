//! The integration tests of the server, in one program so that the server is linked once.
//!
//! One part: `cargo nextest run --features ssr -E 'test(/^agui::/)'`.
#![cfg(feature = "ssr")]
#![allow(unreachable_pub, reason = "nothing outside this program uses it")]

mod agui;
mod analyst;
mod authority;
mod bus;
mod cli;
mod client;
mod connections;
mod credentials;
mod databases;
mod disk;
mod drain;
mod edit_answer;
mod faults;
mod feedback;
mod files;
mod fork;
mod frameworks;
mod http;
mod images;
mod imports;
mod inbox;
mod leptos_config;
mod log;
mod members;
mod metrics;
mod model;
mod pages;
mod prompts;
mod quotas;
mod remote;
mod run_entries;
mod runner;
mod schema;
mod search;
mod sharing;
mod socket;
mod steer;
mod support;
mod tags;
mod telemetry;
mod temporary;
mod tools;
mod turns;
mod unsent_files;
mod wire;
