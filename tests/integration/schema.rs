//! `shared/schema.json` matches the types, and its examples are valid, by a validator that shares no code with the generator.

use std::{fs, path::PathBuf};

use netra::protocol::{Command, agui::Event, schema};
use serde_json::{Value, json};

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("shared/schema.json")
}

/// A validator of one definition of the schema.
fn validator(document: &Value, definition: &str) -> jsonschema::Validator {
    let mut schema = document.clone();
    let root = schema.as_object_mut().expect("an object");
    root.remove("oneOf");
    root.insert("$ref".into(), json!(format!("#/$defs/{definition}")));
    jsonschema::draft202012::new(&schema).expect("a valid schema of draft 2020-12")
}

#[test]
fn the_committed_schema_matches_the_types() {
    let committed = fs::read_to_string(file()).expect("shared/schema.json");
    let committed: Value = serde_json::from_str(&committed).expect("JSON");
    assert_eq!(committed, schema::document(), "the types changed: run `make schema-update` and commit the result");
}

#[test]
fn the_schema_is_valid_by_its_own_draft() {
    assert!(jsonschema::meta::is_valid(&schema::document()));
}

#[test]
fn every_example_fits_its_definition() {
    let document = schema::document();
    let mut checked = 0;
    for (name, definition) in document["$defs"].as_object().expect("definitions") {
        for example in definition["examples"].as_array().into_iter().flatten() {
            let errors: Vec<String> = validator(&document, name).iter_errors(example).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{name}: {example} does not fit: {errors:?}");
            checked += 1;
        }
    }
    assert!(checked >= 45, "only {checked} examples");
}

#[test]
fn the_schema_names_every_command_and_every_event() {
    let document = schema::document();
    let commands = document["x-commands"].as_object().expect("commands");
    assert_eq!(commands.len(), Command::TYPES.len());
    for kind in Command::TYPES {
        assert!(commands.contains_key(*kind), "{kind}");
    }
    let events = document["$defs"]["Event"]["oneOf"].to_string();
    for kind in Event::TYPES {
        assert!(events.contains(&format!("\"{kind}\"")), "{kind}");
    }
}

#[test]
fn the_schema_refuses_invalid_frames() {
    let document = schema::document();
    let frame = validator(&document, "ClientFrame");
    assert!(frame.is_valid(&json!({"type": "ping", "id": 1, "payload": {}})));
    for wrong in [
        json!({"type": "pong", "id": 1, "payload": {}}),
        json!({"type": "ping", "id": "1", "payload": {}}),
        json!({"type": "ping", "id": 1, "payload": {"extra": true}}),
        json!({"type": "subscribe", "id": 1, "payload": {"channel": "users"}}),
        json!({"type": "create_thread", "id": 1, "payload": {"thread_id": "7f3d9a52-0c1e-4f4b-9a53-6d2f1c0b8e11"}}),
    ] {
        assert!(!frame.is_valid(&wrong), "{wrong}");
    }
    let event = validator(&document, "Event");
    assert!(!event.is_valid(&json!({"type": "THINKING_START"})));
    assert!(!event.is_valid(&json!({"type": "TEXT_MESSAGE_END"})));
}
