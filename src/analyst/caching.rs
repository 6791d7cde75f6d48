//! What prompt caching already saves, and the misses that a log proves.
//!
//! Guarantees: the first write of a prompt is not a miss; a miss is only counted where an earlier request within the
//! life of the cache shares the prefix by evidence, see [`Misses::find`]; what has to be written for a read is paid
//! for.

use std::collections::HashMap;

use serde::Serialize;

use super::{
    dataset::{Dataset, GroupColumn, Kind, NO_VALUE},
    pricing::{Pricing, Tokens},
};

/// Tokens of the shortest prompt that providers cache.
pub const MIN_CACHEABLE_TOKENS: u64 = 1024;

/// How long providers keep a cached prefix after its last use, in ms, unless the log shows writes for an hour.
pub const CACHE_LIFE_MS: i64 = 5 * 60_000;

/// How long a prefix written for an hour is kept after its last use, in ms.
pub const LONG_CACHE_LIFE_MS: i64 = 60 * 60_000;

/// Providers count cached tokens in steps of this many.
const STEP: u64 = 128;

/// The columns whose equal values mean the same beginning of the prompt, the narrowest first.
const SHARED_PREFIX: [&str; 2] = ["session", "prompt"];

/// Cached tokens of a log, and what they saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct CacheUsage {
    /// Input tokens read from a cache.
    pub cached_tokens: u64,
    /// Input tokens written to a cache.
    pub write_tokens: u64,
    /// US dollars saved at list prices compared with the same input uncached, less the extra price of cache writes;
    /// negative if the writes cost more than the reads saved. Models without a price are not in it.
    pub saved_usd: f64,
    /// Chat requests of [`MIN_CACHEABLE_TOKENS`] input tokens or more; 0 for sums of requests.
    pub long_requests: u64,
    /// Those of them with cached tokens.
    pub long_hits: u64,
    /// Those without cached tokens that wrote to the cache: first writes, which are not misses.
    pub long_writes: u64,
}

impl CacheUsage {
    /// Sums over all rows; `None` when the log has no column of cached tokens.
    pub fn measure(data: &Dataset, pricing: &Pricing) -> Option<Self> {
        let present = data.present();
        if !present.cached {
            return None;
        }
        let mut cache = Self::default();
        for i in 0..data.len() {
            let (read, written) = (data.cached(i), data.cache_write(i));
            cache.cached_tokens = cache.cached_tokens.saturating_add(read);
            cache.write_tokens = cache.write_tokens.saturating_add(written);
            if let Some(price) = pricing.price(data, i).filter(|_| read > 0 || written > 0) {
                let tokens = Tokens::from_row(data, i);
                let uncached = Tokens { cached: 0.0, cache_write: 0.0, cache_write_1h: 0.0, ..tokens };
                let cost = |tokens: &Tokens| Pricing::cost_with(price, data, i, tokens, data.tier(i));
                cache.saved_usd += cost(&uncached) - cost(&tokens);
            }
            if !present.sums && is_long(data, i) {
                cache.long_requests += 1;
                cache.long_hits += u64::from(read > 0);
                cache.long_writes += u64::from(read == 0 && written > 0);
            }
        }
        Some(cache)
    }

    /// Whether every long request reads from the cache or writes to it.
    pub fn is_complete(&self) -> bool {
        self.long_hits + self.long_writes == self.long_requests
    }
}

/// Whether row `i` is a chat request with a prompt that providers cache.
fn is_long(data: &Dataset, i: usize) -> bool {
    data.input[i] >= MIN_CACHEABLE_TOKENS && data.kind(i) == Kind::Chat
}

/// For each model, whether the log states its cached tokens: if any of its requests has some. If no request of any model has some, zeros
/// were stated for all models.
fn reports_cached(data: &Dataset) -> Vec<bool> {
    let mut reports = vec![false; data.models.len().max(1)];
    for i in (0..data.len()).filter(|&i| data.cached(i) > 0) {
        reports[data.model_index(i)] = true;
    }
    if !reports.contains(&true) {
        reports.fill(true);
    }
    reports
}

/// Why a log cannot show misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEvidence {
    /// Rows are sums of requests.
    Sums,
    /// It has no cached tokens.
    NoCachedTokens,
    /// It has no start times.
    NoTimes,
    /// It has neither a session nor a prompt of each request.
    NoSession,
}

/// The requests that could have read a prefix from the cache and did not.
#[derive(Debug, Clone, Default)]
pub struct Misses {
    /// Their number.
    pub requests: u64,
    /// Input tokens that they could have read from the cache, beyond those that they did read.
    pub tokens: u64,
    /// Cached and written tokens of each row without the misses; [`UNCHANGED`] for both in rows that stay as they are.
    /// Empty without misses.
    changes: Vec<(u32, u32)>,
}

const UNCHANGED: u32 = u32::MAX;

/// The last request of a session with one model.
struct Last {
    time: i64,
    row: u32,
    input: u64,
    output: u64,
    /// Whether it wrote its whole prompt to the cache and read nothing.
    all_written: bool,
    /// Requests in a row whose prompt continues the one before.
    growing: u32,
    /// When a prefix was last read or written, and its length.
    prefix: Option<(i64, u64)>,
    life: i64,
    /// Requests without cached tokens since then: row, prefix.
    pending: Vec<(u32, u64)>,
}

