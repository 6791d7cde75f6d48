//! The pages of the real program: complete under concurrent loads, bounded in size, and an error where they cannot be rendered.

use futures_util::{StreamExt, stream};
use netra::protocol::{ArchiveThread, CreateThread, PinThread, RenameThread, ThreadId, http::ThreadPage};
use reqwest::{Method, Response, StatusCode, header};

use crate::support::{ADMIN, Account, Client, Setup, TestServer, problem};

const BOB: Account = Account { email: "bob@example.com", name: "Bob", password: "bob's own password" };

/// Loads a page as a browser does.
async fn load(client: &Client, path: &str) -> Response {
    let request = client.request(Method::GET, path).header(header::ACCEPT, "text/html,application/xhtml+xml,*/*;q=0.8");
    request.send().await.expect("the server answers")
}

async fn html(answer: Response) -> String {
    assert!(answer.headers()[header::CONTENT_TYPE].to_str().expect("text").starts_with("text/html"));
    answer.text().await.expect("a body")
}

/// Creates threads; returns their ids, the oldest first.
async fn create_threads(server: &TestServer, account: Account, threads: usize) -> Vec<ThreadId> {
    let socket = server.socket(account).await;
    let mut ids = Vec::new();
    for n in 0..threads {
        let thread_id = ThreadId::new();
        let title = Some(format!("Thread {n} of {}", account.name));
        socket.send(CreateThread { thread_id, title, agent: None }).await.expect("the thread is created");
        ids.push(thread_id);
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_loaded_concurrently_are_complete_and_belong_to_their_users() {
    let server = Setup::default().with("SOCKET__COMMANDS_PER_MINUTE", 100_000).start().await;
    server.add_member(BOB).await;
    let mut pages = vec![("/".to_owned(), "New thread".to_owned(), server.signed_in(ADMIN).await)];
    for person in [ADMIN, BOB] {
        let thread = create_threads(&server, person, 1).await[0];
        let browser = server.signed_in(person).await;
        pages.push((format!("/threads/{thread}"), format!("Thread 0 of {}", person.name), browser));
    }
    pages.push(("/sign-in".into(), "Sign in".into(), Client::new(&server)));
    pages.push(("/nowhere".into(), "Not found".into(), Client::new(&server)));
    let loads = (0..60).flat_map(|_| &pages).map(async |(path, title, browser)| {
        let html = html(load(browser, path).await).await;
        assert!(html.contains("</html>"), "{path} is whole: {html}");
        assert!(html.contains(&format!("<title>{title} · Netra</title>")), "{path} has its own title: {html}");
    });
    stream::iter(loads).buffer_unordered(16).collect::<Vec<()>>().await;
}

#[tokio::test]
async fn a_page_whose_component_panics_is_a_500_and_is_counted() {
    let server = Setup::default().with("TEST_BUG", "panic_in_page").with("SERVER__METRICS", "public").start().await;
    let browser = server.signed_in(ADMIN).await;
    let answer = load(&browser, "/?panic").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let text = html(answer).await;
    assert!(
        text.contains("This page cannot be shown") && text.contains("the server failed to render this page"),
        "{text}"
    );
    problem(browser.get("/?panic").await, 500, "internal").await;
    let metrics = browser.get("/metrics").await.text().await.expect("text");
    assert!(metrics.contains("netra_pages_total{result=\"failed\"} 2\n"), "{metrics}");
    let answer = load(&browser, "/").await;
    assert_eq!(answer.status(), StatusCode::OK, "the next page works");
    assert!(html(answer).await.contains("</html>"));
}

#[tokio::test]
async fn a_page_starts_with_the_newest_threads_and_the_rest_is_loaded_page_by_page() {
    let server = TestServer::start().await;
    let made = create_threads(&server, ADMIN, 130).await;
    let browser = server.signed_in(ADMIN).await;
    let page = html(load(&browser, "/").await).await;
    assert_eq!(page.matches("data-thread-id=").count(), 50);
    assert!(page.contains("Thread 129 of Admin") && !page.contains("Thread 79 of Admin"));
    let page = html(load(&browser, &format!("/threads/{}", made[3])).await).await;
    assert_eq!(page.matches("data-thread-id=").count(), 51, "the thread of the page is listed, too");

    let (mut seen, mut path) = (Vec::new(), "/api/threads?limit=40".to_owned());
    loop {
        let page: ThreadPage = browser.get(&path).await.json().await.expect("a page");
        assert!(page.threads.len() <= 40);
        seen.extend(page.threads.iter().map(|thread| thread.info.id));
        let Some(older) = page.older else { break };
        path = format!("/api/threads?limit=40&before={older}");
    }
    seen.sort_unstable();
    assert_eq!(seen, made, "all of them, each once");
    // Pinned threads are on the first page; archived ones on pages of their own.
    let socket = server.socket(ADMIN).await;
    socket.send(PinThread { thread_id: made[0], pinned: true }).await.expect("the thread is pinned");
    for thread_id in &made[100..] {
        let archive = ArchiveThread { thread_id: *thread_id, archived: true };
        socket.send(archive).await.expect("the thread is archived");
    }
    let page = html(load(&browser, "/").await).await;
    assert_eq!(page.matches("data-thread-id=").count(), 51);
    assert!(
        page.contains("Thread 0 of Admin") && page.contains("Thread 99 of Admin") && !page.contains("Thread 100 of")
    );
    let archived: ThreadPage = browser.get("/api/threads?archived=true").await.json().await.expect("a page");
    let mut ids: Vec<_> = archived.threads.iter().map(|thread| thread.info.id).collect();
    ids.sort_unstable();
    assert_eq!((&ids[..], archived.older), (&made[100..], None));
    let deleted = format!("/api/threads/{}", made[129]);
    for _ in 0..2 {
        let answer = browser.request(Method::DELETE, &deleted).send().await.expect("the server answers");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "the second time changes nothing");
    }
    let answer = Client::new(&server).request(Method::DELETE, &deleted).send().await.expect("the server answers");
    problem(answer, 401, "unauthorized").await;
    let archived: ThreadPage = browser.get("/api/threads?archived=true").await.json().await.expect("a page");
    assert_eq!(archived.threads.len(), 29);
    for wrong in ["before=yesterday", "limit=0", "limit=1000"] {
        problem(browser.get(&format!("/api/threads?{wrong}")).await, 422, "invalid_payload").await;
    }
    problem(Client::new(&server).get("/api/threads").await, 401, "unauthorized").await;
}

#[tokio::test]
async fn a_users_rate_counts_over_all_their_sockets_calls_and_pages() {
    let server = Setup::default().with("SOCKET__COMMANDS_PER_MINUTE", 4).start().await;
    server.add_member(BOB).await;
    let (admin, bob) = (server.signed_in(ADMIN).await, server.signed_in(BOB).await);
    let thread = create_threads(&server, ADMIN, 1).await[0];
    // The handshake and the command counted as two.
    for _ in 0..2 {
        assert_eq!(admin.get("/api/agents").await.status(), StatusCode::OK);
    }
    let refused = admin.get("/api/agents").await;
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    problem(refused, 429, "rate_limited").await;
    let page = load(&admin, "/").await;
    assert_eq!(page.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(html(page).await.contains("more than 4 commands and calls a minute"));
    assert_eq!(load(&bob, "/").await.status(), StatusCode::OK);
    let socket = server.socket(BOB).await;
    let renamed = socket.send(RenameThread { thread_id: thread, title: "Mine".into() }).await;
    assert_eq!(
        renamed.expect_err("another user's thread").code,
        netra::protocol::ErrorCode::NotFound,
        "refused as not found, not for the rate"
    );
}
