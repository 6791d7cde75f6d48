//! Presence: who follows a thread and which of its runs wait, over all nodes.
//!
//! Each node reports its own part of a thread when it changes and every ten seconds, and keeps the reports of the others for 25:
//! the part of a node that crashed is gone within 30 seconds, that of a node that stops at once. The followers of a thread are
//! pushed the whole state on every change, at most a few times a second. It is not stored, and a push may be lost. Nothing is
//! pushed to a follower who is alone and always was.

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
        bus::{NodeMessage, ThreadReport, WaitingRun},
        channel::Channel,
        clock::now_ms,
    },
};

/// The shortest time between two rounds of pushes.
const MIN_PUSH_INTERVAL: Duration = Duration::from_millis(250);
/// The time between two rounds of pushes, for each connection that was pushed to: when thousands join a thread at once, they do not all
/// receive each of these changes.
const PUSH_INTERVAL_PER_CONNECTION: Duration = Duration::from_micros(500);
/// The longest time between two rounds of pushes.
const MAX_PUSH_INTERVAL: Duration = Duration::from_secs(5);
/// How often a node reports all of its part.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// How long a report is kept.
const REPORT_TTL: Duration = Duration::from_secs(25);
/// How often expired reports are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The most threads in one message to other nodes.
const MAX_THREADS_PER_MESSAGE: usize = 256;
/// The most reports (one a node and thread) that are kept; more are ignored.
const MAX_REPORTS: usize = 200_000;

/// The threads whose followers here were pushed a state. When it ends, they are pushed that too, once.
#[derive(Debug, Default)]
struct Pushed {
    /// Threads whose followers were pushed that somebody else follows, too.
    present: HashSet<ThreadId>,
    /// Threads whose followers were pushed waiting runs.
    queued: HashSet<ThreadId>,
}

/// Reports and pushes until `stopping`.
pub(super) async fn run(node: &Inner, epoch: &Epoch, stopping: &CancellationToken) {
    let (mut report_all, mut sweep) = (interval(REPORT_INTERVAL), interval(SWEEP_INTERVAL));
    let mut pushed = Pushed::default();
    let mut status = node.bus.status();
    loop {
        let mut all = false;
        tokio::select! {
            () = stopping.cancelled() => return,
            () = node.manager.presence_changed() => {}
            () = node.remote_changed.notified() => {}
            () = node.runner.queue_changed() => {}
            _ = report_all.tick() => all = true,
            // The other nodes may have dropped our reports meanwhile.
            now = node.bus.changed(status) => (status, all) = (now, true),
            _ = sweep.tick() => {}
        }
        let (mut present_changed, queue_changed) =
            (node.manager.take_presence_changes(), node.runner.take_changed_queues());
        let remote_changed = node.remote.lock().take_changes(Instant::now());
        if !node.bus.is_local() {
            let mut changed: HashSet<ThreadId> = present_changed.iter().chain(&queue_changed).copied().collect();
            // A node where somebody just followed a thread may not have our part of its queue yet.
            let queues = node.runner.queued_threads();
            changed.extend(queues.into_iter().filter(|thread| all || remote_changed.contains(thread)));
            if all {
                changed.extend(threads(node.manager.followed()));
            }
            report(node, &changed.into_iter().collect::<Vec<_>>());
        }
        present_changed.extend(remote_changed);
        for thread in present_changed.iter().copied().chain(queue_changed).collect::<HashSet<_>>() {
            push_queue(node, epoch, thread, &mut pushed.queued);
        }
        let mut connections = 0;
        for thread in &present_changed {
            connections += push_presence(node, epoch, *thread, &mut pushed.present);
        }
        if !present_changed.is_empty() {
            let pause = PUSH_INTERVAL_PER_CONNECTION * u32::try_from(connections).unwrap_or(u32::MAX);
            stopping.run_until_cancelled(sleep(pause.clamp(MIN_PUSH_INTERVAL, MAX_PUSH_INTERVAL))).await;
        }
    }
}

fn threads(channels: Vec<Channel>) -> Vec<ThreadId> {
    let thread = |channel| if let Channel::Thread(id) = channel { Some(id) } else { None };
    channels.into_iter().filter_map(thread).collect()
}

/// Reports to the other nodes who follows these threads here and which of their runs wait here.
fn report(node: &Inner, threads: &[ThreadId]) {
    for threads in threads.chunks(MAX_THREADS_PER_MESSAGE) {
        let part = |id: &ThreadId| {
            let (present, waiting) = (node.manager.present(*id), node.runner.waiting(*id));
            ThreadReport { thread_id: *id, present, waiting }
        };
        let parts = threads.iter().map(part).collect();
        node.bus.send(NodeMessage::Present { node: node.name.clone(), parts });
    }
}

