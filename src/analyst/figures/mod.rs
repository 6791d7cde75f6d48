//! Figures of the log that a question asks for: sums, means, percentiles, shares and rankings over the rows that it
//! means.
//!
//! Guarantees: a figure is limited to what the words name (a user, a model, failed requests, a period); a word that
//! names nothing in the log is stated before the figure; a cost that is not known is "no price", never 0; what the
//! log cannot answer is one sentence that says why.

mod scope;
mod tally;
mod wording;

pub use self::tally::Tally;
use self::{
    scope::{Scope, find_key},
    tally::{Summing, Sums},
};
use super::{
    dataset::{Dataset, Tier},
    format::{capital, millis, money_in, percent, whole},
    goals::{
        Goal, Query, Question,
        query::{Form, Measure, Part},
    },
    ingest::StopFn,
    pricing::{Pricing, Tokens},
    profile::Costs,
    zones::Zone,
};

/// Most parts of a figure; a question can ask for fewer.
const MAX_PARTS: usize = 50;

/// The unit of a figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unit {
    /// Money in a currency (ISO 4217).
    Money(String),
    /// A number of tokens, requests or values.
    Count,
    /// A share from 0 to 1.
    Share,
    /// Milliseconds.
    Millis,
}

impl Unit {
    /// A value of this unit for people.
    pub fn format(&self, value: f64) -> String {
        match self {
            Self::Money(currency) => money_in(value, currency),
            Self::Count if value.fract().abs() > 1e-9 && value < 100.0 => format!("{value:.1}"),
            Self::Count => whole(value),
            Self::Share => percent(value),
            Self::Millis => millis(value),
        }
    }
}

/// A part of a figure: of one user, one day.
#[derive(Debug, Clone, PartialEq)]
pub struct FigurePart {
    /// Its name.
    pub name: String,
    /// Its place in time, for parts that have one.
    pub order: i64,
    /// Its figure; `None` if it is not known.
    pub value: Option<f64>,
    /// Its sums.
    pub tally: Tally,
}

/// The answer to a question for a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The answer in a few sentences of Markdown.
    pub answer: String,
    /// A title of its chart and table: `Cost by user`; empty if it has none.
    pub title: String,
    /// What it is grouped by, in the singular; empty if it is one number.
    pub by: String,
    /// Whether the parts have an order in time.
    pub is_time: bool,
    /// What is measured.
    pub measure: Measure,
    /// The currency of costs (ISO 4217).
    pub currency: String,
    /// The unit of the values.
    pub unit: Unit,
    /// The figure without groups; `None` if it is not known.
    pub value: Option<f64>,
    /// The parts: in time, or the highest (or lowest) first.
    pub parts: Vec<FigurePart>,
    /// Number of parts, also of those that are not in `parts`.
    pub parts_in_all: usize,
}

impl Figure {
    /// A figure that the log cannot answer, and why.
    fn unknown(query: &Query, why: &str) -> Self {
        Self {
            answer: format!("**{}:** {why}", capital(&query.measure.label())),
            title: String::new(),
            by: String::new(),
            is_time: false,
            measure: query.measure,
            currency: String::new(),
            unit: Unit::Count,
            value: None,
            parts: Vec::new(),
            parts_in_all: 0,
        }
    }
}

/// The figures that a question asks for, in order. A stopped computation returns those that are done.
pub fn compute(data: &Dataset, pricing: &Pricing, question: &Question, stop: StopFn<'_>) -> Vec<Figure> {
    if question.queries().next().is_none() {
        return Vec::new();
    }
    let costs = Costs::compute(data, pricing);
    // Dates without a time of day are days of their own zone; they do not move into another one.
    let dates_only = (0..data.len()).filter_map(|i| data.time(i)).all(|time| time.rem_euclid(scope::DAY) == 0);
    let zone = if dates_only { &Zone::default() } else { &question.zone };
    let mut figures = Vec::new();
    for query in question.queries() {
        if stop() {
            break;
        }
        let figure = figure(data, pricing, &costs, query, zone);
        figures.push(figure.unwrap_or_else(|why| Figure::unknown(query, &why)));
    }
    figures
}

