//! Charts and tables as JSON: the values of the custom events `netra.chart` and `netra.table`.
//!
//! Guarantees: a part without a price shows "no price" in tables and a gap in charts, never 0; charts are in the
//! currency of the log; without any price they show tokens.

use serde_json::{Value, json};

use super::{
    analysis::Analysis,
    answer::{cost_of, is_about_savings},
    figures::{Figure, Unit},
    format::{millis, money_in, percent, whole},
    goals::{Goal, query::Measure},
    optimize::Quality,
    profile::{CostBasis, Grouping, Profile, Segment},
};

/// Most rows of a table, and most bars of a chart of parts.
const MAX_ROWS: usize = 20;
const MAX_BARS: usize = 10;

/// Most columns to group by that are shown unasked.
const MAX_GROUPS: usize = 2;

/// The charts that the log has data for: those that the question asks for first.
pub fn charts(analysis: &Analysis) -> Vec<Value> {
    let profile = &analysis.profile;
    if analysis.question.unclear {
        return Vec::new();
    }
    let asked: Vec<Value> =
        analysis.figures.iter().enumerate().filter_map(|(n, figure)| figure_chart(n, figure)).collect();
    // A figure with its own chart needs no others; one number is shown beside the cost by day.
    let only_figures = !analysis.figures.is_empty() && analysis.figures.len() == analysis.question.goals.len();
    if only_figures && !asked.is_empty() {
        return asked;
    }
    let mut charts = asked;
    charts.extend(over_time(profile));
    if only_figures {
        return charts;
    }
    if profile.by_model.len() > 1 {
        charts.push(segment_chart("cost-by-model", "model", profile, &profile.by_model));
    }
    charts.extend(
        groups(profile)
            .map(|group| segment_chart(&format!("cost-by-{}", group.name), &group.name, profile, &group.segments)),
    );
    if analysis.question.has_goal(|goal| *goal == Goal::Peaks) && !profile.by_hour.is_empty() {
        charts.push(chart(
            "tokens-by-hour",
            &format!("Tokens by hour of the day ({})", profile.time_zone),
            "bar",
            "tokens",
            names(&profile.by_hour),
            &[("Tokens", values(&profile.by_hour, |segment| Some(segment.tokens() as f64)))],
        ));
    }
    charts.extend(savings_chart(analysis));
    charts.extend(forecast_chart(analysis));
    charts
}

/// Cost by day; in shorter steps for a log of a day or less.
fn over_time(profile: &Profile) -> Option<Value> {
    let (unit, title, name) = amount_names(profile);
    if profile.by_day.len() > 1 {
        let kind = if profile.by_day.len() > 14 { "line" } else { "bar" };
        let days = &profile.by_day[profile.by_day.len().saturating_sub(120)..];
        return Some(chart(
            "cost-by-day",
            &format!("{title} by day"),
            kind,
            &unit,
            names(days),
            &[(name, amounts(profile, days))],
        ));
    }
    let steps = &profile.over_time;
    if steps.len() <= 1 {
        return None;
    }
    let starts: Vec<i64> = steps.iter().filter_map(|segment| segment.name.parse().ok()).collect();
    let title = format!("{title} per {}", step_name(profile.bucket_ms));
    Some(chart("cost-over-time", &title, "line", &unit, json!(starts), &[(name, amounts(profile, steps))]))
}

/// The unit of amounts, the title and the name of their series: cost, or tokens if nothing has a price.
fn amount_names(profile: &Profile) -> (String, &'static str, &'static str) {
    match profile.cost_basis {
        CostBasis::None => ("tokens".into(), "Tokens", "Tokens"),
        _ => (profile.currency.clone(), "Cost", "Cost"),
    }
}

fn amounts(profile: &Profile, segments: &[Segment]) -> Vec<Option<f64>> {
    match profile.cost_basis {
        CostBasis::None => values(segments, |segment| Some(segment.tokens() as f64)),
        _ => values(segments, Segment::known_cost),
    }
}

fn segment_chart(id: &str, by: &str, profile: &Profile, segments: &[Segment]) -> Value {
    let (unit, title, name) = amount_names(profile);
    let top = &segments[..segments.len().min(MAX_BARS)];
    chart(id, &format!("{title} by {by}"), "bar", &unit, names(top), &[(name, amounts(profile, top))])
}

