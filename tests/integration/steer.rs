//! Speaking while a run is active: queued messages that are changed and moved, stopping and asking, and messages that an agent reads
//! during its run.

use std::sync::Arc;

use netra::{
    protocol::{
        Command, EditQueued, ErrorCode, Item, MessageId, MoveQueued, Request, RunId, SendMessage, SendMode, StopRun,
        TakeBack,
    },
    thread::{NodeBody, RunState, ThreadView},
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    model::server::{Model, Piece, Reply, call_reply, end, text, text_reply},
    support::{Backends, Deployment, Setup, TestServer, replay_agent},
    turns::Follower,
};

/// A message with its run.
#[derive(Debug, Clone, Copy)]
struct Sent {
    message: MessageId,
    run: RunId,
}

async fn send(tab: &Follower, text: &str, mode: SendMode) -> Sent {
    let command = SendMessage { mode, ..SendMessage::new(tab.thread_id, text) };
    let accepted = tab.socket.send(command.clone()).await.expect("the message is accepted");
    let again = tab.socket.send(command.clone()).await.expect("the same command is accepted");
    assert_eq!(again, accepted, "a repeated message changes nothing");
    Sent { message: command.message_id, run: accepted.run_id }
}

async fn queue(tab: &Follower, text: &str) -> Sent {
    send(tab, text, SendMode::Queue).await
}

/// Sends a command twice: the second time, it changes nothing.
async fn twice<R: Request + Clone + Into<Command> + 'static>(tab: &Follower, command: R) {
    tab.socket.send(command.clone()).await.expect("the command is accepted");
    tab.socket.send(command).await.expect("the same command is accepted");
}

fn is_running(view: &ThreadView, run: RunId) -> bool {
    view.run(run).is_some_and(|run| run.state == RunState::Running)
}

/// The messages' texts, in order.
fn texts(view: &ThreadView) -> Vec<&str> {
    let texts = view.items.iter().filter_map(|item| match item {
        Item::Message(item) => Some(item.message.content.as_str()),
        Item::Run(_) => None,
    });
    texts.collect()
}

/// Waits until a run is active, then stops it.
async fn stop_when_running(tab: &mut Follower, run: RunId) {
    tab.until(|tab| is_running(&tab.view, run)).await;
    tab.socket.send(StopRun { run_id: run }).await.expect("the run is stopped");
    assert_eq!(tab.until_over(run).await, RunState::Cancelled);
}

/// Stops each of these runs when it is active, and checks that those after it have not begun then.
async fn expect_order(tab: &mut Follower, runs: &[RunId]) {
    for (index, run) in runs.iter().enumerate() {
        tab.until(|tab| is_running(&tab.view, *run)).await;
        let later = &runs[index + 1..];
        let waits = |run: &RunId| tab.view.run(*run).is_some_and(|run| run.state == RunState::Waiting);
        assert!(later.iter().all(waits), "only {index} has begun: {:?}", tab.view.items);
        stop_when_running(tab, *run).await;
    }
}

async fn start(deployment: Deployment) -> TestServer {
    Setup::default().deployment(deployment).file(&replay_agent(20)).start().await
}

async fn a_message_stops_the_active_run_and_goes_next(deployment: Deployment) {
    let server = start(deployment).await;
    let mut tab = Follower::new(&server, "replay").await;
    let first = queue(&tab, "First.").await;
    tab.until(|tab| is_running(&tab.view, first.run)).await;
    let (second, third) = (queue(&tab, "Second.").await, queue(&tab, "Third.").await);
    let now = send(&tab, "Now.", SendMode::Stop).await;
    let mut phone = Follower::follow(&server, tab.thread_id).await;
    for follower in [&mut tab, &mut phone] {
        assert_eq!(follower.until_over(first.run).await, RunState::Cancelled);
        follower.until(|follower| is_running(&follower.view, now.run)).await;
        assert_eq!(texts(&follower.view), ["First.", "Now.", "Second.", "Third."]);
        let branch = follower.view.branch(None);
        assert_eq!(branch, [first.message, now.message, second.message, third.message]);
        follower.until(|follower| follower.queue.iter().map(|place| place.run_id).eq([second.run, third.run])).await;
    }
    expect_order(&mut tab, &[now.run, second.run, third.run]).await;
}

#[tokio::test]
async fn a_message_stops_the_active_run_and_goes_next_on_sqlite() {
    a_message_stops_the_active_run_and_goes_next(Deployment::Embedded).await;
}

#[tokio::test]
async fn a_message_stops_the_active_run_and_goes_next_on_postgres() {
    a_message_stops_the_active_run_and_goes_next(Deployment::Distributed).await;
}

