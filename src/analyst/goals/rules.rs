//! The rules: which words of a clause state which goal. Phrases are separated by `|`; a final `*` takes any ending.

use super::{
    Goal, Question,
    text::{Figures, has},
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
const SPENT: &str = "token*|money|spend*|cost*|bill|expens*";
const SPENDS: &str = "go|goes|going|use|uses|take|takes|most|eat*|spent|spend|come*|high|expens*";
const CHANGE: &str = "should i change|should we change|what to change|optimi*|improve*";

/// Goals that one list of phrases states, without figures.
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
pub(super) fn read(clause: &str, question: &mut Question) {
    let figures = Figures::of(clause);
    constraints(clause, &figures, question);
    money(clause, &figures, question);
    growth(clause, &figures, question);
    if has(clause, COMPARE) && (has(clause, "model*") || !question.models.is_empty()) {
        question.add(Goal::CompareModels { models: question.models.clone() }, clause);
    }
    if has(clause, "where|who|which|what|why|how much") && has(clause, SPENT) && has(clause, SPENDS) {
        question.add(Goal::WhereTokensGo, clause);
    }
    if has(clause, "how much") && has(clause, MONEY) && has(clause, "day|daily|month|monthly|year|yearly") {
        question.add(Goal::Forecast, clause);
    }
    for (phrases, goal) in TOPICS {
        if has(clause, phrases) {
            question.add(goal.clone(), clause);
        }
    }
    if has(clause, CHANGE) {
        question.add(Goal::CutCost { by: None }, clause);
    }
}

fn constraints(clause: &str, figures: &Figures, question: &mut Question) {
    let keep = has(clause, KEEP);
    if keep && has(clause, QUALITY) {
        question.add(Goal::SameQuality, clause);
    }
    if !has(clause, SPEED) {
        return;
    }
    let faster = has(clause, "faster|quicker|sooner|too slow|speed up");
    if keep && !faster {
        question.add(Goal::SameLatency, clause);
    } else if !faster && !has(clause, LESS) && has(clause, "what|how|which|show") {
        question.add(Goal::Latency, clause);
    } else if has(clause, "faster|latency|slow*") || !(has(clause, LESS) && has(clause, MONEY)) {
        // "Quickly cut our bill" is about money.
        question.add(Goal::Faster { factor: figures.times_faster(has(clause, LESS)) }, clause);
    }
}

fn money(clause: &str, figures: &Figures, question: &mut Question) {
    let (money, less) = (has(clause, MONEY), has(clause, LESS));
    if money && has(clause, KEEP_MONEY) && (!less || has(clause, SAME_MONEY)) {
        return question.add(Goal::SameSpend, clause);
    }
    let limit = money || has(clause, "within|under|below|most") || !has(clause, GROWTH);
    if let Some(usd) = figures.usd.filter(|_| limit) {
        let months = match clause {
            _ if has(clause, "year|annual*|yearly") => 12.0,
            _ if has(clause, "day|daily") => 1.0 / 30.0,
            _ => 1.0,
        };
        return question.add(Goal::Budget { usd_a_month: usd / months }, clause);
    }
    // "What would that save?" asks for the figure of the wish beside it.
    let asks_amount = has(clause, HOW_MUCH) && has(clause, "sav*");
    let cheaper = has(clause, "cheaper|save|savings|saving") && !has(clause, "cheaper model|batch*|cach*");
    if less && (money || cheaper) && !asks_amount {
        let by = figures.percent.or(has(clause, "halv*|half").then_some(0.5)).filter(|by| (0.0..1.0).contains(by));
        question.add(Goal::CutCost { by }, clause);
    }
}

fn growth(clause: &str, figures: &Figures, question: &mut Question) {
    if !has(clause, "grow*") && (!has(clause, GROWTH) || has(clause, LESS)) {
        return;
    }
    if let Some(by) = figures.growth() {
        // In "2x traffic within $80 a month" the month belongs to the money.
        let monthly = figures.usd.is_none() && has(clause, EACH_MONTH);
        question.add(Goal::Growth { by, monthly, months: figures.months }, clause);
    } else if has(clause, "grow*|scale*") {
        question.add(Goal::Forecast, clause);
    }
}
