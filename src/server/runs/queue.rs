//! The queue of runs: in which order they start, and which position each has. Without I/O.
//!
//! The runs of a thread execute one after the other, in the order of their messages. Limits are never exceeded. Of the runs that may
//! start, the one that has waited longest does; a run that may not start delays only later runs of its thread.

use std::collections::{HashMap, HashSet};

use crate::{
    protocol::{RunId, ThreadId, UserId, Waiting, WaitsFor},
    server::{
        bus::WaitingRun,
        config::agents::AgentLimits,
        threads::{NewRun, RunOrder},
    },
};

/// A run that is executing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ActiveRun {
    pub(super) thread_id: ThreadId,
    pub(super) requested_by: UserId,
    pub(super) agent: String,
}

/// How many runs may execute at once.
pub(super) struct RunLimits<'a> {
    /// Of one user.
    pub(super) per_user: usize,
    /// In all.
    pub(super) all: usize,
    /// Limits of an agent.
    pub(super) of_agent: &'a dyn Fn(&str) -> AgentLimits,
}

/// The queued runs, in order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Vec<NewRun>,
    /// The positions by thread, as [`Queue::changed`] last saw them.
    positions: HashMap<ThreadId, Vec<WaitingRun>>,
}

impl Queue {
    /// Adds a run, before later ones of its thread: a run that continues another goes ahead of later messages.
    pub(super) fn push(&mut self, new: NewRun) {
        let behind = |other: &NewRun| other.thread_id == new.thread_id && other.order > new.order;
        let at = self.waiting.iter().position(behind).unwrap_or(self.waiting.len());
        self.waiting.insert(at, new);
    }

    /// Removes a run.
    pub(super) fn remove(&mut self, run_id: RunId) -> Option<NewRun> {
        let at = self.waiting.iter().position(|run| run.run_id == run_id)?;
        Some(self.waiting.remove(at))
    }

    pub(super) fn contains(&self, run_id: RunId) -> bool {
        self.waiting.iter().any(|run| run.run_id == run_id)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn of_user(&self, user: UserId) -> usize {
        self.waiting.iter().filter(|run| run.requested_by == user).count()
    }

    /// The threads whose first run, according to the store, has to wait for an earlier run of its thread; with all of their runs.
    pub(super) fn blocked(&self) -> Vec<(ThreadId, Vec<RunId>)> {
        let mut seen = HashSet::new();
        let first = self.waiting.iter().filter(|run| seen.insert(run.thread_id) && run.blocked);
        let runs = |thread| self.waiting.iter().filter(move |run| run.thread_id == thread).map(|run| run.run_id);
        first.map(|run| (run.thread_id, runs(run.thread_id).collect())).collect()
    }

    /// Marks that the runs of a thread have to wait until their order is read again.
    pub(super) fn block(&mut self, thread_id: ThreadId) {
        self.waiting.iter_mut().filter(|run| run.thread_id == thread_id).for_each(|run| run.blocked = true);
    }

    /// Gives the runs `known` of a thread their orders, and removes those without one, which have ended. Returns the first run of the
    /// thread.
    pub(super) fn reorder(
        &mut self,
        thread_id: ThreadId,
        known: &[RunId],
        orders: &HashMap<RunId, RunOrder>,
    ) -> Option<(RunId, RunOrder)> {
        self.waiting.retain(|run| !known.contains(&run.run_id) || orders.contains_key(&run.run_id));
        let places: Vec<usize> =
            (0..self.waiting.len()).filter(|index| self.waiting[*index].thread_id == thread_id).collect();
        let mut runs: Vec<NewRun> = places.iter().map(|index| self.waiting[*index].clone()).collect();
        for run in &mut runs {
            run.order = orders.get(&run.run_id).copied().unwrap_or(run.order);
        }
        runs.sort_by_key(|run| run.order);
        let first = runs.first().map(|run| (run.run_id, run.order));
        for (index, run) in places.into_iter().zip(runs) {
            self.waiting[index] = run;
        }
        first
    }

    /// Marks that a run no longer waits for an earlier one of its thread.
    pub(super) fn unblock(&mut self, run_id: RunId) {
        self.waiting.iter_mut().filter(|run| run.run_id == run_id).for_each(|run| run.blocked = false);
    }

    /// Removes and returns the next run that may start.
    pub(super) fn next<'a>(
        &mut self,
        active: impl Iterator<Item = &'a ActiveRun> + Clone,
        limits: &RunLimits<'_>,
    ) -> Option<NewRun> {
        let mut seen = HashSet::new();
        let at = self.waiting.iter().position(|run| {
            let first = seen.insert(run.thread_id);
            first && waits_for(run, active.clone(), limits).is_none()
        })?;
        let mut run = self.waiting.remove(at);
        run.blocked = false;
        // Later runs of the thread wait for it, on other nodes too.
        self.waiting.iter_mut().filter(|other| other.thread_id == run.thread_id).for_each(|other| other.blocked = true);
        Some(run)
    }

