//! The events of a run, and how it ends.

use super::*;

#[tokio::test]
async fn five_sub_agents_work_in_order_with_tools_of_their_own() {
    let run =
        ask("Cut cost, compare gpt-4.1 with gpt-4.1-mini, make it faster, forecast next month", &[&sample()]).await;
    let names: Vec<&str> = run
        .events
        .iter()
        .filter_map(|event| match event {
            Event::SubagentStarted(start) => Some(start.name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["Triage", "Data", "Optimizations", "Actions", "Report"]);
    assert_eq!(
        run.tools(),
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
    for chart in run.customs("netra.chart") {
        let points = chart["x"].as_array().expect("x").len();
        assert!(points > 0 && ["bar", "line"].contains(&chart["kind"].as_str().expect("kind")), "{chart}");
        for series in chart["series"].as_array().expect("series") {
            assert_eq!(series["values"].as_array().expect("values").len(), points, "{chart}");
        }
    }
    for table in run.customs("netra.table") {
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
    let largest = run.events.iter().map(|event| serde_json::to_string(event).expect("JSON").len()).max();
    assert!(largest < Some(16 * 1024), "an event of {largest:?} bytes");
}

#[tokio::test]
async fn without_a_file_the_run_says_what_it_needs_and_does_not_fail() {
    let run = ask("Where do my tokens go?", &[]).await;
    assert_eq!(run.result, Ok(Done::default()));
    let text = run.text("");
    assert!(text.contains("CSV") && text.contains("JSON Lines") && text.contains("input_tokens"), "{text}");
}

#[tokio::test]
async fn an_unreadable_file_ends_the_run_with_a_code_and_what_to_do() {
    for (bytes, words) in [
        (b"".as_slice(), "empty"),
        (b"\x1f\x8b\x08\x00\x00".as_slice(), "cannot be unpacked"),
        (b"name,city\nx,y\n".as_slice(), "name, city"),
        (b"{\"prompt_tokens\":1,\"completion_tokens\":2}\n{\"prompt_to".as_slice(), "cut off"),
    ] {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("the file is written");
        let run = ask("Where do my tokens go?", &[file.path()]).await;
        match run.result {
            Err(AgentError::Failed { code, message, .. }) => {
                assert!(code == "unreadable_file" && message.contains(words), "{message}")
            }
            other => panic!("{other:?}"),
        }
        assert!(run.events.iter().any(|event| matches!(event, Event::SubagentError(_))));
    }
}

#[tokio::test]
async fn bad_rows_are_shown_with_line_and_reason() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "model,input_tokens,output_tokens\ngpt-4.1,10,5\ngpt-4.1,-3,5\ngpt-4.1,x,5\ngpt-4.1,20,5")
        .expect("the file is written");
    let run = ask("Where do my tokens go?", &[file.path()]).await;
    let report = run.text("Report");
    assert!(report.contains("**2 requests**") && report.contains("**2 rows are left out**"), "{report}");
    let rows =
        run.customs("netra.table").into_iter().find(|table| table["id"] == "bad-rows").expect("a table of bad rows");
    assert_eq!(rows["rows"][0], serde_json::json!([3, "input tokens is negative: \"-3\""]));
}

#[tokio::test]
async fn a_stop_during_heavy_work_ends_the_run_within_a_second() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"timestamp,model,input_tokens,output_tokens\n").expect("the file is written");
    let rows = "2026-01-31T12:00:00Z,gpt-4.1,1200,150\n".repeat(10_000);
    for _ in 0..100 {
        file.write_all(rows.as_bytes()).expect("the file is written");
    }
    let (out, mut events) = Emitter::channel(64);
    let input = input("Where do my tokens go?", &[file.path()]);
    let cancel = input.cancel.clone();
    let run = tokio::spawn(async move { Analyst::new(None).expect("the prices are read").run(input, out).await });
    while let Some(event) = events.recv().await {
        if matches!(event, Event::ToolCallStart(start) if start.tool_call_name == "load_log") {
            break;
        }
    }
    cancel.cancel();
    let begun = Instant::now();
    // The events are still read, as the runner does.
    let drain = tokio::spawn(async move { while events.recv().await.is_some() {} });
    assert_eq!(
        run.await.expect("the task does not panic").map(|done| done.outcome),
        Ok(netra::server::runs::Outcome::Cancelled)
    );
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    drain.await.expect("the task does not panic");
}

#[tokio::test]
async fn a_configured_price_file_replaces_the_shipped_prices() {
    let mut prices = tempfile::NamedTempFile::new().expect("a file");
    write!(prices, r#"{{"gpt-4.1": {{"input_cost_per_token": 1e-3, "output_cost_per_token": 0}}}}"#)
        .expect("the file is written");
    let mut log = tempfile::NamedTempFile::new().expect("a file");
    write!(log, "model,input_tokens,output_tokens\ngpt-4.1,1000,5\n").expect("the file is written");
    let analyst = Analyst::new(Some(prices.path())).expect("the prices are read");
    let (out, mut events) = Emitter::channel(1024);
    let run = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let result = analyst.run(input("hello", &[log.path()]), out).await.expect("a result").result.expect("a value");
    assert_eq!(result["cost_usd"], 1.0);
    run.await.expect("the task does not panic");
    assert!(Analyst::new(Some(log.path())).is_err());
}

#[tokio::test]
async fn a_very_long_question_makes_no_large_event() {
    let question = "Cut our cost ".repeat(2500) + "and make it faster, keep the quality";
    let run = ask(&question, &[&sample()]).await;
    let largest = run.events.iter().map(|event| serde_json::to_string(event).expect("JSON").len()).max();
    assert!(run.result.is_ok() && largest < Some(16 * 1024), "an event of {largest:?} bytes");
}
