//! Several files of one message, packed files, and questions about columns with their answers.

use std::{fs::File, sync::Arc};

use netra::{
    protocol::{AnswerStatus, RunId},
    server::{
        agents::{AgentBuilder, AgentRegistry, builtin},
        channel::Channels,
        runs::{Outcome, Runner, RunnerOptions},
    },
    thread::{NodeBody, RunState, RunView},
};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::support::harness::{Harness, texts};

/// Two requests: 30 tokens in, 12 out.
const CSV: &str = "timestamp,model,input_tokens,output_tokens\n\
                   2026-01-31T12:00:00Z,gpt-4.1,10,5\n2026-01-31T12:01:00Z,gpt-4.1,20,7\n";

/// Two requests whose columns of counts have names that say nothing: 300 tokens in `counter_a`, 30 in `counter_b`.
const UNNAMED: &str = "timestamp,model,counter_a,counter_b\n\
                       2026-01-31T12:00:00Z,gpt-4.1,100,10\n2026-01-31T12:01:00Z,gpt-4.1,200,20\n";

const QUESTION: &str = "Where do my tokens go?";

fn write_file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("the file is written");
    path
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).expect("it packs");
    packed.finish().expect("it packs")
}

/// A workbook with one sheet: two requests of 1,000 tokens in and 100 out each.
fn write_workbook(path: &Path) {
    let text = |value: &str| format!("<c t=\"inlineStr\"><is><t>{value}</t></is></c>");
    let header: String = ["model", "input_tokens", "output_tokens"].map(text).concat();
    let row = format!("<row>{}<c><v>1000</v></c><c><v>100</v></c></row>", text("gpt-4.1"));
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let packages = "http://schemas.openxmlformats.org/package/2006";
    let parts = [
        (
            "[Content_Types].xml",
            format!(
                "<Types xmlns=\"{packages}/content-types\"><Default Extension=\"rels\" \
                 ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/><Default Extension=\"xml\" \
                 ContentType=\"application/xml\"/></Types>"
            ),
        ),
        (
            "_rels/.rels",
            format!(
                "<Relationships xmlns=\"{packages}/relationships\"><Relationship Id=\"r1\" \
                 Type=\"{relations}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/workbook.xml",
            format!(
                "<workbook xmlns=\"{main}\" xmlns:r=\"{relations}\"><sheets><sheet name=\"Usage\" sheetId=\"1\" \
                 r:id=\"r1\"/></sheets></workbook>"
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels",
            format!(
                "<Relationships xmlns=\"{packages}/relationships\"><Relationship Id=\"r1\" Type=\"{relations}/worksheet\" \
                 Target=\"worksheets/sheet1.xml\"/></Relationships>"
            ),
        ),
        (
            "xl/worksheets/sheet1.xml",
            format!("<worksheet xmlns=\"{main}\"><sheetData><row>{header}</row>{row}{row}</sheetData></worksheet>"),
        ),
    ];
    let mut archive = zip::ZipWriter::new(File::create(path).expect("the file is created"));
    for (name, xml) in parts {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("a part begins");
        let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
        archive.write_all(format!("{declaration}{xml}").as_bytes()).expect("the part is written");
    }
    archive.finish().expect("the archive is written");
}

/// The result of the run's call of `load_log`.
fn load_result(run: &Recorded) -> Value {
    let id = run.events.iter().find_map(|event| match event {
        Event::ToolCallStart(start) if start.tool_call_name == "load_log" => Some(&start.tool_call_id),
        _ => None,
    });
    let result = run.events.iter().find_map(|event| match event {
        Event::ToolCallResult(result) if Some(&result.tool_call_id) == id => Some(result.content.to_text()),
        _ => None,
    });
    serde_json::from_str(&result.expect("a result")).expect("JSON")
}

#[tokio::test]
async fn the_files_of_a_message_are_read_together_packed_or_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (plain, packed) = (write_file(&folder, "a.csv", CSV.as_bytes()), write_file(&folder, "b.csv.gz", &gzip(CSV)));
    let workbook = folder.path().join("c.xlsx");
    write_workbook(&workbook);
    let run = ask(QUESTION, &[&plain, &packed, &workbook]).await;
    let result = run.result.as_ref().expect("it succeeds").result.clone().expect("a result");
    // Requests: 2 + 2 + 2. Tokens: 42 + 42 + 2 × 1,100.
    assert_eq!((&result["requests"], result["tokens"].as_f64()), (&json!(6), Some(2284.0)));
    let read = load_result(&run);
    let names: Vec<&Value> = read["files"].as_array().expect("files").iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["a.csv", "b.csv.gz", "c.xlsx"]);
    assert!(read["files"][2]["format"].as_str().is_some_and(|format| format.contains("\"Usage\"")), "{read}");
}

