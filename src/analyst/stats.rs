//! Statistics: nearest-rank percentiles, and a linear fit of latency to token counts.

use serde::Serialize;

use super::dataset::Dataset;

/// The percentile method, as reports name it.
pub const PERCENTILE_METHOD: &str = "nearest rank";

/// Sum, mean and percentiles of one quantity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Number of values.
    pub count: u64,
    /// Sum.
    pub sum: f64,
    /// Mean.
    pub mean: f64,
    /// Median, by nearest rank.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest value.
    pub max: f64,
}

impl Stats {
    /// Computes the statistics; all zero for no values.
    pub fn from_values(mut values: Vec<f64>) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let n = values.len();
        let sum: f64 = values.iter().sum();
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // From the highest percentile down, each in what is below the one before: faster than sorting.
        let mut below = n;
        let mut at = |p: f64| {
            let rank = nearest_rank(n, p);
            if rank < below {
                values[..below].select_nth_unstable_by(rank, f64::total_cmp);
                below = rank;
            }
            values[rank]
        };
        let (p99, p95, p50) = (at(99.0), at(95.0), at(50.0));
        Self { count: n as u64, sum, mean: sum / n as f64, p50, p95, p99, max }
    }
}

/// Index of percentile `p` (0 to 100) among `n` sorted values, by nearest rank.
pub(super) fn nearest_rank(n: usize, p: f64) -> usize {
    // p·n/100 in this order is exact for the whole percentages used here.
    ((p * n as f64 / 100.0).ceil() as usize).clamp(1, n) - 1
}

/// Latency as `base + per_input·input + per_output·output`, fitted by least squares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyFit {
    /// Milliseconds that do not depend on token counts.
    pub base_ms: f64,
    /// Milliseconds for each input token.
    pub per_input_ms: f64,
    /// Milliseconds for each output token.
    pub per_output_ms: f64,
    /// Share of the variance explained, 0 to 1.
    pub r2: f64,
}

impl LatencyFit {
    /// Fits the rows that have a latency and for which `keep` is true; `None` for fewer than 30 rows, or when token
    /// counts or latencies do not vary enough.
    pub fn fit(data: &Dataset, keep: impl Fn(usize) -> bool) -> Option<Self> {
        // x: input tokens, z: output tokens, y: latency.
        let rows = || {
            (0..data.len())
                .filter(|&i| !data.latency_ms[i].is_nan() && keep(i))
                .map(|i| (data.input[i] as f64, data.output[i] as f64, f64::from(data.latency_ms[i])))
        };
        let n = rows().count() as f64;
        if n < 30.0 {
            return None;
        }
        let (sx, sz, sy) = rows().fold((0.0, 0.0, 0.0), |(x, z, y), row| (x + row.0, z + row.1, y + row.2));
        let (mx, mz, my) = (sx / n, sz / n, sy / n);
        let (mut xx, mut zz, mut xz, mut xy, mut zy, mut yy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for (x, z, y) in rows() {
            let (x, z, y) = (x - mx, z - mz, y - my);
            xx += x * x;
            zz += z * z;
            xz += x * z;
            xy += x * y;
            zy += z * y;
            yy += y * y;
        }
        let determinant = xx * zz - xz * xz;
        if determinant <= 1e-9 * xx * zz || yy == 0.0 {
            return None;
        }
        let (per_input_ms, per_output_ms) = ((xy * zz - zy * xz) / determinant, (zy * xx - xy * xz) / determinant);
        let r2 = ((per_input_ms * xy + per_output_ms * zy) / yy).clamp(0.0, 1.0);
        Some(Self { base_ms: my - per_input_ms * mx - per_output_ms * mz, per_input_ms, per_output_ms, r2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let stats = Stats::from_values((1..=100).map(f64::from).collect());
        assert_eq!((stats.p50, stats.p95, stats.p99, stats.max), (50.0, 95.0, 99.0, 100.0));
        let few = Stats::from_values(vec![3.0, 1.0, 2.0]);
        assert_eq!((few.p50, few.p95, few.sum), (2.0, 3.0, 6.0));
        assert_eq!(Stats::from_values(Vec::new()), Stats::default());
    }
}
