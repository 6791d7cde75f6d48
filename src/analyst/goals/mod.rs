//! Reads the goals of a question by rules over its words, each goal with the words that state it.
//!
//! Guarantees: a goal has a number only if the question states one; a question whose words are not understood has no
//! goal and is marked as such ([`Question::unclear`]): it is answered with what can be asked, never with a report in
//! its place.

pub mod periods;
mod quantities;
pub mod query;
mod query_rules;
mod query_words;
mod rules;
pub(in crate::analyst) mod text;

use serde::Serialize;

pub use self::query::Query;
pub(in crate::analyst) use self::{query_rules::second_dimension, query_words::is_known_word};
use super::{
    dataset::Tier,
    forecast::MONTH_DAYS,
    format::{decimal, money_in},
    pricing::PriceTable,
    profile::ProfileOptions,
    zones::Zone,
};

/// A goal, with the numbers that the question states.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "goal", rename_all = "snake_case")]
pub enum Goal {
    /// Lower the cost, by this share (0.3 for 30 %) if stated.
    CutCost {
        /// Share to save.
        by: Option<f64>,
    },
    /// Answers must stay as good as they are.
    SameQuality,
    /// Answers must come faster.
    Faster {
        /// How many times faster, if stated.
        factor: Option<f64>,
    },
    /// See how fast answers are.
    Latency,
    /// Latency must not rise.
    SameLatency,
    /// Cost must not rise.
    SameSpend,
    /// Traffic grows by this share (0.5 for 50 %), once or again and again.
    Growth {
        /// Share of growth.
        by: f64,
        /// After how many months it repeats, if it does: 3 for "every quarter".
        every_months: Option<f64>,
        /// Months ahead, if stated.
        months: Option<u32>,
    },
    /// Forecast the cost.
    Forecast,
    /// Stay under this amount a month.
    Budget {
        /// The amount a month.
        amount_a_month: f64,
        /// Its currency (ISO 4217).
        currency: String,
    },
    /// Check how well caching is used.
    AuditCaching,
    /// Compare models (also those of the log, if fewer than two are named).
    CompareModels {
        /// Names as in the price table.
        models: Vec<String>,
    },
    /// See where tokens and money go.
    WhereTokensGo,
    /// See peaks and rate limits.
    Peaks,
    /// Use a cheaper model for some requests.
    CheaperModel,
    /// Use batch prices.
    Batch,
    /// Use another service tier.
    ServiceTier {
        /// The tier.
        tier: Tier,
    },
    /// Know a figure of the log.
    Query(Query),
}

impl Goal {
    /// The goal with this name, without numbers; `None` for an unknown name and for goals that need a number.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "cut_cost" => Self::CutCost { by: None },
            "same_quality" => Self::SameQuality,
            "faster" => Self::Faster { factor: None },
            "latency" => Self::Latency,
            "same_latency" => Self::SameLatency,
            "same_spend" => Self::SameSpend,
            "forecast" => Self::Forecast,
            "audit_caching" => Self::AuditCaching,
            "compare_models" => Self::CompareModels { models: Vec::new() },
            "where_tokens_go" => Self::WhereTokensGo,
            "peaks" => Self::Peaks,
            "cheaper_model" => Self::CheaperModel,
            "batch" => Self::Batch,
            _ => return None,
        })
    }

    /// A short description.
    pub fn label(&self) -> String {
        match self {
            Self::CutCost { by: Some(by) } => format!("cut cost by {:.0} %", by * 100.0),
            Self::CutCost { by: None } => "cut cost".into(),
            Self::SameQuality => "keep the quality".into(),
            Self::Faster { factor: Some(factor) } => format!("be {} times faster", decimal(*factor)),
            Self::Faster { factor: None } => "get faster answers".into(),
            Self::Latency => "know the latency".into(),
            Self::SameLatency => "keep the latency".into(),
            Self::SameSpend => "keep the spend".into(),
            Self::Growth { by, every_months, months } => {
                let span = months.map_or(String::new(), |months| format!(" for {months} months"));
                let every = every_months.map_or(String::new(), |months| format!(" {}", each(months)));
                format!("plan for {} % more traffic{every}{span}", decimal(by * 100.0))
            }
            Self::Forecast => "forecast the cost".into(),
            Self::Budget { amount_a_month, currency } => {
                format!("stay within {} a month", money_in(*amount_a_month, currency))
            }
            Self::AuditCaching => "audit caching".into(),
            Self::CompareModels { models } if models.is_empty() => "compare the models".into(),
            Self::CompareModels { models } => format!("compare {}", models.join(" and ")),
            Self::WhereTokensGo => "see where tokens go".into(),
            Self::Peaks => "know peaks and limits".into(),
            Self::CheaperModel => "use a cheaper model where it is good enough".into(),
            Self::Batch => "use batch prices".into(),
            Self::ServiceTier { tier } => format!("use {} prices", format!("{tier:?}").to_lowercase()),
            Self::Query(query) => query.label(),
        }
    }
}

