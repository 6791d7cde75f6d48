//! Quotas of the real program: limits hold under concurrent requests, a refusal says what to do, and an unfinished upload leaves
//! nothing.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures_util::future::join_all;
use netra::{
    protocol::{
        CreateThread, DeleteThread, ErrorBody, ErrorCode, FileId, RenameThread, SendMessage, ThreadId,
        limits::MAX_MESSAGE_BYTES,
    },
    socket::native::{Client as Socket, ClientConfig},
};
use reqwest::StatusCode;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::support::{ADMIN, Account, Client, Deployment, Setup, TEST_TIMEOUT, TestServer, cookie, problem};

const ADA: Account = Account { email: "ada@example.com", name: "Ada", password: "correct horse battery" };
const MIB: u64 = 1 << 20;

async fn socket(server: &TestServer, account: Account) -> Socket {
    let token = server.token(account).await;
    Socket::connect(ClientConfig::bearer(server.socket_url(), &token))
}

async fn thread(socket: &Socket) -> Result<ThreadId, ErrorBody> {
    let thread_id = ThreadId::new();
    socket.send(CreateThread { thread_id, title: None, agent: None }).await.map(|_| thread_id)
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn bytes(folder: &Path) -> u64 {
    files(folder).iter().filter_map(|file| file.metadata().ok()).map(|about| about.len()).sum()
}

/// Uploads files of 1 MiB at once, each to its own thread, through these servers in turn; returns how many were accepted.
/// Asserts that the disk never has more than the quota.
async fn upload_concurrently(many: usize, servers: &[&TestServer], folder: PathBuf, quota: u64) -> usize {
    let socket = socket(servers[0], ADMIN).await;
    let threads = join_all((0..many).map(|_| thread(&socket))).await;
    let clients = join_all(servers.iter().map(|server| server.signed_in(ADMIN))).await;
    let (most, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let watching = {
        let (most, over, folder) = (most.clone(), over.clone(), folder.clone());
        tokio::task::spawn_blocking(move || {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(bytes(&folder), Ordering::Relaxed);
                std::thread::yield_now();
            }
        })
    };
    let upload = async |(number, thread): (usize, &Result<ThreadId, ErrorBody>)| {
        let thread = thread.as_ref().expect("the thread is created").to_string();
        let response = clients[number % clients.len()].upload(&thread, "a.csv", vec![b'x'; MIB as usize]).await;
        if response.status() == StatusCode::CREATED {
            return 1;
        }
        let body = problem(response, 507, "quota_exceeded").await;
        assert!(
            body["detail"].as_str().is_some_and(|detail| detail.contains("2.5 MiB here; delete threads")),
            "{body}"
        );
        0
    };
    let taken = join_all(threads.iter().enumerate().map(upload)).await.into_iter().sum();
    over.store(true, Ordering::Relaxed);
    watching.await.expect("the task does not panic");
    assert!(most.load(Ordering::Relaxed) <= quota, "{} bytes were on the disk", most.load(Ordering::Relaxed));
    assert_eq!(bytes(&folder), taken as u64 * MIB);
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_uploads_at_once_never_put_more_on_the_disk_than_one_person_may_keep() {
    let quota = 5 * MIB / 2;
    let server = Setup::default()
        .with("QUOTAS__MAX_FILE_BYTES_PER_USER", quota)
        .with("SOCKET__COMMANDS_PER_MINUTE", 1_000)
        .start()
        .await;
    let taken = upload_concurrently(60, &[&server], server.data().join("files"), quota).await;
    assert!((1..=2).contains(&taken), "{taken} files were taken");
    // The reservations of refused uploads are released, and a deletion makes room.
    server.add_member(ADA).await;
    let (socket, ada) = (socket(&server, ADA).await, server.signed_in(ADA).await);
    for _ in 0..5 {
        let thread = thread(&socket).await.expect("the thread is created");
        for _ in 0..2 {
            let response = ada.upload(&thread.to_string(), "a.csv", vec![b'x'; MIB as usize]).await;
            assert_eq!(response.status(), StatusCode::CREATED, "{}", response.text().await.unwrap_or_default());
        }
        problem(ada.upload(&thread.to_string(), "b.csv", vec![b'x'; MIB as usize]).await, 507, "quota_exceeded").await;
        socket.send(DeleteThread { thread_id: thread }).await.expect("the thread is deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_over_nodes() {
    let quota = 5 * MIB / 2;
    let setup =
        || Setup::default().with("QUOTAS__MAX_FILE_BYTES_PER_USER", quota).with("SOCKET__COMMANDS_PER_MINUTE", 1_000);
    let first = setup().deployment(Deployment::Distributed).start().await;
    let backends = first.backends().expect("shared backends").clone();
    let second = setup().on(&backends).start_without_accounts().await;
    let taken = upload_concurrently(20, &[&first, &second], backends.files().to_owned(), quota).await;
    assert!((1..=2).contains(&taken), "{taken} files were taken");
}

#[tokio::test]
async fn files_are_limited_by_number_of_one_person_and_of_all() {
    let setup = Setup::default().with("QUOTAS__MAX_FILES_PER_USER", 2).with("QUOTAS__MAX_FILES", 3);
    let server = setup.with("QUOTAS__MAX_FILE_BYTES", 100).start().await;
    server.add_member(ADA).await;
    let (admin, ada) = (socket(&server, ADMIN).await, socket(&server, ADA).await);
    let his = thread(&admin).await.expect("the thread is created").to_string();
    let hers = thread(&ada).await.expect("the thread is created").to_string();
    let (admin, ada) = (server.signed_in(ADMIN).await, server.signed_in(ADA).await);
    for _ in 0..2 {
        assert_eq!(admin.upload(&his, "a.csv", "a").await.status(), StatusCode::CREATED);
    }
    let body = problem(admin.upload(&his, "a.csv", "a").await, 507, "quota_exceeded").await;
    assert_eq!(
        body["detail"],
        "you have 2 files, and one person has at most 2 here; delete threads that you no longer need"
    );
    let body = problem(ada.upload(&hers, "a.csv", vec![b'x'; 99]).await, 507, "quota_exceeded").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("at most 100 bytes of files")), "{body}");
    assert_eq!(ada.upload(&hers, "a.csv", "a").await.status(), StatusCode::CREATED);
    let body = problem(ada.upload(&hers, "a.csv", "a").await, 507, "quota_exceeded").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("at most 3 files")), "{body}");
    assert_eq!(files(&server.data().join("files")).len(), 3);
}