/// What the log's requests would cost at another service tier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TierCost {
    /// The tier.
    pub tier: Tier,
    /// US dollars at list prices, each request at the service tier that it used.
    pub usd_now: f64,
    /// US dollars if each request whose model has a price at this tier were made at it.
    pub usd: f64,
    /// Share of the list cost of these requests, from 0 to 1.
    pub share: f64,
}

/// The cost at each service tier that the question names.
pub fn tier_costs(data: &Dataset, pricing: &Pricing, question: &Question) -> Vec<TierCost> {
    let tiers = question.goals.iter().filter_map(|(goal, _)| match goal {
        Goal::ServiceTier { tier } => Some(*tier),
        _ => None,
    });
    tiers.map(|tier| tier_cost(data, pricing, tier)).collect()
}

fn tier_cost(data: &Dataset, pricing: &Pricing, tier: Tier) -> TierCost {
    let (mut usd_now, mut usd, mut with_tier) = (0.0, 0.0, 0.0);
    for i in 0..data.len() {
        let Some(price) = pricing.price(data, i) else { continue };
        let now = pricing.cost(data, i);
        let has_tier = price.has_tier(tier) && data.tier(i) == Tier::Standard;
        usd_now += now;
        with_tier += if has_tier { now } else { 0.0 };
        usd += if has_tier { Pricing::cost_with(price, data, i, &Tokens::from_row(data, i), tier) } else { now };
    }
    TierCost { tier, usd_now, usd, share: if usd_now > 0.0 { with_tier / usd_now } else { 0.0 } }
}

fn figure(data: &Dataset, pricing: &Pricing, costs: &Costs, query: &Query, zone: &Zone) -> Result<Figure, String> {
    check_columns(data, costs, query)?;
    let key = query.by.as_ref().map(|by| find_key(data, by, zone)).transpose()?;
    let scope = Scope::find(data, pricing, query, zone)?;
    let sums = Summing { data, pricing, costs, zone, measure: query.measure }.run(&scope, key);
    if sums.meant.rows == 0 {
        let limits = scope.described.join(", ");
        return Err(format!(
            "The log has no such rows{}.",
            if limits.is_empty() { limits } else { format!(" ({limits})") }
        ));
    }
    let unit = match (query.measure, query.form) {
        (_, Form::Share) => Unit::Share,
        (Measure::Cost, _) => Unit::Money(costs.currency().to_owned()),
        (Measure::CostOf(_), _) => Unit::Money(super::dataset::DOLLARS.to_owned()),
        (measure, _) if measure.is_duration() => Unit::Millis,
        _ => Unit::Count,
    };
    let largest = match query.form {
        Form::Largest if data.present().sums => return Err("The rows of the log are sums of requests.".into()),
        Form::Largest => Summing { data, pricing, costs, zone, measure: query.measure }.largest(&scope),
        _ => None,
    };
    let value = match largest {
        Some((_, value)) => Some(value),
        None => value_of(query, &sums.meant, &sums.whole, sums.parts.len()),
    };
    let (parts, parts_in_all) = parts_of(query, &sums);
    let by = query.by.as_ref().map_or("", |by| by.label());
    let by = match key {
        Some(scope::Key::Group(at)) => data.groups[at].name.as_str(),
        _ => by,
    };
    let title =
        if by.is_empty() || query.measure == Measure::Distinct { String::new() } else { wording::title(query, by) };
    let mut figure = Figure {
        answer: String::new(),
        title,
        by: by.to_owned(),
        is_time: query.by.as_ref().is_some_and(|by| by.is_time()),
        measure: query.measure,
        currency: costs.currency().to_owned(),
        unit,
        value,
        parts,
        parts_in_all,
    };
    let mixed = query.measure == Measure::Cost && figure.value.is_some() && costs.are_mixed();
    figure.answer = match largest {
        Some((row, _)) => wording::largest(query, &figure, &scope, data, row),
        None => wording::answer(query, &figure, &scope, &sums, zone),
    };
    if mixed {
        figure.answer += " Where the log has no cost, list prices are counted.";
    }
    Ok(figure)
}

