//! What a connection is waiting for, and until when: a state machine without a clock or I/O of its own.
//!
//! Only waiting for the other end counts. While the server works, or does not read because it works, no time runs.

use std::time::{Duration, Instant};

use crate::server::config::ConnectionsConfig;

/// How long each part of a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) first_byte: Duration,
    pub(super) header: Duration,
    pub(super) idle: Duration,
    pub(super) stall: Duration,
    pub(super) bytes_per_second: u64,
}

impl From<&ConnectionsConfig> for Timeouts {
    fn from(config: &ConnectionsConfig) -> Self {
        Self {
            first_byte: config.first_byte_timeout(),
            header: config.header_timeout(),
            idle: config.idle_timeout(),
            stall: config.stall_timeout(),
            bytes_per_second: config.min_bytes_per_second,
        }
    }
}

/// Which of the timeouts has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timeout {
    /// Nothing came at all.
    FirstByte,
    /// A header did not end.
    Header,
    /// A body came too slowly.
    Body,
    /// No further request came.
    Idle,
    /// The answer was read too slowly.
    Answer,
}

impl Timeout {
    /// The label in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FirstByte => "first_byte",
            Self::Header => "header",
            Self::Body => "body",
            Self::Idle => "idle",
            Self::Answer => "answer",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    FirstByte,
    Header,
    Body,
    Answer,
    Idle,
    Upgraded,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Clock {
    timeouts: Timeouts,
    phase: Phase,
    /// When the phase began.
    since: Instant,
    reading: Pace,
    writing: Pace,
    request_read: bool,
    answer_begun: bool,
    answer_written: bool,
}

impl Clock {
    pub(super) fn new(timeouts: Timeouts, now: Instant) -> Self {
        Self {
            timeouts,
            phase: Phase::FirstByte,
            since: now,
            reading: Pace::new(timeouts),
            writing: Pace::new(timeouts),
            request_read: true,
            answer_begun: false,
            answer_written: true,
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        (self.phase, self.since) = (phase, now);
    }

    /// So many bytes were read.
    pub(super) fn received(&mut self, bytes: usize, now: Instant) {
        match self.phase {
            Phase::FirstByte | Phase::Idle => {
                self.answer_begun = false;
                self.enter(Phase::Header, now);
            }
            Phase::Body => self.reading.moved(bytes, now),
            Phase::Header | Phase::Answer | Phase::Upgraded => {}
        }
    }

    /// More is to be read, and nothing is there.
    pub(super) fn read_blocked(&mut self, now: Instant) {
        if self.phase == Phase::Body {
            self.reading.blocked(now);
        }
    }

    /// So many bytes were written.
    pub(super) fn sent(&mut self, bytes: usize, now: Instant) {
        self.writing.moved(bytes, now);
        // An answer that was handed over whole may still be on its way.
        if self.phase == Phase::Idle {
            self.since = now;
        }
    }

    /// More is to be written, and there is no room.
    pub(super) fn write_blocked(&mut self, now: Instant) {
        self.writing.blocked(now);
    }

    /// The header of a request is complete.
    pub(super) fn request(&mut self, has_body: bool, now: Instant) {
        (self.request_read, self.answer_begun, self.answer_written) = (!has_body, false, false);
        self.reading = Pace::new(self.timeouts);
        self.enter(if has_body { Phase::Body } else { Phase::Answer }, now);
    }

    /// The request's body is read, or nobody reads it any more.
    pub(super) fn request_read(&mut self, now: Instant) {
        self.request_read = true;
        if self.phase == Phase::Body {
            self.enter(Phase::Answer, now);
        }
        self.end_exchange(now);
    }

    /// The answer begins.
    pub(super) fn answer_begins(&mut self, upgrade: bool, now: Instant) {
        self.answer_begun = true;
        if upgrade {
            self.enter(Phase::Upgraded, now);
        }
    }

    /// The answer is handed over whole.
    pub(super) fn answer_written(&mut self, now: Instant) {
        self.answer_written = true;
        self.end_exchange(now);
    }

    fn end_exchange(&mut self, now: Instant) {
        if self.request_read && self.answer_written && self.phase == Phase::Answer {
            self.enter(Phase::Idle, now);
        }
    }

    /// Whether a request is being read whose header is not complete: what is written now, HTTP itself answers.
    pub(super) fn is_before_request(&self) -> bool {
        matches!(self.phase, Phase::FirstByte | Phase::Header)
    }

    /// Whether the other end may still be sending what nobody reads.
    pub(super) fn may_send_more(&self) -> bool {
        self.phase == Phase::Header || !self.request_read
    }

    /// Whether the connection speaks another protocol now.
    pub(super) fn is_upgraded(&self) -> bool {
        self.phase == Phase::Upgraded
    }

    /// Whether a refusal can still be written as the answer.
    pub(super) fn can_refuse(&self) -> bool {
        matches!(self.phase, Phase::Header | Phase::Body) && !self.answer_begun
    }

    /// When waiting ends, and what for.
    pub(super) fn deadline(&self) -> Option<(Instant, Timeout)> {
        let at = |limit: Duration, what: Timeout| Some((self.since + limit, what));
        let phase = match self.phase {
            Phase::FirstByte => at(self.timeouts.first_byte, Timeout::FirstByte),
            Phase::Header => at(self.timeouts.header, Timeout::Header),
            Phase::Body => self.reading.deadline().map(|at| (at, Timeout::Body)),
            Phase::Idle if self.writing.blocked.is_none() => at(self.timeouts.idle, Timeout::Idle),
            Phase::Idle | Phase::Answer => None,
            Phase::Upgraded => return None,
        };
        let writing = self.writing.deadline().map(|at| (at, Timeout::Answer));
        phase.into_iter().chain(writing).min_by_key(|(at, _)| *at)
    }
}

/// How far a transfer may fall behind a rate: an allowance of waiting that waiting uses up and bytes give back.
#[derive(Debug)]
struct Pace {
    full: Duration,
    left: Duration,
    bytes_per_second: u64,
    blocked: Option<Instant>,
}

impl Pace {
    fn new(timeouts: Timeouts) -> Self {
        let (full, bytes_per_second) = (timeouts.stall, timeouts.bytes_per_second.max(1));
        Self { full, left: full, bytes_per_second, blocked: None }
    }

