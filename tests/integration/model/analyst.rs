//! The analyst with a model that writes introductions. Every figure stays the analyst's.

use std::{io::Write, path::PathBuf};

use netra::{
    analyst::pricing::PriceTable,
    protocol::{Attachment, Author, FileId, RunId, ThreadId, UserId, agui::Event},
    server::{
        agents::{
            builtin::{Analyst, AnalystModel},
            model,
        },
        runs::{Agent, CallerInput, Done, Emitter, InputFile, NewMessages, RunInput},
    },
    thread::ThreadView,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::model::server::{Model, Reply, text_reply};

const LOG: &str = "timestamp,model,input_tokens,output_tokens\n\
                   2026-01-31T12:00:00Z,gpt-4.1,1200,150\n2026-01-31T12:01:00Z,gpt-4.1,900,50\n";

/// The analyst's tool calls with their results, its last text, and its end.
struct Outcome {
    calls: Vec<(String, String)>,
    last: String,
    done: Done,
}

fn analyst_model(model: &Model) -> AnalystModel {
    let entry = json!({
        "id": "helper", "name": "Helper", "kind": "model", "model": "scripted", "base_url": model.url,
        "prices": {"input": 1.0, "output": 10.0},
    });
    let entries: Vec<_> = serde_json::from_value(json!([entry])).expect("entries");
    model::analyst_model("helper", &entries, |_| None, &PriceTable::shipped()).expect("a model")
}

async fn ask(model: &Model, text: &str) -> Outcome {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(LOG.as_bytes()).expect("the file is written");
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
        messages: NewMessages::default(),
        cancel: CancellationToken::new(),
        stopped_by_person: CancellationToken::new(),
    };
    let analyst = Analyst::new(None).expect("the prices are read").with_model(analyst_model(model));
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
    let done = run.await.expect("the task does not panic").expect("an end");
    Outcome { calls, last: texts.pop().expect("a text"), done }
}

fn goals(outcome: &Outcome) -> Option<Value> {
    let call = outcome.calls.iter().find(|(name, _)| name == "ask_model")?;
    Some(serde_json::from_str(&call.1).expect("JSON"))
}

#[tokio::test]
async fn the_model_reads_a_question_that_no_rule_matches_and_its_text_is_marked() {
    let model = Model::with([text_reply("{\"goals\": [\"peaks\"]}"), text_reply("All in all a quiet log.")]).await;
    let outcome = ask(&model, "My boss frets, somehow.").await;
    assert_eq!(goals(&outcome), Some(json!([{"goal": "peaks"}])));
    let (lead, rest) = outcome.last.split_once("*Worded by scripted").expect("the line that names the model");
    assert_eq!(lead, "All in all a quiet log.\n\n");
    assert!(rest.contains("below is the analyst's own.*\n\n2 requests, "), "the analyst's words follow: {rest}");
    assert_eq!(outcome.done.usage[0].input_tokens, Some(200), "both uses are counted");
    assert!(outcome.done.metadata.expect("metadata")["costUsd"].as_f64().is_some_and(|cost| cost > 0.0));
}

#[tokio::test]
async fn a_question_that_the_rules_match_is_not_given_to_the_model() {
    let model = Model::with([text_reply("Look at the peaks.")]).await;
    let outcome = ask(&model, "When are our peaks?").await;
    assert_eq!((goals(&outcome), model.requests().len()), (None, 1));
}

#[tokio::test]
async fn a_text_of_the_model_with_a_figure_is_not_used() {
    for words in [
        "There were 3 requests.",
        // True figures in the wrong places.
        "There were 2,100 requests with 2 tokens.",
        "Good news: caching alone saves ninety percent of your spend, and a cheaper model another fifth.",
    ] {
        let model = Model::with([text_reply(words)]).await;
        let outcome = ask(&model, "When are our peaks in the next 30 days?").await;
        assert!(outcome.last.starts_with("2 requests, ") && !outcome.last.contains("Worded by"), "{}", outcome.last);
        assert_eq!(outcome.done.usage[0].input_tokens, Some(100), "the usage counts although the text is not used");
    }
}

#[tokio::test]
async fn the_model_gets_no_figures() {
    let model = Model::with([text_reply("Look at the peaks.")]).await;
    ask(&model, "When are our peaks in the next 30 days?").await;
    let body = &model.requests()[0].body;
    let outcome =
        body["messages"].as_array().and_then(|messages| messages.last()).expect("a message")["content"].to_string();
    assert!(outcome.contains("# requests, ") && !outcome.contains(char::is_numeric), "{outcome}");
}

#[tokio::test]
async fn the_analyst_works_without_its_model() {
    let down = || Reply::Status(500, Vec::new(), "oops".into());
    let model = Model::with([down(), down()]).await;
    let outcome = ask(&model, "My boss frets, somehow.").await;
    assert!(goals(&outcome).expect("a call")["error"].is_string());
    assert!(outcome.last.starts_with("I do not understand this question"), "{}", outcome.last);
    assert!(outcome.done.usage.is_empty() && outcome.done.result.is_some());
}

#[test]
fn a_missing_or_unusable_model_is_reported() {
    let error = |entries: Value| {
        let entries: Vec<_> = serde_json::from_value(entries).expect("entries");
        model::analyst_model("helper", &entries, |_| None, &PriceTable::shipped()).expect_err("wrong")
    };
    assert!(error(json!([])).contains("no agent `helper`"));
    let replay = json!([{"id": "helper", "name": "x", "kind": "replay", "file": "x"}]);
    assert!(error(replay).contains("not of kind"));
    let keyless = json!([{"id": "helper", "name": "x", "kind": "model", "model": "m", "api_key": "${NOT_SET}"}]);
    assert!(error(keyless).contains("NOT_SET is not set"));
}
