//! Somebody whose threads a test works in.

use netra::{
    protocol::{UserId, http::User},
    server::channel::Channels,
};
use serde_json::json;

/// A member, in the store.
pub(crate) async fn person(channels: &Channels) -> User {
    let user: User = serde_json::from_value(json!({
        "id": UserId::new(), "name": "Owner", "email": "owner@example.org", "role": "member",
    }))
    .expect("a user");
    let mut tx = channels.begin().await.expect("begins");
    sqlx::query("INSERT INTO users (id, email, name, role, password_hash, created_at) VALUES ($1, $2, $3, $4, '', 0)")
        .bind(user.id.to_string())
        .bind(&user.email)
        .bind(&user.name)
        .bind("member")
        .execute(tx.sql())
        .await
        .expect("inserts");
    tx.commit().await.expect("commits");
    user
}
