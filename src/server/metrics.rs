//! Metrics: the one place that names, describes and registers each of them, and the small functions by which the rest of
//! the server counts.
//!
//! There is one set for the process, whatever it runs; it begins with the first use. Promises: labels are of fixed, small
//! sets and never name a person, a thread or a connection; counting is an atomic addition or two, without a lock or a
//! format; what histograms gather between two looks is folded by [`run`], so nothing grows while nobody looks.

use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio_util::sync::CancellationToken;

use super::{clock::now_ms, outage};
use crate::protocol::{CloseCode, Command, ErrorCode, Mode, RunPhase};

/// How often [`run`] folds what the histograms gathered.
const UPKEEP: Duration = Duration::from_secs(5);
/// The upper bounds of everything that is measured in seconds.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// The upper bounds of what one transaction holds.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0];
/// Why a handshake is refused, by the `code` of the answer. Anything else is counted as the last.
const REFUSALS: [&str; 9] = [
    "draining",
    "too_many_connections",
    "rate_limited",
    "not_websocket",
    "no_common_protocol",
    "unauthorized",
    "forbidden",
    "unavailable",
    "other",
];
/// Results of commands: done, or the error's code.
const RESULTS: [(&str, Option<ErrorCode>); 12] = [
    ("ok", None),
    ("bad_frame", Some(ErrorCode::BadFrame)),
    ("unknown_type", Some(ErrorCode::UnknownType)),
    ("invalid_payload", Some(ErrorCode::InvalidPayload)),
    ("not_found", Some(ErrorCode::NotFound)),
    ("forbidden", Some(ErrorCode::Forbidden)),
    ("conflict", Some(ErrorCode::Conflict)),
    ("too_large", Some(ErrorCode::TooLarge)),
    ("quota_exceeded", Some(ErrorCode::QuotaExceeded)),
    ("rate_limited", Some(ErrorCode::RateLimited)),
    ("unavailable", Some(ErrorCode::Unavailable)),
    ("internal", Some(ErrorCode::Internal)),
];
/// The type of a command that could not be read.
const UNREAD: &str = "unread";

static METERS: LazyLock<Meters> = LazyLock::new(|| {
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS);
    let builder =
        builder.and_then(|builder| builder.set_buckets_for_metric(Matcher::Prefix("netra_batch".into()), &SIZES));
    let recorder = builder.expect("the bounds are given").build_recorder();
    let meters = with_local_recorder(&recorder, || Meters::register(recorder.handle()));
    Meters { recorder: Some(recorder), ..meters }
});

struct Meters {
    /// For what is registered when it first happens.
    recorder: Option<PrometheusRecorder>,
    handle: PrometheusHandle,
    open: Gauge,
    closing: Gauge,
    refused: [Counter; REFUSALS.len()],
    /// By type and result; the last type is [`UNREAD`].
    commands: Vec<[OnceLock<Counter>; RESULTS.len()]>,
    command_seconds: Vec<Histogram>,
    entries: Counter,
    append_seconds: Histogram,
    batch_appends: Histogram,
    batch_entries: Histogram,
    deliveries: Counter,
    delivery_seconds: Histogram,
    slow: Counter,
    resumes: [Counter; 3],
    runs_ended: [Counter; 4],
    pages: [Counter; 3],
    page_seconds: Histogram,
    store_errors: Counter,
    bus_connected: Gauge,
    bus_dropped: Counter,
    users: Gauge,
    channels: Gauge,
    queue_bytes: Gauge,
    runs: Gauge,
    draining: Gauge,
    tcp: Gauge,
}

