//! Presence: who has a thread open and which of its runs wait, over all nodes.
//!
//! Each node tells its own part when it changes and every ten seconds, and keeps what the others told for 25: whoever
//! crashed is gone within 30 seconds, and a node that stops takes its part along at once. Followers are pushed the whole on
//! every change, a few times a second at most, and less often where there are many; it is not kept, and may be lost. One who is alone and always was is told
//! nothing.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::nodes::Inner;
use crate::{
    protocol::{ChannelName, Epoch, EventPush, Present, Push, ThreadId, ThreadSignal, UserId, Waiting, WaitsFor},
    server::{
        bus::{InLine, NodeMessage, Part},
        channel::Channel,
        clock::now_ms,
    },
};

/// The least time between two pushes on a thread, and how much more it is for each socket that was pushed to: five thousand
/// that come at once are not each told of every other.
const COALESCE: Duration = Duration::from_millis(250);
const COALESCE_EACH: Duration = Duration::from_micros(500);
/// How often a node tells all of its part.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How long what it told holds.
const HOLDS: Duration = Duration::from_secs(25);
/// How often it is looked for what does not hold any more.
const SWEEP: Duration = Duration::from_secs(1);
/// How many threads one message tells of.
const PER_MESSAGE: usize = 256;
/// How many parts of other nodes are kept; what is beyond is not shown.
const MAX_PARTS: usize = 200_000;

/// Tells and pushes until `stopping`.
pub(super) async fn run(node: &Inner, epoch: &Epoch, stopping: &CancellationToken) {
    let (mut tell_all, mut sweep) = (interval(TELL_EVERY), interval(SWEEP));
    // Threads whose followers know of somebody else, and those whose followers know of runs that wait.
    let (mut shared, mut lined) = (HashSet::new(), HashSet::new());
    let mut status = node.bus.status();
    loop {
        let mut all = false;
        tokio::select! {
            () = stopping.cancelled() => return,
            () = node.manager.stirred() => {}
            () = node.stirred.notified() => {}
            () = node.runner.moved() => {}
            _ = tell_all.tick() => all = true,
            // The others may have forgotten us.
            now = node.bus.changed(status) => (status, all) = (now, true),
            _ = sweep.tick() => {}
        }
        let (mut stirred, moved) = (node.manager.take_stirred(), node.runner.take_moved());
        let heard = node.elsewhere.lock().take_stirred(Instant::now());
        if !node.bus.is_local() {
            let mut of: HashSet<ThreadId> = stirred.iter().chain(&moved).copied().collect();
            let lines = node.runner.lines();
            // Whoever came to a thread elsewhere may not know yet what waits here.
            of.extend(lines.into_iter().filter(|thread| all || heard.contains(thread)));
            if all {
                of.extend(threads(node.manager.followed()));
            }
            tell(node, &of.into_iter().collect::<Vec<_>>());
        }
        stirred.extend(heard);
        for thread in stirred.iter().copied().chain(moved).collect::<HashSet<_>>() {
            push_queue(node, epoch, thread, &mut lined);
        }
        let mut sockets = 0;
        for thread in &stirred {
            sockets += push(node, epoch, *thread, &mut shared);
        }
        if !stirred.is_empty() {
            let pause = COALESCE.max(COALESCE_EACH * u32::try_from(sockets).unwrap_or(u32::MAX)).min(SWEEP * 5);
            stopping.run_until_cancelled(sleep(pause)).await;
        }
    }
}

fn threads(channels: Vec<Channel>) -> Vec<ThreadId> {
    let thread = |channel| if let Channel::Thread(id) = channel { Some(id) } else { None };
    channels.into_iter().filter_map(thread).collect()
}

/// Tells the other nodes who is here and what waits here.
fn tell(node: &Inner, threads: &[ThreadId]) {
    for threads in threads.chunks(PER_MESSAGE) {
        let part = |id: &ThreadId| {
            let (present, waiting) = (node.manager.present(*id), node.runner.waiting(*id));
            Part { thread_id: *id, present, waiting }
        };
        let parts = threads.iter().map(part).collect();
        node.bus.tell(NodeMessage::Present { node: node.name.clone(), parts });
    }
}

/// Pushes to the followers here who is in a thread. Answers to how many sockets.
fn push(node: &Inner, epoch: &Epoch, thread: ThreadId, shared: &mut HashSet<ThreadId>) -> usize {
    let here = node.manager.present(thread);
    if here.is_empty() {
        shared.remove(&thread);
        return 0;
    }
    let present = node.elsewhere.lock().with(thread, here);
    let alone = present.iter().map(|who| who.connections).sum::<u32>() == 1;
    let known = if alone { shared.remove(&thread) } else { !shared.insert(thread) };
    if alone && !known {
        return 0;
    }
    signal(node, epoch, thread, &ThreadSignal::Presence { present })
}

