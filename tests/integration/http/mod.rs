//! The HTTP API and the pages of the real program.

mod export;
mod private;
mod refusals;

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{ADA, ADMIN, Account, Client, SETUP_TOKEN, Setup, TestServer, blocking, cookie, netra, problem};

async fn json(response: reqwest::Response) -> Value {
    assert!(response.status().is_success(), "{}", response.status());
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn the_first_visit_leads_from_the_printed_link_to_an_administrator() {
    let server = Setup::default().start_without_accounts().await;
    assert_eq!(server.link, format!("{}/setup#token={SETUP_TOKEN}", server.url));
    let browser = Client::new(&server);
    assert_eq!(browser.get("/").await.headers()[header::LOCATION], "/setup");
    assert_eq!(json(browser.get("/api/config").await).await["auth"]["needs_setup"], true);

    let mut account = json!({"setup_token": "wrong", "email": "A@b.example", "name": "A", "password": "long enough"});
    problem(browser.post("/api/auth/setup", &account).await, 403, "forbidden").await;
    account["setup_token"] = SETUP_TOKEN.into();
    for weak in ["short", "password", "12345678", "        ", "1234567890"] {
        account["password"] = weak.into();
        problem(browser.post("/api/auth/setup", &account).await, 422, "invalid_payload").await;
    }
    account["password"] = "long enough".into();
    let user = json(browser.post("/api/auth/setup", &account).await).await["user"].clone();
    assert_eq!((user["email"].as_str(), user["role"].as_str()), (Some("a@b.example"), Some("admin")));

    assert_eq!(json(browser.get("/api/auth/me").await).await["user"], user, "setup signs in");
    problem(Client::new(&server).post("/api/auth/setup", &account).await, 409, "conflict").await;
    assert_eq!(browser.get("/").await.status(), StatusCode::OK);
    assert_eq!(browser.get("/setup").await.headers()[header::LOCATION], "/");
}

#[tokio::test]
async fn discovery_has_the_sockets_url_and_the_user() {
    let server = TestServer::start().await;
    let config = json(Client::new(&server).get("/api/config").await).await;
    assert_eq!(config["socket"]["url"], server.socket_url());
    assert_eq!(config["socket"]["protocol"], "netra.v1");
    assert_eq!(config["auth"], json!({"signed_in": false, "methods": ["password"], "needs_setup": false}));
    let browser = server.signed_in(ADMIN).await;
    assert_eq!(json(browser.get("/api/config").await).await["auth"]["signed_in"], true);

    let public = Setup::default().with("SERVER__PUBLIC_URL", "https://netra.example.com").start().await;
    let config = json(Client::new(&public).get("/api/config").await).await;
    assert_eq!(config["socket"]["url"], "wss://netra.example.com/ws");
}

#[tokio::test]
async fn a_session_is_an_http_only_cookie_that_survives_a_restart_and_ends_with_sign_out() {
    let server = TestServer::start().await;
    let browser = Client::new(&server);
    let response = browser.sign_in(ADMIN).await;
    let set = response.headers()[header::SET_COOKIE].to_str().expect("text").to_owned();
    for part in ["netra_session=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
        assert!(set.contains(part), "{part} is missing in {set}");
    }
    assert!(!set.contains("Secure"), "over plain HTTP a browser would drop it");

    let (code, stopped) = server.stop().await;
    assert_eq!(code, Some(0));
    let server = stopped.restart().await;
    assert_eq!(browser.get("/api/auth/me").await.status(), StatusCode::OK);
    let stolen = cookie(&response);
    assert_eq!(browser.call("/api/auth/sign-out").await.status(), StatusCode::NO_CONTENT);
    problem(browser.get("/api/auth/me").await, 401, "unauthorized").await;
    let thief = Client::new(&server).request(Method::GET, "/api/auth/me").header(header::COOKIE, stolen);
    problem(thief.send().await.expect("the server answers"), 401, "unauthorized").await;
    assert_eq!(
        browser.call("/api/auth/sign-out").await.status(),
        StatusCode::NO_CONTENT,
        "a repeated sign-out succeeds"
    );
}

#[tokio::test]
async fn signing_in_takes_a_new_session_id_and_ends_the_one_before() {
    let server = TestServer::start().await;
    let browser = Client::new(&server);
    let first = cookie(&browser.sign_in(ADMIN).await);
    let second = cookie(&browser.sign_in(ADMIN).await);
    assert_ne!(first, second);
    let old = Client::new(&server).request(Method::GET, "/api/auth/me").header(header::COOKIE, first);
    problem(old.send().await.expect("the server answers"), 401, "unauthorized").await;
}

#[tokio::test]
async fn behind_https_the_cookie_is_secure() {
    let server = Setup::default().with("SERVER__PUBLIC_URL", "https://netra.example.com").start().await;
    let response = Client::new(&server).sign_in(ADMIN).await;
    assert!(response.headers()[header::SET_COOKIE].to_str().expect("text").contains("Secure"));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_account_get_the_same_answer() {
    let server = TestServer::start().await;
    let client = Client::new(&server);
    let wrong = problem(client.sign_in(Account { password: "not this one", ..ADMIN }).await, 401, "unauthorized").await;
    let unknown = problem(client.sign_in(ADA).await, 401, "unauthorized").await;
    assert_eq!(wrong, unknown);
}

/// The responses to concurrent wrong sign-ins, each with one of these values of a header.
async fn failed_sign_ins(server: &TestServer, name: &str, values: &[&str]) -> Vec<reqwest::Response> {
    let body = json!({"email": ADA.email, "password": "not this one"});
    let attempts = values
        .iter()
        .zip(["/api/auth/sign-in", "/api/auth/token"].iter().cycle())
        .map(|(value, path)| Client::new(server).request(Method::POST, path).header(name, *value).json(&body).send());
    futures_util::future::join_all(attempts)
        .await
        .into_iter()
        .map(|response| response.expect("the server answers"))
        .collect()
}

fn refused(answers: &[reqwest::Response]) -> usize {
    answers.iter().filter(|response| response.status() == StatusCode::TOO_MANY_REQUESTS).count()
}

#[tokio::test]
async fn too_many_failed_sign_ins_are_rate_limited_and_lock_no_account() {
    let server = Setup::default().with("AUTH__SIGN_IN_FAILURES_PER_MINUTE", 3).start().await;
    let answers = failed_sign_ins(&server, "x-none", &["1"; 10]).await;
    assert!((1..=7).contains(&refused(&answers)), "three are allowed, and a few more as time passes");
    for response in answers {
        if response.status() == StatusCode::UNAUTHORIZED {
            continue;
        }
        let seconds: u64 = response.headers()[header::RETRY_AFTER].to_str().expect("text").parse().expect("seconds");
        let body = problem(response, 429, "rate_limited").await;
        assert!((1..=30).contains(&seconds), "{seconds}");
        assert_eq!(body["retry_after_ms"].as_u64().map(|ms| ms.div_ceil(1000)), Some(seconds));
    }
    assert_eq!(
        Client::new(&server).sign_in(ADMIN).await.status(),
        StatusCode::OK,
        "another account of the same address"
    );
}

#[tokio::test]
async fn a_forwarded_address_counts_only_behind_a_trusted_proxy() {
    let callers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5:80", "[2001:db8::1]:80"];
    for trusted in [false, true] {
        let setup = Setup::default().with("AUTH__SIGN_IN_FAILURES_PER_MINUTE", 2).with("SERVER__TRUST_PROXY", trusted);
        let server = setup.start().await;
        let refused = refused(&failed_sign_ins(&server, "x-forwarded-for", &callers).await);
        assert_eq!(refused == 0, trusted, "{refused} were refused");
    }
}

#[tokio::test]
async fn only_the_address_that_a_trusted_proxy_saw_is_used() {
    let trusted = r#"["127.0.0.1"]"#;
    let setup = Setup::default().with("AUTH__SIGN_IN_FAILURES_PER_MINUTE", 2).with("SERVER__TRUSTED_PROXIES", trusted);
    let server = setup.start().await;
    // Values that the caller adds to the header, and its port, do not change its address.
    let same =
        ["203.0.113.1, 192.0.2.1:1", "203.0.113.2, 192.0.2.1:2", "192.0.2.1", "203.0.113.3,192.0.2.1", "192.0.2.1:5"];
    assert!(refused(&failed_sign_ins(&server, "x-forwarded-for", &same).await) > 0);
    let others = [r#"for=192.0.2.1, for="192.0.2.2:4711""#, r#"for="[2001:db8::1]:4711""#, "for=192.0.2.3;proto=https"];
    assert_eq!(refused(&failed_sign_ins(&server, "forwarded", &others).await), 0);
}

#[tokio::test]
async fn signed_in_users_get_tokens_and_tickets() {
    let server = TestServer::start().await;
    let browser = server.signed_in(ADMIN).await;
    let by_cookie = json(browser.call("/api/auth/token").await).await;
    assert_eq!((by_cookie["token_type"].as_str(), by_cookie["expires_in"].as_u64()), (Some("Bearer"), Some(3600)));
    for token in [by_cookie["access_token"].as_str().expect("a token").to_owned(), server.token(ADMIN).await] {
        let call = |method, path| Client::new(&server).request(method, path).bearer_auth(&token).send();
        assert_eq!(
            json(call(Method::GET, "/api/auth/me").await.expect("the server answers")).await["user"]["email"],
            ADMIN.email
        );
        let ticket = json(call(Method::POST, "/api/auth/ticket").await.expect("the server answers")).await;
        assert_eq!((ticket["ticket"].as_str().map(str::len), ticket["expires_in"].as_u64()), (Some(64), Some(30)));
    }
    let nobody = Client::new(&server);
    problem(nobody.call("/api/auth/token").await, 401, "unauthorized").await;
    problem(nobody.call("/api/auth/ticket").await, 401, "unauthorized").await;
    let forged = nobody.request(Method::GET, "/api/auth/me").bearer_auth("e30.e30.e30");
    problem(forged.send().await.expect("the server answers"), 401, "unauthorized").await;
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_use_the_cookie() {
    let server = Setup::default().with("AUTH__ALLOWED_ORIGINS", r#"["https://app.example.com"]"#).start().await;
    let browser = server.signed_in(ADMIN).await;
    let from = |path: &str, origin: &str| browser.request(Method::POST, path).header(header::ORIGIN, origin).send();
    for path in ["/api/auth/ticket", "/api/auth/token", "/api/auth/sign-out", "/api/auth/sign-in", "/api/auth/setup"] {
        problem(from(path, "https://evil.example").await.expect("the server answers"), 403, "forbidden").await;
    }
    for origin in [&server.url, "https://app.example.com"] {
        assert_eq!(
            from("/api/auth/ticket", origin).await.expect("the server answers").status(),
            StatusCode::OK,
            "{origin}"
        );
    }
    let cross_site = browser.request(Method::POST, "/api/auth/ticket").header("sec-fetch-site", "cross-site");
    problem(cross_site.send().await.expect("the server answers"), 403, "forbidden").await;
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let server = TestServer::start().await;
    let client = Client::new(&server);
    problem(client.get("/api/nothing").await, 404, "not_found").await;
    problem(client.get("/api/auth/sign-in").await, 405, "method_not_allowed").await;
    let sign_in = || client.request(Method::POST, "/api/auth/sign-in");
    let json_type = (header::CONTENT_TYPE, "application/json");
    let send = |request: reqwest::RequestBuilder| async { request.send().await.expect("the server answers") };
    problem(send(sign_in().body("{}")).await, 415, "unsupported_media_type").await;
    problem(send(sign_in().header(json_type.0, json_type.1).body("{")).await, 400, "bad_request").await;
    problem(client.post("/api/auth/sign-in", &json!({"email": 1})).await, 422, "invalid_payload").await;
    let unknown = json!({"email": "a@b.example", "password": "x", "remember": true});
    problem(client.post("/api/auth/sign-in", &unknown).await, 422, "invalid_payload").await;
    let huge = json!({"email": "a@b.example", "password": "x".repeat(70_000)});
    problem(client.post("/api/auth/sign-in", &huge).await, 413, "too_large").await;
    problem(client.post("/api/auth/token", &huge).await, 413, "too_large").await;
}

#[tokio::test]
async fn only_an_administrator_sends_notices() {
    let server = TestServer::start().await;
    server.add_member(ADA).await;
    let text = json!({"text": "We restart at noon."});
    problem(server.signed_in(ADA).await.post("/api/notices", &text).await, 403, "forbidden").await;
    let admin = server.signed_in(ADMIN).await;
    problem(admin.post("/api/notices", &json!({"text": " "})).await, 422, "invalid_payload").await;
    assert_eq!(json(admin.post("/api/notices", &text).await).await["notice"]["text"], "We restart at noon.");

    let mut command = netra();
    command.args(["notice", "Hello", "--server", &server.url, "--data"]).arg(server.data());
    command.current_dir(server.folder());
    let done = blocking(move || command.output()).await.expect("the program runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test]
async fn pages_require_a_session_and_have_a_content_security_policy() {
    let server = TestServer::start().await;
    let nobody = Client::new(&server);
    assert_eq!(nobody.get("/").await.headers()[header::LOCATION], "/sign-in");
    let response = nobody.get("/sign-in").await;
    assert_eq!(response.status(), StatusCode::OK);
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text").to_owned();
    assert!(policy.contains("'nonce-") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains(&server.url.replacen("http", "ws", 1)), "{policy}");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(nobody.get("/no/such/page").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(nobody.get("/healthz").await.status(), StatusCode::OK);
}
