//! Limits of the protocol. For those that a server can configure, these are the defaults.

/// The most links with which anybody can read a thread, per thread.
pub const MAX_SHARE_LINKS: usize = 20;
/// The most members of a thread, besides its owner.
pub const MAX_MEMBERS: usize = 50;
/// The most users that `GET /api/people` returns.
pub const MAX_PEOPLE: usize = 20;
/// The maximum length of a message's text, in bytes. Below [`MAX_FRAME_BYTES`], with room for JSON escapes.
pub const MAX_MESSAGE_BYTES: usize = 32 * 1024;
/// The minimum length of a new password, in characters.
pub const MIN_PASSWORD_CHARS: usize = 10;
/// The maximum length of a password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;
/// The maximum length of a thread's title, in characters.
pub const MAX_TITLE_CHARS: usize = 200;
/// The maximum length of a tag's name, in characters.
pub const MAX_TAG_CHARS: usize = 40;
/// The maximum number of tags of a thread.
pub const MAX_TAGS_PER_THREAD: usize = 20;
/// The maximum number of tags of a person.
pub const MAX_TAGS: usize = 200;
/// The maximum number of threads of the command `tag_threads`.
pub const MAX_TAGGED_AT_ONCE: usize = 100;
/// The maximum length of a prompt's name, in characters.
pub const MAX_PROMPT_NAME_CHARS: usize = 60;
/// The maximum length of a prompt's text, in bytes.
pub const MAX_PROMPT_BYTES: usize = 16 * 1024;
/// The maximum number of prompts of a user.
pub const MAX_PROMPTS: usize = 200;
/// The default `limit` of `GET /api/prompts`.
pub const PROMPTS_PAGE: u32 = 50;
/// The maximum `limit` of `GET /api/prompts`.
pub const MAX_PROMPTS_PAGE: u32 = 200;
/// The maximum size of a file of conversations to import, in bytes, and of what it expands to.
pub const MAX_IMPORT_BYTES: usize = 64 * 1024 * 1024;
/// How many conversations one request imports.
pub const IMPORT_STEP: usize = 500;
/// The maximum length of the note of a feedback, in bytes.
pub const MAX_FEEDBACK_NOTE_BYTES: usize = 4 * 1024;
/// The maximum number of attachments of a message.
pub const MAX_ATTACHMENTS: usize = 8;
/// The maximum length of an agent's id, in bytes.
pub const MAX_AGENT_ID_BYTES: usize = 64;
/// The maximum size of a client's frame, in bytes, unless `welcome` gives another limit.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;
/// The largest integer that every JSON implementation represents exactly; command ids lie within ± this value.
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;
/// The heartbeat interval in milliseconds, unless `welcome` gives another.
pub const HEARTBEAT_MS: u64 = 25_000;
/// How long a heartbeat may stay unanswered before the connection counts as dead, in milliseconds.
pub const HEARTBEAT_TIMEOUT_MS: u64 = 10_000;
/// The maximum number of subscriptions of a connection.
pub const MAX_SUBSCRIPTIONS: usize = 64;
/// How many threads the page shows first, and how many more it fetches at a time.
pub const FEED_PAGE: u32 = 50;
/// The maximum `limit` of `GET /api/threads`.
pub const MAX_FEED_PAGE: u32 = 200;
/// The default and maximum `limit` of `GET /api/inbox`.
pub const INBOX_PAGE: u32 = 50;
/// The default `limit` of `GET /api/search`.
pub const SEARCH_PAGE: u32 = 20;
/// The maximum `limit` of `GET /api/search`.
pub const MAX_SEARCH_PAGE: u32 = 50;
/// The default `limit` of `GET /api/runs/<run_id>/entries`.
pub const RUN_ENTRIES_PAGE: u32 = 500;
/// The maximum `limit` of `GET /api/runs/<run_id>/entries`.
pub const MAX_RUN_ENTRIES_PAGE: u32 = 1_000;
/// The maximum length of the query of `GET /api/search`, in characters.
pub const MAX_SEARCH_CHARS: usize = 200;
/// The maximum size of an uploaded file, in bytes.
pub const MAX_FILE_BYTES: u64 = 100 * 1024 * 1024;
/// The maximum length of a calling program's own id of a thread, run or message, in bytes.
pub const MAX_EXTERNAL_ID_BYTES: usize = 256;
/// The maximum length of the result of a client's tool call, in bytes.
pub const MAX_RESULT_BYTES: usize = 64 * 1024;
/// How deep JSON from agents and clients may be nested. Parsers stop at 127 levels, which include the frame around it.
pub const MAX_DEPTH: usize = 64;
