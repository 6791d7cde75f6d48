//! Accounts that lose a role or are removed while the server runs, by the command line or an administrator.

use std::{path::Path, process::Output, time::Instant};

use netra::socket::{machine::Status, native::Client as Socket};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{ADA, ADMIN, Account, Client, TEST_TIMEOUT, TestServer, blocking, netra, problem};

/// Runs `netra user ...` on the store of a running server.
async fn user(server: &TestServer, arguments: &[&str]) -> Output {
    let mut command = netra();
    command.current_dir(server.folder()).arg("user").args(arguments);
    blocking(move || command.output()).await.expect("the program runs")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

async fn open(server: &TestServer, account: Account) -> Socket {
    let socket = server.socket(account).await;
    until(&socket, |status| *status == Status::Connected).await;
    socket
}

async fn until(socket: &Socket, is: impl Fn(&Status) -> bool) -> Status {
    let mut status = socket.status();
    timeout(TEST_TIMEOUT, status.wait_for(is)).await.expect("in time").expect("the sender is not dropped").clone()
}

#[tokio::test]
async fn a_new_role_or_a_removal_signs_a_user_out_of_a_running_server() {
    let server = TestServer::start().await;
    server.add_member(ADA).await;
    let data = text(&server.data());
    for arguments in [&["role", "--role", "admin"][..], &["remove"]] {
        let (socket, browser) = (open(&server, ADA).await, server.signed_in(ADA).await);
        let begun = Instant::now();
        let done = user(&server, &[arguments, &["--data", &data, "--email", ADA.email]].concat()).await;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        until(&socket, |status| *status == Status::SignedOut).await;
        println!("{arguments:?}: closed {} ms after the command began", begun.elapsed().as_millis());
        problem(browser.get("/api/auth/me").await, 401, "unauthorized").await;
    }
    problem(Client::new(&server).sign_in(ADA).await, 401, "unauthorized").await;
    for arguments in [&["role", "--role", "member"][..], &["remove"]] {
        let done = user(&server, &[arguments, &["--data", &data, "--email", ADMIN.email]].concat()).await;
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!((done.status.code(), stderr.contains("last administrator")), (Some(1), true), "{stderr}");
    }
    let done = user(&server, &["remove", "--data", &data, "--email", ADA.email]).await;
    assert!(String::from_utf8_lossy(&done.stderr).contains("has no account here"));
}

#[tokio::test]
async fn a_removed_person_leaves_nothing_behind() {
    let server = TestServer::start().await;
    server.add_member(ADA).await;
    let socket = open(&server, ADA).await;
    let thread_id = netra::protocol::ThreadId::new();
    let create = netra::protocol::CreateThread { thread_id, title: None, agent: None };
    socket.send(create).await.expect("the thread is created");
    let share = netra::protocol::ShareThread { share_id: netra::protocol::ShareId::new(), thread_id, expires_at: None };
    socket.send(share).await.expect("the thread is shared");
    let browser = server.signed_in(ADA).await;
    assert_eq!(browser.upload(&thread_id.to_string(), "log.csv", "a,b\n1,2\n").await.status(), 201);
    assert!(server.data().join("files").join(thread_id.to_string()).exists());
    let done = user(&server, &["remove", "--data", &text(&server.data()), "--email", ADA.email]).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(!server.data().join("files").join(thread_id.to_string()).exists());
    let store = netra::server::store::Store::open(&server.data()).await.expect("the store opens");
    let of_sessions = "sessions WHERE user_id NOT IN (SELECT id FROM users WHERE role = 'admin')";
    for table in ["entries", "channels", "threads", "files", "share_links", of_sessions] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(store.reader()).await.expect("the row is read");
        assert_eq!(rows, 0, "{table}");
    }
    problem(browser.get("/api/auth/me").await, 401, "unauthorized").await;
}

#[tokio::test]
async fn files_that_cannot_be_removed_with_their_account_are_all_named() {
    let server = TestServer::start().await;
    server.add_member(ADA).await;
    let socket = open(&server, ADA).await;
    let threads = [netra::protocol::ThreadId::new(), netra::protocol::ThreadId::new()];
    let folder = |thread_id: &netra::protocol::ThreadId| server.data().join("files").join(thread_id.to_string());
    for thread_id in threads {
        let create = netra::protocol::CreateThread { thread_id, title: None, agent: None };
        socket.send(create).await.expect("the thread is created");
        std::fs::create_dir_all(server.data().join("files")).expect("the folder is created");
        std::fs::write(folder(&thread_id), "not a folder").expect("the file is written");
    }
    let done = user(&server, &["remove", "--data", &text(&server.data()), "--email", ADA.email]).await;
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && error.contains("the account is removed"), "{error}");
    assert!(threads.iter().all(|thread_id| error.contains(&text(&folder(thread_id)))), "{error}");
}

#[tokio::test]
async fn an_administrator_disconnects_a_person() {
    let server = TestServer::start().await;
    server.add_member(ADA).await;
    let (first, second, other) = (open(&server, ADA).await, open(&server, ADA).await, open(&server, ADMIN).await);
    let admin = server.signed_in(ADMIN).await;
    let users = user(&server, &["list", "--data", &text(&server.data())]).await;
    let users = String::from_utf8_lossy(&users.stdout).into_owned();
    let id = users.lines().find(|line| line.contains(ADA.email)).and_then(|line| line.split('\t').next());
    let path = format!("/api/users/{}/disconnect", id.expect("the user is listed"));

    problem(Client::new(&server).post(&path, &json!({})).await, 401, "unauthorized").await;
    problem(server.signed_in(ADA).await.post(&path, &json!({})).await, 403, "forbidden").await;
    let nobody = format!("/api/users/{}/disconnect", netra::protocol::UserId::new());
    problem(admin.post(&nobody, &json!({})).await, 404, "not_found").await;
    problem(admin.post("/api/users/nobody/disconnect", &json!({})).await, 404, "not_found").await;

    let answer: Value = admin.call(&path).await.json().await.expect("JSON");
    assert_eq!(answer, json!({"connections": 2}));
    for socket in [first, second] {
        let status = until(&socket, |status| matches!(status, Status::Closed { .. })).await;
        let Status::Closed { reason, can_reconnect } = status else { unreachable!("it is closed") };
        assert!(reason.contains("administrator") && !can_reconnect, "{reason}");
    }
    let third = open(&server, ADA).await;
    let (browsers, token) = ([server.signed_in(ADA).await, server.signed_in(ADA).await], server.token(ADA).await);
    let data = text(&server.data());
    let done = user(&server, &["disconnect", "--email", ADA.email, "--server", &server.url, "--data", &data]).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(String::from_utf8_lossy(&done.stdout).contains("closed 1 connections"));
    until(&third, |status| matches!(status, Status::Closed { .. })).await;
    for browser in &browsers {
        problem(browser.get("/api/auth/me").await, 401, "unauthorized").await;
    }
    let token = Client::new(&server).request(Method::GET, "/api/auth/me").bearer_auth(&token);
    problem(token.send().await.expect("the server answers"), 401, "unauthorized").await;
    assert_eq!(*other.status().borrow(), Status::Connected, "no other user is disconnected");
    let done = user(&server, &["disconnect", "--email", ADA.email, "--server", &server.url]).await;
    assert_eq!(done.status.code(), Some(1), "without a right to");
}