impl Meters {
    fn register(handle: PrometheusHandle) -> Self {
        describe();
        gauge!("netra_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("process_start_time_seconds").set(now_ms() as f64 / 1e3);
        let types = || Command::TYPES.iter().copied().chain([UNREAD]);
        Self {
            recorder: None,
            handle,
            open: gauge!("netra_connections", "state" => "open"),
            closing: gauge!("netra_connections", "state" => "closing"),
            refused: REFUSALS.map(|reason| counter!("netra_handshakes_refused_total", "reason" => reason)),
            commands: types().map(|_| Default::default()).collect(),
            command_seconds: types().map(|kind| histogram!("netra_command_seconds", "type" => kind)).collect(),
            entries: counter!("netra_entries_appended_total"),
            append_seconds: histogram!("netra_append_seconds"),
            batch_appends: histogram!("netra_batch_appends"),
            batch_entries: histogram!("netra_batch_entries"),
            deliveries: counter!("netra_deliveries_total"),
            delivery_seconds: histogram!("netra_delivery_seconds"),
            slow: counter!("netra_slow_consumers_total"),
            resumes: ["live", "replay", "snapshot"].map(|mode| counter!("netra_resumes_total", "mode" => mode)),
            runs_ended: ["finished", "cancelled", "failed", "interrupted"]
                .map(|phase| counter!("netra_runs_ended_total", "phase" => phase)),
            pages: ["rendered", "failed", "refused"].map(|result| counter!("netra_pages_total", "result" => result)),
            page_seconds: histogram!("netra_page_seconds"),
            store_errors: counter!("netra_store_errors_total"),
            bus_connected: gauge!("netra_bus_connected"),
            bus_dropped: counter!("netra_bus_dropped_total"),
            users: gauge!("netra_users"),
            channels: gauge!("netra_channels_followed"),
            queue_bytes: gauge!("netra_queue_bytes"),
            runs: gauge!("netra_runs", "state" => "running"),
            draining: gauge!("netra_draining"),
            tcp: gauge!("netra_tcp_connections"),
        }
    }

    /// Registers something that did not happen before.
    fn with<T>(&self, register: impl FnOnce() -> T) -> T {
        match &self.recorder {
            Some(recorder) => with_local_recorder(recorder, register),
            None => register(),
        }
    }
}

fn describe() {
    let seconds = |name: &'static str, what: &'static str| describe_histogram!(name, Unit::Seconds, what);
    describe_gauge!("netra_build_info", "Always 1; the label is the version.");
    describe_gauge!("process_start_time_seconds", "When the process began, in seconds since 1970.");
    describe_gauge!("netra_connections", "Sockets, by state: open, or closing (the close is being said).");
    describe_gauge!("netra_users", "People who have a socket open here.");
    describe_gauge!("netra_channels_followed", "Channels that a socket here follows.");
    describe_gauge!("netra_queue_bytes", Unit::Bytes, "Bytes that wait to be written, over all sockets.");
    describe_counter!("netra_handshakes_refused_total", "Sockets refused before the upgrade, by reason.");
    describe_counter!("netra_connections_closed_total", "Sockets that ended, by the code sent; `none`: it was lost.");
    describe_counter!("netra_slow_consumers_total", "Sockets closed because they read too slowly (4001).");
    describe_counter!("netra_commands_total", "Commands answered, by type and result.");
    seconds("netra_command_seconds", "From when a command begins to its answer, by type.");
    describe_counter!("netra_entries_appended_total", "Entries made durable here.");
    seconds("netra_append_seconds", "From when the oldest append of a transaction was asked for until it is durable.");
    describe_histogram!("netra_batch_appends", "Appends that went into one transaction.");
    describe_histogram!("netra_batch_entries", "Entries that went into one transaction.");
    describe_counter!("netra_deliveries_total", "Entries put into the queues of sockets: the fan-out.");
    seconds("netra_delivery_seconds", "From an entry's time in the log until it is written to a socket; a sample.");
    describe_counter!("netra_resumes_total", "Subscriptions that came with a cursor, by how they go on.");
    describe_gauge!("netra_runs", "Runs that go on here.");
    describe_counter!("netra_runs_ended_total", "Runs whose end was written here, by phase.");
    describe_counter!(
        "netra_pages_total",
        "Pages asked for, by result; `failed`: rendering one panicked, `refused`: busy."
    );
    seconds("netra_page_seconds", "Rendering one page, with the wait for its turn.");
    describe_counter!("netra_store_errors_total", "Operations that failed because the store did.");
    describe_gauge!("netra_bus_connected", "1 while other nodes can be told, or there are none to tell; else 0.");
    describe_counter!("netra_bus_dropped_total", "Publications the bus did not take; readers find them in the store.");
    describe_gauge!("netra_tcp_connections", "TCP connections that are served, with those of sockets.");
    describe_counter!("netra_tcp_refused_total", "Connections beyond a bound: of `all`, or of one `address`.");
    describe_counter!(
        "netra_tcp_timeouts_total",
        "Connections closed because the other end was too slow, by what for."
    );
    describe_gauge!("netra_draining", "1 from when the server was told to stop.");
}

/// A socket among those that are counted: open until told otherwise, gone when dropped.
#[derive(Debug)]
pub struct Connection {
    closing: bool,
}

impl Connection {
    /// A socket was opened.
    #[must_use]
    pub fn open() -> Self {
        METERS.open.increment(1);
        Self { closing: false }
    }

