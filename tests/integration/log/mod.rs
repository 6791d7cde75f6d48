//! The log on both databases: places without gaps whoever writes, one node to a run, and what may go.

mod begun;
mod commands;
mod failing;
mod house;
mod leases;
mod migrating;
mod trimming;
mod writing;
