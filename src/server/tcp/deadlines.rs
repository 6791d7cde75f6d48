//! The timeouts of one connection: a state machine without a clock or I/O.
//!
//! Only the time that the connection waits for the peer counts, not the time that the server works.

use std::time::{Duration, Instant};

use crate::server::config::ConnectionsConfig;

/// The timeouts of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From the connect to the first byte.
    pub(super) first_byte: Duration,
    /// From a request's first byte to the end of its header.
    pub(super) header: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// How long a body, or a connection's answers together, may wait for the peer; each byte gives some of it back.
    pub(super) stall: Duration,
    /// How many bytes give back one second.
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

/// Which timeout has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timeout {
    /// No byte was received.
    FirstByte,
    /// A header was not complete.
    Header,
    /// A body was received too slowly.
    Body,
    /// No further request was received.
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
pub(super) struct Deadlines {
    timeouts: Timeouts,
    phase: Phase,
    /// When the phase began.
    since: Instant,
    reading: WaitBudget,
    writing: WaitBudget,
    request_read: bool,
    answer_begun: bool,
    answer_taken: bool,
}

impl Deadlines {
    pub(super) fn new(timeouts: Timeouts, now: Instant) -> Self {
        Self {
            timeouts,
            phase: Phase::FirstByte,
            since: now,
            reading: WaitBudget::new(timeouts),
            writing: WaitBudget::new(timeouts),
            request_read: true,
            answer_begun: false,
            answer_taken: true,
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        (self.phase, self.since) = (phase, now);
    }

    /// Bytes were read.
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

    /// A read found no bytes.
    pub(super) fn read_blocked(&mut self, now: Instant) {
        if self.phase == Phase::Body {
            self.reading.blocked(now);
        }
    }

    /// Bytes were written.
    pub(super) fn sent(&mut self, bytes: usize, now: Instant) {
        self.writing.moved(bytes, now);
        // The end of the last answer may be written only now.
        if self.phase == Phase::Idle {
            self.since = now;
        }
    }

    /// A write found no room in the kernel's buffer.
    pub(super) fn write_blocked(&mut self, now: Instant) {
        self.writing.blocked(now);
    }

    /// A request's header is complete.
    pub(super) fn request(&mut self, has_body: bool, now: Instant) {
        (self.request_read, self.answer_begun, self.answer_taken) = (!has_body, false, false);
        self.reading = WaitBudget::new(self.timeouts);
        self.enter(if has_body { Phase::Body } else { Phase::Answer }, now);
    }

    /// The request's body was read, or is not read any more.
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

    /// Hyper has taken the whole answer; the end of it may still have to be written to the socket.
    pub(super) fn answer_taken(&mut self, now: Instant) {
        self.answer_taken = true;
        self.end_exchange(now);
    }

    fn end_exchange(&mut self, now: Instant) {
        if self.request_read && self.answer_taken && self.phase == Phase::Answer {
            self.enter(Phase::Idle, now);
        }
    }

    /// Whether no request's header is complete. What is written now is an answer of hyper itself.
    pub(super) fn is_before_request(&self) -> bool {
        matches!(self.phase, Phase::FirstByte | Phase::Header)
    }

    /// Whether the peer may still send bytes that are not read.
    pub(super) fn may_send_more(&self) -> bool {
        self.phase == Phase::Header || !self.request_read
    }

    /// Whether the connection was upgraded to another protocol.
    pub(super) fn is_upgraded(&self) -> bool {
        self.phase == Phase::Upgraded
    }

    /// Whether a refusal can still be written as the answer.
    pub(super) fn can_refuse(&self) -> bool {
        matches!(self.phase, Phase::Header | Phase::Body) && !self.answer_begun
    }

    /// The next deadline, and which timeout it is of.
    pub(super) fn deadline(&self) -> Option<(Instant, Timeout)> {
        let at = |limit: Duration, what: Timeout| Some((self.since + limit, what));
        let phase = match self.phase {
            Phase::FirstByte => at(self.timeouts.first_byte, Timeout::FirstByte),
            Phase::Header => at(self.timeouts.header, Timeout::Header),
            Phase::Body => self.reading.deadline().map(|at| (at, Timeout::Body)),
            Phase::Idle if self.writing.blocked_since.is_none() => at(self.timeouts.idle, Timeout::Idle),
            Phase::Idle | Phase::Answer => None,
            Phase::Upgraded => return None,
        };
        let writing = self.writing.deadline().map(|at| (at, Timeout::Answer));
        phase.into_iter().chain(writing).min_by_key(|(at, _)| *at)
    }
}

/// A minimum rate with a burst: a budget of waiting time that waiting uses up and bytes give back.
#[derive(Debug)]
struct WaitBudget {
    full: Duration,
    left: Duration,
    bytes_per_second: u64,
    blocked_since: Option<Instant>,
}

impl WaitBudget {
    fn new(timeouts: Timeouts) -> Self {
        let (full, bytes_per_second) = (timeouts.stall, timeouts.bytes_per_second.max(1));
        Self { full, left: full, bytes_per_second, blocked_since: None }
    }

