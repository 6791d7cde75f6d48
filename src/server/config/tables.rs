//! The tables of the configuration, with their defaults and bounds.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use serde::Deserialize;

use super::bounds::{
    address, bus_url, dollars, log_filter, metrics_access, nats_servers, networks, origins, public_url, redacted,
    store_url, telemetry_endpoint, unit_interval, within,
};
use crate::{
    protocol::limits,
    server::{channel::Trimming, usage::Budget},
};

/// `[server]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port; port 0 takes a free one.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The folder that holds everything the server keeps.
    pub data: PathBuf,
    /// The folder of uploaded files, where it is not `files` in the data folder: one that all nodes share.
    pub files: Option<PathBuf>,
    /// The address that people use, where it is not the one listened on: `https://netra.example.com`.
    #[serde(deserialize_with = "public_url")]
    pub public_url: Option<String>,
    /// The addresses and networks of the proxies in front. Only what they say of where a call comes from
    /// (`X-Forwarded-For`, `Forwarded`) is believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether whoever connects is such a proxy: for one whose address is not known beforehand.
    pub trust_proxy: bool,
    /// How long a stop may take, in milliseconds.
    #[serde(deserialize_with = "within::<0, 600_000, _, _>")]
    pub drain_ms: u64,
    /// Who may read `/metrics`.
    #[serde(deserialize_with = "metrics_access")]
    pub metrics: MetricsAccess,
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Nobody.
    #[default]
    Off,
    /// Whoever reaches the server.
    Public,
    /// Whoever reaches this address, which is listened on for this alone.
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
        }
    }
}

impl ServerConfig {
    /// Whether what the other end of a connection says of where a call comes from is believed.
    #[must_use]
    pub fn trusts_peer(&self, peer: IpAddr) -> bool {
        self.trust_proxy || self.is_proxy(peer)
    }

    /// Whether an address is one of the proxies in front.
    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// Whether there is a proxy in front.
    #[must_use]
    pub fn is_behind_proxy(&self) -> bool {
        self.trust_proxy || !self.trusted_proxies.is_empty()
    }
}

/// `[store]`.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// `sqlite:PATH` or `postgres://…`; without it a file in the data folder.
    #[serde(deserialize_with = "store_url")]
    pub url: Option<String>,
    /// Minutes after a thread's last run at which the deltas of its runs are put together.
    #[serde(deserialize_with = "within::<0, 525_600, _, _>")]
    pub compact_after_minutes: u32,
    /// Days for which a message and its run are kept; 0: for ever.
    #[serde(deserialize_with = "within::<0, 36_500, _, _>")]
    pub keep_days: u32,
    /// Bytes of log that a thread keeps; its oldest messages and runs go first; 0: any.
    #[serde(deserialize_with = "within::<0, 1_099_511_627_776, _, _>")]
    pub keep_thread_bytes: u64,
}

/// The address holds a password.
impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreConfig").field("trimming", &self.trimming()).finish_non_exhaustive()
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: None, compact_after_minutes: 10, keep_days: 0, keep_thread_bytes: 0 }
    }
}

impl StoreConfig {
    /// What may go of the logs.
    #[must_use]
    pub fn trimming(&self) -> Trimming {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Trimming {
            compact_after: minutes(self.compact_after_minutes.into()),
            keep_for: (self.keep_days > 0).then(|| minutes(u64::from(self.keep_days) * 24 * 60)),
            keep_bytes: (self.keep_thread_bytes > 0).then_some(self.keep_thread_bytes),
        }
    }
}

/// `[runs]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunsConfig {
    /// Milliseconds that a run may take.
    #[serde(deserialize_with = "within::<100, 86_400_000, _, _>")]
    pub time_limit_ms: u64,
    /// Runs of one person that go on at once; more wait their turn.
    #[serde(deserialize_with = "within::<1, 10_000, _, _>")]
    pub max_per_user: usize,
    /// Runs of one person that wait; more are refused.
    #[serde(deserialize_with = "within::<1, 4_096, _, _>")]
    pub max_waiting_per_user: usize,
    /// Tokens, in and out, that one person's runs may use on a day (UTC); 0: any.
    #[serde(deserialize_with = "within::<0, 1_000_000_000_000, _, _>")]
    pub daily_tokens_per_user: u64,
    /// US dollars that one person's runs may cost on a day (UTC), where prices are known; 0: any.
    #[serde(deserialize_with = "dollars")]
    pub daily_usd_per_user: f64,
    /// Runs that go on at once on this server.
    #[serde(deserialize_with = "within::<1, 100_000, _, _>")]
    pub max: usize,
    /// Milliseconds within which another server ends the runs of one that died.
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
    /// What one person's runs may use on a day.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let (tokens, usd) = (self.daily_tokens_per_user, self.daily_usd_per_user);
        Budget { tokens: Some(tokens).filter(|most| *most > 0), usd: Some(usd).filter(|most| *most > 0.0) }
    }
}

