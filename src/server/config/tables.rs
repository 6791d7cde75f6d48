//! The tables of the configuration, with their defaults and bounds.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use serde::Deserialize;

use super::bounds::{
    address, bus_url, dollars, log_filter, metrics_access, nats_servers, networks, origins, public_url, redacted,
    store_url, telemetry_endpoint, unit_interval, within,
};
use crate::protocol::{http::Budget, limits};

/// `[server]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port to listen on; port 0 picks a free one.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The data folder: SQLite store, uploaded files, folders of tool servers.
    pub data: PathBuf,
    /// Folder of uploaded files; absent: `files` in the data folder. Several nodes need one that they share.
    pub files: Option<PathBuf>,
    /// The URL that users open, if it is not the address listened on: `https://netra.example.com`.
    #[serde(deserialize_with = "public_url")]
    pub public_url: Option<String>,
    /// Addresses and networks of reverse proxies, whose `X-Forwarded-For` and `Forwarded` headers are trusted.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether every peer is a trusted proxy: for proxies whose addresses are not known beforehand.
    pub trust_proxy: bool,
    /// Milliseconds that runs may take to finish when the server stops.
    #[serde(deserialize_with = "within::<0, 600_000, _, _>")]
    pub drain_ms: u64,
    /// Who may read `/metrics`.
    #[serde(deserialize_with = "metrics_access")]
    pub metrics: MetricsAccess,
    /// Whether users may share threads with other users of this server, and find them by name. Threads that have members keep them.
    pub members: bool,
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MetricsAccess {
    /// No one.
    #[default]
    Off,
    /// Everyone who reaches the server.
    Public,
    /// Everyone who reaches this address, on which nothing but metrics and health is served.
    Listen(SocketAddr),
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
            data: PathBuf::from("data"),
            files: None,
            public_url: None,
            trusted_proxies: Vec::new(),
            trust_proxy: false,
            drain_ms: 20_000,
            metrics: MetricsAccess::default(),
            members: true,
        }
    }
}

impl ServerConfig {
    /// Whether forwarding headers from this peer are trusted.
    #[must_use]
    pub fn trusts_peer(&self, peer: IpAddr) -> bool {
        self.trust_proxy || self.is_proxy(peer)
    }

    /// Whether an address is one of the trusted proxies.
    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// Whether the server is behind a proxy.
    #[must_use]
    pub fn is_behind_proxy(&self) -> bool {
        self.trust_proxy || !self.trusted_proxies.is_empty()
    }
}

/// `[store]`.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:PATH` or `postgres://…`; absent: an SQLite file in the data folder.
    #[serde(deserialize_with = "store_url")]
    pub url: Option<String>,
    /// Minutes after a thread's last run at which the deltas of its runs are merged.
    #[serde(deserialize_with = "within::<0, 525_600, _, _>")]
    pub compact_after_minutes: u32,
    /// Days for which a run is kept, with the message or the answer that started it; 0: forever.
    #[serde(deserialize_with = "within::<0, 36_500, _, _>")]
    pub keep_days: u32,
    /// Most bytes of a thread's log; its oldest runs are removed first; 0: no limit.
    #[serde(deserialize_with = "within::<0, 1_099_511_627_776, _, _>")]
    pub keep_thread_bytes: u64,
    /// Hours after which a temporary thread is deleted at the latest.
    #[serde(deserialize_with = "within::<1, 720, _, _>")]
    pub temporary_max_hours: u32,
    /// Minutes without a connection that follows it after which a temporary thread is deleted.
    #[serde(deserialize_with = "within::<1, 1_440, _, _>")]
    pub temporary_idle_minutes: u32,
}

