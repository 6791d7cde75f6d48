//! Parts of a message: what a person sends beside words.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One part of a message. Read leniently, as messages are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// An image.
    Image(Media),
    /// A sound.
    Audio(Media),
    /// A film.
    Video(Media),
    /// Any other file.
    Document(Media),
}

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// Where its bytes are.
    pub source: PartSource,
    /// Anything more; a file's name stands in its `filename`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
}

/// Where the bytes of a part are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum PartSource {
    /// Here.
    Data {
        /// They themselves, in base64.
        value: String,
        /// What they are: `image/png`.
        mime_type: String,
    },
    /// At an address.
    Url {
        /// The address.
        value: String,
        /// What they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
    },
    /// At a provider, under a handle that it issued.
    File {
        /// The handle.
        value: String,
        /// Whose it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider: Option<String>,
        /// What they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
    },
}

impl ContentPart {
    /// A file of this type, said whole.
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
