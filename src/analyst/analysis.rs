//! The whole analysis of one log for one question, and the actions that follow from it.

use serde::Serialize;

use super::{
    figures::{self, Figure, TierCost},
    forecast::{self, Forecast, ModelCost, Speed},
    format::{money, percent, whole},
    goals::{Goal, Question},
    ingest::{IngestError, IngestReport, StopFn, UsageLog},
    optimize::{Evidence, Quality, SavingOption, Savings},
    peaks::PeakShift,
    pricing::{MissingPrice, PriceTable, Pricing},
    profile::{Load, Profile},
};

/// Smallest share of the list cost that makes an option an action.
pub const MIN_ACTION_SHARE: f64 = 0.005;

const LOG_CHECK: &str = "One day of it is enough to ask again.";

/// A concrete change, ordered by effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    /// What to do.
    pub title: String,
    /// How.
    pub change: String,
    /// Its effect.
    pub effect: String,
    /// US dollars saved over the log; 0 if the effect is not money.
    pub usd: f64,
    /// What to check before or after.
    pub check: String,
}

/// A finished analysis.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// The file's name.
    pub file: String,
    /// The question.
    pub question: Question,
    /// The report of reading the file.
    pub ingest: IngestReport,
    /// The figures that the question asks for, one for each [`Goal::Query`], in order.
    pub figures: Vec<Figure>,
    /// The profile of the log.
    pub profile: Profile,
    /// Models whose prices apply, including an assumed one.
    pub priced_as: Vec<String>,
    /// The model whose prices are assumed for the whole log, if any.
    pub assumed_model: Option<String>,
    /// Models without a price, those with most tokens first.
    pub missing_prices: Vec<MissingPrice>,
    /// Names in the log with the names in the price table whose prices they have, where these differ.
    pub matched: Vec<(String, String)>,
    /// What list costs do not show, in sentences.
    pub price_notes: Vec<String>,
    /// What the requests would cost at the service tiers that the question names.
    pub tiers: Vec<TierCost>,
    /// Source and date of the prices.
    pub price_origin: String,
    /// The options that save money.
    pub savings: Savings,
    /// The cost of months ahead, if the log has times.
    pub forecast: Option<Forecast>,
    /// Models compared by cost, if the question asks for it.
    pub compared: Vec<ModelCost>,
    /// What the compared requests cost at list prices as they were, if all of them have a price.
    pub compared_with: Option<f64>,
    /// Speed, if the log has latency.
    pub speed: Option<Speed>,
    /// The changes to make, in order.
    pub actions: Vec<Action>,
}

/// Prices a log. If it names no priced model, the first model in the question is assumed.
pub fn price_log(log: &UsageLog, question: &Question, table: &PriceTable) -> Pricing {
    Pricing::for_dataset(&log.data, table, question.models.first().map(String::as_str))
}

/// Whether the question asks to compare models.
pub fn needs_comparison(question: &Question) -> bool {
    question.has_goal(|goal| matches!(goal, Goal::CompareModels { .. }))
}

impl Analysis {
    /// Computes the whole analysis of a log for the question `text`.
    ///
    /// # Errors
    /// [`IngestError::Stopped`] when `stop` returns true.
    pub fn compute(
        file: &str,
        text: &str,
        log: &UsageLog,
        table: &PriceTable,
        stop: StopFn<'_>,
    ) -> Result<Self, IngestError> {
        let question = Question::parse(text, table);
        let pricing = price_log(log, &question, table);
        let profile = Profile::compute_with(&log.data, &pricing, &question.profile_options(), stop)?;
        let savings = Savings::compute(&log.data, &pricing, table, &profile, &question, stop)?;
        let compared = if needs_comparison(&question) {
            forecast::compare(&log.data, &pricing, table, &profile, &question)
        } else {
            Vec::new()
        };
        Ok(Self::assemble(file, question, log, table, &pricing, profile, savings, compared))
    }

