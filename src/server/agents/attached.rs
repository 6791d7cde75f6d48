//! The files of a conversation, for agents that are given them: which there are, what they are, and their bytes within bounds.
//!
//! Promises: no file is passed over. What is not given is named, with its type, its size and why.

use std::{io, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{fs::File, io::AsyncReadExt};

use crate::server::runs::{InputFile, RunInput};
use crate::{
    protocol::{MessageId, agui::Message},
    thread::Item,
};

/// How much of a file tells what it is.
const HEAD_BYTES: u64 = 4 * 1024;

/// Usage logs, as a file input's `accept` names them.
pub(super) const LOGS: [&str; 7] = [".csv", ".tsv", ".jsonl", ".ndjson", ".json", "text/csv", "application/x-ndjson"];
/// Text beside them.
pub(super) const TEXTS: [&str; 8] = ["text/*", ".md", ".txt", ".log", ".xml", ".yaml", ".yml", ".toml"];
/// Images that models are given.
pub(super) const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/// Documents that models are given.
pub(super) const PDFS: [&str; 2] = ["application/pdf", ".pdf"];

/// How many bytes of files an agent is given at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Of one file.
    pub(super) each: u64,
    /// Of all together.
    pub(super) all: u64,
}

/// A file of a conversation.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    /// The message that it belongs to.
    pub(super) message: String,
    pub(super) file: InputFile,
}

impl RunInput {
    /// The files of a conversation's messages, those of the newest message first. A file that was uploaded, and that no
    /// message of the thread names, belongs to what is asked.
    pub(super) fn attached(&self, history: &[Message]) -> Vec<Attached> {
        let ids = history.iter().rev().filter_map(|message| match message {
            Message::User { id, .. } => Some(id),
            _ => None,
        });
        let mut all = Vec::new();
        for (place, id) in ids.enumerate() {
            let said = id.parse::<MessageId>().ok().and_then(|id| self.thread.message(id));
            let named = said.map(|said| said.message.attachments.as_slice()).unwrap_or_default();
            let named = named.iter().map(|attachment| InputFile {
                path: self.folder.join(attachment.file_id.to_string()),
                attachment: attachment.clone(),
            });
            let loose = self.files.iter().filter(|file| place == 0 && !self.is_named(file)).cloned();
            all.extend(named.chain(loose).map(|file| Attached { message: id.clone(), file }));
        }
        all
    }

    fn is_named(&self, file: &InputFile) -> bool {
        let named = self.thread.items.iter().filter_map(|item| match item {
            Item::Message(said) => Some(&said.message.attachments),
            Item::Run(_) => None,
        });
        named.flatten().any(|attachment| attachment.file_id == file.attachment.file_id)
    }
}

/// What is left of the bounds while files are read, the newest first.
#[derive(Debug)]
pub(super) struct Budget {
    bounds: Bounds,
    left: u64,
}

impl Budget {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self { bounds, left: bounds.all }
    }

    /// Takes a file's share.
    ///
    /// # Errors
    /// Why it has none, to be said after `because`.
    pub(super) fn take(&mut self, file: &InputFile) -> Result<(), String> {
        let Bounds { each, all } = self.bounds;
        let bytes = file.attachment.bytes;
        if bytes > each {
            return Err(format!("it has more than the {each} bytes that one file may have"));
        }
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            format!("the files of one request have at most {all} bytes together, and the newest come first")
        })?;
        Ok(())
    }
}

/// What a file begins with, and what it is.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) bytes: Vec<u8>,
    pub(super) mime_type: String,
}

impl Head {
    /// Reads it; a file that is gone or cannot be read is of no type.
    pub(super) async fn of(file: &InputFile) -> Self {
        let bytes = beginning(&file.path, HEAD_BYTES).await.unwrap_or_default();
        Self { mime_type: mime_type(&file.attachment.name, &bytes), bytes }
    }

    /// Whether it is text, as far as the beginning says.
    pub(super) fn is_text(&self) -> bool {
        is_text(&self.bytes)
    }
}

/// At most so many of a file's first bytes.
///
/// # Errors
/// Where it cannot be read.
pub(super) async fn beginning(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).await?.take(most).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// A file's bytes in base64.
///
/// # Errors
/// Why not, to be said after `because`.
pub(super) async fn base64(file: &InputFile) -> Result<String, String> {
    match beginning(&file.path, file.attachment.bytes).await {
        Ok(bytes) => Ok(BASE64_STANDARD.encode(bytes)),
        Err(error) => {
            tracing::warn!(%error, file = %file.attachment.file_id, "a message's file cannot be read");
            Err("it is not there any more".into())
        }
    }
}

/// What a file is, for people and models: `photo.png, image/png, 1234 bytes`.
pub(super) fn described(file: &InputFile, mime_type: &str) -> String {
    let name: String = file.attachment.name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{name}, {mime_type}, {} bytes", file.attachment.bytes)
}

/// Types that whoever is given them relies on, and what their files begin with.
const SIGNED: [(&str, &[u8]); 4] = [
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF8"),
    ("application/pdf", b"%PDF-"),
];

/// What a file is: by what it begins with, else by its name.
fn mime_type(name: &str, head: &[u8]) -> String {
    if let Some((signed, _)) = SIGNED.iter().find(|(_, sign)| head.starts_with(sign)) {
        return (*signed).into();
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return "image/webp".into();
    }
    let guess = mime_guess::from_path(name).first_raw().unwrap_or_default();
    let (text, kind) = (is_text(head), guess.split('/').next().unwrap_or_default());
    let believed = match kind {
        "" => false,
        "text" => text,
        "application" => guess != "application/pdf",
        // Nothing that is all text sounds or moves; `image/svg+xml` is text.
        _ => {
            text == guess.ends_with("xml") && guess != "image/webp" && SIGNED.iter().all(|(signed, _)| *signed != guess)
        }
    };
    match (believed, text && !head.is_empty()) {
        (true, _) => guess.into(),
        (false, true) => "text/plain".into(),
        (false, false) => "application/octet-stream".into(),
    }
}

/// Whether these first bytes of a file are text in UTF-8; the last character may be cut off.
fn is_text(head: &[u8]) -> bool {
    let whole = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    whole && !head.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_it_begins_with_and_else_what_its_name_says() {
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