async fn queued_messages_are_changed_and_moved(deployment: Deployment) {
    let server = start(deployment).await;
    let mut tab = Follower::new(&server, "replay").await;
    let first = queue(&tab, "First.").await;
    tab.until(|tab| is_running(&tab.view, first.run)).await;
    let mut waiting = Vec::new();
    for text in ["A", "B", "C"] {
        waiting.push(queue(&tab, text).await);
    }
    let [a, b, c] = waiting[..] else { unreachable!("there are three") };
    let thread_id = tab.thread_id;
    let mut phone = Follower::follow(&server, thread_id).await;
    let edit = |sent: Sent, text: &str| EditQueued {
        thread_id,
        message_id: sent.message,
        text: text.into(),
        attachments: None,
    };
    let place = |sent: Sent, before: Option<Sent>| MoveQueued {
        thread_id,
        message_id: sent.message,
        before: before.map(|sent| sent.message),
    };
    twice(&phone, edit(b, "B, changed")).await;
    twice(&phone, place(c, Some(a))).await;
    twice(&tab, place(a, None)).await;
    let expected = ["First.", "C", "B, changed", "A"];
    for follower in [&mut tab, &mut phone] {
        follower.until(|follower| texts(&follower.view) == expected).await;
        assert_eq!(follower.view.branch(None), [first.message, c.message, b.message, a.message]);
        let order = [c.run, b.run, a.run];
        follower.until(|follower| follower.queue.iter().map(|place| place.run_id).eq(order)).await;
        assert!(follower.queue.iter().map(|place| place.position).eq(1..=3));
    }
    let code = async |command: EditQueued| tab.socket.send(command).await.expect_err("it is refused").code;
    assert_eq!(code(edit(first, "Too late")).await, ErrorCode::Conflict);
    assert_eq!(code(edit(a, " ")).await, ErrorCode::InvalidPayload);
    assert_eq!(code(edit(Sent { message: MessageId::new(), ..a }, "x")).await, ErrorCode::NotFound);
    for (moved, before) in [(first, Some(a)), (a, Some(first))] {
        let refused = tab.socket.send(place(moved, before)).await.expect_err("it has begun");
        assert_eq!(refused.code, ErrorCode::Conflict);
    }
    // The order is that of the store: it survives the server.
    let server = server.kill().await.restart().await;
    let mut tab = Follower::follow(&server, thread_id).await;
    tab.until(|tab| tab.view.run(first.run).is_some_and(|run| run.state.is_over())).await;
    assert_eq!(texts(&tab.view), expected);
    let history = json!(tab.view.history(b.run)).to_string();
    assert!(history.contains("B, changed") && !history.contains("\"A\""), "{history}");
    expect_order(&mut tab, &[c.run, b.run, a.run]).await;
    let late = tab.socket.send(edit(b, "B, changed")).await;
    late.expect("the message is already as given");
}

#[tokio::test]
async fn queued_messages_are_changed_and_moved_on_sqlite() {
    queued_messages_are_changed_and_moved(Deployment::Embedded).await;
}

#[tokio::test]
async fn queued_messages_are_changed_and_moved_on_postgres() {
    queued_messages_are_changed_and_moved(Deployment::Distributed).await;
}

#[tokio::test]
async fn messages_that_wait_on_two_nodes_are_answered_in_the_order_to_which_they_were_moved() {
    let backends = Backends::start(None).await;
    let node = || {
        let setup = Setup::default().deployment(Deployment::Distributed).on(&backends);
        setup.file(&replay_agent(20))
    };
    let one = node().start().await;
    let other = node().start_without_accounts().await;
    let mut here = Follower::new(&one, "replay").await;
    let first = queue(&here, "First.").await;
    here.until(|here| is_running(&here.view, first.run)).await;
    let mut there = Follower::follow(&other, here.thread_id).await;
    there.until(|there| is_running(&there.view, first.run)).await;
    let a = queue(&here, "A").await;
    let b = queue(&there, "B").await;
    let move_b = MoveQueued { thread_id: here.thread_id, message_id: b.message, before: Some(a.message) };
    here.socket.send(move_b).await.expect("the message is moved");
    for follower in [&mut here, &mut there] {
        follower.until(|follower| texts(&follower.view) == ["First.", "B", "A"]).await;
        follower.until(|follower| follower.queue.iter().map(|place| place.run_id).eq([b.run, a.run])).await;
    }
    // Stopping and asking on the other node stops the run of this one.
    let now = send(&there, "Now.", SendMode::Stop).await;
    assert_eq!(here.until_over(first.run).await, RunState::Cancelled);
    expect_order(&mut here, &[now.run, b.run, a.run]).await;
}

fn model_agent(model: &Model, more: &str) -> String {
    format!(
        "[[agents]]\nid = \"model\"\nname = \"Model\"\nkind = \"model\"\nmodel = \"scripted\"\nbase_url = \"{}\"\n\
         titles = false\n{more}",
        model.url
    )
}

