//! Turns on the real program: queued messages, interrupts and agents, over restarts and on several nodes.

use std::{fmt::Write as _, path::Path};

use netra::{
    protocol::{
        Answer, AnswerStatus, ChannelName, CreateThread, Entry, ErrorCode, InterruptAnswer, MessageId, RunId,
        SendMessage, SetAgent, Snapshot, StopRun, TakeBack, ThreadId, ThreadSignal, Waiting, WaitsFor,
    },
    server::{agents::stored, store::Store},
    socket::native::{Client as Socket, ClientConfig, Update},
    thread::{Resolution, RunState, ThreadView},
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use crate::support::{
    ADA, ADMIN, Backends, Client, Deployment, Setup, TEST_TIMEOUT, TestServer, problem, replay_agent,
};

/// A thread as a client that follows it sees it.
pub(crate) struct Follower {
    pub(crate) socket: Socket,
    pub(crate) thread_id: ThreadId,
    updates: mpsc::Receiver<Update>,
    pub(crate) view: ThreadView,
    pub(crate) queue: Vec<Waiting>,
}

impl Follower {
    pub(crate) async fn follow(server: &TestServer, thread_id: ThreadId) -> Self {
        let token = server.token(ADMIN).await;
        let socket = Socket::connect(ClientConfig::bearer(server.socket_url(), token));
        let updates = socket.follow(ChannelName::Thread(thread_id), None).await;
        Self { socket, thread_id, updates, view: ThreadView::default(), queue: Vec::new() }
    }

    /// Creates a thread and follows it.
    pub(crate) async fn new(server: &TestServer, agent: &str) -> Self {
        let (thread_id, token) = (ThreadId::new(), server.token(ADMIN).await);
        let maker = Socket::connect(ClientConfig::bearer(server.socket_url(), token));
        maker
            .send(CreateThread { thread_id, title: None, agent: Some(agent.into()) })
            .await
            .expect("the thread is created");
        Self::follow(server, thread_id).await
    }

    pub(crate) async fn until(&mut self, is: impl Fn(&Self) -> bool) {
        let wait = async {
            while !is(self) {
                match self.updates.recv().await.expect("the client runs") {
                    Update::Snapshot { snapshot: Snapshot::Thread(view), .. } => self.view = view,
                    Update::Entry { at, entry: Entry::Thread(entry), .. } => self.view.apply(at, entry),
                    Update::Entry { entry: Entry::Signal(ThreadSignal::Queue { waiting }), .. } => self.queue = waiting,
                    _ => {}
                }
            }
        };
        timeout(TEST_TIMEOUT, wait).await.expect("the thread reaches the state in time");
    }

    pub(crate) async fn until_over(&mut self, run: RunId) -> RunState {
        self.until(|follower| follower.view.run(run).is_some_and(|run| run.state.is_over())).await;
        self.view.run(run).expect("the run").state.clone()
    }

    async fn say(&self, text: &str) -> RunId {
        self.socket.send(SendMessage::new(self.thread_id, text)).await.expect("the command is accepted").run_id
    }

    fn answer(&self, run_id: RunId) -> Answer {
        let payload = Some(json!({"approved": true}));
        let answers =
            vec![InterruptAnswer { interrupt_id: "i".into(), status: AnswerStatus::Resolved, payload, metadata: None }];
        Answer { answer_id: MessageId::new(), thread_id: self.thread_id, run_id, answers }
    }
}

/// The configuration of an agent whose runs end with an interrupt.
fn asking_agent(folder: &Path) -> String {
    let file = folder.join("asks.jsonl");
    let events = [
        json!({"type": "RUN_STARTED", "threadId": "t", "runId": "r"}),
        json!({"type": "TOOL_CALL_START", "toolCallId": "c", "toolCallName": "delete_file"}),
        json!({"type": "TOOL_CALL_END", "toolCallId": "c"}),
        json!({"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "interrupt",
               "interrupts": [{"id": "i", "reason": "tool_call", "toolCallId": "c"}]}}),
    ];
    let lines = events.iter().fold(String::new(), |mut text, event| {
        let _ = writeln!(text, "{event}");
        text
    });
    std::fs::write(&file, lines).expect("the file is written");
    format!("[[agents]]\nid = \"asks\"\nname = \"Asks\"\nkind = \"replay\"\nfile = \"{}\"\n", file.display())
}

