//! Whole nodes with clients: commands and signals take effect on all nodes, and stored entries arrive even without NATS.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use netra::{
    protocol::{
        AddMember, ChannelName, DeleteThread, ErrorCode, MemberRole, Notice, NoticeId, Ping, Push, RemoveMember, RunId,
        StopRun, Subscribe, ThreadId, http::Role,
    },
    server::{
        bus::Status,
        channel::{Channel, Channels, Delivery, Hub},
        clock::now_ms,
        config::Config,
    },
};

use crate::{
    socket::{
        client::{Client, message},
        server::{Member, SocketServer, until},
    },
    support::nats::Nats,
};

/// Two nodes over one store and one NATS, and a member with one thread and a connection to each node.
struct TwoNodes {
    nats: Nats,
    a: SocketServer,
    b: SocketServer,
    ada: Member,
    at_a: Client,
    at_b: Client,
    thread: ThreadId,
}

impl TwoNodes {
    async fn start() -> Self {
        let nats = Nats::start().await;
        let on_nats = |config: &mut Config| config.bus.url = nats.url();
        let a = SocketServer::with(on_nats).await;
        let b = a.another(on_nats).await;
        for server in [&a, &b] {
            until("the bus is connected", || server.bus.status() == Status::Connected).await;
        }
        let ada = a.member("ada").await;
        let (mut at_a, mut at_b) = (ada.connect().await, ada.at(&b).connect().await);
        let thread = at_a.create_thread().await;
        at_a.follow(thread).await;
        at_b.follow(thread).await;
        // Presence of both connections has arrived on each node.
        at_a.until_present(2).await;
        at_b.until_present(2).await;
        Self { nats, a, b, ada, at_a, at_b, thread }
    }
}

#[tokio::test]
async fn clients_of_two_nodes_see_the_same() {
    let mut two = TwoNodes::start().await;
    for (server, count) in [(&two.a, 300), (&two.b, 300), (&two.a, 1)] {
        server.append(two.thread, count).await;
    }
    let mut expected = two.at_a.subscribe(ChannelName::User, None).await.seq;
    assert!(expected > 0);
    expected = 2;
    while expected <= 602 {
        let (a, b) = (two.at_a.event().await, two.at_b.event().await);
        assert_eq!((a.seq, b.seq, &a.entry), (Some(expected), Some(expected), &b.entry));
        expected += 1;
    }
}

#[tokio::test]
async fn a_command_to_one_node_takes_effect_on_all() {
    let mut two = TwoNodes::start().await;
    let accepted = two.at_a.ask(message(two.thread, "Hello")).await.expect("the command is accepted");
    let run_id: RunId = serde_json::from_value(accepted["run_id"].clone()).expect("a run");
    assert_eq!(two.a.runner.waiting(two.thread).len(), 1, "it waits at the node that got the message");
    two.at_b.ask(StopRun { run_id }).await.expect("the run is stopped");
    until("the run is stopped", || two.a.runner.waiting(two.thread).is_empty()).await;

    let notice = Notice { id: NoticeId::new(), text: "Noon.".into(), at: now_ms() };
    two.a.gateway.nodes.notice(notice.clone());
    loop {
        if let Push::Notice(received) = two.at_b.push().await {
            assert_eq!(received, notice);
            break;
        }
    }
    two.at_a.ask(DeleteThread { thread_id: two.thread }).await.expect("the thread is deleted");
    until("nobody follows the thread", || two.b.manager().counts().channels == 0).await;

    let session = two.a.session(&two.ada, i64::MAX).await;
    let ticket = two.a.ticket(&two.ada, &session).await;
    let protocols = format!("netra.v1, ticket.{ticket}");
    let mut third =
        Client::open(two.b.address, &[("sec-websocket-protocol", &protocols)]).await.expect("the socket opens");
    two.a.gateway.nodes.end_session(&session);
    assert_eq!(third.closed().await.0, 4401);
    assert_eq!(two.a.gateway.nodes.disconnect(two.ada.id()), 1);
    assert_eq!((two.at_a.closed().await.0, two.at_b.closed().await.0), (4403, 4403));
}

