//! Files that are uploaded before their message is sent.

use std::path::{Path, PathBuf};

use netra::{
    protocol::{CreateThread, EditQueued, ErrorCode, FileId, MessageId, SendMessage, ThreadId, UserId, http::Uploaded},
    server::{quotas::unsent, store::Store},
};
use reqwest::{Method, StatusCode, multipart};
use serde_json::Value;

use crate::support::{ADA, ADMIN, Client, Deployment, Setup, TEST_TIMEOUT, TestServer, problem, replay_agent};

/// Uploads a file without a thread.
async fn upload(client: &Client, name: &str, content: &str) -> reqwest::Response {
    let part = multipart::Part::bytes(content.as_bytes().to_vec()).file_name(name.to_owned());
    let form = multipart::Form::new().part("file", part);
    client.request(Method::POST, "/api/files").multipart(form).send().await.expect("the server answers")
}

async fn uploaded(client: &Client, content: &str) -> FileId {
    let response = upload(client, "log.csv", content).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    response.json::<Uploaded>().await.expect("JSON").file_id
}

async fn id(client: &Client) -> UserId {
    let me: Value = client.get("/api/auth/me").await.json().await.expect("JSON");
    serde_json::from_value(me["user"]["id"].clone()).expect("an id")
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn folder(server: &TestServer) -> PathBuf {
    server.backends().map_or_else(|| server.data().join("files"), |backends| backends.files().to_owned())
}

async fn store(server: &TestServer) -> Store {
    match server.backends() {
        Some(backends) => Store::open_url(backends.store_url()).await,
        None => Store::open(&server.data()).await,
    }
    .expect("the store opens")
}

async fn a_file_becomes_one_of_the_thread_of_the_first_message_that_names_it(deployment: Deployment) {
    let server = Setup::default().deployment(deployment).file(&replay_agent(100_000)).start().await;
    server.add_member(ADA).await;
    let (client, ada, socket) =
        (server.signed_in(ADMIN).await, server.signed_in(ADA).await, server.socket(ADMIN).await);
    let (owner, folder) = (id(&client).await, folder(&server));
    let [first, second] = [ThreadId::new(), ThreadId::new()];
    for thread_id in [first, second] {
        let create = CreateThread { thread_id, title: None, agent: Some("replay".into()) };
        socket.send(create).await.expect("the thread is created");
    }
    let hers = uploaded(&ada, "hers").await;
    let file = uploaded(&client, "a,b\n1,2\n").await;
    assert!(unsent::path(&folder, owner, file).exists());

    let message = |thread, file| SendMessage { attachments: vec![file], ..SendMessage::new(thread, "What is in it?") };
    let refused = socket.send(message(first, hers)).await.expect_err("it is another person's file");
    assert_eq!(refused.code, ErrorCode::NotFound);
    let sent = message(first, file);
    for _ in 0..2 {
        socket.send(sent.clone()).await.expect("the message is accepted, also when it is repeated");
    }
    assert!(!unsent::path(&folder, owner, file).exists());
    let path = format!("/api/threads/{first}/files/{file}");
    assert_eq!(client.get(&path).await.text().await.expect("a text"), "a,b\n1,2\n");
    socket.send(message(first, file)).await.expect("it is a file of this thread");
    let refused = socket.send(message(second, file)).await.expect_err("it is a file of another thread");
    assert_eq!(refused.code, ErrorCode::NotFound);
    problem(client.delete(&format!("/api/files/{file}")).await, 404, "not_found").await;
    assert_eq!(client.get(&path).await.status(), StatusCode::OK);

    // A waiting message cannot take one: the page sends its new files with a message of their own.
    let later = uploaded(&client, "later").await;
    let edit =
        EditQueued { thread_id: first, message_id: MessageId::new(), text: "x".into(), attachments: Some(vec![later]) };
    assert_eq!(socket.send(edit).await.expect_err("there is no such message").code, ErrorCode::NotFound);
    problem(ada.delete(&format!("/api/files/{later}")).await, 404, "not_found").await;
    assert_eq!(client.delete(&format!("/api/files/{later}")).await.status(), StatusCode::NO_CONTENT);
    problem(client.delete(&format!("/api/files/{later}")).await, 404, "not_found").await;
    let left = files(&folder);
    assert_eq!(left.len(), 2, "the file that was sent, and Ada's: {left:?}");
}

#[tokio::test]
async fn a_file_becomes_one_of_the_thread_of_the_first_message_that_names_it_on_sqlite() {
    a_file_becomes_one_of_the_thread_of_the_first_message_that_names_it(Deployment::Embedded).await;
}

#[tokio::test]
async fn a_file_becomes_one_of_the_thread_of_the_first_message_that_names_it_on_postgresql() {
    a_file_becomes_one_of_the_thread_of_the_first_message_that_names_it(Deployment::Distributed).await;
}

async fn files_that_are_not_sent_in_time_are_deleted_and_those_that_were_sent_stay(deployment: Deployment) {
    let server = Setup::default().deployment(deployment).file(&replay_agent(100_000)).start().await;
    let (client, socket) = (server.signed_in(ADMIN).await, server.socket(ADMIN).await);
    let (thread_id, folder) = (ThreadId::new(), folder(&server));
    socket
        .send(CreateThread { thread_id, title: None, agent: Some("replay".into()) })
        .await
        .expect("the thread is created");
    let (sent, unsent) = (uploaded(&client, "sent").await, uploaded(&client, "unsent").await);
    let message = SendMessage { attachments: vec![sent], ..SendMessage::new(thread_id, "Hello") };
    socket.send(message).await.expect("the message is accepted");
    let store = store(&server).await;
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    assert_eq!(unsent::delete_expired(&store, &folder, day).await.expect("it works"), 0);
    let expire = async {
        while unsent::delete_expired(&store, &folder, std::time::Duration::ZERO).await.expect("it works") == 0 {}
    };
    tokio::time::timeout(TEST_TIMEOUT, expire).await.expect("the file expires");
    store.close().await;
    assert_eq!(files(&folder), [folder.join(thread_id.to_string()).join(sent.to_string())]);
    let message = SendMessage { attachments: vec![unsent], ..SendMessage::new(thread_id, "And this?") };
    assert_eq!(socket.send(message).await.expect_err("the file is gone").code, ErrorCode::NotFound);
}

#[tokio::test]
async fn files_that_are_not_sent_in_time_are_deleted_on_sqlite() {
    files_that_are_not_sent_in_time_are_deleted_and_those_that_were_sent_stay(Deployment::Embedded).await;
}

#[tokio::test]
async fn files_that_are_not_sent_in_time_are_deleted_on_postgresql() {
    files_that_are_not_sent_in_time_are_deleted_and_those_that_were_sent_stay(Deployment::Distributed).await;
}

#[tokio::test]
async fn files_that_were_not_sent_count_and_a_thread_takes_only_what_fits() {
    let setup = Setup::default().with("QUOTAS__MAX_FILES_PER_USER", 2).with("ANALYST__MAX_THREAD_BYTES", 10);
    let server = setup.file(&replay_agent(100_000)).start().await;
    let (client, socket) = (server.signed_in(ADMIN).await, server.socket(ADMIN).await);
    let nobody = Client::new(&server);
    problem(upload(&nobody, "a.csv", "a").await, 401, "unauthorized").await;
    let (small, large) = (uploaded(&client, "123456").await, uploaded(&client, "123456").await);
    problem(upload(&client, "a.csv", "a").await, 507, "quota_exceeded").await;
    let thread_id = ThreadId::new();
    socket
        .send(CreateThread { thread_id, title: None, agent: Some("replay".into()) })
        .await
        .expect("the thread is created");
    let message = |file| SendMessage { attachments: vec![file], ..SendMessage::new(thread_id, "Hello") };
    socket.send(message(small)).await.expect("it fits");
    assert_eq!(socket.send(message(large)).await.expect_err("it does not fit").code, ErrorCode::TooLarge);
    // It stays, and can be removed or sent elsewhere.
    assert_eq!(client.delete(&format!("/api/files/{large}")).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(upload(&client, "a.csv", "a").await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_restart_keeps_files_that_were_not_sent() {
    let server = Setup::default().start().await;
    let (client, files_folder) = (server.signed_in(ADMIN).await, folder(&server));
    let file = uploaded(&client, "a,b\n").await;
    let path = unsent::path(&files_folder, id(&client).await, file);
    // What a server leaves that ended during an upload, and after a message was stored.
    std::fs::write(path.with_file_name(format!("{}.part", FileId::new())), "a").expect("it is written");
    std::fs::write(path.with_file_name(FileId::new().to_string()), "a").expect("it is written");
    let server = server.kill().await.restart().await;
    assert_eq!(files(&folder(&server)), [path]);
}
