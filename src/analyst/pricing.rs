//! What requests cost at list prices: a price table in the format of LiteLLM's cost map, and the price of each request.
//!
//! Guarantees: prices are US dollars per token; a model is matched by its name without provider prefixes and dates, never by
//! similarity; requests of models without a price are left out of the sums, and reports say so.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use super::dataset::Dataset;

/// The model whose prices are used if the log names no priced model.
pub const ASSUMED_MODEL: &str = "gpt-4.1";

const SHIPPED_TABLE: &str = include_str!("prices.json");

/// A cheaper model of the same family for each model; used unless the question names one.
const CHEAPER_MODELS: &[(&str, &str)] = &[
    ("gpt-4o", "gpt-4o-mini"),
    ("gpt-4.1", "gpt-4.1-mini"),
    ("gpt-4.1-mini", "gpt-4.1-nano"),
    ("gpt-5", "gpt-5-mini"),
    ("gpt-5-mini", "gpt-5-nano"),
    ("gpt-5.1", "gpt-5-mini"),
    ("gpt-5.2", "gpt-5-mini"),
    ("gpt-5.4", "gpt-5.4-mini"),
    ("gpt-5.5", "gpt-5.4-mini"),
    ("gpt-4-turbo", "gpt-4o-mini"),
    ("o3", "o4-mini"),
    ("claude-opus-4-5", "claude-sonnet-4-5"),
    ("claude-opus-4-6", "claude-sonnet-4-6"),
    ("claude-sonnet-4-5", "claude-haiku-4-5"),
    ("claude-sonnet-4-6", "claude-haiku-4-5"),
    ("gemini/gemini-2.5-pro", "gemini/gemini-2.5-flash"),
    ("gemini/gemini-2.5-flash", "gemini/gemini-2.5-flash-lite"),
    ("mistral/mistral-large-latest", "mistral/mistral-small-latest"),
    ("mistral/mistral-medium-latest", "mistral/mistral-small-latest"),
];

/// A model's prices, US dollars per token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Price {
    /// The model's name in the table.
    pub model: String,
    /// Input that is neither read from nor written to a cache.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Input read from a cache; the input price if the table has none.
    pub cached: f64,
    /// Input written to a cache; the input price if the table has none.
    pub cache_write: f64,
    /// Input and output in a batch, if the provider offers batches.
    pub batch: Option<(f64, f64)>,
}

impl Price {
    /// The cost of these tokens in US dollars. `input` includes the tokens read from and written to a cache.
    pub fn cost(&self, input: f64, cached: f64, cache_write: f64, output: f64) -> f64 {
        let fresh = (input - cached - cache_write).max(0.0);
        fresh * self.input + cached * self.cached + cache_write * self.cache_write + output * self.output
    }
}

/// Prices by model.
#[derive(Debug, Clone)]
pub struct PriceTable {
    /// The date of the table, if stated.
    pub date: Option<String>,
    /// Where the table comes from.
    pub source: String,
    prices: BTreeMap<String, Price>,
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

/// A model's entry in LiteLLM's cost map.
#[derive(Deserialize)]
struct PriceEntry {
    input_cost_per_token: Option<f64>,
    output_cost_per_token: Option<f64>,
    cache_read_input_token_cost: Option<f64>,
    cache_creation_input_token_cost: Option<f64>,
    input_cost_per_token_batches: Option<f64>,
    output_cost_per_token_batches: Option<f64>,
}

impl PriceTable {
    /// The table shipped with Netra.
    pub fn shipped() -> Self {
        Self::parse(SHIPPED_TABLE, "the shipped price table").expect("the shipped table is valid")
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

    fn parse(text: &str, source: &str) -> Result<Self, PriceError> {
        let mut map: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|error| PriceError::Format(error.to_string()))?;
        let spec = map.remove("sample_spec").unwrap_or_default();
        let field = |key: &str| spec.get(key).and_then(|value| value.as_str()).map(str::to_owned);
        let prices: BTreeMap<_, _> = map
            .into_iter()
            .filter_map(|(model, value)| {
                // Skip entries without token prices (images, audio by the second).
                let entry: PriceEntry = serde_json::from_value(value).ok()?;
                let (input, output) = (entry.input_cost_per_token?, entry.output_cost_per_token?);
                let price = Price {
                    model: model.clone(),
                    input,
                    output,
                    cached: entry.cache_read_input_token_cost.unwrap_or(input),
                    cache_write: entry.cache_creation_input_token_cost.filter(|cost| *cost > 0.0).unwrap_or(input),
                    batch: entry.input_cost_per_token_batches.zip(entry.output_cost_per_token_batches),
                };
                Some((model, price))
            })
            .collect();
        if prices.is_empty() {
            return Err(PriceError::NoModel);
        }
        Ok(Self { date: field("date"), source: field("source").unwrap_or_else(|| source.to_owned()), prices })
    }

