//! Options that save money, each with its saving computed request by request at list prices.
//!
//! Guarantees: a saving is the difference between two sums over the same requests, as logged and as changed by the
//! option; the saving of several options is computed together, never added up; options that need a test stand apart,
//! also in the sums; no option saves by construction; what the log cannot show is marked as an assumption, or has no
//! figure and a note instead; requests that were logged at no cost, in a log that has costs, save nothing.

mod options;
mod scenario;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::scenario::Scenario;
use super::{
    caching::CacheUsage,
    dataset::Dataset,
    goals::{Goal, Question},
    ingest::{IngestError, StopFn},
    peaks::PeakShift,
    pricing::{PriceTable, Pricing},
    profile::Profile,
};

/// Share of the work assumed to be able to wait for a batch.
pub const ASSUMED_BATCH_SHARE: f64 = 0.2;

/// Most input tokens of a small request: about two pages.
pub const SMALL_INPUT: u64 = 1000;

/// Most output tokens of a small request: a few sentences.
pub const SMALL_OUTPUT: u64 = 250;

/// Longest time between two requests of a session that count as the same one sent twice, in ms.
pub const DUPLICATE_MS: i64 = 10 * 60_000;

/// Least input tokens of a request that may count as sent twice: short ones are equal by chance.
pub const DUPLICATE_INPUT: u64 = 256;

/// Least output tokens of a request that may count as sent twice.
pub const DUPLICATE_OUTPUT: u64 = 32;

/// The effect of an option on answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// The same model gets the same prompt: answers stay the same.
    Unchanged,
    /// Answers may change: test before switching.
    NeedsTest,
}

/// What a saving is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The log alone.
    Log,
    /// What the log cannot show; included in the combined savings only if the question asks for the option.
    Assumption,
}

/// An option that saves money.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SavingOption {
    /// Stable name: `cheaper_model`, `caching`, `batch`, `failed_requests`, `duplicates`.
    pub id: &'static str,
    /// A short title.
    pub title: String,
    /// US dollars saved over the log, at list prices.
    pub saving_usd: f64,
    /// The saving as a share of the list cost.
    pub share: f64,
    /// Number of requests that it changes; of a sum of unknown requests, the row counts as one.
    pub requests: u64,
    /// Its effect on answers.
    pub quality: Quality,
    /// What the saving is based on.
    pub evidence: Evidence,
    /// Its effect on latency.
    pub latency: &'static str,
    /// What is assumed.
    pub assumption: String,
    /// What to change.
    pub change: String,
}

/// All options for a log.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Savings {
    /// List cost of the log in US dollars.
    pub base_usd: f64,
    /// The options that save something, largest saving first.
    pub options: Vec<SavingOption>,
    /// Ids of the options in the combined saving that leaves answers unchanged.
    pub together: Vec<&'static str>,
    /// The combined saving in US dollars.
    pub together_usd: f64,
    /// The combined saving as a share of the list cost.
    pub together_share: f64,
    /// Ids of the options in the combined saving that also has those that need a test.
    pub together_with_test: Vec<&'static str>,
    /// The combined saving with them in US dollars.
    pub together_with_test_usd: f64,
    /// The combined saving with them as a share of the list cost.
    pub together_with_test_share: f64,
    /// Why other options do not apply, or what to log to see them; each with the option's id.
    pub reasons: Vec<(&'static str, String)>,
    /// The sentences of `reasons`.
    pub notes: Vec<String>,
    /// What caching already saves, if the log has cached tokens.
    pub cache: Option<CacheUsage>,
    /// The effect of spreading peaks, if the log has times and peaks.
    pub peak_shift: Option<PeakShift>,
}

/// What the options are computed from.
#[derive(Clone, Copy)]
struct Workload<'a> {
    data: &'a Dataset,
    pricing: &'a Pricing,
    table: &'a PriceTable,
    question: &'a Question,
}

/// An option with its scenario, or the reason why it does not apply.
type OptionResult = Result<(SavingOption, Scenario), String>;

impl Savings {
    /// Computes every option for a log.
    ///
    /// # Errors
    /// [`IngestError::Stopped`] when `stop` returns true.
    pub fn compute(
        data: &Dataset,
        pricing: &Pricing,
        table: &PriceTable,
        profile: &Profile,
        question: &Question,
        stop: StopFn<'_>,
    ) -> Result<Self, IngestError> {
        let mut savings = Self {
            base_usd: profile.list_cost,
            cache: CacheUsage::measure(data, pricing),
            peak_shift: profile.load.as_ref().and_then(PeakShift::from_load),
            ..Self::default()
        };
        if profile.list_cost > 0.0 {
            savings.find_options(Workload { data, pricing, table, question }, stop)?;
        } else {
            let why = "Savings are computed at list prices, and no token of the log has one, so there are no figures.";
            savings.reasons.push(("all", why.to_owned()));
        }
        savings.notes = savings.reasons.iter().map(|(_, note)| note.clone()).collect();
        Ok(savings)
    }

    fn find_options(&mut self, work: Workload<'_>, stop: StopFn<'_>) -> Result<(), IngestError> {
        let (data, pricing, base) = (work.data, work.pricing, self.base_usd);
        let (mut safe, mut all) = (Scenario::default(), Scenario::default());
        for (id, find) in options::FINDERS {
            if stop() {
                return Err(IngestError::Stopped);
            }
            let (mut option, scenario) = match find(work) {
                Ok(found) => found,
                Err(reason) => {
                    self.reasons.push((id, reason));
                    continue;
                }
            };
            option.saving_usd = base - scenario.total_cost(data, pricing);
            // Sums of the same figures in another order differ in the last digits.
            if option.saving_usd <= base * 1e-9 {
                self.reasons.push((id, format!("{}: saves nothing in this log.", option.title)));
                continue;
            }
            option.share = option.saving_usd / base;
            let asked = id == "batch" && work.question.has_goal(|goal| *goal == Goal::Batch);
            if option.evidence == Evidence::Log || asked {
                if option.quality == Quality::Unchanged {
                    safe.merge(&scenario);
                    self.together.push(id);
                }
                all.merge(&scenario);
                self.together_with_test.push(id);
            }
            self.options.push(option);
        }
        self.options.sort_by(|a, b| b.saving_usd.total_cmp(&a.saving_usd));
        let saved = |ids: &[&str], scenario: &Scenario| {
            if ids.is_empty() { 0.0 } else { (base - scenario.total_cost(data, pricing)).max(0.0) }
        };
        self.together_usd = saved(&self.together, &safe);
        self.together_with_test_usd = saved(&self.together_with_test, &all);
        self.together_share = self.together_usd / base;
        self.together_with_test_share = self.together_with_test_usd / base;
        Ok(())
    }

    /// The options that leave answers unchanged, largest saving first.
    pub fn safe(&self) -> impl Iterator<Item = &SavingOption> {
        self.options.iter().filter(|option| option.quality == Quality::Unchanged)
    }

    /// The options that need a test, largest saving first.
    pub fn needs_test(&self) -> impl Iterator<Item = &SavingOption> {
        self.options.iter().filter(|option| option.quality == Quality::NeedsTest)
    }

    /// An option by its id; `None` if it saves nothing or has no figure, see [`Self::reason`].
    pub fn option(&self, id: &str) -> Option<&SavingOption> {
        self.options.iter().find(|option| option.id == id)
    }

    /// Why an option is not there.
    pub fn reason(&self, id: &str) -> Option<&str> {
        self.reasons.iter().find(|(of, _)| *of == id || *of == "all").map(|(_, reason)| reason.as_str())
    }
}
