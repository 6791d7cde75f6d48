//! The machine against a model of the server, in every order of inputs; then each rule by itself.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::protocol::{
    ClientFrame, Cursor, Epoch, EventPush, ThreadId, UserEntry, decode_client, encode_push, encode_reply,
};

const HEARTBEAT_MS: i64 = 25_000;

/// What the application saw.
#[derive(Default)]
struct App {
    /// Per channel: epoch and the entries' places, as folded.
    states: HashMap<ChannelName, (Epoch, Vec<u64>)>,
    replies: Vec<(Token, Outcome)>,
    refused: Vec<ChannelName>,
    faults: usize,
}

/// A server that keeps one log per channel: entry n of epoch e is a thread with title "e/n".
struct Server {
    epoch: u32,
    heads: HashMap<ChannelName, u64>,
    /// The last position that was compacted away.
    compacted: u64,
    followed: HashSet<ChannelName>,
    /// Commands in the order they were done, each once.
    done: Vec<String>,
    /// What it said that has not arrived yet.
    wire: VecDeque<String>,
    /// What the machine said that has not arrived yet.
    inbox: VecDeque<String>,
}

struct World {
    now: i64,
    machine: Machine,
    server: Server,
    app: App,
    /// Whether a socket is open; a machine that says more than it should fails the test.
    open: bool,
    opening: bool,
    discovering: bool,
    opened: usize,
    closes: Vec<CloseCode>,
    sent: Vec<String>,
}

fn entry(thread: ThreadId, seq: u64) -> Value {
    let info = json!({"id": thread, "title": seq.to_string(), "agent": "a", "created_at": 0});
    json!({"kind": "thread", "thread": info})
}

fn place(entry: &Entry) -> u64 {
    let info = match entry {
        Entry::Thread(crate::protocol::ThreadEntry::Thread { thread }) => thread,
        Entry::User(UserEntry::Thread { thread }) => thread,
        other => panic!("not an entry of the model: {other:?}"),
    };
    info.title.parse().expect("the title is the place")
}

impl Server {
    fn epoch(&self) -> Epoch {
        Epoch(format!("e{}", self.epoch))
    }

    fn push(&mut self, channel: ChannelName, seq: Option<u64>) {
        let some = ThreadId::new();
        let event = EventPush { channel, epoch: self.epoch(), seq, at: 0, entry: entry(some, seq.unwrap_or(0)) };
        self.wire.push_back(encode_push(&Push::Event(event)));
    }

    fn append(&mut self, channel: ChannelName) {
        let head = self.heads.entry(channel).or_insert(0);
        *head += 1;
        let seq = *head;
        if self.followed.contains(&channel) {
            self.push(channel, Some(seq));
        }
    }

    fn take(&mut self, text: &str, refuse: bool) {
        let ClientFrame { id, command } = decode_client(text).expect("the machine speaks the protocol");
        let mut after = Vec::new();
        let outcome = match command {
            Command::Ping(_) => Ok(json!({"server_time": 0})),
            Command::Unsubscribe(gone) => {
                self.followed.remove(&gone.channel);
                Ok(json!({}))
            }
            Command::Subscribe(ask) => {
                let head = *self.heads.entry(ask.channel).or_insert(0);
                let from = ask.after.filter(|c| c.epoch == self.epoch() && c.seq <= head && c.seq >= self.compacted);
                self.followed.insert(ask.channel);
                let mut answer = json!({"channel": ask.channel, "epoch": self.epoch(), "seq": head, "mode": "live"});
                match from {
                    Some(cursor) if cursor.seq == head => {}
                    Some(cursor) => {
                        answer["mode"] = "replay".into();
                        answer["seq"] = cursor.seq.into();
                        after.extend(cursor.seq + 1..=head);
                    }
                    None => {
                        answer["mode"] = "snapshot".into();
                        answer["snapshot"] = match ask.channel {
                            ChannelName::User => json!({"kind": "user", "threads": []}),
                            ChannelName::Thread(_) => json!({"kind": "thread", "items": []}),
                        };
                    }
                }
                let channel = ask.channel;
                self.wire.push_back(encode_reply(id, &Ok(answer)));
                after.into_iter().for_each(|seq| self.push(channel, Some(seq)));
                return;
            }
            _ if refuse => Err(ErrorBody::new(ErrorCode::RateLimited, "slowly").retry_after(700)),
            Command::RenameThread(rename) => {
                if !self.done.contains(&rename.title) {
                    self.done.push(rename.title);
                }
                Ok(json!({}))
            }
            other => panic!("not a command of the model: {other:?}"),
        };
        self.wire.push_back(encode_reply(id, &outcome));
    }
}

