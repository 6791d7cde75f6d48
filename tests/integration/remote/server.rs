//! A scripted AG-UI endpoint on a real socket: it does to whoever asks what a test says, byte by byte.

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

use crate::remote::PATIENCE;

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Request line and headers, as they came.
    pub head: String,
    /// The `RunAgentInput`.
    pub input: Value,
}

/// An endpoint. Dropped, it is gone.
pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    left: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Answers the n-th request (from 0) as the script says.
    pub async fn start<F, R>(script: F) -> Self
    where
        F: Fn(usize, Answer) -> R + Send + Sync + 'static,
        R: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/agent", listener.local_addr().expect("an address"));
        let (asked, count, (leave, left)) = (Arc::default(), AtomicUsize::new(0), watch::channel(0));
        let (mut tasks, log, script) = (JoinSet::new(), Arc::clone(&asked), Arc::new(script));
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let (log, leave, script) = (Arc::clone(&log), leave.clone(), Arc::clone(&script));
                open.spawn(async move {
                    // A peer that leaves in the middle is what some tests are about.
                    let _ = serve(stream, &log, &leave, |answer| script(number, answer)).await;
                });
            }
        });
        Self { url, asked, left, _tasks: tasks }
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }

    /// Waits until so many have closed their connections before the script did.
    pub async fn until_left(&self, count: usize) {
        let mut left = self.left.clone();
        timeout(PATIENCE, left.wait_for(|left| *left >= count)).await.expect("in time").expect("it lives");
    }
}

async fn serve<R: Future<Output = io::Result<()>>>(
    stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    leave: &watch::Sender<usize>,
    script: impl FnOnce(Answer) -> R,
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
    log.lock().expect("not poisoned").push(Asked { head, input: input.clone() });
    script(Answer { stream: stream.into_inner(), input, leave: leave.clone(), chunked: false }).await
}

/// How a script answers.
pub struct Answer {
    stream: TcpStream,
    pub input: Value,
    leave: watch::Sender<usize>,
    chunked: bool,
}

impl Answer {
    /// Bytes as they are.
    pub async fn raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        if self.chunked {
            self.stream.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
            self.stream.write_all(bytes).await?;
            return self.stream.write_all(b"\r\n").await;
        }
        self.stream.write_all(bytes).await
    }

    /// A whole answer without events.
    pub async fn status(mut self, line: &str, headers: &[&str], body: &str) -> io::Result<()> {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = format!("HTTP/1.1 {line}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        self.raw(head).await
    }

    /// Begins a stream that lasts until the connection closes.
    pub async fn stream(&mut self) -> io::Result<()> {
        self.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n").await
    }

    /// Begins a stream whose end is said, so that a connection that closes before it is a cut.
    pub async fn chunked(&mut self) -> io::Result<()> {
        self.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
        self.chunked = true;
        Ok(())
    }

    /// One event.
    pub async fn event(&mut self, event: &Value) -> io::Result<()> {
        self.raw(format!("data: {event}\n\n")).await
    }

    /// Several.
    pub async fn events(&mut self, events: &[Value]) -> io::Result<()> {
        for event in events {
            self.event(event).await?;
        }
        Ok(())
    }

    /// Begins the stream and the run.
    pub async fn begin(&mut self) -> io::Result<()> {
        self.stream().await?;
        self.event(&self.started()).await
    }

    /// Ends the run.
    pub async fn finish(mut self) -> io::Result<()> {
        self.event(&self.finished()).await
    }

    pub fn started(&self) -> Value {
        json!({"type": "RUN_STARTED", "threadId": self.input["threadId"], "runId": self.input["runId"]})
    }

    pub fn finished(&self) -> Value {
        json!({"type": "RUN_FINISHED", "threadId": self.input["threadId"], "runId": self.input["runId"]})
    }

    /// Holds the connection until the other side closes it, and says so.
    pub async fn hold(mut self) -> io::Result<()> {
        let mut nothing = [0; 64];
        while self.stream.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
        self.leave.send_modify(|left| *left += 1);
        Ok(())
    }

    /// Says the same again and again until the other side closes.
    pub async fn flood(mut self, text: &str) -> io::Result<()> {
        while self.raw(text).await.is_ok() {}
        self.leave.send_modify(|left| *left += 1);
        Ok(())
    }

    /// Cuts the connection without ending anything, as a host that dies does.
    pub fn cut(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }
}

/// A whole message.
pub fn message(id: &str, words: &[&str]) -> Vec<Value> {
    let event = |kind: &str| json!({"type": format!("TEXT_MESSAGE_{kind}"), "messageId": id});
    let mut events = vec![event("START")];
    for word in words {
        events.push(json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": word}));
    }
    events.push(event("END"));
    events
}

/// A pace: what an endpoint lets pass between two signs of life, far within the silence that is allowed.
pub async fn moment() {
    tokio::time::sleep(Duration::from_millis(30)).await;
}

/// Waits until something is so that nobody tells of.
pub async fn until(is: impl Fn() -> bool) {
    let wait = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("happens at all");
}
