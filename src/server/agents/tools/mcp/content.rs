//! A tool's result as bounded text for a model.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

use super::{super::ToolOutput, structured};
use crate::text::{clip, truncate_bytes};

/// The placeholder for content of a type that this version does not support.
const UNKNOWN_CONTENT: &str = "[content of an unknown type, not shown]";

/// A result as text of at most `max` bytes. Content other than text is replaced by a note with its type and size.
pub(super) fn output(result: CallToolResult, max: usize) -> ToolOutput {
    let (content, structured) = (result.content, result.structured_content);
    let (mut parts, mut left) = (Vec::new(), max);
    for block in &content {
        if left == 0 {
            break;
        }
        let part = describe(block);
        // One byte more than fits, so that `bounded` cuts the text and says so.
        left = (left + 1).saturating_sub(part.len());
        parts.push(part);
    }
    if let Some(structured) =
        structured.and_then(|value| structured::without_repeated(value, &content, &parts.join("\n\n")))
    {
        parts.push(structured.to_string());
    }
    let failed = result.is_error == Some(true);
    let text = truncate_bytes(parts.join("\n\n"), max);
    let text = match (text.is_empty(), failed) {
        (true, true) => "The tool failed without a reason.".to_owned(),
        (true, false) => "Done; the tool returned no result.".to_owned(),
        (false, _) => text,
    };
    ToolOutput { text, failed }
}

/// A content block as text.
fn describe(block: &ContentBlock) -> String {
    let short = |text: &str| clip(text, 200);
    // Base64 encodes three bytes as four characters.
    let bytes = |data: &str| data.len() / 4 * 3;
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => {
            format!("[an image, {}, about {} bytes, not shown]", short(&image.mime_type), bytes(&image.data))
        }
        ContentBlock::Audio(audio) => {
            format!("[a sound, {}, about {} bytes, not played]", short(&audio.mime_type), bytes(&audio.data))
        }
        ContentBlock::ResourceLink(link) => {
            let about = link.description.as_ref().map(|about| format!(": {}", short(about))).unwrap_or_default();
            format!("[a link to the resource {} at {}{about}]", short(&link.name), short(&link.uri))
        }
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                format!("[the resource {}]\n{text}", short(uri))
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let kind = mime_type.as_deref().map_or_else(|| "bytes".into(), short);
                format!("[the resource {}, {kind}, about {} bytes, not shown]", short(uri), bytes(blob))
            }
            _ => UNKNOWN_CONTENT.into(),
        },
        _ => UNKNOWN_CONTENT.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn output_of(result: Value, max: usize) -> ToolOutput {
        output(serde_json::from_value(result).expect("a result"), max)
    }

    #[test]
    fn every_content_type_becomes_text() {
        let result = output_of(
            json!({"content": [
                {"type": "text", "text": "one"},
                {"type": "image", "data": "QUJDRA==", "mimeType": "image/png"},
                {"type": "audio", "data": "QUJD", "mimeType": "audio/wav"},
                {"type": "resource_link", "uri": "file:///a", "name": "a", "description": "the\nletter"},
                {"type": "resource", "resource": {"uri": "file:///b", "text": "two"}},
                {"type": "resource", "resource": {"uri": "file:///c", "blob": "QUJD", "mimeType": "x/y"}},
            ]}),
            10_000,
        );
        let expected = "one\n\n[an image, image/png, about 6 bytes, not shown]\n\n[a sound, audio/wav, about 3 bytes, not played]\n\n\
                        [a link to the resource a at file:///a: the letter]\n\n[the resource file:///b]\ntwo\n\n\
                        [the resource file:///c, x/y, about 3 bytes, not shown]";
        assert_eq!(result, ToolOutput::done(expected));
    }

    #[test]
    fn structured_content_is_not_repeated() {
        let both = output_of(
            json!({"content": [{"type": "text", "text": "{ \"a\": 1 }"}], "structuredContent": {"a": 1}}),
            500,
        );
        assert_eq!(both.text, "{ \"a\": 1 }");
        let apart =
            output_of(json!({"content": [{"type": "text", "text": "see"}], "structuredContent": {"a": 1}}), 500);
        assert_eq!(apart.text, "see\n\n{\"a\":1}");
        assert_eq!(output_of(json!({"content": [], "structuredContent": {"a": 1}}), 500).text, "{\"a\":1}");
    }

    #[test]
    fn the_whole_result_is_bounded() {
        let part = json!({"type": "text", "text": "x".repeat(300)});
        for count in [1, 2, 1_000] {
            let text = output_of(json!({"content": vec![part.clone(); count]}), 256).text;
            assert!(text.len() <= 256 && text.contains("[cut here"), "{count}: {text}");
        }
        let exact = output_of(json!({"content": [{"type": "text", "text": "y".repeat(256)}]}), 256).text;
        assert_eq!(exact, "y".repeat(256));
    }

    #[test]
    fn an_error_is_a_failed_output_and_an_empty_result_has_a_note() {
        assert_eq!(
            output_of(json!({"content": [{"type": "text", "text": "no"}], "isError": true}), 500),
            ToolOutput::failed("no")
        );
        assert!(output_of(json!({"content": [], "isError": true}), 500).failed);
        assert_eq!(output_of(json!({"content": []}), 500), ToolOutput::done("Done; the tool returned no result."));
    }
}
