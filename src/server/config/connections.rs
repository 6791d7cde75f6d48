//! `[connections]`: how many TCP connections there may be, and how long each may take.

use std::time::Duration;

use serde::Deserialize;

use super::bounds::within;

/// `[connections]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionsConfig {
    /// Connections in all; the limit of file descriptors may allow fewer.
    #[serde(deserialize_with = "within::<16, 10_000_000, _, _>")]
    pub max: usize,
    /// Connections from one address; from one /64 network of IPv6.
    #[serde(deserialize_with = "within::<1, 10_000_000, _, _>")]
    pub max_per_address: usize,
    /// The largest request line and header together, in bytes.
    #[serde(deserialize_with = "within::<8_192, 1_048_576, _, _>")]
    pub max_header_bytes: usize,
    /// Milliseconds until a new connection sends its first byte.
    #[serde(deserialize_with = "within::<100, 600_000, _, _>")]
    pub first_byte_timeout_ms: u64,
    /// Milliseconds from the first byte of a request to the end of its header.
    #[serde(deserialize_with = "within::<100, 600_000, _, _>")]
    pub header_timeout_ms: u64,
    /// Milliseconds that a connection may be idle between two requests.
    #[serde(deserialize_with = "within::<100, 3_600_000, _, _>")]
    pub idle_timeout_ms: u64,
    /// Milliseconds that a request's body, or the reading of an answer, may fall behind `min_bytes_per_second`.
    #[serde(deserialize_with = "within::<100, 600_000, _, _>")]
    pub stall_timeout_ms: u64,
    /// Bytes a second at which bodies are sent and answers are read at least.
    #[serde(deserialize_with = "within::<1, 1_000_000_000, _, _>")]
    pub min_bytes_per_second: u64,
    /// Bytes of a refused request's body that are read and discarded, so that the answer arrives.
    #[serde(deserialize_with = "within::<0, 107_374_182_400, _, _>")]
    pub discard_bytes: u64,
    /// Milliseconds that this may take.
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
    /// Until the first byte.
    #[must_use]
    pub fn first_byte_timeout(&self) -> Duration {
        Duration::from_millis(self.first_byte_timeout_ms)
    }

    /// From the first byte to the end of the header.
    #[must_use]
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    /// Between two requests.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// Behind the least rate.
    #[must_use]
    pub fn stall_timeout(&self) -> Duration {
        Duration::from_millis(self.stall_timeout_ms)
    }

    /// For reading what a refused request still sends.
    #[must_use]
    pub fn discard_timeout(&self) -> Duration {
        Duration::from_millis(self.discard_timeout_ms)
    }
}
