//! Each known source is read with the figures that a script computed beside it (`tests/data/usage-logs/make_*.py`).

use std::collections::BTreeMap;

use netra::analyst::dataset::Dataset;

use super::*;

/// The figures of one file, as the scripts write them.
type Figures = serde_json::Map<String, Value>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/usage-logs")
}

/// The figures of all files.
fn all_figures() -> BTreeMap<String, Figures> {
    let mut all = BTreeMap::new();
    for name in ["consoles.json", "tools.json", "tracing.json"] {
        let text = std::fs::read(folder().join(name)).expect(name);
        all.extend(serde_json::from_slice::<BTreeMap<String, Figures>>(&text).expect(name));
    }
    all
}

/// The counts of a log by the names that the scripts use.
fn counts(data: &Dataset) -> Vec<(&'static str, Option<u64>)> {
    let sum = |column: &[u64]| Some(column.iter().sum());
    vec![
        ("requests", data.requests()),
        ("input", sum(&data.input)),
        ("output", sum(&data.output)),
        ("cached", sum(&data.cached)),
        ("cache_write", sum(&data.cache_write)),
        ("cache_write_1h", sum(&data.cache_write_1h)),
        ("reasoning", sum(&data.reasoning)),
        ("audio_input", sum(&data.audio_input)),
        ("failed", Some((0..data.len()).filter(|i| data.failed(*i) == Some(true)).count() as u64)),
        ("latency_max_ms", Some(data.latency_ms.iter().fold(0.0f32, |max, ms| max.max(*ms)).round() as u64)),
    ]
}

#[test]
fn every_source_is_read_with_its_true_figures() {
    for (name, figures) in all_figures() {
        let log = ingest::load(&folder().join(&name), &|| false).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (what, count) in counts(&log.data) {
            if let Some(expected) = figures.get(what) {
                assert_eq!(count, expected.as_u64(), "{what} of {name}: {:?}", log.report);
            }
        }
        if let Some(expected) = figures.get("logged_cost").and_then(Value::as_f64) {
            let cost: f64 = log.data.cost.iter().filter(|cost| !cost.is_nan()).sum();
            assert!((cost - expected).abs() <= 1e-6 * expected.max(1.0), "{name} costs {cost}, not {expected}");
        }
        if let Some(source) = figures.get("source").and_then(Value::as_str) {
            assert_eq!(log.report.files[0].source.as_deref(), Some(source), "{name}");
        }
    }
}

#[test]
fn every_file_has_figures() {
    let figures = all_figures();
    let without: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".py") && !figures.contains_key(name))
        .filter(|name| !["consoles.json", "tools.json", "tracing.json"].contains(&name.as_str()))
        .collect();
    assert!(without.is_empty(), "files without figures: {without:?}");
}
