//! The answers to questions for figures, in sentences.

use super::{Figure, FigurePart, Sums, Tally, Unit, base_of_share, scope::Scope};
use crate::analyst::{
    dataset::{DOLLARS, Dataset, Kind},
    format::{capital, counted, inline_code, millis, percent, timestamp, whole},
    goals::{
        Query,
        query::{Form, Measure, Part},
    },
    zones::Zone,
};

/// How many parts an answer names, unless the question asks for more.
const NAMED: usize = 4;

/// The plural of a dimension: `users`, `days of the week`.
fn plural(name: &str) -> String {
    match name.split_once(" of ") {
        Some((noun, rest)) => format!("{noun}s of {rest}"),
        None if name.ends_with('s') => format!("{name}es"),
        None if name.ends_with('y') && !name.ends_with("ay") && !name.ends_with("ey") => {
            format!("{}ies", name.trim_end_matches('y'))
        }
        None => format!("{name}s"),
    }
}

/// The kind of request in the plural.
pub(super) fn plural_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Chat => "chat requests",
        Kind::Embedding => "embeddings",
        Kind::Image => "image requests",
        Kind::Audio => "audio requests",
        Kind::Other => "other requests",
    }
}

/// `Cost by user`.
pub(super) fn title(query: &Query, by: &str) -> String {
    let measure = query.measure.label();
    let what = match query.form {
        Form::Share => format!("Share of {measure}"),
        Form::Mean => format!("Mean {measure} of a request"),
        Form::Percentile(p) => format!("p{p} {measure}"),
        _ if query.measure.is_duration() => format!("Median {measure}"),
        _ => capital(&measure),
    };
    format!("{what} by {by}")
}

/// The answer: what limits the figure, the figure, and what it lacks.
pub(super) fn answer(query: &Query, figure: &Figure, scope: &Scope, sums: &Sums, zone: &Zone) -> String {
    let mut limits = scope.described.clone();
    if (figure.is_time || query.period.is_some()) && zone.name != "UTC" {
        limits.push(zone.name.clone());
    }
    let limits = if limits.is_empty() { String::new() } else { format!(" ({})", limits.join(", ")) };
    let mut text: String = scope.caveats.iter().map(|caveat| format!("{caveat} ")).collect();
    text += &match (query.form, figure.by.is_empty()) {
        _ if query.measure == Measure::Distinct => distinct(figure, sums, &limits),
        (Form::MeanOfValues, false) => mean_of_values(query, figure, sums, &limits),
        (_, true) => single(query, figure, scope, sums, &limits),
        (Form::Ranked { lowest, .. }, false) => ranked(query, figure, sums, &limits, lowest),
        (_, false) => listed(query, figure, sums, &limits),
    };
    text + &lacking(query, figure, sums)
}

/// The single request with the highest figure, with what the log says about it.
pub(super) fn largest(query: &Query, figure: &Figure, scope: &Scope, data: &Dataset, row: usize) -> String {
    let mut about = Vec::new();
    if let Some(model) = data.models.get(data.model_index(row)) {
        about.push(inline_code(model));
    }
    about.extend(data.time(row).map(timestamp));
    about.push(format!("{} input and {} output tokens", whole(data.input[row] as f64), whole(data.output[row] as f64)));
    let groups = data.groups.iter().filter_map(|column| Some((column.name.as_str(), column.value(row)?)));
    about.extend(groups.take(3).map(|(name, value)| format!("{name} {}", inline_code(value))));
    let limits = if scope.described.is_empty() { String::new() } else { format!(" ({})", scope.described.join(", ")) };
    let caveats: String = scope.caveats.iter().map(|caveat| format!("{caveat} ")).collect();
    let value = figure.value.map_or_else(String::new, |value| figure.unit.format(value));
    let order = if matches!(query.measure, Measure::Tokens | Measure::TokensOf(_)) { "most" } else { "highest" };
    let measure = query.measure.label();
    format!("{caveats}**Request with the {order} {measure}{limits}:** {value} ({}).", about.join(", "))
}

