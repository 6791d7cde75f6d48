//! Servers that misbehave: only their own tools are unavailable, with a reason.

use std::{io::Write, net::TcpListener, time::Instant};

use serde_json::json;
use tempfile::TempDir;

use super::*;

/// A scripted server in a mode, and the file in which it records what it receives.
pub(super) fn scripted(mode: &str, more: &str) -> (ToolHarness, TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("notes");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/tools/scripted.mjs");
    let harness = ToolHarness::new(&node("odd", &program, &[mode, &file.display().to_string()], more));
    (harness, folder, file)
}

pub(super) fn notes(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The process that recorded its id last.
pub(super) fn process(file: &Path, what: &str) -> u32 {
    let id = notes(file).iter().rev().find_map(|line| line.strip_prefix(what)?.trim().parse().ok());
    id.expect("a process id")
}

#[tokio::test]
async fn a_call_of_a_stopped_run_is_cancelled_at_the_server_too() {
    let (harness, _folder, file) = scripted("plain", "");
    let run = input(&[]);
    let (agent, cancel) = (Arc::clone(&harness.toolbox), run.cancel.clone());
    let call = tokio::spawn(async move { agent.call("odd__sleep", json!({}), &run).await.output() });
    until("the call arrived", || notes(&file).contains(&"sleeping".into())).await;
    let stopped_at = Instant::now();
    cancel.cancel();
    assert!(call.await.expect("the task does not panic").failed);
    assert!(stopped_at.elapsed() < Duration::from_secs(1));
    until("it is cancelled there", || notes(&file).contains(&"notifications/cancelled".into())).await;
    harness.tools.close().await;
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_cancelled_with_an_error() {
    let (harness, _folder, file) = scripted("plain", "call_timeout_ms = 300");
    let output = harness.call("odd__sleep", json!({})).await;
    assert!(output.failed && output.text.contains("did not answer within 0.3 s"), "{output:?}");
    until("it is cancelled there", || notes(&file).contains(&"notifications/cancelled".into())).await;
    assert!(harness.call("odd__refuse", json!({})).await.text.contains("the disk is full"));
    harness.tools.close().await;
}

#[tokio::test]
async fn errors_are_results_and_results_are_bounded() {
    let (harness, _folder, _) = scripted("plain", "max_output_bytes = 1000");
    assert_eq!(harness.call("odd__refuse", json!({})).await, ToolOutput::failed("the disk is full"));
    let broken = harness.call("odd__broken", json!({})).await;
    assert_eq!(broken, ToolOutput::failed("`odd__broken` failed: an internal error of the server"));
    let huge = harness.call("odd__huge", json!({})).await;
    assert!(!huge.failed && huge.text.len() <= 1_000, "{}", huge.text.len());
    assert!(huge.text.ends_with("[cut here: 2000000 bytes in all, the limit is 1000]"), "{}", huge.text);
    let unknown = harness.call("odd__none", json!({})).await;
    assert!(unknown.failed && unknown.text.contains("no tool"), "{unknown:?}");
    assert!(harness.call("other__none", json!({})).await.failed);
    harness.tools.close().await;
}

#[tokio::test]
async fn a_server_that_dies_during_a_call_is_started_again_for_the_next() {
    let (harness, _folder, file) = scripted("plain", "");
    let calls = |name: &str| notes(&file).iter().filter(|line| **line == format!("called {name}")).count();
    let died = harness.call("odd__die", json!({})).await;
    assert!(died.failed && died.text.contains("may or may not have been carried out"), "{died:?}");
    let first = process(&file, "began");
    assert!(harness.call("odd__refuse", json!({})).await.text.contains("the disk is full"));
    assert_ne!(process(&file, "began"), first);
    assert_eq!((calls("die"), calls("refuse")), (1, 1), "a call that may have been performed is not repeated");
    // Killed while no call is active.
    let second = process(&file, "began");
    assert!(
        Command::new("kill").args(["-KILL", &second.to_string()]).status().expect("kill(1) is installed").success()
    );
    until("it is gone", || !is_alive(second)).await;
    let mut output = harness.call("odd__refuse", json!({})).await;
    if output.text.contains("ended during the call") {
        output = harness.call("odd__refuse", json!({})).await;
    }
    assert!(output.text.contains("the disk is full"), "{output:?}");
    harness.tools.close().await;
    let last = process(&file, "began");
    until("the last one is gone", || !is_alive(last)).await;
}

#[tokio::test]
async fn a_list_that_changed_is_requested_again() {
    let (harness, _folder, _) = scripted("plain", "");
    assert!(harness.names().await.contains(&"odd__rename".into()));
    assert_eq!(harness.call("odd__rename", json!({})).await.text, "done");
    let end = Instant::now() + TEST_TIMEOUT;
    while !harness.names().await.contains(&"odd__renamed".into()) {
        assert!(Instant::now() < end, "the list is still the old one");
    }
    assert_eq!(harness.call("odd__renamed", json!({})).await.text, "still here");
    assert!(harness.call("odd__rename", json!({})).await.text.contains("no tool"));
    harness.tools.close().await;
}

#[tokio::test]
async fn an_endless_list_is_cut_and_an_odd_one_gets_valid_names() {
    let (harness, _folder, _) = scripted("endless", "max_tools = 5");
    assert_eq!(harness.names().await.len(), 5);
    assert!(matches!(harness.state("odd"), ToolSourceState::Ready { left_out: 1.., .. }));
    harness.tools.close().await;

    let (harness, _folder, _) = scripted("odd", "");
    let names = harness.names().await;
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "odd__twice");
    assert!(names[1].starts_with("odd__a_b_c_") && names[2].len() == 64, "{names:?}");
    assert!(matches!(harness.state("odd"), ToolSourceState::Ready { left_out: 2, .. }), "{:?}", harness.state("odd"));
    harness.tools.close().await;
}

#[tokio::test]
async fn servers_that_do_not_start_have_a_reason_and_do_not_affect_others() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/tools/scripted.mjs");
    let mut text = node("good", &program, &["plain"], "");
    text += "[[tools]]\nid = \"missing\"\nkind = \"mcp\"\ncommand = \"no-such-program-anywhere\"\n";
    text += &node("dies", &program, &["dies"], "");
    text += &node("mute", &program, &["mute"], "connect_timeout_ms = 700");
    text += "[[tools]]\nid = \"shut\"\nkind = \"mcp\"\nurl = \"http://127.0.0.1:9/mcp?key=hidden\"\nallow_private_network = true\n";
    text += "[[tools]]\nid = \"wrong\"\nkind = \"mcp\"\n";
    text += "[[tools]]\nid = \"unset\"\nkind = \"mcp\"\ncommand = \"x\"\nenv = { KEY = \"${NETRA_NO_SUCH}\" }\n";
    let harness = ToolHarness::new(&text);
    let names = harness.names().await;
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("good__")), "{names:?}");
    let expected = [
        ("missing", "could not be started"),
        ("dies", "is not an MCP server, or ended"),
        ("mute", "did not answer within 0.7 s"),
        ("shut", "refused"),
        ("wrong", "expected either command"),
        ("unset", "NETRA_NO_SUCH is not set"),
    ];
    for (id, reason) in expected {
        assert!(harness.reason(id).contains(reason), "{id}: {}", harness.reason(id));
        assert!(!harness.reason(id).contains("hidden"));
    }
    let ToolSourceState::Unavailable { last_output, .. } = harness.state("dies") else { panic!("unavailable") };
    assert_eq!(last_output.as_deref(), Some("no licence was found"));
    // Other calls do not wait for its next attempt.
    let begun = Instant::now();
    let output = harness.call("mute__x", json!({})).await;
    assert!(output.failed && output.text.contains("at the earliest"), "{output:?}");
    assert!(begun.elapsed() < Duration::from_millis(600));
    harness.tools.close().await;
}