/// Pushes to the followers here which runs of a thread wait. One in which nothing waits nor did needs no words.
fn push_queue(node: &Inner, epoch: &Epoch, thread: ThreadId, lined: &mut HashSet<ThreadId>) {
    let waiting = node.elsewhere.lock().line(thread, node.runner.waiting(thread));
    let knew = if waiting.is_empty() { lined.remove(&thread) } else { !lined.insert(thread) };
    if knew || !waiting.is_empty() {
        signal(node, epoch, thread, &ThreadSignal::Queue { waiting });
    }
}

fn signal(node: &Inner, epoch: &Epoch, thread: ThreadId, signal: &ThreadSignal) -> usize {
    // Names and numbers: this cannot fail.
    let Ok(entry) = serde_json::to_value(signal) else { return 0 };
    let channel = ChannelName::Thread(thread);
    let push = EventPush { channel, epoch: epoch.clone(), seq: None, at: now_ms(), entry };
    node.manager.push_thread(thread, &Push::Event(push))
}

/// Who is in which thread at other nodes and what waits there, as they told.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    threads: HashMap<ThreadId, HashMap<Arc<str>, Told>>,
    parts: usize,
    /// Threads where something changed since it was asked.
    stirred: HashSet<ThreadId>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    present: Vec<Present>,
    waiting: Vec<InLine>,
}

impl Elsewhere {
    /// A node told its part of some threads.
    pub(super) fn hear(&mut self, node: Arc<str>, parts: Vec<Part>) {
        let at = Instant::now();
        for Part { thread_id, present, waiting } in parts {
            let before = self.threads.get(&thread_id).and_then(|nodes| nodes.get(&node));
            let known = before.map_or((&[][..], &[][..]), |told| (&told.present[..], &told.waiting[..]));
            if known != (&present[..], &waiting[..]) {
                self.stirred.insert(thread_id);
            }
            if present.is_empty() && waiting.is_empty() {
                self.remove(thread_id, &node);
            } else if before.is_some() || self.parts < MAX_PARTS {
                self.parts += usize::from(before.is_none());
                self.threads.entry(thread_id).or_default().insert(node.clone(), Told { at, present, waiting });
            }
        }
    }

    /// A node stops.
    pub(super) fn leave(&mut self, node: &str) {
        self.drop_where(|name, _| **name == *node);
    }

    /// Threads where something changed since this was asked before; what does not hold any more is dropped.
    pub(super) fn take_stirred(&mut self, now: Instant) -> HashSet<ThreadId> {
        self.drop_where(|_, told| now.duration_since(told.at) >= HOLDS);
        std::mem::take(&mut self.stirred)
    }

    /// Who is in a thread, with those who are here.
    pub(super) fn with(&self, thread: ThreadId, here: Vec<Present>) -> Vec<Present> {
        let told = self.threads.get(&thread).into_iter().flat_map(HashMap::values);
        let mut all: BTreeMap<UserId, Present> = BTreeMap::new();
        for who in here.into_iter().chain(told.flat_map(|told| told.present.iter().cloned())) {
            all.entry(who.user.id)
                .and_modify(|known| known.connections = known.connections.saturating_add(who.connections))
                .or_insert(who);
        }
        all.into_values().collect()
    }

    /// Which runs of a thread wait, with those that wait here: as they stand in the thread, each once.
    pub(super) fn line(&self, thread: ThreadId, here: Vec<InLine>) -> Vec<Waiting> {
        let told = self.threads.get(&thread).into_iter().flat_map(HashMap::values);
        let mut all = here;
        all.extend(told.flat_map(|told| &told.waiting));
        all.sort_by_key(|run| (run.turn, run.seq));
        // One that is taken over may be told by two for a moment.
        all.dedup_by_key(|run| run.waiting.run_id);
        let place = |(position, InLine { waiting, .. }): (u32, InLine)| match waiting.waits_for {
            WaitsFor::Thread => Waiting { position, ..waiting },
            WaitsFor::Person | WaitsFor::Agent | WaitsFor::Server => waiting,
        };
        (1..).zip(all).map(place).collect()
    }

    fn remove(&mut self, thread: ThreadId, node: &str) {
        let Some(nodes) = self.threads.get_mut(&thread) else { return };
        self.parts -= usize::from(nodes.remove(node).is_some());
        if nodes.is_empty() {
            self.threads.remove(&thread);
        }
    }

