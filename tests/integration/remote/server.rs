//! A scripted AG-UI endpoint on a real socket, which a test controls byte by byte.

use std::{
    future::Future,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::support::{TEST_TIMEOUT, poll};

/// A request that the endpoint received.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Request line and headers.
    pub head: String,
    /// The `RunAgentInput`.
    pub input: Value,
}

/// An endpoint. Stops listening when dropped.
pub struct Endpoint {
    pub url: String,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
    closed: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Endpoint {
    /// Answers each request with the script, which gets the request's number, from 0.
    pub async fn start<F, R>(script: F) -> Self
    where
        F: Fn(usize, Responder) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/agent", listener.local_addr().expect("an address"));
        let (requests, count, (closed_sender, closed)) = (Arc::default(), AtomicUsize::new(0), watch::channel(0));
        let (mut tasks, log, script) = (JoinSet::new(), Arc::clone(&requests), Arc::new(script));
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (log, closed_sender, script) = (Arc::clone(&log), closed_sender.clone(), Arc::clone(&script));
                open.spawn(async move {
                    // An error is expected where the peer disconnects.
                    let _ = serve(stream, &log, &closed_sender, |answer| script(number, answer)).await;
                });
            }
        });
        Self { url, requests, closed, _tasks: tasks }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.requests.lock().expect("not poisoned").clone()
    }

    /// Waits until this many clients have closed their connection before the script did.
    pub async fn until_disconnected(&self, count: usize) {
        let mut closed = self.closed.clone();
        timeout(TEST_TIMEOUT, closed.wait_for(|closed| *closed >= count))
            .await
            .expect("in time")
            .expect("the server runs");
    }
}

async fn serve<R: Future<Output = io::Result<()>>>(
    stream: TcpStream,
    log: &Mutex<Vec<ReceivedRequest>>,
    closed_sender: &watch::Sender<usize>,
    script: impl FnOnce(Responder) -> R,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let input: Value = serde_json::from_slice(&body).unwrap_or_default();
    log.lock().expect("not poisoned").push(ReceivedRequest { head, input: input.clone() });
    script(Responder { stream: stream.into_inner(), input, closed_sender: closed_sender.clone(), chunked: false }).await
}

/// The response to a request.
pub struct Responder {
    stream: TcpStream,
    pub input: Value,
    closed_sender: watch::Sender<usize>,
    chunked: bool,
}

impl Responder {
    /// Sends bytes unchanged; after [`Self::chunked`], as one chunk.
    pub async fn raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        if self.chunked {
            self.stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
            self.stream.write_all(bytes).await?;
            return self.stream.write_all(b"\r\n").await;
        }
        self.stream.write_all(bytes).await
    }

    /// Sends a complete response without events.
    pub async fn status(mut self, line: &str, headers: &[&str], body: &str) -> io::Result<()> {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = format!("HTTP/1.1 {line}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        self.raw(head).await
    }

    /// Starts a stream that ends when the connection closes.
    pub async fn stream(&mut self) -> io::Result<()> {
        self.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n").await
    }

    /// Starts a chunked stream, in which a connection that closes before the last chunk is a cut.
    pub async fn chunked(&mut self) -> io::Result<()> {
        self.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
        self.chunked = true;
        Ok(())
    }

    /// Sends an event.
    pub async fn event(&mut self, event: &Value) -> io::Result<()> {
        self.raw(format!("data: {event}\n\n")).await
    }

    /// Sends events.
    pub async fn events(&mut self, events: &[Value]) -> io::Result<()> {
        for event in events {
            self.event(event).await?;
        }
        Ok(())
    }

    /// Starts the stream and the run.
    pub async fn begin(&mut self) -> io::Result<()> {
        self.stream().await?;
        self.event(&self.started()).await
    }

    /// Finishes the run.
    pub async fn finish(mut self) -> io::Result<()> {
        self.event(&self.finished()).await
    }

    pub fn started(&self) -> Value {
        json!({"type": "RUN_STARTED", "threadId": self.input["threadId"], "runId": self.input["runId"]})
    }

    pub fn finished(&self) -> Value {
        json!({"type": "RUN_FINISHED", "threadId": self.input["threadId"], "runId": self.input["runId"]})
    }

    /// Keeps the connection open until the client closes it, and counts that.
    pub async fn hold(mut self) -> io::Result<()> {
        let mut nothing = [0; 64];
        while self.stream.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
        self.closed_sender.send_modify(|closed| *closed += 1);
        Ok(())
    }

    /// Sends the same text until the client closes the connection.
    pub async fn flood(mut self, text: &str) -> io::Result<()> {
        while self.raw(text).await.is_ok() {}
        self.closed_sender.send_modify(|closed| *closed += 1);
        Ok(())
    }

    /// Resets the connection instead of closing it.
    pub fn cut(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }
}

/// The events of a complete message.
pub fn message(id: &str, words: &[&str]) -> Vec<Value> {
    let event = |kind: &str| json!({"type": format!("TEXT_MESSAGE_{kind}"), "messageId": id});
    let mut events = vec![event("START")];
    for word in words {
        events.push(json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": word}));
    }
    events.push(event("END"));
    events
}

/// A pause between two events that is far shorter than the silence timeout.
pub async fn short_pause() {
    tokio::time::sleep(Duration::from_millis(30)).await;
}

/// Polls a condition until it holds.
pub async fn until(is: impl Fn() -> bool) {
    poll("the condition", async || is().then_some(())).await;
}