    /// Computes all positions, and returns the threads in which one changed since the last call.
    pub(super) fn changed<'a>(
        &mut self,
        active: impl Iterator<Item = &'a ActiveRun> + Clone,
        limits: &RunLimits<'_>,
    ) -> Vec<ThreadId> {
        let mut now: HashMap<ThreadId, Vec<WaitingRun>> = HashMap::new();
        let (mut threads, mut people, mut agents) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (index, run) in (0..).zip(&self.waiting) {
            let of_thread = threads.entry(run.thread_id).or_insert(0_u32);
            let of_person = people.entry(run.requested_by).or_insert(0_u32);
            let of_agent = agents.entry(run.agent.as_str()).or_insert(0_u32);
            let reason = if *of_thread == 0 { waits_for(run, active.clone(), limits) } else { Some(WaitsFor::Thread) };
            let waits_for = reason.unwrap_or(WaitsFor::Server);
            let before = match waits_for {
                WaitsFor::Thread => *of_thread,
                WaitsFor::Person => *of_person,
                WaitsFor::Agent => *of_agent,
                WaitsFor::Server => index,
            };
            [of_thread, of_person, of_agent].into_iter().for_each(|count| *count += 1);
            let waiting = Waiting { run_id: run.run_id, position: before + 1, waits_for };
            let RunOrder { turn, seq } = run.order;
            now.entry(run.thread_id).or_default().push(WaitingRun { turn, seq, waiting });
        }
        let gone = self.positions.keys().filter(|thread| !now.contains_key(thread));
        let other = now
            .iter()
            .filter(|(thread, waiting)| self.positions.get(thread) != Some(waiting))
            .map(|(thread, _)| thread);
        let changed = gone.chain(other).copied().collect();
        self.positions = now;
        changed
    }

    /// The queued runs of a thread, as of the last [`Queue::changed`].
    pub(super) fn of_thread(&self, thread_id: ThreadId) -> Vec<WaitingRun> {
        self.positions.get(&thread_id).cloned().unwrap_or_default()
    }

    /// The threads with queued runs, as of the last [`Queue::changed`].
    pub(super) fn threads(&self) -> Vec<ThreadId> {
        self.positions.keys().copied().collect()
    }

    /// The queued runs.
    pub(super) fn ids(&self) -> Vec<RunId> {
        self.waiting.iter().map(|run| run.run_id).collect()
    }
}

/// Why the first queued run of a thread cannot start; `None` if it can.
fn waits_for<'a>(
    run: &NewRun,
    active: impl Iterator<Item = &'a ActiveRun> + Clone,
    limits: &RunLimits<'_>,
) -> Option<WaitsFor> {
    let count = |is: &dyn Fn(&ActiveRun) -> bool| active.clone().filter(|other| is(other)).count();
    let agent = (limits.of_agent)(&run.agent);
    let own = |other: &ActiveRun| other.agent == run.agent;
    let full = |limit: Option<usize>, count: usize| limit.is_some_and(|limit| count >= limit);
    if run.blocked || count(&|other| other.thread_id == run.thread_id) > 0 {
        return Some(WaitsFor::Thread);
    }
    if count(&|other| other.requested_by == run.requested_by) >= limits.per_user
        || full(agent.max_runs_per_user, count(&|other| own(other) && other.requested_by == run.requested_by))
    {
        return Some(WaitsFor::Person);
    }
    if full(agent.max_runs, count(&own)) {
        return Some(WaitsFor::Agent);
    }
    (count(&|_| true) >= limits.all).then_some(WaitsFor::Server)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