    /// It ends: by this close, or because it was lost.
    pub fn closes(&mut self, code: Option<CloseCode>) {
        METERS.open.decrement(1);
        METERS.closing.increment(1);
        self.closing = true;
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
        if self.closing { METERS.closing.decrement(1) } else { METERS.open.decrement(1) }
    }
}

/// A handshake was refused, with this `code`.
pub fn handshake_refused(code: &str) {
    let known = REFUSALS.iter().position(|reason| *reason == code).unwrap_or(REFUSALS.len() - 1);
    METERS.refused[known].increment(1);
}

/// A command was answered: its type (none: it could not be read), the error, if so, and how long that took.
pub fn command(kind: Option<&str>, refused: Option<ErrorCode>, took: Duration) {
    let unread = Command::TYPES.len();
    let kind = kind.and_then(|kind| Command::TYPES.iter().position(|known| *known == kind)).unwrap_or(unread);
    let result = RESULTS.iter().position(|(_, code)| *code == refused).unwrap_or(RESULTS.len() - 1);
    let name = Command::TYPES.get(kind).copied().unwrap_or(UNREAD);
    let register = || METERS.with(|| counter!("netra_commands_total", "type" => name, "result" => RESULTS[result].0));
    METERS.commands[kind][result].get_or_init(register).increment(1);
    METERS.command_seconds[kind].record(took);
}

/// A transaction was committed: so many appends with so many entries, the oldest of which waited so long for it.
pub fn committed(appends: usize, entries: usize, waited: Duration) {
    METERS.entries.increment(entries as u64);
    METERS.batch_appends.record(appends as f64);
    METERS.batch_entries.record(entries as f64);
    METERS.append_seconds.record(waited);
}

/// An entry was put into the queues of so many sockets.
pub fn fan_out(sockets: usize) {
    METERS.deliveries.increment(sockets as u64);
}

/// Whether the delivery of the entry at this place is measured: a sample says as much as all of them would.
#[must_use]
pub fn is_sampled(seq: u64) -> bool {
    seq % 8 == 1
}

/// An entry of this time (milliseconds since 1970) was written to a socket.
pub fn delivered(at: i64) {
    METERS.delivery_seconds.record(now_ms().saturating_sub(at).max(0) as f64 / 1e3);
}

/// A subscription with a cursor was granted.
pub fn resumed(mode: Mode) {
    METERS.resumes[mode as usize].increment(1);
}

/// A run's end was written.
pub fn run_ended(phase: RunPhase) {
    match phase {
        RunPhase::Running | RunPhase::Answered | RunPhase::TakenBack => {}
        RunPhase::Finished => METERS.runs_ended[0].increment(1),
        RunPhase::Cancelled => METERS.runs_ended[1].increment(1),
        RunPhase::Failed => METERS.runs_ended[2].increment(1),
        RunPhase::Interrupted => METERS.runs_ended[3].increment(1),
    }
}

/// What became of a page that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// It was rendered, which took so long.
    Rendered(Duration),
    /// Rendering it panicked.
    Failed,
    /// Too many were asked for at once.
    Refused,
}

/// A page was asked for.
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

