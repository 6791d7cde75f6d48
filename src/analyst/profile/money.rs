//! What each row cost, and in which currency.

use super::{CostBasis, Profile};
use crate::analyst::{
    dataset::{DOLLARS, Dataset, Kind},
    pricing::Pricing,
};

/// The cost of each row, and sums over all.
pub(in crate::analyst) struct Costs {
    /// The cost of each row in one currency; NaN where it is not known.
    cost: Vec<f64>,
    currency: String,
    basis: CostBasis,
    by_currency: Vec<(String, f64)>,
    /// US dollars at list prices, and the tokens of models without one.
    list_cost: f64,
    unlisted_tokens: u64,
}

impl Costs {
    /// Takes the logged costs, if they are in one currency; list prices (US dollars) fill the rows without one. In
    /// another currency than dollars, nothing fills them. With several currencies, only list prices can be compared.
    pub(in crate::analyst) fn compute(data: &Dataset, pricing: &Pricing) -> Self {
        let mut cost: Vec<f64> = (0..data.len()).map(|i| list_cost(data, pricing, i).unwrap_or(f64::NAN)).collect();
        let (list_cost, unlisted_tokens) = (sum_known(&cost), tokens_without(data, &cost));
        let by_currency = by_currency(data);
        let list_basis = if cost.iter().any(|cost| !cost.is_nan()) { CostBasis::List } else { CostBasis::None };
        let (currency, mut basis) = match by_currency.as_slice() {
            [(currency, _)] => (currency.clone(), CostBasis::Logged),
            _ => (DOLLARS.to_owned(), list_basis),
        };
        if basis == CostBasis::Logged {
            let dollars = currency == DOLLARS;
            for (cost, logged) in cost.iter_mut().zip(&data.cost) {
                if !dollars || !logged.is_nan() {
                    *cost = *logged;
                } else if !cost.is_nan() {
                    basis = CostBasis::Mixed;
                }
            }
        }
        Self { cost, currency, basis, by_currency, list_cost, unlisted_tokens }
    }

    /// The currency of the costs (ISO 4217).
    pub(in crate::analyst) fn currency(&self) -> &str {
        &self.currency
    }

    /// Whether the log has costs in several currencies and no list prices to compare instead.
    pub(in crate::analyst) fn cannot_be_added(&self) -> bool {
        self.by_currency.len() > 1 && self.basis == CostBasis::None
    }

    /// Whether list prices fill rows without a logged cost.
    pub(in crate::analyst) fn are_mixed(&self) -> bool {
        self.basis == CostBasis::Mixed
    }

    /// The cost of row `i`, if it is known.
    pub(in crate::analyst) fn known(&self, i: usize) -> Option<f64> {
        self.cost.get(i).copied().filter(|cost| !cost.is_nan())
    }

    /// Sets the sums of a profile.
    pub(super) fn fill(&self, data: &Dataset, profile: &mut Profile) {
        (profile.cost, profile.list_cost) = (sum_known(&self.cost), self.list_cost);
        (profile.unpriced_tokens, profile.unlisted_tokens) = (tokens_without(data, &self.cost), self.unlisted_tokens);
        profile.currency.clone_from(&self.currency);
        profile.cost_basis = self.basis;
        profile.logged_cost.clone_from(&self.by_currency);
        profile.rows_without_cost = data.cost.iter().filter(|cost| cost.is_nan()).count() as u64;
        if data.cost.iter().any(|cost| *cost > 0.0) {
            let is_zero = |i: usize| data.cost[i] == 0.0 && data.tokens(i) > 0;
            profile.zero_cost_rows = (0..data.cost.len()).filter(|&i| is_zero(i)).count() as u64;
        }
    }
}

/// The sum of the known costs.
fn sum_known(costs: &[f64]) -> f64 {
    costs.iter().filter(|cost| !cost.is_nan()).sum()
}

/// The tokens of the rows whose cost is not known.
fn tokens_without(data: &Dataset, costs: &[f64]) -> u64 {
    let rows = costs.iter().enumerate().filter(|(_, cost)| cost.is_nan());
    rows.fold(0u64, |sum, (i, _)| sum.saturating_add(data.tokens(i)))
}

/// Whether the log has the tokens that row `i` is paid by: input, and output of all but embeddings.
pub(in crate::analyst) fn has_tokens(data: &Dataset, i: usize) -> bool {
    let present = data.present();
    present.input && (present.output || data.kind(i) == Kind::Embedding)
}

/// The cost of row `i` at list prices; `None` if its model has no price, or the log lacks the tokens to be paid for.
fn list_cost(data: &Dataset, pricing: &Pricing, i: usize) -> Option<f64> {
    (has_tokens(data, i) && pricing.price(data, i).is_some()).then(|| pricing.cost(data, i))
}

/// The sums of the logged costs by currency, largest first.
fn by_currency(data: &Dataset) -> Vec<(String, f64)> {
    let mut sums = vec![None; data.currencies.len().max(1)];
    for (i, &cost) in data.cost.iter().enumerate().filter(|(_, cost)| !cost.is_nan()) {
        let at = data.currency.get(i).map_or(0, |code| usize::from(*code));
        if let Some(sum) = sums.get_mut(at) {
            *sum = Some(sum.unwrap_or(0.0) + cost);
        }
    }
    let name = |at: usize| data.currencies.get(at).map_or(DOLLARS, String::as_str).to_owned();
    let mut sums: Vec<_> = sums.into_iter().enumerate().filter_map(|(at, sum)| Some((name(at), sum?))).collect();
    sums.sort_by(|a, b| b.1.total_cmp(&a.1));
    sums
}
