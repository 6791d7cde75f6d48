//! How a server stops: on a signal it accepts no new connection or run, lets runs finish, sends every socket a time to
//! reconnect, and exits with 0; on a second signal it exits at once.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt, future::join_all};
use netra::protocol::{
    ChannelName, Command, CreateThread, ErrorBody, ErrorCode, Push, SendMessage, ServerFrame, Subscribe, ThreadId,
    encode_command,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::support::{ADMIN, Client, Setup, TEST_TIMEOUT, TestServer};

/// A socket on which a test sees every frame.
struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: i64,
    /// Pushes that arrived before an awaited reply.
    pushes: Vec<Push>,
}

impl Socket {
    async fn open(server: &TestServer, token: &str) -> Result<Self, Error> {
        let mut request = server.socket_url().into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
        request.headers_mut().insert("sec-websocket-protocol", "netra.v1".parse().expect("a header"));
        let (stream, _) = connect_async(request).await?;
        Ok(Self { stream, next_id: 0, pushes: Vec::new() })
    }

    async fn message(&mut self) -> Message {
        timeout(TEST_TIMEOUT, self.stream.next())
            .await
            .expect("in time")
            .expect("a frame before the end")
            .expect("a frame")
    }

    /// Sends a command and returns its reply.
    async fn ask(&mut self, command: impl Into<Command>) -> Result<Value, ErrorBody> {
        self.next_id += 1;
        let command = encode_command(self.next_id, &command.into());
        self.stream.send(Message::text(command)).await.expect("the frame is sent");
        loop {
            match self.message().await {
                Message::Text(text) => match ServerFrame::decode(&text).expect("a frame") {
                    ServerFrame::Reply { outcome, .. } => return outcome,
                    ServerFrame::Push(push) => self.pushes.push(push),
                    ServerFrame::Entry(entry) => panic!("a compact entry on netra.v1: {entry:?}"),
                },
                Message::Ping(_) => {}
                other => panic!("no reply but {other:?}"),
            }
        }
    }

    async fn create_thread(&mut self, agent: &str) -> ThreadId {
        let thread_id = ThreadId::new();
        self.ask(CreateThread { thread_id, title: None, agent: Some(agent.into()) })
            .await
            .expect("the thread is created");
        self.ask(Subscribe { channel: ChannelName::Thread(thread_id), after: None, newest: None })
            .await
            .expect("the channel is followed");
        thread_id
    }

    async fn say(&mut self, thread_id: ThreadId) -> Result<Value, ErrorBody> {
        self.ask(SendMessage::new(thread_id, "Go on.")).await
    }

    /// Waits for a push.
    async fn until(&mut self, wanted: impl Fn(&Push) -> bool) {
        while !self.pushes.iter().any(&wanted) {
            if let Message::Text(text) = self.message().await
                && let ServerFrame::Push(push) = ServerFrame::decode(&text).expect("a frame")
            {
                self.pushes.push(push);
            }
        }
    }

    /// Reads to the end; returns all pushes and the close code.
    async fn end(mut self) -> (Vec<Push>, u16) {
        loop {
            match self.message().await {
                Message::Close(frame) => return (self.pushes, frame.expect("a code").code.into()),
                Message::Text(text) => match ServerFrame::decode(&text).expect("a frame") {
                    ServerFrame::Push(push) => self.pushes.push(push),
                    reply => panic!("a reply without a command: {reply:?}"),
                },
                _ => {}
            }
        }
    }
}

/// The agents' events among the pushes.
fn events(pushes: &[Push]) -> Vec<&Value> {
    let event = pushes.iter().filter_map(|push| match push {
        Push::Event(event) => Some(&event.entry["event"]),
        _ => None,
    });
    event.filter(|event| event.is_object()).collect()
}

fn is_draining(push: &Push) -> bool {
    matches!(push, Push::Draining(_))
}

fn is_run_phase(push: &Push) -> bool {
    !events(std::slice::from_ref(push)).is_empty()
}

/// A server whose agent `slow` streams this many words, a hundred a second.
async fn with_agent(setup: Setup, words: usize) -> (TestServer, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("run.jsonl");
    let mut lines = vec![json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"})];
    lines.extend((0..words).map(|_| json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "word "})));
    lines.push(json!({"type": "TEXT_MESSAGE_END", "messageId": "m"}));
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&file, lines.join("\n")).expect("the file is written");
    let agent = format!(
        "[[agents]]\nid = \"slow\"\nname = \"Slow\"\nkind = \"replay\"\nfile = {:?}\nevents_per_second = 100\n",
        file.display().to_string()
    );
    (setup.file(&agent).start().await, folder)
}

#[tokio::test]
async fn with_nothing_running_a_stop_is_immediate() {
    for signal in ["INT", "TERM"] {
        let server = TestServer::start().await;
        let token = server.token(ADMIN).await;
        let socket = Socket::open(&server, &token).await.expect("the socket opens");
        let began = Instant::now();
        server.signal(signal);
        let (pushes, code) = socket.end().await;
        assert_eq!(code, 1012);
        assert!(matches!(pushes[..], [Push::Welcome(_), Push::Draining(_)]), "{pushes:?}");
        assert_eq!(server.exit_code().await, Some(0), "after {signal}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?} for nothing", began.elapsed());
    }
}

