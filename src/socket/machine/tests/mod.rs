//! The machine against a model of the server.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::protocol::{
    ClientFrame, Entry, Epoch, EventPush, PROTOCOL, ThreadId, UserEntry, decode_client, encode_push, encode_reply,
};

mod any_order;
mod causes;
mod closing;
mod sending;
mod subscriptions;

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
    /// How many channels it lets a connection follow.
    places: usize,
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
    /// What the application wants to follow.
    wanted: HashSet<ChannelName>,
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
            _ if refuse => Err(ErrorBody::new(ErrorCode::RateLimited, "slowly").retry_after(700)),
            Command::Unsubscribe(gone) => {
                self.followed.remove(&gone.channel);
                Ok(json!({}))
            }
            Command::Subscribe(ask) if self.followed.len() >= self.places && !self.followed.contains(&ask.channel) => {
                Err(ErrorBody::new(ErrorCode::Conflict, "too many channels; leave one first"))
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
            places: crate::protocol::limits::MAX_SUBSCRIPTIONS,
            done: Vec::new(),
            wire: VecDeque::new(),
            inbox: VecDeque::new(),
        };
        Self {
            now: 1_000_000,
            machine: Machine::new(seed),
            server,
            app: App::default(),
            wanted: HashSet::new(),
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
        match &input {
            Input::Follow(channel, _) => drop(self.wanted.insert(*channel)),
            Input::Unfollow(channel) => {
                self.wanted.remove(channel);
                self.app.states.remove(channel);
            }
            _ => {}
        }
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

    /// Whether exactly what is wanted is followed, each to its end.
    fn caught_up(&self) -> bool {
        self.server.followed == self.wanted
            && self.server.followed.iter().all(|channel| {
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
