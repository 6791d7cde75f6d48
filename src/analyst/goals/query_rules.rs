//! The rules for questions for a figure: "which user costs the most", "how many requests failed", "cached share by
//! day".

use super::{
    periods::{Period, number},
    query::{Dimension, Form, Measure, Part, Query},
    text::{contains_any, words_of},
};
use crate::analyst::dataset::Kind;

/// Words of advice, of conditions and of the future: such a clause asks for no figure of the log.
const NO_FIGURE: &str = "would|could|should|can|if|sav*|cut|cuts|cutting|reduc*|lower|optimi*|grow*|forecast*|\
    expect*|predict*|\
                         limit|limits|audit*|will|why|halve|faster|cheaper|budget|within|need|where|improve*|peak|\
                         peaks|\
                         waste*|wasting";
const POLITE: &str = "can you |could you |would you |please |i want to know |i'd like to know |tell me ";
const COST: &str = "cost|costs|costing|spend|spends|spending|spent|expensive|expense|expenses|dear|dearest|dearer|\
    costly|\
                    costliest|priciest|cheap|cheapest|bill|bills|billed|pay|pays|paid|paying|money|price|prices|\
                    charge|charges";
const TOKENS: &str = "token|tokens";
const REQUESTS: &str =
    "request|requests|call|calls|queries|invocation|invocations|completions|traffic|busiest|quietest";
const FAILURES: &str = "fail|fails|failed|failing|failure|failures|error|errors|unsuccessful|went wrong";
const LATENCY: &str = "latency|latencies|response time|response times|slow|slowest|fast|fastest|quickest|duration|\
    durations|\
                       how long|percentile";
const FIRST_TOKEN: &str = "time to first token|times to first token|ttft|first token|first tokens";
const SHARE: &str = "share|shares|percentage|percent|proportion|fraction|what part|how much of|rate|hit rate";
const MEAN: &str = "average|averages|mean|avg|typical|typically|on average|per request|a request|each request|per \
    call|a call|\
                    per query|per message";
const HIGHEST: &str = "most|highest|dearest|top|biggest|largest|heaviest|costliest|priciest|maximum|worst|slowest|\
    busiest|longest|\
                       expensive|costly|dear|slow";
const LOWEST: &str = "least|lowest|cheapest|smallest|fewest|minimum|fastest|quickest|quietest|shortest|cheap|fast";
const ASK: &str =
    "how much|how many|what|what's|whats|total|number of|count|count of|show|give|list|how long|how slow|how fast|sum";
/// Units of a bill over time, which the forecast answers.
const A_MONTH: &str =
    "a month|per month|monthly|each month|a year|per year|yearly|annually|each year|a quarter|per quarter";

/// Columns of logs that can be asked for without "by": in the singular.
const COLUMNS: &str = "user person employee member customer client account key team department group project app \
    application service \
                       workspace feature task session conversation chat thread trace prompt template tag label agent \
                       tool \
                       environment region provider vendor tier organization organisation tenant file branch endpoint \
                       type \
                       deployment source component";
/// Words that end the name of a column after "by" or "which".
const NAME_END: &str = "a an and are at be been by cost costs did do does during each for from generate generates \
    had has have i in \
                        is last made make makes most of on or our over per produce produces send sends sent since \
                        spend spends \
                        spent the this to today until use used uses was we were with yesterday fail fails failed pay \
                        pays paid \
                        consume consumes burn burns get gets take takes took need needs please time";
/// Words that no column is called after "by" or "which".
const NO_COLUMN: &str =
    "how far one ones request requests call calls token tokens using making money it them us what rate small";

/// Other words of such questions; a word that is none of these may name something in the log.
const OTHER_WORDS: &str = "a about all also an and any are as at be been being between break breakdown broken by \
    cache cached caching \
    chat column compare compared completion completions contribute count day days daily date dates did distinct do \
    does doing down \
    during each embedding embeddings every ever for from full generate generated get gets give go goes going got \
    group grouped had has have hit \
    how hour hourly hours i image images in input into is it its just kind kinds last list log logged long made make \
    makes many me median minute month \
    monthly months much my need number of on only or order our out output over overall p50 p75 p90 p95 p99 past per \
    percentile period please previous \
    produce produced prompt prompts quarter question rank ranked ranking real reasoning run runs send sent show \
    since single so sort sorted status sum \
    summed team tell than that the their them there these they thinking this those through time times to today \
    together total totals until us use used \
    uses using utc versus view vs was we week weekday weekly weeks were what what's which who whole whom with write \
    written year years yesterday you \
    your audio speech transcription moderation successful successfully succeed succeeded succeeding different unique \
    exist exists currently now \
    actual actually respectively first take takes took consume consumes consumed burn burns burned burnt has come \
    comes share usage volume amount \
    figure figures spenders spender consumers consumer different's after before till weekend weekends api use case \
    really across answer answers \
    cost-wise ordered descending ascending then result results bring brings";

