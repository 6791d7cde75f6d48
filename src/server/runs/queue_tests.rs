//! Tests of the queue.

use super::*;

/// A queue, and the runs that it started.
struct Harness {
    queue: Queue,
    active: Vec<(RunId, ActiveRun)>,
    seq: u64,
}

fn agent_limits(agent: &str) -> AgentLimits {
    AgentLimits { max_runs: (agent == "slow").then_some(1), ..AgentLimits::default() }
}

const LIMITS: RunLimits<'static> = RunLimits { per_user: 2, all: 3, of_agent: &agent_limits };

impl Harness {
    fn new() -> Self {
        Self { queue: Queue::default(), active: Vec::new(), seq: 0 }
    }

    /// Queues a new run.
    fn push(&mut self, thread_id: ThreadId, requested_by: UserId, agent: &str) -> RunId {
        self.seq += 1;
        let order = RunOrder { turn: self.seq, seq: self.seq };
        let run_id = RunId::new();
        // The limits are those of who requested the run, whoever owns the thread.
        let (owner, agent) = (UserId::new(), agent.into());
        self.queue.push(NewRun { run_id, thread_id, owner, requested_by, agent, resumes: None, order, blocked: false });
        run_id
    }

    /// Starts all runs that may start, and returns them.
    fn start_ready(&mut self) -> Vec<RunId> {
        let mut started = Vec::new();
        while let Some(run) = self.queue.next(self.active.iter().map(|(_, active)| active), &LIMITS) {
            started.push(run.run_id);
            self.active.push((
                run.run_id,
                ActiveRun { thread_id: run.thread_id, requested_by: run.requested_by, agent: run.agent },
            ));
        }
        started
    }

    fn end(&mut self, run_id: RunId) {
        self.active.retain(|(known, _)| *known != run_id);
        for (_, runs) in self.queue.blocked() {
            self.queue.unblock(runs[0]);
        }
    }

    fn positions(&mut self, thread: ThreadId) -> Vec<(RunId, u32, WaitsFor)> {
        self.queue.changed(self.active.iter().map(|(_, active)| active), &LIMITS);
        let waiting = self.queue.of_thread(thread);
        waiting.iter().map(|at| (at.waiting.run_id, at.waiting.position, at.waiting.waits_for)).collect()
    }
}

#[test]
fn the_runs_of_a_thread_execute_one_after_the_other_in_order() {
    let (mut harness, thread, ada) = (Harness::new(), ThreadId::new(), UserId::new());
    let runs = [(); 3].map(|()| harness.push(thread, ada, "a"));
    assert_eq!(harness.start_ready(), [runs[0]]);
    let expected = [(runs[1], 1, WaitsFor::Thread), (runs[2], 2, WaitsFor::Thread)];
    assert_eq!(harness.positions(thread), expected);
    harness.end(runs[0]);
    assert_eq!(harness.start_ready(), [runs[1]]);
    assert_eq!(harness.queue.remove(runs[2]).map(|run| run.run_id), Some(runs[2]), "taken back");
    harness.end(runs[1]);
    assert_eq!(harness.start_ready(), []);
    assert_eq!(harness.positions(thread), []);
}

#[test]
fn users_agents_and_the_server_have_limits_and_other_runs_overtake() {
    let (mut harness, [ada, bob, cyd]) = (Harness::new(), [(); 3].map(|()| UserId::new()));
    let threads = [(); 6].map(|()| ThreadId::new());
    let first = harness.push(threads[0], ada, "slow");
    let second = harness.push(threads[1], bob, "slow");
    let third = harness.push(threads[2], ada, "a");
    let fourth = harness.push(threads[3], ada, "a");
    let fifth = harness.push(threads[4], cyd, "a");
    let sixth = harness.push(threads[5], cyd, "a");
    assert_eq!(harness.start_ready(), [first, third, fifth]);
    assert_eq!(harness.positions(threads[1]), [(second, 1, WaitsFor::Agent)]);
    assert_eq!(harness.positions(threads[3]), [(fourth, 1, WaitsFor::Person)]);
    assert_eq!(harness.positions(threads[5]), [(sixth, 3, WaitsFor::Server)]);
    harness.end(first);
    assert_eq!(harness.start_ready(), [second], "the run that waited longest starts first");
}

#[test]
fn a_run_that_resumes_another_starts_before_runs_of_later_messages() {
    let (mut harness, thread, ada) = (Harness::new(), ThreadId::new(), UserId::new());
    let later = harness.push(thread, ada, "a");
    harness.queue.waiting[0].order = RunOrder { turn: 5, seq: 5 };
    harness.queue.waiting[0].blocked = true;
    assert_eq!(harness.start_ready(), [], "an earlier run waits for an answer");
    let resumed = RunId::new();
    let order = RunOrder { turn: 1, seq: 7 };
    harness.queue.push(NewRun {
        resumes: None,
        run_id: resumed,
        thread_id: thread,
        owner: ada,
        requested_by: ada,
        agent: "a".into(),
        order,
        blocked: false,
    });
    assert_eq!(harness.start_ready(), [resumed]);
    harness.end(resumed);
    assert_eq!(harness.start_ready(), [later]);
}

#[test]
fn a_changed_position_is_reported_once() {
    let (mut harness, thread, ada) = (Harness::new(), ThreadId::new(), UserId::new());
    let first = harness.push(thread, ada, "a");
    harness.start_ready();
    harness.push(thread, ada, "a");
    let changed =
        |harness: &mut Harness| harness.queue.changed(harness.active.iter().map(|(_, active)| active), &LIMITS);
    assert_eq!(changed(&mut harness), [thread]);
    assert_eq!(changed(&mut harness), []);
    harness.end(first);
    harness.start_ready();
    assert_eq!(changed(&mut harness), [thread], "no run waits any more");
}
