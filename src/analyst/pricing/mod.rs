//! What requests cost at list prices: a price table, and the price of each request of a log.
//!
//! Layers, low to high: `price` (a model's rates, and the cost of tokens), `spelling` and `names` (which model of the table a
//! name in a log means), `cheaper` (families of models), `table` (the shipped table and price files), and here the prices of one log.
//!
//! Guarantees: prices are US dollars per token. A name never gets the price of a model that costs something else (`names`
//! states the rules), and [`Pricing::matched`] lists what was matched. Requests of models without a price are left out of all
//! sums, and [`Pricing::missing`] says how many tokens they have. No price stands in for a missing one, except for a log without
//! model names where the question names a model ([`Pricing::assumed`]).

mod cheaper;
mod names;
mod price;
mod spelling;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

pub use self::{
    price::{Price, RateStep, Rates, Tokens},
    table::{PriceError, PriceTable},
};
use super::{
    dataset::{Dataset, GroupColumn, NO_VALUE, Tier, UNNAMED_MODEL},
    format::{list, whole},
};

/// The column of a log that names the provider.
const PROVIDER: &str = "provider";

/// A model of a log without a price.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MissingPrice {
    /// Its name in the log.
    pub model: String,
    /// Its requests (rows, where the log does not state how many requests they stand for).
    pub requests: u64,
    /// Its input and output tokens.
    pub tokens: u64,
    /// Their share of the tokens of the log, from 0 to 1.
    pub share: f64,
}

/// The prices that apply to a log.
#[derive(Debug, Clone, Default)]
pub struct Pricing {
    prices: Vec<Price>,
    /// The price of each model, as an index: that of most of its requests, if it depends on the provider.
    by_model: Vec<Option<usize>>,
    /// By model and provider, for models whose price depends on it.
    by_provider: HashMap<(usize, u16), Option<usize>>,
    /// The model whose prices are assumed for the whole log, if any: one that the question names, for a log without model names.
    pub assumed: Option<String>,
    /// Models of the log without a price, with their number of requests.
    pub unpriced: Vec<(String, u64)>,
    /// The same with their tokens, those with most tokens first.
    pub missing: Vec<MissingPrice>,
    /// Names in the log with the names in the table whose prices they have, where these differ.
    pub matched: Vec<(String, String)>,
    /// What the list costs of this log do not show, in sentences.
    pub notes: Vec<String>,
}

/// Rows and tokens of a model at a provider.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    requests: u64,
    tokens: u64,
}

impl Pricing {
    /// Finds the price of each model of the log. A log without model names has none, unless the question names a model: then all
    /// requests get the price of this `named_model`.
    pub fn for_dataset(data: &Dataset, table: &PriceTable, named_model: Option<&str>) -> Self {
        if !data.present().model {
            return Self::for_unnamed(data, table, named_model);
        }
        let providers = data.group(PROVIDER);
        let mut pricing = Self { by_model: vec![None; data.models.len()], ..Self::default() };
        let mut missing: BTreeMap<usize, Share> = BTreeMap::new();
        let mut most = vec![0u64; data.models.len()];
        for ((model, provider), share) in shares(data, providers) {
            let Some(name) = data.models.get(model) else { continue };
            let provider_name = providers.and_then(|column| column.values.get(usize::from(provider)));
            let found = table.find_at(name, provider_name.map(String::as_str)).map(|price| pricing.intern(price));
            pricing.by_provider.insert((model, provider), found);
            match found {
                Some(found) => pricing.add_match(name, found),
                None => {
                    let sum = missing.entry(model).or_default();
                    (sum.requests, sum.tokens) = (sum.requests + share.requests, sum.tokens + share.tokens);
                }
            }
            if share.requests >= most[model] {
                (most[model], pricing.by_model[model]) = (share.requests, found);
            }
        }
        let by_model = &pricing.by_model;
        let varies: Vec<usize> = pricing
            .by_provider
            .iter()
            .filter(|((model, _), at)| by_model[*model] != **at)
            .map(|(key, _)| key.0)
            .collect();
        pricing.by_provider.retain(|(model, _), _| varies.contains(model));
        pricing.add_missing(data, missing.into_iter().map(|(model, share)| (data.models[model].clone(), share)));
        pricing.add_notes(data);
        pricing
    }

