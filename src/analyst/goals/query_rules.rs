//! The rules for questions for a figure: "which user costs the most", "how many requests failed", "cached share by
//! day".

use super::{
    periods::{Period, number},
    query::{Dimension, Form, Measure, Part, Query},
    query_words::{
        A_MONTH, ASK, COLUMNS, COST, FAILURES, FIRST_TOKEN, HIGHEST, LATENCY, LOWEST, MEAN, NAME_END, NO_COLUMN,
        NO_FIGURE, PER_REQUEST, POLITE, REQUESTS, SHARE, SINGLE, SIZE, TOKENS, WENT_UP,
    },
    text::{contains_any, words_of},
};
use crate::analyst::dataset::Kind;

/// The question for a figure that a clause asks, if it does. `models` are the models that the clause names.
pub(super) fn find(clause: &str, models: Vec<String>) -> Option<Query> {
    let clause = POLITE.split('|').fold(clause.trim().to_owned(), |text, polite| text.replace(polite, ""));
    let clause = match contains_any(&clause, FAILURES) {
        true => clause.replace("wasted", "spent").replace("waste", "spend"),
        false => clause,
    };
    let clause = clause.trim();
    let kinds = kinds(clause);
    if let Some((measure, by, period)) = side_by_side(clause, &models) {
        let words = clause.to_owned();
        let (form, by) = (Form::Listed, Some(by));
        return Some(Query { measure, form, by, failed: None, kind: None, period, models, words });
    }
    let by_kind = kinds.len() > 1 || (!kinds.is_empty() && contains_any(clause, "vs|versus|compar*"));
    let compared = contains_any(clause, "compar*").then(|| plural_column(clause)).flatten();
    if !by_kind && compared.is_none() && contains_any(clause, NO_FIGURE) {
        return None;
    }
    let found = if by_kind { Some((Dimension::Kind, false)) } else { compared.map(|by| (by, false)) };
    let found = found.or_else(|| dimension(clause));
    if found.as_ref().is_some_and(|(by, _)| ranks_another(clause, by)) {
        return None;
    }
    let counts_kind = !kinds.is_empty() && contains_any(clause, "how many|number of");
    let measure = measure(clause, found.is_some()).or(counts_kind.then_some(Measure::Requests));
    let (highest, lowest) = (contains_any(clause, HIGHEST), contains_any(clause, LOWEST));
    let distinct = how_many(clause);
    let (measure, form, by) = match (distinct, found) {
        (Some(by), _) => (Measure::Distinct, Form::Total, Some(by)),
        (None, Some((by, asks_which))) => {
            let measure = measure
                .or((asks_which && (highest || lowest) || !asks_which && is_listing(clause)).then_some(Measure::Cost))?;
            (measure, form_by(clause, asks_which, highest, lowest), Some(by))
        }
        (None, None)
            if highest && !is_mean(clause) && contains_any(clause, SINGLE) && !contains_any(clause, "how many") =>
        {
            (of_largest(clause, measure), Form::Largest, None)
        }
        (None, None) if highest && !is_mean(clause) || lowest => return None,
        (None, None) if models.len() > 1 && contains_any(clause, "compar*|vs|versus") && asks_figure(clause) => {
            (measure?, Form::Listed, Some(Dimension::Model))
        }
        (None, None) => (measure.filter(|_| asks_figure(clause))?, form(clause), None),
    };
    let period = Period::find(clause);
    if by.is_none() && period.is_none() && measure == Measure::Cost && contains_any(clause, A_MONTH) {
        return None;
    }
    let (measure, failed) = outcome(clause, measure, by.as_ref());
    Some(Query {
        measure,
        form,
        by,
        failed,
        kind: kinds.first().copied().filter(|_| !by_kind),
        period,
        models,
        words: clause.to_owned(),
    })
}

/// The measure, and whether only requests that failed are meant, or only those that did not.
fn outcome(clause: &str, measure: Measure, by: Option<&Dimension>) -> (Measure, Option<bool>) {
    let without = contains_any(clause, "without failed|without failures|without errors|excluding failed|except failed");
    let failed = contains_any(clause, FAILURES) && measure != Measure::Failures && by != Some(&Dimension::Outcome);
    let measure = if without && measure == Measure::Failures { Measure::Requests } else { measure };
    let succeeded = without || contains_any(clause, "successful|succeeded|successful requests");
    (measure, if succeeded { Some(false) } else { failed.then_some(true) })
}

