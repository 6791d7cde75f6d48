//! Replies to commands: each error code, and the same reply to a repeated command.

use netra::protocol::{
    CreateThread, DeleteThread, ErrorCode, FileId, MarkRead, MessageAccepted, Ping, Pong, RenameThread, RunId,
    SendMessage, ServerFrame, StopRun, Subscribe, ThreadId, ThreadReply, Unsubscribe,
    limits::{MAX_MESSAGE_BYTES, MAX_SUBSCRIPTIONS},
};
use netra::{
    protocol::ChannelName,
    server::{bus::WaitingRun, clock::now_ms},
};
use serde_json::json;

use crate::socket::{client::message, server::SocketServer};

#[tokio::test]
async fn a_thread_is_made_renamed_read_and_deleted() {
    let server = SocketServer::start().await;
    let mut client = server.member("ada").await.connect().await;
    let thread_id = client.create_thread().await;
    let renamed = client
        .ask(RenameThread { thread_id, title: "  Where the\n tokens go ".into() })
        .await
        .expect("the thread is renamed");
    let ThreadReply { thread } = serde_json::from_value(renamed).expect("the JSON has this type");
    assert_eq!((thread.title.as_str(), thread.agent.as_str()), ("Where the tokens go", "echo"));
    assert_eq!(client.ask(MarkRead { thread_id }).await, Ok(json!({})));

    let folder = server.files.join(thread_id.to_string());
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("log"), "tokens").expect("a file");
    client.follow(thread_id).await;
    let run = client.ask(message(thread_id, "Where do my tokens go?")).await.expect("the command is accepted");
    let MessageAccepted { run_id, .. } = serde_json::from_value(run).expect("the JSON has this type");
    assert_eq!(server.runner.waiting(thread_id).iter().map(|run| run.waiting.run_id).collect::<Vec<_>>(), [run_id]);
    assert_eq!(client.ask(DeleteThread { thread_id }).await, Ok(json!({})));
    assert!(server.runner.waiting(thread_id).is_empty(), "its run is stopped");
    assert!(!folder.exists(), "its files go with it");
    assert_eq!(server.manager().counts().channels, 0, "it is not followed");
    assert_eq!(client.ask(DeleteThread { thread_id }).await, Ok(json!({})), "again changes nothing");
    assert_eq!(client.refused(MarkRead { thread_id }).await, ErrorCode::NotFound);
    let again = CreateThread { thread_id, title: None, agent: None };
    assert_eq!(client.refused(again).await, ErrorCode::Conflict, "its id cannot be used again");
}

#[tokio::test]
async fn a_repeated_message_starts_one_run() {
    let server = SocketServer::with(|config| config.runs.max_waiting_per_user = 1).await;
    let ada = server.member("ada").await;
    let (mut tab, mut phone) = (ada.connect().await, ada.connect().await);
    let thread_id = tab.create_thread().await;
    let command = message(thread_id, "Where do my tokens go?");
    let first = tab.ask(command.clone()).await.expect("the command is accepted");
    assert_eq!(tab.ask(command.clone()).await, Ok(first.clone()));
    assert_eq!(phone.ask(command.clone()).await, Ok(first.clone()), "from another connection too");
    let started = server.runner.waiting(thread_id);
    assert_eq!(started.len(), 1);
    assert_eq!(json!(started[0].waiting.run_id), first["run_id"]);
    let (_, view) = server.gateway.channels.thread(thread_id).await.expect("the thread is read");
    assert_eq!(view.run(started[0].waiting.run_id).expect("a run").agent, "echo");
    assert_eq!(tab.ask(command.clone()).await, Ok(first.clone()), "also when no other run may begin");
    let error = tab.ask(message(thread_id, "And now?")).await.expect_err("a refusal");
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::RateLimited, Some(2_000)));
    let other = SendMessage { text: "Something else".into(), ..command };
    assert_eq!(phone.refused(other).await, ErrorCode::Conflict);

    let again = CreateThread { thread_id, title: None, agent: None };
    let reply = phone.ask(again.clone()).await.expect("the reply is the same");
    assert_eq!(reply["thread"]["id"], json!(thread_id));
    assert_eq!(phone.refused(CreateThread { title: Some("Other".into()), ..again }).await, ErrorCode::Conflict);
}

