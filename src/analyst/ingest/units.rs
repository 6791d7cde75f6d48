//! Decides the unit of latencies that state none, by evidence.

use super::IngestReport;
use crate::analyst::dataset::Dataset;

/// Output tokens a second of a usual answer. Real models write about 5 to 500.
const USUAL_TOKENS_PER_SECOND: f64 = 60.0;

/// A usual time to an answer, or to its first token.
const USUAL_MS: f64 = 2000.0;

/// The units that are tried: name, milliseconds in one.
const UNITS: [(&str, f64); 4] =
    [("seconds", 1e3), ("milliseconds", 1.0), ("microseconds", 1e-3), ("nanoseconds", 1e-6)];

/// Converts latencies without a unit (negative numbers) to milliseconds.
pub(super) fn resolve(data: &mut Dataset, report: &mut IngestReport) {
    let output = std::mem::take(&mut data.output);
    convert(&mut data.latency_ms, &output, "latency", report);
    convert(&mut data.first_token_ms, &output, "time to first token", report);
    data.output = output;
}

/// The unit is the one with which the median and the median speed of the answers are the most usual.
fn convert(column: &mut [f32], output: &[u64], what: &str, report: &mut IngestReport) {
    let mut unitless: Vec<f64> = column.iter().filter(|ms| **ms < 0.0).map(|ms| f64::from(-ms)).collect();
    if unitless.is_empty() {
        return;
    }
    let mut speeds: Vec<f64> = column
        .iter()
        .zip(output)
        .filter(|(ms, tokens)| **ms < 0.0 && **tokens > 0)
        .map(|(ms, tokens)| *tokens as f64 / f64::from(-ms))
        .collect();
    let median = middle(&mut unitless);
    let speed = if speeds.is_empty() || what != "latency" { None } else { Some(middle(&mut speeds)) };
    let distance = |ms_in_one: f64| {
        // Tokens per unit, as tokens per second.
        let by_speed = speed.map_or(0.0, |speed| (speed * 1e3 / ms_in_one / USUAL_TOKENS_PER_SECOND).ln().abs());
        by_speed + (median * ms_in_one / USUAL_MS).ln().abs()
    };
    let (unit, ms_in_one) =
        UNITS.into_iter().min_by(|a, b| distance(a.1).total_cmp(&distance(b.1))).unwrap_or(UNITS[0]);
    for ms in column.iter_mut().filter(|ms| **ms < 0.0) {
        *ms *= -(ms_in_one as f32);
    }
    let evidence = match speed {
        Some(speed) => format!("the answers then come at {:.0} tokens a second", speed * 1e3 / ms_in_one),
        None => format!("its median is {median}"),
    };
    report.notes.push(format!("The {what} has no unit; it is read as {unit}, since {evidence}."));
}

fn middle(values: &mut [f64]) -> f64 {
    let at = values.len() / 2;
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::dataset::Row;

    #[test]
    fn the_unit_of_a_latency_follows_from_the_speed_of_the_answers() {
        for (unit, factor) in UNITS {
            let mut data = Dataset::default();
            for output in [50, 100, 400] {
                // 40 tokens a second.
                let latency = output as f64 / 40.0 * 1e3 / factor;
                data.push(&Row { output: Some(output), latency_ms: Some(-latency as f32), ..Row::default() });
            }
            let mut report = IngestReport::default();
            resolve(&mut data, &mut report);
            assert!((data.latency_ms[0] - 1250.0).abs() < 1.0, "{unit}: {:?}", data.latency_ms);
            assert!(report.notes[0].contains(unit), "{:?}", report.notes);
        }
    }
}
