//! Figures of profiles, computed by hand or in Python as stated.

use super::{calendar::MAX_BUCKETS, *};
use crate::analyst::{dataset::Row, pricing::PriceTable};

fn profile(rows: &[Row<'_>]) -> Profile {
    profile_in(rows, TimeZone::UTC)
}

fn profile_in(rows: &[Row<'_>], time_zone: TimeZone) -> Profile {
    let mut data = Dataset::default();
    rows.iter().for_each(|row| data.push(row));
    let pricing = Pricing::for_dataset(&data, &PriceTable::shipped(), None);
    Profile::compute_with(&data, &pricing, &ProfileOptions { time_zone, time_zone_name: None }, &|| false)
        .expect("a profile")
}

#[test]
fn empty_minutes_count_in_rates_and_percentiles() {
    let at = |minute: i64, input| Row {
        time_ms: Some(minute * MINUTE + 5),
        input: Some(input),
        output: Some(0),
        ..Row::default()
    };
    let profile = profile(&[at(100, 10), at(100, 20), at(109, 5)]);
    let load = profile.load.expect("a load profile");
    assert_eq!((load.minutes, load.peak_tokens, load.peak_requests), (10, (30, 100 * MINUTE), (2, 100 * MINUTE)));
    assert_eq!((load.p95_tokens, load.mean_tokens), (30, 3.5));
    assert_eq!(profile.over_time.len(), 10);
    assert_eq!(profile.over_time.iter().map(|segment| segment.requests).sum::<u64>(), 3);
}

#[test]
fn a_log_of_a_century_has_a_bounded_number_of_points() {
    let at = |ms| Row { time_ms: Some(ms), input: Some(1), ..Row::default() };
    let profile = profile(&[at(0), at(100 * 365 * 24 * HOUR)]);
    assert!(profile.over_time.len() <= MAX_BUCKETS as usize, "{}", profile.over_time.len());
}

#[test]
fn the_latency_fit_recovers_known_coefficients() {
    let rows: Vec<Row<'_>> = (0..60u32)
        .map(|i| {
            let (input, output) = (100 + (i * 37) % 90, 10 + (i * 17) % 50);
            let latency = 200.0 + 0.5 * input as f32 + 20.0 * output as f32;
            Row { input: Some(input.into()), output: Some(output.into()), latency_ms: Some(latency), ..Row::default() }
        })
        .collect();
    let fit = profile(&rows).latency_fit.expect("a fit");
    assert!(
        (fit.base_ms - 200.0).abs() < 0.1
            && (fit.per_input_ms - 0.5).abs() < 0.01
            && (fit.per_output_ms - 20.0).abs() < 0.01
    );
    assert!(fit.r2 > 0.999);
}

#[test]
fn the_heaviest_tenth_is_rounded_up_to_whole_requests() {
    let rows: Vec<Row<'_>> =
        (0..11).map(|i| Row { input: Some(if i == 0 { 50 } else { 5 }), output: Some(0), ..Row::default() }).collect();
    let heaviest = profile(&rows).heaviest.expect("single requests");
    assert_eq!((heaviest.tokens_top_1, heaviest.tokens_top_10), (0.5, 0.55));
}

/// Monday, 5 January 2026, 00:00 UTC.
const MONDAY: i64 = 1_767_571_200_000;

fn request(time_ms: i64, input: u64, output: u64) -> Row<'static> {
    Row { time_ms: Some(time_ms), model: Some("gpt-4.1"), input: Some(input), output: Some(output), ..Row::default() }
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "found {found}, expected {expected}");
}

