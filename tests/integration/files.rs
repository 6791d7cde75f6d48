//! Uploads to threads of the real program: what is accepted, what is refused, and what is on the disk afterwards.

use std::{path::PathBuf, sync::Arc};

use netra::{
    protocol::{CreateThread, ThreadId, http::User},
    server::{
        channel::{Channels, Delivery, Hub},
        store::Store,
        threads,
    },
};
use reqwest::{Method, StatusCode, multipart};
use serde_json::Value;

use crate::support::{ADA, ADMIN, Client, Setup, TestServer, problem};

struct NoHub;

impl Hub for NoHub {
    fn deliver(&self, _: &Delivery) {}
}

/// Creates a thread of the signed-in user directly in the store.
async fn thread(server: &TestServer, client: &Client) -> String {
    let me: Value = client.get("/api/auth/me").await.json().await.expect("JSON");
    let user: User = serde_json::from_value(me["user"].clone()).expect("a user");
    let store = Store::open(&server.data()).await.expect("the store opens");
    let channels = Channels::new(store, Arc::new(NoHub)).await.expect("the log opens");
    let command = CreateThread { thread_id: ThreadId::new(), title: None, agent: None };
    threads::create(&channels, &user, &command, "analyst").await.expect("the thread is created");
    channels.store().close().await;
    command.thread_id.to_string()
}

/// The files of all threads on the disk.
fn on_disk(server: &TestServer) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(server.data().join("files")).expect("a folder").flatten();
    folders.flat_map(|folder| std::fs::read_dir(folder.path()).expect("a folder").flatten()).map(|f| f.path()).collect()
}

#[tokio::test]
async fn a_file_is_kept_as_it_was_sent() {
    let server = TestServer::start().await;
    let client = server.signed_in(ADMIN).await;
    let thread = thread(&server, &client).await;
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let response = client.upload(&thread, "../usage log.csv", content.clone()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let file: Value = response.json().await.expect("JSON");
    assert_eq!((file["name"].as_str(), file["bytes"].as_u64()), (Some("usage log.csv"), Some(3_000_000)));
    let path = server.data().join("files").join(&thread).join(file["file_id"].as_str().expect("an id"));
    assert_eq!(on_disk(&server), std::slice::from_ref(&path));
    assert!(std::fs::read(path).expect("the file is read") == content);
}

#[tokio::test]
async fn an_upload_needs_a_session_or_a_token() {
    let server = TestServer::start().await;
    let thread = thread(&server, &server.signed_in(ADMIN).await).await;
    let path = format!("/api/threads/{thread}/files");
    let form = || multipart::Form::new().part("file", multipart::Part::text("a,b\n").file_name("a.csv"));
    let nobody = Client::new(&server);
    let response = nobody.request(Method::POST, &path).multipart(form()).send().await.expect("the server answers");
    problem(response, 401, "unauthorized").await;
    let token = server.token(ADMIN).await;
    let response = nobody.request(Method::POST, &path).bearer_auth(token).multipart(form()).send().await;
    assert_eq!(response.expect("the server answers").status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_thread_of_someone_else_is_not_found() {
    let server = TestServer::start().await;
    server.add_member(ADA).await;
    let ada = server.signed_in(ADA).await;
    let admin = server.signed_in(ADMIN).await;
    let hers = thread(&server, &ada).await;
    problem(admin.upload(&hers, "a.csv", "a").await, 404, "not_found").await;
    problem(admin.upload(&ThreadId::new().to_string(), "a.csv", "a").await, 404, "not_found").await;
    problem(admin.upload("no-id", "a.csv", "a").await, 404, "not_found").await;
    assert!(on_disk(&server).is_empty());
    assert_eq!(ada.upload(&hers, "a.csv", "a").await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn uploads_over_a_limit_are_refused_with_the_limit_and_leave_nothing() {
    let setup = Setup::default().with("ANALYST__MAX_FILE_BYTES", 1000).with("ANALYST__MAX_THREAD_BYTES", 1500);
    let server = setup.start().await;
    let client = server.signed_in(ADMIN).await;
    let thread = thread(&server, &client).await;
    for bytes in [1001, 2_000, 900_000] {
        let body = problem(client.upload(&thread, "a.csv", vec![b'x'; bytes]).await, 413, "too_large").await;
        assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("1000 bytes")), "{body}");
    }
    assert_eq!(client.upload(&thread, "a.csv", vec![b'x'; 1000]).await.status(), StatusCode::CREATED);
    let body = problem(client.upload(&thread, "b.csv", vec![b'x'; 501]).await, 413, "too_large").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("1500 bytes together")), "{body}");
    assert_eq!(client.upload(&thread, "b.csv", vec![b'x'; 500]).await.status(), StatusCode::CREATED);
    assert_eq!(on_disk(&server).len(), 2);
}

#[tokio::test]
async fn an_upload_that_is_not_a_form_with_a_file_is_refused() {
    let server = TestServer::start().await;
    let client = server.signed_in(ADMIN).await;
    let thread = thread(&server, &client).await;
    let path = format!("/api/threads/{thread}/files");
    let form = multipart::Form::new().text("other", "a");
    let response = client.request(Method::POST, &path).multipart(form).send().await.expect("the server answers");
    let body = problem(response, 400, "bad_request").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("`file`")), "{body}");
    let response = client.request(Method::POST, &path).body("a,b").send().await.expect("the server answers");
    problem(response, 415, "unsupported_media_type").await;
    let torn = client.request(Method::POST, &path).header("content-type", "multipart/form-data; boundary=b");
    let response = torn.body("--b\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nabc").send().await;
    problem(response.expect("the server answers"), 400, "bad_request").await;
    assert!(on_disk(&server).is_empty());
}

#[tokio::test]
async fn a_part_whose_header_does_not_end_is_refused() {
    let server = TestServer::start().await;
    let client = server.signed_in(ADMIN).await;
    let thread = thread(&server, &client).await;
    let path = format!("/api/threads/{thread}/files");
    let send = async |body: Vec<u8>| {
        let request = client.request(Method::POST, &path).header("content-type", "multipart/form-data; boundary=b");
        request.body(body).send().await.expect("the server answers")
    };
    let mut endless = b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"".to_vec();
    endless.resize(4 << 20, b'x');
    problem(send(endless).await, 413, "too_large").await;
    let form = |before: usize| {
        let mut form = b"--b\r\ncontent-disposition: form-data; name=\"note\"\r\n\r\n".to_vec();
        form.resize(form.len() + before, b'n');
        form.extend(b"\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\n\r\n");
        form.resize(form.len() + (3 << 20), b'x');
        form.extend(b"\r\n--b--\r\n");
        form
    };
    problem(send(form(4 << 20)).await, 413, "too_large").await;
    assert!(on_disk(&server).is_empty());
    let response = send(form(1_000)).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let file: Value = response.json().await.expect("JSON");
    assert_eq!(file["bytes"].as_u64(), Some(3 << 20));
}