    /// Finds the price of a model by its name in a log: as it is, else without provider, region, date or version suffix.
    pub fn find(&self, name: &str) -> Option<&Price> {
        let lower = name.trim().to_ascii_lowercase();
        let bare = lower.rsplit('/').next().unwrap_or(&lower);
        let bare = bare.rsplit_once("anthropic.").map_or(bare, |(_, rest)| rest);
        let mut candidate = bare.to_owned();
        if let Some(price) = self.prices.get(name).or_else(|| self.prices.get(&lower)) {
            return Some(price);
        }
        loop {
            let dashed = candidate.replace('.', "-");
            let latest = format!("{candidate}-latest");
            if let Some(price) = [&candidate, &dashed, &latest].into_iter().find_map(|name| self.find_exact(name)) {
                return Some(price);
            }
            candidate = without_suffix(&candidate)?.to_owned();
        }
    }

    /// Finds a model by its name without the provider prefix.
    fn find_exact(&self, bare: &str) -> Option<&Price> {
        self.prices.get(bare).or_else(|| {
            self.prices
                .iter()
                .find(|(key, _)| key.rsplit_once('/').is_some_and(|(_, tail)| tail == bare))
                .map(|(_, price)| price)
        })
    }

    /// A cheaper model of the same family, if the table has one.
    pub fn cheaper_than(&self, price: &Price) -> Option<&Price> {
        let (_, cheaper) = CHEAPER_MODELS.iter().find(|(model, _)| *model == price.model)?;
        self.prices.get(*cheaper).filter(|cheaper| cheaper.input <= price.input && cheaper.output <= price.output)
    }

    /// Names of the models in the table.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.prices.keys().map(String::as_str)
    }

    /// Source and date of the prices, for reports.
    pub fn origin(&self) -> String {
        match &self.date {
            Some(date) => format!("{}, taken {date}", self.source),
            None => format!("{}, undated", self.source),
        }
    }
}

/// Removes one date or version suffix: `gpt-4o-2024-08-06`, `claude-sonnet-4-5@20250929`, `...-v1:0`.
fn without_suffix(name: &str) -> Option<&str> {
    let at = name.rfind(['-', '@'])?;
    let suffix = &name[at + 1..];
    let digits = !suffix.is_empty() && suffix.bytes().all(|b| b.is_ascii_digit());
    let version = suffix.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if (digits && suffix.len() >= 4) || version || ["latest", "preview", "exp"].contains(&suffix) {
        return Some(&name[..at]);
    }
    // -YYYY-MM-DD
    let date = name.len().checked_sub(11).and_then(|at| name.get(at..))?;
    let is_date =
        date.bytes().enumerate().all(|(i, b)| if matches!(i, 0 | 5 | 8) { b == b'-' } else { b.is_ascii_digit() });
    is_date.then(|| &name[..name.len() - 11])
}

/// The prices that apply to a log: one for each model, or one assumed for all.
#[derive(Debug, Clone)]
pub struct Pricing {
    by_model: Vec<Option<Price>>,
    /// The model whose prices are assumed for the whole log, if any.
    pub assumed: Option<String>,
    /// Models of the log without a price, with their number of requests.
    pub unpriced: Vec<(String, u64)>,
}

