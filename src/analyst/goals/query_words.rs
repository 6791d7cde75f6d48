//! The words of questions for a figure. Phrases are separated by `|`, words by spaces; a final `*` matches any ending.

use super::{periods::number, query_rules::known_dimension};

/// Words of advice, of conditions and of the future: such a clause asks for no figure of the log.
pub(super) const NO_FIGURE: &str = "would|could|should|can|if|sav*|cut|cuts|cutting|reduc*|lower|optimi*|grow*|forecast*|\
    expect*|predict*|\
                         limit|limits|audit*|will|why|halve|faster|cheaper|budget|within|need|where|improve*|peak|\
                         peaks|\
                         waste*|wasting|quality|per token|a token|one token|per million tokens|per 1k tokens|per 1m tokens|per 1000 tokens|grew|grown|rose|risen|increased|decreased|dropped|fell|changed";
/// Words that ask for the reason of a change.
pub(super) const WENT_UP: &str =
    "go up|went up|gone up|going up|rise|rising|increase|increased|jump|jumped|spike|spiked|higher";
pub(super) const PER_REQUEST: &str = "per request|a request|each request|one request|single request|per call|a call|per query|\
    per 1k requests|per 1000 requests|per thousand requests|per 1k calls|per 1000 calls|per thousand calls";
pub(super) const POLITE: &str = "can you |could you |would you |please |i want to know |i'd like to know |tell me ";
pub(super) const COST: &str = "cost|costs|costing|spend|spends|spending|spent|expensive|expense|expenses|dear|dearest|dearer|\
    costly|\
                    costliest|priciest|cheap|cheapest|bill|bills|billed|pay|pays|paid|paying|money|price|prices|\
                    charge|charges";
pub(super) const TOKENS: &str = "token|tokens";
pub(super) const REQUESTS: &str =
    "request|requests|call|calls|queries|invocation|invocations|completions|traffic|busiest|quietest";
pub(super) const FAILURES: &str = "fail|fails|failed|failing|failure|failures|error|errors|unsuccessful|went wrong";
pub(super) const LATENCY: &str = "latency|latencies|response time|response times|slow|slowest|fast|fastest|quickest|duration|\
    durations|\
                       how long|percentile";
pub(super) const FIRST_TOKEN: &str = "time to first token|times to first token|ttft|first token|first tokens";
pub(super) const SHARE: &str =
    "share|shares|percentage|percent|proportion|fraction|what part|how much of|rate|hit rate";
pub(super) const MEAN: &str = "average|averages|mean|avg|typical|typically|on average|per message";
pub(super) const HIGHEST: &str = "most|highest|dearest|top|biggest|largest|heaviest|costliest|priciest|maximum|worst|slowest|\
    busiest|longest|\
                       expensive|costly|dear|slow";
/// Words for one request, and for how large one is.
pub(super) const SINGLE: &str = "request|requests|call|calls|prompt|prompts|query|queries";
pub(super) const SIZE: &str = "longest|largest|biggest|heaviest";
pub(super) const LOWEST: &str =
    "least|lowest|cheapest|smallest|fewest|minimum|fastest|quickest|quietest|shortest|cheap|fast";
pub(super) const ASK: &str =
    "how much|how many|what|what's|whats|total|number of|count|count of|show|give|list|how long|how slow|how fast|sum";
/// Units of a bill over time, which the forecast answers.
pub(super) const A_MONTH: &str =
    "a month|per month|monthly|each month|a year|per year|yearly|annually|each year|a quarter|per quarter";

/// Columns of logs that can be asked for without "by": in the singular.
pub(super) const COLUMNS: &str = "user person employee member customer client account key team department group project app \
    application service \
                       workspace feature task session conversation chat thread trace prompt template tag label agent \
                       tool \
                       environment region provider vendor tier organization organisation tenant file branch endpoint \
                       type \
                       deployment source component";
/// Words that end the name of a column after "by" or "which".
pub(super) const NAME_END: &str = "a an and are at be been by cost costs did do does during each for from generate generates \
    had has have i in \
                        is last made make makes most of on or our over per produce produces send sends sent since \
                        spend spends \
                        spent the this to today until use used uses was we were with yesterday fail fails failed pay \
                        pays paid \
                        consume consumes burn burns get gets take takes took need needs please time";
/// Words that no column is called after "by" or "which".
pub(super) const NO_COLUMN: &str =
    "how far one ones request requests call calls token tokens using making money it them us what rate small";

/// Other words of such questions; a word that is none of these may name something in the log.
pub(super) const OTHER_WORDS: &str = "a about all also an and any are as at be been being between break breakdown broken by \
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
    cost-wise slower faster why without excluding except ordered descending ascending then result results bring brings";

/// Whether a word belongs to the language of these questions, rather than naming something in the log.
pub(in crate::analyst) fn is_known_word(word: &str) -> bool {
    let listed = |words: &str| words.split_whitespace().any(|known| known == word);
    let phrased = |phrases: &str| phrases.split(['|', ' ']).any(|known| known == word);
    number(word).is_some()
        || word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '%' | '$' | '€'))
        || listed(OTHER_WORDS)
        || [
            COST,
            TOKENS,
            REQUESTS,
            FAILURES,
            LATENCY,
            FIRST_TOKEN,
            SHARE,
            MEAN,
            PER_REQUEST,
            WENT_UP,
            HIGHEST,
            LOWEST,
            ASK,
        ]
        .into_iter()
        .any(phrased)
        || known_dimension(word).is_some()
        || word.strip_suffix("'s").is_some_and(is_known_word)
}
