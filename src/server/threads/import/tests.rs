//! Reading the sample files, broken ones, and anything else.

use std::io::Write;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::protocol::{Author, RunId, ThreadId, ThreadInfo, UserId, UserMessage};

const CHATGPT: &str = include_str!("../../../../tests/data/imports/chatgpt.json");
const OPEN_WEBUI: &str = include_str!("../../../../tests/data/imports/open-webui.json");
const LIBRECHAT: &str = include_str!("../../../../tests/data/imports/librechat.json");
const MAX: u64 = 1 << 20;

fn read(text: &str) -> Export {
    read_export(text.as_bytes(), MAX).expect("it is read")
}

/// A conversation's turns: after which, instead of which, question and answer.
fn turns(conversation: &Conversation) -> Vec<(Option<usize>, Option<usize>, &str, &str)> {
    let turn = |turn: &'_ Turn| (turn.after, turn.replaces);
    let texts = conversation.turns.iter().map(|turn| (turn.question.as_str(), turn.answer.as_str()));
    conversation.turns.iter().map(turn).zip(texts).map(|((after, replaces), (q, a))| (after, replaces, q, a)).collect()
}

#[test]
fn chatgpts_other_answers_become_versions_and_the_shown_one_is_the_last() {
    let export = read(CHATGPT);
    assert_eq!((export.format, export.empty, export.omitted), (ImportFormat::ChatGpt, 1, 2));
    let [conversation] = &export.conversations[..] else { panic!("{export:?}") };
    assert_eq!((conversation.title.as_str(), conversation.source_id.as_str()), ("Coffee ratio", "c-1"));
    assert_eq!(conversation.created_at, Some(1_700_000_000_500));
    let question = "How much coffee for a litre?";
    let expected = [(None, None, question, "About 50 grams."), (None, Some(0), question, "Sixty grams.")];
    assert_eq!(turns(conversation), expected);
    assert_eq!(conversation.turns[0].at, Some(1_700_000_001_000));
}

#[test]
fn open_webuis_branches_are_kept() {
    let export = read(OPEN_WEBUI);
    assert_eq!((export.format, export.omitted), (ImportFormat::OpenWebUi, 1));
    let conversation = &export.conversations[0];
    assert_eq!((conversation.title.as_str(), conversation.created_at), ("Tea", Some(1_710_000_000_000)));
    assert_eq!(
        turns(conversation),
        [
            (None, None, "How hot for green tea?", "80 degrees."),
            (Some(0), None, "And white tea?", ""),
            (Some(0), Some(1), "And black tea?", "Boiling."),
        ]
    );
}

#[test]
fn librechats_nested_messages_are_read() {
    let export = read(LIBRECHAT);
    assert_eq!((export.format, export.omitted), (ImportFormat::LibreChat, 1));
    let conversation = &export.conversations[0];
    assert_eq!((conversation.source_id.as_str(), conversation.created_at), ("l-1", Some(1_714_557_600_000)));
    assert_eq!(turns(conversation), [(None, None, "How long to bake?", "Forty minutes.")]);
}

fn archive(name: &str, text: &str) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("a file begins");
    archive.write_all(text.as_bytes()).expect("it is written");
    archive.finish().expect("the archive is complete").into_inner()
}

#[test]
fn an_archive_is_read_and_its_expansion_is_bounded() {
    let zipped = archive("export/conversations.json", CHATGPT);
    assert_eq!(read_export(&zipped, MAX), Ok(read(CHATGPT)));
    let bomb = archive("conversations.json", &" ".repeat(2 << 20));
    assert!(read_export(&bomb, MAX).expect_err("too large").contains("more than 1048576 bytes"));
    assert!(read_export(&archive("other.json", "[]"), MAX).expect_err("no such file").contains("conversations.json"));
    assert!(read_export(&zipped[..40], MAX).is_err());
}

