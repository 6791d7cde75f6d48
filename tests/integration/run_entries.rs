//! `GET /api/runs/<run_id>/entries`: the entries of one run, in pages.

use netra::{
    protocol::{
        DeleteThread, ErrorCode, RunId, ThreadEntry, ThreadId, UserId,
        agui::{
            Event, RunFinished, RunStarted, StepFinished, StepStarted, TextMessageContent, TextMessageEnd,
            TextMessageStart,
        },
        http::{RunEntries, RunEntry},
    },
    server::{channel::Channels, error::Error, threads},
    thread::{RunState, ThreadView},
};
use serde_json::json;

use crate::support::{
    ADA, ADMIN, Client, Deployment, Setup, problem, replay_agent,
    store::{TestStore, on_both_engines},
};

async fn append(channels: &Channels, thread: ThreadId, run_id: RunId, events: Vec<Event>) {
    let entry = |event| ThreadEntry::Agent { run_id, event: Box::new(event) };
    let entries: Vec<ThreadEntry> = events.into_iter().map(entry).collect();
    channels.append(thread, run_id, &entries).await.expect("the entries are appended").expect("the run is open");
}

fn text(pieces: impl IntoIterator<Item = String>) -> Vec<Event> {
    let mut events: Vec<Event> = vec![TextMessageStart::new("m").into()];
    events.extend(pieces.into_iter().map(|piece| Event::from(TextMessageContent::new("m", piece))));
    events.push(TextMessageEnd::new("m").into());
    events
}

/// All pages of a run's entries, with at most `limit` in each.
async fn pages(test_store: &TestStore, channels: &Channels, run: RunId, limit: usize) -> Vec<Vec<RunEntry>> {
    let (mut pages, mut after) = (Vec::new(), 0);
    loop {
        let page = threads::run_entries(channels, test_store.user.id, run, after, limit).await.expect("a page");
        assert!(page.entries.len() <= limit, "{}", page.entries.len());
        pages.push(page.entries);
        let Some(next) = page.next else { return pages };
        assert!(next > after, "the next page is further on");
        after = next;
    }
}