#[tokio::test]
async fn queued_messages_are_seen_by_all_followers_and_can_be_taken_back() {
    let server = Setup::default().file(&replay_agent(50)).start().await;
    let mut tab = Follower::new(&server, "replay").await;
    let going = tab.say("First.").await;
    tab.until(|tab| tab.view.run(going).is_some_and(|run| run.state == RunState::Running)).await;
    let message = SendMessage::new(tab.thread_id, "Second.");
    let run_id = tab.socket.send(message.clone()).await.expect("the command is accepted").run_id;
    let place = Waiting { run_id, position: 1, waits_for: WaitsFor::Thread };
    tab.until(|tab| tab.queue == [place]).await;
    let mut phone = Follower::follow(&server, tab.thread_id).await;
    phone.until(|phone| phone.queue == [place]).await;
    let back = TakeBack { thread_id: tab.thread_id, message_id: message.message_id };
    phone.socket.send(back.clone()).await.expect("the message is taken back");
    phone.socket.send(back).await.expect("a repeated command changes nothing");
    tab.until(|tab| tab.view.message(message.message_id).is_none() && tab.queue.is_empty()).await;
    let again = tab.socket.send(message).await.expect("the same command gets the same answer");
    assert_eq!(again.run_id, run_id);
}

#[tokio::test]
async fn an_interrupt_is_shown_in_every_tab_and_answered_once_also_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Setup::default().file(&asking_agent(folder.path())).start().await;
    let mut tab = Follower::new(&server, "asks").await;
    let run = tab.say("Delete it.").await;
    assert!(matches!(tab.until_over(run).await, RunState::Interrupted { .. }));
    let server = server.kill().await.restart().await;
    // The sockets reconnect by themselves.
    let mut phone = Follower::follow(&server, tab.thread_id).await;
    phone.until(|phone| phone.view.run(run).is_some_and(|run| !run.open_interrupts().is_empty())).await;
    let (first, second) = (phone.answer(run), tab.answer(run));
    let (one, other) = tokio::join!(phone.socket.send(first.clone()), tab.socket.send(second));
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(lost.expect_err("the interrupt is answered already").code, ErrorCode::Conflict);
    let resumed = won.expect("the answer is accepted").run_id;
    for follower in [&mut tab, &mut phone] {
        follower.until_over(resumed).await;
        let run = follower.view.run(run).expect("the run");
        assert!(run.open_interrupts().is_empty());
        let by = matches!(&run.answered, Some(Resolution::Answered { author, resumed_by, .. }) if author.name == ADMIN.name && *resumed_by == resumed);
        assert!(by, "{:?}", run.answered);
    }
}

#[tokio::test]
async fn an_interrupt_is_answered_on_another_node_and_queued_runs_start_there_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let agents = asking_agent(folder.path()) + &replay_agent(50);
    let backends = Backends::start(None).await;
    let node = || {
        Setup::default().deployment(Deployment::Distributed).on(&backends).with("RUNS__LEASE_MS", 2_000).file(&agents)
    };
    let one = node().start().await;
    let other = node().start_without_accounts().await;
    let mut here = Follower::new(&one, "asks").await;
    let run = here.say("Delete it.").await;
    here.until_over(run).await;
    let mut there = Follower::follow(&other, here.thread_id).await;
    there.until(|there| there.view.run(run).is_some_and(|run| !run.open_interrupts().is_empty())).await;
    let resumed = there.socket.send(there.answer(run)).await.expect("the command is accepted").run_id;
    here.until_over(resumed).await;

    // A queued message of a node that dies starts on the other.
    let mut tab = Follower::new(&one, "replay").await;
    let going = tab.say("First.").await;
    tab.until(|tab| tab.view.run(going).is_some_and(|run| run.state == RunState::Running)).await;
    let waiting = tab.say("Second.").await;
    let mut phone = Follower::follow(&other, tab.thread_id).await;
    phone.until(|phone| phone.view.run(waiting).is_some()).await;
    // A later follower on the other node sees the queue, too.
    let place = Waiting { run_id: waiting, position: 1, waits_for: WaitsFor::Thread };
    phone.until(|phone| phone.queue == [place]).await;
    let third = phone.say("Third.").await;
    let behind = Waiting { run_id: third, position: 2, waits_for: WaitsFor::Thread };
    for follower in [&mut tab, &mut phone] {
        follower.until(|follower| follower.queue == [place, behind]).await;
    }
    // A queued run is stopped from the other node.
    tab.socket.send(StopRun { run_id: third }).await.expect("the run is stopped");
    for follower in [&mut tab, &mut phone] {
        assert_eq!(follower.until_over(third).await, RunState::Cancelled);
        follower.until(|follower| follower.queue == [place]).await;
    }
    drop(one.kill().await);
    assert!(matches!(phone.until_over(going).await, RunState::Failed { .. }));
    phone.until(|phone| phone.view.run(waiting).is_some_and(|run| run.state == RunState::Running)).await;
}

/// Executes SQL on the store of a server.
async fn sql(data: &Path, statement: &'static str) {
    let store = Store::open(data).await.expect("the store opens");
    let mut tx = store.begin().await.expect("the transaction begins");
    sqlx::query(statement).execute(&mut *tx).await.expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
    store.close().await;
}