    fn blocked(&mut self, now: Instant) {
        self.blocked_since.get_or_insert(now);
    }

    fn moved(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.blocked_since.take() {
            self.left = self.left.saturating_sub(now.saturating_duration_since(since));
        }
        let earned = Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / self.bytes_per_second);
        self.left = self.left.saturating_add(earned).min(self.full);
    }

    fn deadline(&self) -> Option<Instant> {
        self.blocked_since.map(|since| since + self.left)
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
    fn the_timeout_of_a_header_runs_from_its_first_byte() {
        let begin = Instant::now();
        let mut deadlines = Deadlines::new(TIMEOUTS, begin);
        assert_eq!(deadlines.deadline(), Some((begin + seconds(10), Timeout::FirstByte)));
        assert!(!deadlines.can_refuse(), "there was no request");
        for second in [9, 14, 19, 24] {
            deadlines.received(20, begin + seconds(second));
        }
        assert_eq!(deadlines.deadline(), Some((begin + seconds(29), Timeout::Header)));
        assert!(deadlines.can_refuse() && deadlines.may_send_more());
    }

    #[test]
    fn a_body_below_the_minimum_rate_times_out() {
        let begin = Instant::now();
        let mut deadlines = Deadlines::new(TIMEOUTS, begin);
        deadlines.received(500, begin);
        deadlines.request(true, begin);
        assert_eq!(deadlines.deadline(), None, "no read waits yet");
        // A byte every five seconds: the budget of 30 seconds is used up after six of them.
        let mut now = begin;
        for _ in 0..6 {
            deadlines.read_blocked(now);
            assert!(deadlines.deadline().is_some_and(|(at, what)| at > now && what == Timeout::Body));
            now += seconds(5);
            deadlines.received(1, now);
        }
        deadlines.read_blocked(now);
        assert!(deadlines.deadline().is_some_and(|(at, _)| at < now + seconds(1)));
        // Bytes above the rate give back no more than the whole budget.
        deadlines.received(1_000_000, now);
        deadlines.read_blocked(now);
        assert_eq!(deadlines.deadline(), Some((now + seconds(30), Timeout::Body)));
    }

    #[test]
    fn time_does_not_run_while_the_server_works() {
        let begin = Instant::now();
        let mut deadlines = Deadlines::new(TIMEOUTS, begin);
        deadlines.received(500, begin);
        deadlines.request(false, begin);
        deadlines.read_blocked(begin);
        assert_eq!(deadlines.deadline(), None);
        deadlines.answer_begins(false, begin + seconds(500));
        deadlines.write_blocked(begin + seconds(500));
        assert_eq!(deadlines.deadline(), Some((begin + seconds(530), Timeout::Answer)));
        deadlines.sent(100_000, begin + seconds(510));
        assert_eq!(deadlines.deadline(), None);
        deadlines.answer_taken(begin + seconds(511));
        assert_eq!(deadlines.deadline(), Some((begin + seconds(586), Timeout::Idle)));
        deadlines.received(1, begin + seconds(520));
        assert_eq!(deadlines.deadline(), Some((begin + seconds(540), Timeout::Header)));
        assert!(deadlines.can_refuse(), "the next request has no answer yet");
    }

    #[test]
    fn a_connection_is_idle_only_once_its_answer_is_written() {
        let begin = Instant::now();
        let mut deadlines = Deadlines::new(TIMEOUTS, begin);
        deadlines.received(500, begin);
        deadlines.request(false, begin);
        deadlines.answer_begins(false, begin);
        deadlines.answer_taken(begin);
        deadlines.write_blocked(begin + seconds(1));
        assert_eq!(deadlines.deadline(), Some((begin + seconds(31), Timeout::Answer)));
        deadlines.sent(10_000, begin + seconds(20));
        assert_eq!(deadlines.deadline(), Some((begin + seconds(95), Timeout::Idle)));
    }

    #[test]
    fn after_an_early_answer_the_body_keeps_its_minimum_rate() {
        let begin = Instant::now();
        let mut deadlines = Deadlines::new(TIMEOUTS, begin);
        deadlines.received(500, begin);
        deadlines.request(true, begin);
        deadlines.answer_begins(false, begin);
        deadlines.answer_taken(begin);
        deadlines.read_blocked(begin);
        assert_eq!(deadlines.deadline(), Some((begin + seconds(30), Timeout::Body)));
        assert!(deadlines.may_send_more() && !deadlines.can_refuse());
        deadlines.request_read(begin + seconds(1));
        assert_eq!(deadlines.deadline(), Some((begin + seconds(76), Timeout::Idle)));
        assert!(!deadlines.may_send_more());
    }

    #[test]
    fn an_upgraded_connection_has_no_deadline() {
        let begin = Instant::now();
        let mut deadlines = Deadlines::new(TIMEOUTS, begin);
        deadlines.received(500, begin);
        deadlines.request(false, begin);
        deadlines.answer_begins(true, begin);
        deadlines.answer_taken(begin);
        deadlines.write_blocked(begin);
        deadlines.received(5, begin + seconds(1));
        assert_eq!(deadlines.deadline(), None);
        assert!(deadlines.is_upgraded());
    }
}
