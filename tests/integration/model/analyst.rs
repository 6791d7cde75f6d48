//! The analyst with a model at its side: it may introduce things, and every figure stays the analyst's.

use std::{io::Write, path::PathBuf};

use netra::{
    analyst::pricing::PriceTable,
    protocol::{Attachment, Author, FileId, RunId, ThreadId, UserId, agui::Event},
    server::{
        agents::{
            builtin::{Analyst, Writer},
            model,
        },
        runs::{Agent, CallerInput, Done, Emitter, InputFile, RunInput},
    },
    thread::ThreadView,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::model::server::{Model, Reply, says};

const LOG: &str = "timestamp,model,input_tokens,output_tokens\n\
                   2026-01-31T12:00:00Z,gpt-4.1,1200,150\n2026-01-31T12:01:00Z,gpt-4.1,900,50\n";

/// What the analyst called its tools with and what they answered, its last words, and its end.
struct Told {
    calls: Vec<(String, String)>,
    last: String,
    done: Done,
}

fn writer(model: &Model) -> Writer {
    let entry = json!({
        "id": "helper", "name": "Helper", "kind": "model", "model": "scripted", "base_url": model.url,
        "prices": {"input": 1.0, "output": 10.0},
    });
    let entries: Vec<_> = serde_json::from_value(json!([entry])).expect("entries");
    model::writer("helper", &entries, |_| None, &PriceTable::shipped()).expect("a model")
}

async fn ask(model: &Model, text: &str) -> Told {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(LOG.as_bytes()).expect("writes");
    let attachment = Attachment { file_id: FileId::new(), name: "log.csv".into(), bytes: LOG.len() as u64 };
    let input = RunInput {
        run_id: RunId::new(),
        thread_id: ThreadId::new(),
        parent_run_id: None,
        agent: "analyst".into(),
        author: Author { id: UserId::new(), name: "Owner".into() },
        text: text.into(),
        files: vec![InputFile { attachment, path: file.path().to_owned() }],
        folder: PathBuf::new(),
        thread: ThreadView::default(),
        resume: Vec::new(),
        caller: CallerInput::default(),
        cancel: CancellationToken::new(),
        stopped_by_person: CancellationToken::new(),
    };
    let analyst = Analyst::new(None).expect("prices").with_writer(writer(model));
    let (out, mut events) = Emitter::channel(64);
    let run = tokio::spawn(async move { analyst.run(input, out).await });
    let (mut names, mut calls, mut texts) = (Vec::new(), Vec::new(), Vec::<String>::new());
    while let Some(event) = events.recv().await {
        match event {
            Event::ToolCallStart(call) => names.push((call.tool_call_id, call.tool_call_name)),
            Event::ToolCallResult(result) => {
                let name = names.iter().find(|(id, _)| *id == result.tool_call_id).expect("its call").1.clone();
                calls.push((name, result.content.to_text()));
            }
            Event::TextMessageStart(_) => texts.push(String::new()),
            Event::TextMessageContent(more) => texts.last_mut().expect("a text").push_str(&more.delta),
            _ => {}
        }
    }
    let done = run.await.expect("no panic").expect("an end");
    Told { calls, last: texts.pop().expect("a text"), done }
}

fn goals(told: &Told) -> Option<Value> {
    let asked = told.calls.iter().find(|(name, _)| name == "ask_model")?;
    Some(serde_json::from_str(&asked.1).expect("JSON"))
}

#[tokio::test]
async fn a_question_that_no_rule_reads_is_read_by_the_model_and_its_words_are_signed() {
    let model = Model::with([says("{\"goals\": [\"peaks\"]}"), says("All in all a quiet log.")]).await;
    let told = ask(&model, "My boss frets, somehow.").await;
    assert_eq!(goals(&told), Some(json!([{"goal": "peaks"}])));
    let (lead, rest) = told.last.split_once("*Worded by scripted").expect("signed");
    assert_eq!(lead, "All in all a quiet log.\n\n");
    assert!(rest.contains("below is the analyst's own.*\n\n2 requests, "), "the analyst's words follow: {rest}");
    assert_eq!(told.done.usage[0].input_tokens, Some(200), "both uses are counted");
    assert!(told.done.metadata.expect("metadata")["costUsd"].as_f64().is_some_and(|cost| cost > 0.0));
}

#[tokio::test]
async fn a_question_that_the_rules_read_is_left_to_them() {
    let model = Model::with([says("Look at the peaks.")]).await;
    let told = ask(&model, "When are our peaks?").await;
    assert_eq!((goals(&told), model.asked().len()), (None, 1));
}

#[tokio::test]
async fn words_with_a_figure_are_not_taken_be_it_the_analysts_own() {
    for words in [
        "There were 3 requests.",
        // True figures that changed places.
        "There were 2,100 requests with 2 tokens.",
        "Good news: caching alone saves ninety percent of your spend, and a cheaper model another fifth.",
    ] {
        let model = Model::with([says(words)]).await;
        let told = ask(&model, "When are our peaks in the next 30 days?").await;
        assert!(told.last.starts_with("2 requests, ") && !told.last.contains("Worded by"), "{}", told.last);
        assert_eq!(told.done.usage[0].input_tokens, Some(100), "what it took is counted all the same");
    }
}

#[tokio::test]
async fn the_model_sees_no_figure() {
    let model = Model::with([says("Look at the peaks.")]).await;
    ask(&model, "When are our peaks in the next 30 days?").await;
    let body = &model.asked()[0].body;
    let told =
        body["messages"].as_array().and_then(|messages| messages.last()).expect("a message")["content"].to_string();
    assert!(told.contains("# requests, ") && !told.contains(char::is_numeric), "{told}");
}

#[tokio::test]
async fn without_its_model_the_analyst_is_what_it_was() {
    let down = || Reply::Status(500, Vec::new(), "oops".into());
    let model = Model::with([down(), down()]).await;
    let told = ask(&model, "My boss frets, somehow.").await;
    assert!(goals(&told).expect("asked")["error"].is_string());
    assert!(told.last.starts_with("2 requests, "), "{}", told.last);
    assert!(told.done.usage.is_empty() && told.done.result.is_some());
}

#[test]
fn a_model_that_is_not_there_is_said() {
    let said = |entries: Value| {
        let entries: Vec<_> = serde_json::from_value(entries).expect("entries");
        model::writer("helper", &entries, |_| None, &PriceTable::shipped()).expect_err("wrong")
    };
    assert!(said(json!([])).contains("no agent `helper`"));
    let replay = json!([{"id": "helper", "name": "x", "kind": "replay", "file": "x"}]);
    assert!(said(replay).contains("not of kind"));
    let keyless = json!([{"id": "helper", "name": "x", "kind": "model", "model": "m", "api_key": "${NOT_SET}"}]);
    assert!(said(keyless).contains("NOT_SET is not set"));
}
