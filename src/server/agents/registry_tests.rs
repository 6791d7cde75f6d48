//! Tests of the registry.

use serde_json::json;

use super::*;
use crate::protocol::UserId;
use crate::{
    protocol::http::{Role, User},
    server::error::Error,
};

fn replay(id: &str) -> AgentEntry {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/replay.jsonl");
    entry(json!({"id": id, "name": id.to_uppercase(), "kind": "replay", "file": file}))
}

fn entry(value: serde_json::Value) -> AgentEntry {
    serde_json::from_value(value).expect("a table")
}

fn with(mut entry: AgentEntry, key: &str, value: serde_json::Value) -> AgentEntry {
    entry.0.insert(key.into(), value);
    entry
}

fn user(role: Role, email: &str) -> User {
    User { id: UserId::new(), name: "Ada".into(), email: email.into(), role }
}

fn ids(agents: &Agents, user: &User) -> Vec<String> {
    agents.list(user).into_iter().map(|info| info.id).collect()
}

#[test]
fn the_first_agent_is_the_default_and_an_unknown_id_is_refused_with_the_available_ones() {
    let registry = AgentRegistry::new([], &[replay("demo"), replay("fast")], AgentBuilder::default());
    let agents = registry.agents();
    let ada = user(Role::Member, "ada@example.org");
    assert_eq!(agents.resolve(None, &ada).expect("the default"), "demo");
    assert_eq!(agents.resolve(Some("fast"), &ada).expect("the agent exists"), "fast");
    let Err(Error::Refused(body)) = agents.resolve(Some("slow"), &ada) else { panic!("refused") };
    assert_eq!(body.code, ErrorCode::NotFound);
    assert_eq!(body.message, "there is no agent `slow`; there are `demo`, `fast`");
}

#[test]
fn an_invalid_entry_becomes_an_unusable_agent_with_the_reason() {
    let admin = user(Role::Admin, "root@example.org");
    let cases = [
        (replay("a"), "id: there is an agent `a` already"),
        (with(replay("b"), "events_per_second", json!(0)), "events_per_second: invalid value: integer `0`"),
        (with(replay("b"), "file", json!("none.jsonl")), "file: none.jsonl: "),
        (with(replay("b"), "colour", json!("red")), "colour: unknown field"),
        (with(replay("b"), "kind", json!("robot")), "kind: unknown variant `robot`"),
        (with(replay("b"), "id", json!("A b")), "id: invalid value `A b`"),
        (entry(json!({"id": "b", "name": "B", "kind": "builtin"})), "id: there is no built-in agent `b`"),
        (entry(json!({})), "id: this is required"),
    ];
    for (invalid, expected) in cases {
        let registry = AgentRegistry::new([], &[replay("a"), invalid, replay("z")], AgentBuilder::default());
        let agents = registry.agents();
        let listed = agents.list(&admin);
        let reasons: Vec<_> = listed.iter().filter_map(|info| info.disabled.as_deref()).collect();
        assert!(
            matches!(&reasons[..], [one] if one.starts_with("agents[1].") && one.contains(expected)),
            "{reasons:?}"
        );
        assert_eq!(ids(agents, &user(Role::Member, "ada@example.org")), ["a", "z"]);
        let Err(Error::Refused(body)) = agents.resolve(Some(&listed[1].id), &admin) else { panic!("refused") };
        assert_eq!(body.code, ErrorCode::Unavailable, "{expected}");
    }
}

#[test]
fn only_users_with_access_may_use_an_agent() {
    let admins = with(replay("admins"), "access", json!({"roles": ["admin"]}));
    let adas = with(replay("adas"), "access", json!({"people": ["Ada@example.org"]}));
    let registry = AgentRegistry::new([], &[admins, adas], AgentBuilder::default());
    let agents = registry.agents();
    assert_eq!(ids(agents, &user(Role::Admin, "root@example.org")), ["admins"]);
    assert_eq!(ids(agents, &user(Role::Member, "ada@example.org")), ["adas"]);
    assert!(ids(agents, &user(Role::Member, "bob@example.org")).is_empty());
    assert!(agents.resolve(Some("admins"), &user(Role::Member, "ada@example.org")).is_err());
}

#[test]
fn stored_entries_are_added_and_removed_and_never_replace_configured_agents() {
    let root = user(Role::Admin, "root@example.org");
    let registry = AgentRegistry::new([], &[replay("a")], AgentBuilder::default());
    let agents = registry.agents();
    // Administrators may not name files of the server.
    assert!(registry.check(&replay("b")).expect_err("a refusal").message.starts_with("kind: "));
    assert_eq!(registry.check(&replay("a")).expect_err("taken").code, ErrorCode::Conflict);
    registry.set_stored(&[("b".into(), replay("b"))]);
    assert_eq!(ids(agents, &root), ["a", "b"]);
    registry.set_stored(&[]);
    assert_eq!(ids(agents, &root), ["a"]);
}

#[test]
fn a_stored_entry_with_the_id_of_a_configured_agent_is_listed_under_another_id() {
    let root = user(Role::Admin, "root@example.org");
    let registry = AgentRegistry::new([], &[replay("a")], AgentBuilder::default());
    let agents = registry.agents();
    registry.set_stored(&[("a".into(), replay("a")), ("b".into(), replay("b"))]);
    assert_eq!(ids(agents, &root), ["a", "unusable-a", "b"]);
    let reason = agents.list(&root)[1].disabled.clone().expect("the reason why it is disabled");
    assert_eq!(reason, "agent `a`: id: there is an agent `a` already; choose another id");
    assert_eq!(agents.stored_id("unusable-a").as_deref(), Some("a"));
    assert_eq!(
        (agents.stored_id("a"), agents.stored_id("b").as_deref()),
        (None, Some("b")),
        "the configured agent is not in the store"
    );
    registry.set_stored(&[("b".into(), replay("b"))]);
    assert_eq!(ids(agents, &root), ["a", "b"]);
}
