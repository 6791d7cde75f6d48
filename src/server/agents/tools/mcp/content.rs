//! What a server answered, as bounded text for a model.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

use super::{
    super::{
        ToolOutput,
        text::{bounded, clip},
    },
    structured,
};

/// What stands for what a newer server may send.
const UNKNOWN: &str = "[content of a kind that is not known, not shown]";

/// A result as text of at most `max` bytes. What is no text is named and measured, not shown.
pub(super) fn output(result: CallToolResult, max: usize) -> ToolOutput {
    let (content, structured) = (result.content, result.structured_content);
    let (mut parts, mut left) = (Vec::new(), max);
    for block in &content {
        if left == 0 {
            break;
        }
        let part = described(block);
        // One byte more than fits, so that the cut is seen below.
        left = (left + 1).saturating_sub(part.len());
        parts.push(part);
    }
    if let Some(structured) = structured.and_then(|value| structured::beyond(value, &content, &parts.join("\n\n"))) {
        parts.push(structured.to_string());
    }
    let failed = result.is_error == Some(true);
    let text = bounded(parts.join("\n\n"), max);
    let text = match (text.is_empty(), failed) {
        (true, true) => "The tool failed and did not say why.".to_owned(),
        (true, false) => "Done; the tool gave no result.".to_owned(),
        (false, _) => text,
    };
    ToolOutput { text, failed }
}

fn described(block: &ContentBlock) -> String {
    let short = |text: &str| clip(text, 200);
    // Base64 has four letters for three bytes.
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
            _ => UNKNOWN.into(),
        },
        _ => UNKNOWN.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(result: Value, max: usize) -> ToolOutput {
        output(serde_json::from_value(result).expect("a result"), max)
    }

    #[test]
    fn every_kind_of_content_becomes_text() {
        let result = said(
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
    fn structured_content_is_given_once() {
        let both =
            said(json!({"content": [{"type": "text", "text": "{ \"a\": 1 }"}], "structuredContent": {"a": 1}}), 500);
        assert_eq!(both.text, "{ \"a\": 1 }");
        let apart = said(json!({"content": [{"type": "text", "text": "see"}], "structuredContent": {"a": 1}}), 500);
        assert_eq!(apart.text, "see\n\n{\"a\":1}");
        assert_eq!(said(json!({"content": [], "structuredContent": {"a": 1}}), 500).text, "{\"a\":1}");
    }

    #[test]
    fn a_result_is_bounded_whatever_its_parts_are() {
        let part = json!({"type": "text", "text": "x".repeat(300)});
        for count in [1, 2, 1_000] {
            let text = said(json!({"content": vec![part.clone(); count]}), 256).text;
            assert!(text.len() <= 256 && text.contains("[cut here"), "{count}: {text}");
        }
        let exact = said(json!({"content": [{"type": "text", "text": "y".repeat(256)}]}), 256).text;
        assert_eq!(exact, "y".repeat(256));
    }

    #[test]
    fn an_error_fails_and_an_empty_result_says_so() {
        assert_eq!(
            said(json!({"content": [{"type": "text", "text": "no"}], "isError": true}), 500),
            ToolOutput::failed("no")
        );
        assert!(said(json!({"content": [], "isError": true}), 500).failed);
        assert_eq!(said(json!({"content": []}), 500), ToolOutput::done("Done; the tool gave no result."));
    }
}
