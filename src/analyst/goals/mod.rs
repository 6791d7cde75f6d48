//! Reads the goals of a question by rules over its words, each goal with the words that state it.
//!
//! Guarantees: a goal has a number only if the question states one; a question without a known goal gets the overview, and
//! the report says so.

mod rules;
mod text;

use serde::Serialize;

use super::pricing::PriceTable;

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
    /// Traffic grows by this share (0.5 for 50 %), once or every month.
    Growth {
        /// Share of growth.
        by: f64,
        /// Whether it repeats every month.
        monthly: bool,
        /// Months ahead, if stated.
        months: Option<u32>,
    },
    /// Forecast the cost.
    Forecast,
    /// Stay under this many US dollars a month.
    Budget {
        /// US dollars a month.
        usd_a_month: f64,
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
            Self::Faster { factor: Some(factor) } => format!("be {factor} times faster"),
            Self::Faster { factor: None } => "get faster answers".into(),
            Self::Latency => "know the latency".into(),
            Self::SameLatency => "keep the latency".into(),
            Self::SameSpend => "keep the spend".into(),
            Self::Growth { by, monthly, months } => {
                let span = months.map_or(String::new(), |months| format!(" for {months} months"));
                format!("plan for {:.0} % more traffic{}{span}", by * 100.0, if *monthly { " each month" } else { "" })
            }
            Self::Forecast => "forecast the cost".into(),
            Self::Budget { usd_a_month } => format!("stay within ${usd_a_month:.0} a month"),
            Self::AuditCaching => "audit caching".into(),
            Self::CompareModels { models } if models.is_empty() => "compare the models".into(),
            Self::CompareModels { models } => format!("compare {}", models.join(" and ")),
            Self::WhereTokensGo => "see where tokens go".into(),
            Self::Peaks => "know peaks and limits".into(),
            Self::CheaperModel => "use a cheaper model where it is good enough".into(),
            Self::Batch => "use batch prices".into(),
        }
    }
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
    /// A sentence for each conflict between goals.
    pub conflicts: Vec<String>,
}

impl Question {
    /// Whether any goal satisfies `test`.
    pub fn has_goal(&self, test: impl Fn(&Goal) -> bool) -> bool {
        self.goals.iter().any(|(goal, _)| test(goal))
    }

    /// Whether quality must stay as it is.
    pub fn same_quality(&self) -> bool {
        self.has_goal(|goal| *goal == Goal::SameQuality)
    }

    /// The stated growth, if any: share, whether it repeats monthly, months ahead.
    pub fn growth(&self) -> Option<(f64, bool, Option<u32>)> {
        self.goals.iter().find_map(|(goal, _)| match goal {
            Goal::Growth { by, monthly, months } => Some((*by, *monthly, *months)),
            _ => None,
        })
    }

    /// Parses a question; `table` has the known model names.
    pub fn parse(text: &str, table: &PriceTable) -> Self {
        let plain = text::normalize(text);
        let mut question = Self { models: text::find_models(&plain, table), ..Self::default() };
        for clause in text::split_clauses(&plain) {
            rules::apply(clause, &mut question);
        }
        question.apply_horizon(&plain);
        question.add_conflicts();
        question
    }

    /// Adds goals that a model found in `text`, a question in which the rules found none.
    pub fn add_goals(&mut self, goals: Vec<Goal>, text: &str) {
        goals.into_iter().for_each(|goal| self.add_goal(goal, text));
        self.add_conflicts();
    }

    /// Adds a goal, unless there is one of its kind.
    fn add_goal(&mut self, goal: Goal, clause: &str) {
        let same_kind = |known: &Goal| std::mem::discriminant(known) == std::mem::discriminant(&goal);
        if !self.has_goal(same_kind) {
            self.goals.push((goal, clause.trim().chars().take(MAX_QUOTE).collect()));
        }
    }

