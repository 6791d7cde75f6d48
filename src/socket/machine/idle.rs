//! Whether something between client and server closes connections on which nothing is sent.
//!
//! A proxy with an idle timeout shorter than the heartbeat cuts every quiet connection after the same time. Two connections in
//! a row that are lost so make the next ones send their heartbeats in half that time.

/// The shortest idle time, in milliseconds, that is taken for a timeout: no proxy has a shorter one.
const MIN_IDLE_MS: i64 = 2_000;
/// By how much two idle times may differ, in milliseconds, and count as the same timeout.
const TOLERANCE_MS: i64 = 1_500;

/// What the losses of idle connections tell.
#[derive(Debug, Default)]
pub(super) struct IdleCloses {
    /// How long the connection lost last had been idle, in milliseconds.
    last_ms: Option<i64>,
    /// The idle timeout that was found, in milliseconds: the shortest.
    timeout_ms: Option<i64>,
}

impl IdleCloses {
    /// A connection was lost without a close frame after nothing was sent either way for `idle_ms` milliseconds.
    pub(super) fn lost(&mut self, idle_ms: i64) {
        let same = self.last_ms.is_some_and(|last| (last - idle_ms).abs() <= TOLERANCE_MS);
        if same && idle_ms >= MIN_IDLE_MS {
            self.timeout_ms = Some(self.timeout_ms.map_or(idle_ms, |known| known.min(idle_ms)));
        }
        self.last_ms = Some(idle_ms);
    }

    /// The heartbeat's interval for the next connection, in milliseconds, where the server asks for `asked`.
    pub(super) fn heartbeat_ms(&self, asked: u64) -> u64 {
        let found = self.timeout_ms.and_then(|timeout| u64::try_from(timeout / 2).ok());
        found.map_or(asked, |found| found.min(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_losses_after_the_same_idle_time_make_heartbeats_twice_as_frequent_as_that() {
        let mut closes = IdleCloses::default();
        closes.lost(15_040);
        assert_eq!(closes.heartbeat_ms(25_000), 25_000, "one loss may be anything");
        closes.lost(15_010);
        assert_eq!(closes.heartbeat_ms(25_000), 7_505);
        assert_eq!(closes.heartbeat_ms(5_000), 5_000, "never less often than the server asks");
        closes.lost(4_000);
        assert_eq!(closes.heartbeat_ms(25_000), 7_505, "what was found stays");
    }

    #[test]
    fn losses_after_different_times_or_in_the_middle_of_traffic_change_nothing() {
        let mut closes = IdleCloses::default();
        for idle in [15_000, 3_000, 40, 60, 9_000] {
            closes.lost(idle);
        }
        assert_eq!(closes.heartbeat_ms(25_000), 25_000);
    }
}
