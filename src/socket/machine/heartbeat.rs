//! Detects a dead connection. Only received frames count as a sign of life, never sent ones.

use crate::protocol::limits::HEARTBEAT_TIMEOUT_MS;

/// How long after its welcome a connection counts as stable, in milliseconds.
const STABLE_AFTER_MS: i64 = 5_000;
/// How long a suspect connection (the page was suspended) may receive nothing, in milliseconds.
const PROBE_TIMEOUT_MS: i64 = 4_000;

/// What is due now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// Nothing was received in time: the connection is dead.
    TimedOut,
}

#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: i64,
    opened_at: i64,
    is_stable: bool,
    ping_at: i64,
    /// When the connection is dead unless a frame arrives before.
    receive_by: Option<i64>,
}

impl Heartbeat {
    /// The heartbeat of a connection that was welcomed at `now`; both arguments in milliseconds.
    pub(super) fn new(now: i64, interval: u64) -> Self {
        let interval = i64::try_from(interval).unwrap_or(i64::MAX).clamp(1_000, 600_000);
        Self {
            interval,
            opened_at: now,
            is_stable: false,
            ping_at: now + STABLE_AFTER_MS.min(interval),
            receive_by: None,
        }
    }

    /// A frame was received. True once: when it makes the connection stable.
    pub(super) fn on_receive(&mut self, now: i64) -> bool {
        let stable_at = self.opened_at + STABLE_AFTER_MS.min(self.interval);
        let becomes_stable = !self.is_stable && now >= stable_at;
        self.is_stable |= becomes_stable;
        self.receive_by = None;
        self.ping_at = if self.is_stable { now + self.interval } else { stable_at };
        becomes_stable
    }

    /// The connection may be dead: expects a frame within [`PROBE_TIMEOUT_MS`]. True if the caller has to send a ping, false if
    /// one was sent already.
    pub(super) fn probe(&mut self, now: i64) -> bool {
        let needs_ping = self.receive_by.is_none();
        let soon = now + PROBE_TIMEOUT_MS;
        self.receive_by = Some(self.receive_by.map_or(soon, |by| by.min(soon)));
        needs_ping
    }

    pub(super) fn due(&mut self, now: i64) -> Due {
        match self.receive_by {
            Some(by) if now >= by => Due::TimedOut,
            None if now >= self.ping_at => {
                self.receive_by = Some(now + HEARTBEAT_TIMEOUT_MS as i64);
                Due::Ping
            }
            _ => Due::Nothing,
        }
    }

    pub(super) fn deadline(&self) -> i64 {
        self.receive_by.unwrap_or(self.ping_at)
    }
}