/// The columns to group by that tell something: with several values, but not one for each request.
fn groups(profile: &Profile) -> impl Iterator<Item = &Grouping> {
    profile.by_group.iter().filter(|group| group.values > 1 && group.values * 2 <= profile.rows).take(MAX_GROUPS)
}

/// The chart of a figure that the question asks for.
fn figure_chart(number: usize, figure: &Figure) -> Option<Value> {
    let parts = &figure.parts[..figure.parts.len().min(if figure.is_time { 50 } else { MAX_BARS })];
    if figure.title.is_empty() || parts.len() < 2 {
        return None;
    }
    let (unit, factor) = match &figure.unit {
        Unit::Money(currency) => (currency.as_str(), 1.0),
        Unit::Share => ("%", 100.0),
        Unit::Millis => ("ms", 1.0),
        Unit::Count if matches!(figure.measure, Measure::Requests | Measure::Failures) => ("requests", 1.0),
        Unit::Count => ("tokens", 1.0),
    };
    let mut parts: Vec<_> = parts.iter().collect();
    if figure.is_time {
        // A chart over time is in order also where the answer is a ranking.
        parts.sort_by_key(|part| part.order);
    }
    let kind = if figure.is_time && parts.len() > 14 { "line" } else { "bar" };
    let labels: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let values = parts.iter().map(|part| part.value.map(|value| value * factor)).collect();
    Some(chart(
        &format!("answer-{}", number + 1),
        &figure.title,
        kind,
        unit,
        json!(labels),
        &[(figure.title.as_str(), values)],
    ))
}

/// The saving of each option, those that need a test apart.
fn savings_chart(analysis: &Analysis) -> Option<Value> {
    let options: Vec<_> = analysis.savings.options.iter().filter(|option| option.saving_usd > 0.0).collect();
    if options.is_empty() || !is_about_savings(&analysis.question) {
        return None;
    }
    let titles: Vec<&str> = options.iter().map(|option| option.title.as_str()).collect();
    let of = |quality: Quality| {
        options.iter().map(|option| (option.quality == quality).then_some(option.saving_usd)).collect::<Vec<_>>()
    };
    let series: Vec<(&str, Vec<Option<f64>>)> =
        [("Answers unchanged", of(Quality::Unchanged)), ("Only after a test", of(Quality::NeedsTest))]
            .into_iter()
            .filter(|(_, values)| values.iter().any(Option::is_some))
            .collect();
    Some(chart("savings", "What each option saves alone, at list prices", "bar", "USD", json!(titles), &series))
}

fn forecast_chart(analysis: &Analysis) -> Option<Value> {
    let forecast = analysis.forecast.as_ref().filter(|forecast| forecast.ahead.len() > 1)?;
    let labels: Vec<&str> = forecast.ahead.iter().map(|ahead| ahead.label.as_str()).collect();
    let mut series = vec![("As it is", forecast.ahead.iter().map(|ahead| Some(ahead.usd)).collect())];
    if analysis.savings.together_share > 0.0 {
        let saved = forecast.ahead.iter().map(|ahead| Some(ahead.usd_with_savings)).collect();
        series.push(("With savings that change no answer", saved));
    }
    Some(chart("forecast", "Cost of a month", "bar", &forecast.currency, json!(labels), &series))
}

/// The tables of an analysis: those that the question asks for first.
pub fn tables(analysis: &Analysis) -> Vec<Value> {
    let profile = &analysis.profile;
    let mut tables: Vec<Value> =
        analysis.figures.iter().enumerate().filter_map(|(n, figure)| figure_table(n, figure, profile)).collect();
    let only_figures = !analysis.figures.is_empty() && analysis.figures.len() == analysis.question.goals.len();
    if !analysis.question.unclear && !only_figures {
        for group in groups(profile) {
            let title = format!("By {}", group.name);
            tables.push(segment_table(&group.name, &title, &group.name, profile, &group.segments));
        }
        if profile.by_model.len() > 1 {
            tables.push(segment_table("models", "By model", "Model", profile, &profile.by_model));
        }
        tables.extend(percentile_table(profile));
    }
    if !analysis.ingest.first_bad.is_empty() {
        let rows: Vec<_> = analysis.ingest.first_bad.iter().map(|bad| json!([bad.line, bad.reason])).collect();
        let title = format!("The first of {} rows left out", whole(analysis.ingest.bad_rows as f64));
        tables.push(json!({"id": "bad-rows", "title": title, "columns": ["Line", "Reason"], "rows": rows}));
    }
    tables
}

