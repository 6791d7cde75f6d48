//! Importing conversations of other programs over HTTP.

use netra::{
    protocol::{
        SendMessage, ThreadId,
        http::{ImportFormat, ImportReport, ThreadPage},
    },
    server::{
        clock::now_ms,
        threads::{self, Imported},
    },
    thread::{Item, ThreadView},
};
use reqwest::Method;

use crate::support::{ADA, ADMIN, Client, Setup, problem, store::on_both_engines};

const CHATGPT: &str = include_str!("../data/imports/chatgpt.json");
const OPEN_WEBUI: &str = include_str!("../data/imports/open-webui.json");

async fn post(client: &Client, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
    client.request(Method::POST, path).body(body).send().await.expect("the server answers")
}

async fn report(client: &Client, path: &str, body: &str) -> ImportReport {
    post(client, path, body.to_owned()).await.json().await.expect("a report")
}

/// The questions of a thread, in order.
fn questions(view: &ThreadView) -> Vec<&str> {
    let question = |item: &'_ Item| matches!(item, Item::Message(_));
    let messages = view.items.iter().filter(|item| question(item));
    messages
        .filter_map(|item| if let Item::Message(item) = item { Some(item.message.content.as_str()) } else { None })
        .collect()
}

#[tokio::test]
async fn a_file_is_checked_then_imported_once() {
    let server = Setup::default().start().await;
    server.add_member(ADA).await;
    let client = server.signed_in(ADMIN).await;
    let checked = report(&client, "/api/import?check=true", CHATGPT).await;
    let expected = ImportReport {
        format: ImportFormat::ChatGpt,
        conversations: 1,
        empty: 1,
        omitted: 2,
        imported: 0,
        known: 0,
        next: None,
    };
    assert_eq!(checked, expected);
    let page = async || client.get("/api/threads").await.json::<ThreadPage>().await.expect("a page").threads;
    assert!(page().await.is_empty(), "checking stores nothing");
    assert_eq!(report(&client, "/api/import", CHATGPT).await, ImportReport { imported: 1, ..expected.clone() });
    assert_eq!(report(&client, "/api/import", CHATGPT).await, ImportReport { known: 1, ..expected.clone() });
    let threads = page().await;
    let [thread] = &threads[..] else { panic!("{threads:?}") };
    assert_eq!((thread.info.title.as_str(), thread.info.created_at), ("Coffee ratio", 1_700_000_000_500));
    assert_eq!(thread.active_at, 1_700_000_001_000, "it is listed with its date");
    // What another person imports is theirs.
    let ada = server.signed_in(ADA).await;
    assert_eq!(report(&ada, "/api/import", CHATGPT).await.imported, 1);
    // The export of the thread is read, too.
    let exported = client.get(&format!("/api/threads/{}/export?format=jsonl", thread.info.id)).await;
    let own = report(&client, "/api/import", &exported.text().await.expect("a text")).await;
    assert_eq!((own.format, own.conversations, own.imported), (ImportFormat::Netra, 1, 1));
}

#[tokio::test]
async fn wrong_files_are_refused_and_change_nothing() {
    let server = Setup::default().start().await;
    let client = server.signed_in(ADMIN).await;
    let refused = post(&client, "/api/import", "[\n{\"mapping\": 1}]").await;
    let body = problem(refused, 422, "invalid_payload").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("line 2")), "{body}");
    problem(post(&client, "/api/import?check=maybe", "[]").await, 422, "invalid_payload").await;
    assert_eq!(post(&Client::new(&server), "/api/import", "[]").await.status(), 401);
}

#[tokio::test]
async fn an_imported_conversation_has_its_branches_and_goes_on() {
    on_both_engines(async |store| {
        let (channels, _) = store.node().await;
        let export = threads::read_export(OPEN_WEBUI.as_bytes(), 1 << 20).expect("it is read");
        let import = async || {
            let conversation = &export.conversations[0];
            threads::import(&channels, &store.user, "script", export.format, conversation).await.expect("it is stored")
        };
        assert_eq!(import().await, Imported::New);
        assert_eq!(import().await, Imported::Before);
        let feed = channels.feed(store.user.id).await.expect("the feed").1;
        let thread: ThreadId = feed.threads[0].info.id;
        let view = channels.thread(thread).await.expect("the thread").1;
        assert_eq!(questions(&view), ["How hot for green tea?", "And white tea?", "And black tea?"]);
        assert_eq!(view.path(None).len(), 4, "the newest branch is the one that was shown");
        assert!(view.runs().all(|run| run.state.is_over()));
        let newer = store.create_thread(&channels).await;
        let command = SendMessage::new(thread, "And fruit tea?");
        threads::send(&channels, &store.user, &command, None, |agent| Ok(agent.to_owned())).await.expect("it is sent");
        let view = channels.thread(thread).await.expect("the thread").1;
        assert_eq!(view.path(None).len(), 6);
        let feed = channels.feed(store.user.id).await.expect("the feed").1;
        assert_eq!(feed.threads[0].info.id, thread, "it is active again");
        assert!(feed.threads[0].active_at > now_ms() - 60_000 && feed.thread(newer).is_some());
    })
    .await;
}
