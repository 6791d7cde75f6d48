//! Questions over `tests/data/analyst/questions.csv`: each answer holds the figures that `questions.py` computed
//! beside it.

use std::path::Path;

use serde::Deserialize;

use super::*;
use crate::analyst::{charts, ingest, narration, pricing::PriceTable, report};

#[derive(Deserialize)]
struct Case {
    question: String,
    holds: Vec<String>,
}

fn data(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/analyst").join(name)
}

#[test]
fn each_question_gets_the_answer_that_python_computes() {
    let log = ingest::load(&data("questions.csv"), &|| false).expect("a readable log");
    let cases = std::fs::read_to_string(data("questions.json")).expect("questions.json");
    let cases: Vec<Case> = serde_json::from_str(&cases).expect("cases");
    let table = PriceTable::shipped();
    assert!(cases.len() >= 25);
    let mut wrong = Vec::new();
    for Case { question, holds } in cases {
        let analysis = Analysis::compute("questions.csv", &question, &log, &table, &|| false).expect("an analysis");
        let answer = answers(&analysis).join("\n");
        let lacking: Vec<_> = holds.iter().filter(|text| !answer.contains(text.as_str())).collect();
        if !lacking.is_empty() {
            wrong.push(format!("{question}\n  lacks {lacking:?}\n  {answer}"));
        }
        let report = report::markdown(&analysis);
        assert!(answers(&analysis).iter().all(|answer| report.contains(answer)), "{question}: {report}");
        // The answer stands in the report's first section, and no generic report in its place.
        assert!(report.starts_with("## Answer") || report.starts_with("## What is not known"), "{question}: {report}");
        assert!(report.chars().count() < 6_000, "{question}: {report}");
        assert!(!narration::summary(&analysis).is_empty());
        for chart in charts::charts(&analysis) {
            let points = chart["x"].as_array().map_or(0, Vec::len);
            assert!(points > 1, "{question}: {chart}");
            for series in chart["series"].as_array().into_iter().flatten() {
                assert_eq!(series["values"].as_array().map(Vec::len), Some(points), "{chart}");
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn report_of(log: &str, question: &str) -> (Analysis, String) {
    let log = ingest::read(log.as_bytes(), &|| false).expect("a readable log");
    let analysis =
        Analysis::compute("log.csv", question, &log, &PriceTable::shipped(), &|| false).expect("an analysis");
    let report = report::markdown(&analysis);
    (analysis, report)
}

#[test]
fn models_without_a_price_are_stated_first_and_never_cost_zero() {
    let log = "timestamp,model,input_tokens,output_tokens\n\
               2026-01-05T10:00:00Z,gpt-4.1,300000,90000\n2026-01-06T10:00:00Z,house-a,400000,100000\n\
               2026-01-07T10:00:00Z,house-b,100000,10000\n";
    let (analysis, report) = report_of(log, "");
    // 610,000 of 1,000,000 tokens.
    assert!(report.starts_with("## What is not known\n\n- 2 models, 61.0 % of the tokens, have no price"), "{report}");
    assert!(narration::summary(&analysis).starts_with("2 models, 61.0 % of the tokens"));
    let tables = serde_json::to_string(&charts::tables(&analysis)).expect("JSON");
    assert!(tables.contains("no price") && !tables.contains("$0.00") && !report.contains("$0.00"), "{tables}{report}");
    let (_, report) = report_of(log, "Which model costs the most?");
    assert!(
        report.contains("`house-a` no price") && report.contains("610,000 of 1,000,000 tokens (61.0 %) have no price"),
        "{report}"
    );
    let (analysis, report) =
        report_of("model,input_tokens,output_tokens\nhouse-a,400,100\nhouse-b,100,10\n", "cost by model");
    assert!(report.contains("no price") && !report.contains("$0.00"), "{report}");
    assert!(charts::charts(&analysis).iter().all(|chart| !chart.to_string().contains("[0.0")), "{report}");
}

#[test]
fn a_budget_in_another_currency_is_not_converted() {
    let log = "timestamp,model,input_tokens,output_tokens,cost,currency\n\
               2026-01-05T10:00:00Z,gpt-4.1,300,90,4.00,EUR\n2026-01-20T10:00:00Z,gpt-4.1,300,90,6.00,EUR\n";
    // 10 euros in 15 days are 20 in a month.
    let (_, report) = report_of(log, "Can we stay within €25 a month?");
    assert!(report.contains("of €25.00 a month, the log's pace takes €20.00, within budget"), "{report}");
    let (_, report) = report_of(log, "Can we stay within $25 a month?");
    assert!(
        report.contains("the budget is in USD and the cost of this log in EUR") && report.contains("€20.00"),
        "{report}"
    );
    let (_, report) = report_of(log, "How much did we spend on 20 January?");
    assert!(report.contains("€6.00 for 1 request and 390 tokens"), "{report}");
}

#[test]
fn costs_in_several_currencies_are_not_added() {
    let log = "model,input_tokens,output_tokens,cost,currency\nhouse,300,90,4.00,EUR\nhouse,300,90,6.00,USD\n";
    let (_, report) = report_of(log, "");
    assert!(report.contains("several currencies ($6.00 and €4.00)") && !report.contains("10.00"), "{report}");
}

#[test]
fn figures_of_single_requests_are_left_out_of_sums_with_the_reason() {
    let log = "date,model,num_requests,input_tokens,output_tokens\n\
               2026-01-05,gpt-4.1,120,90000,8000\n2026-01-06,gpt-4.1,80,60000,5000\n";
    let (_, report) = report_of(log, "What is our p95 latency? How many requests did we make on 5 January?");
    assert!(
        report.contains("rows of the log are sums of requests") && report.contains("(2026-01-05):** 120."),
        "{report}"
    );
    let (_, report) = report_of(log, "average cost per request");
    // (150,000 × 2 + 13,000 × 8) / 1,000,000 dollars for 200 requests.
    assert!(report.contains("$0.0020 ($0.40 for 200 requests)"), "{report}");
}

#[test]
fn a_question_that_is_not_understood_gets_one_answer_and_no_generic_report() {
    let log = "timestamp,model,input_tokens,output_tokens\n2026-01-05T10:00:00Z,gpt-4.1,300,90\n\
               2026-01-06T10:00:00Z,gpt-4.1,300,90\n";
    let (analysis, report) = report_of(log, "Which poem do you like best?");
    assert!(report.starts_with("## Answer\n\n- I do not understand this question"), "{report}");
    assert!(!report.contains("What can be saved") && charts::charts(&analysis).is_empty(), "{report}");
    let (_, overview) = report_of(log, "");
    assert!(overview.starts_with("## The log in short") && overview.contains("What can be saved"), "{overview}");
}

#[test]
fn days_of_the_profile_are_those_of_the_zone_in_the_question() {
    // 23:30 UTC is the next day in Berlin.
    let log = "timestamp,model,input_tokens,output_tokens\n2026-01-05T23:30:00Z,gpt-4.1,300,90\n\
               2026-01-07T10:00:00Z,gpt-4.1,300,90\n";
    let (analysis, report) = report_of(log, "Where does the money go in Berlin time?");
    assert_eq!(analysis.profile.by_day.first().map(|day| day.name.as_str()), Some("2026-01-06"));
    assert!(report.contains("days and hours in Berlin time"), "{report}");
}
