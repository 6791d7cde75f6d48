//! The scenarios: one function each, which returns its figures.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Bench, percentiles,
    socket::{EntryReader, Socket, failed},
};
use crate::{
    cli::Failure,
    protocol::{
        ChannelName, CreateThread, Cursor, MessageAccepted, MessageId, Mode, Ping, RenameThread, SendMessage, StopRun,
        Subscribe, Subscribed, ThreadId,
    },
    server::clock::now_ms,
};

/// Sockets opened at once, where opening them is not measured.
const OPEN_CONCURRENCY: usize = 64;
/// How long to wait before a measurement begins.
const WARM_UP: Duration = Duration::from_secs(1);
/// How often a writer checks whether its entry has reached all sockets.
const POLL_INTERVAL: Duration = Duration::from_micros(200);
/// Measurements of each kind of resume.
const RESUMES: usize = 21;

impl Bench {
    /// Opens all sockets and subscribes each to `channel`, from its current end.
    async fn open(&self, channel: ChannelName) -> Result<Vec<(Socket, Subscribed)>, Failure> {
        let open = async |index| {
            let mut socket = self.target.open(index).await?;
            let subscribed = socket.request(Subscribe { channel, after: None, newest: None }).await?;
            Ok((socket, subscribed))
        };
        stream::iter((0..self.clients).map(open)).buffer_unordered(OPEN_CONCURRENCY).try_collect().await
    }

    /// Opens a socket and creates a thread for the agent.
    async fn create_thread(&self, agent: Option<&str>) -> Result<(Socket, ThreadId), Failure> {
        let mut socket = self.target.open(0).await?;
        let (thread_id, agent) = (ThreadId::new(), agent.map(str::to_owned));
        socket.request(CreateThread { thread_id, title: Some("Bench".into()), agent }).await?;
        Ok((socket, thread_id))
    }

    fn resident_bytes(&self) -> Result<Option<u64>, Failure> {
        self.process.map(|process| process.resident_bytes()).transpose()
    }

    pub(super) fn cpu_time(&self) -> Result<Option<Duration>, Failure> {
        self.process.map(|process| process.cpu_time()).transpose()
    }
}

async fn send_message(socket: &mut Socket, thread_id: ThreadId) -> Result<MessageAccepted, Failure> {
    socket.request(SendMessage::new(thread_id, "Go on.")).await
}

/// Memory per socket that only follows its user's feed.
pub(super) async fn idle(bench: &Bench) -> Result<Value, Failure> {
    // The first connections allocate what all share: buffers, pools, pages of the store.
    let warm = stream::iter(0..OPEN_CONCURRENCY).then(|index| bench.target.open(index)).try_collect::<Vec<_>>().await?;
    drop(warm);
    sleep(WARM_UP).await;
    let before = bench.resident_bytes()?;
    let began = Instant::now();
    let sockets = bench.open(ChannelName::User).await?;
    let opened = began.elapsed();
    // Sockets answer the server's pings only while they are read.
    let mut reading: JoinSet<Result<(), Failure>> = JoinSet::new();
    for (mut socket, _) in sockets {
        reading.spawn(async move {
            loop {
                socket.next_text().await?;
            }
        });
    }
    let cpu_before = bench.cpu_time()?;
    sleep(bench.time).await;
    if let Some(ended) = reading.try_join_next() {
        return Err(ended.map_err(failed)?.err().unwrap_or_else(|| failed("a socket ended")));
    }
    let after = bench.resident_bytes()?;
    let each = before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / bench.clients as f64);
    let cpu = cpu_before
        .zip(bench.cpu_time()?)
        .map(|(before, after)| (after - before).as_secs_f64() / bench.time.as_secs_f64());
    Ok(json!({
        "opened_ms": opened.as_millis(),
        "resident_before_bytes": before,
        "resident_after_bytes": after,
        "bytes_per_connection": each.map(f64::round),
        "server_cpu_share": cpu,
    }))
}

