//! How a run ends, from what its agent returned, within the limits of a log entry.

use std::{any::Any, collections::HashSet};

use serde::Serialize;

use crate::{
    json_size::{Extent, extent},
    protocol::{
        agui::{Base, Interrupt, RunError},
        extensions::SERVER_RESTARTED,
        limits::MAX_DEPTH,
    },
    server::runs::{Done, Outcome, guard::MAX_EVENT_BYTES},
    thread::{EndKind, RunEnd},
};

/// Checks that an agent's interrupts have distinct ids, which answers refer to, and replaces reasons that are reserved for the server.
///
/// # Errors
/// An id that occurs twice.
pub(super) fn check_interrupts(mut interrupts: Vec<Interrupt>) -> Result<Vec<Interrupt>, String> {
    let mut ids = HashSet::new();
    for interrupt in &mut interrupts {
        if !ids.insert(interrupt.id.clone()) {
            return Err(interrupt.id.clone());
        }
        // Reserved: it marks runs that the server itself ended.
        if interrupt.reason == SERVER_RESTARTED {
            interrupt.reason = "agent_restarted".into();
        }
    }
    Ok(interrupts)
}

/// Whether the end of a run fits into a log entry.
pub(super) fn fits(done: &Done) -> bool {
    let interrupts = if let Outcome::Interrupt(interrupts) = &done.outcome { interrupts.as_slice() } else { &[] };
    is_small(&(&done.result, interrupts, &done.metadata, &done.base))
}

fn is_small(value: &impl Serialize) -> bool {
    let Extent { bytes, depth } = extent(value);
    bytes <= MAX_EVENT_BYTES && depth <= MAX_DEPTH
}

/// The end of a run that failed with a remote agent's `RUN_ERROR`. Its other fields are kept if they fit.
pub(super) fn from_run_error(error: RunError) -> RunEnd {
    let RunError { message, code, usage, base } = error;
    let mut base = if is_small(&base) { base } else { Base::default() };
    let (usage, metadata) = (usage.unwrap_or_default(), base.metadata.take());
    RunEnd { usage, metadata, base, ..failed(&code.unwrap_or_else(|| "agent_error".into()), message) }
}

/// A failed end of a run. Message and code are shortened to their limits; a shortened one ends with `…`.
pub(in super::super) fn failed(code: &str, message: impl Into<String>) -> RunEnd {
    const MAX_MESSAGE_CHARS: usize = 2_000;
    const MAX_CODE_CHARS: usize = 64;
    let (message, code) = (shortened(message.into(), MAX_MESSAGE_CHARS), shortened(code.to_owned(), MAX_CODE_CHARS));
    EndKind::Failed { message, code }.into()
}

fn shortened(mut text: String, max: usize) -> String {
    if text.chars().nth(max).is_some() {
        let end = text.char_indices().nth(max - 1).map_or(0, |(end, _)| end);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The message of a panic, for the log.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shortened_and_marked() {
        assert_eq!(shortened("ä".repeat(64), 64), "ä".repeat(64));
        assert_eq!(shortened("ä".repeat(65), 64), "ä".repeat(63) + "…");
    }
}
