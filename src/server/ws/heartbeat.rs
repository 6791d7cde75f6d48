//! When to ping a peer, and when it has timed out. No I/O: times go in, what is due comes out.
//!
//! Any frame that is received counts as a sign of life; pings that we send do not, so a peer that never answers times out
//! however often it is pinged.

use std::time::Duration;

use tokio::time::Instant;

/// When a peer last sent anything, and whether it was pinged since.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    last_received: Instant,
    pinged_at: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeartbeatAction {
    /// Nothing yet.
    Idle,
    /// Send a ping.
    SendPing,
    /// Close the connection: the ping was not answered in time.
    TimedOut,
}

impl Heartbeat {
    /// Pings after `interval` without a frame, and times out `timeout` after that.
    pub(crate) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self { interval, timeout, last_received: now, pinged_at: None }
    }

    /// Records that a frame was received.
    pub(crate) fn on_receive(&mut self, now: Instant) {
        self.last_received = now;
        self.pinged_at = None;
    }

    /// When to call [`Heartbeat::poll`] next.
    pub(crate) fn deadline(&self) -> Instant {
        self.pinged_at.map_or(self.last_received + self.interval, |pinged| pinged + self.timeout)
    }

    /// Returns what is due now. A ping that is due counts as sent.
    pub(crate) fn poll(&mut self, now: Instant) -> HeartbeatAction {
        if now < self.deadline() {
            return HeartbeatAction::Idle;
        }
        match self.pinged_at {
            Some(_) => HeartbeatAction::TimedOut,
            None => {
                self.pinged_at = Some(now);
                HeartbeatAction::SendPing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_pinged_once_and_then_times_out() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(Duration::from_secs(25), Duration::from_secs(10), start);
        assert_eq!((heartbeat.poll(at(24)), heartbeat.deadline()), (HeartbeatAction::Idle, at(25)));
        let late = (heartbeat.poll(at(26)), heartbeat.deadline());
        assert_eq!(late, (HeartbeatAction::SendPing, at(36)), "a late ping has the whole timeout");
        assert_eq!(heartbeat.poll(at(35)), HeartbeatAction::Idle, "the ping does not count and is not repeated");
        assert_eq!(heartbeat.poll(at(36)), HeartbeatAction::TimedOut);
    }

    #[test]
    fn any_frame_restarts_the_interval() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut heartbeat = Heartbeat::new(Duration::from_secs(25), Duration::from_secs(10), start);
        assert_eq!(heartbeat.poll(at(25)), HeartbeatAction::SendPing);
        heartbeat.on_receive(at(34));
        assert_eq!((heartbeat.poll(at(36)), heartbeat.deadline()), (HeartbeatAction::Idle, at(59)));
    }
}