fn distinct(figure: &Figure, sums: &Sums, limits: &str) -> String {
    let count = figure.value.unwrap_or(0.0);
    format!(
        "**{}{limits}:** {} {}, in {} rows.",
        capital(&plural(&figure.by)),
        whole(count),
        if count == 1.0 { figure.by.clone() } else { plural(&figure.by) },
        whole((sums.meant.rows - sums.without.rows) as f64)
    )
}

fn mean_of_values(query: &Query, figure: &Figure, sums: &Sums, limits: &str) -> String {
    let by = &figure.by;
    let measure = capital(&query.measure.label());
    let (Some(mean), Some(sum)) = (figure.value, sums.meant.sum(query.measure)) else {
        return format!("**{measure} of a {by}{limits}:** {}.", not_known(query, &sums.meant));
    };
    format!(
        "**{measure} of a {by}, on average{limits}:** {} ({} for {} {}). Highest: {}.",
        figure.unit.format(mean),
        figure.unit.format(sum),
        whole(figure.parts_in_all as f64),
        plural(by),
        name_parts(query, &highest_first(figure), sums, 1)
    )
}

/// The same figure with its highest part first: days are in time.
fn highest_first(figure: &Figure) -> Figure {
    let mut figure = figure.clone();
    let amount = |part: &FigurePart| part.value.unwrap_or(f64::NEG_INFINITY);
    figure.parts.sort_by(|a, b| amount(b).total_cmp(&amount(a)));
    figure
}

/// One number, with what it is part of.
fn single(query: &Query, figure: &Figure, scope: &Scope, sums: &Sums, limits: &str) -> String {
    let measure = query.measure.label();
    let meant = &sums.meant;
    let heading = match query.form {
        Form::Share => format!("Share of {measure}"),
        Form::Mean => format!("Mean {measure} of a request"),
        Form::Percentile(p) => format!("p{p} {measure}"),
        _ => capital(&measure),
    };
    let Some(value) = figure.value else { return format!("**{heading}{limits}:** {}.", not_known(query, &sums.meant)) };
    let shown = figure.unit.format(value);
    let rest = match (query.measure, query.form) {
        (measure, Form::Percentile(_)) if measure.is_duration() => {
            format!(" over {} requests", whole(meant.durations() as f64))
        }
        (measure, Form::Mean) if measure.is_duration() => format!(" over {} requests", whole(meant.durations() as f64)),
        (measure, _) if measure.is_duration() => durations(meant),
        (measure, Form::Share) => share(measure, figure, sums),
        (measure, Form::Mean) => format!(
            " ({} for {} requests){}",
            sum_unit(query, figure).format(meant.sum(measure).unwrap_or_default()),
            whole(meant.requests as f64),
            if measure == Measure::Cost {
                format!(", {} for 1,000", figure.unit.format(value * 1000.0))
            } else {
                String::new()
            }
        ),
        (Measure::Cost, _) => format!(" for {}{}", volume(meant), of_whole(query, figure, scope, sums)),
        (Measure::CostOf(part), _) => format!(
            " of {} at list prices ({}), for {} {} tokens",
            figure.unit.format(meant.list_cost),
            percent(value / meant.list_cost.max(f64::MIN_POSITIVE)),
            whole(meant.part(part) as f64),
            part.label()
        ),
        (Measure::Tokens, _) => format!(
            " ({} input, {} output){}",
            whole(meant.input as f64),
            whole(meant.output as f64),
            of_whole(query, figure, scope, sums)
        ),
        (Measure::TokensOf(_) | Measure::Failures, _) => share(query.measure, figure, sums),
        _ => of_whole(query, figure, scope, sums),
    };
    let shown =
        if query.measure.is_duration() && query.form == Form::Total { format!("{shown} at the median") } else { shown };
    format!("**{heading}{limits}:** {shown}{rest}.")
}

