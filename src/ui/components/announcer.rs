//! Announces what happens in a thread to screen readers, through a live region.

use leptos::prelude::*;

use crate::{
    protocol::RunId,
    text::escape_invisible,
    thread::{Item, Resolution, RunState, RunView},
    ui::{
        components::{open_thread::OpenThread, rendered_items::ready_thread},
        context::AppContext,
        format::sentence,
    },
};

/// Only changes of the newest items are announced.
const MAX_ITEMS: usize = 16;

/// What to announce about a run; empty while it waits. Never its text: that would be read piece by piece.
fn announcement(run: &RunView, agent: &str) -> String {
    match (&run.state, &run.answered) {
        (RunState::Waiting, _) => String::new(),
        (RunState::Running, _) => format!("{agent} is answering."),
        (RunState::Finished, _) => format!("{agent} has answered."),
        (RunState::Cancelled, _) => format!("{agent} was stopped."),
        (RunState::Failed { message, .. }, _) => format!("{agent} failed. {}", sentence(message)),
        (RunState::Interrupted { interrupts }, None) => {
            let question = interrupts.iter().find_map(|interrupt| interrupt.message.as_deref());
            format!("{agent} is waiting for you. {}", sentence(question.unwrap_or_default()))
        }
        (RunState::Interrupted { .. }, Some(Resolution::Answered { author, .. })) => {
            format!("Answered by {}.", escape_invisible(&author.name))
        }
        (RunState::Interrupted { .. }, Some(Resolution::Abandoned)) => String::new(),
    }
}

/// The announcements to make: those that changed, and those of runs newer than `newest`. Others only came into view, as when an
/// older version of a message is shown.
fn new_announcements(newest: Option<RunId>, before: &[(RunId, String)], now: &[(RunId, String)]) -> String {
    let is_new = |(id, text): &&(RunId, String)| match before.iter().find(|(known, _)| known == id) {
        Some((_, text_before)) => text_before != text,
        None => newest.is_none_or(|newest| *id > newest),
    };
    now.iter().filter(is_new).map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// The live region.
#[component]
pub(crate) fn Announcer() -> impl IntoView {
    let OpenThread { view, .. } = expect_context();
    let app: AppContext = expect_context();
    let announcements = Memo::new(move |_| {
        view.with(|view| {
            let items = ready_thread(view)?.items.iter().rev().take(MAX_ITEMS);
            let runs = items.filter_map(|item| match item {
                Item::Run(run) => Some((run.run_id, announcement(run, &app.agent_name(&run.agent)))),
                Item::Message(_) => None,
            });
            Some(runs.collect::<Vec<_>>())
        })
    });
    let text = RwSignal::new(String::new());
    let newest = StoredValue::new(None::<RunId>);
    Effect::new(move |before: Option<Option<Vec<(RunId, String)>>>| {
        let now = announcements.get();
        if let (Some(Some(before)), Some(now)) = (before, &now) {
            let new = new_announcements(newest.get_value(), &before, now);
            if !new.is_empty() {
                text.set(new);
            }
        }
        let seen = now.iter().flatten().map(|(id, _)| *id).max();
        newest.update_value(|newest| *newest = seen.max(*newest));
        now
    });
    view! { <p class="sr-only" role="status">{text}</p> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_newer_runs_are_announced() {
        let ids: Vec<RunId> = (0..3).map(|_| RunId::new()).collect();
        let run = |index: usize, text: &str| (ids[index], text.to_owned());
        let newest = Some(ids[1]);
        assert_eq!(new_announcements(None, &[], &[run(0, "A.")]), "A.");
        assert_eq!(new_announcements(newest, &[run(1, "")], &[run(1, "B.")]), "B.");
        assert_eq!(new_announcements(newest, &[run(1, "B.")], &[run(1, "B.")]), "");
        assert_eq!(new_announcements(newest, &[run(1, "B.")], &[run(0, "A.")]), "", "an older version came into view");
        assert_eq!(new_announcements(newest, &[run(0, "A.")], &[run(1, "B.")]), "", "and the newer one again");
        assert_eq!(new_announcements(newest, &[run(1, "B.")], &[run(2, "C."), run(1, "")]), "C.");
    }
}
