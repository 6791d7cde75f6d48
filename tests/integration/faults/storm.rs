//! Many clients of one node: all reset at once, and all closed for a restart.
//!
//! `NETRA_CHAOS_CLIENTS` sets their number; each needs three open files in this process, so `ulimit -n` bounds it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use netra::{
    protocol::{ChannelName, CreateThread, RenameThread, ThreadId},
    server::clock::now_ms,
    socket::{
        machine::Status,
        native::{Client, ClientConfig, Update},
    },
};
use tokio::{sync::watch, time::timeout};

use super::proxy::{Flow, Proxy};
use crate::support::{ADMIN, Setup, TestServer};

/// How long a step of all clients may take.
const GROUP_TIMEOUT: Duration = Duration::from_secs(90);
/// How many clients connect at once.
const CONNECT_BATCH: usize = 50;
/// How many clients follow the same thread.
const CLIENTS_PER_THREAD: usize = 100;

/// Clients of one user, which follow several threads.
struct ClientGroup {
    proxy: Proxy,
    threads: Vec<ThreadId>,
    asking: Client,
    seqs: Vec<watch::Receiver<u64>>,
    /// Updates that came out of order.
    violations: Arc<Mutex<Vec<String>>>,
    clients: Vec<Client>,
}

fn setup() -> Setup {
    Setup::default()
        .with("SOCKET__MAX_CONNECTIONS_PER_USER", 10_000)
        .with("SOCKET__COMMANDS_PER_MINUTE", 1_000_000)
        .with("CONNECTIONS__MAX_PER_ADDRESS", 20_000)
        .with("LOG", "warn")
}

fn client_count(by_default: usize) -> usize {
    std::env::var("NETRA_CHAOS_CLIENTS").map_or(by_default, |many| many.parse().expect("a number of clients"))
}

impl ClientGroup {
    async fn connect(server: &TestServer, many: usize) -> Self {
        let token = server.token(ADMIN).await;
        let asking = Client::connect(ClientConfig::bearer(server.socket_url(), &token));
        let threads: Vec<ThreadId> = (0..many.div_ceil(CLIENTS_PER_THREAD)).map(|_| ThreadId::new()).collect();
        for thread_id in &threads {
            let made = CreateThread { thread_id: *thread_id, title: None, agent: None };
            asking.send(made).await.expect("the thread is created");
        }
        let proxy = Proxy::new(server.address()).await;
        let violations = Arc::new(Mutex::default());
        let (mut clients, mut seqs) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        for number in 0..many {
            let client = Client::connect(ClientConfig::bearer(format!("ws://{}/ws", proxy.address()), &token));
            seqs.push(follow(&client, number, threads[number / CLIENTS_PER_THREAD], &violations).await);
            clients.push(client);
            if number % CONNECT_BATCH == CONNECT_BATCH - 1 {
                let mut last: watch::Receiver<u64> = seqs[number].clone();
                timeout(GROUP_TIMEOUT, last.wait_for(|seq| *seq > 0)).await.expect("in time").expect("the client runs");
            }
        }
        let group = Self { proxy, threads, asking, seqs, violations, clients };
        group.until_all(1).await;
        println!("{many} clients are connected after {:.1} s", begun.elapsed().as_secs_f64());
        group
    }

    /// Appends an entry to each thread's log and returns its seq.
    async fn rename(&self) -> u64 {
        let title = format!("Renamed at {}", now_ms());
        let rename = |thread_id: &ThreadId| {
            let rename = RenameThread { thread_id: *thread_id, title: title.clone() };
            async move { self.asking.send(rename).await.expect("the thread is renamed") }
        };
        futures_util::future::join_all(self.threads.iter().map(rename)).await;
        2
    }