#[tokio::test]
async fn a_runs_entries_are_those_of_no_other_run_from_its_message_to_its_end() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let first = test_store.create_run(&channels, thread).await;
        append(&channels, thread, first, vec![RunStarted::new(thread, first).into()]).await;
        // Its message is in the log before the first run ends.
        let second = test_store.create_run(&channels, thread).await;
        append(&channels, thread, first, text((0..300).map(|number| format!("{number} ")))).await;
        append(&channels, thread, first, vec![RunFinished::new(thread, first).into()]).await;
        let steps: Vec<Event> = vec![
            RunStarted::new(thread, second).into(),
            StepStarted::new("look").into(),
            StepFinished::new("look").into(),
            RunFinished::new(thread, second).into(),
        ];
        append(&channels, thread, second, steps).await;

        let entries = pages(test_store, &channels, second, 500).await.concat();
        assert_eq!(entries.len(), 5, "the message and four events");
        assert!(matches!(&entries[0].entry, ThreadEntry::Message { message } if message.run_id == second));
        assert!(entries.iter().all(|entry| entry.entry.run_id() == Some(second)));
        assert!(entries.is_sorted_by(|one, other| one.seq < other.seq && one.at <= other.at));

        let in_pages = pages(test_store, &channels, first, 100).await;
        assert_eq!(in_pages.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 100, 5]);
        assert_eq!(in_pages.concat(), pages(test_store, &channels, first, 1_000).await.concat());
    })
    .await;
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_and_in_how_much_of_the_log_is_read() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let long = test_store.create_run(&channels, thread).await;
        append(&channels, thread, long, vec![RunStarted::new(thread, long).into()]).await;
        let other = test_store.create_run(&channels, thread).await;
        append(&channels, thread, long, text((0..20).map(|_| "x".repeat(200_000)))).await;
        let page = threads::run_entries(&channels, test_store.user.id, long, 0, 1_000).await.expect("a page");
        assert!((3..12).contains(&page.entries.len()) && page.next.is_some(), "{}", page.entries.len());
        assert_eq!(pages(test_store, &channels, long, 1_000).await.concat().len(), 24, "the run has not ended");

        append(&channels, thread, long, text((0..5_000).map(|number| number.to_string()))).await;
        append(&channels, thread, long, vec![RunFinished::new(thread, long).into()]).await;
        append(&channels, thread, other, vec![RunStarted::new(thread, other).into()]).await;
        let page = threads::run_entries(&channels, test_store.user.id, other, 0, 1_000).await.expect("a page");
        assert!(page.entries.len() == 1 && page.next.is_some(), "only a part of the log was read");
        assert_eq!(pages(test_store, &channels, other, 1_000).await.concat().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_run_of_another_person_or_of_a_deleted_thread_is_not_found() {
    on_both_engines(async |test_store| {
        let (channels, _) = test_store.node().await;
        let thread = test_store.create_thread(&channels).await;
        let run = test_store.create_run(&channels, thread).await;
        let owner = test_store.user.id;
        let count = async |user: UserId, run: RunId| match threads::run_entries(&channels, user, run, 0, 10).await {
            Ok(page) => Some(page.entries.len()),
            Err(Error::Refused(body)) if body.code == ErrorCode::NotFound => None,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(count(owner, run).await, Some(1));
        assert_eq!(count(UserId::new(), run).await, None);
        assert_eq!(count(owner, RunId::new()).await, None);
        let command = DeleteThread { thread_id: thread };
        threads::delete(&channels, &test_store.user, &command).await.expect("the thread is deleted");
        assert_eq!(count(owner, run).await, None);
    })
    .await;
}

/// Asks the replay agent in a new thread, waits for the end of the answer, and returns its run.
async fn answered_run(client: &Client) -> RunId {
    let message = json!({"id": "question", "role": "user", "content": "What did it cost?"});
    let input = json!({
        "threadId": "entries", "runId": "run", "messages": [message], "tools": [], "context": [], "state": {}, "forwardedProps": {}
    });
    let response = client.post("/api/agents/replay/agui", &input).await;
    let events = response.text().await.expect("the events");
    assert!(events.contains("RUN_FINISHED"), "{events}");
    let started = events.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event");
    let started: serde_json::Value = serde_json::from_str(started).expect("JSON");
    started["metadata"]["netra"]["runId"].as_str().expect("an id").parse().expect("a run's id")
}

async fn entries_over_http(deployment: Deployment) {
    let server = Setup::default().deployment(deployment).file(&replay_agent(100_000)).start().await;
    let client = server.signed_in(ADMIN).await;
    let run = answered_run(&client).await;
    let path = format!("/api/runs/{run}/entries");
    let (mut view, mut address, mut last) = (ThreadView::default(), format!("{path}?limit=50"), 0);
    loop {
        let page: RunEntries = client.get(&address).await.json().await.expect("a page");
        assert!(page.entries.len() <= 50);
        for entry in page.entries {
            assert!(entry.seq > last);
            last = entry.seq;
            view.apply(entry.at, entry.entry);
        }
        let Some(next) = page.next else { break };
        address = format!("{path}?limit=50&after={next}");
    }
    let replayed = view.run(run).expect("the run");
    assert_eq!(replayed.state, RunState::Finished);
    assert!(replayed.nodes.len() > 10, "{} nodes", replayed.nodes.len());

    for query in ["limit=0", "limit=1001", "after=-1", "before=3"] {
        problem(client.get(&format!("{path}?{query}")).await, 422, "invalid_payload").await;
    }
    problem(client.get("/api/runs/nonsense/entries").await, 404, "not_found").await;
    server.add_member(ADA).await;
    problem(server.signed_in(ADA).await.get(&path).await, 404, "not_found").await;
    problem(Client::new(&server).get(&path).await, 401, "unauthorized").await;
}

#[tokio::test]
async fn the_owner_reads_a_run_over_http_on_sqlite() {
    entries_over_http(Deployment::Embedded).await;
}

#[tokio::test]
async fn the_owner_reads_a_run_over_http_on_postgresql() {
    entries_over_http(Deployment::Distributed).await;
}