#[tokio::test]
async fn a_draining_server_finishes_its_run_and_starts_no_other() {
    let (server, _folder) = with_agent(Setup::default(), 150).await;
    let token = server.token(ADMIN).await;
    let mut socket = Socket::open(&server, &token).await.expect("the socket opens");
    let thread = socket.create_thread("slow").await;
    socket.say(thread).await.expect("the message is accepted");
    socket.until(is_run_phase).await;
    server.signal("TERM");
    socket.until(is_draining).await;

    let refused = socket.say(thread).await.expect_err("no new run");
    assert_eq!((refused.code, refused.retry_after_ms.is_some()), (ErrorCode::Unavailable, true), "{refused:?}");
    match Socket::open(&server, &token).await.err() {
        Some(Error::Http(answer)) => {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            let body: Value = serde_json::from_slice(answer.body().as_deref().expect("a body")).expect("JSON");
            assert_eq!(body["code"], "draining");
            assert!(answer.headers().contains_key("retry-after"));
        }
        other => panic!("a new socket was not refused: {other:?}"),
    }
    let nobody = Client::new(&server);
    assert_eq!(nobody.get("/healthz").await.status(), StatusCode::OK, "it is still alive");
    let ready = nobody.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = ready.json().await.expect("JSON");
    assert_eq!((&body["server"]["state"], &body["store"]["ok"]), (&json!("draining"), &json!(true)));

    let (pushes, code) = socket.end().await;
    let received = events(&pushes);
    assert_eq!(received.last().expect("an event")["type"], "RUN_FINISHED");
    let words: usize = received.iter().filter_map(|event| Some(event["delta"].as_str()?.len())).sum();
    assert_eq!(words, 150 * "word ".len(), "the run streamed all its words");
    assert_eq!((code, server.exit_code().await), (1012, Some(0)));
}

#[tokio::test]
async fn a_run_that_does_not_finish_before_the_drain_ends_fails_with_its_code() {
    let (server, _folder) = with_agent(Setup::default().with("SERVER__DRAIN_MS", 300), 100_000).await;
    let token = server.token(ADMIN).await;
    let mut socket = Socket::open(&server, &token).await.expect("the socket opens");
    let thread = socket.create_thread("slow").await;
    socket.say(thread).await.expect("the message is accepted");
    socket.until(is_run_phase).await;
    server.signal("TERM");
    let (pushes, code) = socket.end().await;
    let received = events(&pushes);
    let kinds: Vec<_> = received.iter().rev().take(2).map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["RUN_ERROR", "TEXT_MESSAGE_END"], "open messages are closed before the run ends");
    assert_eq!(received.last().expect("an event")["code"], "server_restarting");
    assert_eq!((code, server.exit_code().await), (1012, Some(0)));
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_the_next_start_ends_the_run() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let (server, _folder) = with_agent(Setup::default(), 100_000).await;
        let token = server.token(ADMIN).await;
        let mut socket = Socket::open(&server, &token).await.expect("the socket opens");
        let thread = socket.create_thread("slow").await;
        socket.say(thread).await.expect("the message is accepted");
        // A run without an entry in the log would start again after the restart.
        socket.until(is_run_phase).await;
        server.signal("TERM");
        socket.until(is_draining).await;
        let began = Instant::now();
        server.signal(signal);
        let (ended, stopped) = server.wait().await;
        assert_eq!(ended, Some(code));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?} is not at once", began.elapsed());

        let server = stopped.restart().await;
        let mut socket = Socket::open(&server, &token).await.expect("the socket opens");
        let channel = ChannelName::Thread(thread);
        let view = socket
            .ask(Subscribe { channel, after: None, newest: None })
            .await
            .expect("the channel is followed")
            .to_string();
        assert!(view.contains("server_restarted"), "its end is in the log: {view}");
    }
}

#[tokio::test]
async fn two_hundred_sockets_get_reconnect_delays_spread_over_the_window() {
    const SOCKETS: usize = 200;
    let server = Setup::default().with("SOCKET__MAX_CONNECTIONS_PER_USER", SOCKETS).start().await;
    let token = server.token(ADMIN).await;
    let opening = join_all((0..SOCKETS).map(|_| Socket::open(&server, &token))).await;
    let sockets: Vec<Socket> = opening.into_iter().map(|socket| socket.expect("the socket opens")).collect();
    server.signal("TERM");
    let ends = join_all(sockets.into_iter().map(Socket::end)).await;
    let mut delays = BTreeSet::new();
    for (pushes, code) in &ends {
        assert_eq!(*code, 1012);
        let received = pushes.iter().find_map(|push| match push {
            Push::Draining(draining) => Some(draining.reconnect_in_ms),
            _ => None,
        });
        delays.insert(received.expect("each socket gets a delay"));
    }
    // A window of half a second plus a millisecond for each socket, in which each has a slot.
    let window = 500 + SOCKETS as u64;
    assert!(delays.len() > SOCKETS * 8 / 10, "{} of {SOCKETS} differ", delays.len());
    assert!(delays.iter().all(|delay| *delay <= window), "{delays:?}");
    for quarter in 0..4 {
        let slots = delays.range(quarter * window / 4..(quarter + 1) * window / 4).count();
        assert!((SOCKETS / 8..=SOCKETS * 3 / 8).contains(&slots), "{slots} come back in quarter {quarter}");
    }
    assert_eq!(server.exit_code().await, Some(0));
}
