//! What happens in a thread, for who listens and does not look: said politely, while the focus stays where it is.

use leptos::prelude::*;

use crate::{
    protocol::RunId,
    text::visible,
    thread::{Answered, Item, RunState, RunView},
    ui::{
        components::conversation::{Conversation, ready_thread},
        context::AppContext,
        format::sentence,
    },
};

/// How many of the newest items are listened to.
const NEWEST: usize = 16;

/// What there is to say of a run; nothing while it goes on.
fn words(run: &RunView, agent: &str) -> String {
    match (&run.state, &run.answered) {
        (RunState::Waiting | RunState::Running, _) => String::new(),
        (RunState::Finished, _) => format!("{agent} has answered."),
        (RunState::Cancelled, _) => format!("{agent} was stopped."),
        (RunState::Failed { message, .. }, _) => format!("{agent} failed. {}", sentence(message)),
        (RunState::Interrupted { interrupts }, None) => {
            let asked = interrupts.iter().find_map(|interrupt| interrupt.message.as_deref());
            format!("{agent} waits for you. {}", sentence(asked.unwrap_or_default()))
        }
        (RunState::Interrupted { .. }, Some(Answered::By { author, .. })) => {
            format!("Answered by {}.", visible(&author.name))
        }
        (RunState::Interrupted { .. }, Some(Answered::GivenUp)) => String::new(),
    }
}

/// What is new among what there is to say: what changed, and runs newer than any before. What comes into view again, as
/// an older version of a question does, is not.
fn news(newest: Option<RunId>, before: &[(RunId, String)], now: &[(RunId, String)]) -> String {
    let is_new = |(id, words): &&(RunId, String)| match before.iter().find(|(known, _)| known == id) {
        Some((_, said)) => said != words,
        None => newest.is_none_or(|newest| *id > newest),
    };
    now.iter().filter(is_new).map(|(_, words)| words.as_str()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Says it.
#[component]
pub(crate) fn Announcer() -> impl IntoView {
    let Conversation { view, .. } = expect_context();
    let app: AppContext = expect_context();
    let told = Memo::new(move |_| {
        view.with(|view| {
            let items = ready_thread(view)?.items.iter().rev().take(NEWEST);
            let runs = items.filter_map(|item| match item {
                Item::Run(run) => Some((run.run_id, words(run, &app.agent_name(&run.agent)))),
                Item::Message(_) => None,
            });
            Some(runs.collect::<Vec<_>>())
        })
    });
    let said = RwSignal::new(String::new());
    let newest = StoredValue::new(None::<RunId>);
    Effect::new(move |before: Option<Option<Vec<(RunId, String)>>>| {
        let now = told.get();
        if let (Some(Some(before)), Some(now)) = (before, &now) {
            let news = news(newest.get_value(), &before, now);
            if !news.is_empty() {
                said.set(news);
            }
        }
        let seen = now.iter().flatten().map(|(id, _)| *id).max();
        newest.update_value(|newest| *newest = seen.max(*newest));
        now
    });
    view! { <p class="sr-only" role="status">{said}</p> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_and_what_began_is_news_and_what_was_there_is_not() {
        let ids: Vec<RunId> = (0..3).map(|_| RunId::new()).collect();
        let told = |at: usize, words: &str| (ids[at], words.to_owned());
        let newest = Some(ids[1]);
        assert_eq!(news(None, &[], &[told(0, "A.")]), "A.");
        assert_eq!(news(newest, &[told(1, "")], &[told(1, "B.")]), "B.");
        assert_eq!(news(newest, &[told(1, "B.")], &[told(1, "B.")]), "");
        assert_eq!(news(newest, &[told(1, "B.")], &[told(0, "A.")]), "", "an older version came into view");
        assert_eq!(news(newest, &[told(0, "A.")], &[told(1, "B.")]), "", "and the newer one again");
        assert_eq!(news(newest, &[told(1, "B.")], &[told(2, "C."), told(1, "")]), "C.");
    }
}
