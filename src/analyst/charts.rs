//! Charts and tables as JSON: the values of the custom events `netra.chart` and `netra.table`.

use serde_json::{Value, json};

use super::{
    analysis::Analysis,
    format::{millis, money, percent, whole},
    profile::{Profile, Segment},
};

/// Most rows of the table of models.
const MAX_ROWS: usize = 20;

/// The charts that the log has data for.
pub fn charts(analysis: &Analysis) -> Vec<Value> {
    let mut charts = over_time(&analysis.profile);
    charts.extend(by_segment(&analysis.profile));
    charts.extend(savings_and_forecast(analysis));
    charts
}

/// Tokens and cost over time; none for a log without times or with a single step.
fn over_time(profile: &Profile) -> Vec<Value> {
    let steps = &profile.over_time;
    if steps.len() <= 1 {
        return Vec::new();
    }
    let starts: Vec<i64> = steps.iter().filter_map(|segment| segment.name.parse().ok()).collect();
    let step = step_name(profile.bucket_ms);
    let tokens = chart(
        "tokens-over-time",
        &format!("Tokens per {step}"),
        "line",
        "tokens",
        json!(starts),
        &[
            ("Input", values(steps, |segment| segment.input as f64)),
            ("Output", values(steps, |segment| segment.output as f64)),
        ],
    );
    let cost = chart(
        "cost-over-time",
        &format!("Cost per {step}"),
        "line",
        "USD",
        json!(starts),
        &[("Cost", values(steps, |segment| segment.cost))],
    );
    vec![tokens, cost]
}

/// Tokens and cost by prompt size, model and hour of the day.
fn by_segment(profile: &Profile) -> Vec<Value> {
    let mut charts = vec![chart(
        "tokens-by-size",
        "Tokens by prompt size",
        "bar",
        "tokens",
        names(&profile.by_size),
        &[
            ("Input", values(&profile.by_size, |segment| segment.input as f64)),
            ("Output", values(&profile.by_size, |segment| segment.output as f64)),
        ],
    )];
    if profile.by_model.len() > 1 {
        let top = &profile.by_model[..profile.by_model.len().min(10)];
        charts.push(chart(
            "cost-by-model",
            "Cost by model",
            "bar",
            "USD",
            names(top),
            &[("Cost", values(top, |segment| segment.cost))],
        ));
    }
    if !profile.by_hour.is_empty() {
        charts.push(chart(
            "tokens-by-hour",
            "Tokens by hour of the day (UTC)",
            "bar",
            "tokens",
            names(&profile.by_hour),
            &[("Tokens", values(&profile.by_hour, |segment| segment.tokens() as f64))],
        ));
    }
    charts
}

/// The saving of each option, and the cost of the months ahead.
fn savings_and_forecast(analysis: &Analysis) -> Vec<Value> {
    let mut charts = Vec::new();
    let options: Vec<_> = analysis.savings.options.iter().filter(|option| option.saving_usd > 0.0).collect();
    if !options.is_empty() {
        let titles: Vec<&str> = options.iter().map(|option| option.title.as_str()).collect();
        let amounts = options.iter().map(|option| option.saving_usd).collect();
        charts.push(chart(
            "savings",
            "What each option saves alone",
            "bar",
            "USD",
            json!(titles),
            &[("Saving", amounts)],
        ));
    }
    if let Some(forecast) = analysis.forecast.as_ref().filter(|forecast| forecast.ahead.len() > 1) {
        let labels: Vec<&str> = forecast.ahead.iter().map(|ahead| ahead.label.as_str()).collect();
        charts.push(chart(
            "forecast",
            "Cost of a month",
            "bar",
            "USD",
            json!(labels),
            &[
                ("As it is", forecast.ahead.iter().map(|ahead| ahead.usd).collect()),
                ("With the options together", forecast.ahead.iter().map(|ahead| ahead.usd_with_savings).collect()),
            ],
        ));
    }
    charts
}

/// The tables of an analysis.
pub fn tables(analysis: &Analysis) -> Vec<Value> {
    let profile = &analysis.profile;
    let mut tables = vec![percentile_table(profile)];
    if profile.by_model.len() > 1 {
        tables.push(segment_table(
            "models",
            "By model",
            "Model",
            profile,
            &profile.by_model[..profile.by_model.len().min(MAX_ROWS)],
        ));
    }
    tables.push(segment_table("sizes", "By prompt size", "Input tokens", profile, &profile.by_size));
    if !analysis.ingest.first_bad.is_empty() {
        let rows: Vec<_> = analysis.ingest.first_bad.iter().map(|bad| json!([bad.line, bad.reason])).collect();
        let title = format!("The first of {} rows left out", whole(analysis.ingest.bad_rows as f64));
        tables.push(json!({"id": "bad-rows", "title": title, "columns": ["Line", "Reason"], "rows": rows}));
    }
    tables
}

fn percentile_table(profile: &Profile) -> Value {
    let mut rows: Vec<_> = [("Input tokens", profile.input), ("Output tokens", profile.output)]
        .iter()
        .map(|(name, stats)| {
            json!([name, whole(stats.mean), whole(stats.p50), whole(stats.p95), whole(stats.p99), whole(stats.max)])
        })
        .collect();
    if let Some(stats) = profile.latency {
        rows.push(json!([
            "Latency",
            millis(stats.mean),
            millis(stats.p50),
            millis(stats.p95),
            millis(stats.p99),
            millis(stats.max)
        ]));
    }
    let title = format!("A request (percentiles by {})", super::stats::PERCENTILE_METHOD);
    json!({"id": "percentiles", "title": title, "columns": ["", "Mean", "p50", "p95", "p99", "Max"], "rows": rows})
}

fn segment_table(id: &str, title: &str, first: &str, profile: &Profile, segments: &[Segment]) -> Value {
    let share = |n: f64, all: f64| if all > 0.0 { percent(n / all) } else { "–".into() };
    let rows: Vec<_> = segments
        .iter()
        .filter(|segment| segment.requests > 0)
        .map(|segment| {
            json!([
                segment.name,
                whole(segment.requests as f64),
                whole(segment.input as f64),
                whole(segment.output as f64),
                share(segment.tokens() as f64, profile.tokens()),
                money(segment.cost),
                share(segment.cost, profile.cost)
            ])
        })
        .collect();
    let columns = [first, "Requests", "Input", "Output", "Of tokens", "Cost", "Of cost"];
    json!({"id": id, "title": title, "columns": columns, "rows": rows})
}

fn chart(id: &str, title: &str, kind: &str, unit: &str, x: Value, series: &[(&str, Vec<f64>)]) -> Value {
    let series: Vec<_> = series.iter().map(|(name, values)| json!({"name": name, "values": values})).collect();
    json!({"id": id, "title": title, "kind": kind, "unit": unit, "x": x, "series": series})
}

fn values(segments: &[Segment], value: impl Fn(&Segment) -> f64) -> Vec<f64> {
    segments.iter().map(value).collect()
}

fn names(segments: &[Segment]) -> Value {
    json!(segments.iter().map(|segment| segment.name.as_str()).collect::<Vec<_>>())
}

/// The name of a time step: `minute`, `5 minutes`, `day`.
pub fn step_name(ms: i64) -> String {
    match ms / 60_000 {
        1 => "minute".into(),
        60 => "hour".into(),
        1440 => "day".into(),
        10_080 => "week".into(),
        minutes if minutes < 60 => format!("{minutes} minutes"),
        minutes if minutes < 1440 => format!("{} hours", minutes / 60),
        minutes => format!("{} days", minutes / 1440),
    }
}
