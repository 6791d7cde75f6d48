//! Nobody hears what is not theirs, whatever anyone does in whatever order.

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

use crate::socket::bench::{Bench, Client, message};

#[derive(Debug, Clone, Copy)]
enum Act {
    Create,
    Say,
    Rename,
    Read,
    Delete,
    Follow,
    FollowFeed,
    Leave,
}

/// Who does what with which thread: the threads are everyone's, so most of it is tried on what is another's.
fn plan() -> impl Strategy<Value = Vec<(usize, Act, usize)>> {
    let act = prop_oneof![
        1 => Just(Act::Create),
        3 => Just(Act::Say),
        1 => Just(Act::Rename),
        1 => Just(Act::Read),
        1 => Just(Act::Delete),
        4 => Just(Act::Follow),
        1 => Just(Act::FollowFeed),
        1 => Just(Act::Leave),
    ];
    proptest::collection::vec((0..4_usize, act, 0..8_usize), 60..120)
}

fn command(act: Act, thread_id: ThreadId) -> Command {
    let channel = ChannelName::Thread(thread_id);
    match act {
        Act::Create => CreateThread { thread_id, title: None, agent: None }.into(),
        Act::Say => message(thread_id, "This is mine alone.").into(),
        Act::Rename => RenameThread { thread_id, title: "Mine".into() }.into(),
        Act::Read => MarkRead { thread_id }.into(),
        Act::Delete => DeleteThread { thread_id }.into(),
        Act::Follow => Subscribe { channel, after: None, newest: None }.into(),
        Act::FollowFeed => Subscribe { channel: ChannelName::User, after: None, newest: None }.into(),
        Act::Leave => Unsubscribe { channel }.into(),
    }
}

/// The threads that a frame speaks of.
fn threads_in(text: &str, threads: &[ThreadId]) -> Vec<ThreadId> {
    threads.iter().copied().filter(|thread| text.contains(&thread.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_interleaving_of_commands_tells_anyone_of_a_thread_of_another() {
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..6 {
        let plan = plan().new_tree(&mut runner).expect("a plan").current();
        let bench = Bench::start().await;
        let (ada, bob) = (bench.person("ada").await, bench.person("bob").await);
        let mut clients: Vec<(UserId, Client)> = Vec::new();
        for person in [&ada, &bob, &ada, &bob] {
            clients.push((person.id(), person.connect().await));
        }
        let threads: Vec<ThreadId> = (0..8).map(|_| ThreadId::new()).collect();
        // Half of the threads are there from the start, so that there is something to reach for.
        let mut owners: HashMap<ThreadId, UserId> = HashMap::new();
        for (n, thread_id) in threads.iter().enumerate().take(4) {
            let (user, client) = &mut clients[n];
            client.ask(CreateThread { thread_id: *thread_id, title: None, agent: None }).await.expect("makes it");
            owners.insert(*thread_id, *user);
        }
        // All send at once, each in its own order.
        let mut playing = tokio::task::JoinSet::new();
        for (n, (user, mut client)) in clients.into_iter().enumerate() {
            let mine: Vec<_> = plan.iter().filter(|(who, ..)| *who == n).copied().collect();
            let threads = threads.clone();
            playing.spawn(async move {
                let (mut heard, mut made): (Vec<String>, Vec<ThreadId>) = (Vec::new(), Vec::new());
                let mut asked = HashMap::new();
                for (_, act, thread) in &mine {
                    let thread_id = threads[*thread];
                    asked.insert(client.send(command(*act, thread_id)).await, (*act, thread_id));
                }
                let mut waiting = mine.len() + 1;
                let last = client.send(Ping {}).await;
                while waiting > 0 {
                    match client.frame().await {
                        ServerFrame::Reply { id, outcome } => {
                            waiting -= 1;
                            match (asked.get(&id), &outcome) {
                                (Some((Act::Create, thread)), Ok(_)) => made.push(*thread),
                                (None, _) => assert_eq!(id, last),
                                _ => {}
                            }
                            if let Ok(payload) = outcome {
                                heard.push(payload.to_string());
                            }
                        }
                        ServerFrame::Push(push @ Push::Event(_)) => heard.push(netra::protocol::encode_push(&push)),
                        ServerFrame::Push(other) => panic!("unexpected: {other:?}"),
                    }
                }
                (user, client, heard, made)
            });
        }
        let played = playing.join_all().await;
        for (user, _, _, made) in &played {
            for thread in made {
                let owner = owners.entry(*thread).or_insert(*user);
                assert_eq!(owner, user, "a thread is made by one");
            }
        }
        // What is still under way is heard too: a notice comes after it.
        let notice = netra::protocol::Notice { id: netra::protocol::NoticeId::new(), text: "last".into(), at: 0 };
        bench.manager().broadcast(&Push::Notice(notice));
        for (user, mut client, mut heard, _) in played {
            loop {
                match client.push().await {
                    Push::Notice(_) => break,
                    push => heard.push(netra::protocol::encode_push(&push)),
                }
            }
            for text in heard {
                for thread in threads_in(&text, &threads) {
                    assert_eq!(owners.get(&thread), Some(&user), "heard of a thread of another: {text}");
                }
            }
        }
    }
}