/// Whether the bus reaches the other nodes, now.
pub fn bus_connected(connected: bool) {
    METERS.bus_connected.set(f64::from(u8::from(connected)));
}

/// The bus did not take so many publications.
pub fn bus_dropped(publications: u64) {
    METERS.bus_dropped.increment(publications);
}

/// A TCP connection is served.
pub fn tcp_opened() {
    METERS.tcp.increment(1);
}

/// A TCP connection that was served is closed.
pub fn tcp_closed() {
    METERS.tcp.decrement(1);
}

/// A TCP connection was beyond a bound: `all` or `address`.
pub fn tcp_refused(bound: &'static str) {
    METERS.with(|| counter!("netra_tcp_refused_total", "bound" => bound)).increment(1);
}

/// A TCP connection was closed because the other end was too slow; the label says what for.
pub fn tcp_timed_out(limit: &'static str) {
    METERS.with(|| counter!("netra_tcp_timeouts_total", "limit" => limit)).increment(1);
}

/// What is counted only when somebody looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// People who have a socket open.
    pub users: usize,
    /// Channels that are followed.
    pub channels: usize,
    /// Bytes that wait to be written to sockets.
    pub queue_bytes: usize,
    /// Runs that go on.
    pub runs: usize,
    /// Whether the server is about to stop.
    pub draining: bool,
}

/// Everything, as Prometheus' text format 0.0.4.
#[must_use]
pub fn render(look: Look) -> String {
    let meters = &*METERS;
    meters.users.set(look.users as f64);
    meters.channels.set(look.channels as f64);
    meters.queue_bytes.set(look.queue_bytes as f64);
    meters.runs.set(look.runs as f64);
    meters.draining.set(f64::from(u8::from(look.draining)));
    meters.store_errors.absolute(outage::store_errors());
    meters.handle.run_upkeep();
    meters.handle.render()
}

/// Folds what the histograms gathered, again and again until told to stop.
pub async fn run(stopping: CancellationToken) {
    let mut turns = tokio::time::interval(UPKEEP);
    while stopping.run_until_cancelled(turns.tick()).await.is_some() {
        METERS.handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of a line.
    fn value(text: &str, line: &str) -> f64 {
        let found = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no `{line}` in:\n{text}")).parse().expect("a number")
    }

    #[test]
    fn everything_is_described_and_of_few_series() {
        for kind in Command::TYPES {
            command(Some(kind), None, Duration::from_millis(3));
        }
        command(None, Some(ErrorCode::UnknownType), Duration::ZERO);
        for code in 1000..5000 {
            Connection::open().closes(Some(CloseCode::from(code)));
        }
        handshake_refused("something that a later release says");
        let text = render(Look::default());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().expect("a name");
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(text.contains(&format!("# HELP {family} ")), "{family} is described");
            assert!(text.contains(&format!("# TYPE {family} ")), "{family} has a type");
        }
        assert!(text.lines().count() < 500, "{} lines", text.lines().count());
        assert!(value(&text, r#"netra_connections_closed_total{code="other"}"#) > 3_000.0);
        assert!(value(&text, r#"netra_handshakes_refused_total{reason="other"}"#) >= 1.0);
        assert!(value(&text, r#"netra_commands_total{type="unread",result="unknown_type"}"#) >= 1.0);
        assert!(value(&text, r#"netra_command_seconds_bucket{type="ping",le="0.005"}"#) >= 1.0);
    }

    #[test]
    fn what_is_looked_up_at_the_time_is_as_it_is_then() {
        committed(3, 40, Duration::from_millis(4));
        let look = Look { users: 2, channels: 3, queue_bytes: 4096, runs: 5, draining: true };
        let text = render(look);
        assert_eq!(value(&text, "netra_queue_bytes"), 4096.0);
        assert_eq!(value(&text, r#"netra_runs{state="running"}"#), 5.0);
        assert_eq!(value(&text, "netra_draining"), 1.0);
        assert!(value(&text, "netra_entries_appended_total") >= 40.0);
        assert!(value(&text, r#"netra_batch_entries_bucket{le="64"}"#) >= 1.0);
    }
}
