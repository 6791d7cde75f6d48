//! Price tables: the shipped one, and files in the format of LiteLLM's cost map.
//!
//! The shipped table (`prices.json`, written by `scripts/prices`) has the fields `source`, `licence`, `version` and `date`, and:
//! - `sets`: lists of rates, US dollars for a million tokens, each an array in the order of `rates`, without what follows from
//!   others (see `Price::from_stated`). Its key is the tier (`s` standard, `b` batch, `f` flex, `p` priority), then the number of
//!   input tokens above which it applies, if any. A key `off_peak` marks models that cost less at certain hours.
//! - `models`: for each prefix that ends with a slash, and for each provider of names without one, the names with the index of
//!   their set.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    cheaper::cheaper_key,
    names::Names,
    price::{Price, StatedRates},
};
use crate::analyst::dataset::Tier;

const SHIPPED_TABLE: &str = include_str!("../prices.json");

/// The fields of LiteLLM's cost map with the rates of [`super::price::Rates`], in their order.
const FIELDS: [&str; 11] = [
    "input_cost_per_token",
    "output_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "cache_creation_input_token_cost_above_1hr",
    "output_cost_per_reasoning_token",
    "input_cost_per_audio_token",
    "output_cost_per_audio_token",
    "cache_read_input_audio_token_cost",
    "input_cost_per_image_token",
    "output_cost_per_image_token",
];

/// Prices by model.
#[derive(Debug, Clone)]
pub struct PriceTable {
    /// The date of the table, if stated.
    pub date: Option<String>,
    /// Where the table comes from.
    pub source: String,
    /// In order of their names.
    prices: Arc<[Price]>,
    names: Arc<Names>,
    /// The prices that a name without a provider means, as indexes.
    plain: Arc<[usize]>,
}

/// Why a price file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PriceError {
    /// Reading failed.
    #[error("The price file {0} could not be read: {1}")]
    Io(String, std::io::Error),
    /// The file has another format.
    #[error(
        "The price file is not in the format of LiteLLM's cost map ({0}); it looks like {{\"model\": {{\"input_cost_per_token\": 1e-6, \"output_cost_per_token\": 2e-6}}}}"
    )]
    Format(String),
    /// No model has token prices.
    #[error("The price file names no model with input_cost_per_token and output_cost_per_token")]
    NoModel,
}

/// The shipped table as it is stored.
#[derive(Deserialize)]
struct Stored {
    source: String,
    date: String,
    /// Arrays may be shorter: rates at the end that follow from others are left out.
    sets: Vec<HashMap<String, Vec<Option<f64>>>>,
    models: BTreeMap<String, BTreeMap<String, usize>>,
}

impl PriceTable {
    /// The table shipped with Netra.
    pub fn shipped() -> Self {
        static SHIPPED: LazyLock<PriceTable> = LazyLock::new(|| {
            let empty = || PriceTable::new(BTreeMap::new(), "no price table".into(), None);
            PriceTable::from_shipped(SHIPPED_TABLE).unwrap_or_else(|_| empty())
        });
        SHIPPED.clone()
    }

    fn from_shipped(text: &str) -> Result<Self, serde_json::Error> {
        let stored: Stored = serde_json::from_str(text)?;
        let sets: Vec<_> = stored.sets.iter().map(stated_set).collect();
        let mut prices = BTreeMap::new();
        for (group, names) in &stored.models {
            let (prefix, provider) = match group.strip_suffix('/') {
                Some(provider) => (group.as_str(), provider),
                None => ("", group.as_str()),
            };
            for (name, set) in names {
                let Some((steps, off_peak)) = sets.get(*set) else { continue };
                let name = format!("{prefix}{name}");
                if let Some(price) = Price::from_stated(&name, steps, *off_peak) {
                    prices.insert(name, (price, provider.to_owned()));
                }
            }
        }
        Ok(Self::new(prices, stored.source, Some(stored.date)))
    }

