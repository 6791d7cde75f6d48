//! The interrupts that end a run, within what one event holds.

use crate::{
    json_size::{Extent, extent},
    protocol::{agui::Interrupt, limits::MAX_DEPTH},
    server::{agents::tools::ToolOutput, runs::guard::MAX_EVENT_BYTES},
};

/// The most bytes of all interrupts of a run, with room for the rest of the event that holds them.
const MAX_INTERRUPT_BYTES: usize = MAX_EVENT_BYTES * 3 / 4;

/// Interrupts for one person at the end of a run.
#[derive(Default)]
pub(super) struct InterruptBatch {
    interrupts: Vec<Interrupt>,
    bytes: usize,
}

impl InterruptBatch {
    /// Adds an interrupt.
    ///
    /// # Errors
    /// The call's result, if the interrupt does not fit.
    pub(super) fn push(&mut self, interrupt: Interrupt) -> Result<(), ToolOutput> {
        /// The levels of an event around an interrupt.
        const EVENT_DEPTH: usize = 4;
        let Extent { bytes, depth } = extent(&interrupt);
        if depth + EVENT_DEPTH > MAX_DEPTH {
            let text = "Not carried out: a person must allow it, and its arguments are nested too deeply to be shown. Make them flatter.";
            return Err(ToolOutput::failed(text));
        }
        if self.bytes + bytes > MAX_INTERRUPT_BYTES {
            let text = "Not carried out: a person must allow it, and this answer has more such calls than can be shown at once. \
                Call it again when the other calls are settled.";
            return Err(ToolOutput::failed(text));
        }
        self.bytes += bytes;
        self.interrupts.push(interrupt);
        Ok(())
    }

    /// Adds all interrupts of one call, or none.
    ///
    /// # Errors
    /// The call's result, if they do not fit.
    pub(super) fn push_all(&mut self, interrupts: Vec<Interrupt>) -> Result<(), ToolOutput> {
        let (count, bytes) = (self.interrupts.len(), self.bytes);
        let all = interrupts.into_iter().try_for_each(|interrupt| self.push(interrupt));
        if all.is_err() {
            self.interrupts.truncate(count);
            self.bytes = bytes;
            let text = "The tool asked a person more than can be shown at once, or questions nested too deeply, \
                and the call failed. It may have done part of its work.";
            return Err(ToolOutput::failed(text));
        }
        all
    }

    /// The interrupts.
    pub(super) fn into_vec(self) -> Vec<Interrupt> {
        self.interrupts
    }
}
