//! The rules: which words of a clause state which goal. Phrases are separated by `|`; a final `*` matches any ending.

use super::{
    Goal, Question,
    quantities::{Quantities, repetition},
    query_rules,
    text::{contains_any, find_models},
};
use crate::analyst::{dataset::Tier, forecast::MONTH_DAYS, pricing::PriceTable};

const KEEP: &str =
    "same|keep*|hold*|without|no extra|not los*|stay*|maintain*|preserv*|unchanged|don't lose|at least as";
const KEEP_MONEY: &str = "same|without spending more|no extra|not spend more|keep*|unchanged";
const NO_MORE_MONEY: &str = "without paying more|without spending more|without more money|without extra cost|without \
    extra costs|\
                             without higher cost|without higher costs|without a higher bill|without raising the bill|\
                             without raising cost|\
                             without raising costs|no extra cost|not pay more|not paying more|not spending more|\
                             without increasing cost|\
                             without increasing costs|without costing more|without raising spend";
const ON_A_MODEL: &str = "cost on|cost with|cost in|cost using|cost if|cost us on|cost us with|costs on|pay on|pay \
    with|pay for|spend on|spend with|\
                          if we used|if we use|if we ran|what if";
const SAME_MONEY: &str = "same spend|same cost|same budget|same price";
const QUALITY: &str = "quality|accura*|as good|same results|same answers";
const SPEED: &str = "faster|fast|speed*|latency|latencies|slow*|quick*|response time|response times|sooner";
const MONEY: &str = "cost*|spend*|bill|bills|price|prices|money|budget*|pay|paying|expens*";
const LESS: &str = "cut*|reduc*|lower*|sav*|less|halv*|decreas*|cheaper|bring down|shrink*|trim*|optimi*|drop";
const GROWTH: &str =
    "grow*|growth|more traffic|more users|more requests|more load|traffic|scale*|expand*|increas*|volume|users";
const HOW_MUCH: &str = "what would|what does|what do|how much would|how much does";
const COMPARE: &str = "compar*|versus|vs|switch*|move from|migrat*|replace*|instead of";
const SPENDING: &str = "token*|money|spend*|cost*|bill|expens*|budget";
const USES: &str = "go|goes|going|use|uses|take|takes|most|eat*|spent|spend|come*|high|expens*";
const CHANGE: &str = "should i change|should we change|what to change|optimi*|improve*";

/// Goals without numbers that any phrase of one list states.
const TOPICS: &[(&str, Goal)] = &[
    ("cach*|prefix*", Goal::AuditCaching),
    ("peak*|rate limit*|capacity|burst*|busiest|throughput|tpm|rpm|quota*|headroom", Goal::Peaks),
    (
        "forecast*|predict*|project*|next month|next quarter|next year|will it cost|will we pay|will cost|monthly bill|\
        monthly cost|monthly costs|monthly spend",
        Goal::Forecast,
    ),
    ("batch*|overnight|offline|asynchron*", Goal::Batch),
    (
        "cheaper model*|cheapest model*|smaller model*|small model*|mini model*|rout*|downgrad*|small requests|\
        simple requests",
        Goal::CheaperModel,
    ),
];

/// Adds the goals that a clause states; `table` has the known model names.
pub(super) fn apply(clause: &str, question: &mut Question, table: &PriceTable) {
    // What own servers cost is in no log.
    if contains_any(clause, "self host*|self-host*|selfhost*|on-prem*|own gpu*|own servers|own hardware") {
        return;
    }
    let models = if question.models.is_empty() { Vec::new() } else { find_models(clause, table) };
    if let Some(query) = query_rules::find(clause, models) {
        return question.add_goal(Goal::Query(query), clause);
    }
    let quantities = Quantities::parse(clause);
    add_quality_and_speed_goals(clause, &quantities, question);
    add_cost_goals(clause, &quantities, question);
    add_growth_goals(clause, &quantities, question);
    let named = !question.models.is_empty() || !question.unknown_models.is_empty();
    let on_a_model = named && contains_any(clause, "would|what if|if we") && contains_any(clause, ON_A_MODEL);
    if contains_any(clause, COMPARE) && (contains_any(clause, "model*") || named) || on_a_model {
        question.add_goal(Goal::CompareModels { models: question.models.clone() }, clause);
    }
    for (words, tier) in [
        ("flex|flex tier|flex processing", Tier::Flex),
        ("priority tier|priority processing|priority prices|use priority|is priority", Tier::Priority),
    ] {
        if contains_any(clause, words) {
            question.add_goal(Goal::ServiceTier { tier }, clause);
        }
    }
    if contains_any(clause, "where|what|why|how much")
        && contains_any(clause, SPENDING)
        && contains_any(clause, USES)
        && !contains_any(clause, "would|will|if")
    {
        question.add_goal(Goal::WhereTokensGo, clause);
    }
    if contains_any(clause, "how much")
        && contains_any(clause, MONEY)
        && contains_any(clause, "day|daily|month|monthly|year|yearly")
    {
        question.add_goal(Goal::Forecast, clause);
    }
    for (phrases, goal) in TOPICS {
        if contains_any(clause, phrases) {
            question.add_goal(goal.clone(), clause);
        }
    }
    if contains_any(clause, CHANGE) {
        question.add_goal(Goal::CutCost { by: None }, clause);
    }
}

