//! Figures that are checked against independent ones.
//!
//! The figures were computed independently, in Python, from the same files: sums over `csv.DictReader` rows, percentiles as
//! `sorted(v)[ceil(p * len(v) / 100) - 1]`, the price of a request as
//! `(input - cached) * price_in + cached * price_cached + output * price_out` with gpt-4.1 at 2, 0.5 and 8, gpt-4.1-mini at
//! 0.4, 0.1 and 1.6, gpt-4.1-nano at 0.1, 0.025 and 0.4 dollars a million, and each option as the difference of two such sums:
//! `cheaper_model` (at most 1,000 input and 250 output tokens: the next cheaper model), `batch` (20 % at half the prices of
//! input and output; cached tokens at the lower of their own price and half the input price). Months are 30 days of the time
//! from the first to the last request. Latency was fitted with `numpy.linalg.lstsq`.

use super::*;

#[tokio::test]
async fn each_example_question_gets_its_checked_answer() {
    let expected: [&[&str]; 10] = [
        &[
            "model `gpt-4.1` 92.7 %",
            "91.4 % of 6,802,397 tokens are input",
            "4,097 to 16,384 tokens take 37.5 %",
            "364 of 2,000 requests",
            "heaviest 10 % of requests take 50.7 %",
            "dearest 10 % take 49.5 %",
            "$1.44 more (12.5 %)",
        ],
        &["2026-01-05 (Mon) $2.37 (20.6 %)", "2026-01-08 (Thu) $2.22", "`gpt-4.1` $10.64 (92.7 %)"],
        &[
            "Only after a test: a cheaper model for small requests (12.5 %)",
            "falls short of the 20 % asked for by $2.30",
        ],
        &[
            "3.57 s at the median, 13.07 s at the 95th",
            "means 1.79 s and 6.53 s",
            "15.1 ms, which makes 87.2 %",
            "shrink by 57.4 %",
            "`gpt-4.1-mini`, with a median of 2.34 s",
        ],
        &["$49.27 now and $73.91 at +50 %", "from 40,259 to 60,388 tokens", "99 % of the minutes"],
        &["1,505,536 of 6,219,189 input tokens (24.2 %)", "saved $1.73", "Of 868 requests", "480 (55.3 %)"],
        &["$23.34 with claude-sonnet-4-5 ($11.48 at list prices as they were)", "103.3 % more"],
        &[
            "40,259 tokens (2026-01-06 12:07 UTC)",
            "mean minute has 676 tokens",
            "17,255 tokens a minute serves 99 %",
            "10:00 (UTC), with 189 requests",
        ],
        &["$1.09 of $11.48 (9.5 %)", "All of the work would save $5.45"],
        &["$49.27 now, within budget, and $197.08 at month 6, over budget from month 3 on"],
    ];
    for (question, figures) in EXAMPLES.into_iter().zip(expected) {
        let run = ask(question, &[&sample()]).await;
        assert!(run.result.is_ok(), "{question}: {:?}", run.result);
        let report = run.text("Report");
        for figure in figures {
            assert!(report.contains(figure), "{question}: {figure:?} is not in\n{report}");
        }
        let summary = run.text("");
        assert!(summary.contains("2,000 requests, 6,802,397 tokens, $11.48 at list prices"), "{summary}");
        assert!(!run.customs("netra.chart").is_empty() && !run.customs("netra.table").is_empty());
    }
}

#[test]
fn the_options_for_the_sample_are_what_python_computes() {
    let analysis = analyse(&sample(), EXAMPLES[0]);
    let saves = |id| analysis.savings.option(id).expect(id).saving_usd;
    assert_close(analysis.profile.list_cost, 11.482_878_8);
    assert_close(saves("cheaper_model"), 1.439_119_8);
    assert_close(saves("batch"), 1.090_629);
    // The sample names no sessions: it proves no saving that leaves answers unchanged.
    assert!(analysis.savings.together.is_empty() && analysis.savings.together_usd == 0.0);
    assert_close(analysis.savings.together_with_test_usd, 1.439_119_8);
    assert_eq!(analysis.profile.latency.map(|ms| (ms.p50, ms.p95, ms.p99)), Some((3571.0, 13_066.0, 24_018.0)));
    let fit = analysis.profile.latency_fit.expect("latency depends on tokens");
    assert!(
        (fit.per_output_ms - 15.064_418).abs() < 1e-3
            && (fit.base_ms - 467.589).abs() < 0.1
            && (fit.r2 - 0.871_03).abs() < 1e-4
    );
    let batched = analyse(&sample(), "What would batch prices save us?");
    assert_close(batched.savings.together_usd, 1.090_629);
    assert_eq!(batched.savings.together, ["batch"]);
}