/// The question for a figure that a clause asks, if it does. `models` are the models that the clause names.
pub(super) fn find(clause: &str, models: Vec<String>) -> Option<Query> {
    let clause = POLITE.split('|').fold(clause.trim().to_owned(), |text, polite| text.replace(polite, ""));
    let clause = clause.trim();
    let kinds = kinds(clause);
    let by_kind = kinds.len() > 1 || (!kinds.is_empty() && contains_any(clause, "vs|versus|compar*"));
    let compared = contains_any(clause, "compar*").then(|| plural_column(clause)).flatten();
    if !by_kind && compared.is_none() && contains_any(clause, NO_FIGURE) {
        return None;
    }
    let found = if by_kind { Some((Dimension::Kind, false)) } else { compared.map(|by| (by, false)) };
    let found = found.or_else(|| dimension(clause));
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
        (None, None) if highest && !contains_any(clause, MEAN) && contains_any(clause, "request|call|prompt|query") => {
            let summed = matches!(
                measure,
                Some(Measure::Tokens | Measure::TokensOf(_) | Measure::Latency | Measure::FirstToken)
            );
            (measure.filter(|_| summed).unwrap_or(Measure::Cost), Form::Largest, None)
        }
        (None, None) if highest && !contains_any(clause, MEAN) || lowest => return None,
        (None, None) => (measure.filter(|_| asks_figure(clause))?, form(clause), None),
    };
    let period = Period::find(clause);
    if by.is_none() && period.is_none() && measure == Measure::Cost && contains_any(clause, A_MONTH) {
        return None;
    }
    let failed = contains_any(clause, FAILURES) && measure != Measure::Failures && by != Some(Dimension::Outcome);
    let succeeded = contains_any(clause, "successful|succeeded|successful requests");
    Some(Query {
        measure,
        form,
        by,
        failed: if succeeded { Some(false) } else { failed.then_some(true) },
        kind: kinds.first().copied().filter(|_| !by_kind),
        period,
        models,
        words: clause.to_owned(),
    })
}

/// Whether a word belongs to the language of these questions, rather than naming something in the log.
pub(in crate::analyst) fn is_known_word(word: &str) -> bool {
    let listed = |words: &str| words.split_whitespace().any(|known| known == word);
    let phrased = |phrases: &str| phrases.split(['|', ' ']).any(|known| known == word);
    number(word).is_some()
        || word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '%' | '$' | '€'))
        || listed(OTHER_WORDS)
        || [COST, TOKENS, REQUESTS, FAILURES, LATENCY, FIRST_TOKEN, SHARE, MEAN, HIGHEST, LOWEST, ASK]
            .into_iter()
            .any(phrased)
        || known_dimension(word).is_some()
        || word.strip_suffix("'s").is_some_and(is_known_word)
}

fn asks_figure(clause: &str) -> bool {
    contains_any(clause, ASK)
        || contains_any(clause, SHARE)
        || contains_any(clause, MEAN)
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
    .map(|(_, part)| part);
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
        None if contains_any(clause, MEAN) => Form::Mean,
        None => Form::Total,
    }
}

/// The form of the answer to a question with a dimension.
fn form_by(clause: &str, asks_which: bool, highest: bool, lowest: bool) -> Form {
    let per_request = contains_any(clause, "per request|a request|each request|per call|a call|per query");
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

/// The second column of "by user and model": a figure is grouped by one.
pub(in crate::analyst) fn second_dimension(clause: &str) -> Option<&str> {
    let words: Vec<&str> = words_of(clause).collect();
    let second = words.windows(4).find(|words| matches!(words[0], "by" | "per") && words[2] == "and")?;
    known_dimension(second[1])?;
    known_dimension(second[3]).map(|_| second[3])
}

/// The dimension that a noun names.
fn known_dimension(noun: &str) -> Option<Dimension> {
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