fn durations(tally: &Tally) -> String {
    let at = |p| tally.percentile(p).map_or_else(String::new, millis);
    format!(", {} at p95, {} at p99, over {} requests", at(95), at(99), whole(tally.durations() as f64))
}

/// What a share is taken of: `(1,200 of 4,800 input tokens)`.
fn share(measure: Measure, figure: &Figure, sums: &Sums) -> String {
    let (Some(sum), Some(of)) = (sums.meant.sum(measure), base_of_share(measure, &sums.meant, &sums.whole)) else {
        return String::new();
    };
    let unit = match measure {
        Measure::Cost => Unit::Money(figure.currency.clone()),
        Measure::CostOf(_) => Unit::Money(DOLLARS.to_owned()),
        _ => Unit::Count,
    };
    let amount = |value: f64| unit.format(value);
    let part = match figure.unit {
        Unit::Share => String::new(),
        _ => format!(", {}", percent(sum / of.max(f64::MIN_POSITIVE))),
    };
    match measure {
        Measure::TokensOf(part_of) => {
            let base = match part_of {
                Part::Input | Part::Output => "tokens",
                Part::Reasoning => "output tokens",
                _ => "input tokens",
            };
            format!(" ({} of {} {base}{part})", amount(sum), amount(of))
        }
        Measure::Failures => format!(" ({} of {} requests{part})", amount(sum), amount(of)),
        _ => format!(" ({} of {})", amount(sum), amount(of)),
    }
}

/// `, 12.0 % of the log's $30.00` for a figure of some of the rows.
fn of_whole(query: &Query, figure: &Figure, scope: &Scope, sums: &Sums) -> String {
    let (Some(value), Some(of)) = (figure.value, sums.whole.sum(query.measure)) else { return String::new() };
    if scope.is_all() || of <= 0.0 {
        return String::new();
    }
    format!(", {} of {}", percent(value / of), figure.unit.format(of))
}

/// `1,234 requests and 45,678 tokens`.
fn volume(tally: &Tally) -> String {
    let tokens = whole(tally.tokens() as f64);
    match tally.known_requests() {
        Some(requests) => format!("{} and {tokens} tokens", counted(requests, "request")),
        None => format!("{tokens} tokens"),
    }
}

/// The unit of the sum of a measure, where the figure is a mean of it.
fn sum_unit(query: &Query, figure: &Figure) -> Unit {
    match query.measure {
        Measure::Cost | Measure::CostOf(_) => figure.unit.clone(),
        _ => Unit::Count,
    }
}

fn ranked(query: &Query, figure: &Figure, sums: &Sums, limits: &str, lowest: bool) -> String {
    let top = match query.form {
        Form::Ranked { top, .. } => top,
        _ => None,
    };
    let counts =
        matches!(query.measure, Measure::Requests | Measure::Failures | Measure::Tokens | Measure::TokensOf(_));
    let order = match (counts, lowest) {
        (true, true) => "fewest",
        (true, false) => "most",
        (false, true) => "lowest",
        (false, false) => "highest",
    };
    let measure =
        if query.measure.is_duration() { format!("median {}", query.measure.label()) } else { query.measure.label() };
    if figure.parts.iter().all(|part| part.value.is_none()) {
        return format!("**{} by {}{limits}:** {}.", capital(&measure), figure.by, not_known(query, &sums.meant));
    }
    let more = figure.parts_in_all.saturating_sub(figure.parts.len().min(top.unwrap_or(NAMED)));
    let more = if more > 0 {
        format!(" {} {} in all.", whole(figure.parts_in_all as f64), plural(&figure.by))
    } else {
        String::new()
    };
    format!(
        "**{} with the {order} {measure}{limits}:** {}.{more}",
        capital(&if top.is_some_and(|top| top > 1) { plural(&figure.by) } else { figure.by.clone() }),
        name_parts(query, figure, sums, top.unwrap_or(NAMED).min(10))
    )
}

