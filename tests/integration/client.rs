//! The client against a real server: `netra ask`, and a connection that is cut during a run.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use netra::{
    protocol::{ChannelName, CreateThread, Cursor, Entry, ErrorCode, RunId, SendMessage, StopRun, ThreadId},
    socket::{
        machine::Status,
        native::{Client, ClientConfig, Update},
    },
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use crate::support::{ADMIN, TEST_TIMEOUT, TestServer, blocking, netra};

/// A small log of model requests: three models, one of them expensive.
fn log() -> String {
    let mut text = "timestamp,model,input_tokens,output_tokens\n".to_owned();
    for minute in 0..120 {
        let model = ["gpt-4o", "gpt-4o-mini", "gpt-4.1"][minute % 3];
        text.push_str(&format!(
            "2024-05-10T{:02}:{:02}:00Z,{model},{},{}\n",
            minute / 60,
            minute % 60,
            900 + minute,
            60 + minute
        ));
    }
    text
}

async fn ask(server: &TestServer, more: &[&str], password: &str) -> Output {
    let mut command = netra();
    command.args(["ask", "--server", &server.url, "--email", ADMIN.email, "--password-stdin"]).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    child.stdin.take().expect("its input").write_all(password.as_bytes()).expect("the process reads the password");
    blocking(move || child.wait_with_output()).await.expect("the program runs")
}

#[tokio::test]
async fn the_terminal_sends_a_question_and_prints_the_report() {
    let server = TestServer::start().await;
    let file = server.folder().join("log.csv");
    std::fs::write(&file, log()).expect("the log is written");
    let file = file.to_str().expect("a plain path");
    let answer =
        ask(&server, &["Where do my tokens go, and what should I change?", "--file", file], ADMIN.password).await;
    let (out, err) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert_eq!(answer.status.code(), Some(0), "{out}\n{err}");
    assert!(out.contains("gpt-4o") && out.contains('|'), "a report with tables: {out}");
    for agent in ["Triage", "Data", "Optimizations", "Actions", "Report"] {
        assert!(err.contains(agent), "{agent} is missing: {err}");
    }
}

/// A log whose columns of counts have names that say nothing.
const UNNAMED: &str = "timestamp,model,counter_a,counter_b\n\
                       2026-01-31T12:00:00Z,gpt-4.1,100,10\n2026-01-31T12:01:00Z,gpt-4.1,200,20\n";

#[tokio::test]
async fn several_files_are_sent_together_and_columns_are_named_with_the_question() {
    let server = TestServer::start().await;
    let path = |name: &str, text: &str| {
        let path = server.folder().join(name);
        std::fs::write(&path, text).expect("the log is written");
        path.to_str().expect("a plain path").to_owned()
    };
    let (first, second) = (path("a.csv", UNNAMED), path("b.csv", &log()));
    let files = ["Where do my tokens go?", "--file", &first, "--file", &second];
    let asked = ask(&server, &files, ADMIN.password).await;
    let error = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert_eq!(asked.status.code(), Some(1), "{error}");
    assert!(asked.stdout.is_empty());
    for part in [
        "a.csv: No column with input tokens was recognised.",
        "timestamp | model | counter_a | counter_b",
        "2026-01-31T12:01:00Z | gpt-4.1 | 200 | 20",
        "--columns 'input=COLUMN,output=COLUMN'",
    ] {
        assert!(error.contains(part), "{part} is missing: {error}");
    }
    assert!(!error.contains("b.csv: No column"), "only the first file needs an answer: {error}");

    let (_, after) = error.split_once("--thread ").expect("the thread's id");
    let thread = after.split_whitespace().next().expect("an id");
    let columns = ["--columns", "input=counter_a,output=counter_b"];
    let again = [&["Where do my tokens go?", "--thread", thread][..], &columns].concat();
    let named = ask(&server, &again, ADMIN.password).await;
    assert_eq!(named.status.code(), Some(0), "{}", String::from_utf8_lossy(&named.stderr));
    assert!(!named.stdout.is_empty());
    let kept = ask(&server, &["And next month?", "--thread", thread], ADMIN.password).await;
    assert_eq!(kept.status.code(), Some(0), "{}", String::from_utf8_lossy(&kept.stderr));

    let at_once = ask(&server, &[&files[..], &columns].concat(), ADMIN.password).await;
    assert_eq!(at_once.status.code(), Some(0), "{}", String::from_utf8_lossy(&at_once.stderr));
}

#[tokio::test]
async fn columns_that_cannot_be_understood_and_too_many_files_are_refused_before_anything_is_sent() {
    let server = TestServer::start().await;
    for columns in ["", "counter_a", "size=counter_a", "input=a,output=a"] {
        let wrong = ask(&server, &["why?", "--columns", columns], ADMIN.password).await;
        assert_eq!(wrong.status.code(), Some(2), "{columns}: {}", String::from_utf8_lossy(&wrong.stderr));
    }
    let many = [["--file", "Cargo.toml"]; 9].concat();
    let refused = ask(&server, &[&["why?"][..], &many].concat(), ADMIN.password).await;
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && error.contains("at most 8 files"), "{error}");
}

