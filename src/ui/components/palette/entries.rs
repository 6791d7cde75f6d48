//! What the palette offers: actions, threads and agents, ranked by how well they match.

use leptos::prelude::*;

use super::matching::{Piece, match_text, pieces};
use crate::{
    protocol::{ThreadId, http::AgentInfo},
    socket::context::Socket,
    ui::{
        components::{
            icons::Glyph,
            shown_thread::ShownThread,
            sidebar::display_title,
            theme::{Theme, ThemeChoice},
        },
        context::AppContext,
        shortcuts::Shortcut,
    },
};

/// How many entries a section has at most while nothing is typed.
const MAX_SUGGESTED: usize = 5;
/// How many entries a section has at most.
const MAX_ENTRIES: usize = 8;

/// What an entry does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Open(String),
    NewThreadWith(String),
    UseTheme(ThemeChoice),
    StopRun,
    JumpToEnd,
    ListShortcuts,
    Import,
    Prompts,
    SignOut,
    UseAgent(String),
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) glyph: Glyph,
    pub(super) title: Vec<Piece>,
    /// A second line.
    pub(super) about: Vec<Piece>,
    pub(super) shortcut: Option<Shortcut>,
    pub(super) target: Target,
    /// Whether it is shown but cannot be chosen.
    pub(super) is_disabled: bool,
    score: u32,
}

/// Entries of one kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) entries: Vec<Entry>,
}

impl Section {
    /// The best entries; ties keep their order.
    fn best(title: &'static str, query: &str, entries: impl Iterator<Item = Entry>) -> Self {
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.score));
        entries.truncate(if query.is_empty() { MAX_SUGGESTED } else { MAX_ENTRIES });
        Self { title, entries }
    }

    fn score(&self) -> u32 {
        self.entries.first().map_or(0, |entry| entry.score)
    }
}

impl Entry {
    /// An entry if its title matches the query.
    fn matching(query: &str, glyph: Glyph, title: &str, target: Target) -> Option<Self> {
        let found = match_text(query, title)?;
        let title = pieces(title, &found);
        Some(Self { glyph, title, about: Vec::new(), shortcut: None, target, is_disabled: false, score: found.score })
    }

    /// An entry that the server found.
    pub(super) fn found(glyph: Glyph, title: String, about: Vec<Piece>, target: Target) -> Self {
        Self { glyph, title: vec![(title, false)], about, shortcut: None, target, is_disabled: false, score: 0 }
    }
}

/// Where the entries come from.
#[derive(Clone, Copy)]
pub(super) struct Sources {
    pub(super) socket: Socket,
    pub(super) app: AppContext,
    pub(super) shown_thread: ShownThread,
    pub(super) theme: Theme,
    is_running: Memo<bool>,
}

impl Sources {
    pub(super) fn from_context(socket: Socket) -> Self {
        let shown_thread: ShownThread = expect_context();
        let is_running = Memo::new(move |_| shown_thread.running().is_some());
        Self { socket, app: expect_context(), shown_thread, theme: expect_context(), is_running }
    }

    /// The sections that match, best first; without a query the latest threads first. Reactive.
    pub(super) fn sections(self, query: &str) -> Vec<Section> {
        let threads = if query.is_empty() { "Recent threads" } else { "Threads" };
        let mut sections = vec![
            Section::best(threads, query, self.threads(query).into_iter()),
            self.actions(query),
            Section::best("Agents", query, self.agents(query).into_iter()),
        ];
        sections.retain(|section| !section.entries.is_empty());
        sections.sort_by_key(|section| std::cmp::Reverse(section.score()));
        sections
    }

    fn threads(self, query: &str) -> Vec<Entry> {
        let entry = |id: ThreadId, title: &str| {
            Entry::matching(query, Glyph::Thread, &display_title(title), Target::Open(thread_address(id)))
        };
        self.socket.feed().with(|feed| {
            let listed = feed.threads.iter().filter(|thread| thread.info.temporary.is_none());
            listed.filter_map(|thread| entry(thread.info.id, &thread.info.title)).collect()
        })
    }

    /// Agents to start a thread with, if there are several.
    fn agents(self, query: &str) -> Vec<Entry> {
        let entry = |agent: &AgentInfo| {
            let title = format!("New thread with {}", agent.name);
            let target = Target::NewThreadWith(agent.id.clone());
            let entry = Entry::matching(query, Glyph::Spark, &title, target)?;
            Some(Entry { about: vec![(agent.description.clone(), false)], ..entry })
        };
        self.app.agents.with_value(|agents| {
            let usable = agents.iter().filter(|agent| agents.len() > 1 && agent.disabled.is_none());
            usable.filter_map(entry).collect()
        })
    }

