//! The PostgreSQL and NATS of the tests.

use sqlx::{Connection, PgConnection};

use crate::support::{nats::Nats, postgres::Postgres};

#[tokio::test]
async fn postgresql_keeps_commits_over_a_crash() {
    let mut postgres = Postgres::start().await;
    let (one, other) = (postgres.database().await, postgres.database().await);
    let mut connection = PgConnection::connect(&one).await.expect("connects");
    sqlx::query("CREATE TABLE kept (n INT)").execute(&mut connection).await.expect("created");
    sqlx::query("INSERT INTO kept VALUES (7)").execute(&mut connection).await.expect("written");
    postgres.stop().await;
    assert!(PgConnection::connect(&one).await.is_err(), "it is down");
    postgres.restart().await;
    let mut connection = PgConnection::connect(&one).await.expect("connects again");
    let kept: i32 = sqlx::query_scalar("SELECT n FROM kept").fetch_one(&mut connection).await.expect("read");
    assert_eq!(kept, 7);
    let mut connection = PgConnection::connect(&other).await.expect("connects");
    let absent = sqlx::query("SELECT n FROM kept").execute(&mut connection).await;
    assert!(absent.is_err(), "each database is its own");
}

#[tokio::test]
async fn nats_comes_back_at_the_same_address() {
    let mut nats = Nats::start().await;
    let url = nats.url();
    async_nats::connect(&url).await.expect("connects");
    nats.stop().await;
    assert!(async_nats::connect(&url).await.is_err(), "it is down");
    nats.restart().await;
    assert_eq!(nats.url(), url);
    async_nats::connect(&url).await.expect("connects again");
}
