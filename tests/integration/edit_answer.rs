//! Edited answers: another version of the message, with a person's text in place of the agent's answer.

use netra::{
    protocol::{EditAnswer, ErrorCode, MessageId, RunId, SendMessage, ThreadId, limits::MAX_MESSAGE_BYTES},
    thread::{NodeBody, RunState},
};

use crate::{
    support::{ADA, Deployment, Setup, TestServer, replay_agent},
    turns::Follower,
};

/// Asks the replay agent in a new thread, and waits for the end of the answer.
async fn answered(server: &TestServer) -> (Follower, RunId) {
    let mut follower = Follower::new(server, "replay").await;
    let asked = follower.socket.send(SendMessage::new(follower.thread_id, "Go on")).await;
    let run_id = asked.expect("the message is accepted").run_id;
    follower.until_over(run_id).await;
    (follower, run_id)
}

fn edit(thread_id: ThreadId, run_id: RunId, text: &str) -> EditAnswer {
    EditAnswer { thread_id, run_id, message_id: MessageId::new(), text: text.into() }
}

/// The texts of a run.
fn texts(follower: &Follower, run: RunId) -> Vec<String> {
    let run = follower.view.run(run).expect("the run");
    let text = |body: &NodeBody| if let NodeBody::Text { text, .. } = body { Some(text.to_string()) } else { None };
    run.nodes.iter().filter_map(|node| text(&node.body)).collect()
}

async fn an_edited_answer_is_a_version_that_survives_a_restart(deployment: Deployment) {
    let server = Setup::default().deployment(deployment).file(&replay_agent(100_000)).start().await;
    let (mut follower, run_id) = answered(&server).await;
    let command = edit(follower.thread_id, run_id, "It costs **nine** euros.");
    let accepted = follower.socket.send(command.clone()).await.expect("it is accepted");
    assert_eq!(follower.socket.send(command.clone()).await.expect("so is its repetition"), accepted);
    assert_eq!(follower.until_over(accepted.run_id).await, RunState::Finished);

    let message = follower.view.message(command.message_id).expect("the version").message.clone();
    let original = follower.view.run(run_id).and_then(|run| run.message_id).expect("the original message");
    assert_eq!((message.content.as_str(), message.replaces, message.edited_answer), ("Go on", Some(original), true));
    assert_eq!(texts(&follower, accepted.run_id), ["It costs **nine** euros."]);
    let view = follower.view.clone();
    assert_eq!(view.run(accepted.run_id).and_then(|run| run.edited_by.clone()), Some(message.author.name));

    // No run is started for it after a restart, and the thread goes on after the version.
    let (_, stopped) = server.stop().await;
    let server = stopped.restart().await;
    let mut follower = Follower::follow(&server, command.thread_id).await;
    follower.until(|follower| follower.view.run(accepted.run_id).is_some()).await;
    assert_eq!(follower.view.items, view.items);
    let next = follower.socket.send(SendMessage::new(command.thread_id, "And two?")).await.expect("it is accepted");
    assert_eq!(follower.until_over(next.run_id).await, RunState::Finished);
    let asked = follower.view.run(next.run_id).and_then(|run| run.message_id).expect("the message");
    assert_eq!(follower.view.message(asked).expect("the message").follows, Some(command.message_id));
}

#[tokio::test]
async fn an_edited_answer_is_a_version_that_survives_a_restart_on_sqlite() {
    an_edited_answer_is_a_version_that_survives_a_restart(Deployment::Embedded).await;
}

#[tokio::test]
async fn an_edited_answer_is_a_version_that_survives_a_restart_on_postgresql() {
    an_edited_answer_is_a_version_that_survives_a_restart(Deployment::Distributed).await;
}

#[tokio::test]
async fn answers_of_others_unended_ones_and_texts_out_of_bounds_are_refused() {
    let slow = replay_agent(1).replace("\"replay\"\nname", "\"slow\"\nname");
    let server = Setup::default().file(&replay_agent(100_000)).file(&slow).start().await;
    server.add_member(ADA).await;
    let (follower, run_id) = answered(&server).await;
    let thread_id = follower.thread_id;
    let refused = async |command: EditAnswer| follower.socket.send(command).await.expect_err("it is refused").code;
    let stranger = server.socket(ADA).await.send(edit(thread_id, run_id, "Mine.")).await;
    assert_eq!(stranger.expect_err("it is refused").code, ErrorCode::NotFound);
    assert_eq!(refused(edit(thread_id, RunId::new(), "No run.")).await, ErrorCode::NotFound);
    assert_eq!(refused(edit(thread_id, run_id, " \n")).await, ErrorCode::InvalidPayload);
    let long = "a".repeat(MAX_MESSAGE_BYTES + 1);
    assert_eq!(refused(edit(thread_id, run_id, &long)).await, ErrorCode::TooLarge);
    let running = SendMessage { agent: Some("slow".into()), ..SendMessage::new(thread_id, "And now?") };
    let unended = follower.socket.send(running).await.expect("the message is accepted").run_id;
    assert_eq!(refused(edit(thread_id, unended, "Too soon.")).await, ErrorCode::Conflict);
    let used = EditAnswer { message_id: MessageId::new(), ..edit(thread_id, run_id, "First.") };
    follower.socket.send(used.clone()).await.expect("it is accepted");
    assert_eq!(refused(EditAnswer { text: "Second.".into(), ..used }).await, ErrorCode::Conflict);
}
