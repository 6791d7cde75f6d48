//! Turns a tree of messages into turns. Another answer to a question becomes another version of the question.

use std::collections::HashMap;

use super::{MAX_CONVERSATION_BYTES, MAX_MESSAGES, Turn, bounded};

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Assistant,
    /// What is not shown: instructions, tool calls and their results. What follows it follows the message before it.
    Hidden,
}

/// A message of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    pub(super) role: Role,
    pub(super) text: String,
    /// In milliseconds since 1970.
    pub(super) at: Option<i64>,
}

/// What a message of the file became, for the messages that follow it.
#[derive(Debug, Clone, Copy)]
struct Place {
    turn: Option<usize>,
    /// Whether the message before is an answer.
    is_answer: bool,
}

/// The turns of a conversation, with how many texts were left out. `current`: the message that was shown last; absent: the last one.
///
/// # Errors
/// If there are too many messages, or too much text.
pub(super) fn turns(nodes: Vec<Node>, current: Option<&str>) -> Result<(Vec<Turn>, usize), String> {
    if nodes.len() > MAX_MESSAGES {
        return Err(format!("it has more than {MAX_MESSAGES} messages"));
    }
    let index: HashMap<&str, usize> = nodes.iter().enumerate().map(|(at, node)| (node.id.as_str(), at)).collect();
    let parent = |at: usize| nodes[at].parent.as_deref().and_then(|parent| index.get(parent)).copied();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut roots = Vec::new();
    for at in 0..nodes.len() {
        match parent(at) {
            Some(parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    // The branch that was shown comes last: it becomes the newest.
    let mut on_branch = vec![false; nodes.len()];
    let last = current.and_then(|id| index.get(id)).copied().or_else(|| nodes.len().checked_sub(1));
    let mut at = last;
    while let Some(node) = at.filter(|node| !on_branch[*node]) {
        on_branch[node] = true;
        at = parent(node);
    }
    for siblings in children.iter_mut().chain([&mut roots]) {
        siblings.sort_by_key(|node| on_branch[*node]);
    }
    // Messages of a cycle have no root, and are not reached.
    let start = Place { turn: None, is_answer: false };
    let mut waiting: Vec<(usize, Place)> = roots.into_iter().rev().map(|root| (root, start)).collect();
    let mut builder = Builder::default();
    while let Some((node, place)) = waiting.pop() {
        let next = builder.add(&nodes[node], place)?;
        waiting.extend(children[node].iter().rev().map(|child| (*child, next)));
    }
    Ok((builder.turns, builder.omitted))
}

#[derive(Debug, Default)]
struct Builder {
    turns: Vec<Turn>,
    /// The first turn after each turn, and after none: the one that further versions replace.
    first_after: HashMap<Option<usize>, usize>,
    omitted: usize,
    bytes: usize,
}

impl Builder {
    fn add(&mut self, node: &Node, place: Place) -> Result<Place, String> {
        if node.role == Role::Hidden || node.text.trim().is_empty() {
            return Ok(place);
        }
        let (text, omitted) = bounded(node.text.clone());
        self.omitted += omitted;
        match (node.role, place.turn) {
            (Role::User, after) => {
                let turn = Turn { after, question: text, at: node.at, ..Turn::default() };
                Ok(Place { turn: Some(self.push(turn)?), is_answer: false })
            }
            (_, None) => {
                // A conversation that begins with an answer.
                let turn = Turn { question: "…".into(), answer: text, at: node.at, ..Turn::default() };
                Ok(Place { turn: Some(self.push(turn)?), is_answer: true })
            }
            (_, Some(turn)) if self.turns[turn].answer.is_empty() || place.is_answer => {
                self.count(text.len())?;
                let answer = &mut self.turns[turn].answer;
                if !answer.is_empty() {
                    answer.push_str("\n\n");
                }
                answer.push_str(&text);
                Ok(Place { turn: Some(turn), is_answer: true })
            }
            (_, Some(turn)) => {
                let Turn { after, question, at, .. } = self.turns[turn].clone();
                let version = Turn { after, question, answer: text, at, ..Turn::default() };
                Ok(Place { turn: Some(self.push(version)?), is_answer: true })
            }
        }
    }

    fn push(&mut self, turn: Turn) -> Result<usize, String> {
        if self.turns.len() >= MAX_MESSAGES {
            return Err(format!("it has more than {MAX_MESSAGES} messages"));
        }
        self.count(turn.question.len() + turn.answer.len())?;
        let index = self.turns.len();
        let first = *self.first_after.entry(turn.after).or_insert(index);
        self.turns.push(Turn { replaces: (first != index).then_some(first), ..turn });
        Ok(index)
    }

    fn count(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes > MAX_CONVERSATION_BYTES {
            return Err(format!("it has more than {MAX_CONVERSATION_BYTES} bytes of text"));
        }
        Ok(())
    }
}