impl Misses {
    /// Finds the misses. Models of which the log states no cached tokens, though it does of others, have none. In order
    /// of time, per session (else per prompt) and model, a chat request is a miss
    ///
    /// - if it is at least the third of a conversation, each prompt of which is at least as long as the one before with
    ///   its answer, it starts within the cache's life of the one before, and reads less than half of that one's
    ///   prompt. It is no miss if it writes its prompt for the first time: nothing read, and the one before did read or
    ///   write less;
    /// - if requests before and after it read a prefix, all within the cache's life, and it reads and writes nothing
    ///   though its prompt is long enough to hold that prefix.
    ///
    /// # Errors
    /// Why the log cannot show misses.
    pub fn find(data: &Dataset) -> Result<Self, NoEvidence> {
        let present = data.present();
        if present.sums {
            return Err(NoEvidence::Sums);
        }
        if !present.cached {
            return Err(NoEvidence::NoCachedTokens);
        }
        if !present.time {
            return Err(NoEvidence::NoTimes);
        }
        let column = SHARED_PREFIX.iter().find_map(|name| data.group(name)).ok_or(NoEvidence::NoSession)?;
        let reports = reports_cached(data);
        let mut misses = Self::default();
        let mut sessions: HashMap<(u16, usize), Last> = HashMap::new();
        for row in data.by_time() {
            if reports.get(data.model_index(row as usize)).is_none_or(|reports| *reports) {
                misses.visit(data, column, row, &mut sessions);
            }
        }
        Ok(misses)
    }

    /// The tokens of row `i` as they would be without the misses.
    pub fn apply(&self, i: usize, tokens: Tokens) -> Tokens {
        match self.changes.get(i) {
            Some(&(cached, write)) if write != UNCHANGED => {
                let (cached, write) = (f64::from(cached), f64::from(write));
                Tokens { cached, cache_write: write, cache_write_1h: tokens.cache_write_1h.min(write), ..tokens }
            }
            _ => tokens,
        }
    }

    fn visit(&mut self, data: &Dataset, column: &GroupColumn, row: u32, sessions: &mut HashMap<(u16, usize), Last>) {
        let i = row as usize;
        let code = column.codes.get(i).copied().unwrap_or(NO_VALUE);
        let usable = code != NO_VALUE && data.kind(i) == Kind::Chat && data.failed(i) != Some(true);
        let Some(time) = data.time(i).filter(|_| usable) else { return };
        let (input, read, written) = (data.input[i], data.cached(i), data.cache_write(i));
        let mut last = Last {
            time,
            row,
            input,
            output: data.output[i].saturating_sub(data.reasoning(i)),
            all_written: read == 0 && written > 0,
            growing: 0,
            prefix: (read + written >= MIN_CACHEABLE_TOKENS).then_some((time, read + written)),
            life: if data.cache_write_1h(i) > 0 { LONG_CACHE_LIFE_MS } else { CACHE_LIFE_MS },
            pending: Vec::new(),
        };
        let key = (code, data.model_index(i));
        if let Some(before) = sessions.remove(&key) {
            last.life = last.life.max(before.life);
            let grows = column.name == SHARED_PREFIX[0]
                && time > before.time
                && input >= before.input.saturating_add(before.output);
            last.growing = if grows { before.growing + 1 } else { 0 };
            let reusable = before.input / STEP * STEP;
            let first_write = last.all_written && !before.all_written;
            let missed = last.growing >= 2
                && time - before.time <= before.life
                && reusable >= MIN_CACHEABLE_TOKENS
                && read < reusable / 2
                && !first_write;
            if missed {
                self.write_whole(data, before.row);
                let new = input - reusable;
                self.add(data, row, reusable, if written > 0 { written.min(new) } else { new });
            }
            self.resolve(data, &mut last, before, missed || read + written > 0);
        }
        sessions.insert(key, last);
    }

    /// Passes the prefix of the request before on to this one, and counts the misses between two reads.
    fn resolve(&mut self, data: &Dataset, last: &mut Last, before: Last, has_cache: bool) {
        let Some((used, prefix)) = before.prefix.filter(|(used, _)| last.time - used <= before.life) else { return };
        let i = last.row as usize;
        let read = data.cached(i);
        if read >= MIN_CACHEABLE_TOKENS {
            for (row, length) in before.pending {
                self.add(data, row, length.min(read), 0);
            }
        } else if !has_cache {
            last.prefix = Some((used, prefix));
            last.pending = before.pending;
            if last.time > used && data.input[i] >= prefix {
                last.pending.push((last.row, prefix / STEP * STEP));
            }
        }
    }

    fn add(&mut self, data: &Dataset, row: u32, cached: u64, write: u64) {
        self.requests += 1;
        self.tokens += cached.saturating_sub(data.cached(row as usize));
        self.change(data, row, cached, write);
    }

    /// Lets a request without any cached tokens write its prompt, so that the next one can read it.
    fn write_whole(&mut self, data: &Dataset, row: u32) {
        let i = row as usize;
        let changed = self.changes.get(i).is_some_and(|(_, write)| *write != UNCHANGED);
        if !changed && data.cached(i) == 0 && data.cache_write(i) == 0 {
            self.change(data, row, 0, data.input[i]);
        }
    }

    fn change(&mut self, data: &Dataset, row: u32, cached: u64, write: u64) {
        if self.changes.is_empty() {
            self.changes = vec![(UNCHANGED, UNCHANGED); data.len()];
        }
        let short = |n: u64| u32::try_from(n).unwrap_or(UNCHANGED - 1).min(UNCHANGED - 1);
        self.changes[row as usize] = (short(cached), short(write));
    }
}
