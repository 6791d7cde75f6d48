use std::net::{IpAddr, Ipv4Addr};

use axum::http::Request;

use super::*;
use crate::protocol::{ErrorCode, http::Role};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Bench {
    auth: Auth,
    store: Store,
    _folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("the store opens");
    let auth = Auth::new(store.clone(), &Config::default()).await.expect("the accounts open");
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

fn bearer_of(token: &str) -> Parts {
    parts(&[("authorization", &format!("Bearer {token}"))])
}

fn ticket_of(ticket: &str) -> Parts {
    parts(&[("sec-websocket-protocol", &format!("netra.v1, ticket.{ticket}"))])
}

#[tokio::test]
async fn only_the_right_password_of_an_account_signs_in() {
    let bench = bench().await;
    let auth = &bench.auth;
    let ada = auth.add(account(" Ada@Example.com ")).await.expect("the user is added");
    assert_eq!(ada.email, "ada@example.com");
    assert_eq!(
        auth.sign_in("ADA@example.com", "correct horse", PEER).await.expect("the sign-in is checked"),
        Some(ada)
    );
    assert_eq!(auth.sign_in("ada@example.com", "wrong horse", PEER).await.expect("the sign-in is checked"), None);
    assert_eq!(auth.sign_in("nobody@example.com", "correct horse", PEER).await.expect("the sign-in is checked"), None);
}

#[tokio::test]
async fn an_invalid_account_is_refused_with_the_reason() {
    let bench = bench().await;
    let auth = &bench.auth;
    for email in ["", "ada", "@example.com", "ada@", "a da@example.com", "ada@.com", "a@b@c"] {
        assert_eq!(code(auth.add(account(email)).await.unwrap_err()), ErrorCode::InvalidPayload, "{email}");
    }
    for password in ["short", "1234567890", &"x".repeat(1025)] {
        let account = NewAccount { password: password.into(), ..account("ada@example.com") };
        assert_eq!(code(auth.add(account).await.unwrap_err()), ErrorCode::InvalidPayload);
    }
    let nameless = NewAccount { name: "  ".into(), ..account("ada@example.com") };
    assert_eq!(code(auth.add(nameless).await.unwrap_err()), ErrorCode::InvalidPayload);
    auth.add(account("ada@example.com")).await.expect("the user is added");
    assert_eq!(code(auth.add(account("Ada@example.com")).await.unwrap_err()), ErrorCode::Conflict);
}

#[tokio::test]
async fn a_ticket_is_valid_once_and_until_it_expires() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    let user = auth.add(account("ada@example.com")).await.expect("the user is added");
    let (token, _) = auth.mint_token(user.id).await.expect("the token is issued");
    let identity = auth.authenticate(&bearer_of(&token)).await.expect("the credential is valid");
    let (ticket, _) = auth.mint_ticket(&identity).await.expect("the ticket is issued");
    let request = ticket_of(&ticket);
    assert!(auth.authenticate(&request).await.is_err(), "it opens a socket and nothing else");
    let first = auth.authenticate_socket(&request).await.expect("the ticket is valid");
    assert_eq!((first.session(), &first.user), (identity.session(), &user));
    assert_eq!(first.expires_at, identity.expires_at, "it expires with the token");
    assert!(matches!(auth.authenticate_socket(&request).await, Err(Refusal::Unauthorized(_))));

    let late = tickets::mint(store, &identity, Duration::ZERO).await.expect("the ticket is issued");
    assert_eq!(tickets::redeem(store, &late).await.expect("the store is read"), None);
}