    /// Reads a price file in the format of LiteLLM's cost map (`model_prices_and_context_window.json`).
    ///
    /// # Errors
    /// When it cannot be read, is of another format, or has no priced model.
    pub fn load(path: &Path) -> Result<Self, PriceError> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| PriceError::Io(name.clone(), error))?;
        Self::parse(&text, &name)
    }

    pub(super) fn parse(text: &str, source: &str) -> Result<Self, PriceError> {
        let mut map: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| PriceError::Format(error.to_string()))?;
        let spec = map.remove("sample_spec").unwrap_or_default();
        let field = |key: &str| spec.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut prices = BTreeMap::new();
        for (name, entry) in &map {
            let Some(entry) = entry.as_object() else { continue };
            let Some(price) = Price::from_stated(name, &stated_entry(entry), entry.contains_key("off_peak_pricing"))
            else {
                continue;
            };
            let provider = entry.get("litellm_provider").and_then(Value::as_str);
            let provider = provider.or_else(|| Some(name.split_once('/')?.0)).unwrap_or_default();
            prices.insert(name.clone(), (price, provider.to_owned()));
        }
        if prices.is_empty() {
            return Err(PriceError::NoModel);
        }
        Ok(Self::new(prices, field("source").unwrap_or_else(|| source.to_owned()), field("date")))
    }

    fn new(prices: BTreeMap<String, (Price, String)>, source: String, date: Option<String>) -> Self {
        let names = Names::new(prices.iter().map(|(name, (_, provider))| (name.as_str(), provider.as_str())));
        let prices = prices.into_values().map(|(price, _)| price).collect();
        let mut table = Self { date, source, prices, names: Arc::new(names), plain: Arc::default() };
        let is_plain = |price: &Price| {
            let last = price.model.rsplit('/').next().unwrap_or(&price.model);
            table.find(last).is_some_and(|found| found.model == price.model)
        };
        table.plain = (0..table.prices.len()).filter(|at| is_plain(&table.prices[*at])).collect();
        table
    }

    /// Finds the price of a model by its name in a log, by the rules of the module `names`; `None` if it has no price of its own.
    pub fn find(&self, name: &str) -> Option<&Price> {
        self.find_at(name, None)
    }

    /// The same for a model at a provider, named as logs name them: `azure`, `aws.bedrock`, `ollama`.
    pub fn find_at(&self, name: &str, provider: Option<&str>) -> Option<&Price> {
        self.names.find(name, provider, &self.prices).and_then(|at| self.prices.get(at))
    }

    /// The price of the model with this name in the table.
    pub(super) fn get(&self, name: &str) -> Option<&Price> {
        let at = self.prices.binary_search_by(|price| price.model.as_str().cmp(name)).ok()?;
        self.prices.get(at)
    }

    /// Number of models.
    #[cfg(test)]
    pub(super) fn prices_count(&self) -> usize {
        self.prices.len()
    }

    /// Prices whose names in the table start with `prefix`.
    pub(super) fn starting_with(&self, prefix: &str) -> &[Price] {
        let from = self.prices.partition_point(|price| price.model.as_str() < prefix);
        let count = self.prices[from..].partition_point(|price| price.model.starts_with(prefix));
        &self.prices[from..from + count]
    }

    /// A cheaper model of the same family at the same provider, if the table has one that costs less in every respect.
    pub fn cheaper_than(&self, price: &Price) -> Option<&Price> {
        cheaper_key(self, &price.model).filter(|cheaper| cheaper.is_cheaper_than(price))
    }

    /// Names of the models in the table that a name without a provider means, in order: `gpt-4.1`, not also `azure/gpt-4.1`.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.plain.iter().filter_map(|at| Some(self.prices.get(*at)?.model.as_str()))
    }

    /// Source and date of the prices, for reports.
    pub fn origin(&self) -> String {
        match &self.date {
            Some(date) => format!("{}, taken {date}", self.source),
            None => format!("{}, undated", self.source),
        }
    }
}

/// The steps of a stored set, US dollars per token, and whether there are cheaper hours.
fn stated_set(set: &HashMap<String, Vec<Option<f64>>>) -> (Vec<(Tier, u64, StatedRates)>, bool) {
    let steps = set.iter().filter_map(|(key, rates)| {
        let (tier, above) = key.split_at_checked(1)?;
        let tier = match tier {
            "s" => Tier::Standard,
            "b" => Tier::Batch,
            "f" => Tier::Flex,
            "p" => Tier::Priority,
            _ => return None,
        };
        let above = if above.is_empty() { 0 } else { above.parse().ok()? };
        // By its digits: a division would not give the number that is nearest to the rate.
        let rate = |at: usize| format!("{}e-6", rates.get(at).copied().flatten()?).parse().ok();
        Some((tier, above, std::array::from_fn(rate)))
    });
    (steps.collect(), set.contains_key("off_peak"))
}

