//! Importing conversations.

use serde::{Deserialize, Serialize};

/// The format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ImportFormat {
    /// Netra's own, JSON Lines.
    Netra,
    /// ChatGPT's `conversations.json`.
    ChatGpt,
    /// Open WebUI's.
    OpenWebUi,
    /// LibreChat's.
    LibreChat,
}

impl ImportFormat {
    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Netra => "Netra",
            Self::ChatGpt => "ChatGPT",
            Self::OpenWebUi => "Open WebUI",
            Self::LibreChat => "LibreChat",
        }
    }
}

/// The answer to `POST /api/import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ImportReport {
    /// The file's format.
    pub format: ImportFormat,
    /// How many conversations with messages the file has.
    pub conversations: usize,
    /// How many conversations without messages are left out.
    pub empty: usize,
    /// How many files, images, tool calls and too long texts are left out.
    pub omitted: usize,
    /// How many conversations became threads; 0 if the file was only checked.
    pub imported: usize,
    /// How many were imported before.
    pub known: usize,
    /// The `skip` that continues the import; absent if it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
}
