//! Two processes of the real program over one PostgreSQL and one NATS.

use std::time::{Duration, Instant};

use netra::{
    protocol::{ChannelName, CreateThread, Entry, ThreadEntry, ThreadId, ThreadSignal},
    socket::{
        machine::Status,
        native::{Client as Socket, Update},
    },
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use crate::support::{ADA, ADMIN, Account, Deployment, Setup, TEST_TIMEOUT, TestServer};

async fn open(server: &TestServer, account: Account) -> Socket {
    server.socket(account).await
}

async fn until(socket: &Socket, is: impl Fn(&Status) -> bool) {
    let mut status = socket.status();
    timeout(TEST_TIMEOUT, status.wait_for(is)).await.expect("in time").expect("the sender is not dropped");
}

/// Waits for an update for which `fits` returns a value; skips others.
async fn wait_for_update<T>(updates: &mut mpsc::Receiver<Update>, fits: impl Fn(Update) -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = fits(updates.recv().await.expect("the sender is not dropped")) {
                return found;
            }
        }
    };
    timeout(TEST_TIMEOUT + Duration::from_secs(10), waiting).await.expect("in time")
}

async fn until_present(updates: &mut mpsc::Receiver<Update>, connections: u32) {
    let fits = |update| match update {
        Update::Entry { seq: None, entry: Entry::Signal(ThreadSignal::Presence { present }), .. } => {
            (present.iter().map(|who| who.connections).sum::<u32>() == connections).then_some(())
        }
        _ => None,
    };
    wait_for_update(updates, fits).await;
}

#[tokio::test]
async fn two_processes_are_one_installation_until_one_is_killed() {
    let a = Setup::default().deployment(Deployment::Distributed).start().await;
    let b = Setup::default().on(a.backends().expect("shared backends")).start_without_accounts().await;
    a.add_member(ADA).await;
    let (at_a, at_b) = (open(&a, ADA).await, open(&b, ADA).await);
    let thread_id = ThreadId::new();
    at_a.send(CreateThread { thread_id, title: None, agent: None }).await.expect("the thread is created");
    let channel = ChannelName::Thread(thread_id);
    let (mut by_a, mut by_b) = (at_a.follow(channel, None).await, at_b.follow(channel, None).await);
    until_present(&mut by_a, 2).await;
    until_present(&mut by_b, 2).await;

    let begun = Instant::now();
    let rename = netra::protocol::RenameThread { thread_id, title: "Renamed".into() };
    at_a.send(rename).await.expect("the thread is renamed");
    wait_for_update(&mut by_b, |update| match update {
        Update::Entry { seq: Some(2), entry: Entry::Thread(ThreadEntry::Thread { thread }), .. } => {
            (thread.title == "Renamed").then_some(())
        }
        _ => None,
    })
    .await;
    println!("received at the other node after {} ms", begun.elapsed().as_millis());

    let admin = b.signed_in(ADMIN).await;
    let path = format!("/api/users/{}/disconnect", ADA.email);
    let third = open(&b, ADA).await;
    until(&third, |status| *status == Status::Connected).await;
    let answer: Value = admin.post(&path, &json!({})).await.json().await.expect("JSON");
    assert_eq!(answer["connections"], 2, "the connections of this node");
    for socket in [&at_a, &at_b, &third] {
        // A node may find this by polling before the bus delivers it.
        until(socket, |status| matches!(status, Status::Closed { .. } | Status::SignedOut)).await;
    }

    let (at_a, at_b) = (open(&a, ADA).await, open(&b, ADA).await);
    let (_by_a, mut by_b) = (at_a.follow(channel, None).await, at_b.follow(channel, None).await);
    until_present(&mut by_b, 2).await;
    let killed = Instant::now();
    let _stopped = a.kill().await;
    until_present(&mut by_b, 1).await;
    let after = killed.elapsed();
    println!("its presence was gone {} ms after the crash", after.as_millis());
    assert!(after < Duration::from_secs(30), "{after:?}");
}
