//! Following a channel: live, by replay, from a snapshot; with other clients; cut and resumed.

use std::sync::Arc;

use futures_util::StreamExt;
use netra::protocol::{
    ChannelName, Cursor, DeleteThread, Epoch, ErrorCode, EventPush, MarkRead, Mode, Ping, Push, RenameThread,
    ServerFrame, Snapshot, Subscribe,
};
use tokio_tungstenite::tungstenite::Message;

use crate::socket::{
    client::{Client, message},
    server::SocketServer,
};

fn cursor(epoch: &Epoch, seq: u64) -> Option<Cursor> {
    Some(Cursor { epoch: epoch.clone(), seq })
}

/// Asserts that the next entries have the seqs after `seq` up to `last`; returns them.
async fn follows_on(client: &mut Client, seq: u64, last: u64) -> Vec<EventPush> {
    let mut events = Vec::new();
    for expected in seq + 1..=last {
        let event = client.event().await;
        assert_eq!(event.seq, Some(expected));
        events.push(event);
    }
    events
}

#[tokio::test]
async fn a_subscription_is_live_a_replay_or_a_snapshot_depending_on_the_cursor() {
    let server = SocketServer::with(|config| config.socket.replay_limit = 1_000).await;
    let mut client = server.member("ada").await.connect().await;
    let thread = client.create_thread().await;
    let head = server.append(thread, 1_500).await;
    let channel = ChannelName::Thread(thread);

    let fresh = client.subscribe(channel, None).await;
    assert_eq!((fresh.mode, fresh.seq), (Mode::Snapshot, head));
    assert!(matches!(fresh.snapshot, Some(Snapshot::Thread(_))));
    let live = client.subscribe(channel, cursor(&fresh.epoch, head)).await;
    assert_eq!((live.mode, live.seq, live.snapshot), (Mode::Live, head, None));
    let far = client.subscribe(channel, cursor(&fresh.epoch, head - 1_001)).await;
    assert_eq!((far.mode, far.seq), (Mode::Snapshot, head));
    let other = client.subscribe(channel, cursor(&Epoch("another".into()), head)).await;
    assert_eq!(other.mode, Mode::Snapshot);
    let ahead = client.subscribe(channel, cursor(&fresh.epoch, head + 1)).await;
    assert_eq!((ahead.mode, ahead.seq), (Mode::Snapshot, head), "a cursor from a log that was lost");
    let near = client.subscribe(channel, cursor(&fresh.epoch, head - 1_000)).await;
    assert_eq!((near.mode, near.seq, near.snapshot), (Mode::Replay, head - 1_000, None));
    follows_on(&mut client, head - 1_000, head).await;
    server.append(thread, 1).await;
    follows_on(&mut client, head, head + 1).await;

    let feed = client.subscribe(ChannelName::User, None).await;
    let Some(Snapshot::User(feed)) = feed.snapshot else { panic!("the feed's state") };
    assert_eq!(feed.threads.len(), 1);
}

