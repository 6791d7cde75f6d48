//! One user creates very many threads and loads pages in parallel; measures the latency of another user's `ping` meanwhile.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Bench, RESPONSE_TIMEOUT, percentiles,
    socket::{Socket, Target, failed},
};
use crate::{
    cli::Failure,
    protocol::{CreateThread, Ping, ThreadId, http::SignIn},
};

/// Sockets that create threads.
const CREATORS: usize = 8;
/// Pause between two pings.
const PING_INTERVAL: Duration = Duration::from_millis(2);

/// The user who floods.
pub(super) struct Flooder {
    pub(super) server: String,
    pub(super) sign_in: SignIn,
    pub(super) target: Target,
    /// Threads to create.
    pub(super) threads: usize,
}

/// Results of page requests.
#[derive(Default)]
struct Pages {
    whole: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    largest: AtomicU64,
}

/// Measures the other user's ping: on the idle server, while threads are created, and while pages are loaded.
pub(super) async fn flood(bench: &Bench, flooder: &Flooder) -> Result<Value, Failure> {
    let mut other = bench.target.open(0).await?;
    let idle = ping_during(&mut other, sleep(bench.time)).await?;
    let began = Instant::now();
    let creating = ping_during(&mut other, create_threads(flooder)).await?;
    creating.1?;
    let took = began.elapsed();
    let (pages, stop) = (Pages::default(), CancellationToken::new());
    let browser = sign_in(flooder).await?;
    let loads = (0..bench.clients).map(|_| load_pages(&browser, &flooder.server, &pages, &stop));
    let loading = async {
        let stopping = async {
            sleep(bench.time).await;
            stop.cancel();
        };
        tokio::join!(join_all(loads), stopping)
    };
    let loaded = ping_during(&mut other, loading).await?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(json!({
        "threads": flooder.threads,
        "threads_made_ms": took.as_millis(),
        "ping_quiet": percentiles(idle.0),
        "ping_while_threads_are_made": percentiles(creating.0),
        "ping_while_pages_are_loaded": percentiles(loaded.0),
        "pages": {
            "whole": count(&pages.whole), "refused": count(&pages.refused), "broken": count(&pages.broken),
            "largest_bytes": count(&pages.largest),
        },
    }))
}

/// Pings until `work` is done; returns the latency of each ping.
async fn ping_during<T>(socket: &mut Socket, work: impl Future<Output = T>) -> Result<(Vec<Duration>, T), Failure> {
    let stop = CancellationToken::new();
    let ping = async {
        let mut times = Vec::new();
        while !stop.is_cancelled() {
            let began = Instant::now();
            socket.request(Ping {}).await?;
            times.push(began.elapsed());
            sleep(PING_INTERVAL).await;
        }
        Ok::<_, Failure>(times)
    };
    let work = async {
        let done = work.await;
        stop.cancel();
        done
    };
    let (times, done) = tokio::join!(ping, work);
    Ok((times?, done))
}

async fn create_threads(flooder: &Flooder) -> Result<(), Failure> {
    let create = async |creator: usize| {
        let mut socket = flooder.target.open(creator).await?;
        for number in (creator..flooder.threads).step_by(CREATORS) {
            let title = Some(format!("Thread {number} of a flood, with a title as long as titles mostly are"));
            socket.request(CreateThread { thread_id: ThreadId::new(), title, agent: None }).await?;
        }
        Ok::<_, Failure>(())
    };
    try_join_all((0..CREATORS).map(create)).await.map(drop)
}

/// Signs in as the user; returns an HTTP client with the session's cookie.
async fn sign_in(flooder: &Flooder) -> Result<reqwest::Client, Failure> {
    let browser = reqwest::Client::builder().cookie_store(true).timeout(RESPONSE_TIMEOUT).build().map_err(failed)?;
    let call = browser.post(format!("{}/api/auth/sign-in", flooder.server)).json(&flooder.sign_in);
    call.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    Ok(browser)
}

async fn load_pages(browser: &reqwest::Client, server: &str, pages: &Pages, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let response = browser.get(format!("{server}/")).header("accept", "text/html").send().await;
        let Ok(response) = response else {
            pages.broken.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (status, text) = (response.status(), response.text().await.unwrap_or_default());
        let counter = match status.as_u16() {
            200 if text.contains("</html>") => &pages.whole,
            429 | 503 => &pages.refused,
            _ => &pages.broken,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        pages.largest.fetch_max(text.len() as u64, Ordering::Relaxed);
    }
}
