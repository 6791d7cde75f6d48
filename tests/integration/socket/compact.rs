//! The subprotocol `netra.v1.compact`: who gets it, and that it brings the same entries as `netra.v1`.

use netra::{
    protocol::{
        ChannelName, CreateThread, Cursor, Entry, Mode, RunId, Subscribe, Subscribed, ThreadEntry, ThreadId,
        ThreadReply, Unsubscribe,
        agui::{Custom, Event, TextMessageContent, TextMessageEnd, TextMessageStart, ToolCallArgs},
        compact::CompactEntry,
    },
    socket::native::{Client as NativeClient, ClientConfig, Update},
};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    socket::{
        client::Client,
        server::{Member, SocketServer},
    },
    support::TEST_TIMEOUT,
};

/// Opens a socket that offers these subprotocols.
async fn connect(member: &Member, offered: &str) -> Client {
    let authorization = format!("Bearer {}", member.token);
    let headers = [("sec-websocket-protocol", offered), ("authorization", authorization.as_str())];
    Client::open(member.address, &headers).await.expect("the socket opens")
}

async fn create_thread(client: &mut Client) -> ThreadId {
    let thread_id = ThreadId::new();
    let reply = client.ask(CreateThread { thread_id, title: None, agent: None }).await.expect("the thread is created");
    serde_json::from_value::<ThreadReply>(reply).expect("a thread").thread.id
}

async fn subscribe(client: &mut Client, channel: ChannelName, after: Option<Cursor>) -> Subscribed {
    let reply = client.ask(Subscribe { channel, after, newest: None }).await.expect("the subscription is granted");
    serde_json::from_value(reply).expect("the reply to `subscribe`")
}

/// The text of the next frame that is not a signal.
async fn text(client: &mut Client) -> String {
    loop {
        match client.message().await {
            Some(Ok(Message::Text(text))) if !text.contains("presence") => return text.to_string(),
            Some(Ok(Message::Text(_) | Message::Ping(_))) => {}
            other => panic!("no frame but {other:?}"),
        }
    }
}

async fn append(server: &SocketServer, thread: ThreadId, run_id: RunId, events: impl IntoIterator<Item = Event>) {
    let entry = |event| ThreadEntry::Agent { run_id, event: Box::new(event) };
    let entries: Vec<_> = events.into_iter().map(entry).collect();
    let mut tx = server.gateway.channels.begin().await.expect("the transaction begins");
    tx.append_to_thread(thread, &entries).await.expect("the entries are appended");
    tx.commit().await.expect("the transaction commits");
}

#[tokio::test]
async fn a_client_that_offers_compact_frames_gets_them_and_no_other_client_does() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let mut plain = ada.connect().await;
    let mut compact = connect(&ada, "netra.v1.compact, netra.v1").await;
    assert_eq!(plain.response.headers()["sec-websocket-protocol"], "netra.v1");
    assert_eq!(compact.response.headers()["sec-websocket-protocol"], "netra.v1.compact");
    let channel = ChannelName::Thread(create_thread(&mut plain).await);
    assert_eq!(subscribe(&mut plain, channel, None).await.channel_number, None);
    let feed = subscribe(&mut compact, ChannelName::User, None).await;
    let thread = subscribe(&mut compact, channel, None).await;
    assert_eq!((feed.channel_number, thread.channel_number), (Some(1), Some(2)));

    let (ChannelName::Thread(id), run) = (channel, RunId::new()) else { unreachable!("it is a thread") };
    let delta = |text: &str| Event::from(TextMessageContent::new("m1", text));
    append(&server, id, run, [delta("Your"), delta(" tokens")]).await;
    let entries = [plain.event().await.entry, plain.event().await.entry];
    let first = CompactEntry::decode(&text(&mut compact).await).expect("a compact entry");
    let CompactEntry::Whole { channel_number: 2, seq, entry, slot: Some(0), .. } = first else { panic!("{first:?}") };
    assert_eq!((seq, &entry), (thread.seq + 1, &entries[0]));
    let second = text(&mut compact).await;
    assert_eq!(second, r#"[2,0,0," tokens"]"#);

    // The same channel has another number after it was followed again.
    compact.ask(Unsubscribe { channel }).await.expect("the channel is not followed any more");
    let after = Some(Cursor { epoch: thread.epoch, seq });
    let again = subscribe(&mut compact, channel, after).await;
    assert_eq!((again.mode, again.channel_number), (Mode::Replay, Some(3)));
    let replayed = CompactEntry::decode(&text(&mut compact).await).expect("a compact entry");
    let CompactEntry::Whole { channel_number: 3, entry, .. } = replayed else { panic!("{replayed:?}") };
    assert_eq!(entry, entries[1]);
}

#[tokio::test]
async fn a_ticket_is_accepted_beside_both_protocols() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let session = server.session(&ada, i64::MAX).await;
    for offered in ["netra.v1.compact, netra.v1", "netra.v1.compact"] {
        let offered = format!("{offered}, ticket.{}", server.ticket(&ada, &session).await);
        let client = Client::open(server.address, &[("sec-websocket-protocol", &offered)]).await;
        let client = client.expect("the socket opens");
        assert_eq!(client.response.headers()["sec-websocket-protocol"], "netra.v1.compact");
    }
}

/// Five messages and a tool call whose deltas alternate, in more entries than a page of the log has.
fn events() -> impl Iterator<Item = Event> {
    (0..700_usize).map(|n| {
        let message = format!("m{}", n * n % 5);
        match n % 11 {
            0 => TextMessageStart::new(message).into(),
            1 => Custom::new("netra.note", json!({ "event": { "delta": "no delta of the event" } })).into(),
            2 => TextMessageEnd::new(message).into(),
            3 | 4 => ToolCallArgs::new("call", format!("{{\"delta\":\"{n}\"")).into(),
            5 => Event::from(TextMessageContent::new(message, "of a sub-agent")).with_subagent(Some("s1")),
            6 => TextMessageContent::new(message, "\u{1f600}\n\"").into(),
            _ => TextMessageContent::new(message, n.to_string()).into(),
        }
    })
}

#[tokio::test]
async fn both_protocols_bring_the_same_entries() {
    let server = SocketServer::start().await;
    let ada = server.member("ada").await;
    let mut plain = ada.connect().await;
    let thread = create_thread(&mut plain).await;
    let channel = ChannelName::Thread(thread);
    let Subscribed { epoch, seq, .. } = subscribe(&mut plain, channel, None).await;
    let (run, events) = (RunId::new(), events().collect::<Vec<_>>());
    let (stored, live) = events.split_at(600);
    append(&server, thread, run, stored.to_vec()).await;
    let compact = NativeClient::connect(ClientConfig::bearer(format!("ws://{}/ws", server.address), &ada.token));
    let mut updates = compact.follow(channel, Some(Cursor { epoch, seq })).await;
    for at in 0..events.len() {
        if at == stored.len() {
            for events in live.chunks(7) {
                append(&server, thread, run, events.to_vec()).await;
            }
        }
        let expected = plain.event().await;
        let update = loop {
            let update = timeout(TEST_TIMEOUT, updates.recv()).await.expect("in time").expect("the client goes on");
            if !matches!(update, Update::Entry { entry: Entry::Signal(_), .. }) {
                break update;
            }
        };
        let entry = Entry::decode(channel, expected.entry);
        assert_eq!(update, Update::Entry { seq: expected.seq, at: expected.at, entry });
    }
}
