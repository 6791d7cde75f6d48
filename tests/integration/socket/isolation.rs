//! No user receives anything of another's thread, in any order of commands.

use std::collections::HashMap;

use netra::protocol::{
    ChannelName, Command, CreateThread, DeleteThread, MarkRead, Ping, Push, RenameThread, ServerFrame, Subscribe,
    ThreadId, Unsubscribe, UserId,
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use crate::socket::{
    client::{Client, message},
    server::SocketServer,
};

#[derive(Debug, Clone, Copy)]
enum UserCommand {
    Create,
    SendMessage,
    Rename,
    MarkRead,
    Delete,
    Subscribe,
    SubscribeToFeed,
    Unsubscribe,
}

/// Commands, each with the index of its client and of its thread; most are for a thread of another user.
fn plan() -> impl Strategy<Value = Vec<(usize, UserCommand, usize)>> {
    let kind = prop_oneof![
        1 => Just(UserCommand::Create),
        3 => Just(UserCommand::SendMessage),
        1 => Just(UserCommand::Rename),
        1 => Just(UserCommand::MarkRead),
        1 => Just(UserCommand::Delete),
        4 => Just(UserCommand::Subscribe),
        1 => Just(UserCommand::SubscribeToFeed),
        1 => Just(UserCommand::Unsubscribe),
    ];
    proptest::collection::vec((0..4_usize, kind, 0..8_usize), 60..120)
}

fn command(kind: UserCommand, thread_id: ThreadId) -> Command {
    let channel = ChannelName::Thread(thread_id);
    match kind {
        UserCommand::Create => CreateThread { thread_id, title: None, agent: None }.into(),
        UserCommand::SendMessage => message(thread_id, "This is mine alone.").into(),
        UserCommand::Rename => RenameThread { thread_id, title: "Mine".into() }.into(),
        UserCommand::MarkRead => MarkRead { thread_id }.into(),
        UserCommand::Delete => DeleteThread { thread_id }.into(),
        UserCommand::Subscribe => Subscribe { channel, after: None, newest: None }.into(),
        UserCommand::SubscribeToFeed => Subscribe { channel: ChannelName::User, after: None, newest: None }.into(),
        UserCommand::Unsubscribe => Unsubscribe { channel }.into(),
    }
}

/// The threads that a frame mentions.
fn threads_in(text: &str, threads: &[ThreadId]) -> Vec<ThreadId> {
    threads.iter().copied().filter(|thread| text.contains(&thread.to_string())).collect()
}

/// A client after its commands, and what it received.
struct FinishedClient {
    user: UserId,
    client: Client,
    /// The payloads of replies and the pushes.
    received: Vec<String>,
    /// The threads that it created.
    created: Vec<ThreadId>,
}

/// Sends a client's commands without waiting, then reads until all are answered.
async fn send_all(
    user: UserId,
    mut client: Client,
    commands: Vec<(usize, UserCommand, usize)>,
    threads: Vec<ThreadId>,
) -> FinishedClient {
    let (mut received, mut created): (Vec<String>, Vec<ThreadId>) = (Vec::new(), Vec::new());
    let mut sent = HashMap::new();
    for (_, kind, thread) in &commands {
        let thread_id = threads[*thread];
        sent.insert(client.send(command(*kind, thread_id)).await, (*kind, thread_id));
    }
    let mut unanswered = commands.len() + 1;
    let last = client.send(Ping {}).await;
    while unanswered > 0 {
        match client.frame().await {
            ServerFrame::Reply { id, outcome } => {
                unanswered -= 1;
                match (sent.get(&id), &outcome) {
                    (Some((UserCommand::Create, thread)), Ok(_)) => created.push(*thread),
                    (None, _) => assert_eq!(id, last),
                    _ => {}
                }
                if let Ok(payload) = outcome {
                    received.push(payload.to_string());
                }
            }
            ServerFrame::Push(push @ Push::Event(_)) => received.push(netra::protocol::encode_push(&push)),
            ServerFrame::Push(other) => panic!("unexpected: {other:?}"),
            ServerFrame::Entry(entry) => panic!("a compact entry on netra.v1: {entry:?}"),
        }
    }
    FinishedClient { user, client, received, created }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_interleaving_of_commands_shows_a_user_anothers_thread() {
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..6 {
        let plan = plan().new_tree(&mut runner).expect("a plan").current();
        let server = SocketServer::start().await;
        let (ada, bob) = (server.member("ada").await, server.member("bob").await);
        let mut clients: Vec<(UserId, Client)> = Vec::new();
        for member in [&ada, &bob, &ada, &bob] {
            clients.push((member.id(), member.connect().await));
        }
        let threads: Vec<ThreadId> = (0..8).map(|_| ThreadId::new()).collect();
        // Half of the threads exist from the start.
        let mut owners: HashMap<ThreadId, UserId> = HashMap::new();
        for (n, thread_id) in threads.iter().enumerate().take(4) {
            let (user, client) = &mut clients[n];
            client
                .ask(CreateThread { thread_id: *thread_id, title: None, agent: None })
                .await
                .expect("the thread is created");
            owners.insert(*thread_id, *user);
        }
        // All clients send concurrently, each in its own order.
        let mut sending = tokio::task::JoinSet::new();
        for (n, (user, client)) in clients.into_iter().enumerate() {
            let commands: Vec<_> = plan.iter().filter(|(client, ..)| *client == n).copied().collect();
            let threads = threads.clone();
            sending.spawn(send_all(user, client, commands, threads));
        }
        let finished = sending.join_all().await;
        for FinishedClient { user, created, .. } in &finished {
            for thread in created {
                let owner = owners.entry(*thread).or_insert(*user);
                assert_eq!(owner, user, "a thread is created by one user");
            }
        }
        // A notice arrives after everything that is still being sent.
        let notice = netra::protocol::Notice { id: netra::protocol::NoticeId::new(), text: "last".into(), at: 0 };
        server.manager().broadcast(&Push::Notice(notice));
        for FinishedClient { user, mut client, mut received, .. } in finished {
            loop {
                match client.push().await {
                    Push::Notice(_) => break,
                    push => received.push(netra::protocol::encode_push(&push)),
                }
            }
            for text in received {
                for thread in threads_in(&text, &threads) {
                    assert_eq!(owners.get(&thread), Some(&user), "received something of another user's thread: {text}");
                }
            }
        }
    }
}
