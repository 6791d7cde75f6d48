//! Health, readiness and metrics.

use netra::{
    protocol::{ChannelName, CreateThread, Cursor, SendMessage, ThreadId},
    server::config::{MetricsAccess, ServerConfig},
    socket::native::{Client as SocketClient, ClientConfig, Update},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::support::{ADMIN, Client, Setup, TEST_TIMEOUT, TestServer, free_port, poll};

/// The value of a metric by its name with labels; 0 where it is missing.
fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0.0, |number| number.parse().expect("a number"))
}

async fn metrics(server: &TestServer) -> String {
    let answer = Client::new(server).get("/metrics").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers()["content-type"].to_str().expect("text").starts_with("text/plain; version=0.0.4"));
    answer.text().await.expect("text")
}

/// Requests the metrics until a condition holds.
async fn until(server: &TestServer, what: &str, holds: impl Fn(&str) -> bool) -> String {
    poll(what, async || Some(metrics(server).await).filter(|text| holds(text))).await
}

#[tokio::test]
async fn events_of_a_server_are_counted() {
    let server = TestServer::start().await;
    let (token, url) = (server.token(ADMIN).await, server.socket_url());
    let client = SocketClient::connect(ClientConfig::bearer(url.clone(), &token));
    let thread_id = ThreadId::new();
    client.send(CreateThread { thread_id, title: None, agent: None }).await.expect("the thread is created");
    let mut updates = client.follow(ChannelName::Thread(thread_id), None).await;
    let Some(Update::Snapshot { cursor, .. }) = timeout(TEST_TIMEOUT, updates.recv()).await.expect("in time") else {
        panic!("the first update is not a snapshot")
    };
    client.send(SendMessage::new(thread_id, "What can you do?")).await.expect("the command is accepted");
    let again = SocketClient::connect(ClientConfig::bearer(url.clone(), &token));
    let after = Some(Cursor { seq: 1, ..cursor });
    let mut behind = again.follow(ChannelName::Thread(thread_id), after).await;
    timeout(TEST_TIMEOUT, behind.recv()).await.expect("in time").expect("the missed entries are received");
    let refused = SocketClient::connect(ClientConfig::bearer(url, "no.such.token"));

    let finished = r#"netra_runs_ended_total{phase="finished"}"#;
    let refusals = r#"netra_handshakes_refused_total{reason="unauthorized"}"#;
    let text =
        until(&server, "the run's end", |text| value(text, finished) >= 1.0 && value(text, refusals) >= 1.0).await;
    assert_eq!(value(&text, r#"netra_connections{state="open"}"#), 2.0);
    assert_eq!(value(&text, "netra_users"), 1.0);
    assert_eq!(value(&text, r#"netra_commands_total{type="create_thread",result="ok"}"#), 1.0);
    assert_eq!(value(&text, r#"netra_command_seconds_count{type="send_message"}"#), 1.0);
    assert_eq!(value(&text, r#"netra_resumes_total{mode="replay"}"#), 1.0);
    assert!(value(&text, "netra_entries_appended_total") > 5.0);
    assert!(value(&text, "netra_append_seconds_count") > 2.0);
    assert!(value(&text, "netra_batch_entries_count") > 2.0);
    assert!(value(&text, "netra_deliveries_total") > 5.0);
    assert!(value(&text, "netra_delivery_seconds_count") > 0.0);
    assert!(text.contains("netra_build_info{version="));
    for id in [thread_id.to_string(), ADMIN.email.to_owned()] {
        assert!(!text.contains(&id), "{id} is a label");
    }

    drop((client, again, refused));
    let open = r#"netra_connections{state="open"}"#;
    until(&server, "the end of the connections", |text| value(text, open) == 0.0 && value(text, "netra_users") == 0.0)
        .await;
}

#[tokio::test]
async fn the_metrics_are_only_for_those_whom_the_configuration_allows() {
    let off = Setup::default().with("SERVER__METRICS", "off").start().await;
    // From this machine, as a local proxy without a forwarding header does.
    assert_eq!(Client::new(&off).get("/metrics").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(ServerConfig::default().metrics, MetricsAccess::Off, "unless configured otherwise");

    let public = Setup::default().with("SERVER__METRICS", "public").start().await;
    let proxied = Client::new(&public).request(Method::GET, "/metrics").header("x-forwarded-for", "192.0.2.7");
    assert_eq!(proxied.send().await.expect("the server answers").status(), StatusCode::OK);
}

#[tokio::test]
async fn a_separate_address_removes_the_metrics_from_the_public_one() {
    let free = format!("127.0.0.1:{}", free_port());
    let server = Setup::default().with("SERVER__METRICS", &free).start().await;
    assert_eq!(Client::new(&server).get("/metrics").await.status(), StatusCode::NOT_FOUND);
    for path in ["/metrics", "/healthz", "/readyz"] {
        let answer = reqwest::get(format!("http://{free}{path}")).await.expect("the server answers");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn health_and_readiness_report_the_store_and_the_bus() {
    let server = TestServer::start().await;
    let nobody = Client::new(&server);
    assert_eq!(nobody.get("/healthz").await.text().await.expect("text"), "ok\n");
    let ready = nobody.get("/readyz").await;
    assert_eq!(ready.status(), StatusCode::OK);
    let body: Value = ready.json().await.expect("JSON");
    assert_eq!((&body["ready"], &body["store"]["ok"], &body["bus"]["ok"]), (&true.into(), &true.into(), &true.into()));
    assert_eq!(body["server"]["state"], "serving");
}
