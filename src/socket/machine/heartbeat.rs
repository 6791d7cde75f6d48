//! Whether the other side is alive. Only what arrives counts; what is sent never renews anything.

use crate::protocol::limits::HEARTBEAT_TIMEOUT_MS;

/// Milliseconds a connection has to live after its welcome before it counts as good.
const PROVING_MS: i64 = 5_000;
/// Milliseconds for an answer when there is reason to doubt the connection (the tab woke up).
const DOUBT_MS: i64 = 4_000;

/// What is due now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// No answer in time: the connection is dead.
    Dead,
}

#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: i64,
    born: i64,
    proved: bool,
    ping_at: i64,
    answer_by: Option<i64>,
}

impl Heartbeat {
    /// A connection was welcomed; both in milliseconds.
    pub(super) fn new(now: i64, interval: u64) -> Self {
        let interval = i64::try_from(interval).unwrap_or(i64::MAX).clamp(1_000, 600_000);
        Self { interval, born: now, proved: false, ping_at: now + PROVING_MS.min(interval), answer_by: None }
    }

    /// Something arrived. True once: when that proves the connection good.
    pub(super) fn heard(&mut self, now: i64) -> bool {
        let proving = self.born + PROVING_MS.min(self.interval);
        let proves = !self.proved && now >= proving;
        self.proved |= proves;
        self.answer_by = None;
        self.ping_at = if self.proved { now + self.interval } else { proving };
        proves
    }

    /// There is reason to doubt: an answer is due soon. True when a ping has to go out for it.
    pub(super) fn doubt(&mut self, now: i64) -> bool {
        let unasked = self.answer_by.is_none();
        let soon = now + DOUBT_MS;
        self.answer_by = Some(self.answer_by.map_or(soon, |by| by.min(soon)));
        unasked
    }

    pub(super) fn due(&mut self, now: i64) -> Due {
        match self.answer_by {
            Some(by) if now >= by => Due::Dead,
            None if now >= self.ping_at => {
                self.answer_by = Some(now + HEARTBEAT_TIMEOUT_MS as i64);
                Due::Ping
            }
            _ => Due::Nothing,
        }
    }

    pub(super) fn deadline(&self) -> i64 {
        self.answer_by.unwrap_or(self.ping_at)
    }
}