    /// The prices of a log without model names.
    fn for_unnamed(data: &Dataset, table: &PriceTable, named_model: Option<&str>) -> Self {
        let mut pricing = Self { by_model: vec![None], ..Self::default() };
        if let Some(price) = named_model.and_then(|name| table.find(name)) {
            pricing.by_model = vec![Some(pricing.intern(price))];
            pricing.assumed = Some(price.model.clone());
            pricing.add_notes(data);
        } else {
            let all = shares(data, None).into_values().fold(Share::default(), |sum, share| Share {
                requests: sum.requests + share.requests,
                tokens: sum.tokens.saturating_add(share.tokens),
            });
            pricing.add_missing(data, [(UNNAMED_MODEL.to_owned(), all)].into_iter().filter(|_| !data.is_empty()));
        }
        pricing
    }

    fn intern(&mut self, price: &Price) -> usize {
        self.prices.iter().position(|known| known.model == price.model).unwrap_or_else(|| {
            self.prices.push(price.clone());
            self.prices.len() - 1
        })
    }

    fn add_match(&mut self, name: &str, found: usize) {
        let pair = (name.to_owned(), self.prices[found].model.clone());
        if pair.0 != pair.1 && !self.matched.contains(&pair) {
            self.matched.push(pair);
        }
    }

    fn add_missing(&mut self, data: &Dataset, missing: impl Iterator<Item = (String, Share)>) {
        let all: f64 = (0..data.len()).map(|i| data.tokens(i) as f64).sum();
        self.missing = missing
            .map(|(model, Share { requests, tokens })| MissingPrice {
                model,
                requests,
                tokens,
                share: if all > 0.0 { tokens as f64 / all } else { 0.0 },
            })
            .collect();
        self.unpriced = self.missing.iter().map(|missing| (missing.model.clone(), missing.requests)).collect();
        self.missing.sort_by(|a, b| b.tokens.cmp(&a.tokens).then_with(|| a.model.cmp(&b.model)));
    }

    /// Says where the log or the table lack what the exact price depends on.
    fn add_notes(&mut self, data: &Dataset) {
        let mut tiers: BTreeMap<&str, u64> = BTreeMap::new();
        let mut sums_above: BTreeMap<(String, u64), u64> = BTreeMap::new();
        let mut off_peak: Vec<String> = Vec::new();
        for i in 0..data.len() {
            let Some(price) = self.price(data, i) else { continue };
            if !price.has_tier(data.tier(i)) {
                *tiers.entry(tier_name(data.tier(i))).or_default() += 1;
            }
            if let (true, Some(above)) = (is_sum(data, i), price.costs_more_above())
                && data.input[i] > above
            {
                *sums_above.entry((price.model.clone(), above)).or_default() += 1;
            }
            if price.off_peak && !off_peak.contains(&price.model) {
                off_peak.push(price.model.clone());
            }
        }
        for (tier, rows) in tiers {
            self.notes.push(format!(
                "{} rows at the tier \"{tier}\" are of models without prices for it; they are priced at the standard tier.",
                whole(rows as f64)
            ));
        }
        for (model, above) in sums_above.into_keys() {
            self.notes.push(format!(
                "{model} costs more for prompts above {} tokens. Sums do not show how long each prompt was; they are priced by \
                 their mean, or as short prompts where they state no number of requests.",
                whole(above as f64)
            ));
        }
        if !off_peak.is_empty() {
            let names: Vec<&str> = off_peak.iter().map(String::as_str).collect();
            self.notes.push(format!("{} cost less at some hours; the prices are those of the others.", list(&names)));
        }
    }