#[test]
fn sums_have_totals_and_days_but_no_figures_of_single_requests() {
    let day = |n: i64, requests| Row {
        requests: Some(requests),
        period_ms: Some(DAY),
        latency_ms: Some(900.0),
        ..request(MONDAY + n * DAY, 1_000_000, 100_000)
    };
    let profile = profile(&[day(0, 400), day(1, 500), day(3, 600)]);
    assert_eq!((profile.rows, profile.requests, profile.input_tokens), (3, Some(1500), 3_000_000));
    // From Monday to the end of Thursday; 3 * (1 * 2 + 0.1 * 8) dollars.
    assert_eq!(profile.elapsed_days, Some(4.0));
    close(profile.cost, 8.4);
    assert!(profile.input.is_none() && profile.output.is_none() && profile.heaviest.is_none());
    assert!(profile.latency.is_none() && profile.latency_fit.is_none() && profile.load.is_none());
    assert!(profile.by_size.is_empty() && profile.by_hour.is_empty());
    assert_eq!(profile.left_out.len(), 2, "{:?}", profile.left_out);
    let days: Vec<_> = profile.by_day.iter().map(|day| (day.name.as_str(), day.known_requests())).collect();
    assert_eq!(days, [("2026-01-05", Some(400)), ("2026-01-06", Some(500)), ("2026-01-08", Some(600))]);
    assert_eq!((profile.bucket_ms, profile.over_time.len()), (DAY, 4));
}

#[test]
fn sums_of_unknown_requests_and_length_get_the_shortest_gap_as_their_length() {
    let sum = |n: i64| Row { requests: Some(0), ..request(MONDAY + n * DAY, 10, 10) };
    let known = profile(&[sum(0), sum(1), sum(3)]);
    assert_eq!((known.requests, known.elapsed_days), (None, Some(4.0)));
    assert_eq!(known.by_day[0].known_requests(), None);
    assert_eq!(profile(&[sum(0)]).elapsed_days, None);
}

#[test]
fn a_cost_in_another_currency_is_not_filled_with_dollars() {
    let euro = |cost| Row { cost, currency: Some("EUR"), ..request(MONDAY, 1000, 100) };
    let profile = profile(&[euro(Some(0.5)), euro(None), euro(Some(0.25))]);
    assert_eq!((profile.cost, profile.currency.as_str(), profile.cost_basis), (0.75, "EUR", CostBasis::Logged));
    assert_eq!((profile.rows_without_cost, profile.unpriced_tokens, profile.unlisted_tokens), (1, 1100, 0));
    // 3 * (1000 * 2 + 100 * 8) / 1e6
    close(profile.list_cost, 0.0084);
}

#[test]
fn several_currencies_are_never_added() {
    let cost = |cost, currency| Row { cost: Some(cost), currency: Some(currency), ..request(MONDAY, 1000, 100) };
    let profile = profile(&[cost(1.0, "USD"), cost(3.0, "EUR"), cost(0.5, "USD")]);
    assert_eq!(profile.logged_cost, [("EUR".to_owned(), 3.0), ("USD".to_owned(), 1.5)]);
    assert_eq!((profile.cost_basis, profile.currency.as_str()), (CostBasis::List, "USD"));
    close(profile.cost, 0.0084);
}

#[test]
fn rows_without_a_logged_cost_get_list_prices_and_zeros_are_counted() {
    let cost = |cost| Row { cost, ..request(MONDAY, 1000, 100) };
    let mixed = profile(&[cost(Some(1.0)), cost(None), cost(Some(0.0))]);
    assert_eq!((mixed.cost_basis, mixed.zero_cost_rows, mixed.rows_without_cost), (CostBasis::Mixed, 1, 1));
    close(mixed.cost, 1.0028);
    assert_eq!(profile(&[cost(Some(0.0)), cost(Some(0.0))]).zero_cost_rows, 0);
}

#[test]
fn a_model_without_a_price_is_not_free() {
    let house = Row { model: Some("our-model"), ..request(MONDAY, 1000, 100) };
    let profile = profile(&[request(MONDAY, 1000, 100), house]);
    assert_eq!((profile.unpriced_tokens, profile.unpriced_share()), (1100, 0.5));
    assert_eq!(profile.by_model[1].name, "our-model");
    assert_eq!(profile.by_model[1].known_cost(), None);
    assert!(profile.by_model[0].known_cost().is_some());
}

#[test]
fn nothing_is_concluded_from_output_that_is_not_logged() {
    let rows =
        [Row { output: None, ..request(MONDAY, 1000, 0) }, Row { output: None, ..request(MONDAY + DAY, 1000, 0) }];
    let profile = profile(&rows);
    assert!(!profile.output_known && profile.input.is_some() && profile.output.is_none());
    assert!(profile.heaviest.is_none() && profile.load.is_none());
    assert_eq!((profile.cost_basis, profile.list_cost, profile.unlisted_tokens), (CostBasis::None, 0.0, 2000));
}

