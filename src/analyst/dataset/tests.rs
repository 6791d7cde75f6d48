use super::*;

#[test]
fn a_late_column_marks_earlier_rows_as_having_no_value() {
    let mut data = Dataset::default();
    data.push(&Row { input: Some(5), ..Row::default() });
    data.push(&Row {
        input: Some(7),
        model: Some("m"),
        latency_ms: Some(3.0),
        groups: &[("user", "ada")],
        failed: Some(true),
        ..Row::default()
    });
    data.push(&Row { input: Some(9), ..Row::default() });
    assert_eq!(data.model, [0, 1, 0]);
    assert_eq!(data.models, [UNNAMED_MODEL, "m"]);
    assert!(data.latency_ms[0].is_nan() && data.latency_ms[1] == 3.0 && data.latency_ms[2].is_nan());
    assert!(data.cached.is_empty() && data.time_ms.is_empty());
    assert_eq!(data.groups[0].codes, [NO_VALUE, 0, NO_VALUE]);
    assert_eq!([0, 1, 2].map(|i| data.failed(i)), [None, Some(true), None]);
}

#[test]
fn models_beyond_the_limit_are_counted_together() {
    let mut data = Dataset::default();
    for i in 0..MAX_MODELS + 10 {
        data.push(&Row { model: Some(&format!("m{i}")), ..Row::default() });
    }
    assert_eq!(data.models.len(), MAX_MODELS + 1);
    assert_eq!(data.models[data.model_index(MAX_MODELS + 9)], OTHER);
}

#[test]
fn rows_that_are_not_retained_are_removed_from_every_column() {
    let mut data = Dataset::default();
    for n in 0..4u64 {
        let user = n.to_string();
        data.push(&Row { input: Some(n), groups: &[("user", &user)], requests: Some(n), ..Row::default() });
    }
    data.retain(|i| i % 2 == 1);
    assert_eq!((data.len(), data.input.as_slice(), data.requests()), (2, [1, 3].as_slice(), Some(4)));
    assert_eq!([0, 1].map(|i| data.groups[0].value(i)), [Some("1"), Some("3")]);
}