fn listed(query: &Query, figure: &Figure, sums: &Sums, limits: &str) -> String {
    if figure.parts.iter().all(|part| part.value.is_none()) {
        return format!("**{}{limits}:** {}.", figure.title, not_known(query, &sums.meant));
    }
    if !figure.is_time || figure.parts.len() <= NAMED {
        let named = name_parts(query, figure, sums, NAMED);
        let more = figure.parts_in_all.saturating_sub(NAMED);
        let more = if more > 0 { format!(" {} more in the table.", whole(more as f64)) } else { String::new() };
        return format!("**{}{limits}:** {named}.{more}", figure.title);
    }
    let known = || figure.parts.iter().filter_map(|part| Some((part, part.value?)));
    let (high, low) = (known().max_by(|a, b| a.1.total_cmp(&b.1)), known().min_by(|a, b| a.1.total_cmp(&b.1)));
    let all = figure.value.filter(|_| !query.measure.is_duration());
    let all = all.map_or_else(String::new, |value| format!("{} in all; ", figure.unit.format(value)));
    match (high, low) {
        (Some((high, most)), Some((low, least))) => format!(
            "**{}{limits}:** {all}highest {} ({}), lowest {} ({}), over {} {}.",
            figure.title,
            figure.unit.format(most),
            high.name,
            figure.unit.format(least),
            low.name,
            figure.parts_in_all,
            plural(&figure.by)
        ),
        _ => String::new(),
    }
}

/// The first parts with their figures: `` `ada` $3.00 (30.0 %), `ben` $2.00 (20.0 %) ``.
fn name_parts(query: &Query, figure: &Figure, sums: &Sums, count: usize) -> String {
    let whole_sum = sums.meant.sum(query.measure).filter(|sum| *sum > 0.0);
    let additive = matches!(query.form, Form::Ranked { .. } | Form::Listed | Form::Total | Form::MeanOfValues);
    let named = figure.parts.iter().take(count).map(|part| {
        let name = if figure.is_time { part.name.clone() } else { inline_code(&part.name) };
        match (part.value, whole_sum) {
            (None, _) => format!("{name} no price"),
            (Some(value), Some(sum)) if additive && !query.measure.is_duration() => {
                format!("{name} {} ({})", figure.unit.format(value), percent(value / sum))
            }
            (Some(value), _) => format!("{name} {}", figure.unit.format(value)),
        }
    });
    named.collect::<Vec<_>>().join(", ")
}

/// Why there is no figure.
fn not_known(query: &Query, meant: &Tally) -> &'static str {
    match query.measure {
        Measure::Cost | Measure::CostOf(_) if query.form == Form::Mean && meant.sum(query.measure).is_some() => {
            "not known, because rows are sums of an unknown number of requests"
        }
        Measure::Cost | Measure::CostOf(_) => {
            "no price, because the log has no cost and the price list does not have its models"
        }
        Measure::Latency | Measure::FirstToken => "no such request has a duration in the log",
        _ => "not known, because rows are sums of an unknown number of requests",
    }
}

/// What the figure lacks: tokens without a price, rows without a value.
fn lacking(query: &Query, figure: &Figure, sums: &Sums) -> String {
    let mut text = String::new();
    let meant = &sums.meant;
    if query.measure == Measure::Cost && meant.unpriced_tokens > 0 && meant.known_cost().is_some() {
        text += &format!(
            " {} of {} tokens ({}) have no price and are not in it.",
            whole(meant.unpriced_tokens as f64),
            whole(meant.tokens() as f64),
            percent(meant.unpriced_tokens as f64 / (meant.tokens() as f64).max(1.0))
        );
    }
    if query.failed == Some(true) && query.measure == Measure::Cost && meant.known_cost() == Some(0.0) {
        text += " The log gives their cost as 0.";
    }
    if !figure.by.is_empty() && sums.without.rows > 0 && figure.parts_in_all > 0 {
        text += &format!(" {} rows have no {}.", whole(sums.without.rows as f64), figure.by);
    }
    text
}
