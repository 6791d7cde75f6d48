//! Tests of the machine against a model of the server.

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
mod following;
mod sending;

const HEARTBEAT_MS: i64 = 25_000;

/// What the application was notified of.
#[derive(Default)]
struct App {
    /// Per channel: the epoch and the `seq` of each applied entry.
    states: HashMap<ChannelName, (Epoch, Vec<u64>)>,
    replies: Vec<(CommandToken, Outcome)>,
    refused: Vec<ChannelName>,
    faults: usize,
}

/// A server with one log per channel. The entry at position n sets a thread's title to "n".
struct Server {
    epoch: u32,
    heads: HashMap<ChannelName, u64>,
    /// The last position that was compacted away.
    compacted: u64,
    followed: HashSet<ChannelName>,
    /// How many channels a connection may follow.
    slots: usize,
    /// The titles of the commands that took effect, in order.
    done: Vec<String>,
    /// Frames sent to the machine that have not arrived yet.
    outgoing: VecDeque<String>,
    /// Frames from the machine that have not arrived yet.
    inbox: VecDeque<String>,
}

struct Simulation {
    now: i64,
    machine: Machine,
    server: Server,
    app: App,
    /// The channels that the application follows.
    wanted: HashSet<ChannelName>,
    /// Whether a socket is open; a frame sent without one fails the test.
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

fn position(entry: &Entry) -> u64 {
    let info = match entry {
        Entry::Thread(crate::protocol::ThreadEntry::Thread { thread }) => thread,
        Entry::User(UserEntry::Thread { thread }) => thread,
        other => panic!("the model has no such entry: {other:?}"),
    };
    info.title.parse().expect("the title is the position")
}

impl Server {
    fn epoch(&self) -> Epoch {
        Epoch(format!("e{}", self.epoch))
    }

    fn push(&mut self, channel: ChannelName, seq: Option<u64>) {
        let entry = entry(ThreadId::new(), seq.unwrap_or(0));
        let event = EventPush { channel, epoch: self.epoch(), seq, at: 0, entry };
        self.outgoing.push_back(encode_push(&Push::Event(event)));
    }

    fn append(&mut self, channel: ChannelName) {
        let head = self.heads.entry(channel).or_insert(0);
        *head += 1;
        let seq = *head;
        if self.followed.contains(&channel) {
            self.push(channel, Some(seq));
        }
    }