/// An answer that ends when there is a permit.
fn gated(words: &str, gate: &Arc<Semaphore>) -> Reply {
    let pieces = [text(words), Piece::Gate(gate.clone())].into_iter();
    Reply::Stream(pieces.chain(end("stop", 100, 10)).collect())
}

/// The messages of a request to the model, as `role: text`.
fn asked(model: &Model, request: usize) -> Vec<String> {
    let messages = model.requests()[request].body["messages"].as_array().cloned().unwrap_or_default();
    let line = |message: &Value| {
        format!("{}: {}", message["role"].as_str().unwrap_or_default(), message["content"].as_str().unwrap_or_default())
    };
    messages.iter().map(line).filter(|line| !line.starts_with("system")).collect()
}

fn answers(view: &ThreadView, run: RunId) -> Vec<String> {
    let text = |body: &NodeBody| if let NodeBody::Text { text, .. } = body { Some(text.clone()) } else { None };
    let run = view.run(run).expect("the run");
    run.nodes.iter().filter_map(|node| text(&node.body)).collect()
}

async fn an_agent_reads_a_message_before_its_next_step(deployment: Deployment) {
    let gate = Arc::new(Semaphore::new(0));
    let replies = [gated("In dollars.", &gate), text_reply("In euros."), text_reply("Yes.")];
    let model = Model::with(replies).await;
    let server = Setup::default().deployment(deployment).file(&model_agent(&model, "")).start().await;
    let mut tab = Follower::new(&server, "model").await;
    let first = queue(&tab, "What does it cost?").await;
    tab.until(|tab| is_running(&tab.view, first.run) && answers(&tab.view, first.run) == ["In dollars."]).await;
    let later = queue(&tab, "Sure?").await;
    let steering = send(&tab, "In euros, please.", SendMode::Steer).await;
    tab.until(|tab| texts(&tab.view) == ["What does it cost?", "In euros, please.", "Sure?"]).await;
    assert!(tab.view.message(steering.message).is_some_and(|item| item.message.steer));
    assert!(is_running(&tab.view, first.run), "the run goes on");
    gate.add_permits(1);
    assert_eq!(tab.until_over(first.run).await, RunState::Finished);
    assert_eq!(tab.until_over(later.run).await, RunState::Finished);
    let read = ["user: What does it cost?", "assistant: In dollars.", "user: In euros, please."];
    assert_eq!(asked(&model, 1), read);
    let whole: Vec<&str> = read.into_iter().chain(["assistant: In euros.", "user: Sure?"]).collect();
    assert_eq!(asked(&model, 2), whole, "later runs see the message at its place");
    assert_eq!(model.requests().len(), 3, "the message has no run of its own");
    // Another device, and the same one after a restart.
    let server = server.kill().await.restart().await;
    let mut phone = Follower::follow(&server, tab.thread_id).await;
    phone.until(|phone| phone.view.run(later.run).is_some_and(|run| run.state.is_over())).await;
    for view in [&tab.view, &phone.view] {
        assert_eq!(texts(view), ["What does it cost?", "Sure?"]);
        let run = view.run(first.run).expect("the run");
        let [message] = &run.read[..] else { panic!("one message was read: {:?}", run.read) };
        assert_eq!((message.item.message.id, message.nodes_before), (steering.message, 1));
        assert!(view.run(steering.run).is_none());
    }
    let thread_id = tab.thread_id;
    let back = phone.socket.send(TakeBack { thread_id, message_id: steering.message }).await;
    assert_eq!(back.expect_err("it was read").code, ErrorCode::Conflict);
}

#[tokio::test]
async fn an_agent_reads_a_message_before_its_next_step_on_sqlite() {
    an_agent_reads_a_message_before_its_next_step(Deployment::Embedded).await;
}

#[tokio::test]
async fn an_agent_reads_a_message_before_its_next_step_on_postgres() {
    an_agent_reads_a_message_before_its_next_step(Deployment::Distributed).await;
}

#[tokio::test]
async fn messages_sent_during_a_step_with_tools_are_read_in_order_after_the_results() {
    let gate = Arc::new(Semaphore::new(0));
    let Reply::Stream(call) = call_reply(&[("describe_log", "c1", json!({}))]) else { unreachable!("it is a stream") };
    let call = [text("I look."), Piece::Gate(gate.clone())].into_iter().chain(call).collect();
    let model = Model::with([Reply::Stream(call), text_reply("Done.")]).await;
    let tools = "tools = [\"data\"]\n[[tools]]\nid = \"data\"\nkind = \"builtin\"\n";
    let server = Setup::default().file(&model_agent(&model, tools)).start().await;
    let mut tab = Follower::new(&server, "model").await;
    let first = queue(&tab, "Look.").await;
    tab.until(|tab| is_running(&tab.view, first.run) && answers(&tab.view, first.run) == ["I look."]).await;
    let one = send(&tab, "One.", SendMode::Steer).await;
    let two = send(&tab, "Two.", SendMode::Steer).await;
    gate.add_permits(1);
    assert_eq!(tab.until_over(first.run).await, RunState::Finished);
    let asked = asked(&model, 1);
    assert_eq!(asked[asked.len() - 2..], ["user: One.", "user: Two."], "{asked:?}");
    let run = tab.view.run(first.run).expect("the run");
    let read: Vec<_> = run.read.iter().map(|read| read.item.message.id).collect();
    assert_eq!(read, [one.message, two.message]);
    assert_eq!(answers(&tab.view, first.run), ["I look.", "Done."]);
}

