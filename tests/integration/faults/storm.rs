//! Many clients of one node: all cut at once, and all sent away for a restart.
//!
//! `NETRA_CHAOS_CLIENTS` says how many; each needs three files in this process, so `ulimit -n` bounds them.

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

/// How long many clients may take.
const LONG: Duration = Duration::from_secs(90);
/// How many begin to connect at once.
const AT_ONCE: usize = 50;
/// How many are in one thread.
const IN_ONE: usize = 100;

/// Clients of one person, in a number of threads.
struct Crowd {
    proxy: Proxy,
    threads: Vec<ThreadId>,
    asking: Client,
    places: Vec<watch::Receiver<u64>>,
    /// What came out of order.
    wrongs: Arc<Mutex<Vec<String>>>,
    clients: Vec<Client>,
}

fn setup() -> Setup {
    Setup::default()
        .with("SOCKET__MAX_CONNECTIONS_PER_USER", 10_000)
        .with("SOCKET__COMMANDS_PER_MINUTE", 1_000_000)
        .with("CONNECTIONS__MAX_PER_ADDRESS", 20_000)
        .with("LOG", "warn")
}

fn many(by_default: usize) -> usize {
    std::env::var("NETRA_CHAOS_CLIENTS").map_or(by_default, |many| many.parse().expect("a number of clients"))
}

impl Crowd {
    async fn gather(server: &TestServer, many: usize) -> Self {
        let token = server.token(ADMIN).await;
        let asking = Client::connect(ClientConfig::bearer(server.socket_url(), &token));
        let threads: Vec<ThreadId> = (0..many.div_ceil(IN_ONE)).map(|_| ThreadId::new()).collect();
        for thread_id in &threads {
            let made = CreateThread { thread_id: *thread_id, title: None, agent: None };
            asking.send(made).await.expect("made");
        }
        let proxy = Proxy::to(server.address()).await;
        let wrongs = Arc::new(Mutex::default());
        let (mut clients, mut places) = (Vec::new(), Vec::new());
        let begun = Instant::now();
        for number in 0..many {
            let client = Client::connect(ClientConfig::bearer(format!("ws://{}/ws", proxy.address()), &token));
            places.push(follow(&client, number, threads[number / IN_ONE], &wrongs).await);
            clients.push(client);
            if number % AT_ONCE == AT_ONCE - 1 {
                let mut last: watch::Receiver<u64> = places[number].clone();
                timeout(LONG, last.wait_for(|place| *place > 0)).await.expect("in time").expect("lives");
            }
        }
        let crowd = Self { proxy, threads, asking, places, wrongs, clients };
        crowd.until_all(1).await;
        println!("{many} clients are connected after {:.1} s", begun.elapsed().as_secs_f64());
        crowd
    }

    /// One more entry in each thread's log; answers its place.
    async fn rename(&self) -> u64 {
        let title = format!("Renamed at {}", now_ms());
        let rename = |thread_id: &ThreadId| {
            let rename = RenameThread { thread_id: *thread_id, title: title.clone() };
            async move { self.asking.send(rename).await.expect("renamed") }
        };
        futures_util::future::join_all(self.threads.iter().map(rename)).await;
        2
    }

    /// Waits until all are at a place; answers when each came there, the first first.
    async fn until_all(&self, place: u64) -> Vec<Instant> {
        let waits = self.places.iter().cloned().map(|mut at| async move {
            at.wait_for(|at| *at >= place).await.expect("the client lives");
            Instant::now()
        });
        let mut times = timeout(LONG, futures_util::future::join_all(waits)).await.unwrap_or_else(|_| {
            let late = self.places.iter().filter(|at| *at.borrow() < place).count();
            panic!("{late} of {} are not at {place} after {LONG:?}", self.places.len())
        });
        times.sort_unstable();
        let wrongs = self.wrongs.lock().expect("not poisoned");
        assert!(wrongs.is_empty(), "{:?}", &wrongs[..wrongs.len().min(5)]);
        times
    }
}

/// Follows the thread; answers where the client is in it.
async fn follow(
    client: &Client,
    number: usize,
    thread: ThreadId,
    wrongs: &Arc<Mutex<Vec<String>>>,
) -> watch::Receiver<u64> {
    let (place, seen) = watch::channel(0);
    let mut updates = client.follow(ChannelName::Thread(thread), None).await;
    let wrongs = wrongs.clone();
    tokio::spawn(async move {
        while let Some(update) = updates.recv().await {
            let known = *place.borrow();
            match update {
                Update::Snapshot { cursor, .. } if cursor.seq >= known => drop(place.send_replace(cursor.seq)),
                Update::Entry { seq: Some(seq), .. } if seq == known + 1 => drop(place.send_replace(seq)),
                Update::Entry { seq: None, .. } => {}
                other => wrongs.lock().expect("not poisoned").push(format!("client {number} at {known}: {other:?}")),
            }
        }
    });
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_are_cut_at_once_are_back_and_in_step() {
    let server = setup().start().await;
    let crowd = Crowd::gather(&server, many(500)).await;
    // What they miss, and must hear of when they are back.
    crowd.proxy.set(Flow::Stop, Flow::Stop);
    let place = crowd.rename().await;
    let cut = Instant::now();
    assert_eq!(crowd.proxy.cut(), crowd.places.len());
    crowd.proxy.heal();
    let times = crowd.until_all(place).await;
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].duration_since(cut).as_millis();
    println!(
        "{} clients cut at once are back and in step: half after {} ms, 99 % after {} ms, all after {} ms",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_sends_everyone_away_and_they_come_back_spread_over_its_window() {
    let server = setup().with("SERVER__DRAIN_MS", 2_000).start().await;
    let crowd = Crowd::gather(&server, many(300).min(2_000)).await;
    // What the server advertises.
    let window = Duration::from_millis(500 + crowd.places.len() as u64);
    let sent_away = crowd.clients.iter().map(|client| sent_away(client.status()));
    let sent_away = tokio::spawn(futures_util::future::join_all(sent_away.collect::<Vec<_>>()));
    let (code, stopped) = server.stop().await;
    assert_eq!(code, Some(0));
    let delays = timeout(LONG, sent_away).await.expect("in time").expect("no panic");
    let server = stopped.restart().await;
    let place = crowd.rename().await;
    crowd.until_all(place).await;
    let slots = 10;
    let mut histogram = vec![0; slots];
    for delay in &delays {
        let slot = delay.as_secs_f64() / window.as_secs_f64() * slots as f64;
        histogram[(slot as usize).min(slots - 1)] += 1;
    }
    println!("{} clients come back within {window:?}, in tenths of it: {histogram:?}", crowd.places.len());
    let busiest = histogram.iter().max().copied().unwrap_or_default();
    assert!(busiest * 4 <= crowd.places.len(), "a stampede: {histogram:?}");
    assert!(histogram.iter().all(|slot| *slot > 0), "not spread: {histogram:?}");
    drop(server);
}

/// How long after its connection was closed a client tries again.
async fn sent_away(mut status: watch::Receiver<Status>) -> Duration {
    let status =
        status.wait_for(|status| matches!(status, Status::Reconnecting { .. })).await.expect("the client lives");
    let Status::Reconnecting { retry_at_ms, .. } = *status else { unreachable!("it was waited for") };
    Duration::from_millis(u64::try_from(retry_at_ms - now_ms()).unwrap_or_default())
}
