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
    for question in ["total cost", "forecast next month", "stay under $10 a month"] {
        let (_, report) = report_of(log, question);
        assert!(report.contains("currencies, which I do not add up") && !report.contains("has no cost"), "{report}");
    }
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
fn what_is_left_out_is_never_counted_in_its_place() {
    let log = "timestamp,model,user,status,input_tokens,output_tokens,cost\n\
               2026-01-05T10:00:00Z,gpt-4.1,ada,200,300,90,4.00\n2026-01-06T10:00:00Z,gpt-4.1,bob,200,300,90,6.00\n\
               2026-01-07T10:00:00Z,gpt-4.1,bob,500,300,90,1.00\n";
    for question in ["What did we spend excluding ada?", "What did we spend without ada?"] {
        let (_, report) = report_of(log, question);
        assert!(report.contains("I cannot leave a part out of a figure"), "{question}: {report}");
    }
    let (_, report) = report_of(log, "cost without failed requests");
    assert!(report.contains("$10.00 for 2 requests"), "{report}");
    let (_, report) = report_of(log, "how many requests without errors");
    assert!(report.contains("**Requests (requests that did not fail):** 2"), "{report}");
}

#[test]
fn models_are_compared_for_the_requests_that_they_can_answer() {
    let log = "timestamp,model,type,input_tokens,output_tokens\n2026-01-05T10:00:00Z,gpt-4.1,chat,1000000,0\n\
               2026-01-06T10:00:00Z,text-embedding-3-small,embedding,1000000,0\n";
    // Chat alone: 1,000,000 × $2 and $0.40 for a million.
    let (_, report) = report_of(log, "compare our models");
    assert!(report.contains("$0.40 with gpt-4.1-mini and $2.00 with gpt-4.1 ($2.00 at list prices"), "{report}");
    assert!(!report.contains("with text-embedding"), "{report}");
    let unpriced = log.replace("text-embedding-3-small,embedding", "our-own,chat");
    let (_, report) = report_of(&unpriced, "what would it cost on gpt-4.1-mini");
    assert!(report.contains("there is nothing to compare that with") && !report.contains("% more"), "{report}");
}

#[test]
fn a_figure_is_lacking_for_the_reason_that_holds() {
    let sums = "date,model,key,input_tokens,output_tokens\n2026-01-05,gpt-4.1,a,90000000,8000\n\
                2026-01-06,gpt-4.1,a,60000000,5000\n";
    let (_, report) = report_of(sums, "cost per request");
    assert!(
        report.contains("rows are sums of an unknown number of requests") && !report.contains("no price"),
        "{report}"
    );
    assert_eq!(report.matches("are left out").count(), 1, "{report}");
    let no_model =
        "timestamp,input_tokens,output_tokens\n2026-01-05T10:00:00Z,1000000,0\n2026-01-06T10:00:00Z,1000000,0\n";
    let (_, report) = report_of(no_model, "what would it cost on gpt-4.1");
    assert!(report.contains("$4.00 with gpt-4.1.") && !report.contains("as they were"), "{report}");
    let (_, report) = report_of(no_model, "biggest request");
    assert!(report.contains("**Request with the most tokens:** 1,000,000"), "{report}");
    let (_, report) = report_of(no_model, "can we use a cheaper model?");
    assert_eq!(report.matches("cheaper model").count(), 1, "{report}");
    let mixed = "timestamp,model,input_tokens,output_tokens,cost\n2026-01-05T10:00:00Z,gpt-4.1,1000000,0,5\n\
                 2026-01-06T10:00:00Z,gpt-4.1,1000000,0,\n";
    let (_, report) = report_of(mixed, "what did we pay");
    assert!(report.contains("$7.00 for 2 requests") && report.contains("list prices are counted"), "{report}");
}