#[tokio::test]
async fn a_run_without_an_entry_in_the_log_starts_again_after_a_restart() {
    let server = Setup::default().file(&replay_agent(5_000)).start().await;
    let mut tab = Follower::new(&server, "replay").await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON entries WHEN NEW.entry LIKE '%RUN_STARTED%' \
                  BEGIN SELECT RAISE(ABORT, 'not now'); END";
    sql(&server.data(), refuse).await;
    let run = tab.say("Play.").await;
    // The run has begun; its first append fails and is retried.
    let client = Client::new(&server);
    let waits = async {
        loop {
            let metrics = client.get("/metrics").await.text().await.expect("text");
            let errors = metrics.lines().find_map(|line| line.strip_prefix("netra_store_errors_total "));
            if errors.is_some_and(|count| count != "0") {
                return;
            }
        }
    };
    timeout(TEST_TIMEOUT, waits).await.expect("the client tries to reconnect in time");
    let stopped = server.kill().await;
    sql(&stopped.data(), "DROP TRIGGER refuse").await;
    let _server = stopped.restart().await;
    assert_eq!(tab.until_over(run).await, RunState::Finished);
}

#[tokio::test]
async fn a_thread_changes_its_agent_and_only_those_named_may_use_one() {
    let closed = replay_agent(1_000).replace("id = \"replay\"", "id = \"closed\"\naccess = { roles = [\"admin\"] }");
    let wrong = "[[agents]]\nid = \"wrong\"\nname = \"Wrong\"\nkind = \"ag-ui\"\nurl = \"nowhere\"\n";
    let server = Setup::default().file(&replay_agent(1_000)).file(&closed).file(wrong).start().await;
    server.add_member(ADA).await;
    let ids = async |client: &Client| -> Vec<(String, bool)> {
        let agents: Vec<Value> = client.get("/api/agents").await.json().await.expect("JSON");
        agents
            .iter()
            .map(|agent| (agent["id"].as_str().expect("an id").into(), agent["disabled"].is_string()))
            .collect()
    };
    let (root, ada) = (server.signed_in(ADMIN).await, server.signed_in(ADA).await);
    let usable = |id: &str| (id.to_owned(), false);
    assert_eq!(ids(&ada).await, [usable("analyst"), usable("replay")]);
    let all = [usable("analyst"), usable("replay"), usable("closed"), ("wrong".to_owned(), true)];
    assert_eq!(ids(&root).await, all);

    let mut tab = Follower::new(&server, "analyst").await;
    let set = |agent: &str| SetAgent { thread_id: tab.thread_id, agent: agent.into() };
    assert_eq!(tab.socket.send(set("wrong")).await.expect_err("the agent has an error").code, ErrorCode::Unavailable);
    let thread = tab.socket.send(set("replay")).await.expect("the agent is set").thread;
    assert_eq!(thread.agent, "replay");
    let run = tab.say("Play.").await;
    tab.until_over(run).await;
    assert_eq!(tab.view.run(run).expect("the run").agent, "replay");
    let once = SendMessage { agent: Some("analyst".into()), ..SendMessage::new(tab.thread_id, "Help.") };
    let run = tab.socket.send(once).await.expect("the command is accepted").run_id;
    tab.until_over(run).await;
    assert_eq!(tab.view.run(run).expect("the run").agent, "analyst");
    assert_eq!(tab.view.info.as_ref().map(|info| info.agent.as_str()), Some("replay"));
    let token = server.token(ADA).await;
    let other = Socket::connect(ClientConfig::bearer(server.socket_url(), token));
    let reply =
        other.send(CreateThread { thread_id: ThreadId::new(), title: None, agent: Some("closed".into()) }).await;
    assert_eq!(reply.expect_err("she may not use the agent").code, ErrorCode::NotFound);
}

