//! What caching does already.

use serde::Serialize;

use super::{dataset::Dataset, pricing::Pricing};

/// Shortest prompt that providers cache, in tokens.
pub const CACHEABLE_FROM: u32 = 1024;

/// What caching does already, for a log with cached tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct CacheUse {
    /// Input tokens read from a cache.
    pub cached_tokens: u64,
    /// What they saved against the price of fresh input, less what writing them cost more, US dollars.
    pub saved_usd: f64,
    /// Requests long enough to be cached ([`CACHEABLE_FROM`]).
    pub long_requests: u64,
    /// Those among them that show cached tokens.
    pub long_hits: u64,
}

impl CacheUse {
    /// Adds up what a log shows; `None` when it has no cached tokens.
    pub fn of(data: &Dataset, pricing: &Pricing) -> Option<Self> {
        if !data.present().cached {
            return None;
        }
        let mut cache = Self::default();
        for i in 0..data.len() {
            cache.cached_tokens += u64::from(data.cached(i));
            if let Some(price) = pricing.price(data, i) {
                cache.saved_usd += f64::from(data.cached(i)) * (price.input - price.cached)
                    - f64::from(data.cache_write(i)) * (price.cache_write - price.input);
            }
            if data.input[i] >= CACHEABLE_FROM {
                cache.long_requests += 1;
                cache.long_hits += u64::from(data.cached(i) > 0);
            }
        }
        Some(cache)
    }
}
