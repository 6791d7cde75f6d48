//! Everything the analyst computes about one log and one question, in the order in which it is computed.

use serde::Serialize;

use super::{
    forecast::{Compared, Forecast, Speed},
    goals::{Goal, Question},
    ingest::{IngestReport, LoadError, Log, StopFn},
    optimize::{Evidence, Quality, Savings},
    pricing::{PriceTable, Pricing},
    profile::Profile,
    words::{money, percent, whole},
};

/// Smallest share of the list cost that makes an option an action.
pub const WORTH_DOING: f64 = 0.005;

/// A concrete change, ordered by effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    /// What to do.
    pub title: String,
    /// How.
    pub change: String,
    /// What it brings.
    pub effect: String,
    /// US dollars over the log, for the order; 0 where the effect is no money.
    pub usd: f64,
    /// What to check before or after.
    pub check: String,
}

/// A finished analysis.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// The file's name.
    pub file: String,
    /// What was asked.
    pub question: Question,
    /// What reading found.
    pub ingest: IngestReport,
    /// The log in numbers.
    pub profile: Profile,
    /// Models whose prices were used, the assumed one among them.
    pub priced_as: Vec<String>,
    /// The model whose prices were assumed for the whole log, if so.
    pub assumed_model: Option<String>,
    /// Models without a price, with their requests.
    pub unpriced: Vec<(String, u64)>,
    /// Where prices come from.
    pub price_origin: String,
    /// Options.
    pub savings: Savings,
    /// Months.
    pub forecast: Option<Forecast>,
    /// Models side by side, where asked.
    pub compared: Vec<Compared>,
    /// Speed, where the log has latency.
    pub speed: Option<Speed>,
    /// Changes, largest effect first.
    pub actions: Vec<Action>,
}

/// Prices a log as a question wants it: the model that the question names stands in where the log names none.
pub fn pricing(log: &Log, question: &Question, table: &PriceTable) -> Pricing {
    Pricing::of(&log.data, table, question.models.first().map(String::as_str))
}

/// Whether the question wants models side by side.
pub fn wants_comparison(question: &Question) -> bool {
    question.asks(|goal| matches!(goal, Goal::CompareModels { .. }))
}

impl Analysis {
    /// Computes everything at once.
    ///
    /// # Errors
    /// [`LoadError::Stopped`] when `stop` says so.
    pub fn of(file: &str, text: &str, log: &Log, table: &PriceTable, stop: StopFn<'_>) -> Result<Self, LoadError> {
        let question = Question::of(text, table);
        let pricing = pricing(log, &question, table);
        let profile = Profile::of(&log.data, &pricing, stop)?;
        let savings = Savings::of(&log.data, &pricing, table, &profile, &question, stop)?;
        let compared = if wants_comparison(&question) {
            super::forecast::compare(&log.data, &pricing, table, &profile, &question)
        } else {
            Vec::new()
        };
        Ok(Self::assemble(file, question, log, table, &pricing, profile, savings, compared))
    }

    /// Puts together what was computed in parts, and adds what follows from it.
    #[allow(clippy::too_many_arguments, reason = "one argument for each part of an analysis")]
    pub fn assemble(
        file: &str,
        question: Question,
        log: &Log,
        table: &PriceTable,
        pricing: &Pricing,
        profile: Profile,
        savings: Savings,
        compared: Vec<Compared>,
    ) -> Self {
        let forecast = Forecast::of(&profile, &savings, &question);
        let speed = Speed::of(&profile, &question);
        let actions = actions(&profile, &savings, &question, speed.as_ref());
        Self {
            file: file.to_owned(),
            ingest: log.report.clone(),
            priced_as: pricing.used().iter().map(|price| price.model.clone()).collect(),
            assumed_model: pricing.assumed.clone(),
            unpriced: pricing.unpriced.clone(),
            price_origin: table.origin(),
            question,
            profile,
            savings,
            forecast,
            compared,
            speed,
            actions,
        }
    }
}

/// Concrete changes: the options worth at least [`WORTH_DOING`], then what is no money.
pub fn actions(profile: &Profile, savings: &Savings, question: &Question, speed: Option<&Speed>) -> Vec<Action> {
    // What the question rules out comes last; else the largest effect first.
    let mut options: Vec<_> = savings.options.iter().filter(|option| option.share >= WORTH_DOING).collect();
    options.sort_by_key(|option| question.same_quality() && option.quality == Quality::NeedsTest);
    let mut actions: Vec<Action> = options
        .into_iter()
        .map(|option| {
            let certain = match option.evidence {
                Evidence::Log => "computed from the log",
                Evidence::Assumption => "if the assumption holds",
            };
            let check = match (option.quality, question.same_quality()) {
                (Quality::Unchanged, _) => {
                    "Answers stay the same; compare the bill of a week before and after.".to_owned()
                }
                (Quality::NeedsTest, true) => {
                    "You asked for the same quality: only after an evaluation shows no difference.".to_owned()
                }
                (Quality::NeedsTest, false) => "Compare answers on logged requests before switching.".to_owned(),
            };
            Action {
                title: option.title.clone(),
                change: option.change.clone(),
                effect: format!(
                    "{} of the log's list cost ({}), {certain}",
                    percent(option.share),
                    money(option.saving_usd)
                ),
                usd: option.saving_usd,
                check,
            }
        })
        .collect();
    if let (Some(shift), Some(load)) = (savings.peak_shift, &profile.load) {
        actions.push(Action {
            title: "Spread the peaks".into(),
            change: format!("Queue background requests above {} tokens a minute.", whole(shift.limit as f64)),
            effect: format!(
                "the busiest minute falls from {} to {} tokens (mean {}); {} of the tokens wait, up to {} min",
                whole(shift.peak as f64),
                whole(shift.limit as f64),
                whole(load.mean_tokens),
                percent(shift.delayed_share),
                shift.longest_minutes
            ),
            usd: 0.0,
            check: "Only for requests nobody waits for.".into(),
        });
    }
    let missing = [
        (speed.is_none(), "latency (`latency_ms`)", "how fast answers are and what would make them faster"),
        (profile.cached.is_none(), "cached tokens (`cached_tokens`)", "what caching saves and misses"),
        (profile.load.is_none(), "time (`timestamp`)", "peaks, months and growth"),
        (
            profile.by_model.first().is_none_or(|part| part.name.is_empty()),
            "the model (`model`)",
            "what each request really costs",
        ),
    ];
    let missing: Vec<_> = missing.iter().filter(|(absent, ..)| *absent).collect();
    if !missing.is_empty() {
        let columns: Vec<&str> = missing.iter().map(|(_, column, _)| *column).collect();
        let shows: Vec<&str> = missing.iter().map(|(.., shows)| *shows).collect();
        actions.push(Action {
            title: "Log what is missing".into(),
            change: format!("Add {}.", columns.join(", ")),
            effect: format!("shows {}", shows.join("; ")),
            usd: 0.0,
            check: "One day of it is enough to ask again.".into(),
        });
    }
    actions
}