/// Without the URL, which may contain a password.
impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { compact_after_minutes, keep_days, keep_thread_bytes, temporary_max_hours, .. } = self;
        f.debug_struct("StoreConfig")
            .field("compact_after_minutes", compact_after_minutes)
            .field("keep_days", keep_days)
            .field("keep_thread_bytes", keep_thread_bytes)
            .field("temporary_max_hours", temporary_max_hours)
            .field("temporary_idle_minutes", &self.temporary_idle_minutes)
            .finish_non_exhaustive()
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: None,
            compact_after_minutes: 10,
            keep_days: 0,
            keep_thread_bytes: 0,
            temporary_max_hours: 24,
            temporary_idle_minutes: 10,
        }
    }
}

/// `[runs]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunsConfig {
    /// Time limit of a run, in milliseconds.
    #[serde(deserialize_with = "within::<100, 86_400_000, _, _>")]
    pub time_limit_ms: u64,
    /// Concurrent runs of one user; further ones wait.
    #[serde(deserialize_with = "within::<1, 10_000, _, _>")]
    pub max_per_user: usize,
    /// Waiting runs of one user; further ones are refused.
    #[serde(deserialize_with = "within::<1, 4_096, _, _>")]
    pub max_waiting_per_user: usize,
    /// Input and output tokens that one user's runs may use per day (UTC); 0: no limit.
    #[serde(deserialize_with = "within::<0, 1_000_000_000_000, _, _>")]
    pub daily_tokens_per_user: u64,
    /// US dollars that one user's runs may cost per day (UTC), as far as prices are known; 0: no limit.
    #[serde(deserialize_with = "dollars")]
    pub daily_usd_per_user: f64,
    /// Concurrent runs of all users on this server.
    #[serde(deserialize_with = "within::<1, 100_000, _, _>")]
    pub max: usize,
    /// Milliseconds after which another server ends the runs of one that died.
    #[serde(deserialize_with = "within::<1_000, 600_000, _, _>")]
    pub lease_ms: u64,
}

impl Default for RunsConfig {
    fn default() -> Self {
        Self {
            time_limit_ms: 15 * 60 * 1_000,
            max_per_user: 4,
            max_waiting_per_user: 32,
            daily_tokens_per_user: 0,
            daily_usd_per_user: 0.0,
            max: 64,
            lease_ms: 15_000,
        }
    }
}

impl RunsConfig {
    /// The daily budget of one user.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let (tokens, usd) = (self.daily_tokens_per_user, self.daily_usd_per_user);
        Budget { tokens: Some(tokens).filter(|limit| *limit > 0), usd: Some(usd).filter(|limit| *limit > 0.0) }
    }
}

/// `[bus]`.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// `local` for a single server, or `nats://[user:password@]host:port[,...]` for servers that share a store.
    #[serde(deserialize_with = "bus_url")]
    pub url: String,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self { url: "local".into() }
    }
}

/// Without user and password.
impl fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusConfig").field("url", &redacted(&self.url)).finish()
    }
}

impl BusConfig {
    /// URLs of the NATS servers; none for a single server.
    #[must_use]
    pub fn servers(&self) -> Option<Vec<reqwest::Url>> {
        nats_servers(&self.url)
    }
}