    /// Waits until all clients have applied this seq; returns when each had, the earliest first.
    async fn until_all(&self, seq: u64) -> Vec<Instant> {
        let waits = self.seqs.iter().cloned().map(|mut at| async move {
            at.wait_for(|at| *at >= seq).await.expect("the client runs");
            Instant::now()
        });
        let mut times = timeout(GROUP_TIMEOUT, futures_util::future::join_all(waits)).await.unwrap_or_else(|_| {
            let late = self.seqs.iter().filter(|at| *at.borrow() < seq).count();
            panic!("{late} of {} are not at {seq} after {GROUP_TIMEOUT:?}", self.seqs.len())
        });
        times.sort_unstable();
        let violations = self.violations.lock().expect("not poisoned");
        assert!(violations.is_empty(), "{:?}", &violations[..violations.len().min(5)]);
        times
    }
}

/// Follows a thread; returns the seq that the client has applied.
async fn follow(
    client: &Client,
    number: usize,
    thread: ThreadId,
    violations: &Arc<Mutex<Vec<String>>>,
) -> watch::Receiver<u64> {
    let (applied, seen) = watch::channel(0);
    let mut updates = client.follow(ChannelName::Thread(thread), None).await;
    let violations = violations.clone();
    tokio::spawn(async move {
        while let Some(update) = updates.recv().await {
            let known = *applied.borrow();
            match update {
                Update::Snapshot { cursor, .. } if cursor.seq >= known => drop(applied.send_replace(cursor.seq)),
                Update::Entry { seq: Some(seq), .. } if seq == known + 1 => drop(applied.send_replace(seq)),
                Update::Entry { seq: None, .. } => {}
                other => {
                    violations.lock().expect("not poisoned").push(format!("client {number} at {known}: {other:?}"))
                }
            }
        }
    });
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_reset_at_once_reconnect_and_catch_up() {
    let server = setup().start().await;
    let group = ClientGroup::connect(&server, client_count(500)).await;
    // Entries that the clients miss, and must receive after they reconnect.
    group.proxy.set(Flow::Stop, Flow::Stop);
    let seq = group.rename().await;
    let cut = Instant::now();
    assert_eq!(group.proxy.cut(), group.seqs.len());
    group.proxy.restore();
    let times = group.until_all(seq).await;
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].duration_since(cut).as_millis();
    println!(
        "{} clients reset at once have reconnected and caught up: half after {} ms, 99 % after {} ms, all after {} ms",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_drained_server_reconnect_spread_over_its_window() {
    let server = setup().with("SERVER__DRAIN_MS", 2_000).start().await;
    let group = ClientGroup::connect(&server, client_count(300).min(2_000)).await;
    // The window that the server advertises.
    let window = Duration::from_millis(500 + group.seqs.len() as u64);
    let reconnect_delay = group.clients.iter().map(|client| reconnect_delay(client.status()));
    let reconnect_delay = tokio::spawn(futures_util::future::join_all(reconnect_delay.collect::<Vec<_>>()));
    let (code, stopped) = server.stop().await;
    assert_eq!(code, Some(0));
    let delays = timeout(GROUP_TIMEOUT, reconnect_delay).await.expect("in time").expect("the task does not panic");
    let server = stopped.restart().await;
    let seq = group.rename().await;
    group.until_all(seq).await;
    let slots = 10;
    let mut histogram = vec![0; slots];
    for delay in &delays {
        let slot = delay.as_secs_f64() / window.as_secs_f64() * slots as f64;
        histogram[(slot as usize).min(slots - 1)] += 1;
    }
    println!("{} clients come back within {window:?}, in tenths of it: {histogram:?}", group.seqs.len());
    let busiest = histogram.iter().max().copied().unwrap_or_default();
    assert!(busiest * 4 <= group.seqs.len(), "too many at once: {histogram:?}");
    assert!(histogram.iter().all(|slot| *slot > 0), "not spread: {histogram:?}");
    drop(server);
}

/// How long a client waits before it reconnects, once its connection is closed.
async fn reconnect_delay(mut status: watch::Receiver<Status>) -> Duration {
    let status =
        status.wait_for(|status| matches!(status, Status::Reconnecting { .. })).await.expect("the client runs");
    let Status::Reconnecting { retry_at_ms, .. } = *status else { unreachable!("the status that was waited for") };
    Duration::from_millis(u64::try_from(retry_at_ms - now_ms()).unwrap_or_default())
}
