//! Logs: to standard error, so that standard output stays for answers. `NETRA_LOG` filters, as `RUST_LOG` would.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Begins logging. Calling it again changes nothing.
pub fn init() {
    let filter = std::env::var("NETRA_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let filter =
        filter.unwrap_or_else(|| EnvFilter::new("info,sqlx=warn,tower_sessions=warn,tower_sessions_core=warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    let _ = log.try_init();
}
