//! The content of a caller's message: its text, and the files inline in its parts.
//!
//! Guarantees: a file in a part has the limits of an upload; a refusal names the part and says what to do. Nothing is fetched from a
//! URL of a caller.

use axum::http::StatusCode;
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use sha2::{Digest, Sha256};

use super::{ids::id_for, invalid};
use crate::{
    protocol::{
        FileId, MessageId, ThreadId, UserId,
        agui::{ContentPart, Media, PartSource, ToolContent},
        http::Problem,
        limits::MAX_ATTACHMENTS,
    },
    server::{error::Result, http::files as uploads, problem::problem, state::AppState},
};

/// Base64 with or without padding: callers differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A file in a part of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InlineFile {
    name: String,
    bytes: Vec<u8>,
}

/// Reads the text of a message (parts of text are joined by line breaks) and its files.
///
/// # Errors
/// 422 if a part is invalid or refers to a file elsewhere, 413 if a file is too large.
pub(super) fn read(content: &ToolContent, max_file_bytes: u64) -> Result<(String, Vec<InlineFile>), Problem> {
    let parts = match content {
        ToolContent::Text(text) => return Ok((text.clone(), Vec::new())),
        ToolContent::Parts(parts) => parts,
    };
    let (mut texts, mut files) = (Vec::new(), Vec::new());
    for (index, part) in parts.iter().enumerate() {
        let place = format!("`content[{index}]` of the last message");
        let part = serde_path_to_error::deserialize(part);
        let media = match part.map_err(|error| invalid(format!("{place} is not a part of a message: {error}")))? {
            ContentPart::Text { text } => {
                texts.push(text);
                continue;
            }
            ContentPart::Image(media)
            | ContentPart::Audio(media)
            | ContentPart::Video(media)
            | ContentPart::Document(media) => media,
        };
        if files.len() == MAX_ATTACHMENTS {
            return Err(invalid(format!("{place} is one file too many: a message has at most {MAX_ATTACHMENTS}")));
        }
        files.push(file(media, index, &place, max_file_bytes)?);
    }
    Ok((texts.join("\n"), files))
}

fn file(Media { source, metadata }: Media, index: usize, place: &str, max_bytes: u64) -> Result<InlineFile, Problem> {
    let (value, mime_type) = match source {
        PartSource::Data { value, mime_type } => (value, mime_type),
        PartSource::Url { .. } | PartSource::File { .. } => {
            let instead = "send its bytes in `source` of type `data`, or upload it to the thread";
            return Err(invalid(format!("{place} points to a file elsewhere, which is not fetched: {instead}")));
        }
    };
    let max_len = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let bytes =
        BASE64.decode(&value).map_err(|error| invalid(format!("{place}: `source.value` is not base64: {error}")))?;
    if bytes.len() > max_len {
        let detail = format!("{place} is too large: a file has at most {max_bytes} bytes");
        return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail));
    }
    let given = metadata.as_ref().and_then(|more| more["filename"].as_str().or_else(|| more["name"].as_str()));
    let name = match given {
        Some(name) => name.to_owned(),
        None => format!("file-{}.{}", index + 1, extension(&mime_type)),
    };
    Ok(InlineFile { name: uploads::file_name(Some(&name)), bytes })
}

/// The extension of the names of files of a type.
fn extension(mime_type: &str) -> &'static str {
    let plain = mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match plain.as_str() {
        // For these, the first of the known extensions is an unusual one.
        "image/jpeg" => "jpg",
        "text/plain" => "txt",
        "text/markdown" => "md",
        "audio/mpeg" => "mp3",
        "video/mp4" => "mp4",
        plain => mime_guess::get_mime_extensions_str(plain).and_then(|known| known.first()).unwrap_or(&"bin"),
    }
}

/// Stores the files of a message in its thread. Their ids are digests, so the same message again stores nothing new.
///
/// # Errors
/// The quota is exceeded; the store or the disk fails.
pub(super) async fn store(
    state: &AppState,
    (owner, thread): (UserId, ThreadId),
    message: MessageId,
    files: &[InlineFile],
) -> Result<Vec<FileId>> {
    let mut ids = Vec::with_capacity(files.len());
    for (index, InlineFile { name, bytes }) in files.iter().enumerate() {
        let digest = Sha256::digest(bytes);
        let id: FileId = id_for(format!("{thread}/{message}"), &format!("{index} {digest:x} {name}"));
        uploads::store(state, (owner, thread), id, name, bytes).await?;
        ids.push(id);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(parts: Value) -> Result<(String, Vec<InlineFile>), String> {
        let content = serde_json::from_value(parts).expect("parts");
        read(&content, 8).map_err(|problem| problem.detail)
    }

    fn data(kind: &str, mime_type: &str, value: &str) -> Value {
        json!({"type": kind, "source": {"type": "data", "value": value, "mimeType": mime_type}})
    }

    #[test]
    fn parts_are_text_and_files_with_names() {
        let mut named = data("document", "text/csv", "YSxi");
        named["metadata"] = json!({"filename": "../../log.csv"});
        let parts = json!([
            {"type": "text", "text": "Look", "id": "1"}, data("image", "image/png", "aGk="), data("audio", "audio/mpeg", "aGk"),
            named, {"type": "text", "text": "and tell"}, data("document", "application/x-unheard-of", ""),
        ]);
        let (text, files) = parse(parts).expect("the parts are valid");
        assert_eq!(text, "Look\nand tell");
        let file = |name: &str, bytes: &str| InlineFile { name: name.into(), bytes: bytes.into() };
        let expected =
            [file("file-2.png", "hi"), file("file-3.mp3", "hi"), file("log.csv", "a,b"), file("file-6.bin", "")];
        assert_eq!(files, expected);
        assert_eq!(parse(json!("plain")).expect("the parts are valid"), ("plain".into(), Vec::new()));
    }

    #[test]
    fn a_refusal_names_the_part_and_says_what_to_do() {
        let elsewhere = json!({"type": "image", "source": {"type": "url", "value": "http://127.0.0.1/secret"}});
        let handle = json!({"type": "document", "source": {"type": "file", "value": "file-1"}});
        let text = json!({"type": "text", "text": "hi"});
        for (part, expected) in [
            (elsewhere, "points to a file elsewhere, which is not fetched: send its bytes"),
            (handle, "points to a file elsewhere"),
            (data("image", "image/png", "not base64!"), "`source.value` is not base64"),
            (data("image", "image/png", "MTIzNDU2Nzg5"), "is too large: a file has at most 8 bytes"),
            (json!({"type": "hologram"}), "is not a part of a message: type: unknown variant `hologram`"),
            (json!({"type": "image"}), "missing field `source`"),
            (json!("words"), "is not a part of a message"),
        ] {
            let detail = parse(json!([text, part])).expect_err(expected);
            assert!(detail.starts_with("`content[1]` of the last message") && detail.contains(expected), "{detail}");
        }
        let many = vec![data("image", "image/png", ""); MAX_ATTACHMENTS + 1];
        assert!(
            parse(json!(many)).expect_err("too many").contains("`content[8]` of the last message is one file too many")
        );
    }
}