/// What all sockets of [`fanout`] received; clones share it.
#[derive(Clone, Default)]
struct Received {
    entries: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
    /// The time from an entry's timestamp to its arrival, of every 64th entry.
    delays: Arc<Mutex<Vec<Duration>>>,
}

impl Received {
    /// Reads from a socket until `stop`; checks that the entries after `seq` are in order.
    async fn read(self, mut socket: Socket, mut seq: u64, stop: CancellationToken) -> Result<(), Failure> {
        let mut entries = EntryReader::default();
        while let Some(text) = stop.run_until_cancelled(socket.next_text()).await {
            let text = text?;
            let Some((next, at)) = entries.seq_and_time(&text) else { continue };
            if next != seq + 1 {
                return Err(failed(format!("entry {next} came after {seq}")));
            }
            seq = next;
            self.entries.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
            if seq.is_multiple_of(64) {
                self.delays.lock().push(Duration::from_millis(now_ms().saturating_sub(at).max(0).unsigned_abs()));
            }
        }
        Ok(())
    }
}

/// Cost of a delivery.
pub(super) async fn fanout(bench: &Bench) -> Result<Value, Failure> {
    let (mut sender, thread) = bench.create_thread(bench.agent.as_deref()).await?;
    let sockets = bench.open(ChannelName::Thread(thread)).await?;
    let (received, stop) = (Received::default(), CancellationToken::new());
    let mut reading: JoinSet<Result<(), Failure>> = JoinSet::new();
    for (socket, Subscribed { seq, .. }) in sockets {
        let (received, stop) = (received.clone(), stop.clone());
        reading.spawn(async move { received.read(socket, seq, stop).await });
    }
    let run = match &bench.agent {
        Some(_) => Some(send_message(&mut sender, thread).await?.run_id),
        None => {
            write(bench, thread, &received.entries, &stop, &mut reading).await?;
            None
        }
    };
    sleep(WARM_UP).await;
    received.delays.lock().clear();
    let read_counters = || {
        Ok::<_, Failure>((
            Instant::now(),
            bench.cpu_time()?,
            received.entries.load(Ordering::Relaxed),
            received.bytes.load(Ordering::Relaxed),
        ))
    };
    let before = read_counters()?;
    sleep(bench.time).await;
    let after = read_counters()?;
    let times = std::mem::take(&mut *received.delays.lock());
    if let Some(run_id) = run {
        sender.request(StopRun { run_id }).await?;
    }
    stop.cancel();
    while let Some(ended) = reading.join_next().await {
        ended.map_err(failed)??;
    }
    let (seconds, deliveries) = ((after.0 - before.0).as_secs_f64(), after.2 - before.2);
    if deliveries == 0 {
        return Err(failed("nothing was delivered: the agent's recording is shorter than a second, or too slow"));
    }
    let cpu = before.1.zip(after.1).map(|(before, after)| after - before);
    Ok(json!({
        "deliveries": deliveries,
        "deliveries_per_second": (deliveries as f64 / seconds).round(),
        "entries_per_second": (deliveries as f64 / seconds / bench.clients as f64).round(),
        "bytes_per_delivery": (after.3 - before.3) / deliveries,
        "server_cpu_us_per_delivery": cpu.map(|cpu| (cpu.as_secs_f64() * 1e9 / deliveries as f64).round() / 1e3),
        "server_cpu_share": cpu.map(|cpu| cpu.as_secs_f64() / seconds),
        "latency": percentiles(times),
    }))
}

/// Keeps writing to a thread, in tasks that are added to `tasks`. At most `in_flight` entries are on their way to the sockets at a time.
/// An entry is a new title: small, and committed together with the other titles that wait.
async fn write(
    bench: &Bench,
    thread_id: ThreadId,
    received_entries: &Arc<AtomicU64>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<Result<(), Failure>>,
) -> Result<(), Failure> {
    let written = Arc::new(AtomicU64::new(0));
    let (clients, in_flight) = (bench.clients as u64, bench.in_flight as u64);
    for index in 0..bench.in_flight {
        let mut socket = bench.target.open(index).await?;
        let (received_entries, written, stop) = (received_entries.clone(), written.clone(), stop.clone());
        tasks.spawn(async move {
            while !stop.is_cancelled() {
                socket.request_raw(RenameThread { thread_id, title: MessageId::new().to_string() }).await?;
                let number = written.fetch_add(1, Ordering::Relaxed) + 1;
                // The next entry waits until all sockets have the one before the last `in_flight`.
                let needed = number.saturating_sub(in_flight) * clients;
                while received_entries.load(Ordering::Relaxed) < needed && !stop.is_cancelled() {
                    sleep(POLL_INTERVAL).await;
                }
            }
            Ok(())
        });
    }
    Ok(())
}

