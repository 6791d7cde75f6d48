//! A server whose store's disk is full, on both engines: it reports that, serves reads, and recovers once there is room.

use std::sync::Arc;

use netra::protocol::{CreateThread, SendMessage, ThreadId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    ADMIN, Client, Deployment, Setup, TEST_TIMEOUT, TestServer, disk::SmallDisk, postgres::Postgres, problem,
};

/// How the store's writes are made to fail as on a full disk.
enum Shortage {
    Disk(Arc<SmallDisk>),
    /// No disk can be mounted here: the database returns the error of a full disk.
    Refusal(sqlx::AnyPool),
}

impl Shortage {
    async fn begin(&self) {
        match self {
            Self::Disk(disk) => disk.fill(),
            Self::Refusal(pool) => {
                let mut sql = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                    $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$;"
                    .to_owned();
                for table in ["entries", "sessions", "nodes", "channels"] {
                    sql.push_str(&format!(
                        "CREATE TRIGGER no_room BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION refuse();"
                    ));
                }
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await.expect("the statement succeeds");
            }
        }
    }

    async fn end(&self) {
        match self {
            Self::Disk(disk) => disk.make_room(),
            Self::Refusal(pool) => {
                sqlx::raw_sql("DROP FUNCTION refuse CASCADE").execute(pool).await.expect("the statement succeeds");
            }
        }
    }
}

/// Waits until `/readyz` has this status; returns its body.
async fn ready(client: &Client, status: StatusCode) -> Value {
    let asking = async {
        loop {
            let answer = client.get("/readyz").await;
            if answer.status() == status {
                return answer.json().await.expect("JSON");
            }
        }
    };
    timeout(TEST_TIMEOUT, asking).await.unwrap_or_else(|_| panic!("/readyz never answers {status}"))
}

async fn assert_reports_and_recovers(server: TestServer, shortage: Shortage) {
    let client = server.signed_in(ADMIN).await;
    let socket = server.socket(ADMIN).await;
    let thread_id = ThreadId::new();
    socket.send(CreateThread { thread_id, title: None, agent: None }).await.expect("the thread is created");
    ready(&client, StatusCode::OK).await;

    shortage.begin().await;
    // Random bytes, which a database cannot compress.
    let given: String = (0..500_000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    let post = json!({
        "threadId": "t", "runId": "r", "state": {}, "tools": [], "context": [], "forwardedProps": {"x": given},
        "messages": [{"id": "m", "role": "user", "content": "Hello"}],
    });
    let is_full =
        |body: &Value| body["detail"].as_str().is_some_and(|it| it.contains("disk of the server's store is full"));
    let body = problem(client.post("/api/agents/analyst/agui", &post).await, 503, "unavailable").await;
    assert!(is_full(&body), "{body}");
    let readiness = ready(&client, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(readiness["store"]["state"], "accepts no writes: its disk is full", "{readiness}");
    // A session is small and may still fit; a refused sign-in gives the reason.
    let visitor = Client::new(&server);
    let answer = visitor.sign_in(ADMIN).await;
    if answer.status() != StatusCode::OK {
        let body = problem(answer, 503, "unavailable").await;
        assert!(is_full(&body), "{body}");
    }
    // Reads are served, and not as an empty page.
    for path in ["/", &format!("/threads/{thread_id}")] {
        let page = client.get(path).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        assert!(page.text().await.expect("text").contains("</html>"), "{path}");
    }
    // The client keeps the command and sends it again.
    let message = SendMessage::new(thread_id, "x".repeat(30_000));
    let sending = tokio::spawn(async move {
        let sent = socket.send(message).await;
        (socket, sent)
    });

    shortage.end().await;
    let (socket, sent) = timeout(TEST_TIMEOUT, sending)
        .await
        .expect("the command is accepted in time")
        .expect("the task does not panic");
    sent.expect("the message is accepted");
    ready(&client, StatusCode::OK).await;
    assert_eq!(visitor.sign_in(ADMIN).await.status(), StatusCode::OK);
    let answer = client.post("/api/agents/analyst/agui", &post).await;
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap_or_default());
    socket.send(SendMessage::new(thread_id, "Go on.")).await.expect("the message is accepted");
}

fn setup() -> Setup {
    Setup::default().with("QUOTAS__MIN_FREE_BYTES", 0).with("RUNS__LEASE_MS", 1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_reported_and_the_server_recovers_with_sqlite() {
    let Some(disk) = SmallDisk::mount(32 << 20).map(Arc::new) else {
        // Without a mounted disk, only `tests/integration/log/failing.rs` tests this on SQLite.
        return eprintln!("no disk can be mounted here");
    };
    let server = setup().disk(Some(disk.clone())).start().await;
    assert_reports_and_recovers(server, Shortage::Disk(disk)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_reported_and_the_server_recovers_with_postgresql() {
    let postgres = Postgres::start().await;
    let (url, shortage) = match SmallDisk::mount(64 << 20).map(Arc::new) {
        Some(disk) => (postgres.database_on(disk.path()).await, Shortage::Disk(disk)),
        None => {
            let url = postgres.database().await;
            sqlx::any::install_default_drivers();
            let pool = sqlx::AnyPool::connect(&url).await.expect("the database is connected");
            (url, Shortage::Refusal(pool))
        }
    };
    let server = setup().with("STORE__URL", url).start().await;
    assert_reports_and_recovers(server, shortage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_that_the_store_cannot_be_read() {
    let server = setup().deployment(Deployment::Distributed).start().await;
    let client = server.signed_in(ADMIN).await;
    let backends = server.backends().expect("shared backends").clone();
    backends.postgres.lock().await.stop().await;
    let page = client.request(Method::GET, "/").header("accept", "text/html").send().await.expect("the server answers");
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.headers().contains_key("retry-after"));
    let text = page.text().await.expect("text");
    assert!(
        text.contains("<p>503 Service Unavailable: the store is out of reach; try again in a moment</p>"),
        "{text}"
    );
    backends.postgres.lock().await.restart().await;
    let back = async { while client.get("/").await.status() != StatusCode::OK {} };
    timeout(TEST_TIMEOUT, back).await.expect("the page is served again in time");
}
