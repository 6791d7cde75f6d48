//! The built-in tools over the sample log: their figures equal the analyst's.

use netra::{
    analyst::{EXAMPLES, analysis::Analysis, ingest},
    server::agents::tools::{BUILTIN, Consent, ToolSpec},
};
use serde_json::json;

use super::*;

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/samples/support-assistant.csv")
}

async fn call_tool(name: &str, args: Value) -> Value {
    let output = ToolHarness::new("").toolbox.call(name, args, &input(&[&sample()])).await.output();
    assert!(!output.failed, "{name}: {}", output.text);
    serde_json::from_str(&output.text).expect("JSON")
}

fn analysis(question: &str) -> Analysis {
    let log = ingest::load(&sample(), &|| false).expect("the sample");
    Analysis::compute("sample", question, &log, &PriceTable::shipped(), &|| false).expect("an analysis")
}

#[tokio::test]
async fn the_built_in_tools_need_no_configuration_and_their_schemas_are_plain() {
    let harness = ToolHarness::new("");
    let tools: Vec<ToolSpec> = harness.toolbox.list(&input(&[])).await;
    assert!(tools.len() >= 8);
    for tool in &tools {
        assert_eq!((tool.consent, tool.source.as_str()), (Consent::Automatic, BUILTIN));
        assert_eq!(tool.parameters["type"], "object", "{}", tool.name);
        let schema = tool.parameters.to_string();
        assert!(tool.parameters["properties"].is_object() && !schema.contains("$ref") && !schema.contains("$schema"));
        jsonschema::validator_for(&tool.parameters).expect("a schema");
    }
    let off = ToolHarness::new(
        "[[tools]]\nid = \"log\"\nkind = \"builtin\"\nconsent = { \"*\" = \"ask\", list_files = \"off\" }\n",
    );
    let tools = off.toolbox.list(&input(&[])).await;
    assert!(tools.iter().all(|tool| tool.consent == Consent::Ask && tool.name != "list_files" && tool.source == "log"));
    assert!(off.call("list_files", json!({})).await.text.contains("switched off"));
}

#[tokio::test]
async fn every_tool_answers_over_the_sample_within_its_bounds() {
    let harness = ToolHarness::new("");
    let input = input(&[&sample()]);
    for tool in harness.toolbox.list(&input).await {
        let args = match tool.name.as_str() {
            "break_down" => json!({"by": "time"}),
            "answer_question" => json!({"question": EXAMPLES[0]}),
            _ => json!({}),
        };
        let output = harness.toolbox.call(&tool.name, args, &input).await.output();
        assert!(!output.failed, "{}: {}", tool.name, output.text);
        assert!(serde_json::from_str::<Value>(&output.text).is_ok_and(|value| value.is_object()), "{}", output.text);
    }
}

#[tokio::test]
async fn figures_are_those_of_the_analyst() {
    let expected = analysis("Audit our caching: what does it save, and what does it miss?");
    let profile = call_tool("profile_workload", json!({})).await;
    assert_eq!(profile["requests"], json!(expected.profile.requests));
    assert_eq!(profile["cost"], json!(expected.profile.cost));
    let models = call_tool("break_down", json!({"by": "model", "top": 1})).await;
    assert_eq!(models["parts"], json!([expected.profile.by_model[0]]));
    assert_eq!(models["parts_in_all"], expected.profile.by_model.len());
    let savings = call_tool("find_savings", json!({})).await;
    assert_eq!(savings, json!(expected.savings));
    let peaks = call_tool("find_peaks", json!({})).await;
    assert_eq!(peaks["load"]["peak_tokens"], json!(expected.profile.load.as_ref().expect("times").peak_tokens));
    let growth = analysis("We grow 10 % a month. Forecast the next 6 months.");
    let ahead = call_tool("forecast_cost", json!({"growth_percent": 10, "every_month": true, "months": 6})).await;
    assert_eq!(ahead["ahead"], json!(growth.forecast.expect("a forecast").ahead));
    let compared = call_tool("compare_models", json!({"models": ["gpt-4.1", "gpt-4.1-mini", "no-such-model"]})).await;
    assert_eq!(compared["models"].as_array().map(Vec::len), Some(2));
    assert_eq!(compared["without_price"], json!(["no-such-model"]));
    let answer = call_tool("answer_question", json!({"question": EXAMPLES[1]})).await;
    assert_eq!(answer["answers"], json!(netra::analyst::answer::answers(&analysis(EXAMPLES[1]))));
}

#[tokio::test]
async fn a_tool_error_says_what_to_do() {
    let harness = ToolHarness::new("");
    let none = harness.toolbox.call("profile_workload", json!({}), &input(&[])).await.output();
    assert!(none.failed && none.text.contains("has no file"), "{none:?}");
    let named = harness.toolbox.call("profile_workload", json!({"file": "x.csv"}), &input(&[&sample()])).await.output();
    assert!(named.failed && named.text.contains("support-assistant.csv"), "{named:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let bare = folder.path().join("bare.csv");
    fs::write(&bare, "input_tokens,output_tokens\n10,20\n30,40\n").expect("the file is written");
    for (tool, args, expected) in [
        ("find_peaks", json!({}), "no times"),
        ("measure_speed", json!({}), "no latency"),
        ("forecast_cost", json!({}), "no times"),
        ("break_down", json!({"by": "time"}), "no times"),
        ("break_down", json!({"by": "colour"}), "`by` must be one of"),
        ("break_down", json!({}), "`by` is missing"),
        ("break_down", json!({"by": "model", "top": 300}), "do not fit"),
        ("forecast_cost", json!({"growth_percent": -500}), "from -100"),
        ("compare_models", json!({"models": ["none"]}), "has none of these"),
        ("profile_workload", json!({"colour": "red"}), "`colour` is not a known property"),
    ] {
        let output = harness.toolbox.call(tool, args.clone(), &input(&[&bare])).await.output();
        assert!(output.failed && output.text.contains(expected), "{tool} {args}: {output:?}");
    }
    fs::write(&bare, "name,colour\na,b\n").expect("the file is written");
    let unread = harness.toolbox.call("describe_log", json!({}), &input(&[&bare])).await.output();
    assert!(unread.failed && unread.text.contains("No column with token counts"), "{unread:?}");
}

#[tokio::test]
async fn a_stopped_run_stops_its_computation() {
    let harness = ToolHarness::new("");
    let run = input(&[&sample()]);
    run.cancel.cancel();
    let output = harness.toolbox.call("find_savings", json!({}), &run).await.output();
    assert!(output.failed && output.text.contains("stopped"), "{output:?}");
    // The next call does not get the cancelled computation.
    assert!(!harness.toolbox.call("find_savings", json!({}), &input(&[&sample()])).await.output().failed);
}