#[tokio::test]
async fn an_invalid_credential_is_refused_even_if_a_valid_one_follows() {
    let bench = bench().await;
    let auth = &bench.auth;
    let user = auth.add(account("ada@example.com")).await.expect("the user is added");
    let (token, _) = auth.mint_token(user.id).await.expect("the token is issued");
    let bearer = format!("Bearer {token}");
    assert_eq!(
        auth.authenticate(&parts(&[("authorization", &bearer)])).await.expect("the credential is valid").user,
        user
    );
    let both = parts(&[("authorization", &bearer), ("sec-websocket-protocol", "netra.v1, ticket.none")]);
    assert!(auth.authenticate(&both).await.is_err());
    assert!(auth.authenticate_socket(&both).await.is_err());
    assert!(auth.authenticate(&parts(&[("authorization", "Basic YTpi")])).await.is_err());
    assert!(auth.authenticate(&parts(&[])).await.is_err());
}

#[tokio::test]
async fn a_token_is_invalid_once_its_account_is_removed() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    let user = auth.add(account("ada@example.com")).await.expect("the user is added");
    let (token, _) = auth.mint_token(user.id).await.expect("the token is issued");
    let request = bearer_of(&token);
    let identity = auth.authenticate(&request).await.expect("the credential is valid");
    let mut tx = store.begin().await.expect("the transaction begins");
    sqlx::query("DELETE FROM users").execute(&mut *tx).await.expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
    assert!(auth.authenticate(&request).await.is_err());
    assert!(matches!(auth.revalidate(&identity).await, Err(Refusal::Unauthorized(_))));
}

#[tokio::test]
async fn the_tokens_and_tickets_of_a_session_end_with_it_and_no_others_do() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    let user = auth.add(account("ada@example.com")).await.expect("the user is added");
    let (elsewhere, _) = auth.mint_token(user.id).await.expect("the token is issued");
    let session = sessions::begin_token(store, auth.session_cache(), user.id, None, i64::MAX)
        .await
        .expect("the session is created");
    let cookie = auth.by_cookie(session.clone(), Source::Store).await.expect("the session is valid");
    let (token, _) = auth.mint_session_token(&cookie).await.expect("the token is issued");
    let by_token = auth.authenticate(&bearer_of(&token)).await.expect("the credential is valid");
    let (of_token, of_cookie) = (auth.mint_ticket(&by_token).await, auth.mint_ticket(&cookie).await);
    let tickets = [of_token, of_cookie].map(|minted| minted.expect("the ticket is issued").0);
    assert_eq!(auth.session_family(&session).await.expect("the store is read").len(), 2);

    auth.end_session(&session).await.expect("the session ends");
    assert!(auth.authenticate(&bearer_of(&token)).await.is_err(), "the token of the session");
    assert!(matches!(auth.revalidate(&by_token).await, Err(Refusal::Unauthorized(_))));
    for ticket in &tickets {
        assert!(auth.authenticate_socket(&ticket_of(ticket)).await.is_err(), "a ticket of the session or its token");
    }
    assert!(matches!(auth.mint_session_token(&cookie).await, Err(Refusal::Unauthorized(_))), "it ended meanwhile");
    assert!(auth.authenticate(&bearer_of(&elsewhere)).await.is_ok(), "of another sign-in");

    assert_eq!(auth.end_sessions(user.id).await.expect("the session ends"), 1);
    assert!(auth.authenticate(&bearer_of(&elsewhere)).await.is_err());
}