    /// Handles a command; with `refuse`, answers `rate_limited`.
    fn handle(&mut self, text: &str, refuse: bool) {
        let ClientFrame { id, command } = decode_client(text).expect("the machine sends valid frames");
        let mut after = Vec::new();
        let outcome = match command {
            Command::Ping(_) => Ok(json!({"server_time": 0})),
            _ if refuse => Err(ErrorBody::new(ErrorCode::RateLimited, "slowly").retry_after(700)),
            Command::Unsubscribe(unsubscribe) => {
                self.followed.remove(&unsubscribe.channel);
                Ok(json!({}))
            }
            Command::Subscribe(subscribe)
                if self.followed.len() >= self.slots && !self.followed.contains(&subscribe.channel) =>
            {
                Err(ErrorBody::new(ErrorCode::Conflict, "too many channels; unsubscribe from one first"))
            }
            Command::Subscribe(subscribe) => {
                let head = *self.heads.entry(subscribe.channel).or_insert(0);
                let from =
                    subscribe.after.filter(|c| c.epoch == self.epoch() && c.seq <= head && c.seq >= self.compacted);
                self.followed.insert(subscribe.channel);
                let mut answer =
                    json!({"channel": subscribe.channel, "epoch": self.epoch(), "seq": head, "mode": "live"});
                match from {
                    Some(cursor) if cursor.seq == head => {}
                    Some(cursor) => {
                        answer["mode"] = "replay".into();
                        answer["seq"] = cursor.seq.into();
                        after.extend(cursor.seq + 1..=head);
                    }
                    None => {
                        answer["mode"] = "snapshot".into();
                        answer["snapshot"] = match subscribe.channel {
                            ChannelName::User => json!({"kind": "user", "threads": []}),
                            ChannelName::Thread(_) => json!({"kind": "thread", "items": []}),
                        };
                    }
                }
                let channel = subscribe.channel;
                self.outgoing.push_back(encode_reply(id, &Ok(answer)));
                after.into_iter().for_each(|seq| self.push(channel, Some(seq)));
                return;
            }
            Command::RenameThread(rename) => {
                if !self.done.contains(&rename.title) {
                    self.done.push(rename.title);
                }
                Ok(json!({}))
            }
            other => panic!("the model has no such command: {other:?}"),
        };
        self.outgoing.push_back(encode_reply(id, &outcome));
    }
}

fn welcome() -> String {
    let user = json!({"id": ThreadId::new(), "name": "n", "role": "member"});
    json!({"type": "welcome", "payload": {"connection_id": ThreadId::new(), "user": user, "node": "n",
        "server_time": 0, "heartbeat_ms": HEARTBEAT_MS, "max_frame_bytes": 2000, "expires_at": 0}})
    .to_string()
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let server = Server {
            epoch: 0,
            heads: HashMap::new(),
            compacted: 0,
            followed: HashSet::new(),
            slots: crate::protocol::limits::MAX_SUBSCRIPTIONS,
            done: Vec::new(),
            outgoing: VecDeque::new(),
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

    /// A simulation that is signed in and connected.
    fn connected() -> Self {
        let mut simulation = Self::new(7);
        simulation.handle(Input::SignedIn);
        simulation.arrive();
        simulation
    }

    /// Passes an input to the machine and carries out its outputs.
    fn handle(&mut self, input: Input) {
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
                Output::Notify(event) => self.on_event(event),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Snapshot { channel, cursor, .. } => {
                let positions = (1..=cursor.seq).collect();
                self.app.states.insert(channel, (cursor.epoch, positions));
            }
            Event::Entry { channel, seq: Some(seq), entry, .. } => {
                assert_eq!(position(&entry), seq);
                let (_, positions) = self.app.states.get_mut(&channel).expect("entries follow a state");
                assert_eq!(seq, positions.last().map_or(1, |last| last + 1), "lost, doubled or reordered");
                positions.push(seq);
            }
            Event::Reply { token, outcome } => self.app.replies.push((token, outcome)),
            Event::Refused { channel, .. } => self.app.refused.push(channel),
            Event::Fault(_) => self.app.faults += 1,
            Event::Welcome(_) | Event::Notice(_) | Event::Entry { seq: None, .. } => {}
        }
    }

    /// Cuts the connection; frames under way are lost.
    fn cut(&mut self) {
        (self.open, self.opening) = (false, false);
        self.server.inbox.clear();
        self.server.outgoing.clear();
        self.server.followed.clear();
    }

    /// Pending discovery and handshake succeed.
    fn arrive(&mut self) {
        if std::mem::take(&mut self.discovering) {
            let discovery = Discovery { url: "ws://s/ws".into(), protocol: PROTOCOL.into(), signed_in: true };
            self.handle(Input::Discovered(Ok(discovery)));
        }
        if std::mem::take(&mut self.opening) {
            self.open = true;
            self.handle(Input::Frame(welcome()));
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        if self.open || self.opening {
            self.cut();
            self.handle(Input::Closed { code, reason: reason.into() });
        }
    }

    /// The server handles the next command.
    fn serve(&mut self, refuse: bool) {
        if let Some(text) = self.server.inbox.pop_front() {
            self.server.handle(&text, refuse);
        }
    }

    /// The server's next frame arrives.
    fn deliver(&mut self) {
        if let Some(text) = self.server.outgoing.pop_front() {
            self.handle(Input::Frame(text));
        }
    }

    fn advance(&mut self, ms: i64) {
        self.now += ms;
        self.handle(Input::Tick);
    }

    /// Runs until no frame is under way, no command waits and every channel is caught up.
    fn settle(&mut self) {
        self.handle(Input::Online);
        for _ in 0..10_000 {
            self.arrive();
            while !(self.server.inbox.is_empty() && self.server.outgoing.is_empty()) {
                self.serve(false);
                self.deliver();
            }
            if matches!(self.machine.phase, Phase::Connected(_))
                && self.machine.queued_commands() == 0
                && self.caught_up()
            {
                return;
            }
            let wake = self.machine.next_deadline().expect("a deadline is pending");
            self.advance((wake - self.now).max(0));
        }
        panic!("does not settle: {:?}", self.machine);
    }

    /// Whether exactly the wanted channels are followed, each up to its head.
    fn caught_up(&self) -> bool {
        self.server.followed == self.wanted
            && self.server.followed.iter().all(|channel| {
                let at = self.app.states.get(channel).map(|(epoch, positions)| (epoch.clone(), positions.len() as u64));
                at == Some((self.server.epoch(), self.server.heads[channel]))
            })
    }

    fn rename(&mut self, token: u64) {
        let title = format!("c{token}");
        let command = crate::protocol::RenameThread { thread_id: ThreadId::new(), title };
        self.handle(Input::Send(CommandToken(token), command.into()));
    }
}

/// Advances the time by `ms`, stopping at each deadline of the machine.
fn wait(simulation: &mut Simulation, ms: i64) {
    let end = simulation.now + ms;
    while let Some(wake) = simulation.machine.next_deadline().filter(|wake| *wake <= end) {
        let ms = (wake - simulation.now).max(0);
        simulation.advance(ms);
    }
    simulation.now = end;
}

/// Runs until the next connection attempt, which succeeds.
fn reconnect(simulation: &mut Simulation) {
    while !simulation.opening && !simulation.discovering {
        let wake = simulation.machine.next_deadline().expect("another attempt is scheduled");
        simulation.advance((wake - simulation.now).max(0));
    }
    simulation.arrive();
}