#[tokio::test]
async fn a_server_that_hangs_after_its_start_costs_only_its_timeout() {
    let (harness, _folder, _) = scripted("mute-list", "connect_timeout_ms = 500");
    let begun = Instant::now();
    assert_eq!(harness.names().await, Vec::<String>::new());
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!harness.reason("odd").is_empty());
    timeout(TEST_TIMEOUT, harness.tools.close()).await.expect("the connection closes in time");
}

#[tokio::test]
async fn a_server_of_the_newest_version_alone_is_served_too() {
    let (harness, _folder, _) = scripted("modern", "");
    assert!(harness.names().await.contains(&"odd__refuse".into()), "{:?}", harness.state("odd"));
    assert!(harness.call("odd__refuse", json!({})).await.text.contains("the disk is full"));
    harness.tools.close().await;
}

#[tokio::test]
async fn noise_on_either_output_harms_nothing() {
    for mode in ["garbage", "loud"] {
        let (harness, _folder, _) = scripted(mode, "");
        assert!(harness.names().await.contains(&"odd__refuse".into()), "{mode}: {:?}", harness.state("odd"));
        harness.tools.close().await;
    }
}

#[tokio::test]
async fn a_child_that_does_not_end_is_killed_with_its_own_children() {
    let (harness, _folder, file) = scripted("family", "");
    assert!(harness.names().await.contains(&"odd__refuse".into()));
    let (parent, child) = (process(&file, "began"), process(&file, "grandchild"));
    assert!(is_alive(parent) && is_alive(child));
    timeout(TEST_TIMEOUT, harness.tools.close()).await.expect("the connection closes in time");
    until("both are gone", || !is_alive(parent) && !is_alive(child)).await;
}