    fn blocked(&mut self, now: Instant) {
        self.blocked.get_or_insert(now);
    }

    fn moved(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.blocked.take() {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
        let earned = Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / self.bytes_per_second);
        self.left = self.left.saturating_add(earned).min(self.full);
    }

    fn deadline(&self) -> Option<Instant> {
        self.blocked.map(|since| since + self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        first_byte: Duration::from_secs(10),
        header: Duration::from_secs(20),
        idle: Duration::from_secs(75),
        stall: Duration::from_secs(30),
        bytes_per_second: 100,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_headers_time_runs_from_its_first_byte_whatever_follows() {
        let begin = Instant::now();
        let mut clock = Clock::new(TIMEOUTS, begin);
        assert_eq!(clock.deadline(), Some((begin + seconds(10), Timeout::FirstByte)));
        assert!(!clock.can_refuse(), "nothing was asked");
        for second in [9, 14, 19, 24] {
            clock.received(20, begin + seconds(second));
        }
        assert_eq!(clock.deadline(), Some((begin + seconds(29), Timeout::Header)));
        assert!(clock.can_refuse() && clock.may_send_more());
    }

    #[test]
    fn a_body_keeps_its_pace_or_ends() {
        let begin = Instant::now();
        let mut clock = Clock::new(TIMEOUTS, begin);
        clock.received(500, begin);
        clock.request(true, begin);
        assert_eq!(clock.deadline(), None, "nobody waits for bytes yet");
        // A byte every five seconds: the allowance of 30 seconds is used up after six of them.
        let mut now = begin;
        for _ in 0..6 {
            clock.read_blocked(now);
            assert!(clock.deadline().is_some_and(|(at, what)| at > now && what == Timeout::Body));
            now += seconds(5);
            clock.received(1, now);
        }
        clock.read_blocked(now);
        assert!(clock.deadline().is_some_and(|(at, _)| at < now + seconds(1)));
        // What is faster than the rate earns no more than the allowance.
        clock.received(1_000_000, now);
        clock.read_blocked(now);
        assert_eq!(clock.deadline(), Some((now + seconds(30), Timeout::Body)));
    }

    #[test]
    fn time_does_not_run_while_the_server_works() {
        let begin = Instant::now();
        let mut clock = Clock::new(TIMEOUTS, begin);
        clock.received(500, begin);
        clock.request(false, begin);
        clock.read_blocked(begin);
        assert_eq!(clock.deadline(), None);
        clock.answer_begins(false, begin + seconds(500));
        clock.write_blocked(begin + seconds(500));
        assert_eq!(clock.deadline(), Some((begin + seconds(530), Timeout::Answer)));
        clock.sent(100_000, begin + seconds(510));
        assert_eq!(clock.deadline(), None);
        clock.answer_written(begin + seconds(511));
        assert_eq!(clock.deadline(), Some((begin + seconds(586), Timeout::Idle)));
        clock.received(1, begin + seconds(520));
        assert_eq!(clock.deadline(), Some((begin + seconds(540), Timeout::Header)));
        assert!(clock.can_refuse(), "the next request has no answer yet");
    }

    #[test]
    fn a_connection_is_idle_only_once_its_answer_is_written() {
        let begin = Instant::now();
        let mut clock = Clock::new(TIMEOUTS, begin);
        clock.received(500, begin);
        clock.request(false, begin);
        clock.answer_begins(false, begin);
        clock.answer_written(begin);
        clock.write_blocked(begin + seconds(1));
        assert_eq!(clock.deadline(), Some((begin + seconds(31), Timeout::Answer)));
        clock.sent(10_000, begin + seconds(20));
        assert_eq!(clock.deadline(), Some((begin + seconds(95), Timeout::Idle)));
    }

    #[test]
    fn an_early_answer_leaves_the_body_its_pace() {
        let begin = Instant::now();
        let mut clock = Clock::new(TIMEOUTS, begin);
        clock.received(500, begin);
        clock.request(true, begin);
        clock.answer_begins(false, begin);
        clock.answer_written(begin);
        clock.read_blocked(begin);
        assert_eq!(clock.deadline(), Some((begin + seconds(30), Timeout::Body)));
        assert!(clock.may_send_more() && !clock.can_refuse());
        clock.request_read(begin + seconds(1));
        assert_eq!(clock.deadline(), Some((begin + seconds(76), Timeout::Idle)));
        assert!(!clock.may_send_more());
    }

    #[test]
    fn an_upgraded_connection_has_no_deadline() {
        let begin = Instant::now();
        let mut clock = Clock::new(TIMEOUTS, begin);
        clock.received(500, begin);
        clock.request(false, begin);
        clock.answer_begins(true, begin);
        clock.answer_written(begin);
        clock.write_blocked(begin);
        clock.received(5, begin + seconds(1));
        assert_eq!(clock.deadline(), None);
        assert!(clock.is_upgraded());
    }
}
