//! Each metric's name, help text and labels, registered once for the process.

use std::sync::{LazyLock, OnceLock};

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::{
    protocol::{Command, ErrorCode},
    server::clock::now_ms,
};

/// Upper bounds of the buckets of durations, in seconds.
const SECONDS_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of the buckets of what one transaction holds.
const BATCH_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0];
/// Why a handshake is refused: the `code` of the response. Any other code is counted as the last one.
pub(super) const REFUSALS: [&str; 9] = [
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
/// Results of commands: `ok`, or the error's code.
pub(super) const RESULTS: [(&str, Option<ErrorCode>); 12] = [
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
/// The type under which commands that could not be parsed are counted.
pub(super) const UNPARSED: &str = "unread";

pub(super) static METERS: LazyLock<Meters> = LazyLock::new(|| {
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS);
    let builder = builder
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Prefix("netra_batch".into()), &BATCH_BUCKETS));
    let recorder = builder.expect("the lists of buckets are not empty").build_recorder();
    let meters = with_local_recorder(&recorder, || Meters::register(recorder.handle()));
    Meters { recorder: Some(recorder), ..meters }
});

/// The handles that the functions of this module count with.
pub(super) struct Meters {
    /// For series that are registered when they are first used.
    recorder: Option<PrometheusRecorder>,
    pub(super) handle: PrometheusHandle,
    pub(super) open: Gauge,
    pub(super) closing: Gauge,
    pub(super) refused: [Counter; REFUSALS.len()],
    /// By type and result; the last type is [`UNPARSED`].
    pub(super) commands: Vec<[OnceLock<Counter>; RESULTS.len()]>,
    pub(super) command_seconds: Vec<Histogram>,
    pub(super) entries: Counter,
    pub(super) append_seconds: Histogram,
    pub(super) batch_appends: Histogram,
    pub(super) batch_entries: Histogram,
    pub(super) deliveries: Counter,
    pub(super) delivery_seconds: Histogram,
    pub(super) slow: Counter,
    pub(super) resumes: [Counter; 3],
    pub(super) runs_ended: [Counter; 4],
    pub(super) pages: [Counter; 3],
    pub(super) page_seconds: Histogram,
    pub(super) store_errors: Counter,
    pub(super) bus_connected: Gauge,
    pub(super) bus_dropped: Counter,
    pub(super) users: Gauge,
    pub(super) channels: Gauge,
    pub(super) queue_bytes: Gauge,
    pub(super) runs: Gauge,
    pub(super) draining: Gauge,
    pub(super) tcp: Gauge,
}

impl Meters {
    fn register(handle: PrometheusHandle) -> Self {
        describe();
        gauge!("netra_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!("process_start_time_seconds").set(now_ms() as f64 / 1e3);
        let types = || Command::TYPES.iter().copied().chain([UNPARSED]);
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

    /// Runs `register` with this recorder, for series that are registered when they are first used.
    pub(super) fn with<T>(&self, register: impl FnOnce() -> T) -> T {
        match &self.recorder {
            Some(recorder) => with_local_recorder(recorder, register),
            None => register(),
        }
    }
}

fn describe() {
    let seconds = |name: &'static str, what: &'static str| describe_histogram!(name, Unit::Seconds, what);
    describe_gauge!("netra_build_info", "Always 1; the label is the version.");
    describe_gauge!("process_start_time_seconds", "Start time of the process, in seconds since 1970.");
    describe_gauge!("netra_connections", "Sockets, by state: open, or closing (the close handshake is under way).");
    describe_gauge!("netra_users", "Users with at least one open socket on this node.");
    describe_gauge!("netra_channels_followed", "Channels that sockets on this node follow.");
    describe_gauge!("netra_queue_bytes", Unit::Bytes, "Bytes queued to be written, over all sockets.");
    describe_counter!("netra_handshakes_refused_total", "WebSocket handshakes refused, by reason.");
    describe_counter!(
        "netra_connections_closed_total",
        "Sockets that ended, by close code; `none`: the connection was lost."
    );
    describe_counter!("netra_slow_consumers_total", "Sockets closed because they read too slowly (4001).");
    describe_counter!("netra_commands_total", "Commands replied to, by type and result.");
    seconds("netra_command_seconds", "Time from the start of a command to its reply, by type.");
    describe_counter!("netra_entries_appended_total", "Log entries committed by this node.");
    seconds(
        "netra_append_seconds",
        "Time from the request of the oldest append, thread update or command of a transaction to its commit.",
    );
    describe_histogram!("netra_batch_appends", "Appends, thread updates and commands per transaction.");
    describe_histogram!("netra_batch_entries", "Entries per transaction, of appends, thread updates and commands.");
    describe_counter!("netra_deliveries_total", "Entries put into the queues of sockets (fan-out).");
    seconds(
        "netra_delivery_seconds",
        "Time from an entry's timestamp to its write to a socket, of a sample of entries.",
    );
    describe_counter!("netra_resumes_total", "Subscriptions with a cursor, by mode: live, replay or snapshot.");
    describe_gauge!("netra_runs", "Runs in progress on this node.");
    describe_counter!("netra_runs_ended_total", "Runs ended by this node, by phase.");
    describe_counter!(
        "netra_pages_total",
        "Page requests, by result; `failed`: rendering panicked, `refused`: too many at once."
    );
    seconds("netra_page_seconds", "Time to render a page, including the wait for a free slot.");
    describe_counter!("netra_store_errors_total", "Operations that failed because the store failed.");
    describe_gauge!("netra_bus_connected", "1 while the bus reaches the other nodes, or there are none; else 0.");
    describe_counter!(
        "netra_bus_dropped_total",
        "Messages not published to the bus; the other nodes find the entries in the store."
    );
    describe_gauge!("netra_tcp_connections", "TCP connections being served, those of sockets included.");
    describe_counter!(
        "netra_tcp_refused_total",
        "TCP connections refused at a limit: of `all` connections, or of one `address`."
    );
    describe_counter!(
        "netra_tcp_timeouts_total",
        "TCP connections closed because the peer was too slow, by time limit."
    );
    describe_gauge!("netra_draining", "1 once the server is stopping; else 0.");
}
