//! Configuration: what a server is told, from `Leptos.toml`, then variables, then flags.
//!
//! Every table is a small struct with its defaults and its bounds beside each other. What is wrong is said in one message
//! that names where it was said (file, variable or flag), which key it is, and what is allowed.

mod bounds;
mod load;
mod tables;

#[cfg(test)]
mod tests;

pub use load::{ConfigError, Flags, load};
pub use tables::{
    AgentConfig, AgentKind, AnalystConfig, AuthConfig, BusConfig, Config, LogConfig, LogFormat, MetricsAccess,
    ServerConfig, SocketConfig, StoreConfig, TelemetryConfig,
};
