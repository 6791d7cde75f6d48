//! The reference server of the protocol, `@modelcontextprotocol/server-everything`, over both transports.

use std::time::Instant;

use netra::server::agents::tools::Consent;
use serde_json::json;

use super::*;
use crate::support::free_port;

/// Starts the server over HTTP.
fn over_http(port: u16) -> KillOnDrop {
    let mut command = Command::new("node");
    command.arg(everything()).arg("streamableHttp").env("PORT", port.to_string());
    KillOnDrop(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Node.js is installed"))
}

async fn listens(port: u16) {
    until("the server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
}

fn at(port: u16) -> String {
    format!(
        "[[tools]]\nid = \"all\"\nkind = \"mcp\"\nurl = \"http://127.0.0.1:{port}/mcp\"\nallow_private_network = true\n\
         connect_timeout_ms = 5000\n"
    )
}

/// Asserts what both transports must do.
async fn assert_serves(harness: &ToolHarness) {
    let names = harness.names().await;
    for name in ["all__echo", "all__get-sum", "all__trigger-long-running-operation"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
    assert!(matches!(harness.state("all"), ToolSourceState::Ready { left_out: 0, .. }));
    assert_eq!(harness.call("all__echo", json!({"message": "hello"})).await, ToolOutput::done("Echo: hello"));
    let sum = harness.call("all__get-sum", json!({"a": 2, "b": 40})).await;
    assert!(!sum.failed && sum.text.contains("42"), "{sum:?}");
    let wrong = harness.call("all__get-sum", json!({"a": "2"})).await;
    assert!(wrong.failed && wrong.text.contains("`b` is missing"), "{wrong:?}");
    let image = harness.call("all__get-tiny-image", json!({})).await;
    assert!(image.text.contains("[an image, image/png, about"), "{image:?}");
    let weather = harness.call("all__get-structured-content", json!({"location": "Chicago"})).await;
    assert_eq!(weather.text.matches("temperature").count(), 1, "{weather:?}");
    let refused = harness.call("all__get-resource-reference", json!({"resourceType": "Text", "resourceId": -1})).await;
    assert!(refused.failed && !refused.text.is_empty(), "{refused:?}");
}

/// Asserts that a long call ends within a second after its run is stopped, and that the session stays usable.
async fn assert_stops(harness: &ToolHarness) {
    let run = input(&[]);
    let (agent, cancel) = (Arc::clone(&harness.toolbox), run.cancel.clone());
    let args = json!({"duration": 20, "steps": 20});
    let call =
        tokio::spawn(async move { agent.call("all__trigger-long-running-operation", args, &run).await.output() });
    sleep(Duration::from_millis(300)).await;
    assert!(!call.is_finished());
    let stopped_at = Instant::now();
    cancel.cancel();
    let output = call.await.expect("the task does not panic");
    assert!(
        output.failed && stopped_at.elapsed() < Duration::from_secs(1),
        "{output:?} after {:?}",
        stopped_at.elapsed()
    );
    assert_eq!(harness.call("all__echo", json!({"message": "on"})).await.text, "Echo: on");
}

#[tokio::test]
async fn a_server_as_a_child_process_lists_serves_stops_and_ends_with_its_sources() {
    let harness = ToolHarness::new(&node("all", &everything(), &["stdio"], ""));
    assert_serves(&harness).await;
    assert_stops(&harness).await;
    let env = harness.call("all__get-env", json!({})).await.text;
    let env: Value = serde_json::from_str(&env).expect("its environment");
    let names: Vec<&String> = env.as_object().expect("an object").keys().collect();
    assert!(names.iter().all(|name| ["HOME", "PATH"].contains(&name.as_str())), "{names:?}");
    timeout(TEST_TIMEOUT, harness.tools.close()).await.expect("the connection closes in time");
    assert!(harness.call("all__echo", json!({"message": "x"})).await.text.contains("stopping"));
}

#[tokio::test]
async fn a_server_over_http_lists_serves_stops_and_is_found_again_after_it_was_killed() {
    let port = free_port();
    let server = over_http(port);
    listens(port).await;
    let harness = ToolHarness::new(&at(port));
    assert_serves(&harness).await;
    assert_stops(&harness).await;
    drop(server);
    let lost = harness.call("all__echo", json!({"message": "x"})).await;
    assert!(lost.failed && lost.text.contains("the call was not made"), "{lost:?}");
    let unavailable = harness.call("all__echo", json!({"message": "x"})).await;
    assert!(unavailable.failed && unavailable.text.contains("are unavailable"), "{unavailable:?}");
    assert!(harness.reason("all").contains("refused"), "{}", harness.reason("all"));
    let _server = over_http(port);
    listens(port).await;
    let mut found = unavailable;
    for _ in 0..200 {
        found = harness.call("all__echo", json!({"message": "again"})).await;
        if !found.failed {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(found.text, "Echo: again");
    timeout(TEST_TIMEOUT, harness.tools.close()).await.expect("the connection closes in time");
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_replaced() {
    let port = free_port();
    let server = over_http(port);
    listens(port).await;
    let harness = ToolHarness::new(&at(port));
    assert!(!harness.call("all__echo", json!({"message": "x"})).await.failed);
    // Another server at the same address has no session.
    drop(server);
    let _server = over_http(port);
    listens(port).await;
    assert_eq!(harness.call("all__echo", json!({"message": "new"})).await.text, "Echo: new");
}

#[tokio::test]
async fn a_tools_consent_comes_from_the_configuration_not_from_the_server() {
    let consent = "consent = { \"get-*\" = \"automatic\", get-env = \"off\" }";
    let harness = ToolHarness::new(&node("all", &everything(), &["stdio"], consent));
    let tools = harness.toolbox.list(&input(&[])).await;
    let consent = |name: &str| tools.iter().find(|tool| tool.name == name).map(|tool| tool.consent);
    // The server annotates it as read-only, which has no effect.
    assert_eq!(consent("all__echo"), Some(Consent::Ask));
    assert_eq!(consent("all__get-sum"), Some(Consent::Automatic));
    assert_eq!(consent("all__get-env"), None);
    assert!(harness.call("all__get-env", json!({})).await.text.contains("switched off"));
    harness.tools.close().await;
}