    /// Whether any request has a price. Without, list costs are 0 because they are unknown.
    pub fn has_prices(&self) -> bool {
        !self.prices.is_empty()
    }

    /// The share of the log's tokens that have no price, from 0 to 1.
    pub fn missing_share(&self) -> f64 {
        self.missing.iter().map(|missing| missing.share).sum()
    }

    /// The price of the model of request `i`, if it has one.
    pub fn price(&self, data: &Dataset, i: usize) -> Option<&Price> {
        let model = data.model_index(i);
        if !self.by_provider.is_empty() {
            let provider = data.group(PROVIDER).and_then(|column| column.codes.get(i).copied()).unwrap_or(NO_VALUE);
            if let Some(found) = self.by_provider.get(&(model, provider)) {
                return self.prices.get((*found)?);
            }
        }
        self.model_price(model)
    }

    /// The price of a model by its index in the dataset; of most of its requests, if it depends on their provider.
    pub fn model_price(&self, model: usize) -> Option<&Price> {
        self.prices.get((*self.by_model.get(model)?)?)
    }

    /// The cost of row `i` at list prices, in US dollars; 0 when its model has no price.
    pub fn cost(&self, data: &Dataset, i: usize) -> f64 {
        self.price(data, i)
            .map_or(0.0, |price| Self::cost_with(price, data, i, &Tokens::from_row(data, i), data.tier(i)))
    }

    /// The cost of `tokens` in place of those of row `i` at another price or tier. The rates are those for the length of the
    /// prompt: of a sum of requests, the mean.
    pub fn cost_with(price: &Price, data: &Dataset, i: usize, tokens: &Tokens, tier: Tier) -> f64 {
        let prompt = match data.requests.get(i) {
            Some(0) => 0.0,
            Some(requests) if is_sum(data, i) => tokens.input / *requests as f64,
            _ => tokens.input,
        };
        price.cost_at(tokens, tier, prompt)
    }

    /// The length of the prompt of row `i`, in tokens, by which its rates are chosen: of a sum of requests, the mean; 0 if it
    /// does not state their number.
    pub fn prompt_tokens(data: &Dataset, i: usize) -> f64 {
        let input = data.input[i] as f64;
        match data.requests.get(i) {
            Some(0) => 0.0,
            Some(requests) if is_sum(data, i) => input / *requests as f64,
            _ => input,
        }
    }

    /// The distinct prices that apply, highest input price first.
    pub fn in_use(&self) -> Vec<&Price> {
        let mut prices: Vec<&Price> = self.prices.iter().collect();
        prices.sort_by(|a, b| b.input.total_cmp(&a.input).then_with(|| a.model.cmp(&b.model)));
        prices
    }
}

/// Requests and tokens of each model at each provider.
fn shares(data: &Dataset, providers: Option<&GroupColumn>) -> BTreeMap<(usize, u16), Share> {
    let mut shares: BTreeMap<(usize, u16), Share> = BTreeMap::new();
    for i in 0..data.len() {
        let provider = providers.and_then(|column| column.codes.get(i).copied()).unwrap_or(NO_VALUE);
        let share = shares.entry((data.model_index(i), provider)).or_default();
        share.requests += data.requests.get(i).copied().filter(|requests| *requests > 0).unwrap_or(1);
        share.tokens = share.tokens.saturating_add(data.tokens(i));
    }
    shares
}

/// Whether row `i` stands for several requests, or for an unknown number of them.
fn is_sum(data: &Dataset, i: usize) -> bool {
    data.present().sums && data.requests.get(i).is_some_and(|requests| *requests != 1)
}

fn tier_name(tier: Tier) -> &'static str {
    match tier {
        Tier::Standard => "standard",
        Tier::Batch => "batch",
        Tier::Flex => "flex",
        Tier::Priority => "priority",
    }
}
