//! A thread as a document to read or print: the messages and answers of its newest branch, rendered by the server, without scripts but
//! the theme's.

use leptos::prelude::*;
use leptos_meta::HashedStylesheet;

use super::{
    components::{
        markdown::text_of,
        run_nodes::{CHART, TABLE, figure},
        run_tree::is_report,
        sidebar::display_title,
    },
    format,
    markdown::to_html,
};
use crate::{
    protocol::agui::TextRole,
    text::escape_invisible,
    thread::{Item, MessageItem, Node, NodeBody, RunState, RunView, ThreadView},
};

/// What a document shows.
#[derive(Debug)]
pub struct ThreadDocument {
    /// The thread.
    pub thread: ThreadView,
    /// The display names of agents, by id.
    pub agents: Vec<(String, String)>,
    /// A line under the title.
    pub note: String,
}

/// A point in time (milliseconds since 1970), in UTC: the server does not know the reader's time zone.
fn utc_time(at: i64) -> impl IntoView {
    view! { <time datetime=format::iso_8601(at)>{format!("{} UTC", format::date_time(at, 0))}</time> }
}

/// The whole HTML document.
pub fn thread_document(options: LeptosOptions, document: ThreadDocument) -> impl IntoView {
    let title = display_title(document.thread.info.as_ref().map_or("", |info| info.title.as_str()));
    let items = document.thread.path(None).into_iter().map(|item| match item {
        Item::Message(item) => question(item),
        Item::Run(run) => answer(run, &document.agents),
    });
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <meta name="robots" content="noindex"/>
                <title>{format!("{title} · Netra")}</title>
                <script src="/theme.js"></script>
                <link rel="icon" type="image/svg+xml" href="/favicon.svg"/>
                <HashedStylesheet options id="style"/>
            </head>
            <body class="document">
                <main class="page timeline">
                    <header>
                        <h1>{title}</h1>
                        <p class="quiet">{document.note}</p>
                    </header>
                    {items.collect_view()}
                </main>
            </body>
        </html>
    }
}

fn question(item: &MessageItem) -> AnyView {
    let files = item.message.attachments.iter().map(|file| escape_invisible(&file.name)).collect::<Vec<_>>();
    let files = (!files.is_empty()).then(|| view! { <p class="quiet">{format!("Files: {}", files.join(", "))}</p> });
    view! {
        <article class="question">
            <header class="byline">
                <bdi class="author">{escape_invisible(&item.message.author.name)}</bdi> {utc_time(item.at)}
            </header>
            <p class="message-text">{escape_invisible(&item.message.content)}</p>
            {files}
        </article>
    }
    .into_any()
}

fn answer(run: &RunView, agents: &[(String, String)]) -> AnyView {
    let name = agents.iter().find(|(id, _)| *id == run.agent).map_or(&run.agent, |(_, name)| name);
    let end = match &run.state {
        RunState::Cancelled => Some("Stopped before it finished.".to_owned()),
        // What failed is only for those who can see the thread itself.
        RunState::Failed { .. } => Some("The run failed.".to_owned()),
        RunState::Interrupted { .. } if run.answered.is_none() => Some("Waiting for an answer.".to_owned()),
        RunState::Waiting | RunState::Running => Some("Not finished yet.".to_owned()),
        RunState::Finished | RunState::Interrupted { .. } => None,
    };
    // With the messages that the agent read at their places.
    let parts = run.parts(0).into_iter().map(|(nodes, read)| {
        view! { {nodes.iter().filter_map(|node| part(run, node)).collect_view()} {read.map(question)} }
    });
    view! {
        <article class="run">
            <header class="byline"><bdi class="author">{escape_invisible(&run.author(name))}</bdi> {utc_time(run.started_at)}</header>
            <div class="run-body">
                {parts.collect_view()}
                {end.map(|end| view! { <p class="quiet">{end}</p> })}
            </div>
        </article>
    }
    .into_any()
}

/// A part of the answer; `None` for what is not: work of sub-agents that are not reports, and texts of other roles.
fn part(run: &RunView, node: &Node) -> Option<AnyView> {
    let is_in_report = |id: &String| {
        let parent = run.nodes.iter().find(|parent| parent.id == *id);
        parent.is_some_and(|parent| matches!(&parent.body, NodeBody::Subagent { name, .. } if is_report(name)))
    };
    if !node.within.as_ref().is_none_or(is_in_report) {
        return None;
    }
    match &node.body {
        NodeBody::Text { text, role: TextRole::Assistant } if !text.trim().is_empty() => {
            let html = to_html(text_of(node));
            Some(view! { <div class="markdown" inner_html=html></div> }.into_any())
        }
        NodeBody::Tool { name, .. } => {
            Some(view! { <p class="quiet">{format!("Used the tool {}.", escape_invisible(name))}</p> }.into_any())
        }
        NodeBody::Custom { name, value } if name == CHART || name == TABLE => Some(figure(name, value.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        Author, RunId, ThreadEntry, ThreadId, UserId, UserMessage,
        agui::{Event, RunStarted, TextMessageContent, TextMessageStart},
    };

    #[test]
    fn a_document_has_messages_answers_and_what_the_agent_read_meanwhile_as_text() {
        let (mut thread, thread_id, run_id) = (ThreadView::default(), ThreadId::new(), RunId::new());
        let author = Author { id: UserId::new(), name: "Ada <b>".into() };
        let asked = UserMessage::new(author.clone(), "How <script>?", run_id, "analyst");
        let read = UserMessage::new(author, "In euros", RunId::new(), "analyst");
        let agent = |event: Event| ThreadEntry::Agent { run_id, event: Box::new(event) };
        for entry in [
            ThreadEntry::Message { message: asked },
            agent(RunStarted::new(thread_id, run_id).into()),
            agent(TextMessageStart::new("a").into()),
            agent(TextMessageContent::new("a", "First **part**").into()),
            ThreadEntry::Message { message: read.clone() },
            ThreadEntry::Read { message_id: read.id, run_id },
            agent(TextMessageStart::new("b").into()),
            agent(TextMessageContent::new("b", "Second <i>part</i>").into()),
        ] {
            thread.apply(1, entry);
        }
        let document =
            ThreadDocument { thread, agents: vec![("analyst".into(), "Analyst".into())], note: "A note".into() };
        let owner = Owner::new();
        let html =
            owner.with(|| thread_document(LeptosOptions::builder().output_name("netra").build(), document).to_html());
        let places = ["How &lt;script&gt;?", "Analyst", "<strong>part</strong>", "In euros", "Second &lt;i&gt;part"];
        let places = places.map(|text| html.find(text).unwrap_or_else(|| panic!("{text} is missing: {html}")));
        assert!(places.is_sorted(), "{html}");
        assert!(html.contains("Ada &lt;b&gt;") && !html.contains("<form"), "{html}");
    }
}
