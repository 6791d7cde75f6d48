//! The list of a server's tools, bounded.

use rmcp::{
    Peer, RoleClient, ServiceError,
    model::{JsonObject, PaginatedRequestParams},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    super::{Consent, ToolSpec},
    McpSource,
};
use crate::text::truncate_bytes;

/// The most pages of a list that are read.
const MAX_PAGES: usize = 32;
/// The largest schema of a tool's arguments, in bytes; a tool with a larger one is left out.
const MAX_SCHEMA_BYTES: usize = 16 << 10;
/// The longest tool name that model APIs accept, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// The longest description of a tool, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 4 << 10;

/// The tools of a server.
#[derive(Default)]
pub(super) struct ToolList {
    pub(super) tools: Vec<ListedTool>,
    /// How many tools were left out because of the limits; those on unread pages count as one.
    pub(super) left_out: usize,
}

pub(super) struct ListedTool {
    pub(super) spec: ToolSpec,
    /// The server's own name for it.
    pub(super) name: String,
}

impl McpSource {
    /// Fetches a server's whole list.
    pub(super) async fn fetch_pages(&self, peer: &Peer<RoleClient>) -> Result<ToolList, ServiceError> {
        let (mut listed, mut cursor) = (ToolList::default(), None);
        for _ in 0..MAX_PAGES {
            let page = peer.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await?;
            for tool in page.tools {
                let is_listed = |name: &str| listed.tools.iter().any(|known| known.spec.name == name);
                match self.listed_tool(tool) {
                    Some(tool) if listed.tools.len() < self.config.max_tools && !is_listed(&tool.spec.name) => {
                        listed.tools.push(tool);
                    }
                    _ => listed.left_out += 1,
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() || listed.tools.len() >= self.config.max_tools {
                break;
            }
        }
        listed.left_out += usize::from(cursor.is_some());
        if listed.left_out > 0 {
            tracing::warn!(tools = self.id, left_out = listed.left_out, "some tools of a tool server were left out");
        }
        Ok(listed)
    }

    /// A server's tool as offered to models; `None` if its schema is too large.
    fn listed_tool(&self, tool: rmcp::model::Tool) -> Option<ListedTool> {
        let mut parameters = JsonObject::clone(&tool.input_schema);
        parameters.remove("$schema");
        parameters.insert("type".into(), "object".into());
        // Some model APIs reject an object schema without `properties`.
        parameters.entry("properties").or_insert_with(|| JsonObject::new().into());
        let parameters = Value::Object(parameters);
        if parameters.to_string().len() > MAX_SCHEMA_BYTES {
            return None;
        }
        let name = tool.name.into_owned();
        let description = tool.description.map(std::borrow::Cow::into_owned).or(tool.title).unwrap_or_default();
        let spec = ToolSpec {
            name: exposed_name(&self.id, &name),
            description: truncate_bytes(description, MAX_DESCRIPTION_BYTES),
            parameters,
            consent: self.config.consent.for_tool(&name, Consent::Ask),
            source: self.id.clone(),
        };
        Some(ListedTool { spec, name })
    }
}

/// The name under which models see a server's tool: `source__tool` if model APIs accept that; otherwise a sanitised,
/// shortened form with a part of the name's digest, so that no two tools share a name.
fn exposed_name(source: &str, tool: &str) -> String {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let name = format!("{source}__{tool}");
    if name.len() <= MAX_NAME_BYTES && !tool.is_empty() && tool.chars().all(is_allowed) {
        return name;
    }
    let digest: String = Sha256::digest(tool.as_bytes()).iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let kept: String = tool.chars().map(|letter| if is_allowed(letter) { letter } else { '_' }).collect();
    let room = MAX_NAME_BYTES - source.len() - digest.len() - 3;
    format!("{source}__{}_{digest}", &kept[..kept.len().min(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposed_names_are_valid_and_unique() {
        assert_eq!(exposed_name("files", "read_file"), "files__read_file");
        let unusual = ["a/b", "a.b", "a b", "ä", "", &"x".repeat(65), &format!("{}y", "x".repeat(65)), &"é".repeat(99)];
        let names: Vec<String> = unusual.iter().map(|tool| exposed_name("a-source-with-a-long-id0", tool)).collect();
        for name in &names {
            assert!(name.len() <= MAX_NAME_BYTES && name.starts_with("a-source-with-a-long-id0__"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name}");
        }
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len(), "{names:?}");
    }
}
