//! One person makes very many threads and loads their page again and again, many at once: how long another waits for an answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::{join_all, try_join_all};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Bench, PATIENCE, percentiles,
    socket::{Socket, Target, failed},
};
use crate::{
    cli::Failure,
    protocol::{CreateThread, Ping, ThreadId, http::SignIn},
};

/// How many sockets make threads.
const MAKERS: usize = 8;
/// Between two pings.
const PAUSE: Duration = Duration::from_millis(2);

/// The person who floods.
pub(super) struct Flooder {
    pub(super) server: String,
    pub(super) sign_in: SignIn,
    pub(super) target: Target,
    /// How many threads they make.
    pub(super) threads: usize,
}

/// What became of the pages.
#[derive(Default)]
struct Pages {
    whole: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    largest: AtomicU64,
}

/// What another's ping takes, with nothing else going on, while the threads are made, and while the pages are loaded.
pub(super) async fn flood(bench: &Bench, flooder: &Flooder) -> Result<Value, Failure> {
    let mut other = bench.target.open(0).await?;
    let quiet = pings_while(&mut other, sleep(bench.time)).await?;
    let began = Instant::now();
    let making = pings_while(&mut other, make_threads(flooder)).await?;
    making.1?;
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
    let loaded = pings_while(&mut other, loading).await?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(json!({
        "threads": flooder.threads,
        "threads_made_ms": took.as_millis(),
        "ping_quiet": percentiles(quiet.0),
        "ping_while_threads_are_made": percentiles(making.0),
        "ping_while_pages_are_loaded": percentiles(loaded.0),
        "pages": {
            "whole": count(&pages.whole), "refused": count(&pages.refused), "broken": count(&pages.broken),
            "largest_bytes": count(&pages.largest),
        },
    }))
}

/// Pings until something is done; answers what each ping took.
async fn pings_while<T>(socket: &mut Socket, work: impl Future<Output = T>) -> Result<(Vec<Duration>, T), Failure> {
    let stop = CancellationToken::new();
    let ping = async {
        let mut times = Vec::new();
        while !stop.is_cancelled() {
            let began = Instant::now();
            socket.ask(Ping {}).await?;
            times.push(began.elapsed());
            sleep(PAUSE).await;
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

async fn make_threads(flooder: &Flooder) -> Result<(), Failure> {
    let make = async |maker: usize| {
        let mut socket = flooder.target.open(maker).await?;
        for number in (maker..flooder.threads).step_by(MAKERS) {
            let title = Some(format!("Thread {number} of a flood, with a title as long as titles mostly are"));
            socket.ask(CreateThread { thread_id: ThreadId::new(), title, agent: None }).await?;
        }
        Ok::<_, Failure>(())
    };
    try_join_all((0..MAKERS).map(make)).await.map(drop)
}

/// A browser in which the person is signed in.
async fn sign_in(flooder: &Flooder) -> Result<reqwest::Client, Failure> {
    let browser = reqwest::Client::builder().cookie_store(true).timeout(PATIENCE).build().map_err(failed)?;
    let call = browser.post(format!("{}/api/auth/sign-in", flooder.server)).json(&flooder.sign_in);
    call.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    Ok(browser)
}

async fn load_pages(browser: &reqwest::Client, server: &str, pages: &Pages, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let answer = browser.get(format!("{server}/")).header("accept", "text/html").send().await;
        let Ok(answer) = answer else {
            pages.broken.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        let counter = match status.as_u16() {
            200 if text.contains("</html>") => &pages.whole,
            429 | 503 => &pages.refused,
            _ => &pages.broken,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        pages.largest.fetch_max(text.len() as u64, Ordering::Relaxed);
    }
}
