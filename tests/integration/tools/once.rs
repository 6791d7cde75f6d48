//! A call is made once, whatever its server answers: servers over HTTP that carry it out and refuse it afterwards, and
//! servers that forget their sessions.

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

/// A server that counts what it carried out.
#[derive(Default)]
pub(crate) struct Counting {
    done: Mutex<HashMap<String, usize>>,
    sessions: Mutex<HashSet<String>>,
    begun: Mutex<usize>,
    /// How it says that it does not know a session.
    forgets: Mutex<(u16, bool)>,
    /// Whether it answers pings with an error of its own.
    is_ill: Mutex<bool>,
}

impl Counting {
    /// How often it carried this out.
    pub(crate) fn done(&self, tool: &str) -> usize {
        self.done.lock().expect("not poisoned").get(tool).copied().unwrap_or_default()
    }

    /// Serves; answers the entry of the configuration, too.
    pub(crate) async fn serve() -> (Arc<Self>, String) {
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
        *self.forgets.lock().expect("not poisoned") = (status, in_json);
    }

    /// `how`: a status, and whether a JSON-RPC error says it or a page.
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

async fn answer(State(server): State<Arc<Counting>>, headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).expect("JSON");
    let result = |result: Value| axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
    if message["method"] == "initialize" {
        let mut begun = server.begun.lock().expect("not poisoned");
        *begun += 1;
        let session = format!("s{begun}");
        server.sessions.lock().expect("not poisoned").insert(session.clone());
        let told = json!({
            "protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "counting", "version": "1"},
        });
        return ([("mcp-session-id", session)], result(told)).into_response();
    }
    let session = headers.get("mcp-session-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    if !server.sessions.lock().expect("not poisoned").contains(session) {
        return Counting::refusal(*server.forgets.lock().expect("not poisoned"));
    }
    match message["method"].as_str().unwrap_or_default() {
        "ping" if *server.is_ill.lock().expect("not poisoned") => Counting::refusal((500, false)),
        "ping" => result(json!({})).into_response(),
        "tools/list" => {
            let names = ["json-200", "json-400", "json-404", "json-500", "page-404", "page-502", "well", "hold"];
            let tools: Vec<Value> =
                names.iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}})).collect();
            result(json!({"tools": tools})).into_response()
        }
        "tools/call" => {
            let name = message["params"]["name"].as_str().unwrap_or_default().to_owned();
            *server.done.lock().expect("not poisoned").entry(name.clone()).or_default() += 1;
            match name.split_once('-') {
                None if name == "hold" => std::future::pending().await,
                Some((form, status)) => Counting::refusal((status.parse().expect("a status"), form == "json")),
                None => result(json!({"content": [{"type": "text", "text": "done"}]})).into_response(),
            }
        }
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

async fn serving() -> (Arc<Counting>, House) {
    let (server, entry) = Counting::serve().await;
    (server, House::new(&entry))
}

#[tokio::test]
async fn a_call_that_is_refused_after_it_was_carried_out_is_not_made_again() {
    for tool in ["json-200", "json-400", "json-404", "json-500", "page-404", "page-502"] {
        let (server, house) = serving().await;
        let output = house.call(&format!("x__{tool}"), json!({})).await;
        assert_eq!(server.done(tool), 1, "{tool}: {output:?}");
        assert!(output.failed && output.text.contains("may or may not have been carried out"), "{tool}: {output:?}");
        assert_eq!(house.call("x__well", json!({})).await, ToolOutput::done("done"), "{tool}: it goes on");
        assert_eq!((server.done(tool), server.done("well")), (1, 1));
        house.tools.close().await;
    }
}

#[tokio::test]
async fn a_forgotten_session_is_found_before_a_call_is_sent() {
    for how in [(404, false), (404, true), (400, true)] {
        let (server, house) = serving().await;
        assert_eq!(house.call("x__well", json!({})).await, ToolOutput::done("done"));
        server.forget(how.0, how.1);
        assert_eq!(house.call("x__well", json!({})).await, ToolOutput::done("done"), "{how:?}");
        assert_eq!((server.done("well"), *server.begun.lock().expect("not poisoned")), (2, 2), "{how:?}");
        house.tools.close().await;
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_for_its_session_is_not_called() {
    let (server, house) = serving().await;
    assert!(!house.names().await.is_empty());
    *server.is_ill.lock().expect("not poisoned") = true;
    let output = house.call("x__well", json!({})).await;
    assert!(output.failed && output.text.contains("the call was not made"), "{output:?}");
    assert_eq!(server.done("well"), 0);
    *server.is_ill.lock().expect("not poisoned") = false;
    assert_eq!(house.call("x__well", json!({})).await, ToolOutput::done("done"));
    house.tools.close().await;
}
