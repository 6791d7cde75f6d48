//! The state that an agent shares with its front end, through the runs of a branch.
//!
//! Promises: a run that says nothing of it leaves it as it was. A large one is held once, with the run that told it whole; later
//! runs keep only their deltas, and the state is the last whole one with all deltas after it. So a thread is as large as what was
//! said in it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::patch;
use crate::protocol::{Item, RunId, RunView, ThreadView};

/// From here on a state is large, in bytes with [`patch::VALUE_SIZE`] for each value: it is not copied into each run that
/// changes it.
const LARGE: usize = 64 * 1024;

impl ThreadView {
    /// The shared state that a run began with: what the run before it on its branch ended with.
    #[must_use]
    pub fn state_before(&self, run_id: RunId) -> Option<Arc<Value>> {
        changed(&self.runs_before(run_id))
    }

    /// The shared state that a run begins with which answers the next message.
    #[must_use]
    pub fn state(&self) -> Option<Arc<Value>> {
        let runs = self.path(None).into_iter().filter_map(|item| match item {
            Item::Run(run) => Some(&**run),
            Item::Message(_) => None,
        });
        changed(&runs.collect::<Vec<_>>())
    }

    /// Gives runs the states that they have in a thread with more of the past: what is no longer kept may have told them. Answers
    /// whether one had another.
    pub fn restore_states_from(&mut self, before: &Self) -> bool {
        let runs = self.runs().map(|run| run.run_id);
        let mut had_other = false;
        for run_id in runs.collect::<Vec<_>>() {
            let state = before.state_of(run_id);
            if before.run(run_id).is_some() && state != self.state_of(run_id) {
                let run = self.run_mut(run_id, 0);
                run.shared = state;
                run.shared_changes.clear();
                had_other = true;
            }
        }
        had_other
    }

    /// The shared state as a run leaves it by now.
    #[must_use]
    pub fn state_of(&self, run_id: RunId) -> Option<Arc<Value>> {
        let mut runs = self.runs_before(run_id);
        runs.extend(self.run(run_id));
        changed(&runs)
    }

    /// A run is about to change the state: where it is small, the run gets one of its own.
    pub(super) fn begin_state(&mut self, run_id: RunId, at: i64) {
        let run = self.run_mut(run_id, at);
        if run.shared.is_some() || !run.shared_changes.is_empty() {
            return;
        }
        let before = self.runs_before(run_id);
        let told = before.iter().rev().find_map(|run| run.shared.as_ref());
        if told.is_some_and(|told| patch::is_larger(told, LARGE)) {
            return;
        }
        let state = changed(&before).unwrap_or_else(|| Arc::new(Value::Object(Map::new())));
        self.run_mut(run_id, at).shared = Some(state);
    }
}

impl RunView {
    pub(super) fn tell_state(&mut self, state: Value) {
        self.shared = Some(Arc::new(state));
        self.shared_changes.clear();
    }

    pub(super) fn change_state(&mut self, delta: Vec<Value>) {
        match &mut self.shared {
            Some(state) => {
                patch::apply(Arc::make_mut(state), delta);
            }
            None => self.shared_changes.push(Arc::new(delta)),
        }
    }
}

/// What these runs of a branch, the oldest first, made of the state.
fn changed(runs: &[&RunView]) -> Option<Arc<Value>> {
    let told = runs.iter().rposition(|run| run.shared.is_some());
    let later = &runs[told.map_or(0, |told| told + 1)..];
    let mut state = told.and_then(|told| runs[told].shared.clone());
    if later.iter().any(|run| !run.shared_changes.is_empty()) {
        let state = state.get_or_insert_with(|| Arc::new(Value::Object(Map::new())));
        let deltas = later.iter().flat_map(|run| &run.shared_changes);
        patch::apply_all(Arc::make_mut(state), deltas.map(|delta| &**delta));
    }
    state
}