    /// Takes the months of a growth from the whole question: "We grow 10 % a month. Forecast the next 6 months".
    fn apply_horizon(&mut self, plain: &str) {
        let stated = text::Quantities::parse(plain).months;
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
            "Cutting cost and keeping quality conflict: a cheaper model, shorter answers and shorter prompts are listed separately, \
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
mod tests {
    use super::*;

    fn goals(text: &str) -> Vec<Goal> {
        Question::parse(text, &PriceTable::shipped()).goals.into_iter().map(|(goal, _)| goal).collect()
    }

    #[test]
    fn the_numbers_of_a_question_are_read() {
        assert_eq!(
            goals("Cut cost by 30 % at the same quality."),
            [Goal::SameQuality, Goal::CutCost { by: Some(0.3) }]
        );
        assert_eq!(
            goals("Make it three times faster at the same spend."),
            [Goal::Faster { factor: Some(3.0) }, Goal::SameSpend]
        );
        assert_eq!(goals("make it 2.5x faster"), [Goal::Faster { factor: Some(2.5) }]);
        assert_eq!(
            goals("We grow 10 % a month. Forecast the next 6 months"),
            [Goal::Growth { by: 0.1, monthly: true, months: Some(6) }, Goal::Forecast]
        );
        assert_eq!(
            goals("prepare for 2x traffic within $5,000 a month"),
            [Goal::Budget { usd_a_month: 5000.0 }, Goal::Growth { by: 1.0, monthly: false, months: None }]
        );
        assert_eq!(goals("Reduce latency by 50%"), [Goal::Faster { factor: Some(2.0) }]);
        assert_eq!(
            goals("Traffic will grow 20% per month for a year"),
            [Goal::Growth { by: 0.2, monthly: true, months: Some(12) }]
        );
        assert_eq!(goals("halve our bill"), [Goal::CutCost { by: Some(0.5) }]);
        assert_eq!(goals("Can we stay under 60k USD a year?"), [Goal::Budget { usd_a_month: 5000.0 }]);
    }

    #[test]
    fn plain_questions_state_their_goals() {
        for (text, goal) in [
            ("why is my bill so high?", Goal::WhereTokensGo),
            ("Which model is the most expensive?", Goal::WhereTokensGo),
            ("What is our p95 latency?", Goal::Latency),
            ("Is our prompt caching working?", Goal::AuditCaching),
            ("Which hours are the busiest?", Goal::Peaks),
            ("What happens if traffic triples?", Goal::Growth { by: 2.0, monthly: false, months: None }),
        ] {
            assert_eq!(goals(text), [goal], "{text}");
        }
        assert_eq!(
            goals("Can I get the same results for less money?"),
            [Goal::SameQuality, Goal::CutCost { by: None }]
        );
        assert_eq!(
            goals("Can we halve the spend and keep response times?"),
            [Goal::CutCost { by: Some(0.5) }, Goal::SameLatency]
        );
    }

    #[test]
    fn models_are_matched_by_their_whole_name() {
        let question = Question::parse("Compare gpt-4o with gpt-4o-mini.", &PriceTable::shipped());
        assert_eq!(question.models, ["gpt-4o", "gpt-4o-mini"]);
        assert!(question.has_goal(|goal| matches!(goal, Goal::CompareModels { models } if models.len() == 2)));
        assert_eq!(Question::parse("we run gpt-4.1.", &PriceTable::shipped()).models, ["gpt-4.1"]);
    }

    #[test]
    fn a_question_without_a_known_goal_has_none() {
        assert_eq!(goals("Hello there"), []);
        assert_eq!(goals(""), []);
    }

    #[test]
    fn conflicting_goals_are_noted() {
        let question = Question::parse(
            "Cut cost at the same quality, make it 2x faster, and use batch prices",
            &PriceTable::shipped(),
        );
        assert_eq!(question.conflicts.len(), 3, "{question:?}");
    }
}