#[test]
fn logs_of_other_kinds_are_answered_in_their_own_words() {
    let table = PriceTable::shipped();
    let answer = |file: &str, question: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
        let log = ingest::load(&path, &|| false).expect("a readable log");
        let analysis = Analysis::compute(file, question, &log, &table, &|| false).expect("an analysis");
        narration::summary(&analysis)
    };
    for (file, question, holds, lacks) in [
        ("usage-logs/azure_costs.csv", "how many tokens", "The log has no tokens", "0.0 % of the tokens"),
        ("usage-logs/case_05_cursor_usage.csv", "cost by kind", "Included", "chat requests"),
        ("analyst/questions.csv", "busiest day of the week", "7 days of the week in all", "weeks"),
        ("analyst/questions.csv", "how much do we save with flex", "**Flex prices:**", "**Savings"),
        ("analyst/questions.csv", "is priority worth it", "**Priority prices:**", "not understand"),
        ("analyst/questions.csv", "cheapest model with the same quality", "only after a test", "Nothing that I"),
        ("analyst/questions.csv", "which rate limit do we need", "4,844 tokens a minute serves 99 %", "0.0 requests"),
        ("analyst/questions.csv", "is our caching working", "**Caching:**", "Do first"),
    ] {
        let summary = answer(file, question);
        assert!(summary.contains(holds) && !summary.contains(lacks), "{question}: {summary}");
    }
}

#[test]
fn growth_to_the_end_of_the_year_ends_in_december() {
    let log = "timestamp,model,input_tokens,output_tokens,cost\n2026-09-01T06:00:00Z,gpt-4.1,300,90,1.00\n\
               2026-09-16T06:00:00Z,gpt-4.1,300,90,1.00\n";
    let (_, report) = report_of(log, "traffic doubles every quarter, what will we pay at year's end");
    // $2 in 15 days: $4 a month, doubled after three.
    assert!(report.contains("$4.00 now and $8.00 at month 3 (December)"), "{report}");
    assert!(report.contains("100 % more traffic each quarter"), "{report}");
}

#[test]
fn figures_say_what_of_the_question_they_lack() {
    let log = "timestamp,model,team,feature,input_tokens,output_tokens,cost\n\
               2026-01-05T10:00:00Z,gpt-4.1,red,drafts,300,90,4.00\n2026-01-06T10:00:00Z,o3,blue,drafts,900,90,6.00\n\
               2026-01-07T10:00:00Z,o3,blue,search,300,90,2.00\n";
    for (question, holds) in [
        ("cost per team per week", "this is by team, not by week"),
        ("why did cost go up on Tuesday?", "shows when the cost changed, not why"),
        ("cost today vs yesterday", "2026-01-06 (Tue) $6.00 (75.0 %), 2026-01-07 (Wed) $2.00 (25.0 %)"),
        ("how much does o3 cost compared to gpt-4.1", "`o3` $8.00 (66.7 %), `gpt-4.1` $4.00 (33.3 %)"),
        ("What would caching save for feature drafts?", "not of feature `drafts` alone"),
        ("cost per 1k requests", "$4.00 ($12.00 for 3 requests), $4,000 for 1,000"),
        ("spend of team blue", "$8.00 for 2 requests"),
        ("average cost per day", "Highest: 2026-01-06 (Tue) $6.00 (50.0 %)"),
        ("how many tokens a day on average", "**Tokens of a day, on average:** 590"),
        ("how many input tokens vs output tokens", "**Tokens:** 1,770 (1,500 input, 270 output)"),
        ("average daily cost per team", "this is by team, not by day"),
        ("which team uses the most expensive model", "I do not understand"),
        ("what does a token cost", "I do not understand"),
        ("how much does o3 cost compared to claude sonnet 4.5", "no requests of `claude-sonnet-4-5`"),
        ("cost on Tuesday between 10 and 12", "I do not limit figures to hours of the day"),
        ("what eats our budget", "**Where it goes:**"),
        ("does o3 answer slower than gpt-4.1", "The log has no latency"),
        ("what is my monthly bill", "**Forecast:**"),
        ("longest prompts", "**Request with the most input tokens:** 900"),
    ] {
        let (_, report) = report_of(log, question);
        assert!(report.contains(holds) && !report.contains("Nothing that I recognise"), "{question}: {report}");
    }
}

#[test]
fn sums_with_an_assumption_are_named_as_such_and_advice_is_given_once() {
    let log = "timestamp,model,input_tokens,output_tokens\n2026-01-05T10:00:00Z,gpt-4.1,300,90\n\
               2026-01-06T10:00:00Z,gpt-4.1,300,90\n";
    let (analysis, report) = report_of(log, "What if we use batch?");
    assert!(
        report.contains("(in the sums, as the question asks for it)") && !report.contains("(not in the"),
        "{report}"
    );
    assert!(narration::summary(&analysis).contains("assumes 20 % of the work"));
    let (_, report) = report_of(log, "cut cost");
    assert!(report.contains("(not in the sums)") && report.matches("Compare answers").count() == 1, "{report}");
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
