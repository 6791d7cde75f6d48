//! The answer to each goal of a question, in a sentence or two with figures.
//!
//! Guarantees: an answer says what the log cannot show, and which column would show it; a question that is not
//! understood is answered with one sentence that says so and what can be asked.

mod ahead;
mod savings;
mod speed;

pub use self::savings::in_short as savings_in_short;
use super::{
    analysis::Analysis,
    format::{decimal, inline_code, list, money, money_in, percent, timestamp, whole},
    goals::{Goal, Question, is_known_word, periods::Period, text::position_of},
    profile::{CostBasis, Profile, Segment},
};

/// One answer for each goal, in the order stated; an overview when the question asks for none in particular.
pub fn answers(analysis: &Analysis) -> Vec<String> {
    let question = &analysis.question;
    if question.unclear {
        return vec![cannot_answer(analysis)];
    }
    if question.goals.is_empty() {
        return vec![where_money_goes(analysis), savings::in_short(analysis)];
    }
    let mut figures = analysis.figures.iter();
    let mut tiers = analysis.tiers.iter();
    let mut answers: Vec<String> = question
        .goals
        .iter()
        .filter_map(|(goal, _)| match goal {
            Goal::Query(_) => figures.next().map(|figure| figure.answer.clone()),
            Goal::ServiceTier { .. } => tiers.next().map(savings::service_tier),
            goal => answer(analysis, goal),
        })
        .collect();
    answers.extend(not_limited(analysis));
    let parts: Vec<String> = question.not_understood.iter().map(|words| format!("“{words}”")).collect();
    if !parts.is_empty() {
        answers.push(format!(
            "**Not answered:** I do not understand {}. {}",
            list(&parts),
            what_can_be_asked(analysis)
        ));
    }
    answers
}

/// Says that answers about the whole log are not limited to what their words name: a user, a feature, last week.
fn not_limited(analysis: &Analysis) -> Option<String> {
    let about =
        |goal: &Goal| !matches!(goal, Goal::Query(_) | Goal::Budget { .. } | Goal::Growth { .. } | Goal::Forecast);
    let clauses: Vec<String> = (analysis.question.goals.iter())
        .filter(|(goal, _)| about(goal))
        .map(|(_, words)| words.to_lowercase())
        .collect();
    let is_named = |name: &str| {
        name.len() > 2 && !is_known_word(name) && clauses.iter().any(|clause| position_of(clause, name).is_some())
    };
    let mut named: Vec<String> = Vec::new();
    for group in &analysis.profile.by_group {
        let values = group.segments.iter().filter(|segment| is_named(&segment.name.to_lowercase()));
        named.extend(values.map(|segment| format!("{} {}", group.name, inline_code(&segment.name))));
    }
    named.extend(clauses.iter().filter_map(|clause| Period::find_words(clause)).map(|(_, words)| words.join(" ")));
    named.dedup();
    let rest = if named.is_empty() { return None } else { list(&named) };
    Some(format!("**Not limited:** savings, caching, speed and comparisons are of the whole log, not of {rest} alone."))
}

/// The answer to one goal; `None` for a forecast if the answer about growth or a budget includes it.
fn answer(analysis: &Analysis, goal: &Goal) -> Option<String> {
    let question = &analysis.question;
    Some(match goal {
        Goal::CutCost { by } => savings::cut_cost(analysis, *by),
        Goal::SameQuality => savings::same_quality(analysis),
        Goal::Faster { factor } => speed::faster(analysis, *factor),
        Goal::Latency => speed::latency(analysis),
        Goal::SameLatency => speed::same_latency(analysis),
        Goal::SameSpend => ahead::same_spend(analysis),
        Goal::Growth { .. } => ahead::growth(analysis),
        Goal::Forecast if question.growth().is_some() => return None,
        Goal::Forecast => ahead::growth(analysis),
        Goal::Budget { amount_a_month, currency } => ahead::budget(analysis, *amount_a_month, currency),
        Goal::AuditCaching => savings::caching(analysis),
        Goal::CompareModels { .. } => comparison(analysis),
        Goal::WhereTokensGo => where_tokens_go(analysis),
        Goal::Peaks => peaks(analysis),
        Goal::CheaperModel => savings::one_option(analysis, "cheaper_model", "A cheaper model"),
        Goal::Batch => savings::one_option(analysis, "batch", "Batch prices"),
        Goal::Query(_) | Goal::ServiceTier { .. } => return None,
    })
}

