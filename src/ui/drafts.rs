//! Drafts: what was written and not sent, remembered for as long as the tab lives.

use super::browser;
use crate::protocol::{ThreadId, UserId};

/// Where the draft for a thread, or for a new one, is remembered: nobody finds one of somebody else.
pub(crate) fn key(user: UserId, thread: Option<ThreadId>) -> String {
    format!("netra.draft.{user}.{}", thread.map_or_else(|| "new".into(), |id| id.to_string()))
}

/// Makes what could not be sent a draft again, after what was begun meanwhile.
pub(crate) fn give_back(user: UserId, thread: Option<ThreadId>, text: &str) {
    let key = key(user, thread);
    let begun = browser::remembered(&key).map(|begun| begun + "\n\n").unwrap_or_default();
    browser::remember(&key, &(begun + text));
}