/// `each quarter` for 3 months.
pub(in crate::analyst) fn each(months: f64) -> String {
    let units =
        [(1.0, "month"), (3.0, "quarter"), (12.0, "year"), (7.0 / MONTH_DAYS, "week"), (1.0 / MONTH_DAYS, "day")];
    let unit = units.iter().find(|(length, _)| (length - months).abs() < 1e-9);
    unit.map_or_else(|| format!("every {} months", decimal(months)), |(_, unit)| format!("each {unit}"))
}

/// Most characters of the words stored with a goal.
const MAX_QUOTE: usize = 160;

/// A parsed question.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Question {
    /// Its goals in the order stated, each with the words that state it.
    pub goals: Vec<(Goal, String)>,
    /// The models it names, as in the price table.
    pub models: Vec<String>,
    /// Words that look like the name of a model, but are none of the price table.
    pub unknown_models: Vec<String>,
    /// The time zone of days and hours.
    pub zone: Zone,
    /// Whether it asks about the end of the year.
    pub until_year_end: bool,
    /// Parts of the question that are not understood.
    pub not_understood: Vec<String>,
    /// Whether none of it is understood. Then the answer is what can be asked.
    pub unclear: bool,
    /// A sentence for each conflict between goals.
    pub conflicts: Vec<String>,
}

/// Words that ask for an overview.
const OVERVIEW: &str = "analy*|overview|summar*|report|look at|go through|insight*|review|profile|explain|inspect|\
    what do you see|\
                        what is in|what's in|evaluate|assess|usage|check|statistics|stats|help me understand";

/// Words that mean the end of the year.
const YEAR_END: &str = "year's end|end of the year|end of year|end of this year|year end|year-end|eoy";

/// Words with which a question begins.
const QUESTION_WORDS: &str =
    "what|which|how|who|whose|when|where|why|can|could|does|do|is|are|should|will|would|show|list|give|tell";

impl Question {
    /// Whether any goal satisfies `test`.
    pub fn has_goal(&self, test: impl Fn(&Goal) -> bool) -> bool {
        self.goals.iter().any(|(goal, _)| test(goal))
    }

    /// The questions for figures, in order.
    pub fn queries(&self) -> impl Iterator<Item = &Query> {
        self.goals.iter().filter_map(|(goal, _)| match goal {
            Goal::Query(query) => Some(query),
            _ => None,
        })
    }

    /// How to profile the log for this question: with days and hours in its time zone.
    pub fn profile_options(&self) -> ProfileOptions {
        ProfileOptions { time_zone: self.zone.rule().clone(), time_zone_name: Some(self.zone.name.clone()) }
    }

    /// Whether quality must stay as it is.
    pub fn same_quality(&self) -> bool {
        self.has_goal(|goal| *goal == Goal::SameQuality)
    }

    /// The stated growth, if any: share, after how many months it repeats, months ahead.
    pub fn growth(&self) -> Option<(f64, Option<f64>, Option<u32>)> {
        self.goals.iter().find_map(|(goal, _)| match goal {
            Goal::Growth { by, every_months, months } => Some((*by, *every_months, *months)),
            _ => None,
        })
    }