/// Whether the answers to a question hold what can be saved, or what to change.
pub fn is_about_savings(question: &Question) -> bool {
    let about = |goal: &Goal| {
        matches!(
            goal,
            Goal::CutCost { .. }
                | Goal::SameQuality
                | Goal::SameSpend
                | Goal::Faster { .. }
                | Goal::SameLatency
                | Goal::WhereTokensGo
                | Goal::AuditCaching
                | Goal::CheaperModel
                | Goal::Batch
                | Goal::Budget { .. }
        )
    };
    !question.unclear && (question.goals.is_empty() || question.has_goal(about))
}

/// The cost of a log with what it rests on: `$12.34 at list prices`, `no price`.
pub fn cost_with_basis(profile: &Profile) -> String {
    let amount = money_in(profile.cost, &profile.currency);
    match profile.cost_basis {
        CostBasis::None => "no price".into(),
        CostBasis::Logged => format!("{amount} as logged"),
        CostBasis::Mixed => format!("{amount} as logged, at list prices where the log has no cost"),
        CostBasis::List => format!("{amount} at list prices"),
    }
}

/// The cost of a part of the log: `$1.23`, or `no price`.
pub fn cost_of(segment: &Segment, profile: &Profile) -> String {
    let known = segment.known_cost().filter(|cost| *cost > 0.0 || profile.cost_basis != CostBasis::None);
    known.map_or_else(|| "no price".into(), |cost| money_in(cost, &profile.currency))
}

fn cannot_answer(analysis: &Analysis) -> String {
    format!("I do not understand this question, so I cannot answer it. {}", what_can_be_asked(analysis))
}

fn what_can_be_asked(analysis: &Analysis) -> String {
    let profile = &analysis.profile;
    let mut parts: Vec<String> = profile.by_group.iter().take(4).map(|group| group.name.clone()).collect();
    if profile.by_model.len() > 1 {
        parts.push("model".into());
    }
    if profile.from_ms.is_some() {
        parts.extend(["day".into(), "hour".into()]);
    }
    let by = if parts.is_empty() { String::new() } else { format!(" (by {})", list(&parts)) };
    format!(
        "You can ask for cost, tokens, requests, failures or latency{by}, what another model or a service tier would \
        cost, what a \
         month or growth will cost, how caching is used, when the peaks are, and how to cut cost."
    )
}

/// Where the money goes: by model, and by the columns to group by.
pub fn where_money_goes(analysis: &Analysis) -> String {
    let profile = &analysis.profile;
    let by_cost = profile.cost > 0.0;
    let known = if profile.unpriced_tokens > 0 { "known cost" } else { "cost" };
    let (of, all) = if by_cost { (known, profile.cost) } else { ("tokens", profile.tokens()) };
    let amount = |segment: &Segment| if by_cost { segment.cost } else { segment.tokens() as f64 };
    let share = |segment: &Segment| percent(amount(segment) / all.max(f64::MIN_POSITIVE));
    let mut parts = Vec::new();
    if let [first, _, ..] = profile.by_model.as_slice() {
        parts.push(format!("model {} {}", inline_code(&first.name), share(first)));
    }
    for group in profile.by_group.iter().filter(|group| group.values > 1).take(2) {
        if let Some(first) = group.segments.first() {
            parts.push(format!("{} {} {}", group.name, inline_code(&first.name), share(first)));
        }
    }
    if let Some(day) = profile.dearest_day().filter(|_| profile.by_day.len() > 1) {
        parts.push(format!("the day {} {}", day.name, share(day)));
    }
    let output = profile.output_tokens as f64 / profile.tokens().max(1.0);
    let output = match profile.output_known && profile.input_known {
        true => format!("{} of the tokens are output", percent(output)),
        false => String::new(),
    };
    let largest = match parts.as_slice() {
        [] => String::new(),
        [one] => format!("the largest share of the {of} is {one}"),
        parts => format!("the largest shares of the {of} are {}", list(parts)),
    };
    let text = [largest, output].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        return "**Where it goes:** the log names no parts to compare.".into();
    }
    format!("**Where it goes:** {text}.")
}

