//! `[connections]`: limits and timeouts of TCP connections.

use std::time::Duration;

use serde::Deserialize;

use super::bounds::within;

/// `[connections]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionsConfig {
    /// Most connections; the limit of file descriptors may allow fewer.
    #[serde(deserialize_with = "within::<16, 10_000_000, _, _>")]
    pub max: usize,
    /// Most connections from one IPv4 address or one IPv6 /64 network.
    #[serde(deserialize_with = "within::<1, 10_000_000, _, _>")]
    pub max_per_address: usize,
    /// Most bytes of a request line and headers together.
    #[serde(deserialize_with = "within::<8_192, 1_048_576, _, _>")]
    pub max_header_bytes: usize,
    /// Milliseconds to wait for the first byte of a new connection.
    #[serde(deserialize_with = "within::<100, 600_000, _, _>")]
    pub first_byte_timeout_ms: u64,
    /// Milliseconds from the first byte of a request to the end of its headers.
    #[serde(deserialize_with = "within::<100, 600_000, _, _>")]
    pub header_timeout_ms: u64,
    /// Milliseconds that a connection may be idle between requests.
    #[serde(deserialize_with = "within::<100, 3_600_000, _, _>")]
    pub idle_timeout_ms: u64,
    /// Milliseconds that a client may fall behind `min_bytes_per_second`.
    #[serde(deserialize_with = "within::<100, 600_000, _, _>")]
    pub stall_timeout_ms: u64,
    /// Minimum rate at which clients must send request bodies and read responses.
    #[serde(deserialize_with = "within::<1, 1_000_000_000, _, _>")]
    pub min_bytes_per_second: u64,
    /// Bytes of a refused request's body that are read and discarded, so that the client receives the response.
    #[serde(deserialize_with = "within::<0, 107_374_182_400, _, _>")]
    pub discard_bytes: u64,
    /// Milliseconds that discarding may take.
    #[serde(deserialize_with = "within::<0, 600_000, _, _>")]
    pub discard_timeout_ms: u64,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            max: 110_000,
            max_per_address: 1_024,
            max_header_bytes: 32_768,
            first_byte_timeout_ms: 10_000,
            header_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            stall_timeout_ms: 30_000,
            min_bytes_per_second: 512,
            discard_bytes: 268_435_456,
            discard_timeout_ms: 30_000,
        }
    }
}

impl ConnectionsConfig {
    /// Time to wait for the first byte.
    #[must_use]
    pub fn first_byte_timeout(&self) -> Duration {
        Duration::from_millis(self.first_byte_timeout_ms)
    }

    /// Time from the first byte to the end of the headers.
    #[must_use]
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    /// Idle time between requests.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// Time behind the minimum rate.
    #[must_use]
    pub fn stall_timeout(&self) -> Duration {
        Duration::from_millis(self.stall_timeout_ms)
    }

    /// Time for discarding a refused request's body.
    #[must_use]
    pub fn discard_timeout(&self) -> Duration {
        Duration::from_millis(self.discard_timeout_ms)
    }
}