/// The steps of an entry of LiteLLM's cost map.
fn stated_entry(entry: &Map<String, Value>) -> Vec<(Tier, u64, StatedRates)> {
    let mut steps: Vec<(Tier, u64, StatedRates)> = Vec::new();
    let mut state = |tier: Tier, above: u64, at: usize, rate: f64| {
        let known = steps.iter().position(|step| step.0 == tier && step.1 == above);
        let step = known.unwrap_or_else(|| {
            steps.push((tier, above, StatedRates::default()));
            steps.len() - 1
        });
        steps[step].2[at] = Some(rate);
    };
    // xAI bills its higher rates from the length on, all others above it.
    let below = u64::from(entry.get("litellm_provider").is_some_and(|provider| provider == "xai"));
    for (key, value) in entry {
        if let (Some((at, above, tier)), Some(rate)) = (parse_field(key), rate(value)) {
            state(tier, above.map_or(0, |above| above - below.min(above)), at, rate);
        }
    }
    // Models priced only by length list their rates so.
    for part in entry.get("tiered_pricing").and_then(Value::as_array).into_iter().flatten() {
        let Some(above) = part.pointer("/range/0").and_then(Value::as_f64) else { continue };
        for (at, field) in FIELDS.iter().enumerate() {
            let cached_as_input = (at == 2).then(|| part.get(FIELDS[0])).flatten();
            if let Some(rate) = part.get(field).or(cached_as_input).and_then(rate) {
                state(Tier::Standard, above as u64, at, rate);
            }
        }
    }
    complete_entry(entry, &mut steps);
    steps
}

/// Rates that follow from another where they are missing, by their places in [`FIELDS`].
const FOLLOWS: [(usize, usize); 9] = [(5, 1), (6, 0), (7, 1), (8, 2), (9, 0), (10, 1), (4, 3), (3, 0), (2, 0)];

/// What LiteLLM adds to an entry of its map when it computes a cost; and without rates that are the same as that which they follow
/// from, so that they also do at steps for which the entry does not state them.
fn complete_entry(entry: &Map<String, Value>, steps: &mut [(Tier, u64, StatedRates)]) {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    let images = matches!(text("mode"), "image_generation" | "image_edit");
    let first = |step: &&(Tier, u64, StatedRates)| step.0 == Tier::Standard && step.1 == 0;
    let Some(standard) = steps.iter().find(first).map(|step| step.2) else { return };
    for (tier, above, rates) in &mut *steps {
        // What an image model answers are images, and logs seldom count their tokens apart.
        if images && standard[10].is_some() {
            rates[1] = rates[10];
        }
        // Fireworks bills cached input at half the price, unless it says otherwise.
        if text("litellm_provider").starts_with("fireworks_ai") && (*tier, *above) == (Tier::Standard, 0) {
            rates[2] = rates[2].or(rates[0].map(|input| input / 2.0));
        }
    }
    for (at, other) in FOLLOWS {
        if steps.iter().all(|step| step.2[at].is_none() || step.2[at] == step.2[other]) {
            steps.iter_mut().for_each(|step| step.2[at] = None);
        }
    }
}

/// A rate, also where it is written as text, as YAML does with `1e-6`.
fn rate(value: &Value) -> Option<f64> {
    let rate = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    (rate.is_finite() && rate >= 0.0).then_some(rate)
}

/// The rate, length and tier that a field of LiteLLM's cost map means: `input_cost_per_token_above_200k_tokens_priority`.
fn parse_field(key: &str) -> Option<(usize, Option<u64>, Tier)> {
    let tiers = [("_batches", Tier::Batch), ("_flex", Tier::Flex), ("_priority", Tier::Priority)];
    let (key, tier) = tiers
        .into_iter()
        .find_map(|(suffix, tier)| Some((key.strip_suffix(suffix)?, tier)))
        .unwrap_or((key, Tier::Standard));
    let is = |name: &str| FIELDS.iter().position(|field| *field == name);
    if let Some(at) = is(key) {
        return Some((at, None, tier));
    }
    let (name, above) = key.strip_suffix("_tokens")?.rsplit_once("_above_")?;
    let (number, thousands) = above.strip_suffix('k').map_or((above, 1), |number| (number, 1000));
    Some((is(name)?, Some(number.parse::<u64>().ok()?.checked_mul(thousands)?), tier))
}
