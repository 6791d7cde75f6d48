//! Which goals a question states: rules over its words, each goal with the words that gave it.
//!
//! Promises: nothing is guessed from tone; a goal without a figure has none; a question that states no known goal gets
//! the overview, and is told so.

mod rules;
mod text;

use serde::Serialize;

use super::pricing::PriceTable;

/// A goal, with the figures the question gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "goal", rename_all = "snake_case")]
pub enum Goal {
    /// Lower cost, by this share (0.3 for 30 %) if one is stated.
    CutCost {
        /// Share to save.
        by: Option<f64>,
    },
    /// Answers must stay as good as they are.
    SameQuality,
    /// Answers must come this many times faster, if a figure is stated.
    Faster {
        /// Times faster.
        factor: Option<f64>,
    },
    /// How fast answers are.
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
    /// What will it cost.
    Forecast,
    /// Stay under this many US dollars a month.
    Budget {
        /// US dollars a month.
        usd_a_month: f64,
    },
    /// Is caching used well.
    AuditCaching,
    /// Compare models (those of the log when fewer than two are named).
    CompareModels {
        /// Names as in the price table.
        models: Vec<String>,
    },
    /// Where tokens and money go.
    WhereTokensGo,
    /// Peaks and rate limits.
    Peaks,
    /// A cheaper model for some requests.
    CheaperModel,
    /// What batch prices would save.
    Batch,
}

impl Goal {
    /// The goal of this name, without figures; nothing for those that are nothing without one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
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

    /// A few words for people.
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
            Self::CheaperModel => "use a cheaper model where it serves".into(),
            Self::Batch => "use batch prices".into(),
        }
    }
}

/// Most characters of a question that are quoted beside a goal.
const MAX_QUOTE: usize = 160;

/// What a question asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Question {
    /// Its goals in the order stated, each with the words that gave it.
    pub goals: Vec<(Goal, String)>,
    /// Models it names, as in the price table.
    pub models: Vec<String>,
    /// Goals that pull against each other, in words.
    pub conflicts: Vec<String>,
}

impl Question {
    /// Whether any goal satisfies `test`.
    pub fn asks(&self, test: impl Fn(&Goal) -> bool) -> bool {
        self.goals.iter().any(|(goal, _)| test(goal))
    }

    /// Whether quality must stay as it is.
    pub fn same_quality(&self) -> bool {
        self.asks(|goal| *goal == Goal::SameQuality)
    }

    /// The stated growth, if any: share, whether monthly, months.
    pub fn growth(&self) -> Option<(f64, bool, Option<u32>)> {
        self.goals.iter().find_map(|(goal, _)| match goal {
            Goal::Growth { by, monthly, months } => Some((*by, *monthly, *months)),
            _ => None,
        })
    }

    /// Reads a question; `table` tells which words are models.
    pub fn of(text: &str, table: &PriceTable) -> Self {
        let plain = text::plain(text);
        let mut question = Self { models: text::models_in(&plain, table), ..Self::default() };
        for clause in text::clauses(&plain) {
            rules::read(clause, &mut question);
        }
        question.share_months(&plain);
        question.add_conflicts();
        question
    }

    /// Takes the goals that somebody else found in `text`, a question in which the rules found none.
    pub fn understood(&mut self, goals: Vec<Goal>, text: &str) {
        goals.into_iter().for_each(|goal| self.add(goal, text));
        self.add_conflicts();
    }

    /// Adds a goal, unless one of its kind was stated before.
    fn add(&mut self, goal: Goal, clause: &str) {
        let same_kind = |known: &Goal| std::mem::discriminant(known) == std::mem::discriminant(&goal);
        if !self.asks(same_kind) {
            self.goals.push((goal, clause.trim().chars().take(MAX_QUOTE).collect()));
        }
    }

    /// "We grow 10 % a month. Forecast the next 6 months": the horizon may stand in another clause than the growth.
    fn share_months(&mut self, plain: &str) {
        let stated = text::Figures::of(plain).months;
        for (goal, _) in &mut self.goals {
            if let Goal::Growth { months, .. } = goal {
                *months = months.or(stated);
            }
        }
    }

    fn add_conflicts(&mut self) {
        let (quality, cost) =
            (self.same_quality(), self.asks(|goal| matches!(goal, Goal::CutCost { .. } | Goal::SameSpend)));
        let faster = self.asks(|goal| matches!(goal, Goal::Faster { .. }));
        let batch = self.asks(|goal| *goal == Goal::Batch);
        let fixed = self.asks(|goal| matches!(goal, Goal::SameSpend | Goal::Budget { .. } | Goal::CutCost { .. }));
        let grows = self.growth().is_some();
        let mut note = |applies: bool, text: &str| {
            if applies {
                self.conflicts.push(text.to_owned());
            }
        };
        note(
            quality && cost,
            "Cutting cost and keeping quality pull apart: a cheaper model, shorter answers and shorter prompts are listed apart, \
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
        Question::of(text, &PriceTable::shipped()).goals.into_iter().map(|(goal, _)| goal).collect()
    }

    #[test]
    fn the_figures_of_a_question_are_read() {
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
    fn models_are_told_apart_by_their_whole_name() {
        let question = Question::of("Compare gpt-4o with gpt-4o-mini.", &PriceTable::shipped());
        assert_eq!(question.models, ["gpt-4o", "gpt-4o-mini"]);
        assert!(question.asks(|goal| matches!(goal, Goal::CompareModels { models } if models.len() == 2)));
        assert_eq!(Question::of("we run gpt-4.1.", &PriceTable::shipped()).models, ["gpt-4.1"]);
    }

    #[test]
    fn a_question_without_a_known_goal_has_none() {
        assert_eq!(goals("Hello there"), []);
        assert_eq!(goals(""), []);
    }

    #[test]
    fn goals_that_pull_apart_are_noted() {
        let question = Question::of(
            "Cut cost at the same quality, make it 2x faster, and use batch prices",
            &PriceTable::shipped(),
        );
        assert_eq!(question.conflicts.len(), 3, "{question:?}");
    }
}
