//! The conversation before a run that continues another.

use serde_json::{Value, json};

use crate::{
    protocol::{RunId, agui::Message},
    thread::{RunState, ThreadView},
};

/// The conversation before a run in which calls of an earlier run get their results: a caller that reads only the events of
/// this run needs the calls, too.
pub(super) struct History {
    calls: Vec<String>,
    messages: Vec<Message>,
}

impl History {
    /// The conversation before a run; nothing unless the run that it continues waited for calls.
    pub(super) fn before(view: &ThreadView, run: RunId) -> Option<Self> {
        let RunState::Interrupted { interrupts } = &view.run(view.run(run)?.resumes?)?.state else { return None };
        let calls: Vec<String> = interrupts.iter().filter_map(|interrupt| interrupt.tool_call_id.clone()).collect();
        let mut messages = view.history(run);
        // The results are events of the run itself, also if it is streamed again.
        messages
            .retain(|message| !matches!(message, Message::Tool { tool_call_id, .. } if calls.contains(tool_call_id)));
        Some(Self { calls, messages }).filter(|history| !history.calls.is_empty())
    }

    /// A `MESSAGES_SNAPSHOT`: the caller's own messages (`theirs`) if they have the calls, else those of the thread.
    pub(super) fn snapshot(self, known: &[Message], theirs: impl FnOnce() -> Value) -> Value {
        let is_known = |call: &String| {
            known.iter().any(|message| match message {
                Message::Assistant { tool_calls: Some(calls), .. } => calls.iter().any(|known| known.id == *call),
                _ => false,
            })
        };
        let messages = if self.calls.iter().all(is_known) { theirs() } else { json!(self.messages) };
        json!({"type": "MESSAGES_SNAPSHOT", "messages": messages})
    }
}
