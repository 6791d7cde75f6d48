use std::net::Ipv4Addr;

use axum::http::Request;

use super::*;
use crate::protocol::http::Role;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Bench {
    auth: Auth,
    store: Store,
    _folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("opens");
    let auth = Auth::new(store.clone(), &Config::default()).await.expect("begins");
    Bench { auth, store, _folder: folder }
}

fn account(email: &str) -> NewAccount {
    NewAccount { email: email.into(), name: "Ada".into(), role: Role::Member, password: "correct horse".into() }
}

fn code(error: Error) -> ErrorCode {
    error.into_body().code
}

fn parts(headers: &[(&str, &str)]) -> Parts {
    let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
    request.body(()).expect("a request").into_parts().0
}

#[tokio::test]
async fn only_the_right_password_of_an_account_signs_in() {
    let bench = bench().await;
    let auth = &bench.auth;
    let ada = auth.add(account(" Ada@Example.com ")).await.expect("made");
    assert_eq!(ada.email, "ada@example.com");
    assert_eq!(auth.sign_in("ADA@example.com", "correct horse", PEER).await.expect("answers"), Some(ada));
    assert_eq!(auth.sign_in("ada@example.com", "wrong horse", PEER).await.expect("answers"), None);
    assert_eq!(auth.sign_in("nobody@example.com", "correct horse", PEER).await.expect("answers"), None);
}

#[tokio::test]
async fn what_is_no_account_is_refused_with_what_is_allowed() {
    let bench = bench().await;
    let auth = &bench.auth;
    for email in ["", "ada", "@example.com", "ada@", "a da@example.com", "ada@.com", "a@b@c"] {
        assert_eq!(code(auth.add(account(email)).await.unwrap_err()), ErrorCode::InvalidPayload, "{email}");
    }
    for password in ["short", &"x".repeat(1025)] {
        let account = NewAccount { password: password.into(), ..account("ada@example.com") };
        assert_eq!(code(auth.add(account).await.unwrap_err()), ErrorCode::InvalidPayload);
    }
    let nameless = NewAccount { name: "  ".into(), ..account("ada@example.com") };
    assert_eq!(code(auth.add(nameless).await.unwrap_err()), ErrorCode::InvalidPayload);
    auth.add(account("ada@example.com")).await.expect("made");
    assert_eq!(code(auth.add(account("Ada@example.com")).await.unwrap_err()), ErrorCode::Conflict);
}

#[tokio::test]
async fn a_ticket_opens_once_and_not_after_its_time() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    let user = auth.add(account("ada@example.com")).await.expect("made");
    let identity = Identity { user: user.clone(), via: Via::Bearer, expires_at: i64::MAX };
    let (ticket, _) = auth.mint_ticket(&identity).await.expect("minted");
    let offered = format!("netra.v1, ticket.{ticket}");
    let request = parts(&[("sec-websocket-protocol", &offered)]);
    let first = auth.authenticate(&request).await.expect("opens");
    assert_eq!((first.user, first.via), (user, Via::Ticket { session: None }));
    assert!(matches!(auth.authenticate(&request).await, Err(Refusal::Unauthorized(_))));

    let late = tickets::mint(store, &identity, Duration::ZERO).await.expect("minted");
    assert_eq!(tickets::redeem(store, &late).await.expect("answers"), None);
}

#[tokio::test]
async fn a_wrong_credential_is_refused_though_a_right_one_follows() {
    let bench = bench().await;
    let auth = &bench.auth;
    let user = auth.add(account("ada@example.com")).await.expect("made");
    let (token, _) = auth.mint_token(user.id).expect("signs");
    let bearer = format!("Bearer {token}");
    assert_eq!(auth.authenticate(&parts(&[("authorization", &bearer)])).await.expect("lets in").user, user);
    let both = parts(&[("authorization", &bearer), ("sec-websocket-protocol", "netra.v1, ticket.none")]);
    assert!(auth.authenticate(&both).await.is_err());
    assert!(auth.authenticate(&parts(&[("authorization", "Basic YTpi")])).await.is_err());
    assert!(auth.authenticate(&parts(&[])).await.is_err());
}

#[tokio::test]
async fn a_token_is_worth_nothing_once_its_account_is_gone() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    let user = auth.add(account("ada@example.com")).await.expect("made");
    let (token, _) = auth.mint_token(user.id).expect("signs");
    let request = parts(&[("authorization", &format!("Bearer {token}"))]);
    let identity = auth.authenticate(&request).await.expect("lets in");
    let mut tx = store.begin().await.expect("begins");
    sqlx::query("DELETE FROM users").execute(&mut *tx).await.expect("deletes");
    tx.commit().await.expect("commits");
    assert!(auth.authenticate(&request).await.is_err());
    assert!(matches!(auth.still(&identity).await, Err(Refusal::Unauthorized(_))));
}

#[tokio::test]
async fn setup_makes_one_administrator_however_many_try() {
    let bench = bench().await;
    let auth = &bench.auth;
    let token = auth.setup_token(None).await.expect("arms").expect("nobody is there yet");
    assert!(auth.needs_setup().await.expect("answers"));
    assert_eq!(code(auth.setup("wrong", account("a@example.com"), PEER).await.unwrap_err()), ErrorCode::Forbidden);

    let admin = |email: &str| NewAccount { role: Role::Admin, ..account(email) };
    let (one, two) = tokio::join!(
        auth.setup(&token, admin("a@example.com"), PEER),
        auth.setup(&token, admin("b@example.com"), PEER)
    );
    let refused = [one, two].into_iter().filter_map(Result::err).map(code).collect::<Vec<_>>();
    assert_eq!(refused, [ErrorCode::Conflict]);
    assert_eq!(auth.users().await.expect("answers").len(), 1);
    assert_eq!(auth.setup_token(None).await.expect("answers"), None);
    assert!(!auth.needs_setup().await.expect("answers"));
}

#[tokio::test]
async fn a_preset_setup_token_is_the_one_that_counts() {
    let bench = bench().await;
    let auth = &bench.auth;
    auth.setup_token(None).await.expect("arms");
    assert_eq!(auth.setup_token(Some("preset".into())).await.expect("arms").as_deref(), Some("preset"));
    assert!(auth.setup("preset", account("a@example.com"), PEER).await.is_ok());
}