/// Pushes who follows a thread to its followers here; returns to how many connections.
fn push_presence(node: &Inner, epoch: &Epoch, thread: ThreadId, pushed: &mut HashSet<ThreadId>) -> usize {
    let here = node.manager.present(thread);
    if here.is_empty() {
        pushed.remove(&thread);
        return 0;
    }
    let present = node.remote.lock().with_present(thread, here);
    let is_alone = present.iter().map(|who| who.connections).sum::<u32>() == 1;
    let was_pushed = if is_alone { pushed.remove(&thread) } else { !pushed.insert(thread) };
    if is_alone && !was_pushed {
        return 0;
    }
    signal(node, epoch, thread, &ThreadSignal::Presence { present })
}

/// Pushes which runs of a thread wait to its followers here, unless none wait and none did.
fn push_queue(node: &Inner, epoch: &Epoch, thread: ThreadId, pushed: &mut HashSet<ThreadId>) {
    let waiting = node.remote.lock().with_queue(thread, node.runner.waiting(thread));
    let was_pushed = if waiting.is_empty() { pushed.remove(&thread) } else { !pushed.insert(thread) };
    if was_pushed || !waiting.is_empty() {
        signal(node, epoch, thread, &ThreadSignal::Queue { waiting });
    }
}

fn signal(node: &Inner, epoch: &Epoch, thread: ThreadId, signal: &ThreadSignal) -> usize {
    // Names and numbers only, so this cannot fail.
    let Ok(entry) = serde_json::to_value(signal) else { return 0 };
    let channel = ChannelName::Thread(thread);
    let push = EventPush { channel, epoch: epoch.clone(), seq: None, at: now_ms(), entry };
    node.manager.push_thread(thread, &Push::Event(push))
}

/// Presence and waiting runs on the other nodes, as they reported them.
#[derive(Debug, Default)]
pub(super) struct RemotePresence {
    threads: HashMap<ThreadId, HashMap<Arc<str>, NodeReport>>,
    reports: usize,
    /// Threads where something changed since the last [`RemotePresence::take_changes`].
    changes: HashSet<ThreadId>,
}

/// A node's part of a thread.
#[derive(Debug)]
struct NodeReport {
    received: Instant,
    present: Vec<Present>,
    waiting: Vec<WaitingRun>,
}

impl RemotePresence {
    /// Applies the report of a node.
    pub(super) fn apply(&mut self, node: Arc<str>, parts: Vec<ThreadReport>) {
        let received = Instant::now();
        for ThreadReport { thread_id, present, waiting } in parts {
            let before = self.threads.get(&thread_id).and_then(|nodes| nodes.get(&node));
            let known = before.map_or((&[][..], &[][..]), |report| (&report.present[..], &report.waiting[..]));
            if known != (&present[..], &waiting[..]) {
                self.changes.insert(thread_id);
            }
            if present.is_empty() && waiting.is_empty() {
                self.remove(thread_id, &node);
            } else if before.is_some() || self.reports < MAX_REPORTS {
                self.reports += usize::from(before.is_none());
                let report = NodeReport { received, present, waiting };
                self.threads.entry(thread_id).or_default().insert(node.clone(), report);
            }
        }
    }

    /// Removes the reports of a node that stops.
    pub(super) fn remove_node(&mut self, node: &str) {
        self.remove_where(|name, _| **name == *node);
    }

    /// Removes expired reports; returns the threads where something changed since the last call.
    pub(super) fn take_changes(&mut self, now: Instant) -> HashSet<ThreadId> {
        self.remove_where(|_, report| now.duration_since(report.received) >= REPORT_TTL);
        std::mem::take(&mut self.changes)
    }

    /// Who follows a thread on any node; `here` is this node's part.
    pub(super) fn with_present(&self, thread: ThreadId, here: Vec<Present>) -> Vec<Present> {
        let reports = self.threads.get(&thread).into_iter().flat_map(HashMap::values);
        let mut all: BTreeMap<UserId, Present> = BTreeMap::new();
        for who in here.into_iter().chain(reports.flat_map(|report| report.present.iter().cloned())) {
            all.entry(who.user.id)
                .and_modify(|known| known.connections = known.connections.saturating_add(who.connections))
                .or_insert(who);
        }
        all.into_values().collect()
    }

    /// The runs of a thread that wait on any node, in the thread's order; `here` is this node's part.
    pub(super) fn with_queue(&self, thread: ThreadId, here: Vec<WaitingRun>) -> Vec<Waiting> {
        let reports = self.threads.get(&thread).into_iter().flat_map(HashMap::values);
        let mut all = here;
        all.extend(reports.flat_map(|report| &report.waiting));
        all.sort_by_key(|run| (run.turn, run.seq));
        // While a node takes a run over, two nodes report it.
        all.dedup_by_key(|run| run.waiting.run_id);
        let place = |(position, WaitingRun { waiting, .. }): (u32, WaitingRun)| match waiting.waits_for {
            WaitsFor::Thread => Waiting { position, ..waiting },
            WaitsFor::Person | WaitsFor::Agent | WaitsFor::Server => waiting,
        };
        (1..).zip(all).map(place).collect()
    }

    fn remove(&mut self, thread: ThreadId, node: &str) {
        let Some(nodes) = self.threads.get_mut(&thread) else { return };
        self.reports -= usize::from(nodes.remove(node).is_some());
        if nodes.is_empty() {
            self.threads.remove(&thread);
        }
    }