#[tokio::test]
async fn a_child_that_floods_the_server_loses_its_session_with_a_reason() {
    for (tool, reason) in [("flood-ping", "without reading the responses"), ("flood-talk", "messages a second")] {
        let (harness, _folder, file) = scripted("plain", "");
        let output = harness.call(&format!("odd__{tool}"), json!({})).await;
        assert!(output.failed && output.text.contains("may or may not have been carried out"), "{output:?}");
        assert!(harness.reason("odd").contains(reason), "{tool}: {}", harness.reason("odd"));
        let child = process(&file, "began");
        until("it is gone", || !is_alive(child)).await;
        assert!(
            harness.call("odd__refuse", json!({})).await.text.contains("the disk is full"),
            "a new process is started"
        );
        timeout(TEST_TIMEOUT, harness.tools.close()).await.expect("the connection closes in time");
    }
}

#[tokio::test]
async fn a_child_gets_only_the_environment_of_its_entry() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/tools/scripted.mjs");
    let entry = node("odd", &program, &["plain"], "env = { KEY = \"a-${TOKEN}\" }");
    let harness = ToolHarness::with(&entry, |name| (name == "TOKEN").then(|| "token".into()));
    let env: Value = serde_json::from_str(&harness.call("odd__env", json!({})).await.text).expect("its environment");
    assert_eq!(env["KEY"], "a-token");
    assert!(env.as_object().expect("an object").keys().all(|name| ["HOME", "KEY", "PATH"].contains(&name.as_str())));
    harness.tools.close().await;
}

#[tokio::test]
async fn an_address_that_serves_something_else_is_unavailable_with_a_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let body = "<html>not here</html>";
            let answer = format!(
                "HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.and_then(|mut stream| stream.write_all(answer.as_bytes()));
        }
    });
    let entry = format!(
        "[[tools]]\nid = \"page\"\nkind = \"mcp\"\nurl = \"http://127.0.0.1:{port}/\"\nallow_private_network = true\n"
    );
    let harness = ToolHarness::new(&entry);
    assert_eq!(harness.names().await, Vec::<String>::new());
    assert!(!harness.reason("page").is_empty());
}

#[tokio::test]
async fn an_address_of_this_hosts_own_network_is_refused_unless_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let port = listener.local_addr().expect("an address").port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let harness = ToolHarness::new(&format!(
            "[[tools]]\nid = \"near\"\nkind = \"mcp\"\nurl = \"http://{host}:{port}/mcp\"\n"
        ));
        assert_eq!(harness.names().await, Vec::<String>::new());
        assert!(harness.reason("near").contains("private network"), "{host}: {}", harness.reason("near"));
        assert!(listener.accept().is_err(), "{host} was connected to");
    }
}