fn where_tokens_go(analysis: &Analysis) -> String {
    let profile = &analysis.profile;
    let tokens = profile.tokens();
    let mut text = where_money_goes(analysis);
    if profile.input_known && profile.output_known {
        text += &format!(
            " {} of {} tokens are input.",
            percent(profile.input_tokens as f64 / tokens.max(1.0)),
            whole(tokens)
        );
    }
    if let Some(size) = profile.by_size.iter().max_by_key(|segment| segment.tokens()).filter(|size| size.requests > 0) {
        text += &format!(
            " Prompts of {} tokens take {} of all tokens in {} of {} requests.",
            size.name,
            percent(size.tokens() as f64 / tokens.max(1.0)),
            whole(size.requests as f64),
            whole(profile.requests.unwrap_or(profile.rows) as f64)
        );
    }
    if let Some(heaviest) = profile.heaviest {
        text += &format!(
            " The heaviest 10 % of requests take {} of the tokens; the dearest 10 % take {} of the cost.",
            percent(heaviest.tokens_top_10),
            percent(heaviest.cost_top_10)
        );
    }
    text
}

fn comparison(analysis: &Analysis) -> String {
    let question = &analysis.question;
    let mut text = String::new();
    if !question.unknown_models.is_empty() {
        let names: Vec<String> = question.unknown_models.iter().map(|name| inline_code(name)).collect();
        text += &format!("**Models:** the price list has no {}. ", list(&names));
        if question.models.is_empty() {
            return text + "Name it as its provider does, or give a price file.";
        }
    }
    let mut compared: Vec<_> = analysis.compared.iter().collect();
    compared.sort_by(|a, b| a.usd.total_cmp(&b.usd));
    let (Some(low), Some(high)) = (compared.first(), compared.last()) else {
        return text + "**Models:** the log lacks the tokens that a price needs.";
    };
    let before = analysis.compared_with.filter(|cost| *cost > 0.0 && analysis.assumed_model.is_none());
    let now = match before {
        Some(cost) => format!(" ({} at list prices as they were)", money(cost)),
        // Nothing was priced before the question named a model.
        _ if analysis.assumed_model.is_some() => String::new(),
        None => " (some of them have no price now, so there is nothing to compare that with)".to_owned(),
    };
    // "What would it cost on X?" is answered with X, not with all models.
    let named: Vec<_> = compared.iter().filter(|model| question.models.contains(&model.model)).collect();
    let shown: Vec<String> = match named.as_slice() {
        [one] => vec![format!("{} with {}", money(one.usd), one.model)],
        _ => compared.iter().map(|model| format!("{} with {}", money(model.usd), model.model)).collect(),
    };
    let ratio = match named.as_slice() {
        [one] if before.is_some() => {
            let change = before.map_or(0.0, |cost| one.usd / cost - 1.0);
            format!(" That is {} {}.", percent(change.abs()), if change < 0.0 { "less" } else { "more" })
        }
        [_] => String::new(),
        _ if low.usd > 0.0 && compared.len() > 1 => {
            format!(" {} costs {:.1} times as much as {}.", high.model, high.usd / low.usd, low.model)
        }
        _ => String::new(),
    };
    text + &format!(
        "**Models:** the log's chat requests would cost {}{now}.{ratio} Token counts are taken as they are: another \
        model may count \
         and write more or less, and a log of counts cannot show which answers better.",
        list(&shown)
    )
}

fn peaks(analysis: &Analysis) -> String {
    let profile = &analysis.profile;
    let Some(load) = &profile.load else {
        return if profile.from_ms.is_some() {
            "**Peaks:** the rows are sums of longer periods, so single minutes are not known."
        } else {
            "**Peaks:** the log has no times. Add a `timestamp` column."
        }
        .into();
    };
    let hour = profile.by_hour.iter().max_by_key(|segment| segment.requests);
    let hour = hour.map_or_else(String::new, |hour| {
        format!(
            " The busiest hour of the day is {} ({}), with {} requests.",
            hour.name,
            profile.time_zone,
            whole(hour.requests as f64)
        )
    });
    let (most, p99) = (whole(load.peak_tokens.0 as f64), whole(load.p99_tokens as f64));
    let limit = match p99 == most {
        true => format!("A limit of {most} tokens a minute serves all of them."),
        false => format!("A limit of {p99} tokens a minute serves 99 % of the minutes, {most} serves them all."),
    };
    format!(
        "**Peaks:** the busiest minute has {} tokens ({}), the busiest by requests {} ({}); the mean minute has {} \
        tokens and {} requests. {limit}{hour}",
        most,
        timestamp(load.peak_tokens.1),
        whole(load.peak_requests.0 as f64),
        timestamp(load.peak_requests.1),
        whole(load.mean_tokens),
        if load.mean_requests < 1.0 { decimal(load.mean_requests) } else { whole(load.mean_requests) }
    )
}

#[cfg(test)]
mod tests;
