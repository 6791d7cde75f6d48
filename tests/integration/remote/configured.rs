//! Configuration of remote agents.

use std::sync::Arc;

use netra::server::{
    agents::{AgentBuilder, AgentRegistry},
    config::agents::AgentEntry,
    runs::Agents,
};
use serde_json::{Value, json};

use crate::remote::harness::SECRET;

pub fn entry(changes: &Value) -> AgentEntry {
    let mut entry =
        json!({"id": "planner", "name": "Planner", "kind": "ag-ui", "url": "https://agents.example.com/run"});
    entry.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    serde_json::from_value(entry).expect("an entry")
}

pub fn registry(configured: &[AgentEntry]) -> AgentRegistry {
    let variables = |name: &str| name.ends_with("TOKEN").then(|| SECRET.to_owned());
    let builder = AgentBuilder { variables: Arc::new(variables), ..AgentBuilder::default() };
    AgentRegistry::new([], configured, builder)
}

pub fn agents(configured: &[AgentEntry]) -> Arc<Agents> {
    registry(configured).agents().clone()
}

#[test]
fn an_entry_is_an_agent_and_its_endpoint_is_called_only_for_runs() {
    let agents = agents(&[entry(&json!({"headers": {"Authorization": "Bearer ${TOKEN}"}}))]);
    let planner = agents.get("planner").expect("the agent exists");
    assert_eq!((planner.info.name.as_str(), planner.info.disabled.as_deref()), ("Planner", None));
    let health = planner.health().expect("the agent has an endpoint");
    assert_eq!((health.ok, health.about.as_str()), (true, "it has not been used yet"));
}

#[test]
fn a_wrong_entry_is_an_agent_that_cannot_be_used_with_the_key_as_reason() {
    let cases = [
        (json!({"url": "ftp://a/"}), "agents[0].url: has another scheme"),
        (json!({"url": "http://10.0.0.1/"}), "agents[0].url: `10.0.0.1` lies in a private network"),
        (json!({"headers": {"X-Key": "${MISSING}"}}), "agents[0].headers.X-Key: the variable MISSING is not set"),
        (json!({"silence_timeout_ms": 0}), "agents[0].silence_timeout_ms: invalid value"),
        (json!({"headers": format!("Bearer {SECRET}")}), "agents[0].headers: invalid type: a text, expected a map"),
        (json!({"headers": {"X-Key": [SECRET]}}), "agents[0].headers.X-Key: invalid type: sequence, expected a text"),
        (json!({"url": format!("https://me:{SECRET}@a/")}), "agents[0].url: contains a user or a password"),
        (json!({"url": "https://a/?key=${MISSING}"}), "agents[0].url: the variable MISSING is not set"),
        (json!({"timeout": 1}), "agents[0].timeout: unknown field `timeout`"),
    ];
    for (changes, expected) in cases {
        let agents = agents(&[entry(&changes)]);
        let planner = agents.all().first().cloned().expect("the agent exists");
        let reason = planner.info.disabled.as_ref().expect("the reason why it is disabled");
        assert!(reason.contains(expected) && !reason.contains(SECRET), "`{reason}` should say `{expected}`");
        assert!(planner.health().is_none());
    }
}

#[test]
fn an_entry_of_the_page_refers_only_to_variables_with_its_prefix() {
    let agents = registry(&[]);
    let headers = |value: &str| entry(&json!({"headers": {"X-Key": value}}));
    assert!(agents.check(&headers("${NETRA_AGENT_TOKEN}")).is_ok());
    let refused = agents.check(&headers("${STORE_TOKEN}")).expect_err("a refusal");
    assert!(refused.message.contains("headers: STORE_TOKEN is not allowed here"), "{}", refused.message);
    assert!(!refused.message.contains(SECRET));
}
