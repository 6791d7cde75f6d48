//! What a run used: tokens by provider and model, and what they cost at list prices.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::{
    protocol::{Author, agui::Usage},
    server::agents::{AgentError, analyst::pricing::Price},
};

/// Whether a run may go on, given what it has used so far. Asked between steps, so one step may pass a budget.
#[async_trait]
pub trait Allowance: Send + Sync + 'static {
    /// Looks at what this run has used so far, all steps together.
    ///
    /// # Errors
    /// A failure with a sentence for the person, where a budget is used up.
    async fn spent(&self, author: &Author, usage: &[Usage], cost_usd: Option<f64>) -> Result<(), AgentError>;
}

/// What one run used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    by_model: Vec<Usage>,
    cost: Option<f64>,
}

impl Spent {
    /// Adds what a step took; `price` is the model's, if it has one.
    pub fn add(&mut self, usage: Usage, price: Option<&Price>) {
        if let Some(price) = price {
            let tokens = |count: Option<u64>| count.unwrap_or(0) as f64;
            *self.cost.get_or_insert(0.0) += price.cost(
                tokens(usage.input_tokens),
                tokens(usage.cached_input_tokens),
                tokens(usage.cache_write_input_tokens),
                tokens(usage.output_tokens),
            );
        }
        let same = |known: &&mut Usage| (&known.provider, &known.model) == (&usage.provider, &usage.model);
        match self.by_model.iter_mut().find(same) {
            Some(known) => {
                let plus = |to: &mut Option<u64>, more: Option<u64>| {
                    if let Some(more) = more {
                        *to = Some(to.unwrap_or(0).saturating_add(more));
                    }
                };
                plus(&mut known.input_tokens, usage.input_tokens);
                plus(&mut known.output_tokens, usage.output_tokens);
                plus(&mut known.total_tokens, usage.total_tokens);
                plus(&mut known.reasoning_tokens, usage.reasoning_tokens);
                plus(&mut known.cached_input_tokens, usage.cached_input_tokens);
                plus(&mut known.cache_write_input_tokens, usage.cache_write_input_tokens);
            }
            None => self.by_model.push(usage),
        }
    }

    /// The tokens, by provider and model.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        self.by_model.clone()
    }

    /// US dollars at list prices; `None` where no model used has a price.
    #[must_use]
    pub const fn cost_usd(&self) -> Option<f64> {
        self.cost
    }

    /// `{"costUsd": x}`, where there is a price.
    #[must_use]
    pub fn metadata(&self) -> Map<String, Value> {
        self.cost.map(|cost| ("costUsd".to_owned(), json!(cost))).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(model: &str, input: u64, output: u64) -> Usage {
        Usage { model: Some(model.into()), input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() }
    }

    #[test]
    fn steps_of_a_model_are_summed_and_priced() {
        let price =
            Price { model: "a".into(), input: 1e-6, output: 2e-6, cached: 1e-7, cache_write: 1e-6, batch: None };
        let mut spent = Spent::default();
        spent.add(usage("a", 1000, 10), Some(&price));
        spent.add(Usage { cached_input_tokens: Some(1000), ..usage("a", 2000, 20) }, Some(&price));
        spent.add(usage("b", 5, 5), None);
        let both = spent.usage();
        assert_eq!(
            (both[0].input_tokens, both[0].output_tokens, both[0].cached_input_tokens),
            (Some(3000), Some(30), Some(1000))
        );
        assert_eq!(both.len(), 2);
        let cost = spent.cost_usd().expect("priced");
        assert!((cost - (2000.0 * 1e-6 + 1000.0 * 1e-7 + 30.0 * 2e-6)).abs() < 1e-12, "{cost}");
    }

    #[test]
    fn what_has_no_price_has_no_cost() {
        let mut spent = Spent::default();
        spent.add(usage("a", 5, 5), None);
        assert!(spent.cost_usd().is_none() && spent.metadata().is_empty());
    }
}
