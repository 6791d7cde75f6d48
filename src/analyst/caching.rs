//! What prompt caching already saves.

use serde::Serialize;

use super::{dataset::Dataset, pricing::Pricing};

/// Tokens of the shortest prompt that providers cache.
pub const MIN_CACHEABLE_TOKENS: u32 = 1024;

/// Cached tokens of a log, and what they saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct CacheUsage {
    /// Input tokens read from a cache.
    pub cached_tokens: u64,
    /// US dollars saved compared with uncached input, less the extra price of cache writes.
    pub saved_usd: f64,
    /// Requests of [`MIN_CACHEABLE_TOKENS`] input tokens or more.
    pub long_requests: u64,
    /// Those of them with cached tokens.
    pub long_hits: u64,
}

impl CacheUsage {
    /// Sums over all requests; `None` when the log has no column of cached tokens.
    pub fn measure(data: &Dataset, pricing: &Pricing) -> Option<Self> {
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
            if data.input[i] >= MIN_CACHEABLE_TOKENS {
                cache.long_requests += 1;
                cache.long_hits += u64::from(data.cached(i) > 0);
            }
        }
        Some(cache)
    }
}
