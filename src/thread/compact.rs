//! Compaction: what of a log may go without anything looking different.
//!
//! Entries are read in order, each with its place; out come the places that may go and those that say something else now.
//! Promise: the state folded from what is left is the state folded from all.

use std::collections::HashMap;

use crate::protocol::{
    RunId, ThreadEntry,
    agui::{DeltaKey, Event},
};

/// The longest text that deltas become, in bytes: an entry of the log is read and sent as a whole.
const MAX_JOINED_BYTES: usize = 64 * 1024;

/// Deltas of a thread become one, where no other event of their run is between them.
#[derive(Debug, Default)]
pub struct Compactor {
    open: HashMap<RunId, Vec<(DeltaKey, usize)>>,
    /// The first delta of each, by place, and whether others joined it.
    grown: Vec<(u64, ThreadEntry, bool)>,
    gone: Vec<u64>,
}

impl Compactor {
    /// Reads the next entry.
    pub fn read(&mut self, seq: u64, entry: ThreadEntry) {
        let ThreadEntry::Agent { run_id, event } = &entry else {
            // What people do may concern every run.
            self.open.clear();
            return;
        };
        if concerns_other_runs(event) {
            self.open.retain(|other, _| other == run_id);
        }
        let open = self.open.entry(*run_id).or_default();
        let Some(key) = event.delta_key() else {
            open.clear();
            return;
        };
        let mut event = event.clone();
        if let Some((_, index)) = open.iter().find(|(known, _)| *known == key) {
            let (_, first, joined) = &mut self.grown[*index];
            if let (ThreadEntry::Agent { event: first, .. }, Some(more)) = (first, event.delta_mut())
                && let Some(text) = first.delta_mut()
                && text.len() + more.len() <= MAX_JOINED_BYTES
            {
                text.push_str(more);
                *joined = true;
                self.gone.push(seq);
                return;
            }
        }
        open.retain(|(known, _)| !known.meets(&key));
        open.push((key, self.grown.len()));
        self.grown.push((seq, entry, false));
    }

    /// The places that may go, and what those say from now on that others joined.
    #[must_use]
    pub fn finish(self) -> (Vec<u64>, Vec<(u64, ThreadEntry)>) {
        let grown = self.grown.into_iter().filter(|(_, _, joined)| *joined);
        (self.gone, grown.map(|(seq, entry, _)| (seq, entry)).collect())
    }
}

/// Whether an event may change the calls and words of other runs: a run may announce the call of another again, and its end
/// closes that.
fn concerns_other_runs(event: &Event) -> bool {
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