/// The parts of a figure: in time, or the highest (or lowest) first; and their number.
fn parts_of(query: &Query, sums: &Sums) -> (Vec<FigurePart>, usize) {
    if query.measure == Measure::Distinct {
        return (Vec::new(), sums.parts.len());
    }
    let mut parts: Vec<FigurePart> = sums
        .parts
        .iter()
        .map(|(order, name, tally)| {
            let value = value_of_part(query, tally, &sums.whole);
            FigurePart { name: name.clone(), order: *order, value, tally: tally.clone() }
        })
        .collect();
    let is_time = query.by.as_ref().is_some_and(|by| by.is_time());
    let (lowest, top) = match query.form {
        Form::Ranked { top, lowest } => (lowest, top),
        _ => (false, None),
    };
    if !is_time || matches!(query.form, Form::Ranked { .. }) {
        // A part without a figure comes last.
        parts.sort_by(|a, b| match (a.value, b.value) {
            (Some(a), Some(b)) if lowest => a.total_cmp(&b),
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
    }
    let count = parts.len();
    parts.truncate(top.unwrap_or(MAX_PARTS).max(1));
    (parts, count)
}

/// Says why the columns of the log do not show a measure.
fn check_columns(data: &Dataset, costs: &Costs, query: &Query) -> Result<(), String> {
    let present = data.present();
    let lacks = |name: &str, column: &str| Err(format!("The log has no {name}. Add a column such as `{column}`."));
    match query.measure {
        Measure::Cost if costs.cannot_be_added() => {
            Err("The log has costs in several currencies, which I do not add up.".into())
        }
        Measure::Latency | Measure::FirstToken if present.sums => {
            Err("The rows of the log are sums of requests, so durations of single requests are not known.".into())
        }
        Measure::Tokens if !present.input && !present.output => lacks("tokens", "input_tokens"),
        Measure::Latency if !present.latency => lacks("latency", "latency_ms"),
        Measure::FirstToken if !present.first_token => lacks("time to first token", "time_to_first_token_ms"),
        Measure::Failures if !present.failed => lacks("sign of which requests failed", "status"),
        Measure::TokensOf(part) | Measure::CostOf(part) => match part {
            Part::Input if !present.input => lacks("input tokens", "input_tokens"),
            Part::Output if !present.output => lacks("output tokens", "output_tokens"),
            Part::Cached if !present.cached => lacks("cached tokens", "cached_tokens"),
            Part::CacheWrite if !present.cache_write => lacks("cache writes", "cache_write_tokens"),
            Part::Reasoning if !present.reasoning => lacks("reasoning tokens", "reasoning_tokens"),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The figure of all rows that are meant.
fn value_of(query: &Query, meant: &Tally, whole: &Tally, values: usize) -> Option<f64> {
    match (query.measure, query.form) {
        (Measure::Distinct, _) => Some(values as f64),
        (measure, Form::MeanOfValues) if values > 0 => Some(meant.sum(measure)? / values as f64),
        _ => value_of_part(query, meant, whole),
    }
}

/// The figure of some rows.
fn value_of_part(query: &Query, tally: &Tally, whole: &Tally) -> Option<f64> {
    let measure = query.measure;
    if measure.is_duration() {
        return match query.form {
            Form::Percentile(p) => tally.percentile(p),
            Form::Mean | Form::MeanOfValues => tally.mean_duration(),
            _ => tally.percentile(50),
        };
    }
    match query.form {
        Form::Share => share_of(measure, tally, whole),
        Form::Mean => {
            let requests = tally.known_requests().filter(|n| *n > 0)?;
            Some(tally.sum(measure)? / requests as f64)
        }
        _ => tally.sum(measure),
    }
}

/// What a measure is a share of: output of tokens, cached of input, reasoning of output, failures of requests; all
/// else of the same measure of the whole.
fn share_of(measure: Measure, tally: &Tally, whole: &Tally) -> Option<f64> {
    let of = base_of_share(measure, tally, whole)?;
    Some(tally.sum(measure)? / of).filter(|share| share.is_finite())
}

/// See [`share_of`].
fn base_of_share(measure: Measure, tally: &Tally, whole: &Tally) -> Option<f64> {
    match measure {
        Measure::TokensOf(Part::Input | Part::Output) => Some(tally.tokens() as f64),
        Measure::TokensOf(Part::Cached | Part::CacheWrite) => Some(tally.input as f64),
        Measure::TokensOf(Part::Reasoning) => Some(tally.output as f64),
        Measure::CostOf(_) => Some(tally.list_cost),
        Measure::Failures => tally.known_requests().map(|n| n as f64),
        measure => whole.sum(measure),
    }
}