/// Whether what is ranked is not what is asked for: "which team uses the most expensive model".
fn ranks_another(clause: &str, by: &Dimension) -> bool {
    const RANKS: &str = "expensive|dearest|costliest|priciest|cheapest|slowest|fastest|biggest|largest";
    let words: Vec<&str> = words_of(clause).collect();
    let ranked = words.windows(2).filter(|pair| contains_any(pair[0], RANKS));
    ranked.filter_map(|pair| known_dimension(pair[1])).any(|ranked| ranked != *by)
}

/// What the single request with the highest figure is measured by.
fn of_largest(clause: &str, measure: Option<Measure>) -> Measure {
    let prompt = contains_any(clause, "prompt|prompts");
    let size = if prompt { Measure::TokensOf(Part::Input) } else { Measure::Tokens };
    let measure = measure.filter(|measure| *measure != Measure::Requests);
    match measure.or(contains_any(clause, SIZE).then_some(size)) {
        Some(measure @ (Measure::Tokens | Measure::TokensOf(_) | Measure::Latency | Measure::FirstToken)) => measure,
        _ => Measure::Cost,
    }
}

/// What to list side by side: the days of "why did cost go up", the models of "is o3 slower than gpt-4.1", the periods
/// of "today vs yesterday".
fn side_by_side(clause: &str, models: &[String]) -> Option<(Measure, Dimension, Option<Period>)> {
    if contains_any(clause, "why") && contains_any(clause, WENT_UP) && contains_any(clause, COST) {
        return Some((Measure::Cost, Dimension::Day, None));
    }
    if models.len() > 1 && contains_any(clause, "slower|faster|slowest|fastest") {
        return Some((Measure::Latency, Dimension::Model, None));
    }
    let (by, period) = two_periods(clause)?;
    Some((measure(clause, true).unwrap_or(Measure::Cost), by, period))
}

/// The dimension of "today vs yesterday" and "this week compared with last week".
fn two_periods(clause: &str) -> Option<(Dimension, Option<Period>)> {
    let both = |a: &str, b: &str| contains_any(clause, a) && contains_any(clause, b);
    Some(match () {
        () if both("today", "yesterday") => (Dimension::Day, Some(Period::LastDays(2))),
        () if both("this week", "last week|previous week") => (Dimension::Week, None),
        () if both("this month", "last month|previous month") => (Dimension::Month, None),
        () => return None,
    })
}

fn is_mean(clause: &str) -> bool {
    contains_any(clause, MEAN) || contains_any(clause, PER_REQUEST)
}

/// Whether a clause begins as a figure does: "cost of embeddings", "tokens for ada".
fn begins_with_measure(clause: &str) -> bool {
    let mut words = clause.split_whitespace();
    let measure =
        words.next().is_some_and(|word| [COST, TOKENS, REQUESTS].into_iter().any(|known| contains_any(word, known)));
    measure && words.next().is_some_and(|word| matches!(word, "of" | "on" | "for" | "from" | "without" | "excluding"))
}

fn asks_figure(clause: &str) -> bool {
    begins_with_measure(clause)
        || is_mean(clause)
        || contains_any(clause, ASK)
        || contains_any(clause, SHARE)
        || Period::find(clause).is_some()
        || percentile(clause).is_some()
}

fn is_listing(clause: &str) -> bool {
    contains_any(
        clause,
        "break down|breakdown|broken down|group by|grouped by|split by|split|list|rank|ranking|compar*|vs|versus|top|\
        usage",
    )
}

fn kinds(clause: &str) -> Vec<Kind> {
    [
        ("embedding|embeddings", Kind::Embedding),
        ("chat|chats|chat requests", Kind::Chat),
        ("image|images", Kind::Image),
        ("audio|speech|transcription|transcriptions", Kind::Audio),
    ]
    .into_iter()
    // "by chat" and "which chat" mean a column of conversations.
    .filter(|(names, _)| {
        contains_any(clause, names) && !contains_any(clause, "by chat|per chat|which chat|each chat|how many chats")
    })
    .map(|(_, kind)| kind)
    .collect()
}

