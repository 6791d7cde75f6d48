//! Deliberate bugs, which prove that the audit of the fault tests finds them. Only in debug builds, and only the one that
//! `NETRA_TEST_BUG` names.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

static BUG: LazyLock<String> = LazyLock::new(|| std::env::var("NETRA_TEST_BUG").unwrap_or_default());
static COMMITS: AtomicU32 = AtomicU32::new(0);

/// `skip_delivery`: the end of a run is not delivered.
pub(super) fn skips_delivery(frame: &str) -> bool {
    *BUG == "skip_delivery" && frame.contains("RUN_FINISHED")
}

/// `publish_before_commit`: one transaction with entries in 20 is delivered and then not committed.
pub(super) fn loses_commit() -> bool {
    *BUG == "publish_before_commit" && COMMITS.fetch_add(1, Ordering::Relaxed) % 20 == 19
}

/// `panic_in_page`: a component of every page whose query is `panic` panics.
pub(super) fn panics_in_page(address: &str) -> bool {
    *BUG == "panic_in_page" && address.ends_with("?panic")
}
