//! Generates the sample usage log `docs/samples/support-assistant.csv` from a fixed seed; a test compares the file.
//!
//! It imitates a support assistant over one week: short chats, answers from retrieved passages, a few long documents; two
//! models, cached prefixes, latency.

use std::fmt::Write;

/// Requests in the sample.
pub const REQUESTS: usize = 2000;

/// Monday, 5 January 2026, 00:00 UTC.
const MONDAY_MS: u64 = 1_767_571_200_000;

/// Relative traffic by hour of the day (UTC).
const HOURS: [u64; 24] = [2, 1, 1, 1, 1, 2, 4, 9, 16, 22, 25, 24, 19, 23, 26, 25, 21, 15, 10, 8, 6, 5, 4, 3];

/// Relative traffic by day of the week, from Monday.
const DAYS: [u64; 7] = [20, 19, 19, 18, 16, 5, 3];

/// The random number generator SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from `low` to `high`, `high` excluded. Integers only: floats may round differently on other platforms.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    /// A random index, weighted.
    fn weighted(&mut self, weights: &[u64]) -> u64 {
        let mut left = self.between(0, weights.iter().sum());
        for (at, weight) in (0..).zip(weights) {
            if left < *weight {
                return at;
            }
            left -= weight;
        }
        0
    }
}

/// Generates the sample as CSV, with a header line and `\n` line ends.
pub fn csv() -> String {
    let mut random = Random(2026);
    let mut times: Vec<u64> = (0..REQUESTS)
        .map(|_| {
            let (day, hour) = (random.weighted(&DAYS), random.weighted(&HOURS));
            MONDAY_MS + (day * 24 + hour) * 3_600_000 + random.between(0, 3_600_000)
        })
        .collect();
    times.sort_unstable();
    let mut text = String::from("timestamp,model,input_tokens,output_tokens,cached_tokens,latency_ms\n");
    for time in times {
        let (input, output) = match random.weighted(&[55, 35, 10]) {
            0 => (random.between(80, 900), random.between(20, 250)),
            1 => (random.between(1200, 6000), random.between(120, 700)),
            _ => (random.between(6000, 30_000), random.between(200, 1500)),
        };
        let cached = if input >= 1024 && random.between(0, 100) < 55 {
            (input * random.between(25, 75) / 100) / 128 * 128
        } else {
            0
        };
        let (model, ms_per_token) = if random.between(0, 100) < 70 { ("gpt-4.1", 18) } else { ("gpt-4.1-mini", 9) };
        let latency = 250 + (input - cached) / 20 + output * ms_per_token + random.between(0, 400);
        let stamp =
            i64::try_from(time).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{stamp:.3},{model},{input},{output},{cached},{latency}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_matches_published_values() {
        let mut random = Random(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn the_sample_file_matches_the_generator() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/samples/support-assistant.csv");
        if std::env::var_os("NETRA_WRITE_SAMPLE").is_some() {
            std::fs::write(path, csv()).expect("the file is written");
        }
        let file = std::fs::read_to_string(path).expect("docs/samples/support-assistant.csv");
        assert!(file == csv(), "the sample differs from its generator: write it again with NETRA_WRITE_SAMPLE=1");
        assert_eq!(file.lines().count(), REQUESTS + 1);
    }
}
