//! Properties that hold for any log.

use super::*;

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Any bytes give an error, or every row is either used or counted as bad.
    #[test]
    fn no_file_makes_the_reader_panic(
        head in proptest::sample::select(vec!["", "input_tokens,output_tokens,time,latency\n", "{\"prompt_tokens\":", "\u{feff}model;spend;prompt_tokens\n"]),
        body in "[ -~\n\t\"{}\\[\\],;:0-9äé\u{0}]{0,200}",
    ) {
        match ingest::read((head.to_owned() + &body).as_bytes(), &|| false) {
            Ok(log) => {
                proptest::prop_assert_eq!(log.report.rows, log.data.len() as u64);
                let by_reason: u64 = log.report.bad_by_reason.iter().map(|(_, count)| count).sum();
                proptest::prop_assert_eq!(log.report.bad_rows, by_reason);
                let analysis = Analysis::compute("log", &body, &log, &PriceTable::shipped(), &|| false).expect("not stopped");
                proptest::prop_assert!(analysis.profile.cost.is_finite());
            }
            Err(error) => proptest::prop_assert!(error.to_string().len() > 20),
        }
    }

    /// Savings are between zero and the whole cost, for each option and for all together.
    #[test]
    fn savings_are_between_zero_and_the_whole_cost(
        rows in proptest::collection::vec((0u32..50_000, 0u32..4_000, 0u32..100, 0usize..3), 1..200),
    ) {
        let mut text = String::from("model,input_tokens,output_tokens,cached_tokens\n");
        for (input, output, cached, model) in rows {
            let model = ["gpt-4.1", "claude-sonnet-4-5", "unheard-of"][model];
            text += &format!("{model},{input},{output},{}\n", input * cached / 100);
        }
        let log = ingest::read(text.as_bytes(), &|| false).expect("a readable log");
        let analysis = Analysis::compute("log", "Use batch prices and cut cost", &log, &PriceTable::shipped(), &|| false).expect("not stopped");
        let base = analysis.savings.base_usd + 1e-9;
        for option in &analysis.savings.options {
            proptest::prop_assert!((0.0..=base).contains(&option.saving_usd), "{:?}", option);
        }
        proptest::prop_assert!((0.0..=base).contains(&analysis.savings.together_usd));
    }
}
