//! Figures that are checked against independent ones.
//!
//! The figures were computed independently, in Python, from the same files: sums over `csv.DictReader` rows, percentiles as
//! `sorted(v)[ceil(p * len(v) / 100) - 1]`, the price of a request as
//! `(input - cached) * price_in + cached * price_cached + output * price_out` with gpt-4.1 at 2, 0.5 and 8, gpt-4.1-mini at
//! 0.4, 0.1 and 1.6, gpt-4.1-nano at 0.1, 0.025 and 0.4 dollars a million, and each option as the difference of two such sums:
//! `route` (input and output at most their medians: the next cheaper model), `cap` and `trim` (`min` with the 95th
//! percentile), `cache` (input of 1,024 and more without cached tokens: the mean cached share of those with), `batch`
//! (20 % at half price, no cached discount). Latency was fitted with `numpy.linalg.lstsq`.

use super::*;

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
            "Only after an evaluation: a cap on the longest prompts (9.9 %), a cheaper model for small requests (7.4 %)",
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
            "get 46.8 % of",
        ],
        &[
            "$2.97 with gpt-4.1-mini and $14.85 with gpt-4.1",
            "$11.48 as they were",
            "5.0 times as much",
            "| gpt-4.1 | $14.85 | $7.42 | $8.55 | 1,420 requests, median 4.04 s |",
        ],
        &["40,259 tokens (2026-01-06 12:07 UTC)", "mean minute has 676 tokens", "17,255 tokens a minute serves 99 %"],
        &["$0.85 of $11.48 (7.4 %) over 788 requests", "at most 817 input and 199 output tokens"],
        &["$0.98 of $11.48 (8.5 %)", "All of the work would save $4.88"],
        &["save together $3.38", "p95 is 13.07 s now", "$98.54 (+100 %), over budget", "$69.55, within budget"],
    ];
    for (question, figures) in EXAMPLES.into_iter().zip(expected) {
        let run = ask(question, &[&sample()]).await;
        assert!(run.result.is_ok(), "{question}: {:?}", run.result);
        let report = run.text("Report");
        for figure in figures {
            assert!(report.contains(figure), "{question}: {figure:?} is not in\n{report}");
        }
        let summary = run.text("");
        assert!(
            summary.contains("2,000 requests, 6,802,397 tokens, $11.48") && summary.contains("Do first"),
            "{summary}"
        );
        assert!(!run.customs("netra.chart").is_empty() && !run.customs("netra.table").is_empty());
    }
}

#[test]
fn the_options_for_the_sample_are_what_python_computes() {
    let analysis = analyse(&sample(), EXAMPLES[0]);
    let saves = |id| analysis.savings.option(id).expect(id).saving_usd;
    assert_close(analysis.profile.list_cost, 11.482_879_4);
    assert_close(saves("cheaper_model"), 0.847_387);
    assert_close(saves("output_cap"), 0.202_637);
    assert_close(saves("prompt_cap"), 1.140_341);
    assert_close(saves("caching"), 1.355_298);
    assert_close(saves("batch"), 0.975_381);
    assert_close(analysis.savings.together_usd, 3.378_567);
    assert_eq!(analysis.profile.latency.map(|ms| (ms.p50, ms.p95, ms.p99)), Some((3571.0, 13_066.0, 24_018.0)));
    let fit = analysis.profile.latency_fit.expect("latency depends on tokens");
    assert!(
        (fit.per_output_ms - 15.064_418).abs() < 1e-3
            && (fit.base_ms - 467.589).abs() < 0.1
            && (fit.r2 - 0.871_03).abs() < 1e-4
    );
    let batched = analyse(&sample(), EXAMPLES[8]);
    assert_close(batched.savings.together_usd, 3.907_397);
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
    assert_close(profile.heaviest.tokens_top_1, 0.036_463_222);
    assert_close(profile.heaviest.tokens_top_10, 0.328_050_183);
    assert_close(profile.heaviest.cost_top_10, 0.319_868_640);
    assert_close(profile.cost, 38.087_116);
    let load = profile.load.as_ref().expect("a load profile");
    assert_eq!(
        (load.minutes, load.peak_tokens.0, load.peak_requests.0, load.p95_tokens),
        (58, 1_257_868, 585, 953_681)
    );
    assert_close(load.mean_tokens, 315_618.448_275_862);
    let saves = |id| analysis.savings.option(id).expect(id).saving_usd;
    assert_close(saves("cheaper_model"), 2.391_526);
    assert_close(saves("caching"), 12.481_771);
    assert_close(saves("batch"), 3.808_712);
    assert_close(analysis.savings.together_usd, 2.903_462);
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
    assert_close(profile.heaviest.tokens_top_1, 0.037_807_591);
    assert_close(profile.heaviest.cost_top_10, 0.219_798_649);
    assert_close(profile.cost, 77.433_06);
    let load = profile.load.as_ref().expect("a load profile");
    assert_eq!((load.minutes, load.peak_tokens, load.p95_tokens), (60, (780_667, 1_700_160_180_000), 715_745));
    assert_close(load.mean_tokens, 440_842.25);
    let saves = |id| analysis.savings.option(id).expect(id).saving_usd;
    assert_close(saves("cheaper_model"), 7.352_864);
    assert_close(saves("output_cap"), 0.775_376);
    assert_close(saves("prompt_cap"), 0.384_062);
    assert_close(analysis.savings.together_usd, 8.512_302);
    let ahead = &analysis.forecast.as_ref().expect("a forecast").ahead;
    assert!((ahead[0].usd / 57_316.513 - 1.0).abs() < 1e-6 && (ahead[1].usd / (1.5 * 57_316.513) - 1.0).abs() < 1e-6);
}

#[tokio::test]
async fn a_trace_without_a_model_is_priced_as_the_model_in_the_question() {
    let Some(path) = azure("conv.csv") else { return };
    let run = ask("Where do my tokens go? We run gpt-4o.", &[&path]).await;
    assert!(
        run.text("Report").contains("The log names no model: all requests are priced as gpt-4o."),
        "{}",
        run.text("Report")
    );
    // 22,361,870 × 2.5 + 4,088,665 × 10 dollars a million.
    assert!(run.text("").contains("19,366 requests, 26,450,535 tokens, $96.79"), "{}", run.text(""));
    let run = ask("Audit our caching", &[&path]).await;
    assert!(run.text("Report").contains("this log cannot show it, because it has no cached tokens"));
}
