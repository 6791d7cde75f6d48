//! `[quotas]`: how much people may keep.

use serde::Deserialize;

use super::bounds::within;

/// A pebibyte: more than any installation has.
const MAX_BYTES: u64 = 1 << 50;
/// More threads or files than any installation has.
const MAX_COUNT: u64 = 1_000_000_000;

/// `[quotas]`. Everywhere 0 means no limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotasConfig {
    /// Threads of one person.
    #[serde(deserialize_with = "within::<0, MAX_COUNT, _, _>")]
    pub max_threads_per_user: u64,
    /// Uploaded files of one person.
    #[serde(deserialize_with = "within::<0, MAX_COUNT, _, _>")]
    pub max_files_per_user: u64,
    /// Bytes of one person's uploaded files together.
    #[serde(deserialize_with = "within::<0, MAX_BYTES, _, _>")]
    pub max_file_bytes_per_user: u64,
    /// Bytes of one person's conversations together.
    #[serde(deserialize_with = "within::<0, MAX_BYTES, _, _>")]
    pub max_log_bytes_per_user: u64,
    /// Threads of all people.
    #[serde(deserialize_with = "within::<0, MAX_COUNT, _, _>")]
    pub max_threads: u64,
    /// Uploaded files of all people.
    #[serde(deserialize_with = "within::<0, MAX_COUNT, _, _>")]
    pub max_files: u64,
    /// Bytes of all people's uploaded files together.
    #[serde(deserialize_with = "within::<0, MAX_BYTES, _, _>")]
    pub max_file_bytes: u64,
    /// Bytes of all people's conversations together.
    #[serde(deserialize_with = "within::<0, MAX_BYTES, _, _>")]
    pub max_log_bytes: u64,
    /// Bytes that stay free on the disks of the store and of the files: with less, nothing new is taken.
    #[serde(deserialize_with = "within::<0, MAX_BYTES, _, _>")]
    pub min_free_bytes: u64,
}

impl Default for QuotasConfig {
    fn default() -> Self {
        Self {
            max_threads_per_user: 10_000,
            max_files_per_user: 10_000,
            max_file_bytes_per_user: 1 << 30,
            max_log_bytes_per_user: 1 << 30,
            max_threads: 0,
            max_files: 0,
            max_file_bytes: 0,
            max_log_bytes: 0,
            min_free_bytes: 256 << 20,
        }
    }
}

impl QuotasConfig {
    /// No limit at all: for tools and tests that write a store themselves.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            max_threads_per_user: 0,
            max_files_per_user: 0,
            max_file_bytes_per_user: 0,
            max_log_bytes_per_user: 0,
            min_free_bytes: 0,
            ..Self::default()
        }
    }
}
