//! What a person is asked at the end of a run.

use crate::{
    json_size::{Extent, extent},
    protocol::{agui::Interrupt, limits::MAX_DEPTH},
    server::{agents::tools::ToolOutput, runs::guard::MAX_EVENT_BYTES},
};

/// The most that a person is asked at once, in bytes: the event that ends the run holds it, with room for the rest of it.
const MAX_ASKED_BYTES: usize = MAX_EVENT_BYTES * 3 / 4;

/// What a person is asked, within what one event holds.
#[derive(Default)]
pub(super) struct Asks {
    asks: Vec<Interrupt>,
    bytes: usize,
}

impl Asks {
    /// Asks this, too; where it does not fit, answers what the model is told of the call.
    pub(super) fn push(&mut self, ask: Interrupt) -> Result<(), ToolOutput> {
        /// The levels that an event has around a question.
        const AROUND: usize = 4;
        let Extent { bytes, depth } = extent(&ask);
        if depth + AROUND > MAX_DEPTH {
            let text = "Not carried out: a person must allow it, and its arguments are nested too deeply to be shown. Make them flatter.";
            return Err(ToolOutput::failed(text));
        }
        if self.bytes + bytes > MAX_ASKED_BYTES {
            let text = "Not carried out: a person must allow it, and this answer had more to ask them than they can be asked at once. \
                Call it again when the other calls are settled.";
            return Err(ToolOutput::failed(text));
        }
        self.bytes += bytes;
        self.asks.push(ask);
        Ok(())
    }

    /// Asks what one call asks: all of it, or nothing.
    pub(super) fn push_all(&mut self, asks: Vec<Interrupt>) -> Result<(), ToolOutput> {
        let (count, bytes) = (self.asks.len(), self.bytes);
        let all = asks.into_iter().try_for_each(|ask| self.push(ask));
        if all.is_err() {
            self.asks.truncate(count);
            self.bytes = bytes;
            let text = "The tool asked a person more than they can be asked at once, and the call failed. It may have done part of its work.";
            return Err(ToolOutput::failed(text));
        }
        all
    }
    /// What is asked; nothing where no call asks.
    pub(super) fn into_interrupts(self) -> Vec<Interrupt> {
        self.asks
    }
}
