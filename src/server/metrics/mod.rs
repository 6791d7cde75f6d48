//! Metrics, and the functions by which the rest of the server counts.
//!
//! One set for the process, created at first use. Labels come from small, fixed sets and never identify a user, a thread or a
//! connection. Counting is an atomic addition or two, without locks or formatting. [`run_upkeep`] folds what histograms
//! collect, so that memory does not grow while nothing scrapes.

mod meters;

use std::time::Duration;

use metrics::counter;
use tokio_util::sync::CancellationToken;

use self::meters::{METERS, REFUSALS, RESULTS, UNPARSED};
use super::{clock::now_ms, outage};
use crate::protocol::{CloseCode, Command, ErrorCode, Mode, RunPhase};

/// How often [`run_upkeep`] folds what the histograms collected.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Counts a socket in `netra_connections` until it is dropped.
#[derive(Debug)]
pub struct Connection {
    is_closing: bool,
}

impl Connection {
    /// Counts a socket that was opened.
    #[must_use]
    pub fn open() -> Self {
        METERS.open.increment(1);
        Self { is_closing: false }
    }

    /// Counts the socket as closing; no code: the connection was lost.
    pub fn closing(&mut self, code: Option<CloseCode>) {
        METERS.open.decrement(1);
        METERS.closing.increment(1);
        self.is_closing = true;
        if code == Some(CloseCode::TooSlow) {
            METERS.slow.increment(1);
        }
        let code = match code {
            None => "none".to_owned(),
            Some(CloseCode::Other(_)) => "other".to_owned(),
            Some(code) => code.code().to_string(),
        };
        METERS.with(|| counter!("netra_connections_closed_total", "code" => code)).increment(1);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_closing { METERS.closing.decrement(1) } else { METERS.open.decrement(1) }
    }
}

/// Counts a handshake that was refused with this `code`.
pub fn handshake_refused(code: &str) {
    let known = REFUSALS.iter().position(|reason| *reason == code).unwrap_or(REFUSALS.len() - 1);
    METERS.refused[known].increment(1);
}

/// Counts a command that was replied to: its type (none: it could not be parsed), its error if it failed, and how long it took.
pub fn command(kind: Option<&str>, refused: Option<ErrorCode>, took: Duration) {
    let unparsed = Command::TYPES.len();
    let kind = kind.and_then(|kind| Command::TYPES.iter().position(|known| *known == kind)).unwrap_or(unparsed);
    let result = RESULTS.iter().position(|(_, code)| *code == refused).unwrap_or(RESULTS.len() - 1);
    let name = Command::TYPES.get(kind).copied().unwrap_or(UNPARSED);
    let register = || METERS.with(|| counter!("netra_commands_total", "type" => name, "result" => RESULTS[result].0));
    METERS.commands[kind][result].get_or_init(register).increment(1);
    METERS.command_seconds[kind].record(took);
}

/// Counts a committed transaction: how many appends, thread updates and commands it holds (`jobs`), their entries, and how long the
/// first of them waited until the commit was done.
pub fn committed(jobs: usize, entries: usize, waited: Duration) {
    METERS.entries.increment(entries as u64);
    METERS.batch_appends.record(jobs as f64);
    METERS.batch_entries.record(entries as f64);
    METERS.append_seconds.record(waited);
}

/// Counts an entry that was put into the queues of this many sockets.
pub fn fan_out(sockets: usize) {
    METERS.deliveries.increment(sockets as u64);
}

/// Whether the delivery of the entry with this `seq` is measured: a sample is enough.
#[must_use]
pub fn is_sampled(seq: u64) -> bool {
    seq % 8 == 1
}

/// Records that an entry with this timestamp (milliseconds since 1970) was written to a socket.
pub fn delivered(at: i64) {
    METERS.delivery_seconds.record(now_ms().saturating_sub(at).max(0) as f64 / 1e3);
}

/// Counts a granted subscription with a cursor.
pub fn resumed(mode: Mode) {
    METERS.resumes[mode as usize].increment(1);
}

/// Counts a run that ended.
pub fn run_ended(phase: RunPhase) {
    match phase {
        RunPhase::Running | RunPhase::Answered | RunPhase::TakenBack => {}
        RunPhase::Finished => METERS.runs_ended[0].increment(1),
        RunPhase::Cancelled => METERS.runs_ended[1].increment(1),
        RunPhase::Failed => METERS.runs_ended[2].increment(1),
        RunPhase::Interrupted => METERS.runs_ended[3].increment(1),
    }
}

/// The result of a page request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// It was rendered, in this time.
    Rendered(Duration),
    /// Rendering it panicked.
    Failed,
    /// Too many pages were being rendered.
    Refused,
}