/// What is measured; `grouped` if the clause names a dimension.
fn measure(clause: &str, grouped: bool) -> Option<Measure> {
    let part = [
        ("reasoning|thinking", Part::Reasoning),
        ("cached|cache hit|cache hits|from the cache|hit rate|cache reads", Part::Cached),
        ("cache writes|cache write|written to the cache|cache creation", Part::CacheWrite),
        ("output|completion|completions|generated", Part::Output),
        ("input|prompt tokens|prompt token", Part::Input),
    ]
    .into_iter()
    .find(|(words, _)| contains_any(clause, words))
    .map(|(_, part)| part)
    // The sum of tokens is stated with both.
    .filter(|_| contains_any(clause, COST) || !(contains_any(clause, "input") && contains_any(clause, "output")));
    Some(match part {
        _ if contains_any(clause, FIRST_TOKEN) => Measure::FirstToken,
        _ if contains_any(clause, LATENCY) || percentile(clause).is_some() => Measure::Latency,
        Some(part) if contains_any(clause, COST) => Measure::CostOf(part),
        _ if contains_any(clause, COST) => Measure::Cost,
        Some(part) if contains_any(clause, TOKENS) || grouped || contains_any(clause, SHARE) => Measure::TokensOf(part),
        _ if contains_any(clause, TOKENS) => Measure::Tokens,
        _ if contains_any(clause, FAILURES) => Measure::Failures,
        _ if contains_any(clause, REQUESTS) => Measure::Requests,
        _ => return None,
    })
}

/// The form of the answer to a question without a dimension.
fn form(clause: &str) -> Form {
    match percentile(clause) {
        Some(p) => Form::Percentile(p),
        None if contains_any(clause, SHARE) => Form::Share,
        None if is_mean(clause) => Form::Mean,
        None => Form::Total,
    }
}

/// The form of the answer to a question with a dimension.
fn form_by(clause: &str, asks_which: bool, highest: bool, lowest: bool) -> Form {
    let per_request = contains_any(clause, PER_REQUEST);
    let lowest = lowest && !contains_any(clause, "most|highest");
    match form(clause) {
        Form::Percentile(p) => Form::Percentile(p),
        Form::Share => Form::Share,
        Form::Mean if per_request || contains_any(clause, LATENCY) || contains_any(clause, FIRST_TOKEN) => Form::Mean,
        Form::Mean => Form::MeanOfValues,
        _ if asks_which || highest || lowest => Form::Ranked { top: top(clause), lowest },
        _ => Form::Listed,
    }
}

/// `5` of "top 5 teams" or "the 5 dearest users".
fn top(clause: &str) -> Option<usize> {
    let words: Vec<&str> = words_of(clause).collect();
    let is_rank = |word: &&str| contains_any(word, HIGHEST) || contains_any(word, LOWEST);
    words.windows(2).find_map(|pair| {
        let count = if is_rank(&pair[0]) {
            number(pair[1])
        } else if is_rank(&pair[1]) {
            number(pair[0])
        } else {
            None
        };
        usize::try_from(count?).ok().filter(|count| *count <= 1000)
    })
}

/// A percentile: `p95`, `95th percentile`, `median`.
fn percentile(clause: &str) -> Option<u8> {
    if contains_any(clause, "median") {
        return Some(50);
    }
    let words: Vec<&str> = words_of(clause).collect();
    let in_words = |at: usize| {
        let number = words[at].strip_suffix("th").or(words[at].strip_suffix("st")).or(words[at].strip_suffix("nd"))?;
        words.get(at + 1).filter(|word| word.starts_with("percentile")).and_then(|_| number.parse().ok())
    };
    let short = |word: &str| word.strip_prefix('p').and_then(|digits| digits.parse().ok());
    (0..words.len()).find_map(|at| short(words[at]).or_else(|| in_words(at))).filter(|p| (1..=99).contains(p))
}

/// The dimension of "how many users".
fn how_many(clause: &str) -> Option<Dimension> {
    let words: Vec<&str> = words_of(clause).collect();
    words.windows(2).enumerate().find_map(|(at, pair)| {
        let asks = pair == ["how", "many"] || pair == ["number", "of"];
        let skip = usize::from(
            words.get(at + 2).is_some_and(|word| ["different", "distinct", "unique", "of", "active"].contains(word)),
        );
        let noun = words.get(at + 2 + skip).filter(|_| asks)?;
        let next = words.get(at + 3 + skip);
        // "How many prompt tokens" asks for tokens.
        (!next.is_some_and(|next| contains_any(next, TOKENS))).then(|| known_dimension(noun)).flatten()
    })
}

/// A column or calendar unit that the clause names in the plural: "compare teams".
fn plural_column(clause: &str) -> Option<Dimension> {
    words_of(clause)
        .filter(|word| word.ends_with('s') || *word == "people")
        .find_map(known_dimension)
        .filter(|by| *by != Dimension::Model)
}