#[tokio::test]
async fn an_invalid_question_exits_with_two_and_the_reason() {
    let server = TestServer::start().await;
    let wrong = ask(&server, &["why?"], "not the password").await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(!wrong.stderr.is_empty());

    let missing = ask(&server, &["why?", "--file", "/nowhere/log.csv"], ADMIN.password).await;
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere/log.csv"));

    let thread = ThreadId::new().to_string();
    let unknown = ask(&server, &["why?", "--thread", &thread], ADMIN.password).await;
    assert_eq!(unknown.status.code(), Some(2), "{}", String::from_utf8_lossy(&unknown.stderr));

    let mut nobody = netra();
    nobody.args(["ask", "why?", "--server", &server.url, "--token", "no.such.token"]);
    let refused = blocking(move || nobody.output()).await.expect("the program runs");
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}

/// A proxy to the server: every change of the number cuts all its connections.
async fn proxy(server: &TestServer) -> (String, watch::Sender<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}/ws", listener.local_addr().expect("an address"));
    let target = server.url.trim_start_matches("http://").to_owned();
    let (cut, cuts) = watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (target, mut cuts) = (target.clone(), cuts.clone());
            cuts.mark_unchanged();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(target).await else { return };
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    (url, cut)
}

async fn until(client: &Client, wanted: impl FnMut(&Status) -> bool) -> Status {
    let mut status = client.status();
    timeout(TEST_TIMEOUT, status.wait_for(wanted)).await.expect("in time").expect("the client lives").clone()
}

async fn next(updates: &mut tokio::sync::mpsc::Receiver<Update>) -> Update {
    timeout(TEST_TIMEOUT, updates.recv()).await.expect("in time").expect("the client lives")
}

#[tokio::test]
async fn a_follower_that_is_cut_repeatedly_gets_every_entry_once_and_in_order() {
    let server = TestServer::start().await;
    let token = server.token(ADMIN).await;
    let (url, cut) = proxy(&server).await;
    let watching = Client::connect(ClientConfig::bearer(url, &token));
    let asking = Client::connect(ClientConfig::bearer(server.url.replace("http", "ws") + "/ws", &token));

    let thread_id = ThreadId::new();
    asking.send(CreateThread { thread_id, title: None, agent: None }).await.expect("the thread is created");
    let mut updates = watching.follow(ChannelName::Thread(thread_id), None).await;
    let Update::Snapshot { mut cursor, .. } = next(&mut updates).await else {
        panic!("the first update is not a snapshot")
    };
    for round in 1..=5u32 {
        let ask = |text: &str| SendMessage::new(thread_id, text);
        cut.send_replace(round);
        let accepted = asking.send(ask("What can you do?")).await.expect("the command is accepted");
        // Only the run's last entry matters, which comes with or without a file.
        loop {
            let (seq, last) = match next(&mut updates).await {
                Update::Entry { seq: Some(seq), entry: Entry::Thread(entry), .. } => {
                    (seq, is_run_end(&entry, accepted.run_id))
                }
                Update::Entry { seq: None, .. } => continue,
                other => panic!("after a cut of moments the server replays: {other:?}"),
            };
            assert_eq!(seq, cursor.seq + 1, "lost, doubled or reordered");
            cursor = Cursor { seq, ..cursor };
            if last {
                break;
            }
        }
    }
    assert_eq!(until(&watching, |status| *status == Status::Connected).await, Status::Connected);
}

fn is_run_end(entry: &netra::protocol::ThreadEntry, run: RunId) -> bool {
    use netra::protocol::{ThreadEntry, agui::Event};
    matches!(entry, ThreadEntry::Agent { run_id, event }
        if *run_id == run && matches!(**event, Event::RunFinished(_) | Event::RunError(_)))
}

#[tokio::test]
async fn commands_given_without_a_connection_arrive_later_in_order_and_once() {
    let server = TestServer::start().await;
    let token = server.token(ADMIN).await;
    let (url, cut) = proxy(&server).await;
    let client = Client::connect(ClientConfig::bearer(url, &token));
    until(&client, |status| *status == Status::Connected).await;
    cut.send_replace(1);
    let ids: Vec<ThreadId> = (0..8).map(|_| ThreadId::new()).collect();
    let create = |thread_id| client.send(CreateThread { thread_id, title: Some("t".into()), agent: None });
    let made = timeout(TEST_TIMEOUT, futures_util::future::join_all(ids.iter().map(|id| create(*id)))).await;
    assert!(made.expect("in time").iter().all(Result::is_ok));
    let mut feed = client.follow(ChannelName::User, None).await;
    let Update::Snapshot { snapshot: netra::protocol::Snapshot::User(feed), .. } = next(&mut feed).await else {
        panic!("the feed comes first")
    };
    let mut listed: Vec<ThreadId> = feed.threads.iter().map(|thread| thread.info.id).collect();
    listed.reverse();
    assert_eq!(listed, ids, "each is done once, in order");
}

#[tokio::test]
async fn a_refused_token_ends_the_client_and_its_commands() {
    let server = TestServer::start().await;
    let client = Client::connect(ClientConfig::bearer(server.url.replace("http", "ws") + "/ws", "no.such.token"));
    let refused = timeout(TEST_TIMEOUT, client.send(StopRun { run_id: RunId::new() })).await.expect("in time");
    let code = refused.expect_err("a refusal").code;
    assert!(matches!(code, ErrorCode::Unavailable | ErrorCode::Forbidden), "{code:?}");
    assert_eq!(until(&client, |status| *status != Status::Connecting).await, Status::SignedOut);
}
