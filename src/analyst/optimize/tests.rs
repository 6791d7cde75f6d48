//! Savings, computed in Python as stated.

use super::*;
use crate::analyst::dataset::{Kind, Row};

/// Monday, 5 January 2026, 00:00 UTC.
const MONDAY: i64 = 1_767_571_200_000;
const A: &[(&str, &str)] = &[("session", "a")];
const CLAUDE: &str = "claude-sonnet-4-5";

fn savings(rows: &[Row<'_>], text: &str) -> Savings {
    let mut data = Dataset::default();
    rows.iter().for_each(|row| data.push(row));
    let table = PriceTable::shipped();
    let pricing = Pricing::for_dataset(&data, &table, None);
    let profile = Profile::compute(&data, &pricing, &|| false).expect("a profile");
    let question = Question::parse(text, &table);
    Savings::compute(&data, &pricing, &table, &profile, &question, &|| false).expect("savings")
}

/// A request of session `a` with input, output and cached tokens.
fn turn(model: &'static str, second: i64, (input, output, cached): (u64, u64, u64)) -> Row<'static> {
    Row {
        time_ms: Some(MONDAY + second * 1000),
        model: Some(model),
        input: Some(input),
        output: Some(output),
        cached: Some(cached),
        groups: A,
        ..Row::default()
    }
}

#[track_caller]
fn saves(savings: &Savings, id: &str, expected: f64) {
    let found = savings.option(id).unwrap_or_else(|| panic!("{id}: {:?}", savings.reasons)).saving_usd;
    assert!((found - expected).abs() < 1e-9, "found {found}, expected {expected}");
}

#[test]
fn an_uncached_conversation_saves_from_its_third_turn_less_what_has_to_be_written() {
    let rows = [2000, 3000, 5000, 9000].into_iter().zip(0..).map(|(input, n)| turn(CLAUDE, 60 * n, (input, 500, 0)));
    let savings = savings(&rows.collect::<Vec<_>>(), "");
    // 3, 0.3 read and 3.75 written: now (3000 + 5000 + 9000) * 3; then 3000 * 3.75 written, then 2944 and 4992 read
    // (steps of 128 of the prompt before) and the rest written: 51000 - 11250 - (2944 * .3 + 2056 * 3.75) - (4992 * .3
    // + 4008 * 3.75)
    saves(&savings, "caching", 0.014_629_2);
    assert_eq!(
        savings.option("caching").map(|option| (option.requests, option.quality)),
        Some((2, Quality::Unchanged))
    );
    assert_eq!(savings.together, ["caching"]);
}

#[test]
fn a_conversation_with_pauses_beyond_the_life_of_the_cache_saves_nothing() {
    let turns = |gap: i64| {
        [2000, 3000, 5000, 9000].into_iter().zip(0..).map(move |(input, n)| turn(CLAUDE, gap * n, (input, 500, 0)))
    };
    assert!(savings(&turns(301).collect::<Vec<_>>(), "").option("caching").is_none());
    // Written for an hour, the prefix lives longer.
    let long = turns(301).map(|row| Row { cache_write: Some(100), cache_write_1h: Some(100), ..row });
    let long = long
        .enumerate()
        .map(|(n, row)| if n == 0 { row } else { Row { cache_write: None, cache_write_1h: None, ..row } });
    assert!(savings(&long.collect::<Vec<_>>(), "").option("caching").is_some());
}

#[test]
fn a_request_between_two_hits_of_its_prefix_is_a_miss() {
    let rows = [
        turn("gpt-4.1", 0, (3000, 10, 2048)),
        turn("gpt-4.1", 60, (3000, 10, 0)),
        turn("gpt-4.1", 120, (3000, 10, 2048)),
    ];
    // 2048 * (2 - 0.5) / 1e6
    saves(&savings(&rows, ""), "caching", 0.003_072);
    let shorter = [rows[0].clone(), turn("gpt-4.1", 60, (2000, 10, 0)), rows[2].clone()];
    assert!(savings(&shorter, "").option("caching").is_none());
}

#[test]
fn first_writes_are_no_misses() {
    let write = |second, input, written| Row { cache_write: Some(written), ..turn(CLAUDE, second, (input, 10, 0)) };
    let read = |second, input, cached| turn(CLAUDE, second, (input, 10, cached));
    let rows =
        [write(0, 20_000, 19_900), read(20, 20_100, 19_900), read(40, 20_200, 19_900), write(60, 30_000, 29_900)];
    let savings = savings(&rows, "");
    assert!(savings.option("caching").is_none() && savings.together_usd == 0.0);
    assert_eq!(savings.cache.map(|cache| (cache.long_requests, cache.long_hits, cache.long_writes)), Some((4, 2, 2)));
}

#[test]
fn perfect_caching_without_sessions_saves_no_more() {
    let write = |n: i64| Row { groups: &[], cache_write: Some(20_000), ..turn(CLAUDE, n * 5400, (20_200, 100, 0)) };
    let read = |n: i64, second| Row { groups: &[], ..turn(CLAUDE, n * 5400 + second, (20_200, 100, 20_000)) };
    let rows: Vec<_> = (0..8).flat_map(|n| [write(n), read(n, 20), read(n, 40)]).collect();
    let savings = savings(&rows, "Audit our caching");
    assert!(savings.option("caching").is_none());
    assert!(savings.reason("caching").is_some_and(|reason| reason.contains("save no more")), "{:?}", savings.reasons);
}

#[test]
fn without_sessions_or_cached_tokens_caching_has_no_figure() {
    let row = |n: i64| Row { groups: &[], ..turn("gpt-4.1", n, (5000, 100, 0)) };
    let no_session = savings(&[row(0), row(1), row(2)], "");
    assert!(
        no_session.option("caching").is_none()
            && no_session.reason("caching").is_some_and(|why| why.contains("session"))
    );
    let row = |n: i64| Row { cached: None, ..turn("gpt-4.1", n, (5000 + 500 * n as u64, 100, 0)) };
    let no_cached = savings(&[row(0), row(1), row(2)], "");
    assert!(
        no_cached.option("caching").is_none()
            && no_cached.reason("caching").is_some_and(|why| why.contains("cached_tokens"))
    );
}

#[test]
fn a_cheaper_model_stands_apart_from_what_needs_no_test() {
    let embedding = Row { kind: Kind::Embedding, ..turn("gpt-4.1", 1, (500, 0, 0)) };
    let rows = [
        turn("gpt-4.1", 0, (1000, 250, 0)),
        embedding,
        turn("gpt-4.1", 2, (1001, 250, 0)),
        turn("gpt-4.1", 3, (100, 251, 0)),
    ];
    let savings = savings(&rows, "");
    // One request is small: 1000 * (2 - 0.4) + 250 * (8 - 1.6)
    saves(&savings, "cheaper_model", 0.003_2);
    assert_eq!((savings.together.len(), savings.together_usd), (0, 0.0));
    assert_eq!(savings.together_with_test, ["cheaper_model"]);
    assert!((savings.together_with_test_usd - 0.003_2).abs() < 1e-9);
    assert_eq!((savings.safe().count(), savings.needs_test().count()), (1, 1));
}

#[test]
fn longer_answers_and_prompts_than_most_save_nothing_by_construction() {
    let rows: Vec<_> = (0..100).map(|n| turn("gpt-4.1", n, (2000 + 90 * n as u64, 300 + 9 * n as u64, 0))).collect();
    let savings = savings(&rows, "");
    assert_eq!(savings.options.iter().map(|option| option.id).collect::<Vec<_>>(), ["batch"]);
}

#[test]
fn failed_requests_save_what_the_log_says_they_cost() {
    let row = |second, failed, cost| Row { failed: Some(failed), cost, ..turn("gpt-4.1", second, (2000, 300, 0)) };
    let billed = savings(&[row(0, false, Some(0.0064)), row(1, true, Some(0.0064)), row(2, true, Some(0.0))], "");
    // One of the two failed requests was paid for: 2000 * 2 + 300 * 8
    saves(&billed, "failed_requests", 0.006_4);
    assert_eq!(billed.together, ["failed_requests"]);
    let unknown = savings(&[row(0, false, None), row(1, true, None)], "");
    assert_eq!(unknown.option("failed_requests").map(|option| option.evidence), Some(Evidence::Assumption));
    assert!(unknown.together.is_empty());
}

#[test]
fn a_request_sent_twice_in_its_session_saves_the_second() {
    let rows =
        [turn("gpt-4.1", 0, (2000, 300, 0)), turn("gpt-4.1", 30, (2000, 300, 0)), turn("gpt-4.1", 700, (2000, 300, 0))];
    saves(&savings(&rows, ""), "duplicates", 0.006_4);
}

#[test]
fn nothing_is_saved_at_models_without_a_price_or_on_free_rows() {
    let row = |cost| Row { cost: Some(cost), ..turn("gpt-4.1", 0, (500, 100, 0)) };
    // 20 % of half of 500 * 2 + 100 * 8, of the row with a cost alone.
    saves(&savings(&[row(0.5), row(0.0)], "Use batch prices"), "batch", 0.2 * 0.5 * 1800.0 / 1e6);
    let house = Row { model: Some("our-model"), output: None, ..turn("gpt-4.1", 0, (500, 0, 0)) };
    let none = savings(&[house], "");
    assert!(none.options.is_empty() && none.reason("batch").is_some());
}

#[test]
fn sums_are_not_priced_as_one_long_prompt() {
    let sum = Row { requests: Some(5000), period_ms: Some(86_400_000), ..turn(CLAUDE, 0, (10_000_000, 100_000, 0)) };
    let savings = savings(&[sum], "Use batch prices");
    // 10 * 3 + 0.1 * 15 dollars, as 2,000 tokens a request are below 200,000; 20 % of half of it.
    assert!((savings.base_usd - 31.5).abs() < 1e-9, "{}", savings.base_usd);
    saves(&savings, "batch", 3.15);
    assert!(savings.option("cheaper_model").is_none() && savings.option("caching").is_none());
}
