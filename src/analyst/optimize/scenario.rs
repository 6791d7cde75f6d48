//! How options would change the requests, and what they would then cost.

use std::rc::Rc;

use super::{SMALL_INPUT, SMALL_OUTPUT};
use crate::analyst::{
    caching::Misses,
    dataset::{Dataset, Kind, Tier},
    pricing::{Price, Pricing, Tokens},
    profile::has_tokens,
};

/// How options would change the requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Scenario {
    /// The price of the cheaper model for small requests, by index of the log's model.
    pub(super) cheaper_prices: Vec<Option<Price>>,
    /// The misses of the cache that become hits.
    pub(super) misses: Option<Rc<Misses>>,
    /// Rows that are not sent, in order.
    pub(super) not_sent: Vec<u32>,
    /// Share of each request at batch prices.
    pub(super) batch_share: f64,
}

/// Whether row `i` is a small chat request that did not fail.
pub(super) fn is_small(data: &Dataset, i: usize) -> bool {
    data.input[i] <= SMALL_INPUT
        && data.output[i] <= SMALL_OUTPUT
        && data.kind(i) == Kind::Chat
        && data.failed(i) != Some(true)
}

/// Whether the log has costs above 0, so that a cost of 0 means that nothing was paid.
pub(super) fn has_costs(data: &Dataset) -> bool {
    data.cost.iter().any(|cost| *cost > 0.0)
}

/// Whether row `i` is logged at no cost: nothing can be saved there, if the log has costs.
pub(super) fn is_free(data: &Dataset, i: usize) -> bool {
    data.cost.get(i).is_some_and(|cost| *cost == 0.0)
}

/// The cost of these tokens of row `i` in a batch, if the model has batch prices and they are lower.
pub(super) fn batch_cost(price: &Price, data: &Dataset, i: usize, tokens: &Tokens) -> Option<f64> {
    let tier = data.tier(i);
    let now = Pricing::cost_with(price, data, i, tokens, tier);
    let batch = Pricing::cost_with(price, data, i, tokens, Tier::Batch);
    (tier != Tier::Batch && batch < now).then_some(batch)
}

impl Scenario {
    /// The price of the cheaper model that row `i`, with its own price, moves to, if it does.
    pub(super) fn cheaper_price(&self, data: &Dataset, own: &Price, i: usize) -> Option<&Price> {
        let cheaper = self.cheaper_prices.get(data.model_index(i))?.as_ref().filter(|_| is_small(data, i))?;
        // The same model may cost less at this row's provider.
        Some(cheaper).filter(|cheaper| cheaper.input <= own.input && cheaper.output <= own.output)
    }

    /// The cost of row `i`, if it is sent, with the changes, in US dollars.
    fn cost(&self, data: &Dataset, own: &Price, i: usize) -> f64 {
        let price = self.cheaper_price(data, own, i).unwrap_or(own);
        let logged = Tokens::from_row(data, i);
        let tokens = self.misses.as_ref().map_or(logged, |misses| misses.apply(i, logged));
        let now = Pricing::cost_with(price, data, i, &tokens, data.tier(i));
        if self.batch_share == 0.0 {
            return now;
        }
        now + self.batch_share * (batch_cost(price, data, i, &tokens).unwrap_or(now) - now)
    }

    /// The cost of all rows with the changes, in US dollars.
    pub(super) fn total_cost(&self, data: &Dataset, pricing: &Pricing) -> f64 {
        let has_costs = has_costs(data);
        let mut not_sent = self.not_sent.iter().peekable();
        let mut total = 0.0;
        for i in 0..data.len() {
            let is_sent = not_sent.next_if(|row| **row as usize == i).is_none();
            let Some(own) = pricing.price(data, i).filter(|_| has_tokens(data, i)) else { continue };
            if has_costs && is_free(data, i) {
                total += pricing.cost(data, i);
            } else if is_sent {
                total += self.cost(data, own, i);
            }
        }
        total
    }

    /// Adds the changes of another scenario.
    pub(super) fn merge(&mut self, other: &Self) {
        if !other.cheaper_prices.is_empty() {
            self.cheaper_prices.clone_from(&other.cheaper_prices);
        }
        if other.misses.is_some() {
            self.misses.clone_from(&other.misses);
        }
        self.not_sent.extend(&other.not_sent);
        self.not_sent.sort_unstable();
        self.not_sent.dedup();
        self.batch_share = self.batch_share.max(other.batch_share);
    }
}
