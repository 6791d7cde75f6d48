//! Feedback on answers: who may give it, where it is kept, and how administrators see it.

use netra::{
    protocol::{
        ChannelName, CreateThread, ErrorCode, GiveFeedback, Item, Rating, RunFeedback, RunId, SendMessage, Subscribe,
        ThreadId, limits::MAX_FEEDBACK_NOTE_BYTES,
    },
    socket::native::Client as Socket,
    thread::ThreadView,
};
use serde_json::Value;

use crate::support::{
    ADA, ADMIN, Deployment, Setup, TestServer, replay_agent,
    threads::{until_over, view},
};

fn only_run(view: &ThreadView) -> &netra::thread::RunView {
    view.items.iter().find_map(|item| if let Item::Run(run) = item { Some(&**run) } else { None }).expect("a run")
}

/// Asks the replay agent in a new thread, and waits for the end of the answer.
async fn answered(socket: &Socket) -> (ThreadId, RunId) {
    let thread_id = ThreadId::new();
    socket
        .send(CreateThread { thread_id, title: None, agent: Some("replay".into()) })
        .await
        .expect("the thread is created");
    let run_id = socket.send(SendMessage::new(thread_id, "Go on")).await.expect("the message is accepted").run_id;
    until_over(socket, thread_id, run_id).await;
    (thread_id, run_id)
}

fn feedback(rating: impl Into<Option<Rating>>, note: &str) -> RunFeedback {
    RunFeedback { rating: rating.into(), note: note.into() }
}

async fn counts(server: &TestServer) -> Value {
    let agents: Value = server.signed_in(ADMIN).await.get("/api/admin/agents").await.json().await.expect("JSON");
    let agents = agents["agents"].as_array().expect("a list").clone();
    agents.into_iter().find(|agent| agent["info"]["id"] == "replay").expect("the agent")["feedback"].clone()
}

async fn feedback_is_kept_replaced_and_withdrawn(deployment: Deployment) {
    let server = Setup::default().deployment(deployment).file(&replay_agent(100_000)).start().await;
    let socket = server.socket(ADMIN).await;
    let (thread_id, run_id) = answered(&socket).await;
    let give = async |feedback| socket.send(GiveFeedback { thread_id, run_id, feedback }).await;
    let head = async || {
        let subscribe = Subscribe { channel: ChannelName::Thread(thread_id), after: None, newest: None };
        socket.send(subscribe).await.expect("the subscription").seq
    };
    let before = head().await;
    give(feedback(Rating::Bad, " The totals are wrong. ")).await.expect("it is accepted");
    give(feedback(Rating::Bad, "The totals are wrong.")).await.expect("the same again is accepted");
    assert_eq!(head().await, before + 1, "and changes nothing");
    assert_eq!(
        only_run(&view(&socket, thread_id).await).feedback,
        Some(feedback(Rating::Bad, "The totals are wrong."))
    );
    assert_eq!(counts(&server).await, serde_json::json!({"good": 0, "bad": 1}));
    give(feedback(Rating::Good, "")).await.expect("it is replaced");
    assert_eq!(counts(&server).await, serde_json::json!({"good": 1, "bad": 0}));
    give(feedback(None, "")).await.expect("it is withdrawn");
    assert_eq!(only_run(&view(&socket, thread_id).await).feedback, None);
    assert_eq!(counts(&server).await, serde_json::json!({"good": 0, "bad": 0}));
}

#[tokio::test]
async fn feedback_is_kept_replaced_and_withdrawn_on_sqlite() {
    feedback_is_kept_replaced_and_withdrawn(Deployment::Embedded).await;
}

#[tokio::test]
async fn feedback_is_kept_replaced_and_withdrawn_on_postgresql() {
    feedback_is_kept_replaced_and_withdrawn(Deployment::Distributed).await;
}

#[tokio::test]
async fn feedback_of_others_on_unended_runs_or_of_a_wrong_shape_is_refused() {
    let server = Setup::default().file(&replay_agent(100_000)).file(&slow_agent()).start().await;
    server.add_member(ADA).await;
    let owner = server.socket(ADMIN).await;
    let (thread_id, run_id) = answered(&owner).await;
    let refused =
        async |socket: &Socket, command: GiveFeedback| socket.send(command).await.expect_err("it is refused").code;
    let command = |feedback| GiveFeedback { thread_id, run_id, feedback };
    let ada = server.socket(ADA).await;
    assert_eq!(refused(&ada, command(feedback(Rating::Good, ""))).await, ErrorCode::NotFound);
    let unknown = GiveFeedback { run_id: RunId::new(), ..command(feedback(Rating::Good, "")) };
    assert_eq!(refused(&owner, unknown).await, ErrorCode::NotFound);
    assert_eq!(refused(&owner, command(feedback(None, "why"))).await, ErrorCode::InvalidPayload);
    let long = "a".repeat(MAX_FEEDBACK_NOTE_BYTES + 1);
    assert_eq!(refused(&owner, command(feedback(Rating::Bad, &long))).await, ErrorCode::InvalidPayload);
    let running = SendMessage { agent: Some("slow".into()), ..SendMessage::new(thread_id, "And now?") };
    let run_id = owner.send(running).await.expect("the message is accepted").run_id;
    let open = GiveFeedback { run_id, ..command(feedback(Rating::Good, "")) };
    assert_eq!(refused(&owner, open).await, ErrorCode::Conflict);
}

/// An agent whose answer takes minutes.
fn slow_agent() -> String {
    replay_agent(1).replace("\"replay\"\nname", "\"slow\"\nname")
}