#[tokio::test]
async fn a_run_is_stopped_by_its_owner_only_and_stopping_twice_succeeds() {
    let server = SocketServer::start().await;
    let (mut ada, mut bob) = (server.member("ada").await.connect().await, server.member("bob").await.connect().await);
    let thread_id = ada.create_thread().await;
    let reply = ada.ask(message(thread_id, "Go")).await.expect("the command is accepted");
    let MessageAccepted { run_id, .. } = serde_json::from_value(reply).expect("the JSON has this type");
    assert_eq!(bob.refused(StopRun { run_id }).await, ErrorCode::NotFound);
    assert_eq!(ada.refused(StopRun { run_id: RunId::new() }).await, ErrorCode::NotFound);
    assert_eq!(server.runner.waiting(thread_id).len(), 1, "it waits for its turn");
    assert_eq!(ada.ask(StopRun { run_id }).await, Ok(json!({})));
    assert_eq!(ada.ask(StopRun { run_id }).await, Ok(json!({})));
    assert!(server.runner.waiting(thread_id).is_empty());
}

#[tokio::test]
async fn every_refusal_has_its_code() {
    let server = SocketServer::start().await;
    let mut client = server.member("ada").await.connect().await;
    let thread_id = client.create_thread().await;
    let raw = [
        (r#"{"type":"dance","id":100,"payload":{}}"#, ErrorCode::UnknownType),
        (r#"{"type":"ping","id":101,"payload":{"x":1}}"#, ErrorCode::InvalidPayload),
        (r#"{"type":"ping","id":102,"extra":1}"#, ErrorCode::BadFrame),
        (
            r#"{"type":"create_thread","id":103,"payload":{"thread_id":"7f3d9a52-0c1e-4f4b-9a53-6d2f1c0b8e11"}}"#,
            ErrorCode::InvalidPayload,
        ),
        (r#"{"type":"subscribe","id":104,"payload":{"channel":"everyone"}}"#, ErrorCode::InvalidPayload),
    ];
    for (text, code) in raw {
        client.send_text(text).await;
        let ServerFrame::Reply { outcome: Err(error), .. } = client.frame().await else { panic!("refused: {text}") };
        assert_eq!(error.code, code, "{text}");
    }
    let unknown = CreateThread { thread_id: ThreadId::new(), title: None, agent: Some("nobody".into()) };
    let error = client.ask(unknown).await.expect_err("a refusal");
    assert_eq!((error.code, error.message.contains("echo")), (ErrorCode::NotFound, true), "the known ones are named");
    assert_eq!(client.refused(message(ThreadId::new(), "hello")).await, ErrorCode::NotFound);
    assert_eq!(client.refused(message(thread_id, "  ")).await, ErrorCode::InvalidPayload);
    let long = message(thread_id, &"x".repeat(MAX_MESSAGE_BYTES + 1));
    assert_eq!(client.refused(long).await, ErrorCode::TooLarge);
    let absent = SendMessage { attachments: vec![FileId::new()], ..message(thread_id, "look") };
    assert_eq!(client.refused(absent).await, ErrorCode::NotFound);
    let untitled = RenameThread { thread_id, title: " \n".into() };
    assert_eq!(client.refused(untitled).await, ErrorCode::InvalidPayload);
    assert!(client.ask(Ping {}).await.is_ok(), "none of it closes the connection");
}

#[tokio::test]
async fn a_store_out_of_reach_is_unavailable_and_then_the_same_command_works() {
    let server = SocketServer::start().await;
    let mut client = server.member("ada").await.connect().await;
    let create = CreateThread { thread_id: ThreadId::new(), title: None, agent: None };
    // Holding the only write connection blocks all writes.
    let held = server.store.begin().await.expect("the transaction begins");
    let error = client.ask(create.clone()).await.expect_err("the store accepts no writes");
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::Unavailable, Some(1_000)));
    drop(held);
    assert!(client.ask(create).await.is_ok());
}

#[tokio::test]
async fn a_ping_is_answered_while_a_command_waits() {
    let server = SocketServer::start().await;
    let mut client = server.member("ada").await.connect().await;
    let held = server.store.begin().await.expect("the transaction begins");
    let waiting_id = client.send(CreateThread { thread_id: ThreadId::new(), title: None, agent: None }).await;
    let pong: Pong =
        serde_json::from_value(client.ask(Ping {}).await.expect("the server replies")).expect("the JSON has this type");
    assert!((now_ms() - pong.server_time).abs() < 5_000);
    drop(held);
    assert!(client.reply(waiting_id).await.is_ok());
}

#[tokio::test]
async fn commands_sent_at_once_are_done_in_order() {
    let server = SocketServer::with(|config| config.runs.max_waiting_per_user = 40).await;
    let mut client = server.member("ada").await.connect().await;
    let thread_id = ThreadId::new();
    let creation_id = client.send(CreateThread { thread_id, title: None, agent: None }).await;
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(client.send(message(thread_id, &format!("message {n}"))).await);
    }
    assert!(client.reply(creation_id).await.is_ok());
    for id in ids {
        assert!(client.reply(id).await.is_ok());
    }
    let started = server.runner.waiting(thread_id);
    let (_, view) = server.gateway.channels.thread(thread_id).await.expect("the thread is read");
    let text = |run: &WaitingRun| {
        let message = view.run(run.waiting.run_id).and_then(|run| run.message_id).and_then(|id| view.message(id));
        message.expect("its message").message.content.clone()
    };
    let texts: Vec<String> = started.iter().map(text).collect();
    assert_eq!(texts, (0..40).map(|n| format!("message {n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_connection_follows_so_many_channels_and_no_more() {
    let server = SocketServer::with(|config| config.socket.commands_per_minute = 1_000).await;
    let mut client = server.member("ada").await.connect().await;
    let mut threads = Vec::new();
    for _ in 0..=MAX_SUBSCRIPTIONS {
        threads.push(client.create_thread().await);
    }
    for thread in &threads[1..] {
        client.follow(*thread).await;
    }
    let one_more = Subscribe { channel: ChannelName::Thread(threads[0]), after: None, newest: None };
    assert_eq!(client.refused(one_more.clone()).await, ErrorCode::Conflict);
    client.follow(threads[1]).await;
    assert_eq!(server.manager().counts().channels, MAX_SUBSCRIPTIONS, "a repeated subscription does not count");
    let left = ChannelName::Thread(threads[1]);
    assert_eq!(client.ask(Unsubscribe { channel: left }).await, Ok(json!({})));
    assert_eq!(client.ask(Unsubscribe { channel: left }).await, Ok(json!({})), "twice is fine");
    assert!(client.ask(one_more).await.is_ok());
    server.append(threads[1], 1).await;
    server.append(threads[0], 1).await;
    assert_eq!(client.event().await.channel, ChannelName::Thread(threads[0]), "nothing of the channel that was left");
}

#[tokio::test]
async fn missing_threads_and_those_of_another_user_are_not_found() {
    let server = SocketServer::start().await;
    let (mut ada, mut bob) = (server.member("ada").await.connect().await, server.member("bob").await.connect().await);
    let theirs = ada.create_thread().await;
    for thread_id in [ThreadId::new(), theirs] {
        let channel = ChannelName::Thread(thread_id);
        assert_eq!(bob.refused(Subscribe { channel, after: None, newest: None }).await, ErrorCode::NotFound);
        assert_eq!(bob.refused(message(thread_id, "hello")).await, ErrorCode::NotFound);
        assert_eq!(bob.refused(RenameThread { thread_id, title: "Mine".into() }).await, ErrorCode::NotFound);
        assert_eq!(bob.refused(MarkRead { thread_id }).await, ErrorCode::NotFound);
        assert_eq!(bob.refused(DeleteThread { thread_id }).await, ErrorCode::NotFound);
    }
    let taken = CreateThread { thread_id: theirs, title: None, agent: None };
    assert_eq!(bob.refused(taken).await, ErrorCode::Conflict);
    assert_eq!(server.manager().counts().channels, 0);
}
