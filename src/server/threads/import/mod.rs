//! Importing conversations: from Netra's own exports (JSON Lines), and from those of Open WebUI, LibreChat and ChatGPT.
//!
//! [`read_export`] reads a file, whatever its bytes are, within bounds; [`import`] stores a conversation. A conversation has the same
//! thread id whenever it is imported by the same person, so nothing is imported twice.

mod formats;
mod own;
mod store;
#[cfg(test)]
mod tests;
mod tree;

use std::io::{Cursor, Read};

pub use store::{Imported, import};

use crate::protocol::http::ImportFormat;

/// The most conversations of a file.
const MAX_CONVERSATIONS: usize = 20_000;
/// The most messages of a conversation.
const MAX_MESSAGES: usize = 10_000;
/// The most bytes of one text; the rest is left out.
const MAX_TEXT_BYTES: usize = 256 * 1024;
/// The most bytes of one conversation's texts.
const MAX_CONVERSATION_BYTES: usize = 16 * 1024 * 1024;
/// The file of an archive that has the conversations.
const CONVERSATIONS: &str = "conversations.json";

/// What a file has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its format.
    pub format: ImportFormat,
    /// The conversations that have messages.
    pub conversations: Vec<Conversation>,
    /// How many have none, and are left out.
    pub empty: usize,
    /// How many parts of messages are left out: files, images, tool calls, and texts beyond the bounds.
    pub omitted: usize,
}

/// A conversation as a tree of questions, each with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its id in the file.
    pub source_id: String,
    /// Its title; empty if it has none.
    pub title: String,
    /// When it was created, in milliseconds since 1970; `None` if the file does not say.
    pub created_at: Option<i64>,
    /// The turns, each after the one that it follows; the last one is of the branch that was shown last.
    turns: Vec<Turn>,
}

/// A question and its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Turn {
    /// The turn that it follows.
    after: Option<usize>,
    /// The turn of which it is another version.
    replaces: Option<usize>,
    question: String,
    answer: String,
    /// When the question was asked, in milliseconds since 1970.
    at: Option<i64>,
}

/// Reads an export: JSON, JSON Lines, or a ZIP archive with `conversations.json`. `max_bytes` bounds what an archive expands to.
///
/// # Errors
/// Why it cannot be read and where in the file, as a message for the user.
pub fn read_export(bytes: &[u8], max_bytes: u64) -> Result<Export, String> {
    if bytes.starts_with(b"PK\x03\x04") {
        return read_text(&unpack(bytes, max_bytes)?);
    }
    read_text(bytes)
}

/// The conversations in an archive.
fn unpack(bytes: &[u8], max_bytes: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: zip::result::ZipError| format!("the ZIP archive cannot be read: {error}");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
    let is_conversations = |name: &&str| *name == CONVERSATIONS || name.ends_with(&format!("/{CONVERSATIONS}"));
    let name = archive.file_names().find(is_conversations).map(str::to_owned);
    let name = name.ok_or_else(|| format!("the ZIP archive has no file `{CONVERSATIONS}`"))?;
    let file = archive.by_name(&name).map_err(unreadable)?;
    let mut text = Vec::new();
    let read = file.take(max_bytes.saturating_add(1)).read_to_end(&mut text);
    read.map_err(|error| format!("`{name}` in the ZIP archive cannot be read: {error}"))?;
    if text.len() as u64 > max_bytes {
        return Err(format!("`{name}` in the ZIP archive has more than {max_bytes} bytes"));
    }
    Ok(text)
}

fn read_text(bytes: &[u8]) -> Result<Export, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("the file is not UTF-8 text; see byte {}", error.valid_up_to()))?;
    if own::is_own(text) { own::read(text) } else { formats::read(text) }
}

/// A text within its bounds, and how much was left out: 0 or 1.
fn bounded(text: String) -> (String, usize) {
    if text.len() <= MAX_TEXT_BYTES {
        return (text, 0);
    }
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    (text[..end].to_owned(), 1)
}