#[tokio::test]
async fn the_run_after_a_stopped_one_knows_what_was_said_so_far() {
    let gate = Arc::new(Semaphore::new(0));
    let model = Model::with([gated("In dollars.", &gate), text_reply("In euros.")]).await;
    let server = Setup::default().file(&model_agent(&model, "")).start().await;
    let mut tab = Follower::new(&server, "model").await;
    let first = queue(&tab, "What does it cost?").await;
    tab.until(|tab| is_running(&tab.view, first.run) && answers(&tab.view, first.run) == ["In dollars."]).await;
    let now = send(&tab, "In euros?", SendMode::Stop).await;
    assert_eq!(tab.until_over(first.run).await, RunState::Cancelled);
    assert_eq!(tab.until_over(now.run).await, RunState::Finished);
    assert_eq!(asked(&model, 1), ["user: What does it cost?", "assistant: In dollars.", "user: In euros?"]);
}

#[tokio::test]
async fn a_message_that_was_not_read_in_time_is_answered_by_its_own_run() {
    let gate = Arc::new(Semaphore::new(0));
    let model = Model::with([gated("One.", &gate), text_reply("Two.")]).await;
    let server = Setup::default().file(&model_agent(&model, "max_steps = 1\n")).start().await;
    let mut tab = Follower::new(&server, "model").await;
    let first = queue(&tab, "First.").await;
    // The model has been asked, so it reads nothing more before its answer.
    tab.until(|tab| is_running(&tab.view, first.run) && answers(&tab.view, first.run) == ["One."]).await;
    let steering = send(&tab, "Second.", SendMode::Steer).await;
    gate.add_permits(1);
    assert_eq!(tab.until_over(first.run).await, RunState::Finished);
    assert_eq!(tab.until_over(steering.run).await, RunState::Finished);
    assert!(tab.view.run(first.run).expect("the run").read.is_empty());
    assert_eq!(answers(&tab.view, steering.run), ["Two."]);
    assert_eq!(asked(&model, 1), ["user: First.", "assistant: One.", "user: Second."]);
}

#[tokio::test]
async fn a_message_that_was_not_read_before_a_crash_is_answered_after_it() {
    let gate = Arc::new(Semaphore::new(0));
    let model = Model::with([gated("One.", &gate), text_reply("Two.")]).await;
    let server = Setup::default().file(&model_agent(&model, "")).start().await;
    let mut tab = Follower::new(&server, "model").await;
    let first = queue(&tab, "First.").await;
    tab.until(|tab| is_running(&tab.view, first.run) && answers(&tab.view, first.run) == ["One."]).await;
    let steering = send(&tab, "Second.", SendMode::Steer).await;
    let _server = server.kill().await.restart().await;
    assert!(matches!(tab.until_over(first.run).await, RunState::Failed { .. }));
    assert_eq!(tab.until_over(steering.run).await, RunState::Finished);
    assert_eq!(answers(&tab.view, steering.run), ["Two."]);
    assert_eq!(asked(&model, 1), ["user: First.", "assistant: One.", "user: Second."]);
}

#[tokio::test]
async fn an_agent_that_reads_no_messages_is_stopped_and_asked_with_what_was_said_so_far() {
    let server = start(Deployment::Embedded).await;
    let mut tab = Follower::new(&server, "replay").await;
    let first = queue(&tab, "First.").await;
    tab.until(|tab| is_running(&tab.view, first.run)).await;
    let steering = send(&tab, "Second.", SendMode::Steer).await;
    assert_eq!(tab.until_over(first.run).await, RunState::Cancelled);
    tab.until(|tab| is_running(&tab.view, steering.run)).await;
    assert!(!tab.view.message(steering.message).expect("the message").message.steer);
    assert_eq!(tab.view.branch(None), [first.message, steering.message]);
    // Without an active run, a mode changes nothing.
    stop_when_running(&mut tab, steering.run).await;
    let third = send(&tab, "Third.", SendMode::Stop).await;
    tab.until(|tab| is_running(&tab.view, third.run)).await;
}
