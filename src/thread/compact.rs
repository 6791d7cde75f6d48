//! Compaction of a log: merges deltas without changing the folded state.
//!
//! Reads the entries in order and returns which to delete and which to replace. Guarantee: the compacted log folds into the same state
//! as the whole log.

use std::collections::HashMap;

use crate::protocol::{
    RunId, ThreadEntry,
    agui::{DeltaKey, Event},
};

/// The maximum length of a merged text, in bytes. Limited because an entry is read and sent as a whole.
const MAX_MERGED_BYTES: usize = 64 * 1024;

/// Merges deltas of the same text if no other event of their run is between them.
#[derive(Debug, Default)]
pub struct Compactor {
    /// By run: the deltas that later ones can be merged into, as indices of `first_deltas`.
    open: HashMap<RunId, Vec<(DeltaKey, usize)>>,
    /// Deltas with their `seq`, and whether others were merged into them.
    first_deltas: Vec<(u64, ThreadEntry, bool)>,
    /// The `seq` of the deltas that were merged into others.
    merged: Vec<u64>,
}

impl Compactor {
    /// Reads the next entry of the log.
    pub fn read(&mut self, seq: u64, entry: ThreadEntry) {
        let ThreadEntry::Agent { run_id, event } = &entry else {
            // An entry of a person may affect every run.
            self.open.clear();
            return;
        };
        if may_affect_other_runs(event) {
            self.open.retain(|other, _| other == run_id);
        }
        let open = self.open.entry(*run_id).or_default();
        let Some(key) = event.delta_key() else {
            open.clear();
            return;
        };
        let mut event = event.clone();
        if let Some((_, index)) = open.iter().find(|(known, _)| *known == key) {
            let (_, first, was_extended) = &mut self.first_deltas[*index];
            if let (ThreadEntry::Agent { event: first, .. }, Some(more)) = (first, event.delta_mut())
                && let Some(text) = first.delta_mut()
                && text.len() + more.len() <= MAX_MERGED_BYTES
            {
                text.push_str(more);
                *was_extended = true;
                self.merged.push(seq);
                return;
            }
        }
        open.retain(|(known, _)| !known.has_same_text(&key));
        open.push((key, self.first_deltas.len()));
        self.first_deltas.push((seq, entry, false));
    }

    /// The `seq` of the entries to delete, and the entries to replace, by `seq`.
    #[must_use]
    pub fn finish(self) -> (Vec<u64>, Vec<(u64, ThreadEntry)>) {
        let extended = self.first_deltas.into_iter().filter(|(_, _, was_extended)| *was_extended);
        (self.merged, extended.map(|(seq, entry, _)| (seq, entry)).collect())
    }
}

/// Whether an event may change the calls and texts of other runs: a run may announce a call of another one again, and closes it at
/// its end.
fn may_affect_other_runs(event: &Event) -> bool {
    matches!(
        event,
        Event::RunFinished(_)
            | Event::RunError(_)
            | Event::MessagesSnapshot(_)
            | Event::ReasoningEncryptedValue(_)
            | Event::ToolCallStart(_)
            | Event::ToolCallArgs(_)
            | Event::ToolCallEnd(_)
            | Event::ToolCallChunk(_)
            | Event::ToolCallResult(_)
    )
}
