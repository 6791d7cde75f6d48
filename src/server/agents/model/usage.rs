//! The usage of a run: tokens by provider and model, and their cost at list prices.
//!
//! Guarantees: every answer counts. If its provider reports no usage, or the answer is incomplete, its tokens are estimated, and
//! reported as estimated.

use serde_json::{Map, Value, json};

use super::provider::{ModelMessage, ModelProvider, ModelRequest};
use crate::{
    analyst::{
        dataset::Tier,
        pricing::{self, Price},
    },
    protocol::agui::Usage,
};

/// Bytes of text that count as one token in an estimate.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that an image or a PDF counts as in an estimate.
const TOKENS_PER_FILE: u64 = 1_000;

/// The tokens of one request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Tokens {
    /// As the provider reported them.
    Counted(Usage),
    /// Estimated from the bytes of text and the number of files.
    Estimated(Usage),
}

impl Tokens {
    /// What the provider reported, or else an estimate from a prompt of `prompt` tokens and an answer of `answer_bytes`.
    pub(super) fn new(provider: &dyn ModelProvider, reported: Option<Usage>, prompt: u64, answer_bytes: usize) -> Self {
        if let Some(usage) = reported.filter(|usage| total_tokens(usage) > 0) {
            return Self::Counted(usage);
        }
        let output = (answer_bytes as u64).div_ceil(BYTES_PER_TOKEN);
        Self::Estimated(Usage {
            provider: Some(provider.provider().into()),
            model: Some(provider.model().into()),
            input_tokens: Some(prompt),
            output_tokens: Some(output),
            total_tokens: Some(prompt + output),
            ..Usage::default()
        })
    }
}

/// Estimates the tokens of a request.
pub(super) fn prompt_tokens(request: &ModelRequest) -> u64 {
    let message = |message: &ModelMessage| match message {
        ModelMessage::User { text, media } => (text.len(), media.len()),
        ModelMessage::Assistant { text, calls, .. } => {
            let calls = calls.iter().map(|call| call.name.len() + call.arguments.len());
            (text.len() + calls.sum::<usize>(), 0)
        }
        ModelMessage::Tool { text, .. } => (text.len(), 0),
    };
    let tools = request.tools.iter();
    let tools = tools.map(|tool| tool.name.len() + tool.description.len() + tool.parameters.to_string().len());
    let (bytes, files) = request
        .messages
        .iter()
        .map(message)
        .fold((request.system.len() + tools.sum::<usize>(), 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (bytes as u64).div_ceil(BYTES_PER_TOKEN) + files as u64 * TOKENS_PER_FILE
}

/// Input and output tokens together.
fn total_tokens(usage: &Usage) -> u64 {
    usage.input_tokens.unwrap_or(0).saturating_add(usage.output_tokens.unwrap_or(0))
}

/// The usage of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    by_model: Vec<Usage>,
    cost: Option<f64>,
    /// How many of the tokens are estimated.
    estimated: u64,
}

impl Spent {
    /// Adds a step; `price` is the model's, if it is known.
    pub fn add(&mut self, tokens: Tokens, price: Option<&Price>) {
        let usage = match tokens {
            Tokens::Counted(usage) => usage,
            Tokens::Estimated(usage) => {
                self.estimated = self.estimated.saturating_add(total_tokens(&usage));
                usage
            }
        };
        if let Some(price) = price {
            let tokens = |count: Option<u64>| count.unwrap_or(0) as f64;
            let request = pricing::Tokens {
                input: tokens(usage.input_tokens),
                cached: tokens(usage.cached_input_tokens),
                cache_write: tokens(usage.cache_write_input_tokens),
                output: tokens(usage.output_tokens),
                reasoning: tokens(usage.reasoning_tokens),
                ..pricing::Tokens::default()
            };
            *self.cost.get_or_insert(0.0) += price.cost_of(&request, Tier::Standard);
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

    /// The cost in US dollars at list prices; `None` where no model has a price.
    #[must_use]
    pub const fn cost_usd(&self) -> Option<f64> {
        self.cost
    }

    /// The input and output tokens of all models.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.by_model.iter().map(total_tokens).fold(0, u64::saturating_add)
    }

    /// `costUsd`, if there is a price, and `estimatedTokens`, if some are estimated.
    #[must_use]
    pub fn metadata(&self) -> Map<String, Value> {
        let cost = self.cost.map(|cost| ("costUsd".to_owned(), json!(cost)));
        let estimated = (self.estimated > 0).then(|| ("estimatedTokens".to_owned(), json!(self.estimated)));
        cost.into_iter().chain(estimated).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::provider::{Media, MediaKind, ModelCall},
        *,
    };

    fn usage(model: &str, input: u64, output: u64) -> Usage {
        Usage { model: Some(model.into()), input_tokens: Some(input), output_tokens: Some(output), ..Usage::default() }
    }

    fn counted(model: &str, input: u64, output: u64) -> Tokens {
        Tokens::Counted(usage(model, input, output))
    }

    #[test]
    fn steps_of_a_model_are_summed_and_priced() {
        let price = Price::simple("a", 1e-6, 2e-6, 1e-7, 1e-6);
        let mut spent = Spent::default();
        spent.add(counted("a", 1000, 10), Some(&price));
        let cached = Usage { cached_input_tokens: Some(1000), ..usage("a", 2000, 20) };
        spent.add(Tokens::Counted(cached), Some(&price));
        spent.add(counted("b", 5, 5), None);
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
    fn without_a_price_there_is_no_cost() {
        let mut spent = Spent::default();
        spent.add(counted("a", 5, 5), None);
        assert!(spent.cost_usd().is_none() && spent.metadata().is_empty());
    }

    #[test]
    fn estimated_tokens_are_reported_as_such() {
        let mut spent = Spent::default();
        spent.add(counted("a", 5, 5), None);
        spent.add(Tokens::Estimated(usage("a", 30, 10)), None);
        assert_eq!((spent.tokens(), spent.metadata()["estimatedTokens"].as_u64()), (50, Some(40)));
    }

    #[test]
    fn all_parts_of_a_request_count() {
        let call = ModelCall { id: "c".into(), name: "look".into(), arguments: "{}  ".into() };
        let media =
            Media { kind: MediaKind::Image, mime_type: "image/png".into(), name: "x".into(), data: "AAAA".into() };
        let request = ModelRequest {
            system: "x".repeat(40),
            messages: vec![
                ModelMessage::User { text: "x".repeat(80), media: vec![media] },
                ModelMessage::Assistant { text: String::new(), calls: vec![call], provider_state: None },
                ModelMessage::Tool { call_id: "c".into(), name: "look".into(), text: "x".repeat(8) },
            ],
            ..ModelRequest::default()
        };
        assert_eq!(prompt_tokens(&request), 10 + 20 + 2 + 2 + TOKENS_PER_FILE);
    }
}