/// The table of a figure that the question asks for.
fn figure_table(number: usize, figure: &Figure, profile: &Profile) -> Option<Value> {
    if figure.title.is_empty() {
        return None;
    }
    let shows_measure =
        !matches!(figure.measure, Measure::Cost | Measure::Tokens | Measure::Requests) || figure.unit == Unit::Share;
    let mut columns = vec![figure.by.clone()];
    if shows_measure {
        columns.push(figure.title.split(" by ").next().unwrap_or_default().to_owned());
    }
    columns.extend(["Requests", "Input", "Output", "Cost"].map(str::to_owned));
    let rows: Vec<Value> = figure
        .parts
        .iter()
        .take(50)
        .map(|part| {
            let tally = &part.tally;
            let mut cells = vec![json!(part.name)];
            if shows_measure {
                cells.push(json!(part.value.map_or_else(|| "–".into(), |value| figure.unit.format(value))));
            }
            let cost = tally.known_cost().filter(|_| profile.cost_basis != CostBasis::None);
            cells.extend([
                json!(tally.known_requests().map_or_else(|| "–".into(), |n| whole(n as f64))),
                json!(whole(tally.input as f64)),
                json!(whole(tally.output as f64)),
                json!(cost.map_or_else(|| "no price".into(), |cost| money_in(cost, &profile.currency))),
            ]);
            Value::from(cells)
        })
        .collect();
    Some(json!({"id": format!("answer-{}", number + 1), "title": figure.title, "columns": columns, "rows": rows}))
}

fn percentile_table(profile: &Profile) -> Option<Value> {
    let tokens: fn(f64) -> String = whole;
    let rows: Vec<Value> = [
        ("Input tokens", profile.input, tokens),
        ("Output tokens", profile.output, tokens),
        ("Latency", profile.latency, millis),
        ("Time to first token", profile.first_token, millis),
    ]
    .into_iter()
    .filter_map(|(name, stats, text)| Some((name, stats.filter(|stats| stats.count > 0)?, text)))
    .map(|(name, stats, text)| {
        json!([name, text(stats.mean), text(stats.p50), text(stats.p95), text(stats.p99), text(stats.max)])
    })
    .collect();
    let title = format!("A chat request that did not fail (percentiles by {})", super::stats::PERCENTILE_METHOD);
    (!rows.is_empty()).then(|| {
        json!({"id": "percentiles", "title": title, "columns": ["", "Mean", "p50", "p95", "p99", "Max"], "rows": rows})
    })
}

fn segment_table(id: &str, title: &str, first: &str, profile: &Profile, segments: &[Segment]) -> Value {
    let share = |n: f64, all: f64| if all > 0.0 { percent(n / all) } else { "–".into() };
    let rows: Vec<_> = segments
        .iter()
        .filter(|segment| segment.rows > 0)
        .take(MAX_ROWS)
        .map(|segment| {
            json!([
                segment.name,
                segment.known_requests().map_or_else(|| "–".into(), |n| whole(n as f64)),
                whole(segment.input as f64),
                whole(segment.output as f64),
                share(segment.tokens() as f64, profile.tokens()),
                cost_of(segment, profile),
                segment.known_cost().map_or_else(|| "–".into(), |cost| share(cost, profile.cost))
            ])
        })
        .collect();
    let columns = [first, "Requests", "Input", "Output", "Of tokens", "Cost", "Of cost"];
    json!({"id": id, "title": title, "columns": columns, "rows": rows})
}

fn chart(id: &str, title: &str, kind: &str, unit: &str, x: Value, series: &[(&str, Vec<Option<f64>>)]) -> Value {
    let series: Vec<_> = series.iter().map(|(name, values)| json!({"name": name, "values": values})).collect();
    json!({"id": id, "title": title, "kind": kind, "unit": unit, "x": x, "series": series})
}

fn values(segments: &[Segment], value: impl Fn(&Segment) -> Option<f64>) -> Vec<Option<f64>> {
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