/// Counts a page request.
pub fn page(result: Page) {
    match result {
        Page::Rendered(took) => {
            METERS.pages[0].increment(1);
            METERS.page_seconds.record(took);
        }
        Page::Failed => METERS.pages[1].increment(1),
        Page::Refused => METERS.pages[2].increment(1),
    }
}

/// Sets whether the bus reaches the other nodes.
pub fn bus_connected(connected: bool) {
    METERS.bus_connected.set(f64::from(u8::from(connected)));
}

/// Counts messages that were not published to the bus.
pub fn bus_dropped(publications: u64) {
    METERS.bus_dropped.increment(publications);
}

/// Counts a TCP connection that is served from now on.
pub fn tcp_opened() {
    METERS.tcp.increment(1);
}

/// Counts off a TCP connection that was served.
pub fn tcp_closed() {
    METERS.tcp.decrement(1);
}

/// Counts a TCP connection refused at a limit: `all` or `address`.
pub fn tcp_refused(bound: &'static str) {
    METERS.with(|| counter!("netra_tcp_refused_total", "bound" => bound)).increment(1);
}

/// Counts a TCP connection that was closed because the peer exceeded this time limit.
pub fn tcp_timed_out(limit: &'static str) {
    METERS.with(|| counter!("netra_tcp_timeouts_total", "limit" => limit)).increment(1);
}

/// Values that are read at the time of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct CurrentValues {
    /// Users with an open socket.
    pub users: usize,
    /// Channels that sockets follow.
    pub channels: usize,
    /// Bytes queued to be written to sockets.
    pub queue_bytes: usize,
    /// Runs in progress.
    pub runs: usize,
    /// Whether the server is stopping.
    pub draining: bool,
}

/// Renders all metrics in Prometheus' text format 0.0.4.
#[must_use]
pub fn render(values: CurrentValues) -> String {
    let meters = &*METERS;
    meters.users.set(values.users as f64);
    meters.channels.set(values.channels as f64);
    meters.queue_bytes.set(values.queue_bytes as f64);
    meters.runs.set(values.runs as f64);
    meters.draining.set(f64::from(u8::from(values.draining)));
    meters.store_errors.absolute(outage::store_errors());
    meters.handle.run_upkeep();
    meters.handle.render()
}

/// Folds what the histograms collected, at intervals, until `stopping`.
pub async fn run_upkeep(stopping: CancellationToken) {
    let mut turns = tokio::time::interval(UPKEEP_INTERVAL);
    while stopping.run_until_cancelled(turns.tick()).await.is_some() {
        METERS.handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of the line that begins with `line`.
    fn value(text: &str, line: &str) -> f64 {
        let found = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no `{line}` in:\n{text}")).parse().expect("a number")
    }

    #[test]
    fn each_metric_is_described_and_has_few_series() {
        for kind in Command::TYPES {
            command(Some(kind), None, Duration::from_millis(3));
        }
        command(None, Some(ErrorCode::UnknownType), Duration::ZERO);
        for code in 1000..5000 {
            Connection::open().closing(Some(CloseCode::from(code)));
        }
        handshake_refused("something that a later release says");
        let text = render(CurrentValues::default());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().expect("a name");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(text.contains(&format!("# HELP {family} ")), "{family} is described");
            assert!(text.contains(&format!("# TYPE {family} ")), "{family} has a type");
        }
        assert!(text.lines().count() < 850, "{} lines", text.lines().count());
        assert!(value(&text, r#"netra_connections_closed_total{code="other"}"#) > 3_000.0);
        assert!(value(&text, r#"netra_handshakes_refused_total{reason="other"}"#) >= 1.0);
        assert!(value(&text, r#"netra_commands_total{type="unread",result="unknown_type"}"#) >= 1.0);
        assert!(value(&text, r#"netra_command_seconds_bucket{type="ping",le="0.005"}"#) >= 1.0);
    }

    #[test]
    fn values_read_at_a_scrape_are_those_of_that_moment() {
        committed(3, 40, Duration::from_millis(4));
        let values = CurrentValues { users: 2, channels: 3, queue_bytes: 4096, runs: 5, draining: true };
        let text = render(values);
        assert_eq!(value(&text, "netra_queue_bytes"), 4096.0);
        assert_eq!(value(&text, r#"netra_runs{state="running"}"#), 5.0);
        assert_eq!(value(&text, "netra_draining"), 1.0);
        assert!(value(&text, "netra_entries_appended_total") >= 40.0);
        assert!(value(&text, r#"netra_batch_entries_bucket{le="64"}"#) >= 1.0);
    }
}