    fn remove_where(&mut self, is_removed: impl Fn(&Arc<str>, &NodeReport) -> bool) {
        let Self { threads, reports, changes } = self;
        threads.retain(|thread, nodes| {
            let before = nodes.len();
            nodes.retain(|node, report| !is_removed(node, report));
            if nodes.len() < before {
                *reports -= before - nodes.len();
                changes.insert(*thread);
            }
            !nodes.is_empty()
        });
    }

    #[cfg(test)]
    fn check_invariants(&self) {
        assert_eq!(self.reports, self.threads.values().map(HashMap::len).sum::<usize>(), "reports are counted");
        assert!(!self.threads.values().any(HashMap::is_empty), "an empty thread is kept");
        let is_empty = |report: &NodeReport| report.present.is_empty() && report.waiting.is_empty();
        assert!(!self.threads.values().flat_map(HashMap::values).any(is_empty), "an empty report is kept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Person, RunId};

    fn follower(id: UserId, connections: u32) -> Present {
        Present { user: Person { id, name: "Ada".into() }, connections }
    }

    #[tokio::test(start_paused = true)]
    async fn reports_add_up_and_expire() {
        let (mut remote, thread, ada) = (RemotePresence::default(), ThreadId::new(), UserId::new());
        let part = |connections| {
            vec![ThreadReport { thread_id: thread, present: vec![follower(ada, connections)], waiting: Vec::new() }]
        };
        remote.apply("a".into(), part(2));
        remote.apply("b".into(), part(1));
        assert_eq!(remote.with_present(thread, vec![follower(ada, 1)]), [follower(ada, 4)]);
        assert_eq!(remote.take_changes(Instant::now()), HashSet::from([thread]));
        sleep(REPORT_TTL - Duration::from_secs(1)).await;
        remote.apply("b".into(), part(1));
        assert!(remote.take_changes(Instant::now()).is_empty(), "reported again, and nothing is new");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(remote.take_changes(Instant::now()), HashSet::from([thread]), "the report of a expired");
        assert_eq!(remote.with_present(thread, Vec::new()), [follower(ada, 1)]);
        remote.remove_node("b");
        remote.check_invariants();
        assert_eq!((remote.with_present(thread, Vec::new()), remote.reports), (Vec::new(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn runs_that_wait_on_several_nodes_are_one_queue_in_the_threads_order() {
        let (mut remote, thread) = (RemotePresence::default(), ThreadId::new());
        let run = |seq, position, waits_for| {
            let waiting = Waiting { run_id: RunId::new(), position, waits_for };
            WaitingRun { turn: seq, seq, waiting }
        };
        let first = run(3, 7, WaitsFor::Person);
        let (second, third) = (run(5, 1, WaitsFor::Thread), run(8, 2, WaitsFor::Thread));
        let parts = |waiting| vec![ThreadReport { thread_id: thread, present: Vec::new(), waiting }];
        remote.apply("a".into(), parts(vec![second]));
        remote.apply("b".into(), parts(vec![second]));
        remote.check_invariants();
        let queue = |remote: &RemotePresence| remote.with_queue(thread, vec![first, third]);
        let places = |queue: Vec<Waiting>| queue.iter().map(|at| (at.run_id, at.position)).collect::<Vec<_>>();
        let [one, two, three] = [first, second, third].map(|run| run.waiting.run_id);
        assert_eq!(places(queue(&remote)), [(one, 7), (two, 2), (three, 3)]);
        remote.apply("a".into(), parts(Vec::new()));
        sleep(REPORT_TTL).await;
        assert_eq!(remote.take_changes(Instant::now()), HashSet::from([thread]), "a has none, that of b expired");
        assert_eq!(places(queue(&remote)), [(one, 7), (three, 2)]);
        remote.check_invariants();
    }

    proptest::proptest! {
        #[test]
        fn the_counts_agree_whatever_is_reported(steps in proptest::collection::vec((0..3_usize, 0..4_usize, 0..4_u32), 0..80)) {
            let (threads, ada) = ([(); 4].map(|()| ThreadId::new()), UserId::new());
            let (mut remote, mut model) = (RemotePresence::default(), BTreeMap::<(usize, usize), u32>::new());
            for (node, thread, connections) in steps {
                let name = format!("node {node}");
                match connections {
                    3 => {
                        remote.remove_node(&name);
                        model.retain(|(known, _), _| *known != node);
                    }
                    connections => {
                        let present = if connections == 0 { Vec::new() } else { vec![follower(ada, connections)] };
                        remote.apply(name.into(), vec![ThreadReport { thread_id: threads[thread], present, waiting: Vec::new() }]);
                        model.insert((node, thread), connections);
                    }
                }
                remote.check_invariants();
                for (index, thread) in threads.iter().enumerate() {
                    let expected: u32 = model.iter().filter(|((_, at), _)| *at == index).map(|(_, n)| n).sum();
                    let found = remote.with_present(*thread, Vec::new());
                    proptest::prop_assert_eq!(found.iter().map(|who| who.connections).sum::<u32>(), expected);
                }
            }
        }
    }
}