/// Round trips of commands.
pub(super) async fn echo(bench: &Bench) -> Result<Value, Failure> {
    let sockets = bench.open(ChannelName::User).await?;
    let mut sockets: Vec<Socket> = sockets.into_iter().map(|(socket, _)| socket).collect();
    let third = bench.time / 3;
    let ping =
        rounds(bench, &mut sockets, third, async |socket, _| socket.request_raw(Ping {}).await.map(drop)).await?;
    // Each with a thread of its own and without subscriptions, so that writing is measured and not delivery.
    drop(sockets);
    let make = async |_| bench.create_thread(None).await;
    let made: Vec<(Socket, ThreadId)> =
        stream::iter((0..bench.clients).map(make)).buffered(OPEN_CONCURRENCY).try_collect().await?;
    let (mut sockets, threads): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    let rename = async |socket: &mut Socket, index: usize| {
        let command = RenameThread { thread_id: threads[index], title: MessageId::new().to_string() };
        socket.request_raw(command).await.map(drop)
    };
    let rename = rounds(bench, &mut sockets, third, rename).await?;
    let create = async |socket: &mut Socket, _| {
        let command = CreateThread { thread_id: ThreadId::new(), title: Some("Bench".into()), agent: None };
        socket.request_raw(command).await.map(drop)
    };
    let create = rounds(bench, &mut sockets, third, create).await?;
    Ok(json!({ "ping": ping, "rename_thread": rename, "create_thread": create }))
}

/// Has every socket send commands one after the other for this long. Returns commands per second, the server's CPU time for each, and
/// the time that each took.
async fn rounds(
    bench: &Bench,
    sockets: &mut [Socket],
    time: Duration,
    ask: impl AsyncFn(&mut Socket, usize) -> Result<(), Failure>,
) -> Result<Value, Failure> {
    let (began, cpu_before) = (Instant::now(), bench.cpu_time()?);
    let ask = &ask;
    let asking = sockets.iter_mut().enumerate().map(|(index, socket)| async move {
        let mut times = Vec::new();
        while began.elapsed() < time {
            let asked = Instant::now();
            ask(socket, index).await?;
            times.push(asked.elapsed());
        }
        Ok::<_, Failure>(times)
    });
    let times: Vec<Duration> = try_join_all(asking).await?.into_iter().flatten().collect();
    let count = times.len() as f64;
    let cpu = cpu_before.zip(bench.cpu_time()?).map(|(before, after)| after.saturating_sub(before));
    Ok(json!({
        "per_second": (count / began.elapsed().as_secs_f64()).round(),
        "server_cpu_us": cpu.map(|cpu| (cpu.as_secs_f64() * 1e7 / count.max(1.0)).round() / 10.0),
        "time": percentiles(times),
    }))
}

/// All sockets disconnect, then come back at once: first with a cursor at the end of the log, then without one, as after a restart of
/// the clients.
pub(super) async fn storm(bench: &Bench) -> Result<Value, Failure> {
    let (_owner, thread) = bench.create_thread(None).await?;
    let channel = ChannelName::Thread(thread);
    let cursors: Vec<Option<Cursor>> = {
        let sockets = bench.open(channel).await?;
        sockets.into_iter().map(|(_, Subscribed { epoch, seq, .. })| Some(Cursor { epoch, seq })).collect()
    };
    let none = vec![None; cursors.len()];
    let with_cursors = come_back(bench, channel, cursors, Mode::Live).await?;
    Ok(json!({ "with_cursors": with_cursors, "without": come_back(bench, channel, none, Mode::Snapshot).await? }))
}

