//! What a server offers, bounded.

use rmcp::{
    Peer, RoleClient, ServiceError,
    model::{JsonObject, PaginatedRequestParams},
};
use serde_json::Value;

use super::{
    super::{Consent, ToolSpec, sources::exposed, text::bounded},
    McpSource,
};

/// Pages of a list that are read.
const MAX_PAGES: usize = 32;
/// The largest schema of a tool's arguments, in bytes; a tool with a larger one is left out.
const MAX_SCHEMA: usize = 16 << 10;
/// Most bytes of a tool's description.
const MAX_DESCRIPTION: usize = 4 << 10;

/// What a server offers.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) tools: Vec<Offered>,
    pub(super) left_out: usize,
}

pub(super) struct Offered {
    pub(super) spec: ToolSpec,
    /// What the server calls it.
    pub(super) name: String,
}

impl McpSource {
    /// Asks a server for its whole list.
    pub(super) async fn pages(&self, peer: &Peer<RoleClient>) -> Result<Listed, ServiceError> {
        let (mut listed, mut cursor) = (Listed::default(), None);
        for _ in 0..MAX_PAGES {
            let page = peer.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await?;
            for tool in page.tools {
                let taken = |name: &str| listed.tools.iter().any(|known| known.spec.name == name);
                match self.offered(tool) {
                    Some(tool) if listed.tools.len() < self.config.max_tools && !taken(&tool.spec.name) => {
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
        // What is left on further pages is not counted, only that there is something.
        listed.left_out += usize::from(cursor.is_some());
        if listed.left_out > 0 {
            tracing::warn!(tools = self.id, left_out = listed.left_out, "a tool server has more than is taken of it");
        }
        Ok(listed)
    }

    /// A server's tool as a model is offered it; none where its schema is too large.
    fn offered(&self, tool: rmcp::model::Tool) -> Option<Offered> {
        let mut parameters = JsonObject::clone(&tool.input_schema);
        parameters.remove("$schema");
        parameters.insert("type".into(), "object".into());
        // Some models' interfaces take no object without them.
        parameters.entry("properties").or_insert_with(|| JsonObject::new().into());
        let parameters = Value::Object(parameters);
        if parameters.to_string().len() > MAX_SCHEMA {
            return None;
        }
        let name = tool.name.into_owned();
        let about = tool.description.map(std::borrow::Cow::into_owned).or(tool.title).unwrap_or_default();
        let spec = ToolSpec {
            name: exposed(&self.id, &name),
            description: bounded(about, MAX_DESCRIPTION),
            parameters,
            consent: self.config.consent.for_tool(&name, Consent::Ask),
            source: self.id.clone(),
        };
        Some(Offered { spec, name })
    }
}
