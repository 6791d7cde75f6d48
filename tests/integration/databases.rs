//! The PostgreSQL and NATS of the tests.

use sqlx::{Connection, PgConnection};

use crate::support::{nats::Nats, postgres::Postgres};

#[tokio::test]
async fn postgresql_keeps_commits_over_a_crash() {
    let mut postgres = Postgres::start().await;
    let (one, other) = (postgres.database().await, postgres.database().await);
    let mut connection = PgConnection::connect(&one).await.expect("the database is connected");
    sqlx::query("CREATE TABLE kept (n INT)").execute(&mut connection).await.expect("the statement succeeds");
    sqlx::query("INSERT INTO kept VALUES (7)").execute(&mut connection).await.expect("the statement succeeds");
    postgres.stop().await;
    assert!(PgConnection::connect(&one).await.is_err(), "it is down");
    postgres.restart().await;
    let mut connection = PgConnection::connect(&one).await.expect("the database is connected");
    let kept: i32 = sqlx::query_scalar("SELECT n FROM kept").fetch_one(&mut connection).await.expect("the row is read");
    assert_eq!(kept, 7);
    let mut connection = PgConnection::connect(&other).await.expect("the database is connected");
    let absent = sqlx::query("SELECT n FROM kept").execute(&mut connection).await;
    assert!(absent.is_err(), "each database is its own");
}

#[tokio::test]
async fn nats_comes_back_at_the_same_address() {
    let mut nats = Nats::start().await;
    let url = nats.url();
    async_nats::connect(&url).await.expect("NATS is connected");
    nats.stop().await;
    assert!(async_nats::connect(&url).await.is_err(), "it is down");
    nats.restart().await;
    assert_eq!(nats.url(), url);
    async_nats::connect(&url).await.expect("NATS is connected");
}