#[tokio::test]
async fn a_session_that_ends_is_refused_at_once_although_it_is_cached() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    auth.add(NewAccount { role: Role::Admin, ..account("admin@example.com") }).await.expect("the user is added");
    let ada = auth.add(account("ada@example.com")).await.expect("the user is added").id;
    for what in ["sign-out", "parent", "of a cookie", "everywhere", "surplus", "password", "role", "removal"] {
        let parent = sessions::begin_token(store, auth.session_cache(), ada, None, i64::MAX).await;
        let parent = parent.expect("the session is created");
        let cookie = auth.by_cookie(parent.clone(), Source::Store).await.expect("the session is valid");
        let (token, _) = auth.mint_session_token(&cookie).await.expect("the token is issued");
        // As the session check does, which forgets what was read before.
        auth.last_ended().await.expect("the store is read");
        let identity = auth.authenticate(&bearer_of(&token)).await.expect("the token is valid");
        // By hand, so that only the cache still has the session.
        let expired = "UPDATE sessions SET expires_at = 1 WHERE id = $1";
        let by_hand = async |sql: &'static str| {
            let mut tx = store.begin().await.expect("the transaction begins");
            sqlx::query(sql).bind(identity.session()).execute(&mut *tx).await.expect("the statement succeeds");
            tx.commit().await.expect("the transaction commits");
        };
        by_hand(expired).await;
        assert!(auth.revalidate(&identity).await.is_ok(), "{what}: it is cached");
        by_hand("UPDATE sessions SET expires_at = 9223372036854775807 WHERE id = $1").await;
        match what {
            "sign-out" => auth.end_session(identity.session()).await.expect("the session ends"),
            "parent" => auth.end_session(&parent).await.expect("the session ends"),
            "of a cookie" => {
                // Only the browser knows the id in its cookie, so another session is deleted: that forgets all.
                by_hand(expired).await;
                let id = tower_sessions::session::Id::default();
                let deleted = tower_sessions::SessionStore::delete(&auth.sessions(), &id).await;
                deleted.expect("the session is deleted");
            }
            "everywhere" => assert!(auth.end_sessions(ada).await.expect("the sessions end") > 1),
            "surplus" => {
                by_hand("UPDATE sessions SET expires_at = 4102444800000 WHERE id = $1").await;
                for _ in 0..1_000 {
                    auth.mint_token(ada).await.expect("the token is issued");
                }
                let begin = sessions::begin_token(store, auth.session_cache(), ada, None, i64::MAX);
                begin.await.expect("the session is created");
                by_hand(expired).await;
            }
            "password" => {
                drop(auth.set_password("ada@example.com", "another horse").await.expect("the password is changed"));
            }
            "role" => drop(auth.set_role("ada@example.com", Role::Admin).await.expect("the role is changed")),
            _ => drop(auth.remove("ada@example.com").await.expect("the user is removed")),
        }
        assert!(matches!(auth.revalidate(&identity).await, Err(Refusal::Unauthorized(_))), "{what}");
    }
}

#[tokio::test]
async fn whatever_ends_sessions_early_changes_last_ended() {
    let bench = bench().await;
    let auth = &bench.auth;
    for email in ["admin@example.com", "ada@example.com"] {
        auth.add(NewAccount { role: Role::Admin, ..account(email) }).await.expect("the user is added");
    }
    let ada = auth.find("ada@example.com").await.expect("the store is read").expect("the user exists");
    let mut before = auth.last_ended().await.expect("the store is read");
    for what in ["sign-out", "of a cookie", "everywhere", "password", "role", "removal"] {
        match what {
            "sign-out" => auth.end_session("a session").await.expect("the session ends"),
            "of a cookie" => {
                let id = tower_sessions::session::Id::default();
                tower_sessions::SessionStore::delete(&auth.sessions(), &id).await.expect("the session is deleted");
            }
            "everywhere" => assert_eq!(auth.end_sessions(ada).await.expect("the session ends"), 0),
            "password" => {
                drop(auth.set_password("ada@example.com", "another horse").await.expect("the password is changed"))
            }
            "role" => drop(auth.set_role("ada@example.com", Role::Member).await.expect("the role is changed")),
            _ => drop(auth.remove("ada@example.com").await.expect("the user is removed")),
        }
        let after = auth.last_ended().await.expect("the store is read");
        assert_ne!(after, before, "{what}");
        before = after;
    }
}