/// `[socket]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketConfig {
    /// Open sockets of one user; one more closes the oldest (4409).
    #[serde(deserialize_with = "within::<1, 10_000, _, _>")]
    pub max_connections_per_user: usize,
    /// Open sockets of this server; one more is refused (429).
    #[serde(deserialize_with = "within::<1, 10_000_000, _, _>")]
    pub max_connections: usize,
    /// Requests of one user per minute, over all their connections to this server: commands, HTTP requests, pages and new sockets.
    #[serde(deserialize_with = "within::<1, 1_000_000, _, _>")]
    pub commands_per_minute: u32,
    /// Largest frame that a client may send, in bytes.
    #[serde(deserialize_with = "within::<1024, 16_777_216, _, _>")]
    pub max_frame_bytes: usize,
    /// Milliseconds without data after which the server sends a ping.
    #[serde(deserialize_with = "within::<100, 300_000, _, _>")]
    pub heartbeat_ms: u64,
    /// Milliseconds to wait for the pong.
    #[serde(deserialize_with = "within::<100, 300_000, _, _>")]
    pub heartbeat_timeout_ms: u64,
    /// Milliseconds for which deltas of one message are collected into one entry; 0: they are not.
    #[serde(deserialize_with = "within::<0, 500, _, _>")]
    pub coalesce_ms: u64,
    /// Most entries that a subscription replays; a client further behind gets a snapshot.
    #[serde(deserialize_with = "within::<1, 1_000_000, _, _>")]
    pub replay_limit: u64,
    /// Bytes queued for one socket; more closes it (4001).
    #[serde(deserialize_with = "within::<65_536, 1_073_741_824, _, _>")]
    pub outbound_queue_bytes: usize,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self {
            max_connections_per_user: 16,
            max_connections: 100_000,
            commands_per_minute: 600,
            max_frame_bytes: limits::MAX_FRAME_BYTES,
            heartbeat_ms: limits::HEARTBEAT_MS,
            heartbeat_timeout_ms: limits::HEARTBEAT_TIMEOUT_MS,
            coalesce_ms: 40,
            replay_limit: 5_000,
            outbound_queue_bytes: 1 << 20,
        }
    }
}

/// `[auth]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Lifetime of a session, in days.
    #[serde(deserialize_with = "within::<1, 3650, _, _>")]
    pub session_days: u32,
    /// Lifetime of an access token, in minutes.
    #[serde(deserialize_with = "within::<1, 525_600, _, _>")]
    pub access_token_minutes: u32,
    /// Lifetime of a ticket, in seconds.
    #[serde(deserialize_with = "within::<1, 3600, _, _>")]
    pub ticket_seconds: u32,
    /// Failed sign-ins per minute of one account from one address before its sign-ins are refused (429), at first for a second.
    #[serde(deserialize_with = "within::<1, 10_000, _, _>")]
    pub sign_in_failures_per_minute: u32,
    /// Origins, besides the server's own, whose pages may use its cookies.
    #[serde(deserialize_with = "origins")]
    pub allowed_origins: Vec<String>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            session_days: 30,
            access_token_minutes: 60,
            ticket_seconds: 30,
            sign_in_failures_per_minute: 10,
            allowed_origins: Vec::new(),
        }
    }
}

/// `[analyst]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnalystConfig {
    /// A price list in LiteLLM's cost-map format, instead of the built-in one.
    pub prices: Option<PathBuf>,
    /// Id of an agent of kind `model` that interprets questions which no rule matches and words the summary; absent: none.
    pub model: Option<String>,
    /// Largest uploaded file, in bytes.
    #[serde(deserialize_with = "within::<1, 107_374_182_400, _, _>")]
    pub max_file_bytes: u64,
    /// Most bytes of all files of one thread together.
    #[serde(deserialize_with = "within::<1, 1_099_511_627_776, _, _>")]
    pub max_thread_bytes: u64,
}

impl Default for AnalystConfig {
    fn default() -> Self {
        Self {
            prices: None,
            model: None,
            max_file_bytes: limits::MAX_FILE_BYTES,
            max_thread_bytes: 10 * limits::MAX_FILE_BYTES,
        }
    }
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Format of the lines.
    pub format: LogFormat,
    /// What is logged, as a filter of `tracing_subscriber`'s `EnvFilter`; the variable `NETRA_LOG` overrides it.
    #[serde(deserialize_with = "log_filter")]
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: "info,sqlx=warn,tower_sessions=warn,tower_sessions_core=warn,rmcp=off".into(),
        }
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

/// `[telemetry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Base URL of an OTLP receiver, without `/v1/traces`; absent: no traces are sent.
    #[serde(deserialize_with = "telemetry_endpoint")]
    pub otlp_endpoint: Option<String>,
    /// Fraction of the traces that is sent, 0 to 1.
    #[serde(deserialize_with = "unit_interval")]
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample_ratio: 1.0 }
    }
}
