//! The state that an agent shares with its front end, across the runs of a branch.
//!
//! Guarantees: a run without state events leaves the state unchanged. A large state is stored once, in the run that set it; later runs
//! store only their deltas, and the current state is the last complete one with all later deltas applied. So the size of a thread's
//! view is bounded by the size of its events.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::patch;
use crate::protocol::{Item, RunId, RunView, ThreadView};

/// A larger state is not copied into each run that changes it. In bytes, as `patch` measures sizes.
const MAX_COPIED_BYTES: usize = 64 * 1024;

impl ThreadView {
    /// The shared state with which a run began: that at the end of the run before it on its branch.
    #[must_use]
    pub fn state_before(&self, run_id: RunId) -> Option<Arc<Value>> {
        fold_state(&self.runs_before(run_id))
    }

    /// The shared state of the newest branch, with which the next run begins.
    #[must_use]
    pub fn state(&self) -> Option<Arc<Value>> {
        let runs = self.path(None).into_iter().filter_map(|item| match item {
            Item::Run(run) => Some(&**run),
            Item::Message(_) => None,
        });
        fold_state(&runs.collect::<Vec<_>>())
    }

    /// After trimming: gives each run the state that it has in `before`, the view of the whole log, since a trimmed run may have set
    /// it. Returns whether a state changed.
    pub fn restore_states_from(&mut self, before: &Self) -> bool {
        let runs = self.runs().map(|run| run.run_id);
        let mut has_changed = false;
        for run_id in runs.collect::<Vec<_>>() {
            let state = before.state_of(run_id);
            if before.run(run_id).is_some() && state != self.state_of(run_id) {
                let run = self.run_mut(run_id, 0);
                run.shared = state;
                run.shared_changes.clear();
                has_changed = true;
            }
        }
        has_changed
    }

    /// The shared state after a run's events so far.
    #[must_use]
    pub fn state_of(&self, run_id: RunId) -> Option<Arc<Value>> {
        let mut runs = self.runs_before(run_id);
        runs.extend(self.run(run_id));
        fold_state(&runs)
    }

    /// Called before a run's first delta: copies a small state into the run, which then changes its copy.
    pub(super) fn begin_state(&mut self, run_id: RunId, at: i64) {
        let run = self.run_mut(run_id, at);
        if run.shared.is_some() || !run.shared_changes.is_empty() {
            return;
        }
        let before = self.runs_before(run_id);
        let last_set = before.iter().rev().find_map(|run| run.shared.as_ref());
        if last_set.is_some_and(|state| patch::is_larger(state, MAX_COPIED_BYTES)) {
            return;
        }
        let state = fold_state(&before).unwrap_or_else(|| Arc::new(Value::Object(Map::new())));
        self.run_mut(run_id, at).shared = Some(state);
    }
}

impl RunView {
    pub(super) fn set_state(&mut self, state: Value) {
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

/// The state after these runs of a branch, oldest first.
fn fold_state(runs: &[&RunView]) -> Option<Arc<Value>> {
    let last_set = runs.iter().rposition(|run| run.shared.is_some());
    let later = &runs[last_set.map_or(0, |index| index + 1)..];
    let mut state = last_set.and_then(|index| runs[index].shared.clone());
    if later.iter().any(|run| !run.shared_changes.is_empty()) {
        let state = state.get_or_insert_with(|| Arc::new(Value::Object(Map::new())));
        let deltas = later.iter().flat_map(|run| &run.shared_changes);
        patch::apply_all(Arc::make_mut(state), deltas.map(|delta| &**delta));
    }
    state
}