impl Pricing {
    /// Finds the price of each model of the log. If none has a price, all requests get the price of `fallback_model`, else of
    /// [`ASSUMED_MODEL`].
    pub fn for_dataset(data: &Dataset, table: &PriceTable, fallback_model: Option<&str>) -> Self {
        let by_model: Vec<Option<Price>> = data.models.iter().map(|name| table.find(name).cloned()).collect();
        if by_model.iter().all(Option::is_none) {
            let price = fallback_model
                .into_iter()
                .chain([ASSUMED_MODEL])
                .chain(table.models().take(1))
                .find_map(|name| table.find(name))
                .cloned();
            let assumed = price.as_ref().map(|price| price.model.clone());
            return Self { by_model: vec![price; data.models.len().max(1)], assumed, unpriced: Vec::new() };
        }
        let mut requests = vec![0u64; data.models.len()];
        (0..data.len()).for_each(|i| requests[data.model_index(i)] += 1);
        let names = data.models.iter().cloned().zip(requests).zip(&by_model);
        let unpriced = names.filter(|(_, price)| price.is_none()).map(|(model, _)| model).collect();
        Self { by_model, assumed: None, unpriced }
    }

    /// The price of the model of request `i`, if it has one.
    pub fn price(&self, data: &Dataset, i: usize) -> Option<&Price> {
        self.model_price(data.model_index(i))
    }

    /// The price of a model by its index in the dataset.
    pub fn model_price(&self, model: usize) -> Option<&Price> {
        self.by_model.get(model)?.as_ref()
    }

    /// The cost of request `i` at list prices, in US dollars; 0 when its model has no price.
    pub fn cost(&self, data: &Dataset, i: usize) -> f64 {
        self.price(data, i).map_or(0.0, |price| {
            price.cost(data.input[i].into(), data.cached(i).into(), data.cache_write(i).into(), data.output[i].into())
        })
    }

    /// The distinct prices that apply, highest input price first.
    pub fn in_use(&self) -> Vec<&Price> {
        let mut prices: Vec<&Price> = self.by_model.iter().flatten().collect();
        prices.sort_by(|a, b| b.input.total_cmp(&a.input).then_with(|| a.model.cmp(&b.model)));
        prices.dedup_by(|a, b| a.model == b.model);
        prices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_found_by_their_names_in_logs() {
        let table = PriceTable::shipped();
        for (name, model) in [
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("openai/gpt-4o", "gpt-4o"),
            ("azure/eu/gpt-4.1-mini", "gpt-4.1-mini"),
            ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
            ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
            ("gemini-2.5-flash", "gemini/gemini-2.5-flash"),
            ("models/gemini-2.5-pro", "gemini/gemini-2.5-pro"),
            ("mistral-large-2411", "mistral/mistral-large-latest"),
        ] {
            assert_eq!(table.find(name).map(|price| price.model.as_str()), Some(model), "{name}");
        }
        for name in ["gpt-4", "gpt-4o-audio", "llama", "", "gpt-4.1-micro"] {
            assert!(table.find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn every_cheaper_model_is_in_the_shipped_table_and_cheaper() {
        let table = PriceTable::shipped();
        for (model, cheaper) in CHEAPER_MODELS {
            let price = table.find(model).unwrap_or_else(|| panic!("{model}"));
            assert_eq!(table.cheaper_than(price).map(|price| price.model.as_str()), Some(*cheaper), "{model}");
        }
        assert!(table.date.is_some() && table.find(ASSUMED_MODEL).is_some());
    }

    #[test]
    fn cached_tokens_have_their_own_price() {
        let table = PriceTable::shipped();
        let price = table.find("gpt-4.1").expect("gpt-4.1");
        let cost = price.cost(1_000_000.0, 400_000.0, 0.0, 100_000.0);
        assert!((cost - (0.6 * 2.0 + 0.4 * 0.5 + 0.1 * 8.0)).abs() < 1e-9, "{cost}");
    }

    #[test]
    fn a_price_file_of_another_format_is_refused_with_an_example() {
        let error = PriceTable::parse("[]", "x").expect_err("a refusal").to_string();
        assert!(error.contains("input_cost_per_token"), "{error}");
        assert!(matches!(PriceTable::parse("{}", "x"), Err(PriceError::NoModel)));
        let own =
            PriceTable::parse(r#"{"house-model":{"input_cost_per_token":1e-6,"output_cost_per_token":2e-6}}"#, "own")
                .expect("a table");
        assert_eq!(own.find("house-model").map(|price| price.cached), Some(1e-6));
    }
}