#[tokio::test]
async fn threads_are_limited_and_deleting_one_makes_room_for_another() {
    let server = Setup::default().with("QUOTAS__MAX_THREADS_PER_USER", 3).with("QUOTAS__MAX_THREADS", 4).start().await;
    server.add_member(ADA).await;
    let (admin, ada) = (socket(&server, ADMIN).await, socket(&server, ADA).await);
    let made = join_all((0..10).map(|_| thread(&admin))).await;
    let threads: Vec<ThreadId> = made.iter().flatten().copied().collect();
    assert_eq!(threads.len(), 3, "{made:?}");
    let refused = made.iter().find_map(|made| made.as_ref().err()).expect("the others are refused");
    assert_eq!(refused.code, ErrorCode::QuotaExceeded);
    assert!(refused.message.contains("you have 3 threads, as many as one person has here; delete some"), "{refused}");
    assert_eq!(refused.details, Some(json!({"limit": "threads", "of": "user", "max": 3, "used": 3})));
    // A repeated command gets the same answer.
    admin
        .send(CreateThread { thread_id: threads[0], title: None, agent: None })
        .await
        .expect("the command is accepted");
    thread(&ada).await.expect("another person has room");
    let refused = thread(&ada).await.expect_err("all together have none");
    assert!(refused.message.contains("this server keeps at most 4 threads"), "{refused}");
    admin.send(DeleteThread { thread_id: threads[0] }).await.expect("the thread is deleted");
    thread(&admin).await.expect("the quota has room again");
}