#[test]
fn wrong_files_get_errors_that_name_the_place() {
    let cases = [
        ("[\n{\"mapping\": 1}]", "line 2"),
        ("", "line 1"),
        ("[{}]", "conversation 1: it is of none of the known formats"),
        ("{\"format\":\"netra.thread.v1\",\"thread\":1}", "line 1"),
    ];
    for (text, expected) in cases {
        let problem = read_export(text.as_bytes(), MAX).expect_err("it is refused");
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    assert!(read_export(b"[\xff]", MAX).expect_err("not text").contains("byte 1"));
    let deep = format!("{{\"messages\":[{}", "{\"children\":[".repeat(100));
    assert!(read_export(deep.as_bytes(), MAX).expect_err("too deep").contains("nested too deeply"));
}

#[test]
fn versions_of_a_long_question_do_not_multiply_the_text_of_a_file() {
    let part = |role: &str, text: &str| {
        format!(r#"{{"author": {{"role": "{role}"}}, "content": {{"content_type": "text", "parts": ["{text}"]}}}}"#)
    };
    let question = part("user", &"q".repeat(100_000));
    let answers: Vec<_> = (0..20)
        .map(|answer| format!(r#""{answer}": {{"parent": "q", "message": {}}}"#, part("assistant", "a")))
        .collect();
    let text = format!(r#"[{{"id": "x", "mapping": {{"q": {{"message": {question}}}, {}}}}}]"#, answers.join(", "));
    let problem = read_export(text.as_bytes(), MAX).expect_err("it is refused");
    assert!(problem.contains("conversation 1: the file has too many versions of long questions"), "{problem}");
}

#[test]
fn of_an_own_export_only_messages_and_texts_are_applied() {
    let (thread, run, user) = (ThreadId::new(), RunId::new(), UserId::new());
    let message = UserMessage::new(Author { id: user, name: "Ada".into() }, "Why?", run, "a");
    let line = |entry: serde_json::Value| format!("{}\n", json!({"at": 1, "entry": entry}));
    let event = |event: serde_json::Value| line(json!({"kind": "agent", "run_id": run, "event": event}));
    let head = json!({"format": "netra.thread.v1", "thread": ThreadInfo::new(thread, "T", "a", 1)});
    let mut text = format!("{{\"format\":\"netra.thread.v1\",\"thread\":{}}}\n", head["thread"]);
    text += &line(json!({"kind": "message", "message": message}));
    text += &event(json!({"type": "RUN_STARTED", "threadId": "t", "runId": run}));
    // Each copies what is there: 2^40 elements.
    text += &event(json!({"type": "STATE_SNAPSHOT", "snapshot": {"a": ["x"]}}));
    for step in 0..40 {
        let copy = json!({"op": "copy", "from": "/a", "path": format!("/a/{step}")});
        text += &event(json!({"type": "STATE_DELTA", "delta": [copy]}));
    }
    text += &event(json!({"type": "TEXT_MESSAGE_START", "messageId": "m", "role": "assistant"}));
    text += &event(json!({"type": "TEXT_MESSAGE_CONTENT", "messageId": "m", "delta": "Because."}));
    let view = own::view(&text).expect("it is read").0;
    assert_eq!(view.run(run).map(|run| (run.nodes.len(), run.shared.is_none())), Some((1, true)));
    assert_eq!(turns(&read(&text).conversations[0]), [(None, None, "Why?", "Because.")]);
}

#[test]
fn cycles_and_missing_parents_do_no_harm() {
    let text = r#"[{"id": "x", "mapping": {
        "a": {"parent": "b", "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["A"]}}},
        "b": {"parent": "a", "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["B"]}}},
        "c": {"parent": "gone", "message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["C"]}}}
    }, "current_node": "a"}]"#;
    assert_eq!(turns(&read(text).conversations[0]), [(None, None, "…", "C")]);
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_export(&bytes, MAX);
    }

    #[test]
    fn no_change_of_a_sample_makes_reading_panic(
        which in 0..4_usize, at in any::<prop::sample::Index>(), end in any::<prop::sample::Index>(), new in ".{0,8}",
    ) {
        let zipped = archive("conversations.json", CHATGPT);
        let sample = [CHATGPT.as_bytes(), OPEN_WEBUI.as_bytes(), LIBRECHAT.as_bytes(), &zipped][which];
        let (at, end) = (at.index(sample.len()), end.index(sample.len()));
        let changed = [&sample[..at.min(end)], new.as_bytes(), &sample[at.max(end)..]].concat();
        let _ = read_export(&changed, MAX);
    }

    #[test]
    fn every_tree_becomes_turns_that_follow_earlier_ones(
        parents in prop::collection::vec((0..12_u8, 0..3_u8), 0..12),
    ) {
        let node = |(index, (parent, role)): (usize, &(u8, u8))| tree::Node {
            id: index.to_string(),
            parent: Some(parent.to_string()),
            role: [tree::Role::User, tree::Role::Assistant, tree::Role::Hidden][usize::from(*role)],
            text: index.to_string(),
            at: None,
        };
        let (turns, _) = tree::turns(parents.iter().enumerate().map(node).collect(), Some("3")).expect("they are few");
        for (index, turn) in turns.iter().enumerate() {
            prop_assert!(turn.after.is_none_or(|after| after < index));
            prop_assert!(turn.replaces.is_none_or(|other| other < index && turns[other].after == turn.after));
        }
    }
}
