//! A thread as a Markdown document: the messages and answers of its newest branch.

use std::fmt::Write;

use jiff::Timestamp;

use crate::protocol::{Item, MessageItem, Node, NodeBody, RunState, RunView, ThreadView};

/// Writes a thread as Markdown. `agent_name` returns the display name of an agent's id.
///
/// It has the title, and of each message and run a heading with author and time (UTC), its text and its files' names. Tool calls are one
/// line each, without arguments and results: `format=jsonl` has everything.
pub fn to_markdown(view: &ThreadView, agent_name: impl Fn(&str) -> String) -> String {
    let title = view.info.as_ref().map_or("", |info| info.title.as_str());
    let mut text = format!("# {}\n", one_line(title));
    for item in view.path(None) {
        match item {
            Item::Message(item) => write_message(&mut text, item),
            Item::Run(run) => write_run(&mut text, run, &agent_name(&run.agent)),
        }
    }
    text
}

fn write_message(text: &mut String, item: &MessageItem) {
    let (author, content) = (one_line(&item.message.author.name), item.message.content.trim_end());
    // Writing to a string does not fail.
    let _ = write!(text, "\n## {author}, {}\n\n{content}\n", time(item.at));
    for file in &item.message.attachments {
        let _ = write!(text, "\nAttached: {}\n", one_line(&file.name));
    }
}

fn write_run(text: &mut String, run: &RunView, agent: &str) {
    let agent = one_line(&run.author(agent));
    let _ = writeln!(text, "\n## {agent}, {}", time(run.started_at));
    for (nodes, read) in run.parts(0) {
        nodes.iter().for_each(|node| write_node(text, node));
        if let Some(item) = read {
            write_message(text, item);
            let _ = writeln!(text, "\n## {agent}, continued");
        }
    }
    let end = match &run.state {
        RunState::Cancelled => "Stopped before it finished.",
        RunState::Failed { message, .. } => message.as_str(),
        RunState::Interrupted { .. } if run.answered.is_none() => "Waiting for an answer.",
        _ => return,
    };
    let _ = write!(text, "\n_{}_\n", one_line(end));
}

fn write_node(text: &mut String, node: &Node) {
    let _ = match &node.body {
        NodeBody::Text { text: answer, .. } if !answer.trim().is_empty() => write!(text, "\n{}\n", answer.trim_end()),
        NodeBody::Tool { name, .. } => write!(text, "\n_Used the tool {}._\n", one_line(name)),
        _ => Ok(()),
    };
}

/// A time as `2026-01-31 09:30 UTC`.
fn time(at: i64) -> String {
    Timestamp::from_millisecond(at).map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
}

/// A text on one line, so that it cannot begin another block.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        Author, RunId, ThreadEntry, ThreadId, ThreadInfo, UserId, UserMessage,
        agui::{Event, RunFinished, RunStarted, TextMessageContent, TextMessageStart, ToolCallStart},
    };

    #[test]
    fn a_thread_is_written_with_authors_times_texts_and_tools() {
        let (mut view, run_id, thread_id) = (ThreadView::default(), RunId::new(), ThreadId::new());
        let at = 1_769_852_100_000;
        let thread = ThreadInfo::new(thread_id, "Costs\nof May", "a", at);
        view.apply(at, ThreadEntry::Thread { thread });
        let author = Author { id: UserId::new(), name: "Ada".into() };
        let message = UserMessage::new(author, "How much?\n", run_id, "a");
        view.apply(at, ThreadEntry::Message { message });
        let events: [Event; 5] = [
            RunStarted::new(thread_id.to_string(), run_id.to_string()).into(),
            ToolCallStart::new("c", "search").into(),
            TextMessageStart::new("m").into(),
            TextMessageContent::new("m", "**12** dollars.\n").into(),
            RunFinished::new(thread_id.to_string(), run_id.to_string()).into(),
        ];
        for event in events {
            view.apply(at, ThreadEntry::Agent { run_id, event: Box::new(event) });
        }
        let expected = "# Costs of May\n\n## Ada, 2026-01-31 09:35 UTC\n\nHow much?\n\n## Analyst, 2026-01-31 09:35 UTC\n\n\
                        _Used the tool search._\n\n**12** dollars.\n";
        assert_eq!(to_markdown(&view, |_| "Analyst".into()), expected);
    }
}
