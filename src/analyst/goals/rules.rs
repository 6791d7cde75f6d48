//! The rules: which words of a clause state which goal. Phrases are separated by `|`; a final `*` matches any ending.

use super::{
    Goal, Question,
    text::{Quantities, contains_any},
};

const KEEP: &str =
    "same|keep*|hold*|without|no extra|not los*|stay*|maintain*|preserv*|unchanged|don't lose|at least as";
const KEEP_MONEY: &str = "same|without spending more|no extra|not spend more|keep*|unchanged";
const SAME_MONEY: &str = "same spend|same cost|same budget|same price";
const QUALITY: &str = "quality|accura*|as good|same results|same answers";
const SPEED: &str = "faster|fast|speed*|latency|latencies|slow*|quick*|response time|response times|sooner";
const MONEY: &str = "cost*|spend*|bill|bills|price|prices|money|budget*|pay|paying|expens*";
const LESS: &str = "cut*|reduc*|lower*|sav*|less|halv*|decreas*|cheaper|bring down|shrink*|trim*|optimi*|drop";
const GROWTH: &str =
    "grow*|more traffic|more users|more requests|more load|traffic|scale*|expand*|increas*|volume|users";
const EACH_MONTH: &str = "a month|per month|monthly|each month|every month|month over month";
const HOW_MUCH: &str = "what would|what does|what do|how much would|how much does";
const COMPARE: &str = "compar*|versus|vs|switch*|move from|migrat*|replace*|instead of";
const SPENDING: &str = "token*|money|spend*|cost*|bill|expens*";
const USES: &str = "go|goes|going|use|uses|take|takes|most|eat*|spent|spend|come*|high|expens*";
const CHANGE: &str = "should i change|should we change|what to change|optimi*|improve*";

/// Goals without numbers that any phrase of one list states.
const TOPICS: &[(&str, Goal)] = &[
    ("cach*|prefix*", Goal::AuditCaching),
    ("peak*|rate limit*|capacity|burst*|busiest|throughput|tpm|rpm|quota*|headroom", Goal::Peaks),
    (
        "forecast*|predict*|project*|next month|next quarter|next year|will it cost|will we pay|will cost",
        Goal::Forecast,
    ),
    ("batch*|overnight|offline|asynchron*", Goal::Batch),
    (
        "cheaper model*|smaller model*|small model*|mini model*|rout*|downgrad*|small requests|simple requests",
        Goal::CheaperModel,
    ),
];

/// Adds the goals that a clause states.
pub(super) fn apply(clause: &str, question: &mut Question) {
    let quantities = Quantities::parse(clause);
    add_quality_and_speed_goals(clause, &quantities, question);
    add_cost_goals(clause, &quantities, question);
    add_growth_goals(clause, &quantities, question);
    if contains_any(clause, COMPARE) && (contains_any(clause, "model*") || !question.models.is_empty()) {
        question.add_goal(Goal::CompareModels { models: question.models.clone() }, clause);
    }
    if contains_any(clause, "where|who|which|what|why|how much")
        && contains_any(clause, SPENDING)
        && contains_any(clause, USES)
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
    if money && contains_any(clause, KEEP_MONEY) && (!less || contains_any(clause, SAME_MONEY)) {
        return question.add_goal(Goal::SameSpend, clause);
    }
    let is_budget = money || contains_any(clause, "within|under|below|most") || !contains_any(clause, GROWTH);
    if let Some(usd) = quantities.usd.filter(|_| is_budget) {
        let months = match clause {
            _ if contains_any(clause, "year|annual*|yearly") => 12.0,
            _ if contains_any(clause, "day|daily") => 1.0 / 30.0,
            _ => 1.0,
        };
        return question.add_goal(Goal::Budget { usd_a_month: usd / months }, clause);
    }
    // "What would that save?" asks for the amount of another goal.
    let asks_amount = contains_any(clause, HOW_MUCH) && contains_any(clause, "sav*");
    let cheaper =
        contains_any(clause, "cheaper|save|savings|saving") && !contains_any(clause, "cheaper model|batch*|cach*");
    if less && (money || cheaper) && !asks_amount {
        let by = quantities
            .percent
            .or(contains_any(clause, "halv*|half").then_some(0.5))
            .filter(|by| (0.0..1.0).contains(by));
        question.add_goal(Goal::CutCost { by }, clause);
    }
}

fn add_growth_goals(clause: &str, quantities: &Quantities, question: &mut Question) {
    if !contains_any(clause, "grow*") && (!contains_any(clause, GROWTH) || contains_any(clause, LESS)) {
        return;
    }
    if let Some(by) = quantities.growth() {
        // In "2x traffic within $80 a month" the month belongs to the budget.
        let monthly = quantities.usd.is_none() && contains_any(clause, EACH_MONTH);
        question.add_goal(Goal::Growth { by, monthly, months: quantities.months }, clause);
    } else if contains_any(clause, "grow*|scale*") {
        question.add_goal(Goal::Forecast, clause);
    }
}