    /// Parses a question; `table` has the known model names.
    pub fn parse(text: &str, table: &PriceTable) -> Self {
        let mut plain = text::normalize(text);
        let mut question = Self::default();
        if let Some((zone, words)) = Zone::find_in(&plain) {
            question.zone = zone;
            plain = plain.replacen(&words, "", 1);
        }
        plain = text::join_model_names(&plain, table);
        question.models = text::find_models(&plain, table);
        let (models, unknown) = text::find_unknown_models(&plain, &question.models, table);
        question.models.extend(models);
        question.unknown_models = unknown;
        for clause in text::split_clauses(&plain) {
            let clause = clause.trim().trim_start_matches("and ").trim_start_matches("but ");
            let mut part = Self {
                models: question.models.clone(),
                unknown_models: question.unknown_models.clone(),
                ..Self::default()
            };
            rules::apply(clause, &mut part, table);
            let understood = !part.goals.is_empty();
            part.goals.into_iter().for_each(|(goal, _)| question.add_goal(goal, clause));
            let first = clause.split_whitespace().next().unwrap_or_default();
            let asks = text::contains_any(first, QUESTION_WORDS) && clause.split_whitespace().count() > 2;
            if !understood && asks && !rules::restates(clause) {
                question.not_understood.push(clause.trim().chars().take(MAX_QUOTE).collect());
            }
        }
        question.until_year_end = text::contains_any(&plain, YEAR_END);
        question.apply_horizon(&plain);
        question.add_conflicts();
        let is_overview = plain.trim().is_empty() || text::contains_any(&plain, OVERVIEW);
        question.unclear = question.goals.is_empty() && !is_overview;
        question
    }

    /// Adds goals that a model found in `text`, a question in which the rules found none.
    pub fn add_goals(&mut self, goals: Vec<Goal>, text: &str) {
        goals.into_iter().for_each(|goal| self.add_goal(goal, text));
        self.unclear &= self.goals.is_empty();
        if !self.goals.is_empty() {
            self.not_understood.clear();
        }
        self.add_conflicts();
    }

    /// Adds a goal, unless there is one of its kind; of figures and tiers there may be several.
    fn add_goal(&mut self, goal: Goal, clause: &str) {
        let several = matches!(goal, Goal::Query(_) | Goal::ServiceTier { .. });
        let same_kind = |known: &Goal| {
            if several { *known == goal } else { std::mem::discriminant(known) == std::mem::discriminant(&goal) }
        };
        if !self.has_goal(same_kind) {
            self.goals.push((goal, clause.trim().chars().take(MAX_QUOTE).collect()));
        }
    }

    /// Takes the months of a growth from the whole question: "We grow 10 % a month. Forecast the next 6 months".
    fn apply_horizon(&mut self, plain: &str) {
        let rest = quantities::repetition(plain, false)
            .map_or_else(|| plain.to_owned(), |(_, words)| plain.replace(&words, " "));
        let stated = quantities::Quantities::parse(&rest).months;
        for (goal, _) in &mut self.goals {
            if let Goal::Growth { months, .. } = goal {
                *months = months.or(stated);
            }
        }
    }

    /// Adds a sentence for each conflict between the goals.
    fn add_conflicts(&mut self) {
        let (quality, cost) =
            (self.same_quality(), self.has_goal(|goal| matches!(goal, Goal::CutCost { .. } | Goal::SameSpend)));
        let faster = self.has_goal(|goal| matches!(goal, Goal::Faster { .. }));
        let batch = self.has_goal(|goal| *goal == Goal::Batch);
        let fixed = self.has_goal(|goal| matches!(goal, Goal::SameSpend | Goal::Budget { .. } | Goal::CutCost { .. }));
        let grows = self.growth().is_some();
        let mut note = |applies: bool, text: &str| {
            if applies {
                self.conflicts.push(text.to_owned());
            }
        };
        note(
            quality && cost,
            "Cutting cost and keeping quality conflict: a cheaper model, shorter answers and shorter prompts are \
            listed separately, \
             because this log cannot show that answers stay as good.",
        );
        note(
            faster && cost,
            "Faster service tiers cost more: only what makes requests smaller helps speed and cost at once.",
        );
        note(
            faster && batch,
            "Batch prices mean answers within hours: they cannot serve requests that must be faster.",
        );
        note(grows && fixed, "More traffic at a fixed spend needs a lower cost per request.");
    }
}

#[cfg(test)]
mod tests;