#[tokio::test]
async fn what_a_node_keeps_of_channels_is_never_out_of_date() {
    let server = SocketServer::start().await;
    let (ada, bob) = (server.member("ada").await, server.member("bob").await);
    let (mut client, mut stranger) = (ada.connect().await, bob.connect().await);
    let thread_id = client.create_thread().await;
    let channel = ChannelName::Thread(thread_id);
    let title = |state: &Option<Snapshot>| match state {
        Some(Snapshot::Thread(view)) => view.info.as_ref().map(|info| info.title.clone()).unwrap_or_default(),
        other => panic!("the thread's state, not {other:?}"),
    };
    // The second answer of each pair comes from memory.
    for name in ["One", "Two"] {
        client.ask(RenameThread { thread_id, title: name.into() }).await.expect("the thread is renamed");
        let (first, second) = (client.subscribe(channel, None).await, client.subscribe(channel, None).await);
        assert_eq!((title(&first.snapshot), &first), (name.to_owned(), &second));
        let live = client.subscribe(channel, cursor(&first.epoch, first.seq)).await;
        assert_eq!((live.mode, live.seq), (Mode::Live, first.seq));
        let refused = Subscribe { channel, after: None, newest: None };
        assert_eq!(stranger.refused(refused).await, ErrorCode::NotFound, "whose it is does not depend on who asks");
    }
    // Changed by hand, so that nothing but the kept snapshot still has the title.
    let before = client.subscribe(channel, None).await;
    let mut tx = server.store.begin().await.expect("the transaction begins");
    let rename = "UPDATE entries SET entry = REPLACE(entry, 'Two', 'Ten') WHERE channel = $1";
    sqlx::query(rename).bind(format!("thread/{thread_id}")).execute(&mut *tx).await.expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
    let kept = client.subscribe(channel, None).await;
    assert_eq!(title(&kept.snapshot), "Two", "it comes from memory");
    client.ask(MarkRead { thread_id }).await.expect("the thread is marked as read");
    let feed = client.subscribe(ChannelName::User, None).await;
    assert_eq!(feed, client.subscribe(ChannelName::User, None).await);
    let newest = Subscribe { channel: ChannelName::User, after: None, newest: Some(1) };
    client.ask(newest).await.expect("the feed is followed");

    client.ask(DeleteThread { thread_id }).await.expect("the thread is deleted");
    for who in [&mut client, &mut stranger] {
        let resume = Subscribe { channel, after: cursor(&before.epoch, before.seq), newest: None };
        assert_eq!(who.refused(resume).await, ErrorCode::NotFound);
        let begin = Subscribe { channel, after: None, newest: None };
        assert_eq!(who.refused(begin).await, ErrorCode::NotFound);
    }
    let feed = client.subscribe(ChannelName::User, None).await;
    let Some(Snapshot::User(feed)) = feed.snapshot else { panic!("the feed's state") };
    assert!(feed.threads.is_empty());
}

#[tokio::test]
async fn two_clients_receive_the_same_entries() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let (mut tab, mut phone) = (ada.connect().await, ada.connect().await);
    let thread = tab.create_thread().await;
    let from = tab.follow(thread).await.seq;
    phone.follow(thread).await;
    tab.subscribe(ChannelName::User, None).await;
    tab.ask(message(thread, "Where do my tokens go?")).await.expect("the command is accepted");
    let last = server.append(thread, 200).await;
    let of_thread = |event: &EventPush| event.channel == ChannelName::Thread(thread);
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event: &EventPush| event.seq != Some(last)) {
        let event = tab.event().await;
        if of_thread(&event) {
            seen.push(event);
        }
    }
    assert_eq!(seen, follows_on(&mut phone, from, last).await);
}

#[tokio::test]
async fn entries_appended_while_a_subscription_catches_up_come_once_and_in_order() {
    let server = Arc::new(SocketServer::start().await);
    let ada = server.member("ada").await;
    let mut client = ada.connect().await;
    let thread = client.create_thread().await;
    let first = server.append(thread, 3_000).await;
    let epoch = server.gateway.channels.epoch().clone();
    let appending = tokio::spawn({
        let server = server.clone();
        async move {
            let mut last = 0;
            for _ in 0..150 {
                last = server.append(thread, 3).await;
            }
            last
        }
    });
    let subscribed = client.subscribe(ChannelName::Thread(thread), cursor(&epoch, 1)).await;
    assert_eq!(subscribed.mode, Mode::Replay);
    let ping = client.send(Ping {}).await;
    let (mut expected, mut answered_after) = (2, None);
    while expected <= first + 450 {
        match client.frame().await {
            ServerFrame::Push(Push::Event(event)) => {
                assert_eq!(event.seq, Some(expected));
                expected += 1;
            }
            ServerFrame::Reply { id, outcome } => {
                assert!(id == ping && outcome.is_ok());
                answered_after = Some(expected);
            }
            other => panic!("neither entry nor reply: {other:?}"),
        }
    }
    assert_eq!(appending.await.expect("the entries are appended"), first + 450);
    assert!(answered_after.expect("the command was answered") < first, "commands are answered while it catches up");
}