#[tokio::test]
async fn a_removed_member_is_unsubscribed_on_every_node_even_without_nats() {
    let a = SocketServer::with(|_| {}).await;
    let b = a.another(|_| {}).await;
    let (owner, ada) = (a.member("owner").await, a.member("ada").await);
    let (mut at_a, mut at_b) = (owner.connect().await, ada.at(&b).connect().await);
    let thread_id = at_a.create_thread().await;
    let user_id = ada.id();
    at_a.ask(AddMember { thread_id, user_id, role: MemberRole::Read }).await.expect("the thread is shared");
    at_b.follow(thread_id).await;
    assert_eq!(b.manager().counts().channels, 1);
    at_a.ask(RemoveMember { thread_id, user_id }).await.expect("the member is removed");
    until("the member follows nothing", || b.manager().counts().channels == 0).await;
    let channel = ChannelName::Thread(thread_id);
    let refused = at_b.ask(Subscribe { channel, after: None, newest: None }).await.expect_err("it is refused");
    assert_eq!(refused.code, ErrorCode::NotFound);
}

#[tokio::test]
async fn without_nats_the_log_is_polled_and_afterwards_nothing_is_missing() {
    let mut two = TwoNodes::start().await;
    two.nats.stop().await;
    until("the bus is degraded", || two.b.bus.status().is_degraded()).await;
    let begun = Instant::now();
    two.a.append(two.thread, 3).await;
    for seq in 2..=4 {
        assert_eq!(two.at_b.event().await.seq, Some(seq));
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "polled every second: {:?}", begun.elapsed());
    assert!(two.at_b.ask(Ping {}).await.is_ok(), "the socket stayed open");
    two.nats.restart().await;
    two.a.append(two.thread, 2).await;
    for seq in 5..=6 {
        assert_eq!(two.at_b.event().await.seq, Some(seq));
    }
    until("the bus is connected again", || two.b.bus.status() == Status::Connected).await;
}

#[tokio::test]
async fn presence_adds_up_over_nodes_and_tabs_and_ends_with_them() {
    let TwoNodes { a, b, ada, mut at_a, at_b, thread, nats: _nats } = TwoNodes::start().await;
    let mut third = ada.at(&b).connect().await;
    third.follow(thread).await;
    at_a.until_present(3).await;
    third.until_present(3).await;
    drop(third);
    at_a.until_present(2).await;
    b.gateway.nodes.leave();
    at_a.until_present(1).await;
    drop((at_b, a, b));
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_found_without_a_bus() {
    struct NoHub;
    impl Hub for NoHub {
        fn deliver(&self, _: &Delivery) {}
    }
    let server = SocketServer::start().await;
    let mut client = server.member("ada").await.connect().await;
    let thread = client.create_thread().await;
    client.follow(thread).await;
    // Stored without a delivery.
    let silent = Channels::new(server.store.clone(), Arc::new(NoHub)).await.expect("the log opens");
    let event = netra::protocol::agui::Custom::new("netra.note", serde_json::json!({}));
    let entry = netra::protocol::ThreadEntry::Agent { run_id: RunId::new(), event: Box::new(event.into()) };
    let mut tx = silent.begin().await.expect("the transaction begins");
    tx.append_to_thread(thread, &[entry]).await.expect("the entries are appended");
    tx.commit().await.expect("the transaction commits");
    server.bus.uncertain(Channel::Thread(thread));
    assert_eq!(client.event().await.seq, Some(2));
}

#[tokio::test]
async fn a_store_that_is_down_closes_no_socket_and_loses_nothing() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let (mut client, mut other) = (ada.connect().await, ada.connect().await);
    let thread = client.create_thread().await;
    client.follow(thread).await;
    server.append(thread, 3).await;
    // With every read connection taken, reads time out as on an unreachable store.
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(server.store.reader().acquire().await.expect("a connection is free"));
    }
    let refused = other.ask(StopRun { run_id: RunId::new() });
    let refused = refused.await.expect_err("a refusal");
    assert_eq!((refused.code, refused.retry_after_ms.is_some()), (ErrorCode::Unavailable, true));
    server.append(thread, 2).await;
    drop(taken);
    for seq in 2..=6 {
        assert_eq!(client.event().await.seq, Some(seq));
    }
    assert!(client.ask(Ping {}).await.is_ok() && other.ask(Ping {}).await.is_ok());
}