fn welcome() -> String {
    let user = json!({"id": ThreadId::new(), "name": "n", "role": "member"});
    json!({"type": "welcome", "payload": {"connection_id": ThreadId::new(), "user": user, "node": "n",
        "server_time": 0, "heartbeat_ms": HEARTBEAT_MS, "max_frame_bytes": 2000, "expires_at": 0}})
    .to_string()
}

impl World {
    fn new(seed: u64) -> Self {
        let server = Server {
            epoch: 0,
            heads: HashMap::new(),
            compacted: 0,
            followed: HashSet::new(),
            done: Vec::new(),
            wire: VecDeque::new(),
            inbox: VecDeque::new(),
        };
        Self {
            now: 1_000_000,
            machine: Machine::new(seed),
            server,
            app: App::default(),
            open: false,
            opening: false,
            discovering: false,
            opened: 0,
            closes: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Signed in, welcomed.
    fn connected() -> Self {
        let mut world = Self::new(7);
        world.feed(Input::SignedIn);
        world.arrive();
        world
    }

    fn feed(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Discover => self.discovering = true,
                Output::Open(_) => {
                    self.cut();
                    self.opening = true;
                    self.opened += 1;
                }
                Output::Send(text) => {
                    assert!(self.open, "sent without a socket: {text}");
                    self.sent.push(text.clone());
                    self.server.inbox.push_back(text);
                }
                Output::Close(code) => {
                    assert!(self.open || self.opening, "closed without a socket");
                    self.closes.push(code);
                    self.cut();
                }
                Output::Tell(news) => self.told(news),
            }
        }
    }

    fn told(&mut self, news: News) {
        match news {
            News::Snapshot { channel, cursor, .. } => {
                let places = (1..=cursor.seq).collect();
                self.app.states.insert(channel, (cursor.epoch, places));
            }
            News::Entry { channel, seq: Some(seq), entry, .. } => {
                assert_eq!(place(&entry), seq);
                let (_, places) = self.app.states.get_mut(&channel).expect("entries follow a state");
                assert_eq!(seq, places.last().map_or(1, |last| last + 1), "lost, doubled or reordered");
                places.push(seq);
            }
            News::Reply { token, outcome } => self.app.replies.push((token, outcome)),
            News::Refused { channel, .. } => self.app.refused.push(channel),
            News::Fault(_) => self.app.faults += 1,
            News::Welcome(_) | News::Notice(_) | News::Entry { seq: None, .. } => {}
        }
    }

    /// The socket is gone with everything on the way.
    fn cut(&mut self) {
        (self.open, self.opening) = (false, false);
        self.server.inbox.clear();
        self.server.wire.clear();
        self.server.followed.clear();
    }

