//! The files of a conversation, for agents that receive files: their types, and their bytes within limits.
//!
//! No file is left out silently: one that is not sent is described, with the reason.

use std::{io, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{fs::File, io::AsyncReadExt};

use crate::server::runs::{InputFile, RunInput};
use crate::{
    protocol::{MessageId, agui::Message},
    thread::Item,
};

/// How much of a file is read to detect its type.
const HEAD_BYTES: u64 = 4 * 1024;

/// File types of usage logs, as in the `accept` attribute of a file input.
pub(super) const LOGS: [&str; 10] = [
    ".csv",
    ".tsv",
    ".jsonl",
    ".ndjson",
    ".json",
    ".txt",
    "text/csv",
    "text/plain",
    "application/json",
    "application/x-ndjson",
];
/// File types of packed usage logs and workbooks, which only the analyst can open.
pub(super) const PACKED_LOGS: [&str; 6] = [
    ".gz",
    ".zip",
    ".xlsx",
    "application/gzip",
    "application/zip",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
];
/// Other text files.
pub(super) const TEXTS: [&str; 8] = ["text/*", ".md", ".txt", ".log", ".xml", ".yaml", ".yml", ".toml"];
/// Images that are sent to models.
pub(super) const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// Documents that are sent to models.
pub(super) const PDFS: [&str; 2] = ["application/pdf", ".pdf"];

/// The most bytes of files in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Of each file.
    pub(super) per_file: u64,
    /// Of all files together.
    pub(super) total: u64,
}

/// A file of a conversation.
#[derive(Debug, Clone)]
pub(super) struct AttachedFile {
    /// The message that it belongs to.
    pub(super) message: String,
    pub(super) file: InputFile,
}

impl RunInput {
    /// The files of a conversation's messages, the newest message first. Input files that no message of the thread names belong to
    /// the newest message.
    pub(super) fn attached_files(&self, history: &[Message]) -> Vec<AttachedFile> {
        let ids = history.iter().rev().filter_map(|message| match message {
            Message::User { id, .. } => Some(id),
            _ => None,
        });
        let mut all = Vec::new();
        for (index, id) in ids.enumerate() {
            let message = id.parse::<MessageId>().ok().and_then(|id| self.thread.message(id));
            let named = message.map(|item| item.message.attachments.as_slice()).unwrap_or_default();
            let named = named.iter().map(|attachment| InputFile {
                path: self.folder.join(attachment.file_id.to_string()),
                attachment: attachment.clone(),
            });
            let unnamed = self.files.iter().filter(|file| index == 0 && !self.is_named(file)).cloned();
            all.extend(named.chain(unnamed).map(|file| AttachedFile { message: id.clone(), file }));
        }
        all
    }

    fn is_named(&self, file: &InputFile) -> bool {
        let named = self.thread.items.iter().filter_map(|item| match item {
            Item::Message(item) => Some(&item.message.attachments),
            Item::Run(_) => None,
        });
        named.flatten().any(|attachment| attachment.file_id == file.attachment.file_id)
    }
}

/// The bytes that are left for further files of a request.
#[derive(Debug)]
pub(super) struct Budget {
    bounds: Bounds,
    left: u64,
}

impl Budget {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self { bounds, left: bounds.total }
    }

    /// Subtracts a file's bytes.
    ///
    /// # Errors
    /// The reason why it does not fit, as a clause that can follow `because`.
    pub(super) fn take(&mut self, file: &InputFile) -> Result<(), String> {
        let Bounds { per_file, total } = self.bounds;
        let bytes = file.attachment.bytes;
        if bytes > per_file {
            return Err(format!("it has more than the {per_file} bytes that one file may have"));
        }
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            format!("the files of one request have at most {total} bytes together, and the newest come first")
        })?;
        Ok(())
    }
}

/// The first bytes of a file, and its type.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    pub(super) mime_type: String,
}