/// `[bus]`.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// `local`: one process. `nats://[user:password@]host:port[,...]`: all that share the store.
    #[serde(deserialize_with = "bus_url")]
    pub url: String,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self { url: "local".into() }
    }
}

/// Without the password.
impl fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusConfig").field("url", &redacted(&self.url)).finish()
    }
}

impl BusConfig {
    /// The NATS servers, where there are other nodes.
    #[must_use]
    pub fn servers(&self) -> Option<Vec<async_nats::ServerAddr>> {
        nats_servers(&self.url)
    }
}

/// `[socket]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketConfig {
    /// Connections one person may hold; one more closes the oldest (4409).
    #[serde(deserialize_with = "within::<1, 10_000, _, _>")]
    pub max_connections_per_user: usize,
    /// Connections this server takes; one more is refused (429).
    #[serde(deserialize_with = "within::<1, 10_000_000, _, _>")]
    pub max_connections: usize,
    /// Commands and calls of one person in a minute, over all their connections to this server.
    #[serde(deserialize_with = "within::<1, 1_000_000, _, _>")]
    pub commands_per_minute: u32,
    /// The largest frame a client may send, in bytes.
    #[serde(deserialize_with = "within::<1024, 16_777_216, _, _>")]
    pub max_frame_bytes: usize,
    /// Milliseconds of silence after which the server asks for a sign of life.
    #[serde(deserialize_with = "within::<100, 300_000, _, _>")]
    pub heartbeat_ms: u64,
    /// Milliseconds that the sign may take.
    #[serde(deserialize_with = "within::<100, 300_000, _, _>")]
    pub heartbeat_timeout_ms: u64,
    /// Milliseconds for which deltas of one message are gathered into one entry; 0: not at all.
    #[serde(deserialize_with = "within::<0, 500, _, _>")]
    pub coalesce_ms: u64,
    /// Entries a subscription replays at most; further behind, it gets a snapshot.
    #[serde(deserialize_with = "within::<1, 1_000_000, _, _>")]
    pub replay_limit: u64,
    /// Bytes that may wait for one connection; one more closes it (4001).
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
    /// Days after which a session ends.
    #[serde(deserialize_with = "within::<1, 3650, _, _>")]
    pub session_days: u32,
    /// Minutes after which an access token ends.
    #[serde(deserialize_with = "within::<1, 525_600, _, _>")]
    pub access_token_minutes: u32,
    /// Seconds for which a ticket opens a socket.
    #[serde(deserialize_with = "within::<1, 3600, _, _>")]
    pub ticket_seconds: u32,
    /// Failed sign-ins in a minute, of one account from one address, that are answered at once. Each further one has to wait,
    /// at first a second (429).
    #[serde(deserialize_with = "within::<1, 10_000, _, _>")]
    pub sign_in_failures_per_minute: u32,
    /// Origins beside the server's own whose pages may use its cookies.
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
    /// A price list in LiteLLM's cost-map format, instead of the one that is built in.
    pub prices: Option<PathBuf>,
    /// The id of an agent of kind `model`, for understanding questions that no rule does and for wording; absent: none.
    pub model: Option<String>,
    /// The largest file that is taken, in bytes.
    #[serde(deserialize_with = "within::<1, 107_374_182_400, _, _>")]
    pub max_file_bytes: u64,
    /// The most that the files of one thread may hold together, in bytes.
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
    /// How lines look.
    pub format: LogFormat,
    /// What is written, as `tracing_subscriber`'s `EnvFilter` reads it; the variable `NETRA_LOG` wins over it.
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

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[telemetry]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where traces go by OTLP over HTTP, without `/v1/traces`; none: nowhere.
    #[serde(deserialize_with = "telemetry_endpoint")]
    pub otlp_endpoint: Option<String>,
    /// Which part of the traces is kept, 0 to 1.
    #[serde(deserialize_with = "unit_interval")]
    pub sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, sample_ratio: 1.0 }
    }
}
