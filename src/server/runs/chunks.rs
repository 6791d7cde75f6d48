//! Chunks: messages and calls that begin, go on and end without saying so.
//!
//! Each owner (the run itself, or a sub-agent) has at most one such thing going on, its lane. A chunk goes on with the lane's
//! where it names the same or names nothing; whatever else its owner says ends it.

use std::collections::HashMap;

use super::guard::Kind;
use crate::protocol::agui::{Event, TextRole};

/// What a chunk says of what it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    pub(super) kind: Kind,
    pub(super) id: Option<String>,
    /// What stays the same in all chunks of one thing: a message's role and name, a call's tool and message.
    pub(super) says: [Option<String>; 2],
}

/// What a chunk does.
#[derive(Debug)]
pub(super) enum Taken {
    /// It goes on with what there is.
    GoesOn { id: String },
    /// It begins something, and ends what its owner had.
    Begins { id: String, owner: Option<String>, ended: Option<(Kind, String)> },
}

#[derive(Debug)]
struct Lane {
    kind: Kind,
    id: String,
    says: [Option<String>; 2],
}

/// What goes on in chunks, by owner.
#[derive(Debug, Default)]
pub(super) struct Lanes(HashMap<Option<String>, Lane>);

impl Lanes {
    /// What an event ends by being something else: the kind, the id and the owner of each.
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
        self.0.remove(&owner).map(|lane| (lane.kind, lane.id, owner)).into_iter().collect()
    }

    /// Whether this goes on in chunks.
    pub(super) fn has(&self, kind: Kind, id: &str) -> bool {
        self.0.values().any(|lane| lane.kind == kind && lane.id == id)
    }

    /// The end of a run ends all.
    pub(super) fn end_all(&mut self) -> Vec<(Kind, String, Option<String>)> {
        self.0.drain().map(|(owner, lane)| (lane.kind, lane.id, owner)).collect()
    }

    /// Takes a chunk.
    ///
    /// # Errors
    /// The rule it breaks.
    pub(super) fn take(&mut self, chunk: Chunk, tag: Option<&str>) -> Result<Taken, String> {
        let owner = self.owner(&chunk, tag)?;
        let Chunk { kind, id, mut says } = chunk;
        if let Some(lane) = self.0.get(&owner)
            && lane.kind == kind
            && id.as_ref().is_none_or(|id| *id == lane.id)
        {
            let differs = says.iter().zip(&lane.says).any(|(now, begun)| now.is_some() && now != begun);
            return if differs {
                Err(format!("the {} `{}` began otherwise", kind.name(), lane.id))
            } else {
                Ok(Taken::GoesOn { id: lane.id.clone() })
            };
        }
        let Some(id) = id else { return Err(format!("the first chunk of a {} has its id", kind.name())) };
        if kind == Kind::Tool && says[0].is_none() {
            return Err("the first chunk of a tool call names the tool".into());
        }
        if kind == Kind::Text {
            // A message whose role nobody says is the assistant's, as one that says so.
            says[0].get_or_insert_with(|| format!("{:?}", TextRole::Assistant));
        }
        let ended = self.0.insert(owner.clone(), Lane { kind, id: id.clone(), says });
        Ok(Taken::Begins { id, owner, ended: ended.map(|lane| (lane.kind, lane.id)) })
    }

    /// Whose lane a chunk belongs to: that which holds its id, else its tag's; one that says neither goes on with the run's
    /// own, else with the only one there is.
    fn owner(&self, chunk: &Chunk, tag: Option<&str>) -> Result<Option<String>, String> {
        let alike = || self.0.iter().filter(|(_, lane)| lane.kind == chunk.kind);
        if let Some(id) = &chunk.id {
            return match (alike().find(|(_, lane)| lane.id == *id).map(|(owner, _)| owner), tag) {
                (None, tag) => Ok(tag.map(str::to_owned)),
                (Some(owner), Some(tag)) if owner.as_deref() != Some(tag) => {
                    Err(format!("the {} `{id}` belongs to another than `{tag}`", chunk.kind.name()))
                }
                (Some(owner), _) => Ok(owner.clone()),
            };
        }
        if tag.is_some() || self.0.get(&None).is_some_and(|lane| lane.kind == chunk.kind) {
            return Ok(tag.map(str::to_owned));
        }
        match alike().map(|(owner, _)| owner).collect::<Vec<_>>()[..] {
            [] => Ok(None),
            [owner] => Ok(owner.clone()),
            _ => {
                Err(format!("more than one {} goes on, and the chunk says neither id nor sub-agent", chunk.kind.name()))
            }
        }
    }
}
