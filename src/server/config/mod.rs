//! The server's configuration: `Leptos.toml`, overridden by environment variables, overridden by flags.
//!
//! Each table is a struct with its defaults and bounds. An error names its source (file, variable or flag), the key, and what is
//! allowed.

pub mod agents;
mod bounds;
mod connections;
mod consent;
mod images;
mod load;
mod quotas;
mod tables;
pub mod tools;
mod typed;

#[cfg(test)]
mod tests;

pub use connections::ConnectionsConfig;
pub use consent::ConsentRules;
pub use images::ImagesConfig;
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

/// The whole configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses and folders of the server.
    pub server: ServerConfig,
    /// TCP connections.
    pub connections: ConnectionsConfig,
    /// The store.
    pub store: StoreConfig,
    /// Messages between nodes.
    pub bus: BusConfig,
    /// Limits of runs.
    pub runs: RunsConfig,
    /// Limits of what users may store.
    pub quotas: QuotasConfig,
    /// WebSockets.
    pub socket: SocketConfig,
    /// Images of other hosts in answers.
    pub images: ImagesConfig,
    /// Sign-in and sessions.
    pub auth: AuthConfig,
    /// The built-in workload analyst.
    pub analyst: AnalystConfig,
    /// Logging.
    pub log: LogConfig,
    /// Traces.
    pub telemetry: TelemetryConfig,
    /// Entries of agents besides the built-in one, unparsed; see [`agents::AgentConfig::parse`].
    pub agents: Vec<agents::AgentEntry>,
    /// Sources of the tools of model agents.
    #[serde(deserialize_with = "tools::sources")]
    pub tools: Vec<tools::ToolsConfig>,
    /// The section of cargo-leptos in the same file; ignored.
    pub package: Option<serde_json::Map<String, serde_json::Value>>,
    /// The file that was loaded.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

impl Config {
    /// The store's URL: as configured, or an SQLite file in the data folder. An SQLite file is created if missing.
    #[must_use]
    pub fn store_url(&self) -> String {
        let file = || format!("sqlite:{}", self.server.data.join("netra.db").display());
        let url = self.store.url.clone().unwrap_or_else(file);
        if is_sqlite(&url) && !url.contains('?') { format!("{url}?mode=rwc") } else { url }
    }

    /// The SQLite file of the store, if it is one.
    #[must_use]
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        let url = self.store_url();
        let path = url.strip_prefix("sqlite:")?.split('?').next()?;
        Some(path.trim_start_matches("//").into())
    }

    /// The store's URL for messages: without user and password.
    #[must_use]
    pub fn redacted_store_url(&self) -> String {
        bounds::redacted(&self.store_url())
    }

    /// Checks settings that depend on each other, and on the features of this build.
    ///
    /// # Errors
    /// Names the setting and what to set instead.
    pub fn check(&self) -> Result<(), ConfigError> {
        let not_built_in = |key: &str, feature: &str| {
            let problem = format!("{key}: not supported by this build of netra; build it with the feature `{feature}`");
            Err(ConfigError::new(self.source(), problem))
        };
        if cfg!(not(feature = "nats")) && self.bus.servers().is_some() {
            return not_built_in("bus.url", "nats");
        }
        if cfg!(not(feature = "otlp")) && self.telemetry.otlp_endpoint.is_some() {
            return not_built_in("telemetry.otlp_endpoint", "otlp");
        }
        if self.bus.servers().is_some() && is_sqlite(&self.store_url()) {
            let problem = "bus.url is for several nodes, which cannot share an SQLite file: set store.url = \
                           \"postgres://user:password@host/database\" on all of them, or bus.url = \"local\"";
            return Err(ConfigError::new(self.source(), problem));
        }
        if self.bus.servers().is_some() && self.server.files.is_none() {
            let problem = "bus.url is for several nodes, which must share the uploaded files: set server.files to a \
                           folder that all of them share";
            return Err(ConfigError::new(self.source(), problem));
        }
        Ok(())
    }

    /// The folder that relative paths in the file are resolved against.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.file.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default()
    }

    /// The folder that holds uploaded files.
    #[must_use]
    pub fn files_dir(&self) -> PathBuf {
        self.server.files.clone().unwrap_or_else(|| self.server.data.join("files"))
    }

    /// Whether the server's public URL is HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.server.public_url.as_deref().is_some_and(|url| url.starts_with("https:"))
    }

    /// Lifetime of a session.
    #[must_use]
    pub fn session_lifetime(&self) -> Duration {
        Duration::from_secs(u64::from(self.auth.session_days) * 86_400)
    }

    /// Where the configuration comes from, for messages.
    #[must_use]
    pub fn source(&self) -> String {
        self.file.as_ref().map_or_else(|| "configuration".to_owned(), |file| file.display().to_string())
    }

    /// Resolves relative paths against the folder of the file.
    fn resolve_paths(&mut self, folder: &Path) {
        let paths = self.analyst.prices.as_mut().into_iter().chain(self.server.files.as_mut());
        for path in paths {
            if path.is_relative() {
                *path = folder.join(&*path);
            }
        }
    }
}
