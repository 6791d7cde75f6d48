//! Images of other hosts: what is requested, what is passed on, and what is refused.

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use futures_util::stream;
use netra::protocol::http::Config;
use tokio::net::TcpListener;

use crate::support::{ADMIN, Client, Setup, problem};

/// The beginning of a PNG file, and some more.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and the rest";

/// A host with images; returns its address.
async fn host() -> String {
    async fn answer(Path(what): Path<String>, headers: HeaderMap) -> Response {
        // Nothing of the user reaches it.
        for private in [header::COOKIE, header::REFERER, header::AUTHORIZATION] {
            if headers.contains_key(&private) {
                return StatusCode::IM_A_TEAPOT.into_response();
            }
        }
        let endless = || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(PNG.repeat(4_096))));
        match what.as_str() {
            "a.png" => ([(header::CONTENT_TYPE, "text/html")], PNG).into_response(),
            "a.svg" => {
                ([(header::CONTENT_TYPE, "image/png")], "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").into_response()
            }
            "endless.png" => endless().into_response(),
            "announced.png" => ([(header::CONTENT_LENGTH, "20000000")], endless()).into_response(),
            "moved" => Redirect::temporary("/a.png").into_response(),
            "loop" => Redirect::temporary("/loop").into_response(),
            "away" => Redirect::temporary("file:///etc/passwd").into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().route("/{*what}", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn load(client: &Client, url: &str) -> reqwest::Response {
    let mut path = reqwest::Url::parse("http://netra/api/images").expect("an address");
    path.query_pairs_mut().append_pair("url", url);
    client.get(&format!("{}?{}", path.path(), path.query().unwrap_or_default())).await
}

#[tokio::test]
async fn images_are_passed_on_as_what_they_are_and_within_bounds() {
    let host = host().await;
    let server = Setup::default().with("IMAGES__ALLOW_PRIVATE_NETWORK", true).start().await;
    let client = server.signed_in(ADMIN).await;
    for path in ["a.png", "moved"] {
        let image = load(&client, &format!("{host}/{path}")).await;
        assert_eq!(image.status(), 200, "{path}");
        let headers = image.headers().clone();
        assert_eq!(headers[header::CONTENT_TYPE], "image/png", "what it is, not what the host calls it");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text").ends_with("sandbox"));
        assert!(headers[header::CACHE_CONTROL].to_str().expect("text").starts_with("private"));
        assert_eq!(&image.bytes().await.expect("the image")[..], PNG);
    }
    problem(load(&client, &format!("{host}/a.svg")).await, 422, "invalid_payload").await;
    problem(load(&client, &format!("{host}/missing")).await, 502, "unavailable").await;
    problem(load(&client, &format!("{host}/loop")).await, 502, "unavailable").await;
    problem(load(&client, &format!("{host}/away")).await, 502, "unavailable").await;
    problem(load(&client, "http://127.0.0.1:1/a.png").await, 502, "unavailable").await;
    problem(load(&client, &format!("{host}/announced.png")).await, 502, "too_large").await;
    problem(load(&client, "file:///etc/passwd").await, 422, "invalid_payload").await;
    // One whose size is not announced ends at the limit, visibly incomplete.
    let endless = load(&client, &format!("{host}/endless.png")).await;
    assert_eq!(endless.status(), 200);
    assert!(endless.bytes().await.is_err());
    // Nobody else can have the server request anything.
    let stranger = Client::new(&server);
    problem(load(&stranger, &format!("{host}/a.png")).await, 401, "unauthorized").await;
}

#[tokio::test]
async fn private_networks_are_not_reached_and_the_operator_can_turn_it_off() {
    let host = host().await;
    let server = Setup::default().start().await;
    let client = server.signed_in(ADMIN).await;
    let config: Config = client.get("/api/config").await.json().await.expect("the configuration");
    assert!(config.images);
    problem(load(&client, &format!("{host}/a.png")).await, 403, "forbidden").await;
    // A name with a private address, too.
    let named = host.replace("127.0.0.1", "localhost");
    problem(load(&client, &format!("{named}/a.png")).await, 403, "forbidden").await;

    let server = Setup::default().with("IMAGES__LOAD", false).start().await;
    let client = server.signed_in(ADMIN).await;
    let config: Config = client.get("/api/config").await.json().await.expect("the configuration");
    assert!(!config.images);
    problem(load(&client, &format!("{host}/a.png")).await, 403, "forbidden").await;
}
