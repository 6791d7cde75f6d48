//! Chunk events: messages and calls without separate start and end events.
//!
//! Each owner (the run itself, or a sub-agent) has at most one open message or call in chunks. A chunk continues it if it has the same id
//! or none; any other event of the owner ends it.

use std::collections::HashMap;

use super::guard::Kind;
use crate::protocol::agui::{Event, TextRole};

/// The kind, the id and the constant fields of a chunk.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    pub(super) kind: Kind,
    pub(super) id: Option<String>,
    /// Fields that must not change between chunks: a message's role and name, or a call's tool and parent message.
    pub(super) fields: [Option<String>; 2],
}

/// The effect of a chunk.
#[derive(Debug)]
pub(super) enum ChunkEffect {
    /// It continues what is open.
    Continues { id: String },
    /// It starts something, and ends what its owner had open.
    Starts { id: String, owner: Option<String>, ended: Option<(Kind, String)> },
}

#[derive(Debug)]
struct OpenChunk {
    kind: Kind,
    id: String,
    fields: [Option<String>; 2],
}

/// What is open in chunks, by owner.
#[derive(Debug, Default)]
pub(super) struct Chunks(HashMap<Option<String>, OpenChunk>);

impl Chunks {
    /// Removes what an event ends; returns kind, id and owner of each.
    pub(super) fn ended_by(&mut self, event: &Event) -> Vec<(Kind, String, Option<String>)> {
        let owner = match event {
            Event::MessagesSnapshot(_) => return self.end_all(),
            Event::TextMessageChunk(_)
            | Event::ToolCallChunk(_)
            | Event::ReasoningMessageChunk(_)
            | Event::Raw(_)
            | Event::ActivitySnapshot(_)
            | Event::ActivityDelta(_)
            | Event::ReasoningEncryptedValue(_)
            | Event::SubagentStarted(_) => return Vec::new(),
            Event::SubagentFinished(e) => Some(e.subagent_run_id.clone()),
            Event::SubagentError(e) => Some(e.subagent_run_id.clone()),
            _ => event.subagent().map(str::to_owned),
        };
        self.0.remove(&owner).map(|open| (open.kind, open.id, owner)).into_iter().collect()
    }

    /// Whether this is open in chunks.
    pub(super) fn has(&self, kind: Kind, id: &str) -> bool {
        self.0.values().any(|open| open.kind == kind && open.id == id)
    }

    /// Removes everything, at the end of a run.
    pub(super) fn end_all(&mut self) -> Vec<(Kind, String, Option<String>)> {
        self.0.drain().map(|(owner, open)| (open.kind, open.id, owner)).collect()
    }

    /// Applies a chunk.
    ///
    /// # Errors
    /// The rule that it violates.
    pub(super) fn apply(&mut self, chunk: Chunk, tag: Option<&str>) -> Result<ChunkEffect, String> {
        let owner = self.owner(&chunk, tag)?;
        let Chunk { kind, id, mut fields } = chunk;
        if let Some(open) = self.0.get(&owner)
            && open.kind == kind
            && id.as_ref().is_none_or(|id| *id == open.id)
        {
            let differs = fields.iter().zip(&open.fields).any(|(new, first)| new.is_some() && new != first);
            return if differs {
                Err(format!("a chunk of the {} `{}` has other fields than the first", kind.name(), open.id))
            } else {
                Ok(ChunkEffect::Continues { id: open.id.clone() })
            };
        }
        let Some(id) = id else { return Err(format!("the first chunk of a {} must have its id", kind.name())) };
        if kind == Kind::Tool && fields[0].is_none() {
            return Err("the first chunk of a tool call must name the tool".into());
        }
        if kind == Kind::Text {
            // The default role is the assistant's.
            fields[0].get_or_insert_with(|| format!("{:?}", TextRole::Assistant));
        }
        let ended = self.0.insert(owner.clone(), OpenChunk { kind, id: id.clone(), fields });
        Ok(ChunkEffect::Starts { id, owner, ended: ended.map(|open| (open.kind, open.id)) })
    }

    /// The owner of a chunk: that of its id, else its tag. A chunk with neither continues the run's own, or the only one that is
    /// open.
    fn owner(&self, chunk: &Chunk, tag: Option<&str>) -> Result<Option<String>, String> {
        let same_kind = || self.0.iter().filter(|(_, open)| open.kind == chunk.kind);
        if let Some(id) = &chunk.id {
            return match (same_kind().find(|(_, open)| open.id == *id).map(|(owner, _)| owner), tag) {
                (None, tag) => Ok(tag.map(str::to_owned)),
                (Some(owner), Some(tag)) if owner.as_deref() != Some(tag) => {
                    Err(format!("the {} `{id}` does not belong to `{tag}`", chunk.kind.name()))
                }
                (Some(owner), _) => Ok(owner.clone()),
            };
        }
        if tag.is_some() || self.0.get(&None).is_some_and(|open| open.kind == chunk.kind) {
            return Ok(tag.map(str::to_owned));
        }
        match same_kind().map(|(owner, _)| owner).collect::<Vec<_>>()[..] {
            [] => Ok(None),
            [owner] => Ok(owner.clone()),
            _ => Err(format!(
                "more than one {} is open, and the chunk has neither an id nor a sub-agent",
                chunk.kind.name()
            )),
        }
    }
}
