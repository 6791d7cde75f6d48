//! The workload analyst end to end: questions and files in, AG-UI events out, figures checked.
//!
//! The figures were computed independently, in Python, from the same files: sums over `csv.DictReader` rows, percentiles as
//! `sorted(v)[ceil(p * len(v) / 100) - 1]`, the price of a request as
//! `(input - cached) * price_in + cached * price_cached + output * price_out` with gpt-4.1 at 2, 0.5 and 8, gpt-4.1-mini at
//! 0.4, 0.1 and 1.6, gpt-4.1-nano at 0.1, 0.025 and 0.4 dollars a million, and each option as the difference of two such sums:
//! `route` (input and output at most their medians: the next cheaper model), `cap` and `trim` (`min` with the 95th
//! percentile), `cache` (input of 1,024 and more without cached tokens: the mean cached share of those with), `batch`
//! (20 % at half price, no cached discount). Latency was fitted with `numpy.linalg.lstsq`.
#![cfg(feature = "ssr")]

use std::{
    collections::HashSet,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use netra::{
    protocol::{Attachment, Author, FileId, RunId, ThreadId, UserId, agui::Event},
    server::agents::{
        Agent, AgentError, Emitter, InputFile, RunInput,
        analyst::{Analyst, EXAMPLES, analysis::Analysis, ingest, pricing::PriceTable},
    },
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// What a run said.
struct Told {
    result: Result<Option<Value>, AgentError>,
    events: Vec<Event>,
}

impl Told {
    /// The text of the sub-agent with this name; of the supervisor for `""`.
    fn text(&self, agent: &str) -> String {
        let id = self.events.iter().find_map(|event| match event {
            Event::SubagentStarted(start) if start.name == agent => Some(start.subagent_run_id.clone()),
            _ => None,
        });
        let said = self.events.iter().filter(|event| event.subagent() == id.as_deref());
        said.filter_map(|event| match event {
            Event::TextMessageContent(content) => Some(content.delta.as_str()),
            _ => None,
        })
        .collect()
    }

    fn tools(&self) -> Vec<&str> {
        let mut tools = Vec::new();
        for event in &self.events {
            if let Event::ToolCallStart(start) = event {
                tools.push(start.tool_call_name.as_str());
            }
        }
        tools
    }

    fn customs(&self, name: &str) -> Vec<&Value> {
        let mut values = Vec::new();
        for event in &self.events {
            if let Event::Custom(custom) = event
                && custom.name == name
            {
                values.push(&custom.value);
            }
        }
        values
    }
}

fn input(text: &str, files: &[&Path]) -> RunInput {
    let file = |path: &&Path| InputFile {
        attachment: Attachment {
            file_id: FileId::new(),
            name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes: std::fs::metadata(path).map_or(0, |meta| meta.len()),
        },
        path: path.to_path_buf(),
    };
    RunInput {
        run_id: RunId::new(),
        thread_id: ThreadId::new(),
        author: Author { id: UserId::new(), name: "Owner".into() },
        text: text.into(),
        files: files.iter().map(file).collect(),
        cancel: CancellationToken::new(),
    }
}

async fn ask(text: &str, files: &[&Path]) -> Told {
    let (out, mut events) = Emitter::channel(4);
    let analyst = Analyst::new(None).expect("the shipped prices");
    let run = tokio::spawn({
        let input = input(text, files);
        async move { analyst.run(input, out).await }
    });
    let mut told = Vec::new();
    while let Some(event) = events.recv().await {
        told.push(event);
    }
    let told = Told { result: run.await.expect("no panic"), events: told };
    check_order(&told.events);
    told
}

/// What AG-UI asks of every run: ids unique, everything opened before it goes on and closed at the end.
fn check_order(events: &[Event]) {
    let mut open: HashSet<(String, String)> = HashSet::new();
    let mut used: HashSet<String> = HashSet::new();
    let mut begin = |open: &mut HashSet<_>, kind: &str, id: &str, unique: bool| {
        assert!(!unique || used.insert(format!("{kind} {id}")), "{kind} {id} is used twice");
        assert!(open.insert((kind.to_owned(), id.to_owned())), "{kind} {id} is open already");
    };
    let key = |kind: &str, id: &str| (kind.to_owned(), id.to_owned());
    for event in events {
        if let Some(subagent) = event.subagent() {
            assert!(open.contains(&key("subagent", subagent)), "{} outside its sub-agent", event.kind());
        }
        let step = |name: &str| format!("{:?} {name}", event.subagent());
        match event {
            Event::SubagentStarted(e) => begin(&mut open, "subagent", &e.subagent_run_id, true),
            Event::SubagentFinished(e) => assert!(open.remove(&key("subagent", &e.subagent_run_id))),
            Event::SubagentError(e) => assert!(open.remove(&key("subagent", &e.subagent_run_id))),
            Event::StepStarted(e) => begin(&mut open, "step", &step(&e.step_name), false),
            Event::StepFinished(e) => assert!(open.remove(&key("step", &step(&e.step_name)))),
            Event::TextMessageStart(e) => begin(&mut open, "text", &e.message_id, true),
            Event::TextMessageContent(e) => assert!(open.contains(&key("text", &e.message_id)) && !e.delta.is_empty()),
            Event::TextMessageEnd(e) => assert!(open.remove(&key("text", &e.message_id))),
            Event::ReasoningStart(e) => begin(&mut open, "span", &e.message_id, true),
            Event::ReasoningEnd(e) => assert!(open.remove(&key("span", &e.message_id))),
            Event::ReasoningMessageStart(e) => begin(&mut open, "reasoning", &e.message_id, true),
            Event::ReasoningMessageContent(e) => assert!(open.contains(&key("reasoning", &e.message_id))),
            Event::ReasoningMessageEnd(e) => assert!(open.remove(&key("reasoning", &e.message_id))),
            Event::ToolCallStart(e) => begin(&mut open, "call", &e.tool_call_id, true),
            Event::ToolCallArgs(e) => {
                assert!(open.contains(&key("call", &e.tool_call_id)));
                serde_json::from_str::<serde_json::Map<String, Value>>(&e.delta).expect("arguments are a JSON object");
            }
            Event::ToolCallEnd(e) => {
                assert!(open.remove(&key("call", &e.tool_call_id)));
                begin(&mut open, "result", &e.tool_call_id, true);
            }
            Event::ToolCallResult(e) => {
                assert!(open.remove(&key("result", &e.tool_call_id)));
                serde_json::from_str::<Value>(&e.content.to_text()).expect("a result is JSON");
            }
            Event::Custom(_) => {}
            other => panic!("the analyst does not say {}", other.kind()),
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/samples/support-assistant.csv")
}

/// A trace of the Azure Public Dataset, where a checkout has it beside it.
fn azure(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/azure-llm-2023").join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(path)
}

fn analyse(path: &Path, question: &str) -> Analysis {
    let log = ingest::load(path, &|| false).expect("a readable log");
    Analysis::of("log.csv", question, &log, &PriceTable::shipped(), &|| false).expect("an analysis")
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "found {found}, expected {expected}");
}

#[tokio::test]
async fn each_example_question_gets_its_checked_answer() {
    let expected: [&[&str]; 10] = [
        &[
            "91.4 % of 6,802,397 tokens are input",
            "4,097 to 16,384 tokens take 37.5 %",
            "364 of 2,000 requests",
            "10 % 50.7 %",
            "save together $3.38 of $11.48 (29.4 %)",
        ],
        &[
            "saves $1.36 of $11.48 (11.8 %)",
            "falls short of the 20 % asked for by $0.94",
            "Only after an evaluation: trimmed longest prompts (9.9 %), a cheaper model for small requests (7.4 %)",
        ],
        &[
            "3.57 s at the median, 13.07 s at the 95th",
            "means 1.19 s and 4.36 s",
            "15.1 ms, which makes 87.2 %",
            "shrink by 76.5 %",
            "`gpt-4.1-mini`, with a median of 2.34 s",
        ],
        &["$49.27 now and $73.91 at +50 %", "from 40,259 to 60,388 tokens", "99 % of the minutes"],
        &[
            "1,505,536 of 6,219,189 input tokens (24.2 %)",
            "saved $1.73",
            "Of 868 requests",
            "480 (55.3 %)",
            "$1.36 (11.8 %)",
            "the 46.8 % that",
        ],
        &[
            "$2.97 with gpt-4.1-mini and $14.85 with gpt-4.1",
            "$11.48 as they were",
            "5.0 times as much",
            "| gpt-4.1 | $14.85 | $7.42 | $8.55 | 1,420 requests, median 4.04 s |",
        ],
        &["40,259 tokens (2026-01-06 12:07 UTC)", "mean minute has 676 tokens", "17,255 tokens a minute serves 99 %"],
        &["$0.85 of $11.48 (7.4 %) over 788 requests", "at most 817 input and 199 output tokens"],
        &["$0.98 of $11.48 (8.5 %)", "All of it would save $4.88"],
        &["save together $3.38", "p95 is 13.07 s now", "$98.54 (+100 %), over budget", "$69.55, within budget"],
    ];
    for (question, figures) in EXAMPLES.into_iter().zip(expected) {
        let told = ask(question, &[&sample()]).await;
        assert!(told.result.is_ok(), "{question}: {:?}", told.result);
        let report = told.text("Report");
        for figure in figures {
            assert!(report.contains(figure), "{question}: {figure:?} is not in\n{report}");
        }
        let summary = told.text("");
        assert!(
            summary.contains("2,000 requests, 6,802,397 tokens, $11.48") && summary.contains("Do first"),
            "{summary}"
        );
        assert!(!told.customs("netra.chart").is_empty() && !told.customs("netra.table").is_empty());
    }
}

#[test]
fn the_options_for_the_sample_are_what_python_computes() {
    let analysis = analyse(&sample(), EXAMPLES[0]);
    let saves = |id| analysis.savings.option(id).expect(id).saving_usd;
    close(analysis.profile.list_cost, 11.482_879_4);
    close(saves("cheaper_model"), 0.847_387);
    close(saves("output_cap"), 0.202_637);
    close(saves("prompt_cap"), 1.140_341);
    close(saves("caching"), 1.355_298);
    close(saves("batch"), 0.975_381);
    close(analysis.savings.together_usd, 3.378_567);
    assert_eq!(analysis.profile.latency.map(|ms| (ms.p50, ms.p95, ms.p99)), Some((3571.0, 13_066.0, 24_018.0)));
    let fit = analysis.profile.latency_fit.expect("latency depends on tokens");
    assert!(
        (fit.per_output_ms - 15.064_418).abs() < 1e-3
            && (fit.base_ms - 467.589).abs() < 0.1
            && (fit.r2 - 0.871_03).abs() < 1e-4
    );
    let batched = analyse(&sample(), EXAMPLES[8]);
    close(batched.savings.together_usd, 3.907_397);
    assert_eq!(batched.savings.together.last(), Some(&"batch"));
}

#[test]
fn the_code_completion_trace_has_the_figures_that_python_computes() {
    let Some(path) = azure("code.csv") else { return };
    let analysis = analyse(&path, "");
    let profile = &analysis.profile;
    assert_eq!((profile.requests, profile.input.sum, profile.output.sum), (8819, 18_059_974.0, 245_896.0));
    assert_eq!(
        (profile.input.p50, profile.input.p95, profile.input.p99, profile.input.max),
        (1469.0, 7315.0, 7436.0, 7437.0)
    );
    assert_eq!(
        (profile.output.p50, profile.output.p95, profile.output.p99, profile.output.max),
        (13.0, 90.0, 252.0, 1899.0)
    );
    close(profile.heavy.tokens_top_1, 0.036_463_222);
    close(profile.heavy.tokens_top_10, 0.328_050_183);
    close(profile.heavy.cost_top_10, 0.319_868_640);
    close(profile.cost, 38.087_116);
    let load = profile.load.as_ref().expect("times");
    assert_eq!(
        (load.minutes, load.peak_tokens.0, load.peak_requests.0, load.p95_tokens),
        (58, 1_257_868, 585, 953_681)
    );
    close(load.mean_tokens, 315_618.448_275_862);
    let saves = |id| analysis.savings.option(id).expect(id).saving_usd;
    close(saves("cheaper_model"), 2.391_526);
    close(saves("caching"), 12.481_771);
    close(saves("batch"), 3.808_712);
    close(analysis.savings.together_usd, 2.903_462);
    assert_eq!(analysis.assumed_model.as_deref(), Some("gpt-4.1"));
    assert_eq!(analysis.ingest.bad_rows, 0);
}

#[test]
fn the_conversation_trace_has_the_figures_that_python_computes() {
    let Some(path) = azure("conv.csv") else { return };
    let analysis = analyse(&path, "We expect 50 % growth");
    let profile = &analysis.profile;
    assert_eq!((profile.requests, profile.input.sum, profile.output.sum), (19_366, 22_361_870.0, 4_088_665.0));
    assert_eq!(
        (profile.input.p50, profile.input.p95, profile.input.p99, profile.input.max),
        (1020.0, 4083.0, 4142.0, 14_050.0)
    );
    assert_eq!(
        (profile.output.p50, profile.output.p95, profile.output.p99, profile.output.max),
        (129.0, 451.0, 601.0, 1000.0)
    );
    close(profile.heavy.tokens_top_1, 0.037_807_591);
    close(profile.heavy.cost_top_10, 0.219_798_649);
    close(profile.cost, 77.433_06);
    let load = profile.load.as_ref().expect("times");
    assert_eq!((load.minutes, load.peak_tokens, load.p95_tokens), (60, (780_667, 1_700_160_180_000), 715_745));
    close(load.mean_tokens, 440_842.25);
    let saves = |id| analysis.savings.option(id).expect(id).saving_usd;
    close(saves("cheaper_model"), 7.352_864);
    close(saves("output_cap"), 0.775_376);
    close(saves("prompt_cap"), 0.384_062);
    close(analysis.savings.together_usd, 8.512_302);
    let ahead = &analysis.forecast.as_ref().expect("times").ahead;
    assert!((ahead[0].usd / 57_316.513 - 1.0).abs() < 1e-6 && (ahead[1].usd / (1.5 * 57_316.513) - 1.0).abs() < 1e-6);
}

#[tokio::test]
async fn a_trace_without_a_model_is_priced_as_the_model_the_question_names_and_says_so() {
    let Some(path) = azure("conv.csv") else { return };
    let told = ask("Where do my tokens go? We run gpt-4o.", &[&path]).await;
    assert!(
        told.text("Report").contains("The log names no model: all requests are priced as gpt-4o."),
        "{}",
        told.text("Report")
    );
    // 22,361,870 × 2.5 + 4,088,665 × 10 dollars a million.
    assert!(told.text("").contains("19,366 requests, 26,450,535 tokens, $96.79"), "{}", told.text(""));
    let told = ask("Audit our caching", &[&path]).await;
    assert!(told.text("Report").contains("this log cannot tell, for it has no cached tokens"));
}

#[tokio::test]
async fn five_sub_agents_work_in_order_with_tools_of_their_own() {
    let told =
        ask("Cut cost, compare gpt-4.1 with gpt-4.1-mini, make it faster, forecast next month", &[&sample()]).await;
    let names: Vec<&str> = told
        .events
        .iter()
        .filter_map(|event| match event {
            Event::SubagentStarted(start) => Some(start.name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["Triage", "Data", "Optimizations", "Actions", "Report"]);
    assert_eq!(
        told.tools(),
        [
            "read_question",
            "load_log",
            "price_workload",
            "profile_workload",
            "find_savings",
            "compare_models",
            "forecast",
            "measure_speed",
            "rank_actions"
        ]
    );
    for chart in told.customs("netra.chart") {
        let points = chart["x"].as_array().expect("x").len();
        assert!(points > 0 && ["bar", "line"].contains(&chart["kind"].as_str().expect("kind")), "{chart}");
        for series in chart["series"].as_array().expect("series") {
            assert_eq!(series["values"].as_array().expect("values").len(), points, "{chart}");
        }
    }
    for table in told.customs("netra.table") {
        let columns = table["columns"].as_array().expect("columns").len();
        assert!(
            table["rows"]
                .as_array()
                .expect("rows")
                .iter()
                .all(|row| row.as_array().is_some_and(|row| row.len() == columns)),
            "{table}"
        );
    }
    let largest = told.events.iter().map(|event| serde_json::to_string(event).expect("JSON").len()).max();
    assert!(largest < Some(16 * 1024), "an event of {largest:?} bytes");
}

#[tokio::test]
async fn without_a_file_it_says_what_it_needs_and_does_not_fail() {
    let told = ask("Where do my tokens go?", &[]).await;
    assert_eq!(told.result, Ok(None));
    let text = told.text("");
    assert!(text.contains("CSV") && text.contains("JSON Lines") && text.contains("input_tokens"), "{text}");
}

#[tokio::test]
async fn an_unreadable_file_ends_the_run_with_a_code_and_what_to_do() {
    for (bytes, words) in [
        (b"".as_slice(), "empty"),
        (b"\x1f\x8b\x08\x00\x00".as_slice(), "gunzip"),
        (b"name,age\nx,1\n".as_slice(), "name, age"),
        (b"{\"prompt_tokens\":1,\"completion_tokens\":2}\n{\"prompt_to".as_slice(), "cut off"),
    ] {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        let told = ask("Where do my tokens go?", &[file.path()]).await;
        match told.result {
            Err(AgentError::Failed { code, message }) => {
                assert!(code == "unreadable_file" && message.contains(words), "{message}")
            }
            other => panic!("{other:?}"),
        }
        assert!(told.events.iter().any(|event| matches!(event, Event::SubagentError(_))));
    }
}

#[tokio::test]
async fn bad_rows_are_shown_with_line_and_reason() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "model,input_tokens,output_tokens\ngpt-4.1,10,5\ngpt-4.1,-3,5\ngpt-4.1,x,5\ngpt-4.1,20,5")
        .expect("written");
    let told = ask("Where do my tokens go?", &[file.path()]).await;
    let report = told.text("Report");
    assert!(report.contains("**2 requests**") && report.contains("**2 rows are left out**"), "{report}");
    let rows =
        told.customs("netra.table").into_iter().find(|table| table["id"] == "bad-rows").expect("a table of bad rows");
    assert_eq!(rows["rows"][0], serde_json::json!([3, "input tokens is negative: \"-3\""]));
}

#[tokio::test]
async fn a_stop_during_heavy_work_ends_the_run_within_a_second() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"timestamp,model,input_tokens,output_tokens\n").expect("written");
    let rows = "2026-01-31T12:00:00Z,gpt-4.1,1200,150\n".repeat(10_000);
    for _ in 0..100 {
        file.write_all(rows.as_bytes()).expect("written");
    }
    let (out, mut events) = Emitter::channel(64);
    let input = input("Where do my tokens go?", &[file.path()]);
    let cancel = input.cancel.clone();
    let run = tokio::spawn(async move { Analyst::new(None).expect("prices").run(input, out).await });
    while let Some(event) = events.recv().await {
        if matches!(event, Event::ToolCallStart(start) if start.tool_call_name == "load_log") {
            break;
        }
    }
    cancel.cancel();
    let asked = Instant::now();
    // Whoever runs it goes on reading, as the runner does.
    let drain = tokio::spawn(async move { while events.recv().await.is_some() {} });
    assert_eq!(run.await.expect("no panic"), Err(AgentError::Stopped));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    drain.await.expect("drained");
}

#[tokio::test]
async fn a_price_file_of_ones_own_replaces_the_shipped_prices() {
    let mut prices = tempfile::NamedTempFile::new().expect("a file");
    write!(prices, r#"{{"gpt-4.1": {{"input_cost_per_token": 1e-3, "output_cost_per_token": 0}}}}"#).expect("written");
    let mut log = tempfile::NamedTempFile::new().expect("a file");
    write!(log, "model,input_tokens,output_tokens\ngpt-4.1,1000,5\n").expect("written");
    let analyst = Analyst::new(Some(prices.path())).expect("prices");
    let (out, mut events) = Emitter::channel(1024);
    let run = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let result = analyst.run(input("hello", &[log.path()]), out).await.expect("a result").expect("a value");
    assert_eq!(result["cost_usd"], 1.0);
    run.await.expect("drained");
    assert!(Analyst::new(Some(log.path())).is_err());
}

#[tokio::test]
async fn a_very_long_question_makes_no_large_event() {
    let question = "Cut our cost ".repeat(2500) + "and make it faster, keep the quality";
    let told = ask(&question, &[&sample()]).await;
    let largest = told.events.iter().map(|event| serde_json::to_string(event).expect("JSON").len()).max();
    assert!(told.result.is_ok() && largest < Some(16 * 1024), "an event of {largest:?} bytes");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Whatever bytes come: a refusal in words, or every row either used or counted as bad.
    #[test]
    fn no_file_makes_the_reader_panic(
        head in proptest::sample::select(vec!["", "input_tokens,output_tokens,time,latency\n", "{\"prompt_tokens\":", "\u{feff}model;spend;prompt_tokens\n"]),
        body in "[ -~\n\t\"{}\\[\\],;:0-9äé\u{0}]{0,200}",
    ) {
        match ingest::read((head.to_owned() + &body).as_bytes(), &|| false) {
            Ok(log) => {
                proptest::prop_assert_eq!(log.report.rows, log.data.len() as u64);
                let by_reason: u64 = log.report.bad_by_reason.iter().map(|(_, count)| count).sum();
                proptest::prop_assert_eq!(log.report.bad_rows, by_reason);
                let analysis = Analysis::of("log", &body, &log, &PriceTable::shipped(), &|| false).expect("not stopped");
                proptest::prop_assert!(analysis.profile.cost.is_finite());
            }
            Err(error) => proptest::prop_assert!(error.to_string().len() > 20),
        }
    }

    /// Options never save less than nothing nor more than all, alone or together.
    #[test]
    fn savings_stay_between_nothing_and_everything(
        rows in proptest::collection::vec((0u32..50_000, 0u32..4_000, 0u32..100, 0usize..3), 1..200),
    ) {
        let mut text = String::from("model,input_tokens,output_tokens,cached_tokens\n");
        for (input, output, cached, model) in rows {
            let model = ["gpt-4.1", "claude-sonnet-4-5", "unheard-of"][model];
            text += &format!("{model},{input},{output},{}\n", input * cached / 100);
        }
        let log = ingest::read(text.as_bytes(), &|| false).expect("a readable log");
        let analysis = Analysis::of("log", "Use batch prices and cut cost", &log, &PriceTable::shipped(), &|| false).expect("not stopped");
        let base = analysis.savings.base_usd + 1e-9;
        for option in &analysis.savings.options {
            proptest::prop_assert!((0.0..=base).contains(&option.saving_usd), "{:?}", option);
        }
        proptest::prop_assert!((0.0..=base).contains(&analysis.savings.together_usd));
    }
}