#[tokio::test]
async fn conversations_are_limited_in_bytes_and_deleting_makes_room() {
    let setup = Setup::default().with("QUOTAS__MAX_LOG_BYTES_PER_USER", 300_000);
    let server = setup.with("SOCKET__COMMANDS_PER_MINUTE", 1_000_000).start().await;
    let socket = socket(&server, ADMIN).await;
    let mut threads = vec![thread(&socket).await.expect("the thread is created")];
    let text = "x".repeat(MAX_MESSAGE_BYTES);
    let mut sent = 0;
    let refused = loop {
        assert!(sent < 10, "far more than 300 000 bytes were taken");
        match socket.send(SendMessage::new(threads[0], &text)).await {
            Ok(_) => sent += 1,
            Err(refused) => break refused,
        }
    };
    assert!(sent >= 3, "{sent} messages fit");
    assert_eq!(refused.code, ErrorCode::QuotaExceeded);
    assert!(refused.message.contains("one person keeps at most 292.9 KiB here; delete threads"), "{refused}");
    assert_eq!(refused.details.as_ref().map(|details| details["limit"].clone()), Some(json!("log_bytes")));
    socket.send(DeleteThread { thread_id: threads[0] }).await.expect("deleting is allowed over the limit");
    threads.push(thread(&socket).await.expect("a thread is small"));
    // The known usage is updated after a short while.
    let again = async {
        while let Err(refused) = socket.send(SendMessage::new(threads[1], &text)).await {
            assert_eq!(refused.code, ErrorCode::QuotaExceeded);
        }
    };
    timeout(TEST_TIMEOUT, again).await.expect("the quota has room again");
    let title = "Renamed".to_owned();
    socket.send(RenameThread { thread_id: threads[1], title }).await.expect("the thread is renamed");
}

#[tokio::test]
async fn input_for_agents_is_bounded_and_counts_against_the_quota() {
    let server = Setup::default().with("QUOTAS__MAX_LOG_BYTES_PER_USER", 2_000_000).start().await;
    let client = server.signed_in(ADMIN).await;
    let post = async |number: usize, size: usize| {
        let body = json!({
            "threadId": "t", "runId": format!("r{number}"), "state": {}, "tools": [], "context": [],
            "messages": [{"id": format!("m{number}"), "role": "user", "content": "Hello"}],
            "forwardedProps": {"text": "x".repeat(size)},
        });
        client.post("/api/agents/analyst/agui", &body).await
    };
    let body = problem(post(0, 1 << 20).await, 413, "too_large").await;
    let detail = body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("they have at most 1048576"), "{body}");
    for number in 1..3 {
        let response = post(number, 900_000).await;
        assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap_or_default());
    }
    let body = problem(post(3, 900_000).await, 507, "quota_exceeded").await;
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("your conversations have")), "{body}");
}

#[tokio::test]
async fn uploads_leave_the_configured_space_free_on_the_disk() {
    let server = Setup::default().with("QUOTAS__MIN_FREE_BYTES", 1u64 << 50).start().await;
    let body = json!({
        "threadId": "t", "runId": "r", "state": {}, "tools": [], "context": [], "forwardedProps": {},
        "messages": [{"id": "m", "role": "user", "content": "Hello"}],
    });
    let body =
        problem(server.signed_in(ADMIN).await.post("/api/agents/analyst/agui", &body).await, 503, "unavailable").await;
    assert!(
        body["detail"].as_str().is_some_and(|detail| detail.contains("the server's disk is almost full")),
        "{body}"
    );
}

