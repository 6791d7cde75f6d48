//! How a run ends by what its agent returned, within what its log can hold.

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

/// What an agent asks, with reasons of its own; or an id that two of the questions have: an answer names one of them.
pub(super) fn own_interrupts(mut interrupts: Vec<Interrupt>) -> Result<Vec<Interrupt>, String> {
    let mut ids = HashSet::new();
    for asked in &mut interrupts {
        if !ids.insert(asked.id.clone()) {
            return Err(asked.id.clone());
        }
        // Says that the server itself ended the run.
        if asked.reason == SERVER_RESTARTED {
            asked.reason = "agent_restarted".into();
        }
    }
    Ok(interrupts)
}

/// Whether the log can hold what a run ends with.
pub(super) fn fits(done: &Done) -> bool {
    let interrupts = if let Outcome::Interrupt(interrupts) = &done.outcome { interrupts.as_slice() } else { &[] };
    is_small(&(&done.result, interrupts, &done.metadata, &done.base))
}

fn is_small(value: &impl Serialize) -> bool {
    let Extent { bytes, depth } = extent(value);
    bytes <= MAX_EVENT_BYTES && depth <= MAX_DEPTH
}

/// An ending by failure in another's words; what more they say goes along as far as the log can hold it.
pub(super) fn told(error: RunError) -> RunEnd {
    let RunError { message, code, usage, base } = error;
    let mut base = if is_small(&base) { base } else { Base::default() };
    let (usage, metadata) = (usage.unwrap_or_default(), base.metadata.take());
    RunEnd { usage, metadata, base, ..failed(&code.unwrap_or_else(|| "agent_error".into()), message) }
}

/// An ending by failure, its sentence and its code bounded; one that was cut ends with `…`.
pub(in super::super) fn failed(code: &str, message: impl Into<String>) -> RunEnd {
    /// The longest sentence and the longest code that a run ends with, in characters.
    const MAX: (usize, usize) = (2_000, 64);
    EndKind::Failed { message: shortened(message.into(), MAX.0), code: shortened(code.to_owned(), MAX.1) }.into()
}

fn shortened(mut text: String, max: usize) -> String {
    if text.chars().nth(max).is_some() {
        let end = text.char_indices().nth(max - 1).map_or(0, |(end, _)| end);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What a panic said, for the log.
pub(super) fn cause(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        assert_eq!(shortened("ä".repeat(64), 64), "ä".repeat(64));
        assert_eq!(shortened("ä".repeat(65), 64), "ä".repeat(63) + "…");
    }
}
