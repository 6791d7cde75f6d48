//! Tags, with which a person groups their threads: their commands, and the list of them.

use serde::{Deserialize, Serialize};

use super::{TagId, ThreadId};

/// A tag of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tag {
    /// Its id.
    pub id: TagId,
    /// Its name: one line of 1 to [`super::limits::MAX_TAG_CHARS`] characters. No two tags of a person differ only in upper and lower case.
    pub name: String,
}

impl TagId {
    /// From a column that has each id followed by a comma. What is no id is left out.
    #[must_use]
    pub fn list_from_column(column: &str) -> Vec<Self> {
        column.split(',').filter_map(|id| id.parse().ok()).collect()
    }

    /// As [`Self::list_from_column`] reads it.
    #[must_use]
    pub fn list_to_column(tags: &[Self]) -> String {
        tags.iter().map(|tag| format!("{tag},")).collect()
    }
}

/// `tag_threads`: adds tags to threads, and removes some, all in one step. It has no effect on threads that are tagged so already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TagThreads {
    /// The threads: 1 to [`super::limits::MAX_TAGGED_AT_ONCE`].
    pub thread_ids: Vec<ThreadId>,
    /// The names of the tags to add; those that do not exist are created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// The tags to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<TagId>,
}

/// `rename_tag`: gives a tag another name, in all threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RenameTag {
    /// The tag.
    pub tag_id: TagId,
    /// The new name.
    pub name: String,
}

/// `delete_tag`: deletes a tag, and removes it from all threads. Succeeds too if it was deleted already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeleteTag {
    /// The tag.
    pub tag_id: TagId,
}

/// The tags of a person, by name: the answer to `GET /api/tags`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TagList {
    /// The tags.
    pub tags: Vec<CountedTag>,
}

/// A tag, and how many threads have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CountedTag {
    /// The tag.
    #[serde(flatten)]
    pub tag: Tag,
    /// How many threads have it.
    pub threads: u64,
}
