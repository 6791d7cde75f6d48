//! Detects a proxy that closes idle connections.
//!
//! A proxy whose idle timeout is shorter than the heartbeat interval closes every quiet connection after the same time. When two
//! connections in a row are lost after the same idle time, later connections send heartbeats twice as often as that.

/// The shortest idle time, in milliseconds, that may be a proxy's timeout.
const MIN_IDLE_MS: i64 = 2_000;
/// Two idle times that differ by at most this many milliseconds count as the same timeout.
const TOLERANCE_MS: i64 = 1_500;

/// What is known from connections that were lost while idle.
#[derive(Debug, Default)]
pub(super) struct IdleCloses {
    /// How long the most recently lost connection had been idle, in milliseconds.
    last_ms: Option<i64>,
    /// The shortest idle timeout found so far, in milliseconds.
    timeout_ms: Option<i64>,
}

impl IdleCloses {
    /// Records that a connection was lost without a close frame, `idle_ms` milliseconds after the last frame in either direction.
    pub(super) fn record_loss(&mut self, idle_ms: i64) {
        let same = self.last_ms.is_some_and(|last| (last - idle_ms).abs() <= TOLERANCE_MS);
        if same && idle_ms >= MIN_IDLE_MS {
            self.timeout_ms = Some(self.timeout_ms.map_or(idle_ms, |known| known.min(idle_ms)));
        }
        self.last_ms = Some(idle_ms);
    }

    /// The heartbeat interval for the next connection, in milliseconds; `requested` is what the server asks for.
    pub(super) fn heartbeat_ms(&self, requested: u64) -> u64 {
        let found = self.timeout_ms.and_then(|timeout| u64::try_from(timeout / 2).ok());
        found.map_or(requested, |found| found.min(requested))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_losses_after_the_same_idle_time_halve_it_for_the_heartbeat() {
        let mut closes = IdleCloses::default();
        closes.record_loss(15_040);
        assert_eq!(closes.heartbeat_ms(25_000), 25_000, "a single loss may have any cause");
        closes.record_loss(15_010);
        assert_eq!(closes.heartbeat_ms(25_000), 7_505);
        assert_eq!(closes.heartbeat_ms(5_000), 5_000, "never less often than the server asks");
        closes.record_loss(4_000);
        assert_eq!(closes.heartbeat_ms(25_000), 7_505, "the timeout found before is kept");
    }

    #[test]
    fn losses_after_different_idle_times_change_nothing() {
        let mut closes = IdleCloses::default();
        for idle in [15_000, 3_000, 40, 60, 9_000] {
            closes.record_loss(idle);
        }
        assert_eq!(closes.heartbeat_ms(25_000), 25_000);
    }
}