    /// Discovery answers and handshakes succeed.
    fn arrive(&mut self) {
        if std::mem::take(&mut self.discovering) {
            let found = Discovery { url: "ws://s/ws".into(), protocol: PROTOCOL.into(), signed_in: true };
            self.feed(Input::Discovered(Ok(found)));
        }
        if std::mem::take(&mut self.opening) {
            self.open = true;
            self.feed(Input::Frame(welcome()));
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        if self.open || self.opening {
            self.cut();
            self.feed(Input::Closed { code, reason: reason.into() });
        }
    }

    /// The server takes the next command.
    fn serve(&mut self, refuse: bool) {
        if let Some(text) = self.server.inbox.pop_front() {
            self.server.take(&text, refuse);
        }
    }

    /// The next frame arrives.
    fn deliver(&mut self) {
        if let Some(text) = self.server.wire.pop_front() {
            self.feed(Input::Frame(text));
        }
    }

    fn pass(&mut self, ms: i64) {
        self.now += ms;
        self.feed(Input::Tick);
    }

    /// Lets everything happen that is due, until nothing is on the way and no command waits.
    fn settle(&mut self) {
        self.feed(Input::Online);
        for _ in 0..10_000 {
            self.arrive();
            while !(self.server.inbox.is_empty() && self.server.wire.is_empty()) {
                self.serve(false);
                self.deliver();
            }
            if matches!(self.machine.phase, Phase::Live(_)) && self.machine.waiting() == 0 && self.caught_up() {
                return;
            }
            let wake = self.machine.next_deadline().expect("something is still to happen");
            self.pass((wake - self.now).max(0));
        }
        panic!("never settles: {:?}", self.machine);
    }

    fn caught_up(&self) -> bool {
        self.server.followed.iter().all(|channel| {
            let at = self.app.states.get(channel).map(|(epoch, places)| (epoch.clone(), places.len() as u64));
            at == Some((self.server.epoch(), self.server.heads[channel]))
        })
    }

    fn rename(&mut self, token: u64) {
        let title = format!("c{token}");
        let command = crate::protocol::RenameThread { thread_id: ThreadId::new(), title };
        self.feed(Input::Send(Token(token), command.into()));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Arrive,
    Append(usize),
    Ephemeral(usize),
    Serve(bool),
    Deliver,
    DeliverTwice,
    Lose,
    Close(u16),
    Pass(i64),
    Command,
    Follow(usize),
    Woke,
    Offline,
    Online,
    Left,
    Reconnect,
    Compact,
    NewEpoch,
    Back(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Arrive),
        6 => (0..3usize).prop_map(Step::Append),
        1 => (0..3usize).prop_map(Step::Ephemeral),
        6 => prop::bool::weighted(0.15).prop_map(Step::Serve),
        8 => Just(Step::Deliver),
        1 => Just(Step::DeliverTwice),
        1 => Just(Step::Lose),
        1 => prop::sample::select(vec![1001, 1006, 1011, 1012, 4000, 4001, 4002]).prop_map(Step::Close),
        4 => (0..40_000i64).prop_map(Step::Pass),
        4 => Just(Step::Command),
        3 => (0..3usize).prop_map(Step::Follow),
        1 => Just(Step::Woke),
        1 => Just(Step::Offline),
        1 => Just(Step::Online),
        1 => Just(Step::Left),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Compact),
        1 => Just(Step::NewEpoch),
        1 => (0..5_000i64).prop_map(Step::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The assertions on the way are in [`World::feed`] and [`World::told`].
    #[test]
    fn whatever_happens_no_entry_and_no_command_is_lost_doubled_or_reordered(
        seed: u64,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let channels = [ChannelName::User, ChannelName::Thread(ThreadId::new()), ChannelName::Thread(ThreadId::new())];
        let mut world = World::new(seed);
        let mut commands = 0;
        world.feed(Input::SignedIn);
        for step in steps {
            match step {
                Step::Arrive => world.arrive(),
                Step::Append(n) => world.server.append(channels[n]),
                Step::Ephemeral(n) => {
                    if world.server.followed.contains(&channels[n]) {
                        world.server.push(channels[n], None);
                    }
                }
                Step::Serve(refuse) => world.serve(refuse),
                Step::Deliver => world.deliver(),
                Step::DeliverTwice => {
                    let again = world.server.wire.front().filter(|text| text.contains("\"event\"")).cloned();
                    world.deliver();
                    if let Some(text) = again {
                        world.feed(Input::Frame(text));
                    }
                }
                // A server that skips an entry (it must not): the gap is seen.
                Step::Lose => {
                    if world.server.wire.front().is_some_and(|text| text.contains("\"event\"")) {
                        world.server.wire.pop_front();
                    }
                }
                Step::Close(code) => world.close(code, ""),
                Step::Pass(ms) => world.pass(ms),
                Step::Command => {
                    world.rename(commands);
                    commands += 1;
                }
                Step::Follow(n) => world.feed(Input::Follow(channels[n], None)),
                Step::Woke => world.feed(Input::Woke),
                Step::Offline => world.feed(Input::Offline),
                Step::Online => world.feed(Input::Online),
                Step::Left => world.feed(Input::Left),
                Step::Reconnect => world.feed(Input::Reconnect),
                Step::Compact => world.server.compacted = world.server.heads.values().copied().max().unwrap_or(0),
                Step::NewEpoch => {
                    world.close(1012, "");
                    world.server.epoch += 1;
                    world.server.heads.clear();
                    world.server.compacted = 0;
                }
                Step::Back(ms) => world.now -= ms,
            }
        }
        // Whatever was skipped by the server shows with the next entry.
        for channel in channels {
            world.server.append(channel);
        }
        world.settle();
        for channel in channels {
            if let Some((epoch, places)) = world.app.states.get(&channel) {
                prop_assert_eq!(epoch, &world.server.epoch());
                let head = world.server.heads[&channel];
                prop_assert_eq!(places, &(1..=head).collect::<Vec<_>>());
            }
        }
        let answered: Vec<u64> = world.app.replies.iter().map(|(token, _)| token.0).collect();
        prop_assert_eq!(answered, (0..commands).collect::<Vec<_>>(), "each once, in order");
        let mut done = world.server.done.clone();
        done.sort_by_key(|title| title[1..].parse::<u64>().unwrap_or(0));
        prop_assert_eq!(&done, &world.server.done, "done in the order given");
        for (token, outcome) in &world.app.replies {
            if outcome.is_ok() {
                prop_assert!(done.contains(&format!("c{}", token.0)), "answered, so done");
            }
        }
        prop_assert_eq!(world.app.faults, 0);
    }
}

/// Runs until the machine asks for nothing more before `ms` have gone by.
fn wait(world: &mut World, ms: i64) {
    let end = world.now + ms;
    while let Some(wake) = world.machine.next_deadline().filter(|wake| *wake <= end) {
        let pass = (wake - world.now).max(0);
        world.pass(pass);
    }
    world.now = end;
}

/// Runs until the next attempt, which succeeds.
fn come_back(world: &mut World) {
    while !world.opening && !world.discovering {
        let wake = world.machine.next_deadline().expect("there will be another attempt");
        world.pass((wake - world.now).max(0));
    }
    world.arrive();
}

#[test]
fn a_silent_connection_is_asked_and_then_declared_dead() {
    let mut world = World::connected();
    wait(&mut world, 5_000);
    assert!(world.sent.last().is_some_and(|text| text.contains("ping")), "the first ping proves the connection");
    while !world.server.inbox.is_empty() {
        world.serve(false);
        world.deliver();
    }
    let pings = world.sent.len();
    wait(&mut world, HEARTBEAT_MS - 1);
    assert_eq!(world.sent.len(), pings, "nothing is due yet");
    wait(&mut world, 1);
    assert_eq!(world.sent.len(), pings + 1);
    wait(&mut world, 9_999);
    assert_eq!(world.machine.status(), Status::Connected);
    wait(&mut world, 1);
    assert_eq!(world.closes, [CloseCode::HeartbeatMissed], "a half-open connection is found");
    assert!(matches!(world.machine.status(), Status::Reconnecting { attempt: 1, .. }));
}

#[test]
fn waking_up_checks_at_once() {
    let mut world = World::connected();
    wait(&mut world, 4_000);
    assert!(world.sent.is_empty());
    world.feed(Input::Woke);
    assert_eq!(world.sent.len(), 1);
    world.feed(Input::Woke);
    assert_eq!(world.sent.len(), 1, "one question is enough");
    wait(&mut world, 4_000);
    assert_eq!(world.closes, [CloseCode::HeartbeatMissed]);
    world.pass(0);
    let opened = world.opened;
    world.feed(Input::Woke);
    assert!(world.opened == opened + 1 || world.opening, "a wait for the next attempt ends");
}

#[test]
fn back_off_grows_until_a_connection_has_proved_itself() {
    let mut world = World::connected();
    for attempt in 1..=8 {
        world.close(1006, "");
        assert!(matches!(world.machine.status(), Status::Reconnecting { attempt: a, .. } if a == attempt));
        come_back(&mut world);
        assert_eq!(world.machine.status(), Status::Connected, "a welcome alone resets nothing");
    }
    wait(&mut world, 5_000);
    world.serve(false);
    world.deliver();
    world.close(1006, "");
    assert!(matches!(world.machine.status(), Status::Reconnecting { attempt: 1, .. }), "an answered ping does");
}

#[test]
fn a_server_that_restarts_says_when_to_come_back() {
    let mut world = World::connected();
    world.feed(Input::Frame(r#"{"type":"draining","payload":{"reconnect_in_ms":1234}}"#.into()));
    world.close(1012, "");
    let retry_at_ms = world.now + 1234;
    assert_eq!(world.machine.status(), Status::Reconnecting { attempt: 1, retry_at_ms });
    world.feed(Input::Woke);
    assert_eq!(world.machine.status(), Status::Reconnecting { attempt: 1, retry_at_ms }, "no shortcut by waking");
}

#[test]
fn flooding_waits_as_long_as_told() {
    let mut world = World::connected();
    let opened = world.opened;
    world.close(4002, r#"{"retry_after_ms":9000}"#);
    wait(&mut world, 8_999);
    assert_eq!(world.opened, opened);
    wait(&mut world, 1_000);
    assert_eq!(world.opened, opened + 1);
}

#[test]
fn each_final_close_stays_closed_and_says_what_to_do() {
    for (code, can_reconnect) in [(1000, true), (1009, true), (4400, false), (4403, false), (4409, true), (4499, true)]
    {
        let mut world = World::connected();
        let opened = world.opened;
        world.close(code, "");
        let status = world.machine.status();
        assert!(
            matches!(&status, Status::Closed { can_reconnect: offer, reason } if *offer == can_reconnect && !reason.is_empty()),
            "{code}: {status:?}"
        );
        assert_eq!(world.machine.next_deadline(), None);
        wait(&mut world, 600_000);
        world.feed(Input::Woke);
        assert_eq!(world.opened, opened, "{code}");
        world.feed(Input::Reconnect);
        world.arrive();
        assert_eq!(world.machine.status(), Status::Connected, "{code}: a person may try again");
    }
}

#[test]
fn an_ended_session_asks_to_sign_in_and_keeps_what_waits_for_the_same_person() {
    let mut world = World::connected();
    world.close(4401, "");
    world.rename(0);
    assert_eq!(world.machine.status(), Status::SignedOut);
    assert_eq!((world.machine.next_deadline(), world.machine.waiting()), (None, 1), "no attempt with dead credentials");
    world.feed(Input::SignedIn);
    world.settle();
    assert!(matches!(&world.app.replies[..], [(Token(0), Ok(_))]));
}

#[test]
fn a_refused_handshake_looks_whether_the_session_is_over() {
    let mut world = World::connected();
    world.close(1006, "");
    wait(&mut world, 500);
    assert!(world.opening && !world.discovering);
    world.close(1006, "");
    wait(&mut world, 1_000);
    assert!(world.discovering, "discovery comes before the next attempt");
    let found = Discovery { url: "ws://s/ws".into(), protocol: PROTOCOL.into(), signed_in: false };
    world.feed(Input::Discovered(Ok(found)));
    assert_eq!(world.machine.status(), Status::SignedOut);
}

#[test]
fn signing_in_again_leaves_the_connection_alone() {
    let mut world = World::connected();
    let opened = world.opened;
    world.feed(Input::SignedIn);
    assert_eq!((world.opened, world.closes.len()), (opened, 0));
    assert_eq!(world.machine.status(), Status::Connected);
}

#[test]
fn signing_out_closes_and_answers_what_waits() {
    let mut world = World::connected();
    world.rename(0);
    world.rename(1);
    world.feed(Input::SignedOut);
    assert_eq!(world.closes, [CloseCode::Normal]);
    assert_eq!(world.machine.status(), Status::SignedOut);
    assert!(matches!(&world.app.replies[..], [(Token(0), Err(_)), (Token(1), Err(_))]));
    world.rename(2);
    assert!(matches!(&world.app.replies[2], (Token(2), Err(error)) if error.code == ErrorCode::Forbidden));
}

#[test]
fn subscriptions_go_before_commands_and_from_where_they_were() {
    let mut world = World::connected();
    let cursor = Cursor { epoch: world.server.epoch(), seq: 3 };
    world.server.heads.insert(ChannelName::User, 3);
    world.close(1006, "");
    world.rename(0);
    world.feed(Input::Follow(ChannelName::User, Some(cursor)));
    wait(&mut world, 500);
    world.arrive();
    assert!(world.sent[0].contains(r#""after":{"epoch":"e0","seq":3}"#), "{:?}", world.sent);
    assert!(world.sent[1].contains("rename_thread"));
}

#[test]
fn a_thread_that_is_still_to_be_made_is_followed_once_it_is() {
    let mut world = World::connected();
    let thread_id = ThreadId::new();
    let create = crate::protocol::CreateThread { thread_id, title: None, agent: None };
    world.feed(Input::Send(Token(0), create.into()));
    world.feed(Input::Follow(ChannelName::Thread(thread_id), None));
    assert_eq!(world.sent.len(), 1, "the subscription waits");
    world.feed(Input::Frame(encode_reply(1, &Ok(json!({})))));
    assert!(world.sent[1].contains("subscribe"));
}

#[test]
fn a_refused_channel_is_told_and_tried_again_on_the_next_connection() {
    let mut world = World::connected();
    let channel = ChannelName::Thread(ThreadId::new());
    world.feed(Input::Follow(channel, None));
    world.feed(Input::Frame(encode_reply(1, &Err(ErrorBody::new(ErrorCode::NotFound, "no such thread")))));
    assert_eq!(world.app.refused, [channel]);
    wait(&mut world, 2_000);
    assert_eq!(world.sent.len(), 1);
    world.close(1006, "");
    world.settle();
    assert!(world.app.states.contains_key(&channel));
}

#[test]
fn the_outbox_is_bounded_and_says_so() {
    let mut world = World::connected();
    world.close(1006, "");
    for token in 0..=outbox::MOST_WAITING as u64 {
        world.rename(token);
    }
    assert_eq!(world.machine.waiting(), outbox::MOST_WAITING);
    let [(token, Err(error))] = &world.app.replies[..] else { panic!("one is refused: {:?}", world.app.replies) };
    assert_eq!((token.0, error.code), (outbox::MOST_WAITING as u64, ErrorCode::Unavailable));
}

#[test]
fn a_command_larger_than_a_frame_is_refused_here() {
    let mut world = World::connected();
    let rename = crate::protocol::RenameThread { thread_id: ThreadId::new(), title: "x".repeat(3000) };
    world.feed(Input::Send(Token(0), rename.into()));
    world.rename(1);
    assert!(matches!(&world.app.replies[..], [(Token(0), Err(error))] if error.code == ErrorCode::TooLarge));
    assert_eq!(world.sent.len(), 1, "the next one goes on");
}

#[test]
fn a_command_that_is_never_answered_is_given_up_in_the_end() {
    let mut world = World::connected();
    world.rename(0);
    for _ in 0..10 {
        assert!(world.app.replies.is_empty());
        world.close(1006, "");
        come_back(&mut world);
    }
    assert!(matches!(&world.app.replies[..], [(Token(0), Err(error))] if error.code == ErrorCode::Unavailable));
}

#[test]
fn no_network_is_shown_and_its_return_connects_at_once() {
    let mut world = World::connected();
    world.feed(Input::Offline);
    assert_eq!(world.machine.status(), Status::Offline);
    world.feed(Input::Online);
    assert!(world.opening, "at once");
    world.arrive();
    assert_eq!(world.machine.status(), Status::Connected);
}
