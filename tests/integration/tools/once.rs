//! A call is sent once, whatever its server answers: servers over HTTP that perform it and then answer with an error, and servers
//! that forget their sessions.

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::json;

use super::*;

/// A server that counts the calls that it performed.
#[derive(Default)]
pub(crate) struct CountingServer {
    /// The number of calls by tool.
    calls: Mutex<HashMap<String, usize>>,
    sessions: Mutex<HashSet<String>>,
    /// The number of sessions so far.
    initialized: Mutex<usize>,
    /// How it refuses an unknown session: the status, and whether as JSON.
    session_refusal: Mutex<(u16, bool)>,
    /// Whether it answers pings with status 500.
    fails_pings: Mutex<bool>,
}

impl CountingServer {
    /// How often it performed this tool's call.
    pub(crate) fn calls_of(&self, tool: &str) -> usize {
        self.calls.lock().expect("not poisoned").get(tool).copied().unwrap_or_default()
    }

    /// Starts a server; returns it with its configuration.
    pub(crate) async fn start() -> (Arc<Self>, String) {
        let server = Arc::new(Self::default());
        let refused = || async { StatusCode::METHOD_NOT_ALLOWED };
        let app = Router::new().route("/mcp", post(answer).get(refused).delete(refused));
        let app = app.with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let entry = format!(
            "[[tools]]\nid = \"x\"\nkind = \"mcp\"\nurl = \"http://{address}/mcp\"\nallow_private_network = true\n"
        );
        (server, entry)
    }

    fn forget(&self, status: u16, in_json: bool) {
        self.sessions.lock().expect("not poisoned").clear();
        *self.session_refusal.lock().expect("not poisoned") = (status, in_json);
    }

    /// A refusal with this status, as a JSON-RPC error or as a page.
    fn refusal((status, in_json): (u16, bool)) -> Response {
        let status = StatusCode::from_u16(status).expect("a status");
        match in_json {
            true => {
                let error = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32603, "message": "went wrong"}});
                (status, axum::Json(error)).into_response()
            }
            false => (status, axum::response::Html("<html>not here</html>")).into_response(),
        }
    }
}

async fn answer(State(server): State<Arc<CountingServer>>, headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).expect("JSON");
    let result = |result: Value| axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
    if message["method"] == "initialize" {
        let mut initialized = server.initialized.lock().expect("not poisoned");
        *initialized += 1;
        let session = format!("s{initialized}");
        server.sessions.lock().expect("not poisoned").insert(session.clone());
        let initialized = json!({
            "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "counting", "version": "1"},
        });
        return ([("mcp-session-id", session)], result(initialized)).into_response();
    }
    let session = headers.get("mcp-session-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    if !server.sessions.lock().expect("not poisoned").contains(session) {
        return CountingServer::refusal(*server.session_refusal.lock().expect("not poisoned"));
    }
    match message["method"].as_str().unwrap_or_default() {
        "ping" if *server.fails_pings.lock().expect("not poisoned") => CountingServer::refusal((500, false)),
        "ping" => result(json!({})).into_response(),
        "tools/list" => {
            let names = ["json-200", "json-400", "json-404", "json-500", "page-404", "page-502", "well", "hold"];
            let tools: Vec<Value> =
                names.iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}})).collect();
            result(json!({"tools": tools})).into_response()
        }
        "tools/call" => {
            let name = message["params"]["name"].as_str().unwrap_or_default().to_owned();
            *server.calls.lock().expect("not poisoned").entry(name.clone()).or_default() += 1;
            match name.split_once('-') {
                None if name == "hold" => std::future::pending().await,
                Some((form, status)) => CountingServer::refusal((status.parse().expect("a status"), form == "json")),
                None => result(json!({"content": [{"type": "text", "text": "done"}]})).into_response(),
            }
        }
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

async fn start() -> (Arc<CountingServer>, ToolHarness) {
    let (server, entry) = CountingServer::start().await;
    (server, ToolHarness::new(&entry))
}

#[tokio::test]
async fn a_call_that_is_refused_after_it_was_carried_out_is_not_sent_again() {
    for tool in ["json-200", "json-400", "json-404", "json-500", "page-404", "page-502"] {
        let (server, harness) = start().await;
        let output = harness.call(&format!("x__{tool}"), json!({})).await;
        assert_eq!(server.calls_of(tool), 1, "{tool}: {output:?}");
        assert!(output.failed && output.text.contains("may or may not have been carried out"), "{tool}: {output:?}");
        assert_eq!(
            harness.call("x__well", json!({})).await,
            ToolOutput::done("done"),
            "{tool}: the next call succeeds"
        );
        assert_eq!((server.calls_of(tool), server.calls_of("well")), (1, 1));
        harness.tools.close().await;
    }
}

#[tokio::test]
async fn a_forgotten_session_is_found_before_a_call_is_sent() {
    for how in [(404, false), (404, true), (400, true)] {
        let (server, harness) = start().await;
        assert_eq!(harness.call("x__well", json!({})).await, ToolOutput::done("done"));
        server.forget(how.0, how.1);
        assert_eq!(harness.call("x__well", json!({})).await, ToolOutput::done("done"), "{how:?}");
        assert_eq!((server.calls_of("well"), *server.initialized.lock().expect("not poisoned")), (2, 2), "{how:?}");
        harness.tools.close().await;
    }
}

#[tokio::test]
async fn a_server_whose_ping_fails_is_not_called() {
    let (server, harness) = start().await;
    assert!(!harness.names().await.is_empty());
    *server.fails_pings.lock().expect("not poisoned") = true;
    let output = harness.call("x__well", json!({})).await;
    assert!(output.failed && output.text.contains("the call was not made"), "{output:?}");
    assert_eq!(server.calls_of("well"), 0);
    *server.fails_pings.lock().expect("not poisoned") = false;
    assert_eq!(harness.call("x__well", json!({})).await, ToolOutput::done("done"));
    harness.tools.close().await;
}