#[tokio::test]
async fn revoked_credentials_close_sockets_within_seconds() {
    let server = SocketServer::start().await;
    let mut admin = server.member("admin").await;
    server.gateway.auth.set_role("admin@example.org", Role::Admin).await.expect("the role is changed");
    // A new role revoked their sessions and tokens.
    admin.token = server.gateway.auth.mint_token(admin.user.id).await.expect("the token is issued").0;
    let [ada, bob, eve] = [server.member("ada").await, server.member("bob").await, server.member("eve").await];
    let session = server.session(&ada, i64::MAX).await;
    let protocols = format!("netra.v1, ticket.{}", server.ticket(&ada, &session).await);
    let mut by_session =
        Client::open(server.address, &[("sec-websocket-protocol", &protocols)]).await.expect("the socket opens");
    let (mut bobs, mut eves) = (bob.connect().await, eve.connect().await);
    let mut stays = admin.connect().await;
    let begun = Instant::now();
    // As another process does, without a message to this one.
    server.gateway.auth.set_role("ada@example.org", Role::Admin).await.expect("the role is changed");
    server.gateway.auth.set_role("bob@example.org", Role::Admin).await.expect("the role is changed");
    server.gateway.auth.remove("eve@example.org").await.expect("the user is removed");
    for client in [&mut by_session, &mut bobs, &mut eves] {
        assert_eq!(client.closed().await.0, 4401);
    }
    assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
    assert!(stays.ask(Ping {}).await.is_ok(), "a user with access keeps the connection");
    let last = server.gateway.auth.remove("nobody@example.org").await.expect_err("there is no such user").into_body();
    assert_eq!(last.code, ErrorCode::NotFound);
    for email in ["ada@example.org", "bob@example.org"] {
        server.gateway.auth.remove(email).await.expect("the user is removed");
    }
    let last = server.gateway.auth.set_role("admin@example.org", Role::Member).await.expect_err("the last").into_body();
    assert_eq!(last.code, ErrorCode::Conflict);
}

/// Opens a socket with the member's token; the status of the response if it is refused.
async fn handshake(member: &Member) -> Result<Client, u16> {
    let authorization = format!("Bearer {}", member.token);
    let headers = [("sec-websocket-protocol", "netra.v1"), ("authorization", authorization.as_str())];
    Client::open(member.address, &headers).await.map_err(|response| response.status().as_u16())
}

#[tokio::test]
async fn credentials_that_one_node_revokes_are_cached_by_no_other() {
    let mut nats = Nats::start().await;
    let url = nats.url();
    let on_nats = |config: &mut Config| config.bus.url.clone_from(&url);
    let a = SocketServer::with(on_nats).await;
    let (b, c) = (a.another(on_nats).await, a.another(on_nats).await);
    let nodes = [&a, &b, &c];
    for node in nodes {
        until("the bus is connected", || node.bus.status() == Status::Connected).await;
    }
    for (name, with_bus) in [("ada", true), ("bob", false)] {
        if !with_bus {
            nats.stop().await;
        }
        let member = a.member(name).await;
        let mut clients = Vec::new();
        for node in nodes {
            // A handshake and commands, so that every node has the credentials and the rights in its caches.
            let mut client = handshake(&member.at(node)).await.expect("the socket opens");
            assert!(client.ask(Ping {}).await.is_ok());
            let thread = client.create_thread().await;
            client.follow(thread).await;
            clients.push(client);
        }
        b.gateway.auth.set_role(&member.user.email, Role::Admin).await.expect("the role is changed");
        for (node, client) in nodes.into_iter().zip(&mut clients) {
            assert_eq!(client.closed().await.0, 4401, "{name} at {}", node.address);
            assert_eq!(handshake(&member.at(node)).await.err(), Some(401), "{name} at {}", node.address);
        }
    }
}