#[tokio::test]
async fn administrators_add_change_and_remove_agents_of_a_running_server() {
    let server = Setup::default().file(&replay_agent(1_000)).start().await;
    server.add_member(ADA).await;
    let (root, ada) = (server.signed_in(ADMIN).await, server.signed_in(ADA).await);
    problem(ada.get("/api/admin/agents").await, 403, "forbidden").await;
    problem(ada.get("/api/admin/usage").await, 403, "forbidden").await;
    let entry = json!({"id": "far", "name": "Far", "kind": "ag-ui", "url": "https://agent.example.org/",
                       "headers": {"authorization": "Bearer ${NETRA_AGENT_NONE}"}});
    let refused = root.put("/api/admin/agents/far", &entry).await;
    let detail = problem(refused, 422, "invalid_payload").await["detail"].to_string();
    assert!(detail.contains("headers") && detail.contains("NETRA_AGENT_NONE"), "{detail}");
    let stolen = json!({"id": "far", "name": "Far", "kind": "ag-ui", "url": "https://agent.example.org/",
                        "headers": {"x-path": "${PATH}"}});
    let detail =
        problem(root.put("/api/admin/agents/far", &stolen).await, 422, "invalid_payload").await["detail"].to_string();
    assert!(detail.contains("NETRA_AGENT_"), "only these variables may be sent: {detail}");
    let entry = json!({"id": "far", "name": "Far", "kind": "ag-ui", "url": "https://agent.example.org/"});
    problem(root.put("/api/admin/agents/other", &entry).await, 422, "invalid_payload").await;
    problem(
        root.put(
            "/api/admin/agents/replay",
            &json!({"id": "replay", "name": "R", "kind": "ag-ui", "url": "https://a.example/"}),
        )
        .await,
        409,
        "conflict",
    )
    .await;
    let set = root.put("/api/admin/agents/far", &entry).await;
    assert_eq!(set.status(), 200, "{}", set.text().await.unwrap_or_default());
    let listed: Value = ada.get("/api/agents").await.json().await.expect("JSON");
    assert!(listed.as_array().expect("a list").iter().any(|agent| agent["id"] == "far"), "{listed}");
    let server = server.kill().await.restart().await;
    let root = server.signed_in(ADMIN).await;
    let shown: Value = root.get("/api/admin/agents").await.json().await.expect("JSON");
    let far = shown["agents"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|agent| agent["info"]["id"] == "far")
        .expect("the agent is listed");
    assert_eq!((&far["source"], &far["entry"]["url"]), (&json!("page"), &json!("https://agent.example.org/")));
    assert_eq!(root.delete("/api/admin/agents/far").await.status(), 204);
    problem(root.delete("/api/admin/agents/far").await, 404, "not_found").await;
}

#[tokio::test]
async fn only_administrators_check_an_agent() {
    let server = Setup::default().file(&replay_agent(1)).start().await;
    server.add_member(ADA).await;
    let (root, ada) = (server.signed_in(ADMIN).await, server.signed_in(ADA).await);
    let check = |id: &str| format!("/api/admin/agents/{id}/check");
    problem(ada.post(&check("analyst"), &json!({})).await, 403, "forbidden").await;
    problem(root.post(&check("nobody"), &json!({})).await, 404, "not_found").await;
    problem(root.post(&check("analyst"), &json!({"text": "x".repeat(5_000)})).await, 422, "invalid_payload").await;
    let answer = root.post(&check("analyst"), &json!({"text": "What can you do?"})).await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap_or_default());
    let found: Value = answer.json().await.expect("JSON");
    let findings = found["findings"].as_array().expect("a list");
    assert!(findings.len() >= 2 && findings.iter().all(|finding| finding["level"] == "good"), "{found}");
    let threads: Value = root.get("/api/threads").await.json().await.expect("JSON");
    assert!(!threads.to_string().contains("What can you do?"), "nothing of it is kept: {threads}");
}

#[tokio::test]
async fn a_masked_secret_is_kept_and_not_used_for_another_origin() {
    let server = Setup::default().start().await;
    let root = server.signed_in(ADMIN).await;
    let entry = |name: &str, url: &str, key: &str| json!({"id": "far", "name": name, "kind": "ag-ui", "url": url, "headers": {"x-key": key}});
    let (here, path) = ("https://agent.example.org/run", "/api/admin/agents/far");
    let nothing = problem(root.put(path, &entry("Far", here, "(set)")).await, 422, "invalid_payload").await;
    assert!(nothing["detail"].as_str().is_some_and(|detail| detail.starts_with("headers.x-key: ")), "{nothing}");
    assert_eq!(root.put(path, &entry("Far", here, "a-literal-secret")).await.status(), 200);
    let changed = root.put(path, &entry("Farther", "https://agent.example.org/other", "(set)")).await;
    assert_eq!(changed.status(), 200);
    let shown: Value = changed.json().await.expect("JSON");
    assert_eq!((&shown["info"]["name"], &shown["entry"]["headers"]), (&json!("Farther"), &json!({"x-key": "(set)"})));
    for elsewhere in ["https://elsewhere.example.org/run", "http://agent.example.org/run"] {
        let moved = problem(root.put(path, &entry("Far", elsewhere, "(set)")).await, 422, "invalid_payload").await;
        let detail = moved["detail"].as_str().expect("a sentence");
        assert!(detail.starts_with("headers.x-key: ") && !detail.contains("literal"), "{detail}");
    }
    let store = Store::open(&server.data()).await.expect("the store opens");
    let kept = stored::entry(&store, "far").await.expect("the entry is read").expect("the entry exists");
    assert_eq!((&kept.0["name"], &kept.0["headers"]), (&json!("Farther"), &json!({"x-key": "a-literal-secret"})));
}
