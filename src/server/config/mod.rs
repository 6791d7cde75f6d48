//! Configuration: what a server is told, from `Leptos.toml`, then variables, then flags.
//!
//! Every table is a small struct with its defaults and its bounds beside each other. What is wrong is said in one message
//! that names where it was said (file, variable or flag), which key it is, and what is allowed.

pub mod agents;
mod bounds;
mod connections;
mod consent;
mod load;
mod quotas;
mod tables;
pub mod tools;

#[cfg(test)]
mod tests;

pub use connections::ConnectionsConfig;
pub use consent::ConsentRules;
pub use load::{ConfigError, Flags, load};
pub use quotas::QuotasConfig;
pub use tables::{
    AnalystConfig, AuthConfig, BusConfig, LogConfig, LogFormat, MetricsAccess, RunsConfig, ServerConfig, SocketConfig,
    StoreConfig, TelemetryConfig,
};

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use bounds::is_sqlite;

/// Everything a server is told.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it listens and keeps what it knows.
    pub server: ServerConfig,
    /// Its TCP connections.
    pub connections: ConnectionsConfig,
    /// The store.
    pub store: StoreConfig,
    /// How nodes tell each other what happened.
    pub bus: BusConfig,
    /// What agents may take.
    pub runs: RunsConfig,
    /// How much people may keep.
    pub quotas: QuotasConfig,
    /// The socket.
    pub socket: SocketConfig,
    /// People and their rights.
    pub auth: AuthConfig,
    /// The built-in workload analyst.
    pub analyst: AnalystConfig,
    /// The log.
    pub log: LogConfig,
    /// Traces.
    pub telemetry: TelemetryConfig,
    /// Agents beside the built-in one, as they are written; see [`agents::AgentConfig::read`].
    pub agents: Vec<agents::AgentEntry>,
    /// Where the tools of model agents come from.
    #[serde(deserialize_with = "tools::sources")]
    pub tools: Vec<tools::ToolsConfig>,
    /// What cargo-leptos writes into the same file; only `metadata.leptos` is read.
    pub package: Option<toml::Table>,
    /// The file that was read.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

impl Config {
    /// The store's address: as told, else a file in the data folder; made where it does not exist.
    #[must_use]
    pub fn store_url(&self) -> String {
        let file = || format!("sqlite:{}", self.server.data.join("netra.db").display());
        let url = self.store.url.clone().unwrap_or_else(file);
        if is_sqlite(&url) && !url.contains('?') { format!("{url}?mode=rwc") } else { url }
    }

    /// The SQLite file of the store, where it is one.
    #[must_use]
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let url = self.store_url();
        let path = url.strip_prefix("sqlite:")?.split('?').next()?;
        Some(path.trim_start_matches("//").into())
    }

    /// The store's address as it may stand in messages: without who signs in there, and how.
    #[must_use]
    pub fn store_place(&self) -> String {
        bounds::redacted(&self.store_url())
    }

    /// Whether its parts fit together.
    ///
    /// # Errors
    /// What would lose data, and what to set instead.
    pub fn check(&self) -> Result<(), ConfigError> {
        let left_out = |key: &str, feature: &str| {
            let problem = format!("{key}: this build of netra cannot do that; build it with the feature `{feature}`");
            Err(ConfigError::new(self.place(), problem))
        };
        if cfg!(not(feature = "nats")) && self.bus.servers().is_some() {
            return left_out("bus.url", "nats");
        }
        if cfg!(not(feature = "otlp")) && self.telemetry.otlp_endpoint.is_some() {
            return left_out("telemetry.otlp_endpoint", "otlp");
        }
        if self.bus.servers().is_some() && is_sqlite(&self.store_url()) {
            let problem = "bus.url joins several nodes, and an SQLite file is one node's: set store.url = \
                           \"postgres://user:password@host/database\", the same for all, or bus.url = \"local\"";
            return Err(ConfigError::new(self.place(), problem));
        }
        if self.bus.servers().is_some() && self.server.files.is_none() {
            let problem = "bus.url joins several nodes, and a run on one reads files that came in by another: set \
                           server.files to a folder that all of them share";
            return Err(ConfigError::new(self.place(), problem));
        }
        Ok(())
    }

    /// The folder that relative paths of the file begin in.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.file.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default()
    }

    /// The folder that holds uploaded files.
    #[must_use]
    pub fn files_dir(&self) -> PathBuf {
        self.server.files.clone().unwrap_or_else(|| self.server.data.join("files"))
    }

    /// Whether people reach the server by HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.server.public_url.as_deref().is_some_and(|url| url.starts_with("https:"))
    }

    /// How long a session lasts.
    #[must_use]
    pub fn session_lifetime(&self) -> Duration {
        Duration::from_secs(u64::from(self.auth.session_days) * 86_400)
    }

    /// Where tables were said, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        self.file.as_ref().map_or_else(|| "configuration".to_owned(), |file| file.display().to_string())
    }

    /// Makes relative paths relative to the folder of the file that named them.
    fn anchor(&mut self, folder: &Path) {
        let named = self.analyst.prices.as_mut().into_iter().chain(self.server.files.as_mut());
        for path in named {
            if path.is_relative() {
                *path = folder.join(&*path);
            }
        }
    }
}
