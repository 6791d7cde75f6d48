//! Titles of threads that the model of their agent makes.

use std::sync::Arc;

use netra::{
    protocol::{
        CreateTemporaryThread, CreateThread, Entry, RenameThread, SendMessage, ThreadId, ThreadInfo, UserEntry,
    },
    server::{
        channel::Channel,
        threads::{self, TemporaryLimits},
        usage,
    },
    thread::RunState,
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{
    model::{
        Harness, Model,
        server::{Piece, Reply, end, error_reply, text, text_reply},
    },
    support::store::on_both_engines,
};

const QUESTION: &str = "Where do my tokens go?";

async fn with_titles(model: &Model) -> Harness {
    Harness::with(model, json!({"titles": true})).await
}

/// The title in the thread's log.
async fn title(harness: &Harness) -> String {
    harness.view().await.info.expect("the thread exists").title
}

/// The titles in the owner's feed, oldest first, each once.
async fn titles_in_feed(harness: &Harness) -> Vec<String> {
    let entries = harness.entries(Channel::User(harness.user.id)).await;
    let title = |entry| match entry {
        Entry::User(UserEntry::Thread { thread: ThreadInfo { title, .. } }) => Some(title),
        _ => None,
    };
    let mut titles: Vec<String> = entries.into_iter().filter_map(title).collect();
    titles.dedup();
    titles
}

/// Waits until the model got so many requests.
async fn until_requests(model: &Model, count: usize) {
    let wait = async {
        while model.requests().len() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::TEST_TIMEOUT, wait).await.expect("the model is asked in time");
}

/// Waits until so many input tokens are counted.
async fn until_tokens(harness: &Harness, tokens: u64) {
    let wait = async {
        while usage::today(&harness.channels, harness.user.id).await.expect("the usage is read").tokens < tokens {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::TEST_TIMEOUT, wait).await.expect("the usage is counted in time");
}

/// A reply of text that ends when there is a permit.
fn gated(words: &str, gate: &Arc<Semaphore>) -> Reply {
    let pieces = [Piece::Gate(gate.clone()), text(words)].into_iter();
    Reply::Stream(pieces.chain(end("stop", 100, 10)).collect())
}

#[tokio::test]
async fn a_model_names_a_thread_once_after_its_first_answer() {
    let gate = Arc::new(Semaphore::new(0));
    let model = Model::with([
        text_reply(&"Into reports. ".repeat(1_000)),
        gated("**\"Token costs.\"**\n\nA short title.", &gate),
        text_reply("Yes."),
    ])
    .await;
    let harness = with_titles(&model).await;
    let run = harness.ask(QUESTION).await;
    assert_eq!(run.state, RunState::Finished, "the run does not wait for the title");
    assert_eq!(title(&harness).await, QUESTION);
    until_requests(&model, 2).await;
    gate.add_permits(1);
    harness.until(|view| view.info.as_ref().is_some_and(|info| info.title == "Token costs")).await;
    assert_eq!(titles_in_feed(&harness).await, ["New thread", QUESTION, "Token costs"]);
    let request = &model.requests()[1].body;
    let sent = request["messages"][1]["content"].as_str().expect("text");
    assert!(sent.contains(QUESTION) && sent.contains("Into reports.") && sent.len() < 5_000, "{sent}");
    assert!(request.get("tools").is_none() && request["max_tokens"] == 512, "{request}");
    // Both requests count as usage; only one as a run.
    until_tokens(&harness, 220).await;
    let report = usage::report(&harness.channels, 1, 0).await.expect("the usage is read");
    assert_eq!((report.rows.len(), report.rows[0].sum.runs, report.rows[0].sum.input_tokens), (1, 1, 200));
    assert!(report.rows[0].sum.cost_usd > 0.0);
    harness.ask("Sure?").await;
    harness.until_idle().await;
    assert_eq!(model.requests().len(), 3, "no second request for a title");
    assert_eq!(title(&harness).await, "Token costs");
}

#[tokio::test]
async fn without_a_usable_answer_the_title_stays_and_the_run_is_finished() {
    let refusal = "I'm sorry, I can't help with that.";
    for reply in
        [text_reply(""), text_reply(refusal), error_reply(500, "oops", "It broke."), Reply::Stream(vec![Piece::Cut])]
    {
        let model = Model::with([text_reply("Into reports."), reply]).await;
        let harness = with_titles(&model).await;
        let run = harness.ask(QUESTION).await;
        until_requests(&model, 2).await;
        harness.runner.shutdown(crate::support::TEST_TIMEOUT).await;
        assert_eq!((run.state, title(&harness).await.as_str()), (RunState::Finished, QUESTION));
        assert_eq!(titles_in_feed(&harness).await, ["New thread", QUESTION]);
    }
}

#[tokio::test]
async fn a_title_that_a_person_sets_meanwhile_stays() {
    let gate = Arc::new(Semaphore::new(0));
    let model = Model::with([text_reply("Into reports."), gated("Token costs", &gate)]).await;
    let harness = with_titles(&model).await;
    harness.ask(QUESTION).await;
    until_requests(&model, 2).await;
    let rename = |title: &str| RenameThread { thread_id: harness.thread, title: title.into() };
    // Even if it is the one that the thread had.
    for words in ["Mine", QUESTION] {
        threads::rename(&harness.channels, &harness.user, &rename(words)).await.expect("it is renamed");
    }
    gate.add_permits(1);
    until_tokens(&harness, 220).await;
    assert_eq!(title(&harness).await, QUESTION);
}

#[tokio::test]
async fn no_title_is_asked_for_where_a_person_gave_one_the_thread_is_temporary_or_the_agent_makes_none() {
    let model = Model::with([text_reply("One."), text_reply("Two."), text_reply("Three.")]).await;
    let mut harness = with_titles(&model).await;
    let (channels, user) = (harness.channels.clone(), harness.user.clone());
    let temporary = CreateTemporaryThread { thread_id: ThreadId::new(), agent: None };
    let limits = TemporaryLimits::default();
    threads::create_temporary(&channels, &user, &temporary, ("model", limits)).await.expect("it is created");
    let named = CreateThread { thread_id: ThreadId::new(), title: Some("Mine".into()), agent: None };
    threads::create(&channels, &user, &named, "model").await.expect("it is created");
    for (thread, expected) in [(temporary.thread_id, QUESTION), (named.thread_id, "Mine")] {
        harness.thread = thread;
        harness.ask(QUESTION).await;
        assert_eq!(title(&harness).await, expected);
    }
    harness.until_idle().await;
    assert_eq!(model.requests().len(), 2);
    let model = Model::with([text_reply("One.")]).await;
    let harness = Harness::new(&model).await;
    harness.ask(QUESTION).await;
    harness.until_idle().await;
    assert_eq!((model.requests().len(), title(&harness).await.as_str()), (1, QUESTION));
}

#[tokio::test]
async fn one_node_of_several_asks_and_a_persons_title_wins_in_the_store() {
    on_both_engines(async |store| {
        let [(here, _), (there, _)] = [store.node().await, store.node().await];
        let create = async |first: Option<&str>| {
            let thread = store.create_thread(&here).await;
            if let Some(text) = first {
                let command = SendMessage::new(thread, text);
                threads::send(&here, &store.user, &command, None, |_| Ok("script".into())).await.expect("it is sent");
            }
            thread
        };
        let claim = async |channels, thread| {
            threads::claim_title_request(channels, thread, "script").await.expect("the store works")
        };
        assert!(!claim(&here, create(None).await).await, "without a message there is no title to replace");
        let thread = create(Some(QUESTION)).await;
        assert!(!threads::claim_title_request(&here, thread, "other").await.expect("the store works"));
        let (one, other) = tokio::join!(claim(&here, thread), claim(&there, thread));
        assert!(one != other, "once");
        assert!(!claim(&here, thread).await);
        let place = (store.user.id, thread, "script");
        let set = async |answer| {
            threads::store_model_title(&there, place, Some(answer), (&[], None)).await.expect("the store works")
        };
        let title = async || here.thread(thread).await.expect("it is read").1.info.expect("a thread").title;
        assert!(set("Token costs").await && title().await == "Token costs");
        assert!(!set("Other costs").await && title().await == "Token costs");
        let thread = create(Some(QUESTION)).await;
        assert!(claim(&here, thread).await);
        let rename = RenameThread { thread_id: thread, title: "Mine".into() };
        threads::rename(&there, &store.user, &rename).await.expect("it is renamed");
        let place = (store.user.id, thread, "script");
        let is_set = threads::store_model_title(&here, place, Some("Costs"), (&[], None)).await;
        assert!(!is_set.expect("the store works"));
        let deleted = (store.user.id, ThreadId::new(), "script");
        assert!(!threads::store_model_title(&here, deleted, Some("Costs"), (&[], None)).await.expect("no thread"));
    })
    .await;
}