#[tokio::test]
async fn a_person_has_no_more_tokens_and_tickets_than_are_allowed() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    let user = auth.add(account("ada@example.com")).await.expect("the user is added");
    let (first, _) = auth.mint_token(user.id).await.expect("the token is issued");
    let identity = auth.authenticate(&bearer_of(&first)).await.expect("the credential is valid");
    for _ in 0..150 {
        auth.mint_ticket(&identity).await.expect("the ticket is issued");
    }
    // As many as there may be, all of which run out later.
    let mut tx = store.begin().await.expect("the transaction begins");
    for number in 0..999 {
        let sql = "INSERT INTO sessions (id, user_id, data, expires_at) VALUES ($1, $2, '{}', $3)";
        let query = sqlx::query(sql).bind(format!("token {number}")).bind(user.id.to_string()).bind(i64::MAX);
        query.execute(&mut *tx).await.expect("the statement succeeds");
    }
    tx.commit().await.expect("the transaction commits");
    assert!(auth.authenticate(&bearer_of(&first)).await.is_ok());
    let (last, _) = auth.mint_token(user.id).await.expect("the token is issued");
    assert!(auth.authenticate(&bearer_of(&first)).await.is_err(), "the last replaces the one that expires first");
    assert!(auth.authenticate(&bearer_of(&last)).await.is_ok());
    for (table, most) in [("sessions", 1_000), ("tickets", 100)] {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(store.reader()).await.expect("the row is read");
        assert_eq!(rows, most, "{table}");
    }
}

#[tokio::test]
async fn a_token_cannot_request_another() {
    let bench = bench().await;
    let auth = &bench.auth;
    let user = auth.add(account("ada@example.com")).await.expect("the user is added");
    let (token, _) = auth.mint_token(user.id).await.expect("the token is issued");
    let by_token = auth.authenticate(&bearer_of(&token)).await.expect("the credential is valid");
    assert!(matches!(auth.mint_session_token(&by_token).await, Err(Refusal::Forbidden(_))));
    let (ticket, _) = auth.mint_ticket(&by_token).await.expect("the ticket is issued");
    let by_ticket = auth.authenticate_socket(&ticket_of(&ticket)).await.expect("the ticket is valid");
    assert!(matches!(auth.mint_session_token(&by_ticket).await, Err(Refusal::Forbidden(_))));
}

#[tokio::test]
async fn a_token_of_a_session_expires_with_it() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    let user = auth.add(account("ada@example.com")).await.expect("the user is added");
    let session = sessions::begin_token(store, auth.session_cache(), user.id, None, now_ms() + 60_000)
        .await
        .expect("the session is created");
    let cookie = auth.by_cookie(session, Source::Store).await.expect("the session is valid");
    let (token, seconds) = auth.mint_session_token(&cookie).await.expect("the token is issued");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(
        auth.authenticate(&bearer_of(&token)).await.expect("the credential is valid").expires_at,
        cookie.expires_at
    );
}

#[tokio::test]
async fn setup_makes_one_administrator_however_many_try() {
    let bench = bench().await;
    let auth = &bench.auth;
    let token = auth.setup_token(None).await.expect("the setup token is read").expect("there is no user yet");
    assert!(auth.needs_setup().await.expect("the setup token is read"));
    for wrong in ["wrong", ""] {
        let refused = auth.setup(wrong, account("a@example.com"), PEER).await.unwrap_err();
        assert_eq!(code(refused), ErrorCode::Forbidden);
    }

    let admin = |email: &str| NewAccount { role: Role::Admin, ..account(email) };
    let (one, two) = tokio::join!(
        auth.setup(&token, admin("a@example.com"), PEER),
        auth.setup(&token, admin("b@example.com"), PEER)
    );
    let refused = [one, two].into_iter().filter_map(Result::err).map(code).collect::<Vec<_>>();
    assert_eq!(refused, [ErrorCode::Conflict]);
    assert_eq!(auth.users().await.expect("the store is read").len(), 1);
    assert_eq!(auth.setup_token(None).await.expect("the setup token is read"), None);
    assert!(!auth.needs_setup().await.expect("the setup token is read"));
}

