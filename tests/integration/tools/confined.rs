//! A child process inherits as little as possible from the server.

use std::{
    fs::File,
    net::TcpListener,
    os::fd::AsRawFd,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

use super::{ToolHarness, fs, node};

fn program() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/tools/scripted.mjs")
}

/// What the child reports about itself.
async fn facts(harness: &ToolHarness) -> Value {
    let output = harness.call("child__facts", json!({})).await;
    assert!(!output.failed, "{}", output.text);
    serde_json::from_str(&output.text).expect("facts")
}

/// A line of `/proc/self/status`.
fn status<'a>(facts: &'a Value, name: &str) -> &'a str {
    let status = facts["status"].as_str().expect("text");
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect(name).trim()
}

/// The soft and the hard limit, as `/proc/self/limits` has them.
fn limit(facts: &Value, name: &str) -> Vec<String> {
    let limits = facts["limits"].as_str().expect("text");
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.split_whitespace().take(2).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_child_has_no_privileges_and_no_open_files_of_the_server_and_a_folder_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let open = File::open("/proc/self/status").expect("the file opens");
    let of_server = [listener.as_raw_fd(), open.as_raw_fd()]
        .map(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).expect("a link").display().to_string());
    let harness = ToolHarness::new(&node("child", &program(), &["facts"], ""));
    let facts = facts(&harness).await;

    assert_eq!(status(&facts, "NoNewPrivs"), "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(&facts, set).trim_start_matches('0'), "", "{set}");
    }
    let files = facts["files"].as_array().expect("a list");
    assert!(files.len() > 2 && !files.iter().any(|file| of_server.iter().any(|known| file == known)), "{files:?}");
    let folder = harness.folder.path().join("child");
    assert_eq!((&facts["folder"], &facts["home"]), (&json!(folder), &json!(folder)));
    assert_eq!(fs::metadata(&folder).expect("the file exists").permissions().mode() & 0o777, 0o700);
    harness.tools.close().await;

    let own = fs::read_to_string("/proc/self/status").expect("the file is read");
    assert!(own.contains("NoNewPrivs:\t0"), "the server itself keeps its privileges");
}

#[tokio::test]
async fn a_child_is_held_to_the_limits_of_its_entry() {
    let more = "limits = { memory_bytes = 1500000000, open_files = 200, processes = 0, file_bytes = 1000000, cpu_seconds = 60 }";
    let harness = ToolHarness::new(&node("child", &program(), &["facts"], more));
    let facts = facts(&harness).await;
    assert_eq!(limit(&facts, "Max data size"), ["1500000000", "1500000000"]);
    assert_eq!(limit(&facts, "Max open files"), ["200", "200"]);
    assert_eq!(limit(&facts, "Max file size"), ["1000000", "1000000"]);
    assert_eq!(limit(&facts, "Max cpu time"), ["60", "60"]);
    assert_eq!(limit(&facts, "Max core file size"), ["0", "0"]);
    let own = json!({"limits": fs::read_to_string("/proc/self/limits").expect("the file is read")});
    assert_eq!(limit(&facts, "Max processes"), limit(&own, "Max processes"), "0 is as much as the server");
    harness.tools.close().await;
}

#[tokio::test]
async fn a_child_is_started_through_its_sandbox() {
    // Any program that runs another is a sandbox here.
    let more = "sandbox = [\"env\", \"--chdir={folder}\", \"OF_SANDBOX={folder}\"]";
    let harness = ToolHarness::new(&node("child", &program(), &["plain"], more));
    let env = harness.call("child__env", json!({})).await.text;
    let env: Value = serde_json::from_str(&env).expect("its environment");
    assert_eq!(env["OF_SANDBOX"], json!(harness.folder.path().join("child")));
    harness.tools.close().await;

    let more = "sandbox = [\"no-such-sandbox-anywhere\"]";
    let harness = ToolHarness::new(&node("child", &program(), &["plain"], more));
    assert!(harness.names().await.is_empty());
    assert!(
        harness.reason("child").contains("`no-such-sandbox-anywhere` could not be started"),
        "{}",
        harness.reason("child")
    );
}

/// The sandbox that the documentation shows, where this machine lets a user make namespaces.
#[tokio::test]
async fn the_documented_sandbox_shows_a_child_its_own_folder_and_nothing_of_the_servers() {
    let documented = include_str!("../../../docs/agents.md");
    let start = documented.find("sandbox = [\"bwrap\"").expect("an example");
    let length = documented[start..].find("]\n").expect("its end") + 1;
    let sandbox = &documented[start..start + length];
    let possible = Command::new("bwrap").args(["--unshare-all", "--ro-bind", "/", "/", "true"]).status();
    let is_root = fs::metadata("/proc/self").expect("the file exists").uid() == 0;
    if is_root || !possible.is_ok_and(|status| status.success()) {
        // Root without capabilities cannot make a namespace. The source is unavailable, and nothing runs without the sandbox.
        let harness = ToolHarness::new(&node("child", &program(), &["facts"], sandbox));
        assert!(harness.names().await.is_empty());
        assert!(harness.reason("child").contains("`bwrap`"), "{}", harness.reason("child"));
        return;
    }
    let script = program();
    let tests = script.parent().expect("a folder").display().to_string();
    let sandbox = sandbox.replacen("\"--bind\"", &format!("\"--ro-bind\", {tests:?}, {tests:?}, \"--bind\""), 1);
    let harness = ToolHarness::new(&node("child", &script, &["facts"], &sandbox));
    let facts = facts(&harness).await;
    assert_eq!(facts["folder"], json!(harness.folder.path().join("child")));
    assert_eq!(status(&facts, "NoNewPrivs"), "1");
    harness.tools.close().await;
}
