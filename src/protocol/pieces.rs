//! Texts that are longer than an entry of the log: they stand in several entries, each with a piece.
//!
//! A long text of a state takes several `STATE_DELTA`s: the operation that sets it has the first piece and [`BEGINS`]; each later
//! piece is alone in its delta and has [`CONTINUES`]. Of a tool's result, the metadata of `TOOL_CALL_RESULT` has the same marks. The
//! last piece is marked [`LAST`], those between [`MORE`]. The reducer puts them together; callers of AG-UI are told the whole text.
//! A conversation that an agent restates has no room for long results, either: those that are known are marked [`KNOWN`].

use serde_json::Value;

/// The field of the first piece.
pub const BEGINS: &str = "netraBegins";
/// The field of the pieces that follow.
pub const CONTINUES: &str = "netraContinues";
/// The value of [`CONTINUES`] where another piece follows.
pub const MORE: &str = "more";
/// The value of [`CONTINUES`] of the last piece.
pub const LAST: &str = "last";

/// Marks a tool's message in a restated conversation: its content is left out, since the thread has the result of its call already.
pub const KNOWN: &str = "netraKnown";

/// Marks, in their metadata, the events by which a run takes over the state that its caller gave: they are not told to that caller.
pub const GIVEN: &str = "netraGiven";

/// The path and the text of a delta that continues a text.
#[must_use]
pub fn continued(delta: &[Value]) -> Option<(&str, &str)> {
    match delta {
        [only] if only.get(CONTINUES).is_some() => Some((only["path"].as_str()?, only["value"].as_str()?)),
        _ => None,
    }
}