#[tokio::test]
async fn a_connection_that_is_cut_again_and_again_sees_every_entry_once() {
    let server = Arc::new(SocketServer::start().await);
    let ada = server.member("ada").await;
    let mut client = ada.connect().await;
    let thread = client.create_thread().await;
    let start = client.follow(thread).await;
    let (epoch, mut seq) = (start.epoch, start.seq);
    let appending = tokio::spawn({
        let server = server.clone();
        async move {
            let mut last = 0;
            for _ in 0..300 {
                last = server.append(thread, 2).await;
            }
            last
        }
    });
    for cut in 1..=10 {
        for _ in 0..10 * cut {
            let event = client.event().await;
            assert_eq!(event.seq, Some(seq + 1));
            seq += 1;
        }
        client = ada.connect().await;
        let resumed = client.subscribe(ChannelName::Thread(thread), cursor(&epoch, seq)).await;
        assert_ne!(resumed.mode, Mode::Snapshot);
    }
    let last = appending.await.expect("the entries are appended");
    follows_on(&mut client, seq, last).await;
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_closed_and_resumes_where_it_was() {
    let server = SocketServer::with(|config| config.socket.outbound_queue_bytes = 64 * 1024).await;
    let ada = server.member("ada").await;
    let mut quick = ada.connect().await;
    let thread = quick.create_thread().await;
    let mut slow = Client::open_with_small_buffer(&ada).await;
    let start = slow.follow(thread).await;
    let mut last = 0;
    // It does not read while more is sent than the kernel's buffers and its queue hold.
    while server.manager().counts().connections == 2 {
        last = server.append(thread, 500).await;
        assert!(last < 1_000_000, "never too slow");
    }
    let mut seq = start.seq;
    let (code, reason) = loop {
        match slow.socket.next().await {
            Some(Ok(Message::Text(text))) => match ServerFrame::decode(&text).expect("a frame") {
                ServerFrame::Push(Push::Event(event)) => {
                    assert_eq!(event.seq, Some(seq + 1), "nothing is skipped");
                    seq += 1;
                }
                other => panic!("no entry but {other:?}"),
            },
            Some(Ok(Message::Close(Some(frame)))) => break (u16::from(frame.code), frame.reason.to_string()),
            other => panic!("neither entry nor close: {other:?}"),
        }
    };
    assert_eq!((code, reason.contains("resume")), (4001, true));
    assert!(seq < last, "some entries were not delivered yet");
    let mut again = ada.connect().await;
    let from = last.saturating_sub(1_000).max(seq);
    let resumed = again.subscribe(ChannelName::Thread(thread), cursor(&start.epoch, from)).await;
    assert_eq!((resumed.mode, resumed.seq), (Mode::Replay, from));
    follows_on(&mut again, from, last).await;
    assert!(quick.ask(Ping {}).await.is_ok(), "no other client is delayed");
}

#[tokio::test]
async fn a_revoked_channel_is_not_delivered_any_more() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let mut client = ada.connect().await;
    let (thread, other) = (client.create_thread().await, client.create_thread().await);
    client.follow(thread).await;
    client.follow(other).await;
    server.manager().revoke(ada.id(), netra::server::channel::Channel::Thread(thread));
    server.append(thread, 3).await;
    server.append(other, 1).await;
    assert_eq!(client.event().await.channel, ChannelName::Thread(other));
}

#[tokio::test]
async fn a_followed_thread_that_is_deleted_sends_only_thread_removed_in_the_feed() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let (mut tab, mut phone) = (ada.connect().await, ada.connect().await);
    let thread_id = tab.create_thread().await;
    phone.follow(thread_id).await;
    phone.subscribe(ChannelName::User, None).await;
    tab.ask(netra::protocol::DeleteThread { thread_id }).await.expect("the thread is deleted");
    let event = phone.event().await;
    assert_eq!((event.channel, event.entry["kind"].as_str()), (ChannelName::User, Some("thread_removed")));
    let gone = phone.refused(Subscribe { channel: ChannelName::Thread(thread_id), after: None, newest: None }).await;
    assert_eq!(gone, netra::protocol::ErrorCode::NotFound);
}
