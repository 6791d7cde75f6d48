//! The parts of a message: text and files.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A part of a message. Decoded leniently, as messages are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    Image(Media),
    /// An audio file.
    Audio(Media),
    /// A video.
    Video(Media),
    /// Any other file.
    Document(Media),
}

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// Where its bytes are.
    pub source: PartSource,
    /// Further data; `filename` is the file's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

/// Where the bytes of a part are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum PartSource {
    /// Inline.
    Data {
        /// The bytes, in base64.
        value: String,
        /// The media type, such as `image/png`.
        mime_type: String,
    },
    /// At a URL.
    Url {
        /// The URL.
        value: String,
        /// The media type.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
    },
    /// At a model provider, under an id that it issued.
    File {
        /// The provider's id of the file.
        value: String,
        /// The provider.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider: Option<String>,
        /// The media type.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
    },
}

impl ContentPart {
    /// An inline file; `value` is its base64.
    #[must_use]
    pub fn data(mime_type: &str, value: String, name: &str) -> Self {
        let media = Media {
            source: PartSource::Data { value, mime_type: mime_type.to_owned() },
            metadata: Some(serde_json::json!({"filename": name})),
        };
        match mime_type.split('/').next() {
            Some("image") => Self::Image(media),
            Some("audio") => Self::Audio(media),
            Some("video") => Self::Video(media),
            _ => Self::Document(media),
        }
    }
}
