//! Signs of life. No I/O: times go in, what is due comes out.
//!
//! Anything received is one, our own pings are not: a peer that never answers is found out however often it is asked.

use std::time::Duration;

use tokio::time::Instant;

/// When a connection was heard last, and whether it was asked since.
#[derive(Debug)]
pub(crate) struct Pulse {
    every: Duration,
    patience: Duration,
    heard: Instant,
    asked: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing yet.
    Quiet,
    /// A ping.
    Ask,
    /// The end: it was asked, and said nothing in time.
    Missed,
}

impl Pulse {
    /// Asks after `every` of silence, and waits `patience` for the answer.
    pub(crate) fn new(every: Duration, patience: Duration, now: Instant) -> Self {
        Self { every, patience, heard: now, asked: None }
    }

    /// Something was received.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// When to look again.
    pub(crate) fn due(&self) -> Instant {
        self.asked.map_or(self.heard + self.every, |asked| asked + self.patience)
    }

    /// Looks: what is due now.
    pub(crate) fn beat(&mut self, now: Instant) -> Beat {
        if now < self.due() {
            return Beat::Quiet;
        }
        match self.asked {
            Some(_) => Beat::Missed,
            None => {
                self.asked = Some(now);
                Beat::Ask
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_asked_about_once_and_then_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Duration::from_secs(25), Duration::from_secs(10), start);
        assert_eq!((pulse.beat(at(24)), pulse.due()), (Beat::Quiet, at(25)));
        assert_eq!((pulse.beat(at(26)), pulse.due()), (Beat::Ask, at(36)), "late to ask, no less patient");
        assert_eq!(pulse.beat(at(35)), Beat::Quiet, "asking is no sign of life, and is not repeated");
        assert_eq!(pulse.beat(at(36)), Beat::Missed);
    }

    #[test]
    fn anything_heard_begins_anew() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pulse = Pulse::new(Duration::from_secs(25), Duration::from_secs(10), start);
        assert_eq!(pulse.beat(at(25)), Beat::Ask);
        pulse.heard(at(34));
        assert_eq!((pulse.beat(at(36)), pulse.due()), (Beat::Quiet, at(59)));
    }
}