    fn actions(self, query: &str) -> Section {
        let is_admin = self.socket.is_admin();
        let shown = self.shown_thread.get().is_some();
        let theme = self.theme.choice();
        let open = |path: &str| Target::Open(path.to_owned());
        let all = [
            (self.is_running.get(), Glyph::Stop, "Stop the answer", Some(Shortcut::StopRun), Target::StopRun),
            (true, Glyph::Plus, "New thread", Some(Shortcut::NewThread), open("/")),
            (true, Glyph::Inbox, "Inbox", None, open("/inbox")),
            (shown, Glyph::Down, "Jump to the latest message", None, Target::JumpToEnd),
            (true, Glyph::Edit, "Your account", None, open("/account")),
            (is_admin, Glyph::Tool, "Agents, tools, usage", None, open("/admin/agents")),
            (true, Glyph::File, "Prompts", None, Target::Prompts),
            (true, Glyph::Download, "Import conversations", None, Target::Import),
            (true, Glyph::Question, "Keyboard shortcuts", Some(Shortcut::ListShortcuts), Target::ListShortcuts),
            theme_action(theme, ThemeChoice::Light, Glyph::Sun, "Use the light theme"),
            theme_action(theme, ThemeChoice::Dark, Glyph::Moon, "Use the dark theme"),
            theme_action(theme, ThemeChoice::System, Glyph::System, "Use the system’s theme"),
            (true, Glyph::SignOut, "Sign out", None, Target::SignOut),
        ];
        let available = all.into_iter().filter(|(is_available, ..)| *is_available);
        let entries = available.filter_map(|(_, glyph, title, shortcut, target)| {
            Some(Entry { shortcut, ..Entry::matching(query, glyph, title, target)? })
        });
        // All of them: without a query, they show what the palette can do.
        let mut entries: Vec<Entry> = entries.collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.score));
        Section { title: "Actions", entries }
    }
}

/// The agents whose name or description matches, best first, each with its description or why it is not available.
pub(super) fn agents_to_choose(query: &str, agents: &[AgentInfo]) -> Section {
    let entry = |agent: &AgentInfo| {
        let target = Target::UseAgent(agent.id.clone());
        let about = match (&agent.disabled, &agent.unavailable) {
            (Some(why), _) | (None, Some(why)) => format!("Not available: {why}"),
            (None, None) => agent.description.clone(),
        };
        let by_name = Entry::matching(query, Glyph::Spark, &agent.name, target.clone());
        let by_description = || {
            match_text(query, &agent.description)?;
            Some(Entry::found(Glyph::Spark, agent.name.clone(), Vec::new(), target))
        };
        let entry = by_name.or_else(by_description)?;
        Some(Entry { about: vec![(about, false)], is_disabled: agent.disabled.is_some(), ..entry })
    };
    let mut entries: Vec<Entry> = agents.iter().filter_map(entry).collect();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.score));
    Section { title: "Agents", entries }
}

/// The address of a thread's page.
pub(super) fn thread_address(id: ThreadId) -> String {
    format!("/threads/{id}")
}

type Action = (bool, Glyph, &'static str, Option<Shortcut>, Target);

/// The action that chooses another theme.
fn theme_action(current: ThemeChoice, choice: ThemeChoice, glyph: Glyph, title: &'static str) -> Action {
    (current != choice, glyph, title, None, Target::UseTheme(choice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_found_by_name_or_description_and_say_why_they_are_not_available() {
        let mut broken = AgentInfo::new("broken", "Broken", "Draws charts");
        broken.disabled = Some("no url".into());
        let mut resting = AgentInfo::new("resting", "Resting chart", "Draws charts too");
        resting.unavailable = Some("it does not respond".into());
        let agents = [broken, resting, AgentInfo::new("other", "Other", "Writes")];
        let found = agents_to_choose("chart", &agents).entries;
        let texts: Vec<(Vec<Piece>, bool)> = found.into_iter().map(|entry| (entry.about, entry.is_disabled)).collect();
        assert_eq!(texts[0], (vec![("Not available: it does not respond".to_owned(), false)], false));
        assert_eq!(texts[1], (vec![("Not available: no url".to_owned(), false)], true));
        assert_eq!(texts.len(), 2);
    }

    #[test]
    fn the_best_entries_come_first_and_ties_keep_their_order() {
        let titles = ["A token", "Tokens", "No match", "My token"];
        let entries = |query: &'static str| {
            titles.into_iter().filter_map(move |title| Entry::matching(query, Glyph::Spark, title, Target::StopRun))
        };
        let section = Section::best("Threads", "token", entries("token"));
        let found: Vec<String> =
            section.entries.iter().map(|entry| entry.title.iter().map(|(part, _)| part.as_str()).collect()).collect();
        assert_eq!(found, ["Tokens", "A token", "My token"]);
        assert_eq!(Section::best("Threads", "", entries("")).entries.len(), titles.len());
        let many = (0..100).filter_map(|_| Entry::matching("a", Glyph::Spark, "a", Target::StopRun));
        assert_eq!(Section::best("Threads", "a", many).entries.len(), MAX_ENTRIES);
    }
}