    /// Assembles an analysis from its parts; computes forecast, speed and actions.
    #[expect(clippy::too_many_arguments, reason = "one argument for each part of an analysis")]
    pub fn assemble(
        file: &str,
        question: Question,
        log: &UsageLog,
        table: &PriceTable,
        pricing: &Pricing,
        profile: Profile,
        savings: Savings,
        compared: Vec<ModelCost>,
    ) -> Self {
        let forecast = Forecast::compute(&profile, &savings, &question);
        let speed = Speed::measure(&profile, &question);
        let actions = actions(&profile, &savings, &question, speed.as_ref());
        Self {
            file: file.to_owned(),
            figures: figures::compute(&log.data, pricing, &question, &|| false),
            ingest: log.report.clone(),
            priced_as: pricing.in_use().iter().map(|price| price.model.clone()).collect(),
            assumed_model: pricing.assumed.clone(),
            missing_prices: pricing.missing.clone(),
            matched: pricing.matched.clone(),
            price_notes: pricing.notes.clone(),
            compared_with: if compared.is_empty() { None } else { forecast::compared_with(&log.data, pricing) },
            tiers: figures::tier_costs(&log.data, pricing, &question),
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

/// The changes to make: options that save at least [`MIN_ACTION_SHARE`], then changes that save no money.
///
/// Options that the log proves and that leave answers unchanged come first, then those that rest on an assumption or
/// need a test, each with the largest saving first; those that need a test come last if the question asks for the same
/// quality.
pub fn actions(profile: &Profile, savings: &Savings, question: &Question, speed: Option<&Speed>) -> Vec<Action> {
    let mut options: Vec<_> = savings.options.iter().filter(|option| option.share >= MIN_ACTION_SHARE).collect();
    options.sort_by_key(|option| {
        let proven = option.quality == Quality::Unchanged && option.evidence == Evidence::Log;
        (question.same_quality() && option.quality == Quality::NeedsTest, !proven)
    });
    let mut actions: Vec<Action> = options.into_iter().map(|option| option_action(option, question)).collect();
    actions.extend(zero_cost_action(profile));
    if let (Some(shift), Some(load)) = (savings.peak_shift, &profile.load) {
        actions.push(peak_action(shift, load));
    }
    actions.extend(missing_columns_action(profile, savings, speed));
    actions
}

/// The question about rows that are logged at no cost.
fn zero_cost_action(profile: &Profile) -> Option<Action> {
    let rows = profile.zero_cost_rows;
    (rows > 0).then(|| Action {
        title: "Check the rows that cost nothing".into(),
        change: format!(
            "{} rows have tokens and a logged cost of 0: a free tier, answers from a cache, credits, or a model that \
             the log's writer has no price for?",
            whole(rows as f64)
        ),
        effect: "shows whether the logged cost is the whole cost".into(),
        usd: 0.0,
        check: "Compare with the provider's bill.".into(),
    })
}

fn option_action(option: &SavingOption, question: &Question) -> Action {
    let certain = match option.evidence {
        Evidence::Log if option.quality == Quality::NeedsTest => "if a test shows that answers stay good",
        Evidence::Log => "computed from the log",
        Evidence::Assumption => "if the assumption holds",
    };
    let check = match (option.quality, question.same_quality()) {
        (Quality::Unchanged, _) => "Answers do not change; compare the bill of a week before and after.".to_owned(),
        (Quality::NeedsTest, true) => {
            "You asked for the same quality: only after an evaluation shows no difference.".to_owned()
        }
        (Quality::NeedsTest, false) => "Compare answers on a few hundred logged requests before switching.".to_owned(),
    };
    Action {
        title: option.title.clone(),
        change: option.change.clone(),
        effect: format!("{} of the log's list cost ({}), {certain}", percent(option.share), money(option.saving_usd)),
        usd: option.saving_usd,
        check,
    }
}

fn peak_action(shift: PeakShift, load: &Load) -> Action {
    Action {
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
    }
}

/// The advice to log the columns without which figures are missing; `None` when the log has all of them.
fn missing_columns_action(profile: &Profile, savings: &Savings, speed: Option<&Speed>) -> Option<Action> {
    if profile.sums {
        return Some(Action {
            title: "Log single requests".into(),
            change: "Add a log with one row for each request: time, model, tokens, cached tokens, latency, session."
                .into(),
            effect: "shows long prompts, peaks, latency, and what caching and cheaper models would save".into(),
            usd: 0.0,
            check: LOG_CHECK.into(),
        });
    }
    let caching_unproven =
        savings.option("caching").is_none() && savings.cache.is_some_and(|cache| !cache.is_complete());
    let has_session = ["session", "prompt"].iter().any(|name| profile.group(name).is_some());
    let missing = [
        (!profile.input_known, "input tokens (`input_tokens`)", "what prompts cost"),
        (!profile.output_known && profile.by_kind.is_empty(), "output tokens (`output_tokens`)", "what answers cost"),
        (speed.is_none(), "latency (`latency_ms`)", "how fast answers are and what would make them faster"),
        (profile.cached.is_none(), "cached tokens (`cached_tokens`)", "what caching saves and misses"),
        (caching_unproven && !has_session, "the session (`session_id`)", "which requests could use the cache"),
        (profile.from_ms.is_none(), "time (`timestamp`)", "peaks, months and growth"),
        (
            profile.by_model.first().is_none_or(|segment| segment.name.is_empty()),
            "the model (`model`)",
            "what each request really costs",
        ),
    ];
    let missing: Vec<_> = missing.iter().filter(|(absent, ..)| *absent).collect();
    if missing.is_empty() {
        return None;
    }
    let columns: Vec<&str> = missing.iter().map(|(_, column, _)| *column).collect();
    let shows: Vec<&str> = missing.iter().map(|(.., shows)| *shows).collect();
    Some(Action {
        title: "Log what is missing".into(),
        change: format!("Add {}.", columns.join(", ")),
        effect: format!("shows {}", shows.join("; ")),
        usd: 0.0,
        check: LOG_CHECK.into(),
    })
}
