//! Which goals a question states: rules over its words, each goal with the words that gave it.
//!
//! Promises: nothing is guessed from tone; a goal without a figure has none; a question that states no known goal gets
//! the overview, and is told so.

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
    /// A few words for people.
    pub fn label(&self) -> String {
        match self {
            Self::CutCost { by: Some(by) } => format!("cut cost by {:.0} %", by * 100.0),
            Self::CutCost { by: None } => "cut cost".into(),
            Self::SameQuality => "keep the quality".into(),
            Self::Faster { factor: Some(factor) } => format!("{factor} times faster"),
            Self::Faster { factor: None } => "faster answers".into(),
            Self::SameLatency => "keep the latency".into(),
            Self::SameSpend => "keep the spend".into(),
            Self::Growth { by, monthly, months } => {
                let span = months.map_or(String::new(), |months| format!(" for {months} months"));
                format!("{:.0} % more traffic{}{span}", by * 100.0, if *monthly { " each month" } else { "" })
            }
            Self::Forecast => "forecast the cost".into(),
            Self::Budget { usd_a_month } => format!("stay within ${usd_a_month:.0} a month"),
            Self::AuditCaching => "audit caching".into(),
            Self::CompareModels { models } if models.is_empty() => "compare the models".into(),
            Self::CompareModels { models } => format!("compare {}", models.join(" and ")),
            Self::WhereTokensGo => "see where tokens go".into(),
            Self::Peaks => "know the peaks and limits".into(),
            Self::CheaperModel => "use a cheaper model where it serves".into(),
            Self::Batch => "use batch prices".into(),
        }
    }
}

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
        let lower = plain(text);
        let models = models_in(&lower, table);
        let mut question = Self { models, ..Self::default() };
        for clause in clauses(&lower) {
            question.read(clause);
        }
        question.add_conflicts();
        question
    }

    fn add(&mut self, goal: Goal, clause: &str) {
        let same_kind = |known: &Goal| std::mem::discriminant(known) == std::mem::discriminant(&goal);
        if !self.asks(same_kind) {
            self.goals.push((goal, clause.trim().to_owned()));
        }
    }

    fn read(&mut self, clause: &str) {
        let has = |words: &[&str]| words.iter().any(|word| contains(clause, word));
        let keep = has(&[
            "same",
            "keep*",
            "hold*",
            "without",
            "no extra",
            "not los*",
            "stay*",
            "maintain*",
            "preserv*",
            "unchanged",
            "don't lose",
            "at least as",
        ]);
        let quality = keep && has(&["quality", "accura*", "as good"]);
        let speed = has(&[
            "faster",
            "fast",
            "speed*",
            "latency",
            "latencies",
            "slow*",
            "quick*",
            "response time",
            "response times",
            "sooner",
        ]);
        let money = has(&[
            "cost*", "spend*", "bill", "bills", "price", "prices", "money", "budget*", "pay", "paying", "expens*",
        ]);
        let less = has(&[
            "cut*",
            "reduc*",
            "lower*",
            "sav*",
            "less",
            "halv*",
            "decreas*",
            "cheaper",
            "bring down",
            "shrink*",
            "trim*",
            "optimi*",
            "drop",
        ]);
        let keep_money =
            money && has(&["same", "without spending more", "no extra", "not spend more", "keep*", "unchanged"]);
        let grows = has(&[
            "grow*",
            "more traffic",
            "more users",
            "more requests",
            "more load",
            "double the traffic",
            "traffic",
            "scale*",
            "expand*",
            "increas*",
            "volume",
            "users",
        ]);
        let figures = Figures::of(clause);

        if quality {
            self.add(Goal::SameQuality, clause);
        }
        if speed && keep && !has(&["faster", "quicker"]) {
            self.add(Goal::SameLatency, clause);
        } else if speed && !(less && money && !has(&["faster", "latency", "slow*"])) {
            self.add(Goal::Faster { factor: figures.times_faster() }, clause);
        }
        if keep_money && !(less && !has(&["same spend", "same cost", "same budget", "same price"])) {
            self.add(Goal::SameSpend, clause);
        } else if let Some(usd) = figures.usd.filter(|_| !grows || money || has(&["within", "under", "below", "most"]))
        {
            let a_month = if has(&["year", "annual*", "yearly"]) {
                usd / 12.0
            } else if has(&["day", "daily"]) {
                usd * 30.0
            } else {
                usd
            };
            self.add(Goal::Budget { usd_a_month: a_month }, clause);
        } else if has(&["what would", "what does", "what do", "how much would", "how much does"]) && has(&["sav*"]) {
            // "What would that save?" asks for the figure of the wish beside it.
        } else if (money && less)
            || (less && has(&["cheaper", "save", "savings", "saving"]) && !has(&["cheaper model", "batch*", "cach*"]))
        {
            let by = figures.percent.or(has(&["halv*", "half"]).then_some(0.5)).filter(|by| (0.0..1.0).contains(by));
            self.add(Goal::CutCost { by }, clause);
        }
        if grows && !less || has(&["grow*"]) {
            if let Some(by) = figures.growth() {
                let monthly = figures.usd.is_none()
                    && has(&["a month", "per month", "monthly", "each month", "every month", "month over month"]);
                self.add(Goal::Growth { by, monthly, months: figures.months }, clause);
            } else if has(&["grow*", "scale*"]) {
                self.add(Goal::Forecast, clause);
            }
        }
        if has(&["cach*", "prefix*"]) {
            self.add(Goal::AuditCaching, clause);
        }
        if has(&["compar*", "versus", "vs", "switch*", "move from", "migrat*", "replace*", "instead of"])
            && (has(&["model*"]) || !self.models.is_empty())
        {
            self.add(Goal::CompareModels { models: self.models.clone() }, clause);
        }
        if has(&["where", "who", "which", "what"])
            && has(&["token*", "money", "spend*", "cost*"])
            && has(&["go", "goes", "going", "use", "uses", "take", "takes", "most", "eat*", "spent", "come*"])
        {
            self.add(Goal::WhereTokensGo, clause);
        }
        if has(&[
            "peak*",
            "rate limit*",
            "capacity",
            "burst*",
            "busiest",
            "throughput",
            "tpm",
            "rpm",
            "quota*",
            "headroom",
            "rate limits",
        ]) {
            self.add(Goal::Peaks, clause);
        }
        if has(&[
            "forecast*",
            "predict*",
            "project*",
            "next month",
            "next quarter",
            "next year",
            "will it cost",
            "will we pay",
            "will cost",
        ]) {
            self.add(Goal::Forecast, clause);
        }
        if has(&["batch*", "overnight", "offline", "asynchron*"]) {
            self.add(Goal::Batch, clause);
        }
        if has(&[
            "cheaper model*",
            "smaller model*",
            "small model*",
            "mini model*",
            "rout*",
            "downgrad*",
            "small requests",
            "simple requests",
        ]) {
            self.add(Goal::CheaperModel, clause);
        }
        if has(&["should i change", "should we change", "what to change", "optimi*", "improve*"])
            && !self.asks(|goal| matches!(goal, Goal::CutCost { .. }))
        {
            self.add(Goal::CutCost { by: None }, clause);
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

/// Lower case, typographic signs made plain, `5,000` made `5000`.
fn plain(text: &str) -> String {
    let chars: Vec<char> = text.to_lowercase().replace(['’', '‘'], "'").chars().collect();
    let digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
    let comma = |at: usize| {
        chars[at] == ',' && digit(at.checked_sub(1)) && (1..=3).all(|n| digit(Some(at + n))) && !digit(Some(at + 4))
    };
    chars.iter().enumerate().filter(|(at, _)| !comma(*at)).map(|(_, c)| *c).collect()
}

/// A question cut at its punctuation and at words that begin another wish.
fn clauses(lower: &str) -> Vec<&str> {
    let mut clauses = Vec::new();
    let mut start = 0;
    for (at, c) in lower.char_indices() {
        let next_is_space =
            lower[at + c.len_utf8()..].starts_with(|c: char| c.is_whitespace()) || at + c.len_utf8() == lower.len();
        if (matches!(c, ',' | '.' | ':') && next_is_space) || matches!(c, ';' | '?' | '!' | '\n') {
            clauses.push(&lower[start..at]);
            start = at + c.len_utf8();
        }
    }
    clauses.push(&lower[start..]);
    // "compare a and b" must stay whole: parts count only when each says something of its own.
    clauses
        .into_iter()
        .flat_map(|clause| {
            let parts: Vec<&str> = clause
                .split(" and ")
                .flat_map(|part| part.split(" but "))
                .flat_map(|part| part.split(" while "))
                .collect();
            if parts.iter().all(|part| part.split_whitespace().count() >= 3) { parts } else { vec![clause] }
        })
        .filter(|clause| !clause.trim().is_empty())
        .collect()
}

/// Whether `clause` has `phrase` as whole words; a final `*` takes any ending.
fn contains(clause: &str, phrase: &str) -> bool {
    let (stem, open) = phrase.strip_suffix('*').map_or((phrase, false), |stem| (stem, true));
    clause.match_indices(stem).any(|(at, _)| {
        let before = clause[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        let after = clause[at + stem.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric());
        before && (open || after)
    })
}

/// Models of the table that the text names, longest names first so that `gpt-4o-mini` is not also `gpt-4o`.
fn models_in(lower: &str, table: &PriceTable) -> Vec<String> {
    let mut names: Vec<(&str, &str)> =
        table.models().map(|name| (name.rsplit('/').next().unwrap_or(name), name)).collect();
    names.sort_by_key(|(bare, _)| std::cmp::Reverse(bare.len()));
    let mut text = lower.to_owned();
    let mut found: Vec<(usize, String)> = Vec::new();
    for (bare, name) in names.into_iter().filter(|(bare, _)| bare.len() > 1) {
        // A model name is delimited by what cannot be part of one.
        let part = |c: char| c.is_alphanumeric() || c == '-';
        while let Some(at) = text.match_indices(bare).map(|(at, _)| at).find(|&at| {
            let (before, after) = (text[..at].chars().next_back(), &text[at + bare.len()..]);
            let dotted = after.starts_with('.') && after[1..].starts_with(|c: char| c.is_ascii_digit());
            before.is_none_or(|c| !part(c)) && !after.starts_with(part) && !dotted
        }) {
            if !found.iter().any(|(_, known)| known == name) {
                found.push((at, name.to_owned()));
            }
            text.replace_range(at..at + bare.len(), &" ".repeat(bare.len()));
        }
    }
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

/// The figures of a clause.
#[derive(Debug, Default)]
struct Figures {
    percent: Option<f64>,
    times: Option<f64>,
    usd: Option<f64>,
    months: Option<u32>,
    twice: Option<f64>,
}

impl Figures {
    fn of(clause: &str) -> Self {
        let mut figures = Self::default();
        for (word, times) in [
            ("double*", 2.0),
            ("twice", 2.0),
            ("triple*", 3.0),
            ("two times", 2.0),
            ("three times", 3.0),
            ("four times", 4.0),
            ("five times", 5.0),
            ("ten times", 10.0),
            ("quadruple*", 4.0),
            ("two-fold", 2.0),
            ("tenfold", 10.0),
        ] {
            if contains(clause, word) {
                figures.twice = Some(times);
            }
        }
        for (word, months) in [
            ("a year", 12),
            ("one year", 12),
            ("next year", 12),
            ("half a year", 6),
            ("six months", 6),
            ("three months", 3),
            ("next quarter", 3),
            ("twelve months", 12),
        ] {
            if contains(clause, word) {
                figures.months = Some(months);
            }
        }
        let bytes = clause.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if !bytes[at].is_ascii_digit()
                || (at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'-' | b'.')))
            {
                at += 1;
                continue;
            }
            let end = (at..bytes.len())
                .find(|&i| {
                    !bytes[i].is_ascii_digit()
                        && !(bytes[i] == b'.' && bytes.get(i + 1).is_some_and(u8::is_ascii_digit))
                })
                .unwrap_or(bytes.len());
            if let Ok(value) = clause[at..end].parse::<f64>() {
                figures.take(value, clause[..at].trim_end(), &clause[end..]);
            }
            at = end;
        }
        figures
    }

    fn take(&mut self, value: f64, before: &str, after: &str) {
        let (thousands, after) = match after.strip_prefix('k') {
            Some(rest) if !rest.starts_with(char::is_alphanumeric) => (1e3, rest),
            _ => (1.0, after),
        };
        let word = after.trim_start();
        let starts = |words: &[&str]| {
            words.iter().any(|w| word.strip_prefix(w).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric)))
        };
        if word.starts_with('%') || starts(&["percent", "per cent"]) {
            self.percent = Some(value / 100.0);
        } else if starts(&["x", "times", "fold", "×"]) || word.starts_with("-fold") {
            self.times = Some(value);
        } else if before.ends_with('$') || starts(&["dollars", "dollar", "usd", "$", "bucks"]) {
            self.usd = Some(value * thousands);
        } else if starts(&["months", "month"]) {
            self.months = Some(value as u32);
        } else if starts(&["years", "year"]) {
            self.months = Some(value as u32 * 12);
        }
    }

    fn times_faster(&self) -> Option<f64> {
        self.times.or(self.twice).or(self.percent.map(|by| 1.0 + by)).filter(|factor| *factor > 1.0)
    }

    fn growth(&self) -> Option<f64> {
        self.percent.or(self.times.or(self.twice).map(|times| times - 1.0)).filter(|by| *by > 0.0)
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
            [Goal::Growth { by: 0.1, monthly: true, months: None }, Goal::Forecast]
        );
        assert_eq!(
            goals("prepare for 2x traffic within $5,000 a month"),
            [Goal::Budget { usd_a_month: 5000.0 }, Goal::Growth { by: 1.0, monthly: false, months: None }]
        );
        assert_eq!(goals("halve our bill"), [Goal::CutCost { by: Some(0.5) }]);
        assert_eq!(goals("Can we stay under 60k USD a year?"), [Goal::Budget { usd_a_month: 5000.0 }]);
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