/// Whether a clause asks for what the answer to another goal holds: "what would that save", "what should I change".
pub(super) fn restates(clause: &str) -> bool {
    contains_any(clause, HOW_MUCH) && contains_any(clause, "sav*|that|it")
        || contains_any(clause, "peak fit|still fit|it save|does it miss")
}

/// Adds the goals of quality and speed.
fn add_quality_and_speed_goals(clause: &str, quantities: &Quantities, question: &mut Question) {
    let keep = contains_any(clause, KEEP);
    if keep && contains_any(clause, QUALITY) {
        question.add_goal(Goal::SameQuality, clause);
    }
    if !contains_any(clause, SPEED) {
        return;
    }
    let asks_faster = contains_any(clause, "faster|quicker|sooner|too slow|speed up");
    if keep && !asks_faster {
        question.add_goal(Goal::SameLatency, clause);
    } else if !asks_faster && !contains_any(clause, LESS) && contains_any(clause, "what|how|which|show") {
        question.add_goal(Goal::Latency, clause);
    } else if contains_any(clause, "faster|latency|slow*")
        || !(contains_any(clause, LESS) && contains_any(clause, MONEY))
    {
        // "Quickly cut our bill" asks for lower cost, not for speed.
        question.add_goal(Goal::Faster { factor: quantities.times_faster(contains_any(clause, LESS)) }, clause);
    }
}

fn add_cost_goals(clause: &str, quantities: &Quantities, question: &mut Question) {
    let (money, less) = (contains_any(clause, MONEY), contains_any(clause, LESS));
    if contains_any(clause, NO_MORE_MONEY) {
        return question.add_goal(Goal::SameSpend, clause);
    }
    if money && contains_any(clause, KEEP_MONEY) && (!less || contains_any(clause, SAME_MONEY)) {
        return question.add_goal(Goal::SameSpend, clause);
    }
    // "Save $1" asks for a saving, "cut it to $100" for a budget.
    let is_saving = less && contains_any(clause, "sav*|by") && !contains_any(clause, "to|within|under|below|budget*");
    let is_budget =
        !is_saving && (money || contains_any(clause, "within|under|below|most") || !contains_any(clause, GROWTH));
    if let Some((amount, currency)) = quantities.money.filter(|_| is_budget) {
        let months = match clause {
            _ if quantities.money_months.is_some() => quantities.money_months.unwrap_or(1.0),
            _ if contains_any(clause, "year|annual*|yearly") => 12.0,
            _ if contains_any(clause, "quarter|quarterly") => 3.0,
            _ if contains_any(clause, "week|weekly") => 7.0 / MONTH_DAYS,
            _ if contains_any(clause, "day|daily") => 1.0 / MONTH_DAYS,
            _ => 1.0,
        };
        return question.add_goal(Goal::Budget { amount_a_month: amount / months, currency: currency.into() }, clause);
    }
    // "What would that save?" asks for the amount of another goal.
    let asks_amount = contains_any(clause, HOW_MUCH) && contains_any(clause, "sav*");
    let cheaper = contains_any(clause, "cheaper|save|savings|saving")
        && !contains_any(clause, "cheaper model|batch*|cach*|flex|priority");
    if less && (money || cheaper) && !asks_amount {
        let by = quantities
            .percent
            .or(contains_any(clause, "halv*|half").then_some(0.5))
            .filter(|by| (0.0..1.0).contains(by));
        question.add_goal(Goal::CutCost { by }, clause);
    }
}

fn add_growth_goals(clause: &str, quantities: &Quantities, question: &mut Question) {
    // In "2x traffic within $80 a month" the month belongs to the budget.
    let repeated = repetition(clause, quantities.money.is_some());
    let multiplies = quantities.times_in_words.is_some() && (repeated.is_some() || contains_any(clause, "if we"));
    let grows = contains_any(clause, "grow*") || contains_any(clause, GROWTH) && !contains_any(clause, LESS);
    if !(grows || multiplies) || contains_any(clause, SPEED) {
        return;
    }
    // "Every 6 months" is no horizon of 6 months.
    let rest = repeated.as_ref().map_or_else(|| clause.to_owned(), |(_, words)| clause.replace(words, " "));
    let months = Quantities::parse(&rest).months;
    match (quantities.growth(), repeated) {
        (Some(by), repeated) => {
            let every_months = repeated.map(|(every, _)| every);
            question.add_goal(Goal::Growth { by, every_months, months }, clause);
        }
        (None, _) if contains_any(clause, "grow*|scale*") => question.add_goal(Goal::Forecast, clause),
        _ => {}
    }
}