/// Opens a socket for each cursor at once and subscribes to a channel; returns when all are back, and the server's CPU time.
async fn come_back(
    bench: &Bench,
    channel: ChannelName,
    cursors: Vec<Option<Cursor>>,
    expected: Mode,
) -> Result<Value, Failure> {
    let (began, cpu_before) = (Instant::now(), bench.cpu_time()?);
    let mut coming: JoinSet<Result<(Duration, Socket), Failure>> = JoinSet::new();
    for (index, after) in cursors.into_iter().enumerate() {
        let target = bench.target.clone();
        coming.spawn(async move {
            let mut socket = target.open(index).await?;
            let subscribed = socket.request(Subscribe { channel, after, newest: None }).await?;
            let took = began.elapsed();
            if subscribed.mode != expected {
                return Err(failed(format!("a subscription's mode is {:?} and not {expected:?}", subscribed.mode)));
            }
            Ok((took, socket))
        });
    }
    // All stay open until all are back.
    let (mut times, mut sockets) = (Vec::with_capacity(bench.clients), Vec::with_capacity(bench.clients));
    while let Some(back) = coming.join_next().await {
        let (took, socket) = back.map_err(failed)??;
        times.push(took);
        sockets.push(socket);
    }
    let took = began.elapsed();
    let cpu = cpu_before.zip(bench.cpu_time()?).map(|(before, after)| (after - before).as_millis());
    Ok(json!({"all_back_ms": took.as_millis(), "server_cpu_ms": cpu, "each": percentiles(times)}))
}

/// Resuming a long log.
pub(super) async fn resume(bench: &Bench) -> Result<Value, Failure> {
    let agent = bench.agent.as_deref().ok_or_else(|| Failure::Usage("`resume` needs --agent".into()))?;
    let (mut socket, thread) = bench.create_thread(Some(agent)).await?;
    let channel = ChannelName::Thread(thread);
    let first = socket.request(Subscribe { channel, after: None, newest: None }).await?;
    send_message(&mut socket, thread).await?;
    let (mut head, mut entries) = (first.seq, EntryReader::default());
    while let Ok(text) = tokio::time::timeout(bench.time, socket.next_text()).await {
        let text = text?;
        head = entries.seq_and_time(&text).map_or(head, |(seq, _)| seq);
        if text.contains(r#""type":"RUN_FINISHED""#) || text.contains(r#""type":"RUN_ERROR""#) {
            break;
        }
    }
    drop(socket);
    let mut figures = json!({"entries": head});
    for (name, gap) in [("whole", head - first.seq), ("gap_1000", 1_000)] {
        let after = Some(Cursor { epoch: first.epoch.clone(), seq: head.saturating_sub(gap) });
        let (mut times, mut bytes, mut mode) = (Vec::new(), 0, Mode::Live);
        for _ in 0..RESUMES {
            let mut socket = bench.target.open(0).await?;
            let asked = Instant::now();
            let text = socket.request_raw(Subscribe { channel, after: after.clone(), newest: None }).await?;
            bytes = text.len();
            mode = match () {
                () if text.contains(r#""mode":"snapshot""#) => Mode::Snapshot,
                () if text.contains(r#""mode":"replay""#) => Mode::Replay,
                () => Mode::Live,
            };
            if mode == Mode::Replay {
                bytes += read_to(&mut socket, head).await?;
            }
            times.push(asked.elapsed());
        }
        figures[name] = json!({"gap": gap, "mode": mode, "bytes": bytes, "time": percentiles(times)});
    }
    Ok(figures)
}

/// Reads entries up to this one; returns their size in bytes.
async fn read_to(socket: &mut Socket, head: u64) -> Result<usize, Failure> {
    let (mut bytes, mut entries) = (0, EntryReader::default());
    loop {
        let text = socket.next_text().await?;
        bytes += text.len();
        if entries.seq_and_time(&text).is_some_and(|(seq, _)| seq >= head) {
            return Ok(bytes);
        }
    }
}
