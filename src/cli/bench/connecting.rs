//! The cost of handshakes and subscriptions.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::{Bench, socket::Socket};
use crate::{
    cli::Failure,
    protocol::{ChannelName, CreateThread, Cursor, Subscribe, Subscribed, ThreadId, Unsubscribe},
};

/// Handshakes or commands under way at a time.
const CONCURRENCY: usize = 64;

/// CPU time of the server for a handshake, and for a subscription to a thread: without a cursor, which brings a snapshot, and with one
/// at the end of the log. Each phase is for all sockets.
pub(super) async fn connect(bench: &Bench) -> Result<Value, Failure> {
    let thread_id = ThreadId::new();
    let mut owner = bench.target.open(0).await?;
    owner.request(CreateThread { thread_id, title: Some("Bench".into()), agent: None }).await?;
    let (thread, user) = (ChannelName::Thread(thread_id), ChannelName::User);
    let mut figures = serde_json::Map::new();
    let opened = stream::iter(0..bench.clients).map(|index| bench.target.open(index)).buffer_unordered(CONCURRENCY);
    let (mut sockets, cost) = measure(bench, opened.try_collect::<Vec<Socket>>()).await?;
    figures.insert("handshake".into(), cost);
    for (name, channel, has_cursor) in [
        ("subscribe_feed_snapshot", user, false),
        ("subscribe_feed_live", user, true),
        ("subscribe_thread_snapshot", thread, false),
        ("subscribe_thread_live", thread, true),
    ] {
        let Subscribed { epoch, seq, .. } = owner.request(Subscribe { channel, after: None, newest: None }).await?;
        let after = has_cursor.then_some(Cursor { epoch, seq });
        let subscribe = |mut socket: Socket| {
            let after = after.clone();
            async move {
                socket.request_raw(Subscribe { channel, after, newest: None }).await?;
                Ok::<_, Failure>(socket)
            }
        };
        let subscribed = stream::iter(sockets).map(subscribe).buffer_unordered(CONCURRENCY);
        let (open, cost) = measure(bench, subscribed.try_collect::<Vec<Socket>>()).await?;
        figures.insert(name.into(), cost);
        let unsubscribe = |mut socket: Socket| async move {
            socket.request_raw(Unsubscribe { channel }).await?;
            Ok::<_, Failure>(socket)
        };
        sockets = stream::iter(open).map(unsubscribe).buffer_unordered(CONCURRENCY).try_collect().await?;
    }
    Ok(Value::Object(figures))
}

/// Runs something for all sockets; returns its result, how many there are a second, and the server's CPU time for each.
async fn measure<T>(bench: &Bench, work: impl Future<Output = Result<T, Failure>>) -> Result<(T, Value), Failure> {
    let (began, cpu_before) = (Instant::now(), bench.cpu_time()?);
    let done = work.await?;
    let cpu = cpu_before.zip(bench.cpu_time()?).map(|(before, after)| after.saturating_sub(before));
    let each = |time: Duration| (time.as_secs_f64() * 1e7 / bench.clients as f64).round() / 10.0;
    let per_second = (bench.clients as f64 / began.elapsed().as_secs_f64()).round();
    Ok((done, json!({"per_second": per_second, "server_cpu_us": cpu.map(each)})))
}
