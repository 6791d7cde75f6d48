//! Netra's own exports: the log of a thread as JSON Lines.

use serde::Deserialize;

use super::{
    Conversation, Export, MAX_MESSAGES,
    tree::{Node, Role, turns},
};
use crate::{
    protocol::{
        Item, ThreadEntry, ThreadInfo,
        agui::{Event, TextRole},
        http::ImportFormat,
    },
    thread::{NodeBody, ThreadView},
};

/// How each export begins.
const START: &str = "{\"format\":\"netra.thread.v1\"";

#[derive(Deserialize)]
struct Head {
    thread: ThreadInfo,
}

#[derive(Deserialize)]
struct Line {
    at: i64,
    entry: ThreadEntry,
}

/// Whether a text is such an export.
pub(super) fn is_own(text: &str) -> bool {
    text.starts_with(START)
}

/// Reads it.
///
/// # Errors
/// The line that cannot be read, and why.
pub(super) fn read(text: &str) -> Result<Export, String> {
    let (view, thread, tool_calls) = view(text)?;
    let (nodes, attachments) = nodes(&view);
    let (turns, omitted) = turns(nodes, None)?;
    let conversation = Conversation {
        source_id: thread.id.to_string(),
        title: thread.title,
        created_at: Some(thread.created_at),
        turns,
    };
    let is_empty = conversation.turns.is_empty();
    Ok(Export {
        format: ImportFormat::Netra,
        conversations: if is_empty { Vec::new() } else { vec![conversation] },
        empty: usize::from(is_empty),
        omitted: omitted + attachments + tool_calls,
    })
}

/// The thread's messages and texts, what the export says of the thread, and how many tool calls are left out.
pub(super) fn view(text: &str) -> Result<(ThreadView, ThreadInfo, usize), String> {
    let mut lines = (1_usize..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let wrong = |number: usize, error: serde_json::Error| format!("line {number}: {error}");
    let (number, head) = lines.next().ok_or("the file is empty")?;
    let Head { thread } = serde_json::from_str(head).map_err(|error| wrong(number, error))?;
    let (mut view, mut tool_calls) = (ThreadView::default(), 0);
    for (number, line) in lines {
        let Line { at, entry } = serde_json::from_str(line).map_err(|error| wrong(number, error))?;
        tool_calls += usize::from(is_tool_call(&entry));
        if !is_used(&entry) {
            continue;
        }
        let run_id = entry.run_id();
        view.apply(at, entry);
        let texts = run_id.and_then(|run| view.run(run)).map_or(0, |run| run.nodes.len());
        if view.items.len() > 2 * MAX_MESSAGES || texts > MAX_MESSAGES {
            return Err(format!("line {number}: the thread has more than {MAX_MESSAGES} messages"));
        }
    }
    Ok((view, thread, tool_calls))
}

/// Whether an import uses an entry: messages, and the texts of runs. Nothing else of a file is applied: its entries were not checked as a
/// run's are, and small ones, such as changes of a state, can make large values.
fn is_used(entry: &ThreadEntry) -> bool {
    match entry {
        ThreadEntry::Agent { event, .. } => matches!(
            **event,
            Event::RunStarted(_)
                | Event::RunFinished(_)
                | Event::RunError(_)
                | Event::TextMessageStart(_)
                | Event::TextMessageContent(_)
                | Event::TextMessageEnd(_)
                | Event::MessagesSnapshot(_)
        ),
        ThreadEntry::Message { .. }
        | ThreadEntry::Answer { .. }
        | ThreadEntry::TakenBack { .. }
        | ThreadEntry::Edited { .. }
        | ThreadEntry::Moved { .. }
        | ThreadEntry::Read { .. } => true,
        ThreadEntry::Feedback { .. } | ThreadEntry::Thread { .. } | ThreadEntry::Members { .. } => false,
    }
}

fn is_tool_call(entry: &ThreadEntry) -> bool {
    matches!(entry, ThreadEntry::Agent { event, .. } if matches!(**event, Event::ToolCallStart(_)))
}

/// The messages and answers, with the number of attachments, which are left out.
fn nodes(view: &ThreadView) -> (Vec<Node>, usize) {
    let (mut nodes, mut attachments) = (Vec::new(), 0);
    for item in &view.items {
        match item {
            Item::Message(item) => {
                attachments += item.message.attachments.len();
                nodes.push(Node {
                    id: item.message.id.to_string(),
                    parent: item.follows.map(|before| format!("{before}/answer")),
                    role: Role::User,
                    text: item.message.content.clone(),
                    at: Some(item.at),
                });
            }
            Item::Run(run) => {
                let Some(message) = run.message_id else { continue };
                let texts = run.nodes.iter().filter_map(|node| match &node.body {
                    NodeBody::Text { role: TextRole::Assistant, text } => Some(text.as_str()),
                    _ => None,
                });
                let text = texts.collect::<Vec<_>>().join("\n\n");
                let answer = format!("{message}/answer");
                match nodes.iter_mut().find(|node: &&mut Node| node.id == answer) {
                    Some(node) => node.text = format!("{}\n\n{text}", node.text),
                    None => nodes.push(Node {
                        id: answer,
                        parent: Some(message.to_string()),
                        role: Role::Assistant,
                        text,
                        at: Some(run.started_at),
                    }),
                }
            }
        }
    }
    (nodes, attachments)
}
