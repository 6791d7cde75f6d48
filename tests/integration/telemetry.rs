//! The JSON log, and traces over OTLP.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use netra::{
    protocol::{CreateThread, SendMessage, ThreadId},
    socket::native::{Client as SocketClient, ClientConfig},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value as Any},
    trace::v1::Span,
};
use prost::Message;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::{ADMIN, Setup, blocking, netra};

/// A receiver of traces, with the requests that it received.
#[derive(Clone, Default)]
struct TraceReceiver(Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

impl TraceReceiver {
    /// Starts the receiver; returns its endpoint.
    async fn listen(&self) -> String {
        let take = async |State(receiver): State<Self>, headers: HeaderMap, body: Bytes| {
            receiver.0.lock().expect("not poisoned").push((headers, body));
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }
}

fn attributes(list: &[KeyValue]) -> HashMap<&str, &str> {
    let text = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
        Any::StringValue(_) => Some(()),
        _ => None,
    };
    let pairs = list.iter().filter(|pair| text(pair).is_some());
    let value = |pair: &'_ KeyValue| -> String {
        match pair.value.as_ref().and_then(|value| value.value.clone()) {
            Some(Any::StringValue(text)) => text,
            _ => String::new(),
        }
    };
    pairs.map(|pair| (pair.key.as_str(), &*value(pair).leak())).collect()
}

#[tokio::test]
async fn requests_commands_and_runs_arrive_as_spans_without_texts_of_users() {
    const QUESTION: &str = "What would a pelican do?";
    let receiver = TraceReceiver::default();
    let endpoint = receiver.listen().await;
    let server = Setup::default().with("TELEMETRY__OTLP_ENDPOINT", endpoint).start().await;
    let port = server.url.rsplit_once(':').map(|(_, port)| format!(":{port}")).expect("a port");
    let token = server.token(ADMIN).await;
    let client = SocketClient::connect(ClientConfig::bearer(server.socket_url(), &token));
    let thread_id = ThreadId::new();
    client
        .send(CreateThread { thread_id, title: Some("Birds".into()), agent: None })
        .await
        .expect("the thread is created");
    let accepted = client.send(SendMessage::new(thread_id, QUESTION)).await;
    let run = accepted.expect("the command is accepted").run_id.to_string();
    drop(client);
    // The server sends the remaining spans when it stops.
    assert_eq!(server.stop().await.0, Some(0));

    let received = receiver.0.lock().expect("not poisoned");
    let mut spans: Vec<Span> = Vec::new();
    for (headers, body) in received.iter() {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        for secret in [QUESTION, "Birds", &token, ADMIN.password, ADMIN.email] {
            assert!(!body.windows(secret.len()).any(|part| part == secret.as_bytes()), "`{secret}` is in the spans");
        }
        let request = ExportTraceServiceRequest::decode(body.clone()).expect("OTLP");
        for resource in request.resource_spans {
            let resource_info = resource.resource.as_ref().expect("a resource");
            let resource_info = attributes(&resource_info.attributes);
            assert_eq!(resource_info["service.name"], "netra");
            assert!(resource_info["service.instance.id"].ends_with(&port), "{resource_info:?}");
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    let find = |name: &str, key: &str, value: &str| {
        let found =
            spans.iter().find(|span| span.name == name && attributes(&span.attributes).get(key) == Some(&value));
        found.unwrap_or_else(|| panic!("no {name} with {key}={value} in {spans:#?}"))
    };
    find("request", "path", "/api/auth/token");
    let command = find("command", "type", "send_message");
    let run = find("run", "run", &run);
    assert_eq!(attributes(&run.attributes)["thread"], thread_id.to_string());
    assert_eq!(
        run.links.iter().map(|link| &link.span_id).collect::<Vec<_>>(),
        [&command.span_id],
        "a link to its command"
    );
}

/// Runs a command with the password on standard input.
fn with_password(folder: &Path, arguments: &[&str]) {
    let mut child = netra();
    let child = child.current_dir(folder).args(arguments).args(["--email", ADMIN.email, "--password-stdin"]);
    let mut child =
        child.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    child.stdin.take().expect("its input").write_all(ADMIN.password.as_bytes()).expect("the process reads its input");
    assert!(child.wait().expect("the program runs").success(), "{arguments:?}");
}

#[tokio::test]
async fn every_line_of_the_json_log_is_an_object_and_names_connection_and_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let lines = blocking(move || {
        let wrong = "[[agents]]\nid = \"far\"\nname = \"Far\"\nkind = \"ag-ui\"\nurl = \"ftp://far.example.org/\"\n";
        std::fs::write(folder.path().join("Leptos.toml"), wrong).expect("the file is written");
        with_password(folder.path(), &["user", "add", "--name", ADMIN.name]);
        let stderr = File::create(&log).expect("the file is created");
        let mut server = netra();
        server.current_dir(folder.path()).env("NETRA_LOG__FORMAT", "json").env("NETRA_LOG", "netra=info");
        server.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(stderr);
        let mut server = server.spawn().expect("the program starts");
        let mut link = String::new();
        BufReader::new(server.stdout.take().expect("its output")).read_line(&mut link).expect("a link");
        with_password(folder.path(), &["ask", "What can you do?", "--server", link.trim()]);
        let stop =
            std::process::Command::new("kill").arg(server.id().to_string()).status().expect("kill(1) is installed");
        assert!(stop.success());
        assert!(server.wait().expect("the program runs").success());
        std::fs::read_to_string(log).expect("the log")
    })
    .await;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let line_with = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("no line has the message `{message}`: {lines:#?}"))
    };
    for message in ["socket opened", "socket closed by the client or lost"] {
        assert!(
            line_with(message)["connection"].is_string() && line_with(message)["user"].is_string(),
            "{}",
            line_with(message)
        );
    }
    let reason = line_with("an agent cannot be used")["reason"].as_str().expect("a reason");
    assert!(reason.starts_with("agents[0].url: has another scheme"), "{reason}");
    let ended = &line_with("a run finished")["span"];
    assert!(ended["run"].is_string() && ended["thread"].is_string() && ended["name"] == "run", "{ended}");
    assert!(lines.len() < 60, "frames are not logged one by one: {} lines", lines.len());
}