#[tokio::test]
async fn servers_over_one_store_print_the_same_setup_token_until_it_is_used() {
    let bench = bench().await;
    let server = async || Auth::new(bench.store.clone(), &Config::default()).await.expect("the accounts open");
    let (first, second, preset) = (server().await, server().await, server().await);
    let token = first.setup_token(None).await.expect("the setup token is read").expect("there is no user yet");
    assert_eq!(second.setup_token(None).await.expect("the setup token is read").as_ref(), Some(&token));
    assert_eq!(
        preset.setup_token(Some("preset".into())).await.expect("the setup token is read").as_deref(),
        Some("preset")
    );
    assert_eq!(
        preset.setup_token(Some(String::new())).await.expect("the setup token is read").as_ref(),
        Some(&token),
        "empty is none"
    );

    let elsewhere = second.setup("preset", account("a@example.com"), PEER).await.unwrap_err();
    assert_eq!(code(elsewhere), ErrorCode::Forbidden, "it was given to another process");
    for auth in [&first, &second, &preset] {
        setup::check(&bench.store, &token, auth.0.setup_preset.get().map(String::as_str))
            .await
            .expect("the setup token is valid");
    }
    assert!(preset.setup("preset", account("a@example.com"), PEER).await.is_ok());
    assert_eq!(code(first.setup(&token, account("b@example.com"), PEER).await.unwrap_err()), ErrorCode::Conflict);
    assert_eq!(second.setup_token(None).await.expect("the setup token is read"), None);
}

#[tokio::test]
async fn a_changed_password_ends_all_but_the_session_it_was_changed_in() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    let user = auth.add(account("ada@example.com")).await.expect("the user is added");
    let begin = async || {
        sessions::begin_token(store, auth.session_cache(), user.id, None, i64::MAX)
            .await
            .expect("the session is created")
    };
    let (here, there) = (begin().await, begin().await);
    let cookie = auth.by_cookie(here.clone(), Source::Store).await.expect("the session is valid");
    let (token, _) = auth.mint_session_token(&cookie).await.expect("the token is issued");
    let change = async |shown: &str, new: &str| auth.change_password(&cookie, shown, new, PEER).await;

    assert!(!change("wrong horse", "battery staple").await.expect("the password is checked"));
    for new in ["short", "qwertyuiop", "correct horse"] {
        assert_eq!(code(change("correct horse", new).await.unwrap_err()), ErrorCode::InvalidPayload, "{new}");
    }
    assert!(auth.by_cookie(there.clone(), Source::Store).await.is_ok(), "nothing happened yet");
    assert!(change("correct horse", "battery staple").await.expect("the password is checked"));
    assert!(auth.by_cookie(there, Source::Store).await.is_err());
    assert!(auth.authenticate(&bearer_of(&token)).await.is_err(), "also the tokens of the session that stays");
    assert!(auth.by_cookie(here.clone(), Source::Store).await.is_ok());
    assert_eq!(auth.sign_in("ada@example.com", "correct horse", PEER).await.expect("the sign-in is checked"), None);
    assert_eq!(
        auth.sign_in("ada@example.com", "battery staple", PEER).await.expect("the sign-in is checked").as_ref(),
        Some(&user)
    );

    auth.set_password("Ada@example.com", "another horse").await.expect("the password is changed");
    assert!(auth.by_cookie(here, Source::Store).await.is_err(), "who runs the machine ends all of them");
    assert_eq!(code(auth.set_password("nobody@example.com", "another horse").await.unwrap_err()), ErrorCode::NotFound);
}

#[tokio::test]
async fn an_account_with_a_short_password_can_sign_in() {
    let bench = bench().await;
    let (auth, store) = (&bench.auth, &bench.store);
    let user = auth.add(account("ada@example.com")).await.expect("the user is added");
    let hash = auth.0.passwords.hash("12345678").await.expect("the password is hashed");
    let mut tx = store.begin().await.expect("the transaction begins");
    sqlx::query("UPDATE users SET password_hash = $1")
        .bind(hash)
        .execute(&mut *tx)
        .await
        .expect("the statement succeeds");
    tx.commit().await.expect("the transaction commits");
    assert_eq!(auth.sign_in("ada@example.com", "12345678", PEER).await.expect("the sign-in is checked"), Some(user));
}
