//! Forks: threads that begin with a copy of a part of another one.

use netra::{
    protocol::{
        CreateThread, ErrorCode, ForkOrigin, ForkThread, Item, MessageId, SendMessage, ThreadId,
        http::{SearchPage, Uploaded},
    },
    socket::native::Client as Socket,
    thread::ThreadView,
};

use crate::support::{
    ADA, ADMIN, Client, Deployment, Setup, poll, replay_agent,
    threads::{until_over, view},
};

/// Sends a message, and waits for the end of the answer.
async fn ask(socket: &Socket, message: SendMessage) -> MessageId {
    let thread = message.thread_id;
    let run = socket.send(message.clone()).await.expect("the message is accepted").run_id;
    until_over(socket, thread, run).await;
    message.message_id
}

/// The messages and runs of a view, without ids.
fn contents(view: &ThreadView) -> Vec<String> {
    let content = |item: &Item| match item {
        Item::Message(item) => {
            let files: Vec<&str> = item.message.attachments.iter().map(|file| file.name.as_str()).collect();
            format!("{} {} {files:?}", item.at, item.message.content)
        }
        Item::Run(run) => {
            let bodies: Vec<_> = run.nodes.iter().map(|node| &node.body).collect();
            format!("{} {:?} {:?} {bodies:?}", run.started_at, run.ended_at, run.state)
        }
    };
    view.items.iter().map(content).collect()
}

async fn hits(client: &Client, query: &str) -> Vec<ThreadId> {
    let page: SearchPage = client.get(&format!("/api/search?q={query}")).await.json().await.expect("a page");
    page.hits.into_iter().map(|hit| hit.thread_id).collect()
}

async fn a_fork_has_the_branch_up_to_an_answer_with_its_files(deployment: Deployment) {
    let server = Setup::default().deployment(deployment).file(&replay_agent(100_000)).start().await;
    let (client, socket) = (server.signed_in(ADMIN).await, server.socket(ADMIN).await);
    let from = ThreadId::new();
    let create = CreateThread { thread_id: from, title: Some("Costs".into()), agent: Some("replay".into()) };
    socket.send(create).await.expect("the thread is created");
    let uploaded: Uploaded =
        client.upload(&from.to_string(), "log.csv", "a,b\n1,2\n").await.json().await.expect("the file");
    let with_file =
        SendMessage { attachments: vec![uploaded.file_id], ..SendMessage::new(from, "What about the marmalade?") };
    let first = ask(&socket, with_file).await;
    ask(&socket, SendMessage { replaces: Some(first), ..SendMessage::new(from, "Another version") }).await;
    let second = ask(&socket, SendMessage { after: Some(first), ..SendMessage::new(from, "And then?") }).await;
    ask(&socket, SendMessage::new(from, "Later")).await;

    let command = ForkThread { thread_id: ThreadId::new(), from, message_id: second };
    let thread = socket.send(command.clone()).await.expect("the fork is created").thread;
    assert_eq!((thread.title.as_str(), thread.agent.as_str()), ("Costs (fork)", "replay"));
    assert_eq!(thread.forked_from, Some(ForkOrigin { thread_id: from, message_id: second, title: "Costs".into() }));
    assert_eq!(socket.send(command.clone()).await.expect("the same again").thread, thread, "and changes nothing");

    let (original, fork) = (view(&socket, from).await, view(&socket, thread.id).await);
    let branch =
        ThreadView { items: original.path_to(Some(second)).into_iter().cloned().collect(), ..ThreadView::default() };
    assert_eq!(contents(&fork), contents(&branch));
    assert_eq!(fork.items.len(), 4, "two messages with their answers");
    assert_eq!(fork.info, Some(thread.for_log()), "members read the log");
    let [Item::Message(copy), ..] = &fork.items[..] else { panic!("a message comes first") };
    assert!(copy.message.id != first && copy.message.attachments[0].file_id != uploaded.file_id);
    let path = format!("/api/threads/{}/files/{}", thread.id, copy.message.attachments[0].file_id);
    assert_eq!(client.get(&path).await.text().await.expect("the file"), "a,b\n1,2\n");
    poll("the search finds it", async || hits(&client, "marmalade").await.contains(&thread.id).then_some(())).await;

    // The copy does not depend on the original.
    let deleted = client.delete(&format!("/api/threads/{from}")).await;
    assert!(deleted.status().is_success());
    assert_eq!(client.get(&path).await.text().await.expect("the file"), "a,b\n1,2\n");
    let edited = SendMessage { replaces: Some(copy.message.id), ..SendMessage::new(thread.id, "Go on here") };
    ask(&socket, edited).await;
    assert_eq!(view(&socket, thread.id).await.items.len(), 6);
    assert_eq!(socket.send(command).await.expect("the same again").thread, thread, "also without the original");
}

#[tokio::test]
async fn a_fork_has_the_branch_up_to_an_answer_with_its_files_on_sqlite() {
    a_fork_has_the_branch_up_to_an_answer_with_its_files(Deployment::Embedded).await;
}

#[tokio::test]
async fn a_fork_has_the_branch_up_to_an_answer_with_its_files_on_postgresql() {
    a_fork_has_the_branch_up_to_an_answer_with_its_files(Deployment::Distributed).await;
}

#[tokio::test]
async fn forks_of_other_peoples_threads_unknown_messages_and_unended_answers_are_refused() {
    let slow = replay_agent(1).replace("\"replay\"\nname", "\"slow\"\nname");
    let setup = Setup::default().with("QUOTAS__MAX_THREADS_PER_USER", 2);
    let server = setup.file(&replay_agent(100_000)).file(&slow).start().await;
    server.add_member(ADA).await;
    let owner = server.socket(ADMIN).await;
    let from = ThreadId::new();
    let create = CreateThread { thread_id: from, title: None, agent: Some("replay".into()) };
    owner.send(create.clone()).await.expect("the thread is created");
    let message_id = ask(&owner, SendMessage::new(from, "Go on")).await;
    let fork = ForkThread { thread_id: ThreadId::new(), from, message_id };
    let refused = async |socket: &Socket, fork: ForkThread| socket.send(fork).await.expect_err("it is refused").code;
    assert_eq!(refused(&server.socket(ADA).await, fork.clone()).await, ErrorCode::NotFound);
    let unknown = ForkThread { message_id: MessageId::new(), ..fork.clone() };
    assert_eq!(refused(&owner, unknown).await, ErrorCode::NotFound);
    assert_eq!(refused(&owner, ForkThread { thread_id: from, ..fork.clone() }).await, ErrorCode::Conflict);
    let running = SendMessage { agent: Some("slow".into()), ..SendMessage::new(from, "And now?") };
    owner.send(running.clone()).await.expect("the message is accepted");
    let unended = ForkThread { message_id: running.message_id, ..fork.clone() };
    assert_eq!(refused(&owner, unended).await, ErrorCode::Conflict);
    owner.send(fork.clone()).await.expect("an earlier message can be forked at meanwhile");
    let third = ForkThread { thread_id: ThreadId::new(), ..fork.clone() };
    assert_eq!(refused(&owner, third).await, ErrorCode::QuotaExceeded);
    let other = ForkThread { message_id: running.message_id, ..fork };
    assert_eq!(refused(&owner, other).await, ErrorCode::Conflict, "the id was used with other content");
}
