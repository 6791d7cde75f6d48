//! The queue.

use super::*;

struct House {
    queue: Queue,
    going: Vec<(RunId, Going)>,
    seq: u64,
}

fn limits(agent: &str) -> AgentLimits {
    AgentLimits { max_runs: (agent == "slow").then_some(1), ..AgentLimits::default() }
}

const RULES: Rules<'static> = Rules { per_user: 2, all: 3, of_agent: &limits };

impl House {
    fn new() -> Self {
        Self { queue: Queue::default(), going: Vec::new(), seq: 0 }
    }

    fn ask(&mut self, thread_id: ThreadId, owner: UserId, agent: &str) -> RunId {
        self.seq += 1;
        let place = Place { turn: self.seq, seq: self.seq };
        let run_id = RunId::new();
        self.queue.push(NewRun { run_id, thread_id, owner, agent: agent.into(), resumes: None, place, blocked: false });
        run_id
    }

    /// Begins all that may; answers which.
    fn start_ready(&mut self) -> Vec<RunId> {
        let mut begun = Vec::new();
        while let Some(run) = self.queue.next(self.going.iter().map(|(_, going)| going), &RULES) {
            begun.push(run.run_id);
            self.going.push((run.run_id, Going { thread_id: run.thread_id, owner: run.owner, agent: run.agent }));
        }
        begun
    }

    fn end(&mut self, run_id: RunId) {
        self.going.retain(|(known, _)| *known != run_id);
        for (blocked, _, _) in self.queue.blocked() {
            self.queue.unblock(blocked);
        }
    }

    fn places(&mut self, thread: ThreadId) -> Vec<(RunId, u32, WaitsFor)> {
        self.queue.changed(self.going.iter().map(|(_, going)| going), &RULES);
        let line = self.queue.of_thread(thread);
        line.iter().map(|at| (at.waiting.run_id, at.waiting.position, at.waiting.waits_for)).collect()
    }
}

#[test]
fn the_runs_of_a_thread_go_one_after_the_other_in_order() {
    let (mut house, thread, ada) = (House::new(), ThreadId::new(), UserId::new());
    let runs = [(); 3].map(|()| house.ask(thread, ada, "a"));
    assert_eq!(house.start_ready(), [runs[0]]);
    let thread_line = [(runs[1], 1, WaitsFor::Thread), (runs[2], 2, WaitsFor::Thread)];
    assert_eq!(house.places(thread), thread_line);
    house.end(runs[0]);
    assert_eq!(house.start_ready(), [runs[1]]);
    assert_eq!(house.queue.remove(runs[2]).map(|run| run.run_id), Some(runs[2]), "taken back");
    house.end(runs[1]);
    assert_eq!(house.start_ready(), []);
    assert_eq!(house.places(thread), []);
}

#[test]
fn a_person_an_agent_and_the_server_have_limits_and_others_pass_by() {
    let (mut house, [ada, bob, cyd]) = (House::new(), [(); 3].map(|()| UserId::new()));
    let threads = [(); 6].map(|()| ThreadId::new());
    let first = house.ask(threads[0], ada, "slow");
    let second = house.ask(threads[1], bob, "slow");
    let third = house.ask(threads[2], ada, "a");
    let fourth = house.ask(threads[3], ada, "a");
    let fifth = house.ask(threads[4], cyd, "a");
    let sixth = house.ask(threads[5], cyd, "a");
    assert_eq!(house.start_ready(), [first, third, fifth]);
    assert_eq!(house.places(threads[1]), [(second, 1, WaitsFor::Agent)]);
    assert_eq!(house.places(threads[3]), [(fourth, 1, WaitsFor::Person)]);
    assert_eq!(house.places(threads[5]), [(sixth, 3, WaitsFor::Server)]);
    house.end(first);
    assert_eq!(house.start_ready(), [second], "who waited longest begins first");
}

#[test]
fn what_goes_on_from_another_run_comes_before_what_was_said_later() {
    let (mut house, thread, ada) = (House::new(), ThreadId::new(), UserId::new());
    let later = house.ask(thread, ada, "a");
    house.queue.waiting[0].place = Place { turn: 5, seq: 5 };
    house.queue.waiting[0].blocked = true;
    assert_eq!(house.start_ready(), [], "what waits for a person is before it");
    let resumed = RunId::new();
    let place = Place { turn: 1, seq: 7 };
    house.queue.push(NewRun {
        resumes: None,
        run_id: resumed,
        thread_id: thread,
        owner: ada,
        agent: "a".into(),
        place,
        blocked: false,
    });
    assert_eq!(house.start_ready(), [resumed]);
    house.end(resumed);
    assert_eq!(house.start_ready(), [later]);
}

#[test]
fn a_change_is_told_once() {
    let (mut house, thread, ada) = (House::new(), ThreadId::new(), UserId::new());
    let first = house.ask(thread, ada, "a");
    house.start_ready();
    house.ask(thread, ada, "a");
    let changed = |house: &mut House| house.queue.changed(house.going.iter().map(|(_, going)| going), &RULES);
    assert_eq!(changed(&mut house), [thread]);
    assert_eq!(changed(&mut house), []);
    house.end(first);
    house.start_ready();
    assert_eq!(changed(&mut house), [thread], "nobody waits any more");
}