impl Head {
    /// Reads the start of a file. A file that cannot be read counts as empty.
    pub(super) async fn read(file: &InputFile) -> Self {
        let bytes = read_start(&file.path, HEAD_BYTES).await.unwrap_or_default();
        Self { mime_type: mime_type(&file.attachment.name, &bytes), bytes }
    }

    /// Whether the first bytes are text.
    pub(super) fn is_text(&self) -> bool {
        is_text(&self.bytes)
    }
}

/// Reads at most `max` bytes from the start of a file.
///
/// # Errors
/// If the file cannot be read.
pub(super) async fn read_start(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).await?.take(max).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// A file's bytes in base64.
///
/// # Errors
/// The reason why it cannot be read, as a clause that can follow `because`.
pub(super) async fn base64(file: &InputFile) -> Result<String, String> {
    match read_start(&file.path, file.attachment.bytes).await {
        Ok(bytes) => Ok(BASE64_STANDARD.encode(bytes)),
        Err(error) => {
            tracing::warn!(%error, file = %file.attachment.file_id, "a message's file cannot be read");
            Err("it is not there any more".into())
        }
    }
}

/// Describes a file for people and models: `photo.png, image/png, 1234 bytes`.
pub(super) fn describe(file: &InputFile, mime_type: &str) -> String {
    let name: String = file.attachment.name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{name}, {mime_type}, {} bytes", file.attachment.bytes)
}

/// Types that receivers rely on, and the bytes with which their files start.
const SIGNATURES: [(&str, &[u8]); 4] = [
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF8"),
    ("application/pdf", b"%PDF-"),
];

/// The type of a file: by its first bytes, else by its name.
fn mime_type(name: &str, head: &[u8]) -> String {
    if let Some((known, _)) = SIGNATURES.iter().find(|(_, signature)| head.starts_with(signature)) {
        return (*known).into();
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return "image/webp".into();
    }
    let guess = mime_guess::from_path(name).first_raw().unwrap_or_default();
    let (text, kind) = (is_text(head), guess.split('/').next().unwrap_or_default());
    let is_plausible = match kind {
        "" => false,
        "text" => text,
        "application" => guess != "application/pdf",
        // Images, audio and video are not text, except `image/svg+xml`.
        _ => {
            text == guess.ends_with("xml")
                && guess != "image/webp"
                && SIGNATURES.iter().all(|(known, _)| *known != guess)
        }
    };
    match (is_plausible, text && !head.is_empty()) {
        (true, _) => guess.into(),
        (false, true) => "text/plain".into(),
        (false, false) => "application/octet-stream".into(),
    }
}

/// Whether these first bytes of a file are text in UTF-8; the last character may be cut off.
fn is_text(head: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    is_utf8 && !head.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_file_follows_from_its_first_bytes_or_else_from_its_name() {
        for (name, head, expected) in [
            ("photo.png", &b"\x89PNG\r\n\x1a\n\x00"[..], "image/png"),
            ("photo.png", b"\xff\xd8\xff\xe0", "image/jpeg"),
            ("photo.png", b"no image", "text/plain"),
            ("photo.jpg", b"\x00\x01\x02", "application/octet-stream"),
            ("drawing.svg", b"<svg/>", "image/svg+xml"),
            ("anything", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
            ("report", b"%PDF-1.7", "application/pdf"),
            ("report.pdf", b"<html>", "text/plain"),
            ("log.csv", b"a,b\n1,2\n", "text/csv"),
            ("log.csv", b"\x00\x01", "application/octet-stream"),
            ("log.json", b"{}", "application/json"),
            ("program.ts", b"const a = 1;", "text/plain"),
            ("sound.mp3", b"ID3\x04\x00", "audio/mpeg"),
            ("notes", "é".as_bytes(), "text/plain"),
            ("notes", &"é".as_bytes()[..1], "text/plain"),
            ("empty", b"", "application/octet-stream"),
        ] {
            assert_eq!(mime_type(name, head), expected, "{name}");
        }
    }
}