#[test]
fn the_code_completion_trace_has_the_figures_that_python_computes() {
    let Some(path) = azure("code.csv") else { return };
    let analysis = analyse(&path, "Where do my tokens go? We run gpt-4.1.");
    let profile = &analysis.profile;
    assert_eq!((profile.requests, profile.input_tokens, profile.output_tokens), (Some(8819), 18_059_974, 245_896));
    let (input, output) = (profile.input.expect("input"), profile.output.expect("output"));
    assert_eq!((input.p50, input.p95, input.p99, input.max), (1469.0, 7315.0, 7436.0, 7437.0));
    assert_eq!((output.p50, output.p95, output.p99, output.max), (13.0, 90.0, 252.0, 1899.0));
    let heaviest = profile.heaviest.expect("single requests");
    assert_close(heaviest.tokens_top_1, 0.036_463_222);
    assert_close(heaviest.tokens_top_10, 0.328_050_183);
    assert_close(heaviest.cost_top_10, 0.319_868_640);
    assert_close(profile.cost, 38.087_116);
    let load = profile.load.as_ref().expect("a load profile");
    assert_eq!(
        (load.minutes, load.peak_tokens.0, load.peak_requests.0, load.p95_tokens),
        (58, 1_257_868, 585, 953_681)
    );
    assert_close(load.mean_tokens, 315_618.448_275_862);
    let saves = |id| analysis.savings.option(id).expect(id).saving_usd;
    assert_close(saves("cheaper_model"), 2.637_481_6);
    assert_close(saves("batch"), 3.808_711_6);
    assert!(analysis.savings.option("caching").is_none());
    assert_eq!(analysis.assumed_model.as_deref(), Some("gpt-4.1"));
    assert_eq!(analysis.ingest.bad_rows, 0);
}

#[test]
fn the_conversation_trace_has_the_figures_that_python_computes() {
    let Some(path) = azure("conv.csv") else { return };
    let analysis = analyse(&path, "We run gpt-4.1 and expect 50 % growth");
    let profile = &analysis.profile;
    assert_eq!((profile.requests, profile.input_tokens, profile.output_tokens), (Some(19_366), 22_361_870, 4_088_665));
    let (input, output) = (profile.input.expect("input"), profile.output.expect("output"));
    assert_eq!((input.p50, input.p95, input.p99, input.max), (1020.0, 4083.0, 4142.0, 14_050.0));
    assert_eq!((output.p50, output.p95, output.p99, output.max), (129.0, 451.0, 601.0, 1000.0));
    let heaviest = profile.heaviest.expect("single requests");
    assert_close(heaviest.tokens_top_1, 0.037_807_591);
    assert_close(heaviest.cost_top_10, 0.219_798_649);
    assert_close(profile.cost, 77.433_06);
    let load = profile.load.as_ref().expect("a load profile");
    assert_eq!((load.minutes, load.peak_tokens, load.p95_tokens), (60, (780_667, 1_700_160_180_000), 715_745));
    assert_close(load.mean_tokens, 440_842.25);
    assert_close(analysis.savings.option("cheaper_model").expect("a cheaper model").saving_usd, 10.343_84);
    let ahead = &analysis.forecast.as_ref().expect("a forecast").ahead;
    assert!((ahead[0].usd / 57_316.513 - 1.0).abs() < 1e-6 && (ahead[1].usd / (1.5 * 57_316.513) - 1.0).abs() < 1e-6);
}

#[tokio::test]
async fn a_trace_without_a_model_has_no_price_unless_the_question_names_one() {
    let Some(path) = azure("conv.csv") else { return };
    let run = ask("Where do my tokens go? We run gpt-4o.", &[&path]).await;
    let report = run.text("Report");
    assert!(report.contains("The log names no model: all requests are priced as gpt-4o"), "{report}");
    // 22,361,870 × 2.5 + 4,088,665 × 10 dollars a million.
    assert!(run.text("").contains("19,366 requests, 26,450,535 tokens, $96.79"), "{}", run.text(""));
    let run = ask("Audit our caching", &[&path]).await;
    let report = run.text("Report");
    assert!(report.contains("this log cannot show it, because it has no cached tokens"), "{report}");
    assert!(report.contains("have no price") && !report.contains("$0.00"), "{report}");
}
