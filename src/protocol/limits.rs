//! Bounds that both sides of the wire know. Those a server may configure are its defaults here.

/// The longest text of one message, in bytes. Kept under [`MAX_FRAME_BYTES`] with room for JSON's escapes.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024;
/// The shortest password that somebody may choose, in characters.
pub const MIN_PASSWORD_CHARS: usize = 10;
/// The longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;
/// The longest title of a thread, in characters.
pub const MAX_TITLE_CHARS: usize = 200;
/// The most attachments one message may name.
pub const MAX_ATTACHMENTS: usize = 8;
/// The longest id of an agent, in bytes.
pub const MAX_AGENT_ID_BYTES: usize = 64;
/// The largest frame a client may send, in bytes, unless the server says otherwise in `welcome`.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// The largest integer that JSON carries exactly everywhere: command ids lie within plus and minus this.
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;
/// Milliseconds between heartbeats, unless the server says otherwise.
pub const HEARTBEAT_MS: u64 = 25_000;
/// Milliseconds an unanswered heartbeat may take before the connection counts as dead.
pub const HEARTBEAT_TIMEOUT_MS: u64 = 10_000;
/// How many subscriptions one connection may hold.
pub const MAX_SUBSCRIPTIONS: usize = 64;
/// How many threads a page begins with, and how many more it asks for at once.
pub const FEED_PAGE: u32 = 50;
/// How many threads one call answers at most.
pub const MAX_FEED_PAGE: u32 = 200;
/// The largest file a thread takes, in bytes.
pub const MAX_FILE_BYTES: u64 = 100 * 1024 * 1024;
/// The most bytes of what a calling program calls a thread, a run or a message.
pub const MAX_EXTERNAL_ID_BYTES: usize = 256;
/// The most bytes of a result that a caller gives for a call of its own tools.
pub const MAX_RESULT_BYTES: usize = 64 * 1024;
/// How deep JSON may be nested that others write into a log: readers stop at 127, and what is around it counts, too.
pub const MAX_DEPTH: usize = 64;