#[test]
fn embeddings_are_apart_from_chat() {
    let embedding = Row { kind: Kind::Embedding, output: None, ..request(MONDAY, 8000, 0) };
    let profile = profile(&[request(MONDAY, 100, 10), embedding, request(MONDAY, 300, 30)]);
    assert_eq!(profile.input.map(|stats| (stats.count, stats.max)), Some((2, 300.0)));
    assert_eq!(profile.by_size.iter().map(|size| size.rows).sum::<u64>(), 2);
    let kinds: Vec<_> = profile.by_kind.iter().map(|kind| (kind.name.as_str(), kind.rows)).collect();
    assert_eq!(kinds, [("embedding", 1), ("chat", 2)]);
}

#[test]
fn a_column_is_grouped_dearest_first_with_the_rest_together() {
    let names: Vec<String> = (0..60).map(|n| format!("u{n}")).collect();
    let groups: Vec<[(&str, &str); 1]> = names.iter().map(|name| [("user", name.as_str())]).collect();
    let mut rows: Vec<Row<'_>> =
        (0u64..).zip(&groups).map(|(n, groups)| Row { groups, ..request(MONDAY, 1000 + n, 0) }).collect();
    rows.push(request(MONDAY, 7, 0));
    let profile = profile(&rows);
    let users = profile.group("user").expect("users");
    assert_eq!((users.values, users.segments.len(), users.segments[0].name.as_str()), (60, MAX_SEGMENTS, "u59"));
    // The ten smallest: sum(range(1000, 1010))
    assert_eq!(users.others.as_ref().map(|others| (others.rows, others.input)), Some((10, 10_045)));
    assert_eq!(users.without.as_ref().map(|without| without.input), Some(7));
}

#[test]
fn days_and_hours_are_those_of_the_time_zone() {
    let zone = TimeZone::fixed(jiff::tz::offset(-5));
    let rows =
        [request(MONDAY + 2 * HOUR, 10, 0), request(MONDAY + 6 * HOUR, 20, 0), request(MONDAY + 30 * HOUR, 40, 0)];
    let profile = profile_in(&rows, zone);
    let days: Vec<_> = profile.by_day.iter().map(|day| (day.name.as_str(), day.input)).collect();
    assert_eq!(days, [("2026-01-04", 10), ("2026-01-05", 20), ("2026-01-06", 40)]);
    assert_eq!((profile.by_hour[21].input, profile.by_hour[1].input, profile.time_zone.as_str()), (10, 60, "-05"));
    assert_eq!(profile.dearest_day().map(|day| day.name.as_str()), Some("2026-01-06"));
    assert_eq!(profile.over_time[0].name, (MONDAY + 2 * HOUR).to_string());
}

#[test]
fn failures_and_their_repetitions_have_a_cost() {
    const A: &[(&str, &str)] = &[("session", "a"), ("status", "429")];
    const B: &[(&str, &str)] = &[("session", "b"), ("status", "200")];
    let at = |second: i64, input, failed, groups| Row {
        failed: Some(failed),
        groups,
        ..request(MONDAY + second * 1000, input, 10)
    };
    let profile = profile(&[
        at(0, 500, true, A),
        at(5, 500, true, A),
        at(9, 500, false, A),
        at(10, 500, false, B),
        at(12, 600, true, A),
        at(99, 600, false, A),
    ]);
    let failures = profile.failures.expect("failures");
    // Three failed: 500, 500 and 600 input, 10 output each; two repeat one within a minute: 510 tokens each.
    assert_eq!((failures.requests, failures.tokens), (3, 1630));
    close(failures.cost, (1600.0 * 2.0 + 30.0 * 8.0) / 1e6);
    assert_eq!(
        failures.by_status.iter().map(|part| (part.name.as_str(), part.requests)).collect::<Vec<_>>(),
        [("429", 3)]
    );
    let retries = failures.retries.expect("sessions and times");
    assert_eq!((retries.requests, retries.tokens), (2, 1020));
    assert_eq!(profile.input.map(|stats| stats.count), Some(3));
}
