//! The registry.

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
fn the_first_is_the_default_and_an_unknown_one_is_answered_with_those_there_are() {
    let registry = AgentRegistry::new([], &[replay("demo"), replay("fast")], Kinds::default());
    let agents = registry.agents();
    let ada = user(Role::Member, "ada@example.org");
    assert_eq!(agents.resolve(None, &ada).expect("the default"), "demo");
    assert_eq!(agents.resolve(Some("fast"), &ada).expect("known"), "fast");
    let Err(Error::Refused(body)) = agents.resolve(Some("slow"), &ada) else { panic!("refused") };
    assert_eq!(body.code, ErrorCode::NotFound);
    assert_eq!(body.message, "there is no agent `slow`; there are `demo`, `fast`");
}

#[test]
fn a_wrong_entry_is_an_agent_that_cannot_be_used_and_says_why() {
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
    for (wrong, expected) in cases {
        let registry = AgentRegistry::new([], &[replay("a"), wrong, replay("z")], Kinds::default());
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
fn only_those_named_may_use_an_agent() {
    let admins = with(replay("admins"), "access", json!({"roles": ["admin"]}));
    let adas = with(replay("adas"), "access", json!({"people": ["Ada@example.org"]}));
    let registry = AgentRegistry::new([], &[admins, adas], Kinds::default());
    let agents = registry.agents();
    assert_eq!(ids(agents, &user(Role::Admin, "root@example.org")), ["admins"]);
    assert_eq!(ids(agents, &user(Role::Member, "ada@example.org")), ["adas"]);
    assert!(ids(agents, &user(Role::Member, "bob@example.org")).is_empty());
    assert!(agents.resolve(Some("admins"), &user(Role::Member, "ada@example.org")).is_err());
}

#[test]
fn stored_entries_come_and_go_and_never_stand_in_for_the_files() {
    let root = user(Role::Admin, "root@example.org");
    let registry = AgentRegistry::new([], &[replay("a")], Kinds::default());
    let agents = registry.agents();
    // Recordings are files of the server: no page names them.
    assert!(registry.check(&replay("b")).expect_err("refused").message.starts_with("kind: "));
    assert_eq!(registry.check(&replay("a")).expect_err("taken").code, ErrorCode::Conflict);
    registry.set_stored(&[("b".into(), replay("b"))]);
    assert_eq!(ids(agents, &root), ["a", "b"]);
    registry.set_stored(&[]);
    assert_eq!(ids(agents, &root), ["a"]);
}

#[test]
fn a_stored_entry_whose_id_the_file_took_is_listed_apart_and_known_by_the_stores() {
    let root = user(Role::Admin, "root@example.org");
    let registry = AgentRegistry::new([], &[replay("a")], Kinds::default());
    let agents = registry.agents();
    registry.set_stored(&[("a".into(), replay("a")), ("b".into(), replay("b"))]);
    assert_eq!(ids(agents, &root), ["a", "unusable-a", "b"]);
    assert_eq!(agents.stored_id("unusable-a").as_deref(), Some("a"));
    assert_eq!(
        (agents.stored_id("a"), agents.stored_id("b").as_deref()),
        (None, Some("b")),
        "the file's is not the store's"
    );
    registry.set_stored(&[("b".into(), replay("b"))]);
    assert_eq!(ids(agents, &root), ["a", "b"]);
}