/// The dimension that a clause names, and whether it asks for one of its values ("which user", "top 5 teams").
fn dimension(clause: &str) -> Option<(Dimension, bool)> {
    if contains_any(clause, "day of the week|days of the week") {
        return Some((Dimension::Weekday, contains_any(clause, "which|what")));
    }
    let words: Vec<&str> = words_of(clause).collect();
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        match *word {
            "who" | "whose" => return Some((Dimension::Column("user".into()), true)),
            "a" if is_mean(clause) && matches!(next, "day" | "week" | "hour") => {
                return known_dimension(next).map(|by| (by, false));
            }
            "by" | "per" | "each" | "every" | "across" => {
                let skip = usize::from(matches!(next, "the" | "each" | "our" | "every" | "api" | "single" | "all"));
                if let Some(by) = column_at(&words, at + 1 + skip, *word == "by") {
                    return Some((by, false));
                }
            }
            "which" | "what" => {
                let skip = usize::from(matches!(next, "of" | "single" | "api" | "one"))
                    + usize::from(
                        next == "of" && words.get(at + 2).is_some_and(|word| matches!(*word, "our" | "the" | "my")),
                    );
                if let Some(by) = column_at(&words, at + 1 + skip, *word == "which") {
                    return Some((by, true));
                }
            }
            _ => {}
        }
    }
    // "The weekly cost"; a monthly one is a forecast.
    if let Some(word) = words.iter().find(|word| ["hourly", "daily", "weekly"].contains(word)) {
        return known_dimension(word).map(|by| (by, false));
    }
    let ranked = contains_any(clause, HIGHEST) || contains_any(clause, LOWEST);
    let noun =
        words.iter().filter(|word| contains_any(clause, "top") || word.ends_with('s') || !contains_any(word, COST));
    let noun = noun.filter(|word| !(contains_any(word, "prompt|prompts") && contains_any(clause, SIZE)));
    noun.filter(|_| ranked).find_map(|word| known_dimension(word)).map(|by| (by, true))
}

/// The dimension whose name begins at a word; with `any`, also a name that is not known.
fn column_at(words: &[&str], at: usize, any: bool) -> Option<Dimension> {
    let first = words.get(at)?;
    if let Some(by) = known_dimension(first) {
        return Some(by);
    }
    let is_end = |word: &&str| NAME_END.split_whitespace().any(|end| end == *word);
    let no_column =
        NO_COLUMN.split_whitespace().any(|word| word == *first) || first.starts_with(|c: char| c.is_ascii_digit());
    // "which cost center" is a name, "which costs" is not.
    if !any || no_column || is_end(first) && (*first != "cost" || words.get(at + 1).is_none_or(is_end)) {
        return None;
    }
    let rest = words[at + 1..].iter().take(2).take_while(|word| !is_end(word));
    let name: Vec<&str> = [*first].into_iter().chain(rest.copied()).collect();
    Some(Dimension::Column(name.join(" ")))
}

/// The second column of "by user and model" and "per team per week": a figure is grouped by one.
pub(in crate::analyst) fn second_dimension(clause: &str) -> Option<Dimension> {
    let words: Vec<&str> = words_of(clause).collect();
    let is_link = |at: usize| {
        matches!(words[at], "by" | "per" | "each" | "every")
            || words[at] == "and" && at > 1 && matches!(words[at - 2], "by" | "per")
    };
    // "By day of the week" names one.
    let adverb = |word: &str| matches!(word, "hourly" | "daily" | "weekly");
    let named = (0..words.len()).filter(|at| is_link(*at)).filter_map(|at| words.get(at + 1).copied());
    let named = named.chain(words.iter().copied().filter(|word| adverb(word)));
    let mut named = named.filter_map(known_dimension);
    let first = named.next().filter(|_| !contains_any(clause, "of the week"))?;
    named.find(|by| *by != first)
}

/// The dimension that a noun names.
pub(super) fn known_dimension(noun: &str) -> Option<Dimension> {
    Some(match noun {
        "model" | "models" => Dimension::Model,
        "kind" | "kinds" => Dimension::Kind,
        "day" | "days" | "date" | "dates" | "daily" => Dimension::Day,
        "hour" | "hours" | "hourly" => Dimension::Hour,
        "weekday" | "weekdays" => Dimension::Weekday,
        "week" | "weeks" | "weekly" => Dimension::Week,
        "month" | "months" | "monthly" => Dimension::Month,
        "status" | "statuses" | "outcome" => Dimension::Outcome,
        "people" => Dimension::Column("user".into()),
        _ => {
            let singular = noun.strip_suffix('s').unwrap_or(noun);
            let known = COLUMNS.split_whitespace().any(|column| column == singular);
            return known.then(|| Dimension::Column(singular.to_owned()));
        }
    })
}
