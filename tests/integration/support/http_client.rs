//! An HTTP client of a test server.

use reqwest::{Method, RequestBuilder, Response, header};
use serde_json::{Value, json};

use super::{Account, TEST_TIMEOUT, server::TestServer};

/// An HTTP client that keeps cookies.
#[derive(Clone)]
pub struct Client {
    pub url: String,
    http: reqwest::Client,
}

impl Client {
    /// A client without cookies. It does not follow redirects.
    pub fn new(server: &TestServer) -> Self {
        let http = reqwest::Client::builder()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TEST_TIMEOUT)
            .no_proxy()
            .build()
            .expect("a client");
        Self { url: server.url.clone(), http }
    }

    /// A request that the caller completes and sends.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("the server answers")
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.expect("the server answers")
    }

    pub async fn put(&self, path: &str, body: &Value) -> Response {
        self.request(Method::PUT, path).json(body).send().await.expect("the server answers")
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.expect("the server answers")
    }

    /// Sends a POST without a body.
    pub async fn call(&self, path: &str) -> Response {
        self.request(Method::POST, path).send().await.expect("the server answers")
    }

    pub async fn sign_in(&self, account: Account) -> Response {
        self.post("/api/auth/sign-in", &json!({"email": account.email, "password": account.password})).await
    }

    /// Uploads a file to a thread.
    pub async fn upload(&self, thread: &str, name: &str, content: impl Into<Vec<u8>>) -> Response {
        let part = reqwest::multipart::Part::bytes(content.into()).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new().part("file", part);
        let path = format!("/api/threads/{thread}/files");
        self.request(Method::POST, &path).multipart(form).send().await.expect("the server answers")
    }
}

/// The `name=value` of the cookie that a response sets.
pub fn cookie(answer: &Response) -> String {
    let set = answer.headers().get(header::SET_COOKIE).expect("a cookie is set").to_str().expect("text");
    set.split(';').next().unwrap_or_default().to_owned()
}

/// Asserts that a response is a problem with this status and code; returns its body.
pub async fn problem(answer: Response, status: u16, code: &str) -> Value {
    let (got, kind) = (answer.status(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let text = answer.text().await.expect("a body");
    assert_eq!(got.as_u16(), status, "{text}");
    assert_eq!(kind.expect("a type"), "application/problem+json", "{text}");
    let body: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((body["code"].as_str(), body["status"].as_u64()), (Some(code), Some(u64::from(status))), "{text}");
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{text}");
    body
}