    fn drop_where(&mut self, gone: impl Fn(&Arc<str>, &Told) -> bool) {
        let Self { threads, parts, stirred } = self;
        threads.retain(|thread, nodes| {
            let before = nodes.len();
            nodes.retain(|node, told| !gone(node, told));
            if nodes.len() < before {
                *parts -= before - nodes.len();
                stirred.insert(*thread);
            }
            !nodes.is_empty()
        });
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        assert_eq!(self.parts, self.threads.values().map(HashMap::len).sum::<usize>(), "parts are counted");
        assert!(!self.threads.values().any(HashMap::is_empty), "an empty thread is kept");
        let nobody = |told: &Told| told.present.is_empty() && told.waiting.is_empty();
        assert!(!self.threads.values().flat_map(HashMap::values).any(nobody), "a part that says nothing is kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Person, RunId};

    fn somebody(id: UserId, connections: u32) -> Present {
        Present { user: Person { id, name: "Ada".into() }, connections }
    }

    #[tokio::test(start_paused = true)]
    async fn parts_add_up_and_are_dropped_when_their_node_falls_silent() {
        let (mut elsewhere, thread, ada) = (Elsewhere::default(), ThreadId::new(), UserId::new());
        let part = |connections| {
            vec![Part { thread_id: thread, present: vec![somebody(ada, connections)], waiting: Vec::new() }]
        };
        elsewhere.hear("a".into(), part(2));
        elsewhere.hear("b".into(), part(1));
        assert_eq!(elsewhere.with(thread, vec![somebody(ada, 1)]), [somebody(ada, 4)]);
        assert_eq!(elsewhere.take_stirred(Instant::now()), HashSet::from([thread]));
        sleep(HOLDS - Duration::from_secs(1)).await;
        elsewhere.hear("b".into(), part(1));
        assert!(elsewhere.take_stirred(Instant::now()).is_empty(), "told again, and nothing is new");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(elsewhere.take_stirred(Instant::now()), HashSet::from([thread]), "a fell silent");
        assert_eq!(elsewhere.with(thread, Vec::new()), [somebody(ada, 1)]);
        elsewhere.leave("b");
        elsewhere.check_invariants();
        assert_eq!((elsewhere.with(thread, Vec::new()), elsewhere.parts), (Vec::new(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_at_several_nodes_is_one_line_in_the_threads_order() {
        let (mut elsewhere, thread) = (Elsewhere::default(), ThreadId::new());
        let run = |seq, position, waits_for| {
            let waiting = Waiting { run_id: RunId::new(), position, waits_for };
            InLine { turn: seq, seq, waiting }
        };
        let first = run(3, 7, WaitsFor::Person);
        let (second, third) = (run(5, 1, WaitsFor::Thread), run(8, 2, WaitsFor::Thread));
        let parts = |waiting| vec![Part { thread_id: thread, present: Vec::new(), waiting }];
        elsewhere.hear("a".into(), parts(vec![second]));
        elsewhere.hear("b".into(), parts(vec![second]));
        elsewhere.check_invariants();
        let line = |elsewhere: &Elsewhere| elsewhere.line(thread, vec![first, third]);
        let places = |line: Vec<Waiting>| line.iter().map(|at| (at.run_id, at.position)).collect::<Vec<_>>();
        let [one, two, three] = [first, second, third].map(|run| run.waiting.run_id);
        assert_eq!(places(line(&elsewhere)), [(one, 7), (two, 2), (three, 3)]);
        elsewhere.hear("a".into(), parts(Vec::new()));
        sleep(HOLDS).await;
        assert_eq!(elsewhere.take_stirred(Instant::now()), HashSet::from([thread]), "a has none, b fell silent");
        assert_eq!(places(line(&elsewhere)), [(one, 7), (three, 2)]);
        elsewhere.check_invariants();
    }

    proptest::proptest! {
        #[test]
        fn the_books_agree_whatever_is_told(steps in proptest::collection::vec((0..3_usize, 0..4_usize, 0..4_u32), 0..80)) {
            let (threads, ada) = ([(); 4].map(|()| ThreadId::new()), UserId::new());
            let (mut elsewhere, mut model) = (Elsewhere::default(), BTreeMap::<(usize, usize), u32>::new());
            for (node, thread, connections) in steps {
                let name = format!("node {node}");
                match connections {
                    3 => {
                        elsewhere.leave(&name);
                        model.retain(|(known, _), _| *known != node);
                    }
                    connections => {
                        let present = if connections == 0 { Vec::new() } else { vec![somebody(ada, connections)] };
                        elsewhere.hear(name.into(), vec![Part { thread_id: threads[thread], present, waiting: Vec::new() }]);
                        model.insert((node, thread), connections);
                    }
                }
                elsewhere.check_invariants();
                for (index, thread) in threads.iter().enumerate() {
                    let expected: u32 = model.iter().filter(|((_, at), _)| *at == index).map(|(_, n)| n).sum();
                    let found = elsewhere.with(*thread, Vec::new());
                    proptest::prop_assert_eq!(found.iter().map(|who| who.connections).sum::<u32>(), expected);
                }
            }
        }
    }
}