#[tokio::test]
async fn one_unreadable_file_among_several_fails_the_run_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (good, bad) = (write_file(&folder, "a.csv", CSV.as_bytes()), write_file(&folder, "b.csv", b""));
    match ask(QUESTION, &[&good, &bad]).await.result {
        Err(AgentError::Failed { code, message, .. }) => {
            assert_eq!(code, "unreadable_file");
            assert!(
                message.starts_with("b.csv: The file is empty.") && message.contains("None of the 2 files"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_unclear_log_ends_the_run_in_a_question_for_each_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["a.csv", "b.csv"].map(|name| write_file(&folder, name, UNNAMED.as_bytes()));
    let run = ask(QUESTION, &[&files[0], &files[1]]).await;
    let Ok(Done { outcome: Outcome::Interrupt(interrupts), .. }) = &run.result else { panic!("{:?}", run.result) };
    assert_eq!(interrupts.len(), 2);
    let message = interrupts[1].message.as_deref().expect("a message");
    assert!(message.starts_with("b.csv: No column with input tokens was recognised."), "{message}");
    let schema = interrupts[0].response_schema.as_ref().expect("a schema");
    let columns = json!(["timestamp", "model", "counter_a", "counter_b", ""]);
    assert_eq!((&schema["properties"]["input"]["enum"], &schema["properties"]["output"]["enum"]), (&columns, &columns));
    let tables = run.customs("netra.table");
    assert_eq!(tables.len(), 2);
    assert_eq!(tables[0]["rows"][1], json!(["2026-01-31T12:01:00Z", "gpt-4.1", "200", "20"]));
}

#[tokio::test]
async fn a_line_of_the_message_names_columns_and_a_wrong_line_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write_file(&folder, "a.csv", UNNAMED.as_bytes());
    let run = ask("Where do my tokens go?\ncolumns: input=counter_a, output=counter_b", &[&file]).await;
    let result = run.result.as_ref().expect("it succeeds").result.clone().expect("a result");
    assert_eq!(result["tokens"].as_f64(), Some(330.0));
    match ask("columns: size=counter_a", &[&file]).await.result {
        Err(AgentError::Failed { code, message, .. }) => {
            assert!(code == "invalid_columns" && message.contains("\"size\" is not a role"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

/// A thread with the analyst.
async fn thread() -> Harness<()> {
    let runner = |channels: &Channels, folder| {
        let analyst: Arc<dyn Agent> = Arc::new(Analyst::new(None).expect("the shipped prices"));
        let agents = AgentRegistry::new([analyst], &[], AgentBuilder::default());
        Runner::new(channels.clone(), agents.agents().clone(), RunnerOptions::new(folder))
    };
    Harness::start(builtin::ID, (), runner).await
}

/// The run's only open question: its id and text.
#[track_caller]
fn open_question(run: &RunView) -> (RunId, String, String) {
    match run.open_interrupts() {
        [one] => (run.run_id, one.id.clone(), one.message.clone().expect("a message")),
        others => panic!("{others:?} {:?}", run.state),
    }
}

#[track_caller]
fn tokens(run: &RunView) -> f64 {
    assert_eq!(run.state, RunState::Finished);
    run.result.as_ref().and_then(|result| result["tokens"].as_f64()).expect("tokens")
}

#[tokio::test]
async fn an_answer_resumes_the_run_and_is_kept_for_later_runs_over_the_file() {
    let thread = thread().await;
    let asked = thread.ask_with_files(QUESTION, &[("log.csv", UNNAMED.as_bytes())]).await;
    let is_preview = |body: &NodeBody| matches!(body, NodeBody::Custom { name, .. } if name == "netra.table");
    assert!(asked.nodes.iter().any(|node| is_preview(&node.body)));
    let (run, id, _) = open_question(&asked);

    // One column cannot be both: it is asked again, with the reason.
    let same = json!({"input": "counter_a", "output": "counter_a"});
    let again = thread.answer_one(run, &id, AnswerStatus::Resolved, same).await;
    let (run, id, message) = open_question(&again);
    assert!(message.contains("\"counter_a\" is named for input and for output"), "{message}");

    // Neither can a column of texts be counted.
    let texts = json!({"input": "model", "output": "counter_b"});
    let again = thread.answer_one(run, &id, AnswerStatus::Resolved, texts).await;
    let (run, id, message) = open_question(&again);
    assert!(message.contains("cannot be used"), "{message}");

    let right = json!({"input": "counter_a", "output": "counter_b"});
    let answered = thread.answer_one(run, &id, AnswerStatus::Resolved, right).await;
    assert_eq!(tokens(&answered), 330.0);
    assert_eq!(tokens(&thread.ask("What will next month cost?").await), 330.0);

    // A line of a message changes what is kept.
    let corrected = thread.ask("And now?\ncolumns: input=counter_b, output=counter_a").await;
    assert_eq!(tokens(&corrected), 330.0);
    let kept = corrected.result.as_ref().and_then(|result| result["columns"].as_object()).expect("columns");
    let columns = kept.values().next().map(|choice| choice["columns"].clone());
    assert_eq!(columns, Some(json!({"input": "counter_b", "output": "counter_a"})));
    assert_eq!(thread.ask("Once more").await.result.expect("a result")["columns"], json!(kept));
}

#[tokio::test]
async fn a_skipped_question_ends_the_run_and_another_message_may_answer_it() {
    let thread = thread().await;
    let asked = thread.ask_with_files(QUESTION, &[("log.csv", UNNAMED.as_bytes())]).await;
    let (run, id, _) = open_question(&asked);
    let skipped = thread.answer_one(run, &id, AnswerStatus::Cancelled, Value::Null).await;
    assert_eq!(skipped.state, RunState::Finished);
    assert!(texts(&skipped).concat().contains("I computed nothing"), "{:?}", texts(&skipped));
    open_question(&thread.ask(QUESTION).await);
    let named = thread.ask("Where do my tokens go?\ncolumns: input=counter_a, output=counter_b").await;
    assert_eq!(tokens(&named), 330.0);
}

#[tokio::test]
async fn a_question_without_files_is_about_all_files_of_the_message_before() {
    let thread = thread().await;
    let files = [("a.csv", CSV.as_bytes()), ("b.csv", CSV.as_bytes())];
    assert_eq!(tokens(&thread.ask_with_files(QUESTION, &files).await), 84.0);
    assert_eq!(tokens(&thread.ask("What will next month cost?").await), 84.0);
}
