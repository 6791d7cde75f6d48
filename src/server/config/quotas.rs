//! `[quotas]`: limits of what users may store.

use serde::Deserialize;

use super::bounds::within;

/// A pebibyte, as the largest value that makes sense.
const MAX_BYTES: u64 = 1 << 50;
/// The largest number of threads or files that makes sense.
const MAX_COUNT: u64 = 1_000_000_000;

/// `[quotas]`. 0 means no limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuotasConfig {
    /// Threads of one user.
    #[serde(deserialize_with = "within::<0, MAX_COUNT, _, _>")]
    pub max_threads_per_user: u64,
    /// Uploaded files of one user.
    #[serde(deserialize_with = "within::<0, MAX_COUNT, _, _>")]
    pub max_files_per_user: u64,
    /// Bytes of one user's uploaded files together.
    #[serde(deserialize_with = "within::<0, MAX_BYTES, _, _>")]
    pub max_file_bytes_per_user: u64,
    /// Bytes of one user's conversations together.
    #[serde(deserialize_with = "within::<0, MAX_BYTES, _, _>")]
    pub max_log_bytes_per_user: u64,
    /// Threads of all users.
    #[serde(deserialize_with = "within::<0, MAX_COUNT, _, _>")]
    pub max_threads: u64,
    /// Uploaded files of all users.
    #[serde(deserialize_with = "within::<0, MAX_COUNT, _, _>")]
    pub max_files: u64,
    /// Bytes of all users' uploaded files together.
    #[serde(deserialize_with = "within::<0, MAX_BYTES, _, _>")]
    pub max_file_bytes: u64,
    /// Bytes of all users' conversations together.
    #[serde(deserialize_with = "within::<0, MAX_BYTES, _, _>")]
    pub max_log_bytes: u64,
    /// Bytes to keep free on the disks of the store and of the files; with less, nothing new is accepted.
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
    /// No limits, for tools and tests that write to a store directly.
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