/// Starts an upload that does not end, and waits until part of it is on the disk.
async fn begin_upload(server: &TestServer, client: &Client, thread: ThreadId) -> TcpStream {
    let signed_in = client.sign_in(ADMIN).await;
    let cookie = cookie(&signed_in);
    let mut stream = TcpStream::connect(server.address()).await.expect("the connection opens");
    let head = format!(
        "POST /api/threads/{thread}/files HTTP/1.1\r\nhost: {}\r\norigin: {}\r\ncookie: {cookie}\r\ncontent-length: 5000000\r\n\
         content-type: multipart/form-data; boundary=b\r\n\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; \
         filename=\"a.csv\"\r\n\r\n",
        server.address(),
        server.url,
    );
    stream.write_all(head.as_bytes()).await.expect("the bytes are sent");
    stream.write_all(&vec![b'x'; 1_000_000]).await.expect("the bytes are sent");
    let folder = server.data().join("files");
    let there = async {
        let begun = |file: &PathBuf| {
            file.extension().is_some_and(|it| it == "part") && file.metadata().is_ok_and(|about| about.len() > 0)
        };
        while !files(&folder).iter().any(begun) {
            tokio::task::yield_now().await;
        }
    };
    timeout(TEST_TIMEOUT, there).await.expect("a part of the file is written in time");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_removes_only_unfinished_uploads() {
    let server = Setup::default().with("QUOTAS__MAX_FILE_BYTES_PER_USER", 6 * MIB).start().await;
    let thread = thread(&socket(&server, ADMIN).await).await.expect("the thread is created");
    let client = server.signed_in(ADMIN).await;
    assert_eq!(client.upload(&thread.to_string(), "whole.csv", "a,b\n").await.status(), StatusCode::CREATED);
    let _stream = begin_upload(&server, &client, thread).await;
    let folder = server.data().join("files");
    assert_eq!(files(&folder).len(), 2, "one upload is complete, one in progress");
    // Complete files that were not recorded; files that are not Netra's; a folder of another store.
    let left = folder.join(thread.to_string());
    std::fs::write(left.join(FileId::new().to_string()), "left").expect("the file is written");
    std::fs::write(left.join("notes.txt"), "not ours").expect("the file is written");
    let elsewhere = folder.join(ThreadId::new().to_string());
    std::fs::create_dir(&elsewhere).expect("the folder is created");
    std::fs::write(elsewhere.join(FileId::new().to_string()), "another store's").expect("the file is written");
    let server = server.kill().await.restart().await;
    let mut kept: Vec<String> =
        files(&folder).iter().map(|file| std::fs::read_to_string(file).expect("text")).collect();
    kept.sort();
    assert_eq!(kept, ["a,b\n", "another store's", "not ours"]);
    // The reservation is gone.
    let client = server.signed_in(ADMIN).await;
    let response = client.upload(&thread.to_string(), "b.csv", vec![b'x'; 5 * MIB as usize]).await;
    assert_eq!(response.status(), StatusCode::CREATED, "{}", response.text().await.unwrap_or_default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_upload_releases_its_reservation() {
    let server = Setup::default().with("QUOTAS__MAX_FILE_BYTES_PER_USER", 6 * MIB).start().await;
    let socket = socket(&server, ADMIN).await;
    let thread = thread(&socket).await.expect("the thread is created");
    let client = server.signed_in(ADMIN).await;
    let stream = begin_upload(&server, &client, thread).await;
    let large = vec![b'x'; 3 * MIB as usize];
    problem(client.upload(&thread.to_string(), "b.csv", large.clone()).await, 507, "quota_exceeded").await;
    drop(stream);
    let taken = async {
        while client.upload(&thread.to_string(), "b.csv", large.clone()).await.status() != StatusCode::CREATED {}
    };
    timeout(TEST_TIMEOUT, taken).await.expect("the quota has room again");
    assert_eq!(files(&server.data().join("files")).len(), 1);
}
