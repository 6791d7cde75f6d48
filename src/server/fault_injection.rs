//! Deliberate bugs, by which the tests test their audit. Debug builds alone have them, and only where
//! `NETRA_TEST_BUG` names one.

use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering},
};

static BUG: LazyLock<String> = LazyLock::new(|| std::env::var("NETRA_TEST_BUG").unwrap_or_default());
static COMMITS: AtomicU32 = AtomicU32::new(0);

/// `skip_delivery`: the end of a run is told to nobody.
pub(super) fn skips(frame: &str) -> bool {
    *BUG == "skip_delivery" && frame.contains("RUN_FINISHED")
}

/// `publish_before_commit`: now and then a step is told, and then not stored.
pub(super) fn loses_commit() -> bool {
    *BUG == "publish_before_commit" && COMMITS.fetch_add(1, Ordering::Relaxed) % 20 == 19
}

/// `panic_in_page`: a component of every page whose query is `panic` panics.
pub(super) fn panics_in_page(address: &str) -> bool {
    *BUG == "panic_in_page" && address.ends_with("?panic")
}
